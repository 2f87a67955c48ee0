"""What became of the models from one lock file to the next."""

from dataclasses import dataclass
from typing import Literal, get_args

from mbom.lockfile.entry import KEYS, Entry
from mbom.lockfile.lock import Lock
from mbom.strictjson import Json

# From the worst to the least. The ids are public.
# ``changed-in-place``: the same commit, and other files. No commit can be that: somebody lied, or was lied to.
# ``re-sourced``: from another repository, from a folder in place of a repository, or the reverse.
# ``re-signed``: by somebody else. ``upgraded``: another commit; where there are no commits, other files.
# ``re-attested``: the same files, and other evidence. ``moved``: the evidence lies elsewhere.
# ``edited``: only what was read from the evidence, or when it was, says something else.
LockKind = Literal[
    "changed-in-place", "re-sourced", "re-signed", "added", "upgraded", "removed", "re-attested", "moved", "edited"
]
KINDS: tuple[LockKind, ...] = get_args(LockKind)


@dataclass(frozen=True, kw_only=True)
class LockChange:
    """A model that is not the same in both files.

    Attributes:
        name: its name.
        kinds: what became of it, the worst first; at least one.
        old: what was; of one that was added, an entry of another name that is of the same repository, or None.
        new: what is; None for one that was removed.
        keys: the keys of the file whose values differ; empty where a side is None.
    """

    name: str
    kinds: tuple[LockKind, ...]
    old: Entry | None
    new: Entry | None
    keys: tuple[str, ...] = ()

    @property
    def kind(self) -> LockKind:
        """The worst of what became of it."""
        return self.kinds[0]

    def to_dict(self) -> dict[str, Json]:
        """Return the change as JSON."""
        return {
            "name": self.name,
            "kinds": list(self.kinds),
            "keys": list(self.keys),
            "old": self.old.to_dict() if self.old is not None else None,
            "new": self.new.to_dict() if self.new is not None else None,
        }


def changes(old: Lock | None, new: Lock) -> tuple[LockChange, ...]:
    """Compare two lock files.

    A commit that another entry of the old file holds with other files is changed in place too, and a model that was
    added has as its old side an entry of the same repository, so that nobody gets around either by giving the model
    another name.

    Args:
        old: what was; None where there was no lock file.
        new: what is.

    Returns:
        The models that differ, by name.
    """
    before = old or Lock()
    found = [LockChange(name=entry.name, kinds=("removed",), old=entry, new=None)
             for entry in before.entries if new.get(entry.name) is None]  # fmt: skip
    for entry in new.entries:
        change = _change(before.get(entry.name), entry, before)
        if change is not None:
            found.append(change)
    return tuple(sorted(found, key=lambda change: change.name))


def _change(old: Entry | None, new: Entry, before: Lock) -> LockChange | None:
    if old == new:
        return None
    if old is not None:
        kinds = set(_kinds(old, new))
        keys = tuple(key for key in KEYS if getattr(old, key) != getattr(new, key))
    else:
        kinds, keys = {"added"}, ()
    other = _contradicted(new, before)
    if other is not None:
        kinds.add("changed-in-place")
    ordered = tuple(kind for kind in KINDS if kind in kinds)
    was = old or other or _namesake(new, before)
    return LockChange(name=new.name, kinds=ordered, old=was, new=new, keys=keys)


def _namesake(new: Entry, before: Lock) -> Entry | None:
    """Return an entry of the old file, of whatever name, that is of the same repository.

    So a model that is given another name is still compared with what it was.
    """
    if new.repo is None:
        return None
    return next((entry for entry in before.entries if _commit(entry)[0] == _commit(new)[0]), None)


def _contradicted(new: Entry, before: Lock) -> Entry | None:
    """Return an entry of the old file, of whatever name, that has the same commit with other files."""
    if new.repo is None:
        return None
    same = (entry for entry in before.entries if _commit(entry) == _commit(new) and entry.digest != new.digest)
    return next(same, None)


def _commit(entry: Entry) -> tuple[str | None, str | None]:
    # The hub takes any case for the same repository.
    return (entry.repo.casefold() if entry.repo is not None else None), entry.revision


def _kinds(old: Entry, new: Entry) -> list[LockKind]:
    found: list[LockKind] = []
    if _commit(old)[0] != _commit(new)[0]:
        found.append("re-sourced")
    elif old.revision != new.revision or (old.repo is None and old.digest != new.digest):
        found.append("upgraded")
    elif old.digest == new.digest and old.bundle_digest != new.bundle_digest:
        found.append("re-attested")
    if old.signer != new.signer:
        found.append("re-signed")
    if old.bundle != new.bundle:
        found.append("moved")
    # A commit with other files is no kind here: ``_contradicted`` finds it.
    return found if found or old.digest != new.digest else ["edited"]
