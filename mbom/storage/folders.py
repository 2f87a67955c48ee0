"""A folder of files that is there whole or not at all, also when it takes the place of another.

The files go to a sibling, ``.NAME.mbom-new``, are flushed to the disk, and the sibling is renamed. A folder that is to
be replaced changes names with it in one step; where kernel or file system cannot do that, it is called
``.NAME.mbom-old`` for the moment between two renames. A process that is killed leaves at most these two siblings, and
``recover`` tells from them what happened. Whoever calls holds a lock on the name.
"""

import ctypes
import errno
import os
import shutil
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

from mbom.errors import StorageError
from mbom.storage import files

_RENAME_EXCHANGE = 2  # linux/fs.h; swaps two paths in one step
_AT_FDCWD = -100
# What says that two names cannot be exchanged here, though either could be renamed: no such call, no such flag, a
# filter of calls that knows neither.
_NO_EXCHANGE = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM})


def write(folder: Path, members: Mapping[str, bytes]) -> None:
    """Write ``members``, by their path below it, as ``folder``; a folder that is there is replaced.

    Raises:
        StorageError: when the system does not allow it. What was at ``folder`` is there, and no sibling.
    """
    new, old = _sibling(folder, "new"), _sibling(folder, "old")
    try:
        try:
            _fill(new, members)
            _put(new, folder, old)
        except OSError as error:
            raise StorageError(f"{folder}: nothing written: {error.strerror}") from error
        try:
            files.sync_folder(new.parent)  # before the replaced folder goes, so that one of the two is on the disk
        except OSError as error:
            raise StorageError(
                f"{folder}: written, but the system does not say that it has reached the disk ({error.strerror}); "
                "read it again, or write it elsewhere"
            ) from error
    finally:
        # One of them holds the unfinished members or the replaced folder, if there is any.
        shutil.rmtree(new, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def recover(folder: Path, *, ours: Callable[[Path], bool]) -> None:
    """Clean up what a killed process left of writing ``folder``; a folder that it had moved aside comes back.

    Args:
        folder: the folder that was to be written.
        ours: tells whether a folder holds nothing but what was to be written; another one is never touched.

    Raises:
        StorageError: when the system does not allow it, or something else is in the way.
    """
    new, old = _sibling(folder, "new"), _sibling(folder, "old")
    for path in (new, old):
        if os.path.lexists(path) and not (_is_own_folder(path) and ours(path)):
            raise StorageError(f"{path}: in the way, and not left by an interrupted run of mbom; move it elsewhere")
    try:
        if old.exists() and not os.path.lexists(folder):
            old.rename(folder)
            files.sync_folder(folder.parent)
        for path in (new, old):
            if path.exists():
                shutil.rmtree(path)
    except OSError as error:
        raise StorageError(
            f"{folder}: what an interrupted run left beside it cannot be cleaned up: {error.strerror}"
        ) from error


def _sibling(folder: Path, what: str) -> Path:
    place = folder.absolute()
    return place.with_name(f".{place.name}.mbom-{what}")


def _is_own_folder(path: Path) -> bool:
    status = path.lstat()
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()


def _fill(folder: Path, members: Mapping[str, bytes]) -> None:
    folder.mkdir(mode=0o700)
    for name, data in sorted(members.items()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        files.create(path, data)
    for inner, _, _ in os.walk(folder, topdown=False):
        files.sync_folder(Path(inner))
    folder.chmod(0o755)


def _put(new: Path, folder: Path, old: Path) -> None:
    """Give ``new`` the name ``folder``; what was there is at ``new`` or at ``old`` afterwards."""
    if not os.path.lexists(folder):
        new.rename(folder)
        return
    if _exchanged(new, folder):
        return
    try:
        folder.rename(old)
        new.rename(folder)
    finally:
        if not os.path.lexists(folder):  # a failure or an interrupt between the two
            old.rename(folder)


def _exchanged(one: Path, other: Path) -> bool:
    """Exchange two names in one step; return False where kernel or file system cannot.

    Raises:
        OSError: when it can, and does not.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    exchange = getattr(libc, "renameat2", None)
    if exchange is None:
        return False
    source, target = os.fsencode(one.absolute()), os.fsencode(other.absolute())
    if exchange(_AT_FDCWD, source, _AT_FDCWD, target, _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in _NO_EXCHANGE:
        return False
    raise OSError(code, os.strerror(code))
