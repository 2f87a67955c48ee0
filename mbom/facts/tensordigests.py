"""Two digests of a tensor table: what the model looks like, and what it is.

Two checkpoints with one structure and other values are a model and its fine-tune; another structure with the same
parameter count is a re-quantisation.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mbom.inventory.record import TensorRecord

STRUCTURE_METHOD = "SHA-256 over RFC 8785 JSON of [[name, dtype, shape]...] of all tensors, sorted by name"
VALUES_METHOD = "SHA-256 over RFC 8785 JSON of [[name, dtype, shape, BLAKE3]...] of all tensors, sorted by name"


@dataclass(frozen=True, kw_only=True)
class TensorDigests:
    """The digest of names, dtypes and shapes, and that of the values too; None where the weights were not read."""

    structure: str
    values: str | None


def tensor_digests(tensors: Sequence[TensorRecord]) -> TensorDigests:
    """Return the digests of a tensor table, whatever its order and however it is cut into files."""
    table = sorted(tensors, key=lambda tensor: tensor.name)
    read = all(tensor.blake3 for tensor in table)
    return TensorDigests(
        structure=_digest((tensor.name, tensor.dtype, tensor.shape) for tensor in table),
        values=_digest((tensor.name, tensor.dtype, tensor.shape, tensor.blake3) for tensor in table) if read else None,
    )


def _digest(rows: Iterable[tuple[object, ...]]) -> str:
    """Return the digest of rows of texts and integers, written as RFC 8785 writes them and never held together."""
    digest = hashlib.sha256(b"[")
    encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
    for number, row in enumerate(rows):
        digest.update((b"," if number else b"") + encoder.encode(row).encode())
    digest.update(b"]")
    return digest.hexdigest()
