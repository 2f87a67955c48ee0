"""The weights of a checkpoint as numbers, one at a time, for comparisons (``mbom.behaviour.values``).

Names, merging of experts and decoding are those of the behaviour pass, so that a weight is here what it is in a record.
Where the pass would refuse the checkpoint, or knows no stock class for it, weights have the names of the checkpoint;
where the encoding is not known either, what is packed has a digest and no values.

Every byte passes through BLAKE3 on its way. A tensor that is read by slices is bound to the inventory's digest when its
last slice has been read, and slices that are read again, to the digests that they had in that pass. Leaving the context
finishes what was begun: what was read holds when the context has been left without an error.

The stock class is built from ``config.json`` as in the pass: no code of the repository takes part, layers are bounded
by the number of tensors, and parameters take no memory. Constants do (rotary frequencies as long as a head is wide, for
one), and their length is the configuration's word. So this belongs where the pass runs: in a child process with limits
on memory and time, without a network. ``mbom.diff.values.process`` starts one.
"""

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

import torch
from blake3 import blake3

from mbom.behaviour.sketches import layer, role
from mbom.behaviour.values import Floats, Values, Weight
from mbom.digest import sha256
from mbom.engine import stock, weights
from mbom.engine.checkpoint import DTYPES, Checkpoint, StoredTensor
from mbom.engine.conversion import Conversion
from mbom.engine.encodings import description
from mbom.engine.encodings import weights as encoded
from mbom.engine.plan import Plan, Source, plan
from mbom.engine.sidefiles import configuration
from mbom.engine.stock import Stock, place_of
from mbom.engine.weights import PLAIN_TYPES, WeightPass, plain
from mbom.errors import EngineError, FormatError, RefusedError
from mbom.inventory.record import Inventory, TensorRecord
from mbom.strictjson import Json

CPU = torch.device("cpu")
STACKED = 3  # dimensions of a tensor that holds a matrix for each expert

# What people call the types of safetensors headers.
NAMES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "F8_E4M3": "float8_e4m3",
    "F8_E5M2": "float8_e5m2", "I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8", "U8": "uint8",
    "BOOL": "bool",
}  # fmt: skip


