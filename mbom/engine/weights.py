"""Weights as numbers, whatever their encoding on disk.

A ``Weight`` carries the name that the checkpoint would use without quantisation, so that transformers' conversion of
names and its merging of experts apply to it unchanged. ``mbom.engine.encodings`` finds the weights of a checkpoint.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from mbom.engine.checkpoint import Checkpoint
from mbom.errors import EngineError
from mbom.inventory.record import TensorRecord

PLAIN_TYPES = frozenset({"F64", "F32", "F16", "BF16"})


@dataclass(frozen=True, kw_only=True)
class Weight:
    """A tensor of values and where they are stored.

    Attributes:
        name: the name without the suffixes of quantisation.
        shape: the shape of the values.
        stored: the tensors on disk that make up the values; they are read by slices of their first dimension.
        constants: the tensors on disk that every slice needs whole, such as one scale for all.
        sliced: whether ``decode`` takes slices; otherwise it takes everything at once.
        decode: maps the tensors of ``stored``, or the same slices of them, and then those of ``constants`` to the
            values in float64.
    """

    name: str
    shape: tuple[int, ...]
    stored: tuple[str, ...]
    constants: tuple[str, ...] = ()
    sliced: bool = True
    decode: Callable[..., torch.Tensor]

    @property
    def tensors(self) -> tuple[str, ...]:
        """All tensors on disk that belong to the weight."""
        return (*self.stored, *self.constants)


class WeightPass:
    """One pass over a weight, by slices of its first dimension, in order."""

    def __init__(self, weight: Weight, checkpoint: Checkpoint, device: torch.device) -> None:
        self._weight = weight
        self._parts = [checkpoint.stored(name) for name in weight.stored]
        self._constants = [checkpoint.stored(name).read().to(device) for name in weight.constants]
        self._device = device

    @property
    def position(self) -> int:
        """The number of slices read so far."""
        return self._parts[0].position

    @property
    def slice_bytes(self) -> int:
        """The bytes on disk of one slice."""
        sizes = (part.record.end - part.record.start for part in self._parts)
        return sum(sizes) // max(1, self._parts[0].slices)

    def read(self, count: int | None = None, *, only: torch.Tensor | None = None) -> torch.Tensor:
        """Return the next ``count`` slices (all that are left by default) in float64 on the device.

        Args:
            count: how many slices to read; a weight that is not ``sliced`` is read whole.
            only: the indices among them of those to decode and return; None for all.
        """
        assert count is None or self._weight.sliced, f"{self._weight.name}: cannot be decoded by slices"
        parts = [part.read(count) for part in self._parts]
        if only is not None:
            parts = [part[only] for part in parts]
        return self._weight.decode(*(part.to(self._device) for part in parts), *self._constants)

    def skip(self, count: int | None = None) -> None:
        """Read and hash the next ``count`` slices (all that are left by default) without decoding them."""
        for part in self._parts:
            part.skip(count)


def plain(record: TensorRecord) -> Weight:
    """Return the weight of a tensor that is stored as the values themselves."""
    return Weight(name=record.name, shape=record.shape, stored=(record.name,), decode=_to_float64)


def check_plain(weight: Weight, records: Mapping[str, TensorRecord]) -> None:
    """Refuse to compute with a tensor of integers or of scaled values whose scale is unknown.

    Raises:
        EngineError: naming the tensor and its type.
    """
    record = records[weight.stored[0]]
    if len(weight.tensors) == 1 and record.dtype not in PLAIN_TYPES:
        allowed = ", ".join(sorted(PLAIN_TYPES))
        raise EngineError(f"{record.name}: holds {record.dtype} without a known scale; plain weights are {allowed}")


def _to_float64(values: torch.Tensor) -> torch.Tensor:
    return values.to(torch.float64)
