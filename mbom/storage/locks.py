"""Locks between processes: of two runs that want one thing, one has it and the other is told.

A lock is ``flock`` on an empty file that is made for it. The kernel gives it up when the process ends, however it ends,
so that a file which a killed process left behind locks nothing, and the next one takes it over and removes it.
"""

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from mbom.errors import BusyError, StorageError

_ATTEMPTS = 100  # the file can vanish between opening and locking, once for every run that ends just then
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


@contextlib.contextmanager
def held(path: Path, *, busy: str) -> Iterator[None]:
    """Hold the lock at ``path`` for the time of the block; nobody waits for it.

    Args:
        path: the file to lock, in a folder that is there.
        busy: the sentence for whoever comes second.

    Raises:
        BusyError: when another process, or another thread of this one, holds it.
        StorageError: when the file cannot be made or locked.
    """
    descriptor = _locked(path, busy)
    try:
        yield
    finally:
        _release(path, descriptor)


def _locked(path: Path, busy: str) -> int:
    for _ in range(_ATTEMPTS):
        try:
            descriptor = os.open(path, _FLAGS, 0o600)
        except OSError as error:
            raise StorageError(f"{path.parent}: cannot write there: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(path, descriptor):
                return descriptor
        except BlockingIOError as error:
            os.close(descriptor)
            raise BusyError(busy) from error
        except OSError as error:
            os.close(descriptor)
            # Without locks two runs could take each other's unfinished work for left-overs.
            raise StorageError(f"{path}: the file system has no locks ({error.strerror}); choose another") from error
        os.close(descriptor)
    raise BusyError(busy)


def _is_at(path: Path, descriptor: int) -> bool:
    """Tell whether an open file still has the name; whoever held the lock before may have removed it."""
    try:
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _release(path: Path, descriptor: int) -> None:
    """Remove the file while it is locked, so that nobody's lock is removed but this one; then give it up."""
    try:
        with contextlib.suppress(OSError):
            status = os.fstat(descriptor)
            # What is not an empty file was never made by a lock.
            if stat.S_ISREG(status.st_mode) and status.st_size == 0 and _is_at(path, descriptor):
                path.unlink()
    finally:
        os.close(descriptor)
