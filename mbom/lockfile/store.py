"""The lock file on a disk: read strictly, and replaced whole while no other run of mbom replaces it."""

import errno
from collections.abc import Callable
from pathlib import Path

from mbom.errors import FormatError, StorageError
from mbom.lockfile.lock import FILE_NAME, SIZE_LIMIT, Lock
from mbom.storage import files, locks


def read(path: Path) -> Lock | None:
    """Read a lock file; None where there is none.

    A link is refused: in somebody else's pull request it could be one to any file of this machine, and an error message
    would quote that.

    Raises:
        StorageError: when the system does not give it.
        FormatError: as ``Lock.from_bytes``, naming the path; also for what is no regular file.
    """
    data = _bytes(path)
    return None if data is None else Lock.from_bytes(data, what=str(path))


def update(path: Path, change: Callable[[Lock], Lock]) -> tuple[Lock, Lock]:
    """Replace a lock file by what ``change`` makes of it, in one step; a missing one counts as empty.

    Nobody else's change is lost: what is read is what is replaced. A file that would stay the same is left alone.

    Args:
        path: the file.
        change: returns the new content; what it raises leaves the file as it was.

    Returns:
        The old content and the new.

    Raises:
        BusyError: when another run is changing it.
        MbomError: as ``read``, or when it cannot be written; what was there stays.
    """
    folder = path.absolute().parent
    if not folder.is_dir():
        raise StorageError(f"{path}: the folder {folder} does not exist")
    busy = f"{path}: another run of mbom is writing it; try again when that run has ended"
    with locks.held(folder / f".{path.name}.lock", busy=busy):
        data = _bytes(path)
        old = Lock() if data is None else Lock.from_bytes(data, what=str(path))
        new = change(old)
        written = new.to_bytes()
        Lock.from_bytes(written, what=str(path))  # nothing is written that nobody could read
        if data != written:
            try:
                files.write(path, written, replace=data is not None)
            except OSError as error:
                raise StorageError(f"{path}: nothing written: {error.strerror}") from error
    return old, new


def _bytes(path: Path) -> bytes | None:
    try:
        with files.regular(path, through_links=False) as file:
            return file.read(SIZE_LIMIT + 1)
    except FileNotFoundError:
        return None
    except files.UnfitError as error:
        raise FormatError(f"{path}: {error.strerror}; a lock file ({FILE_NAME}) is one") from error
    except OSError as error:
        if error.errno == errno.ELOOP:  # what O_NOFOLLOW meets a link with
            raise FormatError(f"{path}: a link; a lock file ({FILE_NAME}) is a file of its own") from error
        raise StorageError(f"{path}: {error.strerror}") from error
