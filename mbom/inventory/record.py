"""The inventory document: every file and tensor of a checkpoint with its digest, and what was left out."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from mbom import strictjson
from mbom.digest import sha256
from mbom.source import Origin
from mbom.strictjson import Fields, Json

SCHEMA = "urn:mbom:inventory:v1"
Severity = Literal["error", "warning", "note"]


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
        """The files that hold tensors."""
        return tuple(file for file in self.files if file.role == "weights")

    def to_bytes(self) -> bytes:
        """Return ``inventory.json``: deterministic for the same checkpoint."""
        return strictjson.pretty(
            {
                "schema": SCHEMA,
                "model": {
                    "source": self.origin.kind,
                    "name": self.origin.name,
                    "repo": self.origin.repo,
                    "revision": self.origin.revision,
                    "digest": self.digest,
                },
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
        raise NotImplementedError


def model_digest(files: Sequence[FileRecord]) -> str:
    """Return the identity of a set of files: SHA-256 over RFC 8785 JSON of ``[{name, sha256, size}…]``, by name.

    It binds names and sizes; the subject digest of OpenSSF Model Signing binds neither, so it is no identity.
    """
    listed: list[Json] = [
        {"name": file.name, "sha256": file.sha256, "size": file.size}
        for file in sorted(files, key=lambda file: file.name)
    ]
    return sha256(strictjson.canonical(listed))
