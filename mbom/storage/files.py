"""One file, written whole and flushed to the disk before it gets its name, or read whole within a limit."""

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW


class UnfitError(OSError):
    """What has the name is not a file of the kind that is read; ``strerror`` says what it is."""


def read(path: Path, *, limit: int) -> tuple[bytes, os.stat_result]:
    """Read a regular file, through links if the path is one.

    Args:
        path: the file.
        limit: the most bytes that it may have.

    Returns:
        Its content, and what the system says of the file that was read.

    Raises:
        UnfitError: when it is not a regular file, or has more than ``limit`` bytes.
        OSError: when the system cannot read it.
    """
    with regular(path) as file:
        status = os.fstat(file.fileno())
        data = file.read(limit + 1)
    if len(data) > limit:
        raise UnfitError(errno.EFBIG, f"larger than {limit} bytes", str(path))
    return data, status


@contextlib.contextmanager
def regular(path: Path, *, through_links: bool = True) -> Iterator[BinaryIO]:
    """Open a regular file to be read.

    Args:
        path: the file.
        through_links: whether the path may be a link.

    Raises:
        UnfitError: when it is not a regular file.
        OSError: when the system cannot open it; its ``errno`` is ELOOP for a link that is not followed.
    """
    follow = 0 if through_links else os.O_NOFOLLOW
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | follow)  # a pipe must not wait for a writer
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise UnfitError(errno.EINVAL, "not a regular file", str(path))
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            yield file
    finally:
        os.close(descriptor)


def write(path: Path, data: bytes, *, replace: bool, mode: int = 0o666) -> None:
    """Write a file in one step: whoever opens ``path`` sees what was there before, or all of ``data``.

    What cannot be replaced by a rename is written to directly: a device or a pipe, such as ``/dev/stdout``. A link is
    followed, and the file that it means is replaced.

    Args:
        path: the file.
        data: its content.
        replace: whether a file that is there gives way; it hands on its permissions.
        mode: permissions of a file that is not there yet, less the umask.

    Raises:
        FileExistsError: when something is there and ``replace`` is not given.
        OSError: when the system does not allow it; nothing is left behind.
    """
    there = path.stat() if replace and path.exists() else None
    if there is not None and not stat.S_ISREG(there.st_mode):
        with path.open("wb") as file:
            file.write(data)
        return
    if replace and path.is_symlink():
        path = Path(os.path.realpath(path))
    temporary = draft(path, data, mode=mode)
    try:
        if there is not None:
            temporary.chmod(stat.S_IMODE(there.st_mode))
        if replace:
            temporary.replace(path)
        else:
            name(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def draft(path: Path, data: bytes, *, mode: int) -> Path:
    """Write ``data`` to a hidden file of its own beside ``path``, and return its name.

    Raises:
        OSError: when the system does not allow it; nothing is left behind.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    create(temporary, data, mode=mode)
    return temporary


def create(path: Path, data: bytes, *, mode: int = 0o666) -> None:
    """Write a file that is not there yet and flush it to the disk, under its own name from the start.

    Raises:
        OSError: when the system does not allow it; nothing is left behind.
    """
    descriptor = os.open(path, _CREATE, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
    except BaseException:
        with contextlib.suppress(OSError):
            path.unlink()
        raise


def name(temporary: Path, path: Path) -> None:
    """Give a file the name ``path`` as well, which must be free.

    Raises:
        FileExistsError: when it is not.
        OSError: when the system does not allow it.
    """
    os.link(temporary, path)  # unlike a rename, a link fails when the name is taken


def sync_folder(folder: Path) -> None:
    """Flush the names of a folder to the disk.

    Raises:
        OSError: when the system cannot.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
