"""The layout of a Hugging Face cache, the only place where a checkpoint may consist of links.

::

    <root>/models--org--name/refs/main                     the commit that a branch meant when the hub was last asked
    <root>/models--org--name/snapshots/<commit>/a/b.json   a link to ../../../../blobs/<digest>, or a regular file
    <root>/models--org--name/blobs/<digest>                the bytes, or a link into the store that repositories share
    <root>/blobs/<2 hex>/<64 hex>                          the bytes of a file that came over Xet

Other users and a hostile hub may have written here, so no link is followed by the system: each is read, its target is
worked out as text, and must be the one place that the layout allows. A blob is named by its SHA-256 (large files) or
its git blob id (the others), which is what the hub advertised.
"""

import contextlib
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from mbom.digest import GIT_HEX, SHA256_HEX
from mbom.errors import RefusedError, SourceError, StorageError

_SHARED_BLOB = re.compile(r"[0-9a-f]{2}/[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class CachedRepo:
    """What the cache at ``root`` (absolute, with no link left in it) holds of one repository, if anything."""

    root: Path
    folder: str

    @classmethod
    def of(cls, repo: str, *, root: Path) -> "CachedRepo":
        """Return the place of ``repo``, spelled ``org/name``."""
        return cls(root=root, folder=f"models--{repo.replace('/', '--')}")

    @property
    def name(self) -> str:
        """The repository's own name, without its owner."""
        return self.folder.rpartition("--")[2]

    @property
    def path(self) -> Path:
        """The folder of the repository."""
        return self.root / self.folder

    def commit(self, revision: str) -> str | None:
        """Return the commit that ``revision`` (a checked name, as it becomes a path) last meant, or None."""
        if GIT_HEX.fullmatch(revision):
            return revision
        try:
            with (self.path / "refs" / revision).open("rb") as file:
                found = file.read(64).decode("ascii", errors="replace").strip()
        except OSError:
            return None
        return found if GIT_HEX.fullmatch(found) else None

    def note_commit(self, revision: str, commit: str) -> None:
        """Remember what ``revision`` (a checked name) means, for use offline; a read-only cache stays as it is."""
        if self.commit(revision) in (commit, revision):
            return
        path = self.path / "refs" / revision
        draft = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            draft.write_text(commit, encoding="ascii")
            draft.replace(path)

    def snapshot(self, commit: str) -> "Snapshot":
        """Return the place of one commit, which need not be there yet."""
        return Snapshot(repo=self, commit=commit)


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """One commit of one repository in a cache."""

    repo: CachedRepo
    commit: str

    @classmethod
    def at(cls, path: Path) -> "Snapshot | None":
        """Return the snapshot that ``path`` (absolute, with no link left in it) is the folder of, if it is one."""
        folder = path.parent.parent
        if (
            path.parent.name != "snapshots"
            or not folder.name.startswith("models--")
            or not GIT_HEX.fullmatch(path.name)
        ):
            return None
        return cls(repo=CachedRepo(root=folder.parent, folder=folder.name), commit=path.name)

    @property
    def path(self) -> Path:
        """The folder that looks like the checkpoint."""
        return self.repo.path / "snapshots" / self.commit

    def locate(self, name: str) -> tuple[Path, ...]:
        """Return the entry of ``name``, the links that it goes through, and last the regular file with the bytes.

        The entry alone where the cache could not use links; else entry and blob, and the shared blob if there is one.

        Raises:
            RefusedError: for a link that leads anywhere but where the layout says.
            SourceError: when a part is missing, or is neither a regular file nor such a link.
        """
        hops = [self.path / name]
        self._check_folders(hops[0].parent)
        if self._is_link(hops[0]):
            hops.append(_target(hops[0]))
            if hops[1].parent != self.repo.path / "blobs":
                raise self._leaves(hops[0])
            self._check_folders(hops[1].parent)
            if self._is_link(hops[1]):
                hops.append(_target(hops[1]))
                store = self.repo.root / "blobs"
                if not _SHARED_BLOB.fullmatch(os.path.relpath(hops[2], store)):
                    raise self._leaves(hops[1])
                self._check_folders(hops[2].parent)
                if self._is_link(hops[2]):
                    raise self._leaves(hops[2])
        return tuple(hops)

    def discard(self, name: str) -> None:
        """Delete the cached copy of ``name``, bytes and links. Other commits that share the blob lose it too.

        Raises:
            RefusedError: for a link that leaves the layout; nothing is deleted then.
            StorageError: when the cache cannot be written.
        """
        try:
            hops = self.locate(name)
        except SourceError:  # incomplete already: the entry is all that may be left
            hops = (self.path / name,)
        try:
            for hop in reversed(hops):
                hop.unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(
                f"{name}: the wrong copy in the cache cannot be deleted ({error.strerror}); set HF_HOME to a folder "
                "that you may write"
            ) from error

    def _is_link(self, path: Path) -> bool:
        """Tell a link from a regular file, and refuse anything else."""
        mode = self._mode(path)
        if not (stat.S_ISLNK(mode) or stat.S_ISREG(mode)):
            raise SourceError(f"{self._shown(path)}: neither a file nor a link of the cache; delete it and fetch again")
        return stat.S_ISLNK(mode)

    def _check_folders(self, folder: Path) -> None:
        """Refuse a link in place of a folder, from the root of the cache down to ``folder``."""
        for part in (folder, *folder.parents):
            if part == self.repo.root:
                return
            mode = self._mode(part)
            if stat.S_ISLNK(mode):
                raise self._leaves(part)
            if not stat.S_ISDIR(mode):
                raise SourceError(f"{self._shown(part)}: not a folder of the cache; delete it and fetch again")

    def _mode(self, path: Path) -> int:
        try:
            return path.lstat().st_mode
        except OSError as error:
            raise SourceError(
                f"{self._shown(path)}: not in the cache ({error.strerror}); fetch the checkpoint again"
            ) from error

    def _leaves(self, link: Path) -> RefusedError:
        return RefusedError(
            f"{self._shown(link)}: a link that leaves the layout of the cache; delete it and fetch the checkpoint again"
        )

    def _shown(self, path: Path) -> str:
        return repr(str(path.relative_to(self.repo.root)))


def blob_digests(hops: tuple[Path, ...]) -> tuple[str | None, str | None]:
    """Return (SHA-256, git blob id) as the name of a blob promises them, from what ``Snapshot.locate`` gave."""
    name = hops[1].name if len(hops) > 1 else ""
    return (name if SHA256_HEX.fullmatch(name) else None, name if GIT_HEX.fullmatch(name) else None)


def _target(link: Path) -> Path:
    """Return where ``link`` points, worked out as text: the folders on the way are known to be no links."""
    return Path(os.path.normpath(link.parent / link.readlink()))
