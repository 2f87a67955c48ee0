"""Finding the bundles of known models: given one by one, or as a folder that holds them."""

import os
from collections.abc import Iterable
from pathlib import Path

from mbom import bundle
from mbom.errors import StorageError, UsageError

KNOWN_LIMIT = 10_000  # bundles; each is read, at some tenths of a second for a large one


def is_bundle(path: Path) -> bool:
    """Tell whether a path claims to be a bundle, or a ``.zip`` of one; whether it is shows when it is read."""
    return path.is_file() or os.path.lexists(path / bundle.INVENTORY)


def known_bundles(given: Iterable[Path]) -> tuple[Path, ...]:
    """Return the bundles that paths mean, in order and each once.

    A folder that is no bundle stands for those in it: folders with an inventory, and files called ``.zip``.

    Raises:
        StorageError: when a path is not there, or cannot be listed.
        UsageError: for a folder that holds none, or for more than ``KNOWN_LIMIT``.
    """
    found: dict[Path, None] = {}
    for path in given:
        inside = [path] if is_bundle(path) else _inside(path)
        found.update(dict.fromkeys(inside))
        if len(found) > KNOWN_LIMIT:
            raise UsageError(f"{path}: more than {KNOWN_LIMIT:,} bundles to compare with; name fewer")
    return tuple(found)


def _inside(folder: Path) -> list[Path]:
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise StorageError(f"{folder}: {error.strerror}; name a bundle that `mbom attest` wrote") from error
    found = [path for path in entries if (path.is_dir() or path.suffix == ".zip") and is_bundle(path)]
    if not found:
        raise UsageError(f"{folder}: neither a bundle nor a folder that holds one; `mbom attest` writes them")
    return found
