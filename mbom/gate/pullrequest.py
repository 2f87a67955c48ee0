"""Both sides of a change that git knows: the lock file, its bundles and the policy of two commits.

A pull request must not loosen the gate that judges it. So the policy and the keys that it names are read from the
base, the commit that the change is to be merged into, and from the head only where the base has no policy at all.
Bundles are safe wherever they come from, because the lock file holds their digests: they are read from the commits,
and from the working tree where a commit does not have them.
"""

import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from mbom.errors import SourceError, UsageError
from mbom.gate.gated import PolicySource
from mbom.gate.history import Repository
from mbom.gate.locks import Find, Side
from mbom.lockfile import Entry, Lock, located
from mbom.lockfile.lock import SIZE_LIMIT


@dataclass(frozen=True, kw_only=True)
class PullRequest:
    """A change from one commit to another.

    Attributes:
        repository: that holds both.
        base: the commit that the change is to be merged into.
        head: the change.
        lock: the lock file, as a path from the top of the repository.
        scratch: an empty folder, for copies of what the commits hold.
    """

    repository: Repository
    base: str
    head: str
    lock: str
    scratch: Path
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def sides(self) -> tuple[Side | None, Side]:
        """Return the lock file of either commit, and where its bundles are.

        Raises:
            FormatError: when one of them is malformed.
            SourceError: when the head has none.
        """
        before, after = (self._lock(commit) for commit in (self.base, self.head))
        if after is None:
            gone = ", and the base has one: no model would be judged any more" if before is not None else ""
            raise SourceError(
                f"commit {self.head[:12]} has no {self.lock}{gone}; name it with --lock, or `mbom lock add` writes one"
            )
        old = Side(lock=before, find=self._find(self.base)) if before is not None else None
        return old, Side(lock=after, find=self._find(self.head))

    def tampered(self, old: Side | None, new: Side) -> frozenset[str]:
        """Return the models whose entry is the same on both sides, and whose bundle in the repository is not."""
        if old is None:
            return frozenset()
        same = [entry for entry in new.lock.entries if old.lock.get(entry.name) == entry]
        paths = {entry.name: self._path(entry) for entry in same}
        before, after = (self.repository.ids(commit, sorted(set(paths.values()))) for commit in (self.base, self.head))
        return frozenset(name for name, path in paths.items() if before.get(path) != after.get(path))

    def trusted(self, path: str, *, limit: int) -> tuple[bytes, PolicySource] | None:
        """Return a file whose word counts for the judgement: of the base, or else of the head; None without one."""
        sources: Sequence[tuple[str, PolicySource]] = ((self.base, "base"), (self.head, "head"))
        for commit, source in sources:
            data = self.repository.read(commit, path, limit=limit)
            if data is not None:
                return data, source
        return None

    def export(self, commit: str, paths: Sequence[str], *, limit: int) -> Path:
        """Write files of a commit into a folder of their own, under their paths, and return that folder.

        One that the commit does not have is left out: whoever reads it says so.
        """
        folder = self._fresh()
        for path in paths:
            data = self.repository.read(commit, path, limit=limit)
            if data is not None:
                place = folder.joinpath(*PurePosixPath(path).parts)
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(data)
        return folder

    def _lock(self, commit: str) -> Lock | None:
        data = self.repository.read(commit, self.lock, limit=SIZE_LIMIT)
        return None if data is None else Lock.from_bytes(data, what=f"{self.lock} in {commit[:12]}")

    def _path(self, entry: Entry) -> str:
        return str(PurePosixPath(self.lock).parent / entry.bundle)

    def _find(self, commit: str) -> Find:
        folder = self.repository.root / PurePosixPath(self.lock).parent

        def find(entry: Entry) -> Path | None:
            copy = self.repository.bundle(commit, self._path(entry), self._fresh())
            return copy if copy is not None else located(entry, folder)

        return find

    def _fresh(self) -> Path:
        folder = self.scratch / str(next(self._numbers))
        folder.mkdir()
        return folder


def within(repository: Repository, path: Path) -> str | None:
    """Return a path of this machine as one from the top of the repository; None where it lies outside.

    A path is what it says. The working tree is that of whoever is judged, and a folder of it may be a link.
    """
    root = repository.root.resolve()
    for place in (Path(os.path.normpath(Path.cwd() / path)), path.parent.resolve() / path.name):
        if place.is_relative_to(root):
            return place.relative_to(root).as_posix()
    return None


def check_untracked(request: PullRequest, name: str) -> None:
    """Refuse a file that no commit has where the change can say what stands in for it: by a link, or by a submodule.

    Raises:
        UsageError: naming it.
    """
    place = request.repository.root.resolve() / name
    if place.resolve() != place:
        raise UsageError(f"{name} is in no commit, and the working tree leads to another file by a link; name that one")
    for folder in map(str, list(PurePosixPath(name).parents)[:-1]):
        for commit in (request.base, request.head):
            entry = request.repository.find(commit, folder)
            if entry is not None and entry.kind != "folder":
                raise UsageError(
                    f"{name} is in no commit, and {folder} in {commit[:12]} is a submodule or a link, whose content "
                    "the change chooses; keep the file in the repository itself, or outside of it"
                )
