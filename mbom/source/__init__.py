"""Where the bytes of a checkpoint come from: a folder or the Hugging Face Hub."""

from collections.abc import Callable
from pathlib import Path

from mbom.errors import SourceError
from mbom.source.base import Advertised, LocalFile, Origin, Source
from mbom.source.folder import FolderSource
from mbom.source.names import is_repo
from mbom.source.observed import Observed

__all__ = ["Advertised", "FolderSource", "LocalFile", "Observed", "Origin", "Source", "is_repo", "open_source"]


def open_source(model: str, *, on_bytes: Callable[[str, int], None] | None = None) -> Source:
    """Return the source that a user means by ``model``; nothing is listed or fetched yet.

    Args:
        model: a folder that exists, else ``org/name`` or ``org/name@revision``. A folder goes first, so that what was
            fetched by hand is never silently fetched again.
        on_bytes: told (file name, bytes) as a download proceeds; see ``mbom.source.hub.HubSource``.

    Raises:
        SourceError: when ``model`` is neither.
        UsageError: for a revision that cannot be one.
    """
    if model and Path(model).is_dir():  # the empty path would be the working directory
        return FolderSource(model)
    repo, at, revision = model.partition("@")
    is_file = Path(model).is_file()  # which may be called like a repository, and is none
    if is_file or not is_repo(repo) or (at and not revision):
        kind = "a file" if is_file else "no folder"
        raise SourceError(
            f"{model!r} is {kind} here, and not org/name or org/name@revision of the hub either; name a folder that "
            "holds a checkpoint, or a repository"
        )
    # The client reads the environment and takes a moment to import: who verifies a folder needs neither.
    from mbom.source.hub import HubSource  # noqa: PLC0415

    return HubSource(repo, revision or None, on_bytes=on_bytes)
