"""Opening a file of a checkpoint: a regular one, through no link, and the same in the end as in the beginning."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mbom.errors import ChangedError, RefusedError, StorageError
from mbom.inventory.identity import Identity

# What a name means may have changed since it was looked at: a link is not followed, and a pipe not waited for.
FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A regular file that is open for reading, and what the system said of it then; ``name`` is for messages."""

    name: str
    path: Path
    descriptor: int
    status: os.stat_result

    def refuse_change(self, position: int) -> None:
        """Compare the file with what it was when it was opened, and what its name means with the file.

        Args:
            position: how many bytes were read of it, which is to be all.

        Raises:
            ChangedError: when anything is different.
        """
        before, after = Identity.of(self.status), Identity.of(os.fstat(self.descriptor))
        try:
            change = after.change(Identity.of(os.lstat(self.path)))
        except OSError:
            change = "removed"
        # What happened to the file itself says more than that its name means another one.
        change = before.change(after) if change is None else change
        if change is None and position != before.size:
            change = f"cut off at byte {position} of {before.size}"
        if change is not None:
            raise ChangedError(f"{self.name}: {change} while it was read; stop whatever writes there and try again")


@contextmanager
def opened(path: Path, name: str) -> Iterator[Opened]:
    """Open a regular file for reading, and close it at the end.

    Args:
        path: where it lies.
        name: how messages call it.

    Raises:
        RefusedError: when it is a link, a device, a pipe.
        StorageError: when the system cannot open it, or cannot read it while it is open.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | FLAGS)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise RefusedError(f"{name}: a symbolic link; mbom reads regular files only") from error
        raise StorageError(f"{name}: cannot be opened: {error.strerror}") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise RefusedError(f"{name}: not a regular file; mbom reads regular files only")
        yield Opened(name=name, path=path, descriptor=descriptor, status=status)
    except OSError as error:
        raise StorageError(f"{name}: cannot be read: {error.strerror}") from error
    finally:
        os.close(descriptor)
