"""The facts of a checkpoint in a folder from its small files and the headers of its weights, in seconds.

For a look before the long read, and for checkpoints of which only headers are at hand. Everything that follows from
names, dtypes, shapes and texts is as exact as in a survey; digests of weights are missing, and nothing is vouched for.
"""

from dataclasses import dataclass

from mbom.errors import FormatError, UsageError
from mbom.facts.reading import Facts, read_facts
from mbom.inventory.findings import finding, ordered
from mbom.inventory.headers import open_header, records
from mbom.inventory.index import INDEX_FILE, closure
from mbom.inventory.reading import read
from mbom.inventory.record import FileRecord, Finding, Inventory
from mbom.inventory.roles import WEIGHTS, role
from mbom.inventory.scanning import kept
from mbom.inventory.weights import MODEL_CONFIG, select
from mbom.source import Advertised, Source
from mbom.tensorfile import Header


@dataclass(frozen=True, kw_only=True)
class Outline:
    """What a checkpoint looks like.

    ``inventory`` names the files and tensors; digests of weights are empty in it, so that it has no model digest and
    cannot be written and read again. ``findings`` are those of names, index, headers and facts.
    """

    inventory: Inventory
    facts: Facts
    findings: tuple[Finding, ...]


def outline(source: Source) -> Outline:
    """Read the facts of a checkpoint in a folder without reading its weights.

    Raises:
        UsageError: for a checkpoint on the hub, whose files would have to be fetched whole.
        RefusedError: when something that is read is no regular file.
        ChangedError: when a file changes while it is read.
        UnavailableError: when the folder or the system does not give the bytes.
    """
    if source.origin.kind != "folder":
        raise UsageError(f"{source.origin.name} is on the hub: headers alone are read from a folder only")
    listing = source.listing()
    side, files = _side(source, listing)
    selection = select(listing, side.get(INDEX_FILE), side.get(MODEL_CONFIG))
    found = list(selection.findings)
    headers: dict[str, Header] = {}
    for local in source.fetch(selection.loaded):
        try:
            headers[local.name] = open_header(local)
        except FormatError as error:
            found.append(finding("safetensors-malformed", local.name, str(error)))
    if selection.index is not None:
        found.extend(closure(selection.index, headers))
    weights = [
        FileRecord(name=file.name, size=file.size, sha256="", role=WEIGHTS)
        for file in listing
        if file.name not in files
    ]
    inventory = Inventory(
        origin=source.origin,
        files=tuple(sorted([*files.values(), *weights], key=lambda file: file.name)),
        tensors=records(headers),
    )
    facts, more = read_facts(inventory, side)
    return Outline(inventory=inventory, facts=facts, findings=ordered([*found, *more]))


def _side(source: Source, listing: tuple[Advertised, ...]) -> tuple[dict[str, bytes], dict[str, FileRecord]]:
    """Read every file that holds no weights; return the bytes of those that facts are read from, and all records."""
    side: dict[str, bytes] = {}
    files: dict[str, FileRecord] = {}
    wanted = kept(listing)
    for local in source.fetch([file.name for file in listing if role(file.name) != WEIGHTS]):
        reading = read(local, tensors=False, keep=local.name in wanted, tick=lambda _: None)
        files[local.name] = FileRecord(name=local.name, size=reading.size, sha256=reading.sha256, role=role(local.name))
        if reading.content is not None:
            side[local.name] = reading.content
    return side, files
