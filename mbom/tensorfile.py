"""A strict reader of safetensors headers (safetensors format, https://github.com/huggingface/safetensors).

It lies below the inventory because the behaviour record is a safetensors file too.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class TensorInfo:
    """One entry of a header; ``start`` and ``end`` are byte offsets in the file, not in the data section."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True, kw_only=True)
class Header:
    """A header that was read strictly: tensors in file order, and the free-form metadata strings."""

    tensors: tuple[TensorInfo, ...]
    metadata: dict[str, str]
    data_start: int
