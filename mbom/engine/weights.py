"""Weights as numbers, whatever their encoding on disk.

A ``Weight`` carries the name that the checkpoint would use without quantisation, so that transformers' conversion of
names and its merging of experts apply to it unchanged. ``mbom.engine.encodings`` finds the weights of a checkpoint.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch

from mbom.engine.checkpoint import Checkpoint
from mbom.errors import EngineError, FormatError
from mbom.inventory.record import TensorRecord

ATTEMPTS = 64  # neighbours that are tried in place of an element that is zero
FLOAT32_TINY = 2.0**-126

PLAIN_TYPES = frozenset({"F64", "F32", "F16", "BF16"})
INDEX_TYPES = frozenset({"I64", "I32"})


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
        encoding: what people call it, such as ``mxfp4``; empty where the values themselves are stored.
    """

    name: str
    shape: tuple[int, ...]
    stored: tuple[str, ...]
    constants: tuple[str, ...] = ()
    sliced: bool = True
    decode: Callable[..., torch.Tensor]
    encoding: str = ""

    @property
    def tensors(self) -> tuple[str, ...]:
        """All tensors on disk that belong to the weight."""
        return (*self.stored, *self.constants)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """An element to move by one unit in its last place: of the first tensor that stores a weight, in C order."""

    weight: str
    stored: str
    element: int


@dataclass(frozen=True, kw_only=True)
class Moved:
    """A trial: the element that was moved, and the difference that it makes to the values of the slices read with it.

    A neighbour of the trial's element takes the place of one that is zero, whose last place is far below all others.
    """

    trial: Trial
    element: int
    difference: torch.Tensor


class WeightPass:
    """One pass over a weight, by slices of its first dimension, in order."""

    def __init__(
        self, weight: Weight, checkpoint: Checkpoint, device: torch.device, *, trials: Sequence[Trial] = ()
    ) -> None:
        self._weight = weight
        self._parts = [checkpoint.stored(name) for name in weight.stored]
        self._constants = [checkpoint.stored(name).read().to(device) for name in weight.constants]
        self._device = device
        self._trials = trials
        self._moved: list[Moved] = []

    @property
    def position(self) -> int:
        """The number of slices read so far."""
        return self._parts[0].position

    @property
    def left(self) -> int:
        """The number of slices that have not been read."""
        return self._parts[0].slices - self.position

    def read(self, count: int | None = None) -> torch.Tensor:
        """Return the next ``count`` slices (all that are left by default) in float64 on the device.

        A weight that is not ``sliced`` is read whole.
        """
        assert count is None or self._weight.sliced, f"{self._weight.name}: cannot be decoded by slices"
        first = self.position
        parts = [part.read(count).to(self._device) for part in self._parts]
        values = self._weight.decode(*parts, *self._constants)
        for trial in self._trials:
            each = parts[0].numel() // max(1, self.position - first)  # elements of a slice
            if first * each <= trial.element < self.position * each:
                self._move(trial, [*parts, *self._constants], values, first * each)
        return values

    def finish(self) -> None:
        """Read what is left for its digests alone."""
        for part in self._parts:
            part.finish()

    def take_moved(self) -> list[Moved]:
        """Return what the trials among the slices read since the last call would have changed."""
        moved, self._moved = self._moved, []
        return moved

    def _move(self, trial: Trial, parts: Sequence[torch.Tensor], values: torch.Tensor, start: int) -> None:
        """Try a trial on the parts that begin at element ``start``."""
        total = parts[0].numel()
        for attempt in range(min(ATTEMPTS, total)):
            index = (trial.element - start + attempt) % total
            moved = _moved(self._weight, parts, index)
            if moved is None:
                continue
            difference = moved.to(torch.float64) - values
            # A zero moves to the least number of its type, which nothing could see beside the others.
            if float(difference.abs().max()) > FLOAT32_TINY * float(values.abs().max()):
                self._moved.append(Moved(trial=trial, element=start + index, difference=difference))
                return


def _moved(weight: Weight, parts: Sequence[torch.Tensor], index: int) -> torch.Tensor | None:
    """Decode with the last bit of an element turned; where that stands for no number, with its other neighbour."""
    for mask in (1, 3):
        first = parts[0].clone()
        first.view(_INTEGERS[first.element_size()]).view(-1)[index] ^= mask
        try:
            return weight.decode(first, *parts[1:])
        except FormatError:
            continue
    return None


_INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


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


def lookup(weight: Weight, records: Mapping[str, TensorRecord], *, below: int) -> Weight:
    """Return a weight as a table of indices, which are integers, from zero to ``below``.

    Raises:
        EngineError: when it holds something else than integers.
    """
    record = records[weight.stored[0]]
    if len(weight.tensors) != 1 or record.dtype not in INDEX_TYPES:
        allowed = ", ".join(sorted(INDEX_TYPES))
        raise EngineError(f"{record.name}: a table of experts holds {record.dtype}; {allowed} are allowed")
    return replace(weight, decode=partial(_indices, below=below, what=record.name))


def _indices(values: torch.Tensor, *, below: int, what: str) -> torch.Tensor:
    if values.numel() and not 0 <= int(values.min()) <= int(values.max()) < below:
        raise FormatError(f"{what}: names experts from {values.min()} to {values.max()}, there are {below}")
    return values.to(torch.int64)


def _to_float64(values: torch.Tensor) -> torch.Tensor:
    return values.to(torch.float64)
