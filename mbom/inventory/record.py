"""The inventory document: every file and tensor of a checkpoint with its digest, and what was left out."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal, get_args

from mbom import strictjson
from mbom.digest import GIT_HEX, sha256
from mbom.errors import FormatError
from mbom.inventory.roles import ROLES, WEIGHTS
from mbom.source import Origin
from mbom.strictjson import Fields, Json
from mbom.tensorfile import DIMENSION_LIMIT, DTYPE_BITS, RANK_LIMIT, TensorInfo

SCHEMA = "urn:mbom:inventory:v1"
Severity = Literal["error", "warning", "note"]

# The limits and patterns below are those of schemas/inventory.schema.json.
DOCUMENT_LIMIT = 64 << 20  # bytes; 90,000 tensors take about 30 MB
FILES_LIMIT = 100_000
TENSORS_LIMIT = 1_000_000  # the largest checkpoints have about 100,000
FINDINGS_LIMIT = 100_000
TEXT_LIMIT = 4096  # characters of a name or a sentence
SIZE_LIMIT = (1 << 53) - 1  # beyond this, canonical JSON and many readers lose integers

# No control character, no line separator, and nothing that changes the direction of the text around it.
_PRINTABLE = "[^\\x00-\\x1f\\x7f-\\x9f\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069\\ufeff]"
_TEXT = re.compile(_PRINTABLE + "+")
_PATH = re.compile(r"(?!/)(?!.*//)(?!.*/$)(?!(.*/)?\.\.?(/|$))(?!.*\\)" + _PRINTABLE + "+")
_FINDING_ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_SEVERITIES = get_args(Severity)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something seen in a checkpoint. ``id`` is public: reports, policies and tests quote it."""

    id: str
    severity: Severity
    path: str
    detail: str

    def to_dict(self) -> dict[str, Json]:
        """Return the finding as JSON."""
        return {"id": self.id, "severity": self.severity, "path": self.path, "detail": self.detail}


@dataclass(frozen=True, kw_only=True)
class FileRecord:
    """One file of the checkpoint as it was read: name with forward slashes, size in bytes, SHA-256, role.

    ``role`` is one of ``ROLES`` in ``mbom.inventory.roles``.
    """

    name: str
    size: int
    sha256: str
    role: str


@dataclass(frozen=True, kw_only=True)
class TensorRecord:
    """One stored tensor: its file, dtype as safetensors spells it, shape, byte range in the file, BLAKE3 of the bytes.

    ``start`` and ``end`` count from the beginning of the file, so that ``end - start`` bytes at ``start`` are the data.
    """

    name: str
    file: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int
    blake3: str

    @classmethod
    def of(cls, file: str, tensor: TensorInfo, blake3: str) -> "TensorRecord":
        """Return the record of an entry in the header of ``file``, with the digest of its bytes."""
        return cls(
            name=tensor.name,
            file=file,
            dtype=tensor.dtype,
            shape=tensor.shape,
            start=tensor.start,
            end=tensor.end,
            blake3=blake3,
        )


@dataclass(frozen=True, kw_only=True)
class DeclaredFile:
    """A file of another weight set, with what the hub advertised; it was neither fetched nor verified."""

    name: str
    size: int
    sha256: str | None
    git_blob: str | None


