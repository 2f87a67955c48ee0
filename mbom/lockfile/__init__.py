"""``mbom.lock``: the models that a repository uses, each with the evidence that it was verified by."""

from mbom.lockfile.changes import LockChange, LockKind, changes
from mbom.lockfile.entry import Entry, located
from mbom.lockfile.lock import FILE_NAME, Lock
from mbom.lockfile.store import read, update

__all__ = ["FILE_NAME", "Entry", "Lock", "LockChange", "LockKind", "changes", "located", "read", "update"]
