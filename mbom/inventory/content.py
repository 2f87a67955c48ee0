"""Findings from what one file holds, whatever its name promises."""

from collections.abc import Iterator
from pathlib import PurePosixPath

from mbom.inventory.findings import finding
from mbom.inventory.reading import Reading
from mbom.inventory.record import Finding
from mbom.inventory.roles import CODE, CONFIG, INDEX, OTHER, TOKENIZER, WEIGHTS, role
from mbom.inventory.weights import is_pickle_name

POINTER_LIMIT = 1024  # bytes; the specification of large file storage demands less
METADATA_LIMIT = 64 << 10  # bytes; honest headers carry {"format": "pt"} and little more

_POINTER = b"version https://git-lfs.github.com/spec/"
_PAGES = (b"<!doctype html", b"<html")
_DATA_ROLES = frozenset({WEIGHTS, INDEX, CONFIG, TOKENIZER})  # a web page is never an honest one of these
_ARCHIVE = b"PK\x03\x04"
_PICKLE_PROTOCOLS = tuple(b"\x80" + bytes([protocol]) for protocol in range(2, 6))


def content_findings(reading: Reading) -> Iterator[Finding]:
    """Yield what is wrong with the content of a file, the most telling reason only."""
    name, kind = reading.name, role(reading.name)
    if reading.size < POINTER_LIMIT and reading.head.startswith(_POINTER):
        yield finding("lfs-pointer", name, "only the pointer was cloned: run `git lfs pull`, or fetch it from the hub")
    elif kind in _DATA_ROLES and reading.head.lstrip().lower().startswith(_PAGES):
        yield finding("html-page", name, "fetch the file again; a login or error page was saved under its name")
    elif reading.malformed is not None:
        yield finding("safetensors-malformed", name, reading.malformed)
    elif reading.size == 0 and kind not in (CODE, OTHER):
        yield finding("empty-file", name, "0 bytes")
    if reading.disagreement is not None:
        yield finding("safetensors-disagrees", name, reading.disagreement)
    if reading.header is not None:
        size = sum(len(key) + len(text) for key, text in reading.header.metadata.items())
        if size > METADATA_LIMIT:
            yield finding("safetensors-metadata", name, f"{size} characters of metadata, {METADATA_LIMIT} are usual")
    if _is_pickle(name, reading.head):
        yield finding("pickle-present", name, "it is called otherwise, and begins like a pickle or an archive of one")


def _is_pickle(name: str, head: bytes) -> bool:
    """Tell whether a file that is not called a pickle is one; ``.bin`` archives are what ``torch.save`` writes."""
    if is_pickle_name(name):
        return False  # reported by name, with its neighbours
    archive = head.startswith(_ARCHIVE) and PurePosixPath(name.lower()).suffix == ".bin"
    return archive or head.startswith(_PICKLE_PROTOCOLS)
