"""Which file it was that somebody read, and whether it is still that file in that state."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mbom.errors import ChangedError, StorageError


@dataclass(frozen=True, kw_only=True)
class Identity:
    """A file as the system tells it apart from others, and from itself before a change.

    The time of the last change of the inode cannot be set back with ``touch``, as that of the content can.
    """

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> "Identity":
        """Return the identity that the system tells."""
        return cls(
            device=status.st_dev,
            inode=status.st_ino,
            size=status.st_size,
            mtime_ns=status.st_mtime_ns,
            ctime_ns=status.st_ctime_ns,
        )

    def change(self, later: "Identity") -> str | None:
        """Say what happened between this look and a later one at what has the same name; None when nothing did."""
        if (self.device, self.inode) != (later.device, later.inode):
            return "replaced by another file"
        if self.size != later.size:
            return f"{'truncated' if later.size < self.size else 'extended'} from {self.size} to {later.size} bytes"
        return None if self == later else "written to, or given other properties,"


def refuse_changes(paths: Mapping[str, Path], identities: Mapping[str, Identity]) -> None:
    """Refuse to go on when a file is no longer what was read, however long ago that was.

    The time of the inode is left out: it also tells of links and permissions, and hours may lie between the two looks.

    Raises:
        ChangedError: naming the first such file.
        StorageError: for one that cannot be looked at any more.
    """
    for name, path in paths.items():
        read = identities[name]
        try:
            status = os.lstat(path)
        except FileNotFoundError as error:
            raise ChangedError(f"{name}: removed since it was read; put it back and try again") from error
        except OSError as error:
            raise StorageError(f"{name}: cannot be looked at any more: {error.strerror}") from error
        now = Identity.of(status)
        if (read.device, read.inode, read.size, read.mtime_ns) != (now.device, now.inode, now.size, now.mtime_ns):
            raise ChangedError(
                f"{name}: {read.change(now)} since it was read; stop whatever writes there and try again"
            )
