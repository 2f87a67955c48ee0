"""What every source offers: a listing with what was promised, and files on this machine."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from mbom.source.observed import Observed


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a checkpoint was taken from.

    ``repo`` (``org/name``) and ``revision`` (40 hex digits) are None for a folder. ``name`` is what people call it:
    the repository's, or the folder's last component.
    """

    kind: Literal["folder", "hub"]
    name: str
    repo: str | None = None
    revision: str | None = None


@dataclass(frozen=True, kw_only=True)
class Advertised:
    """One file of the listing, with what the source promises of it.

    A folder promises names and sizes only, unless it is a snapshot in the hub's cache. The hub gives the git blob id of
    every file that git itself holds, and the SHA-256 of every file in large file storage; ``git_blob`` is None for the
    latter, because there it names a pointer.
    """

    name: str
    size: int
    sha256: str | None = None
    git_blob: str | None = None


@dataclass(frozen=True, kw_only=True)
class LocalFile:
    """A file that has arrived: its name in the checkpoint, and the regular file (never a link) that holds it."""

    name: str
    path: Path
    advertised: Advertised


class Source(Protocol):
    """A checkpoint that can be listed and fetched, file by file."""

    @property
    def origin(self) -> Origin:
        """Where the checkpoint comes from, with the revision resolved."""

    def listing(self) -> tuple[Advertised, ...]:
        """Every file of the checkpoint, sorted by name.

        Raises:
            SourceError: when the listing cannot be had.
            AccessError: when the source wants another identity.
        """

    def fetch(self, names: Iterable[str]) -> Iterator[LocalFile]:
        """Yield each named file as soon as it is on this machine, in the order of arrival.

        Size is checked here; content is not: the caller hashes what it reads and compares with ``advertised``.
        """

    def refetch(self, name: str) -> LocalFile:
        """Throw away the local copy of ``name``, whose content was wrong, and fetch it again.

        Raises:
            SourceError: always for a folder, which has no second copy.
        """

    def observe(self, bases: Iterable[str]) -> Observed | None:
        """Ask whoever keeps the checkpoint what is known of it besides its files; None where nobody does.

        ``bases`` are the names of base models, of which repositories are resolved. Nothing is raised for an answer
        that fails, is refused or has no proper form: it is unknown.
        """
