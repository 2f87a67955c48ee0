"""Two digests of a tensor table: what the model looks like, and what it is.

Two checkpoints with one structure and other values are a model and its fine-tune; another structure with the same
parameter count is a re-quantisation.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from mbom.inventory.record import TensorRecord

STRUCTURE_METHOD = "SHA-256 over RFC 8785 JSON of [[name, dtype, shape]...] of all tensors, sorted by name"
VALUES_METHOD = "SHA-256 over RFC 8785 JSON of [[name, dtype, shape, BLAKE3]...] of all tensors, sorted by name"

_AT_ONCE = 4096  # rows written together: half a megabyte of text


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
        structure=_digest([(tensor.name, tensor.dtype, tensor.shape) for tensor in table]),
        values=_digest([(tensor.name, tensor.dtype, tensor.shape, tensor.blake3) for tensor in table])
        if read
        else None,
    )


def _digest(rows: Sequence[tuple[object, ...]]) -> str:
    """Return the digest of rows of texts and integers, which Python writes in this way as RFC 8785 does."""
    digest = hashlib.sha256(b"[")
    for start in range(0, len(rows), _AT_ONCE):
        text = json.dumps(rows[start : start + _AT_ONCE], ensure_ascii=False, separators=(",", ":"))
        digest.update((b"," if start else b"") + text[1:-1].encode())
    digest.update(b"]")
    return digest.hexdigest()
