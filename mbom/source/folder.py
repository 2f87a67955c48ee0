"""A checkpoint in a folder of this machine."""

import os
import stat
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from mbom.errors import ChangedError, RefusedError, SourceError
from mbom.source.base import Advertised, LocalFile, Origin
from mbom.source.hubcache import Snapshot, blob_digests
from mbom.source.names import COUNT_LIMIT, check_name, check_names, is_bookkeeping

_OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class FolderSource:
    """Every regular file below a folder.

    Links, pipes, sockets and devices end the walk with an error: reading one may block, or reach outside the folder.
    The exception is a snapshot folder of the Hugging Face cache (``models--org--name/snapshots/<commit>``), which
    consists of links into that cache; there the names of the blobs also tell the digests that the hub advertised.
    ``.git`` at the top and ``.cache/huggingface`` are not part of a checkpoint (``mbom.source.names`` says why).
    """

    def __init__(self, path: str | Path) -> None:
        self._given = str(path)
        try:
            self._root = Path(path).resolve(strict=True)
        except (OSError, RuntimeError, ValueError) as error:  # Python 3.11 raises RuntimeError for a loop of links
            raise SourceError(f"{self._given}: no such folder") from error
        if not self._root.is_dir():
            raise SourceError(f"{self._given}: not a folder; name the folder that holds the checkpoint's files")
        self._snapshot = Snapshot.at(self._root)
        self._files: dict[str, LocalFile] | None = None

    @property
    def origin(self) -> Origin:
        """The folder by its last component; a snapshot folder, whose own name is a commit, by its repository's name.

        What a cache says about repository and commit is hearsay, so it is not the origin's ``repo`` or ``revision``.
        """
        return Origin(kind="folder", name=self._snapshot.repo.name if self._snapshot else self._root.name or "root")

    def listing(self) -> tuple[Advertised, ...]:
        """Every file of the folder, sorted by name; the folder is walked once.

        Raises:
            SourceError: for an empty folder, one that cannot be read, or something in it that is no regular file.
            RefusedError: for a name that breaks a rule, or a link that leaves the Hugging Face cache.
        """
        return tuple(file.advertised for file in self._walked().values())

    def fetch(self, names: Iterable[str]) -> Iterator[LocalFile]:
        """Yield each named file, in the order given; none needs fetching.

        Raises:
            SourceError: for a name that is not in the listing, or a file that cannot be looked at any more.
            ChangedError: for a file whose kind or size is not what the walk saw.
        """
        for name in dict.fromkeys(names):
            file = self._walked().get(name)
            if file is None:
                raise SourceError(f"{self._given}: holds no file {name!r}")
            try:
                status = file.path.lstat()
            except OSError as error:
                raise SourceError(f"{self._given}: {name!r} cannot be read ({error.strerror})") from error
            if not stat.S_ISREG(status.st_mode) or status.st_size != file.advertised.size:
                raise ChangedError(
                    f"{self._given}: {name!r} changed while the folder was read: {file.advertised.size} bytes when it "
                    f"was listed, {status.st_size} when it was opened; run again when nothing writes there"
                )
            yield file

    def refetch(self, name: str) -> LocalFile:
        """Raise SourceError: a folder has no second copy of a file."""
        raise SourceError(
            f"{self._given}: {name!r} is not what its digest says, and a folder has no second copy; download it again"
        )

    def observe(self, bases: Iterable[str]) -> None:
        """Observe nothing: nobody keeps a folder."""

    def _walked(self) -> dict[str, LocalFile]:
        if self._files is None:
            try:
                top = os.open(self._root, _OPEN_FOLDER)
                try:
                    entries = islice(self._entries(top, ""), COUNT_LIMIT + 1)  # check_names refuses one too many
                    found = [self._file(name, status) for name, status in entries]
                finally:
                    os.close(top)
            except OSError as error:
                raise SourceError(f"{self._given}: cannot be read: {error.strerror} ({error.filename!r})") from error
            if not found:
                raise SourceError(f"{self._given}: an empty folder; name the folder that holds the checkpoint's files")
            found.sort(key=lambda file: file.name)
            check_names((file.name for file in found), what=self._given)
            self._files = {file.name: file for file in found}
        return self._files

    def _entries(self, folder: int, prefix: str) -> Iterator[tuple[str, os.stat_result]]:
        """Yield (name, status) of everything below an open folder that is not itself a folder, and follow no link."""
        with os.scandir(folder) as entries:
            bases = []
            for entry in entries:
                bases.append(entry.name)
                if len(bases) > COUNT_LIMIT:
                    raise RefusedError(f"{self._given}: more than {COUNT_LIMIT} entries in one folder")
        for base in bases:
            name = prefix + base
            if is_bookkeeping(name):
                continue
            check_name(name, what=self._given)  # before the descent, so that its depth limit bounds the recursion
            status = os.stat(base, dir_fd=folder, follow_symlinks=False)
            if not stat.S_ISDIR(status.st_mode):
                yield name, status
                continue
            below = os.open(base, _OPEN_FOLDER, dir_fd=folder)
            try:
                yield from self._entries(below, f"{name}/")
            finally:
                os.close(below)

    def _file(self, name: str, status: os.stat_result) -> LocalFile:
        if stat.S_ISREG(status.st_mode):
            advertised = Advertised(name=name, size=status.st_size)
            return LocalFile(name=name, path=self._root / name, advertised=advertised)
        if self._snapshot is not None and stat.S_ISLNK(status.st_mode):
            hops = self._snapshot.locate(name)
            sha256, git_blob = blob_digests(hops)
            size = hops[-1].lstat().st_size
            advertised = Advertised(name=name, size=size, sha256=sha256, git_blob=git_blob)
            return LocalFile(name=name, path=hops[-1], advertised=advertised)
        raise SourceError(
            f"{self._given}: {name!r} is {_kind(status.st_mode)}; only regular files can be attested. "
            "Replace it by the file itself, or remove it"
        )


def _kind(mode: int) -> str:
    kinds = {
        stat.S_ISLNK: "a symbolic link",
        stat.S_ISFIFO: "a named pipe",
        stat.S_ISSOCK: "a socket",
        stat.S_ISBLK: "a block device",
        stat.S_ISCHR: "a character device",
    }
    return next((kind for test, kind in kinds.items() if test(mode)), "of an unknown kind")