class CheckpointValues:
    """The weights of a checkpoint; use it as a context manager.

    Attributes:
        notes: what could not be read as numbers or under the names of a stock class, and why.
    """

    def __init__(self, view: "View", base: "StoredView", stack: ExitStack, notes: tuple[str, ...]) -> None:
        self._view = view
        self._base = base
        self._stack = stack
        self.notes = notes

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the files; where nothing went wrong, finish first what was begun, to bind it to its digests."""
        with self._stack:
            if kind is None:
                self._base.finish()

    def weights(self) -> Mapping[str, Weight]:
        """Return every weight by name."""
        return self._view.weights()

    def read(self, name: str, part: int | None = None) -> Floats:
        """Return the values of a weight, or of one of its slices."""
        return self._view.read(name, part)

    def blocks(self, name: str, limit: int) -> Iterator[Floats]:
        """Yield the values of a weight by rows of its first dimension, see ``mbom.behaviour.values.InBlocks``."""
        return self._view.blocks(name, limit)

    def stored(self) -> Values:
        """Return the same weights under the names of the checkpoint."""
        return self._base


def open_values(files: Mapping[str, Path], inventory: Inventory) -> CheckpointValues:
    """Open the weights of a checkpoint for reading.

    Args:
        files: where each file of the checkpoint lies on this machine, by name.
        inventory: the digests that the bytes must have as they are read.

    Raises:
        RefusedError: when a configuration is not what was inventoried.
        EngineError: when a file that holds tensors is not at hand.
    """
    notes = []
    quantization: Json = None
    try:
        config = configuration(files, inventory)
        quantization = description(config, files, inventory)
    except (EngineError, FormatError) as error:
        config = {}
        notes.append(f"the configuration was not used: {error}")
    stack = ExitStack()
    checkpoint = stack.enter_context(Checkpoint(files, inventory.tensors))
    try:
        try:
            found = encoded(checkpoint.records, quantization)
        except (EngineError, RefusedError) as error:
            notes.append(f"what is packed was compared as bytes: {error}")
            everything = {record.name: plain(record) for record in inventory.tensors}
            base = StoredView(everything, checkpoint, quantization=None, known=PLAIN_TYPES)
            return CheckpointValues(base, base, stack, tuple(notes))
        base = StoredView(found, checkpoint, quantization=quantization, known=frozenset(DTYPES))
        try:
            built = stock.build(config, tensors=len(inventory.tensors), device=CPU)
            conversion = Conversion(built)
            planned = plan(built, conversion, found, checkpoint.records)
        except (EngineError, RefusedError) as error:
            notes.append(f"weights have the names of the checkpoint, not those of a stock class: {error}")
            return CheckpointValues(base, base, stack, tuple(notes))
    except BaseException:
        stack.close()
        raise
    return CheckpointValues(StockView(built, conversion, planned, base, config), base, stack, tuple(notes))


class View(ABC):
    """Weights under one set of names."""

    def __init__(self) -> None:
        self._weights: dict[str, Weight] = {}

    def weights(self) -> Mapping[str, Weight]:
        """Return every weight by name."""
        return self._weights

    def read(self, name: str, part: int | None = None) -> Floats:
        """Return the values of a weight, or of one of its slices."""
        weight = self._weights[name]
        if not weight.readable:
            raise EngineError(f"{name}: what its bytes stand for is not known")
        if part is not None and not 0 <= part < weight.slices:
            raise EngineError(f"{name}: there is no slice {part} of {weight.slices}")
        return _floats(self._values(name, part))

    @abstractmethod
    def blocks(self, name: str, limit: int) -> Iterator[Floats]:
        """Yield the values of a weight by rows of its first dimension."""

    @abstractmethod
    def _values(self, name: str, part: int | None) -> torch.Tensor: ...


class StoredView(View):
    """The weights under the checkpoint's names."""

    def __init__(
        self,
        found: Mapping[str, weights.Weight],
        checkpoint: Checkpoint,
        *,
        quantization: Json,
        known: frozenset[str],
    ) -> None:
        super().__init__()
        self.checkpoint = checkpoint
        self._found = dict(found)
        self._quantization = quantization
        self._slices: dict[str, _Slices] = {}
        self._passes: list[WeightPass] = []
        for name, weight in found.items():
            records = [checkpoint.records[each] for each in weight.tensors]
            stacks = weight.sliced and len(weight.shape) == STACKED and 0 not in weight.shape
            self._weights[name] = Weight(
                name=name,
                layer=layer(name),
                role=role(name),
                shape=weight.shape,
                slices=weight.shape[0] if stacks else 1,
                dtype=self.kind((weight,)),
                digest=self.digest((weight,)),
                readable=all(record.dtype in known for record in records),
            )

    def kind(self, parts: tuple[weights.Weight, ...]) -> str:
        """Return what people call the encoding of what makes up a weight."""
        names = []
        for part in parts:
            dtype = self.checkpoint.records[part.stored[0]].dtype
            names.append(part.encoding or NAMES.get(dtype, dtype.lower()))
        return "+".join(dict.fromkeys(names))

    def digest(self, parts: tuple[weights.Weight, ...], *context: Json) -> str:
        """Return a digest of all that the values of the parts depend on, and of ``context``."""
        listed: list[Json] = []
        for part in parts:
            stored: list[Json] = []
            for name in part.tensors:
                record = self.checkpoint.records[name]
                stored.append([record.dtype, list(record.shape), record.blake3])
            listed.append([part.encoding, list(part.shape), self._quantization if part.encoding else None, stored])
        return sha256(json.dumps([listed, list(context)], sort_keys=True).encode())

    def holds(self, weight: weights.Weight) -> bool:
        """Return whether a weight is one of the checkpoint's own, and not made of several."""
        return self._found.get(weight.name) is weight

    def finish(self) -> None:
        """Read to its end what was begun.

        Raises:
            RefusedError: when a tensor is not what the inventory says.
        """
        for passing in self._passes:
            passing.finish()
        for slices in self._slices.values():
            slices.finish()

    def whole(self, weight: weights.Weight) -> torch.Tensor:
        """Return all values of a weight in float64."""
        return WeightPass(weight, self.checkpoint, CPU).read().to(torch.float64)

    def slice(self, weight: weights.Weight, index: int) -> torch.Tensor:
        """Return one slice of a weight that is ``sliced``."""
        parts = [self._sliced(name).read(index) for name in weight.stored]
        constants = [self.checkpoint.stored(name).read() for name in weight.constants]
        return weight.decode(*parts, *constants)[0]

    def by_rows(self, weight: weights.Weight, limit: int) -> Iterator[Floats]:
        """Yield the values of a weight by rows of its first dimension."""
        elements = math.prod(weight.shape)
        if not weight.sliced or elements <= limit or len(weight.shape) < 2:
            yield _floats(self.whole(weight))
            return
        passing = WeightPass(weight, self.checkpoint, CPU)
        self._passes.append(passing)
        step = max(1, limit * weight.shape[0] // elements)
        while passing.left:
            yield _floats(passing.read(min(step, passing.left)).to(torch.float64))
        self._passes.remove(passing)

    def blocks(self, name: str, limit: int) -> Iterator[Floats]:
        """Yield the values of a weight by rows of its first dimension."""
        return self.by_rows(self._found[name], limit)

    def _values(self, name: str, part: int | None) -> torch.Tensor:
        weight = self._found[name]
        return self.whole(weight) if part is None else self.slice(weight, part)

    def _sliced(self, name: str) -> "_Slices":
        if name not in self._slices:
            self._slices[name] = _Slices(self.checkpoint.records[name], self.checkpoint)
        return self._slices[name]


class StockView(View):
    """The weights under the names of the stock class, as a record has them."""

    def __init__(
        self, built: Stock, conversion: Conversion, planned: Plan, base: StoredView, config: Mapping[str, Json]
    ) -> None:
        super().__init__()
        self._stock = built
        self._conversion = conversion
        self._base = base
        self._config = dict(config)
        self._dense: dict[str, weights.Weight] = {}
        self._stacked: dict[str, Source | tuple[tuple[Source, ...], ...]] = dict(planned.stacked)
        self._dense[built.embedding] = planned.embedding
        if planned.head is not planned.embedding:
            self._dense[built.head] = planned.head
        if built.layer_embedding is not None and planned.layer_embedding is not None:
            self._dense[built.layer_embedding] = planned.layer_embedding
        for found in planned.dense.values():
            self._dense |= found
        for name, weight in self._dense.items():
            self._add(name, (weight,), ())
        for name, sources in self._stacked.items():
            each = (sources,) if isinstance(sources, Source) else tuple(part for expert in sources for part in expert)
            self._add(name, tuple(source.weight for source in each), tuple(source.pattern for source in each))
        for weight in planned.unused:
            self._weights[weight.name] = replace(base.weights()[weight.name], layer=None, slices=1)
            self._dense[weight.name] = weight

    def _add(self, name: str, parts: tuple[weights.Weight, ...], patterns: tuple[str | None, ...]) -> None:
        place, slices = place_of(self._stock, name)
        # Where tensors are merged, how may depend on the configuration (heads whose rows change places).
        merges = any(patterns) or not all(self._base.holds(part) for part in parts)
        context: tuple[Json, ...] = (list(patterns), self._config) if merges else ()
        self._weights[name] = Weight(
            name=name,
            layer=place,
            role=role(name),
            shape=tuple(self._conversion.parameters[name].shape),
            slices=slices,
            dtype=self._base.kind(parts),
            digest=self._base.digest(parts, *context),
        )

    def blocks(self, name: str, limit: int) -> Iterator[Floats]:
        """Yield the values of a weight by rows of its first dimension."""
        if name in self._dense:
            yield from self._base.by_rows(self._dense[name], limit)
            return
        for part in range(self._weights[name].slices):
            yield self.read(name, part)[None]

    def _values(self, name: str, part: int | None) -> torch.Tensor:
        if name in self._dense:
            values = self._base.whole(self._dense[name])
            return values if part is None else values[part]
        if part is None:
            return torch.stack([self._expert(name, index) for index in range(self._weights[name].slices)])
        return self._expert(name, part)

    def _expert(self, name: str, index: int) -> torch.Tensor:
        sources = self._stacked[name]
        if isinstance(sources, Source):
            values = self._base.slice(sources.weight, index)
        else:
            parts = ((s.weight.name, str(s.pattern), self._base.whole(s.weight)) for s in sources[index])
            values = self._conversion.merged(name, parts)[0]
        expected = self._weights[name].shape[1:]
        if tuple(values.shape) != expected:
            raise FormatError(f"{name}: expert {index} is {list(values.shape)}, not {list(expected)}")
        return values


class _Slices:
    """The slices of one stored tensor in any order: a first pass binds them to the tensor's digest, see the module."""

    def __init__(self, record: TensorRecord, checkpoint: Checkpoint) -> None:
        self._record = record
        self._checkpoint = checkpoint
        self._pass = StoredTensor(record, checkpoint)
        self._digests: list[bytes] = []

    def read(self, index: int) -> torch.Tensor:
        """Return a slice in the stored type, (1, ...)."""
        while len(self._digests) < index:
            self._next()
        if index == len(self._digests):
            return self._next()
        return self._again(index)

    def finish(self) -> None:
        """Read what nobody asked for."""
        self._pass.finish()

    def _next(self) -> torch.Tensor:
        values = self._pass.read(1)
        self._digests.append(blake3(values.view(torch.uint8).numpy().data).digest())
        return values

    def _again(self, index: int) -> torch.Tensor:
        size = (self._record.end - self._record.start) // self._pass.slices
        data = torch.empty(size, dtype=torch.uint8)
        self._checkpoint.pread(self._record, data.numpy().data, self._record.start + index * size)
        if blake3(data.numpy().data).digest() != self._digests[index]:
            raise RefusedError(f"{self._record.file}: {self._record.name} changed while it was compared")
        return data.view(DTYPES[self._record.dtype]).view(1, *self._record.shape[1:])


def _floats(values: torch.Tensor) -> Floats:
    found: Floats = values.to(torch.float64).contiguous().numpy()
    return found
