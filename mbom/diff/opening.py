"""What people name a model by: a bundle, a folder that holds a checkpoint, or a repository on the hub.

Which of them is meant is decided by what is there and never by trying one after the other, so that nobody is shown the
checkpoint where the bundle was meant.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Literal

from mbom import bundle
from mbom.dossier import Dossier, read_bundle, read_checkpoint
from mbom.errors import RefusedError, StorageError, UsageError
from mbom.facts.producers import Producers
from mbom.inventory import ScanProgress
from mbom.printable import printable
from mbom.source import open_source

Kind = Literal["bundle", "checkpoint", "hub"]

# Any one of them in a folder means that somebody calls it a bundle; a record by itself is none.
_OF_BUNDLES = (bundle.INVENTORY, bundle.BOM, bundle.ATTESTATION)
_BUNDLE_SUFFIXES = (".mbom", ".zip")
ENTRIES_LIMIT = 100_000  # names of a folder that are looked at


def kind(named: str) -> Kind:
    """Tell what is meant by ``named``.

    A file is a bundle that somebody packed. A folder is a bundle where it holds members of one and nothing else, and a
    checkpoint where it holds none. What is not there is a bundle where its name ends like one, else a repository.

    Raises:
        UsageError: for a folder that holds members of a bundle and other files.
        StorageError: for a folder that cannot be read.
    """
    path = Path(named)
    if path.is_file():
        return "bundle"
    if not named or not path.is_dir():
        return "bundle" if named.endswith(_BUNDLE_SUFFIXES) else "hub"
    try:
        with os.scandir(path) as entries:
            names = {entry.name for entry in islice(entries, ENTRIES_LIMIT)}
    except OSError as error:
        raise StorageError(f"{named}: {error.strerror}") from error
    members = sorted(names.intersection(_OF_BUNDLES))
    if not members:
        return "checkpoint"
    strangers = sorted(name for name in names if name not in bundle.MEMBERS and f"{name}/" != bundle.SHARD_FOLDER)
    if strangers:
        raise UsageError(
            f"{printable(named)} holds {members[0]} of a bundle and {printable(strangers[0][:80])} of something else, "
            "so that nobody can tell which is meant; keep bundle and checkpoint in folders of their own"
        )
    return "bundle"


def open_dossier(
    named: str,
    *,
    created: datetime,
    producers: Producers | None = None,
    on_scan: Callable[[ScanProgress], None] | None = None,
    on_bytes: Callable[[str, int], None] | None = None,
) -> Dossier:
    """Return what is known of the model that is named.

    Args:
        named: see ``kind``.
        created: the time that the BOM of a checkpoint states.
        producers: who stands behind accounts; None for the table of the package.
        on_scan: called while a checkpoint is hashed.
        on_bytes: called while it is fetched.

    Raises:
        MbomError: as ``kind``, ``read_bundle`` and ``read_checkpoint``.
    """
    if kind(named) == "bundle":
        return read_bundle(Path(named))
    source = open_source(named, on_bytes=on_bytes)
    return read_checkpoint(source, label=named, created=created, producers=producers, on_scan=on_scan)


def joined(described: Dossier, checkpoint: Dossier) -> Dossier:
    """Return a bundle's dossier with the files of the checkpoint that it describes.

    Raises:
        UsageError: when the first is no bundle.
        RefusedError: when the checkpoint is another one.
    """
    if described.kind != "bundle":
        raise UsageError(f"{described.label} is a checkpoint; another one goes beside a bundle only")
    if described.inventory.digest != checkpoint.inventory.digest:
        raise RefusedError(
            f"{checkpoint.label} is not the checkpoint that this bundle describes: its model digest is "
            f"{checkpoint.inventory.digest}, {described.label} has {described.inventory.digest}"
        )
    return replace(described, side=checkpoint.side, files=checkpoint.files)