@dataclass(frozen=True, kw_only=True)
class Inventory:
    """What a checkpoint is, bit for bit. Files, tensors and declared files are sorted by name."""

    origin: Origin
    files: tuple[FileRecord, ...]
    tensors: tuple[TensorRecord, ...]
    declared: tuple[DeclaredFile, ...] = ()
    findings: tuple[Finding, ...] = field(default=())

    @property
    def digest(self) -> str:
        """The model digest: the identity of the checkpoint."""
        return model_digest(self.files)

    @property
    def weight_files(self) -> tuple[FileRecord, ...]:
        """The files that tensors were read from: not every file with the role, but those that are safetensors."""
        holders = {tensor.file for tensor in self.tensors}
        return tuple(file for file in self.files if file.name in holders)

    def to_bytes(self) -> bytes:
        """Return ``inventory.json``: deterministic for the same checkpoint."""
        return strictjson.pretty(
            {
                "schema": SCHEMA,
                "model": model_object(self.origin, self.digest),
                "files": [{"name": f.name, "size": f.size, "sha256": f.sha256, "role": f.role} for f in self.files],
                "tensors": [
                    {
                        "name": t.name,
                        "file": t.file,
                        "dtype": t.dtype,
                        "shape": list(t.shape),
                        "offsets": [t.start, t.end],
                        "blake3": t.blake3,
                    }
                    for t in self.tensors
                ],
                "declared": [
                    {"name": d.name, "size": d.size, "sha256": d.sha256, "git_blob": d.git_blob} for d in self.declared
                ],
                "findings": [finding.to_dict() for finding in self.findings],
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes, *, what: str = "inventory.json") -> "Inventory":
        """Read ``inventory.json`` strictly.

        Raises:
            FormatError: on anything malformed, unknown, unsorted, doubled, or with a digest that does not follow.
        """
        inventory, digest = read_structure(data, what)
        check_consistency(inventory, digest, what)
        return inventory


def is_path(name: str) -> bool:
    """Tell whether ``name`` is a plain path below a folder: relative, with forward slashes, no ``..``, printable."""
    return len(name) <= TEXT_LIMIT and _PATH.fullmatch(name) is not None


def model_digest(files: Sequence[FileRecord]) -> str:
    """Return the identity of a set of files: SHA-256 over RFC 8785 JSON of ``[{name, sha256, size}…]``, by name.

    It binds names and sizes; the subject digest of OpenSSF Model Signing binds neither, so it is no identity.
    """
    listed: list[Json] = [
        {"name": file.name, "sha256": file.sha256, "size": file.size}
        for file in sorted(files, key=lambda file: file.name)
    ]
    return sha256(strictjson.canonical(listed))


def model_object(origin: Origin, digest: str) -> dict[str, Json]:
    """Return the ``model`` object of the inventory and of the attestation: where it comes from, and what it is."""
    return {
        "source": origin.kind,
        "name": origin.name,
        "repo": origin.repo,
        "revision": origin.revision,
        "digest": digest,
    }


def read_model(fields: Fields) -> tuple[Origin, str]:
    """Read what ``model_object`` writes, and nothing else.

    Raises:
        FormatError: when a member is malformed, or a folder claims a repository or a hub model has none.
    """
    name, digest = _text(fields, "name"), fields.sha256("digest")
    if _choice(fields, "source", ("folder", "hub")) == "hub":
        repo = _text(fields, "repo")
        revision = _matching(fields, "revision", GIT_HEX, "40 lower-case hex digits")
        origin = Origin(kind="hub", name=name, repo=repo, revision=revision)
    else:
        if fields.has("repo") or fields.has("revision"):
            raise FormatError(f"{fields.what}: a folder has no repository and no revision")
        origin = Origin(kind="folder", name=name)
    fields.end()
    return origin, digest


def read_structure(data: bytes, what: str) -> tuple[Inventory, str]:
    """Read what ``schemas/inventory.schema.json`` describes: an inventory, and the model digest that it states.

    Raises:
        FormatError: when a member is missing, unknown, of another type or beyond its limits.
    """
    document = Fields(strictjson.loads(data, what=what, limit=DOCUMENT_LIMIT, floats=False), what)
    document.constant("schema", SCHEMA)
    model = document.object("model")
    origin, digest = read_model(model)
    inventory = Inventory(
        origin=origin,
        files=tuple(_file(fields) for fields in _objects(document, "files", FILES_LIMIT)),
        tensors=tuple(_tensor(fields) for fields in _objects(document, "tensors", TENSORS_LIMIT)),
        declared=tuple(_declared(fields) for fields in _objects(document, "declared", FILES_LIMIT)),
        findings=tuple(_finding(fields) for fields in _objects(document, "findings", FINDINGS_LIMIT)),
    )
    document.end()
    return inventory, digest


def _objects(document: Fields, name: str, limit: int) -> list[Fields]:
    found = document.objects(name)
    if len(found) > limit:
        raise FormatError(f"{document.what}: {len(found)} {name}, the limit is {limit}")
    return found


def _matching(fields: Fields, name: str, pattern: re.Pattern[str], wanted: str) -> str:
    value = fields.text(name)
    if len(value) > TEXT_LIMIT or pattern.fullmatch(value) is None:
        raise FormatError(f"{fields.what}: {name!r} is {value[:80]!r}, not {wanted}")
    return value


def _text(fields: Fields, name: str) -> str:
    return _matching(fields, name, _TEXT, f"1 to {TEXT_LIMIT} printable characters")


def _path(fields: Fields, name: str = "name") -> str:
    return _matching(fields, name, _PATH, "a plain path inside the checkpoint")


def _choice(fields: Fields, name: str, choices: Sequence[str]) -> str:
    value = fields.text(name)
    if value not in choices:
        raise FormatError(f"{fields.what}: {name!r} is {value[:80]!r}, not one of {', '.join(choices)}")
    return value


def _size(fields: Fields) -> int:
    value = fields.integer("size")
    if value > SIZE_LIMIT:
        raise FormatError(f"{fields.what}: 'size' is {value}, the limit is {SIZE_LIMIT}")
    return value


def _file(fields: Fields) -> FileRecord:
    record = FileRecord(
        name=_path(fields), size=_size(fields), sha256=fields.sha256(), role=_choice(fields, "role", ROLES)
    )
    fields.end()
    return record


def _tensor(fields: Fields) -> TensorRecord:
    shape, offsets = fields.integers("shape"), fields.integers("offsets")
    if len(shape) > RANK_LIMIT or max(shape, default=0) > DIMENSION_LIMIT:
        raise FormatError(f"{fields.what}: 'shape' is not at most {RANK_LIMIT} integers of 0 to 2**48")
    if len(offsets) != 2 or max(offsets) > SIZE_LIMIT:
        raise FormatError(f"{fields.what}: 'offsets' is not a beginning and an end in bytes")
    record = TensorRecord(
        name=_text(fields, "name"),
        file=_path(fields, "file"),
        dtype=_choice(fields, "dtype", tuple(DTYPE_BITS)),
        shape=shape,
        start=offsets[0],
        end=offsets[1],
        blake3=fields.sha256("blake3"),
    )
    fields.end()
    return record


def _declared(fields: Fields) -> DeclaredFile:
    record = DeclaredFile(
        name=_path(fields),
        size=_size(fields),
        sha256=fields.sha256() if fields.has("sha256") else None,
        git_blob=fields.git_id("git_blob") if fields.has("git_blob") else None,
    )
    fields.end()
    return record


def _finding(fields: Fields) -> Finding:
    severity = _choice(fields, "severity", _SEVERITIES)
    record = Finding(
        id=_matching(fields, "id", _FINDING_ID, "lower-case words joined by hyphens"),
        severity="error" if severity == "error" else "warning" if severity == "warning" else "note",
        path=_text(fields, "path"),
        detail=_text(fields, "detail"),
    )
    fields.end()
    return record


def check_consistency(inventory: Inventory, digest: str, what: str) -> None:
    """Check what a schema cannot say: order, uniqueness, references, sizes, and that the model digest follows.

    Raises:
        FormatError: naming the first contradiction.
    """
    names = [file.name for file in inventory.files]
    declared = [file.name for file in inventory.declared]
    _check_ascending(names, f"{what}: files")
    _check_ascending(declared, f"{what}: declared")
    _check_ascending([tensor.name for tensor in inventory.tensors], f"{what}: tensors")
    if both := set(names).intersection(declared):
        raise FormatError(f"{what}: {min(both)} is a file that was read and a declared one")
    keys = [(finding.path, finding.id, finding.detail) for finding in inventory.findings]
    if keys != sorted(keys):
        raise FormatError(f"{what}: the findings are not sorted by path, id and detail")
    _check_extents(inventory, what)
    if inventory.digest != digest:
        raise FormatError(f"{what}: states the model digest {digest}, its files give {inventory.digest}")


def _check_ascending(names: Sequence[str], what: str) -> None:
    for before, after in pairwise(names):
        if before >= after:
            raise FormatError(f"{what}: {after!r} {'occurs twice' if before == after else 'is not in order'}")


def _check_extents(inventory: Inventory, what: str) -> None:
    """Check each tensor against its own shape, its file, and its neighbours there."""
    sizes = {file.name: file.size for file in inventory.files if file.role == WEIGHTS}
    ends: dict[str, int] = {}
    for tensor in sorted(inventory.tensors, key=lambda tensor: (tensor.file, tensor.start, tensor.end)):
        if tensor.file not in sizes:
            raise FormatError(f"{what}: {tensor.name} lies in {tensor.file}, which is not a weights file listed here")
        if math.prod(tensor.shape) * DTYPE_BITS[tensor.dtype] != (tensor.end - tensor.start) * 8:
            raise FormatError(f"{what}: {tensor.name}: its offsets do not fit its dtype and shape")
        if not ends.get(tensor.file, 0) <= tensor.start <= tensor.end <= sizes[tensor.file]:
            raise FormatError(f"{what}: {tensor.name} overlaps another tensor or the end of {tensor.file}")
        ends[tensor.file] = tensor.end
