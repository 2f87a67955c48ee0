"""The forward pass of a stock model that holds one layer's dense weights and one expert at a time.

Hooks read a layer's weights just before it runs, and drop those of its attention, its mixture of experts and so on as
soon as each of them has run. The eager forward of a mixture of experts asks
its fused parameter for one expert after another, in ascending order; an object that reads from disk answers. Every
weight is sketched as it passes, also those that nothing is computed with.
"""

import inspect
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import nn

from mbom.behaviour.sketches import Sketched
from mbom.engine.ahead import Ahead, Item
from mbom.engine.checkpoint import Checkpoint
from mbom.engine.conversion import Conversion
from mbom.engine.float64 import Float64
from mbom.engine.plan import Plan, Source
from mbom.engine.sketch import Sketches
from mbom.engine.stock import Stock, experts_of, place_of
from mbom.engine.weights import Moved, Trial, Weight, WeightPass
from mbom.errors import FormatError

# Of a matrix that is read by rows: the rows in float64 held at once. At 2,048 positions a block of 2,048 tokens makes
# 32 MiB of logits. Of other matrices, the values held at once.
HEAD_ROWS = 2048
BLOCK_VALUES = 8 << 20


class Experts:
    """Stands in for a fused expert parameter (experts, ., .): indexing reads, decodes and merges one expert.

    Experts that nobody asks for are read as well, because sketches of their weights are part of the record.
    """

    def __init__(
        self, parameter: str, sources: Source | tuple[tuple[Source, ...], ...], streamed: "StreamedModel"
    ) -> None:
        self._parameter = parameter
        self._streamed = streamed
        self._shape = tuple(streamed.conversion.parameters[parameter].shape[1:])
        self._count = streamed.conversion.parameters[parameter].shape[0]
        self._next = 0
        self._sketched = streamed.described(parameter)
        streamed.sketches.begin(self._sketched)
        if isinstance(sources, Source):
            # A tensor that stacks all experts is one pass through the whole layer.
            read = partial(_slice, streamed.begin(sources.weight))
        else:
            read = partial(self._merged, iter(sources))
        self.ahead = streamed.ahead(read, self._count)
        self.after: Ahead[Any] = self.ahead  # what a layer computes with next: the same expert of another parameter

    def __getitem__(self, index: torch.Tensor) -> torch.Tensor:
        """Return the matrix of one expert; indices may only rise, because a digest is computed in order."""
        expert = int(index)
        assert self._next <= expert < self._count, f"{self._parameter}: expert {expert} asked for after {self._next}"
        with self._streamed.mode.paused():
            while self._next < expert:
                self._read()
            return self._read()

    @property
    def position(self) -> int:
        """The number of experts read so far."""
        return self._next

    def finish(self) -> int:
        """Read what nobody asked for and return the number of experts."""
        while self._next < self._count:
            self._read()
        return self._count

    def _read(self) -> torch.Tensor:
        """Return the matrix of the next expert."""
        expert, self._next = self._next, self._next + 1
        values, moved = self.ahead.take()
        self.after.begin()
        if tuple(values.shape) != self._shape:
            raise FormatError(f"{self._parameter}: expert {expert} is {list(values.shape)}, not {list(self._shape)}")
        self._streamed.sketches.tried(self._sketched, expert, moved)
        self._streamed.sketches.slice(self._sketched, expert, values)
        self._streamed.on_read()
        return values

    def _merged(self, experts: Iterator[tuple[Source, ...]]) -> tuple[torch.Tensor, list[Moved]]:
        """Return the matrix that tensors of the next expert make up, and what the trials among them change in it."""
        parts, trials = [], []
        for source in next(experts):
            passing = self._streamed.begin(source.weight)
            parts.append((source.weight.name, str(source.pattern), passing.read()))
            trials += [(len(parts) - 1, each) for each in passing.take_moved()]
        merged = self._streamed.conversion.merged
        values = merged(self._parameter, parts)[0]
        moved = []
        for index, each in trials:
            name, pattern, part = parts[index]
            other = [*parts[:index], (name, pattern, part + each.difference), *parts[index + 1 :]]
            moved.append(replace(each, difference=merged(self._parameter, other)[0] - values))
        return values, moved


def _block(passing: WeightPass, count: int | None) -> tuple[torch.Tensor, list[Moved]]:
    """Return the next ``count`` slices, or what is left, and what the trials in them change."""
    left = passing.left
    values = passing.read(None if count is None or count >= left else count)
    return values, passing.take_moved()


def _slice(passing: WeightPass) -> tuple[torch.Tensor, list[Moved]]:
    """Return the next slice, and what the trials in it change."""
    values = passing.read(1)[0]
    return values, [replace(each, difference=each.difference[0]) for each in passing.take_moved()]


@dataclass(frozen=True, kw_only=True)
class Done:
    """What an earlier run came to: the residual stream after its first ``layers`` layers.

    Attributes:
        layers: how many layers are done, at least one.
        hidden: (prompts, positions, hidden size) float64.
        tuple_length: see ``StreamedModel``.
        experts: experts read so far.
    """

    layers: int
    hidden: torch.Tensor
    tuple_length: int | None
    experts: int


def _given(done: Done, device: torch.device) -> Callable[..., object]:
    """Return what takes the place of the forward of a layer that is done."""
    hidden = done.hidden.to(device)
    output = hidden if done.tuple_length is None else (hidden, *(None,) * (done.tuple_length - 1))
    return lambda *_args, **_kwargs: output


class StreamedModel:
    """A stock model whose weights come from a checkpoint while it runs.

    Attributes:
        mode: the float64 mode that the forward pass runs under.
        sketches: of the weights read so far.
        tuple_length: the length of the tuple that a layer returns, None where it returns a tensor.
        on_read: called when an expert, a block of rows or a tensor has been read, while the pass goes on.
    """

    def __init__(
        self,
        stock: Stock,
        conversion: Conversion,
        plan: Plan,
        checkpoint: Checkpoint,
        device: torch.device,
        *,
        sketches: Sketches,
        trials: Iterable[Trial] = (),
    ) -> None:
        self.stock = stock
        self.conversion = conversion
        self.plan = plan
        self.sketches = sketches
        self.mode = Float64()
        self.on_read: Callable[[], None] = lambda: None
        self.tuple_length: int | None = None
        self._experts_done = 0
        self._checkpoint = checkpoint
        self._device = device
        self._placeholders: dict[str, Any] = {}
        self._trials: defaultdict[str, list[Trial]] = defaultdict(list)
        for trial in trials:
            self._trials[trial.weight].append(trial)

    @property
    def experts(self) -> int:
        """The experts of all layers together."""
        counts = {name.rpartition(".")[0]: experts_of(self.stock, name) or 0 for name in self.plan.stacked}
        return sum(counts.values())

    @property
    def experts_read(self) -> int:
        """Experts of which every parameter has been read so far, over all layers."""
        paths = (parameter.rpartition(".") for parameter in self._placeholders)
        values = [getattr(self.stock.model.get_submodule(path), name) for path, _, name in paths]
        return self._experts_done + min((value.position for value in values if isinstance(value, Experts)), default=0)

    @property
    def bytes_to_read(self) -> int:
        """The bytes of every tensor, twice those of a matrix that is both embedding and output head."""
        twice = set(self.plan.embedding.stored).intersection(self.plan.head.stored)
        return sum(
            (record.end - record.start) * (2 if record.name in twice else 1)
            for record in self._checkpoint.records.values()
        )

    def begin(self, weight: Weight) -> WeightPass:
        """Begin a pass over a weight."""
        return WeightPass(weight, self._checkpoint, self._device, trials=self._trials.get(weight.name, ()))

    def ahead(self, read: Callable[[], Item], count: int) -> Ahead[Item]:
        """Begin to read ``count`` items one ahead of their use."""
        return Ahead(read, count, reader=self._checkpoint.reader)

    def residual(
        self, ids: torch.Tensor, on_layer: Callable[[int, torch.Tensor], None], *, done: "Done | None" = None
    ) -> torch.Tensor:
        """Run everything below the output head once.

        Args:
            ids: (prompts, positions) token ids, padded on the right: causal models ignore what comes later.
            on_layer: called with the index of each layer and the residual stream after it, shape of the result.
            done: what an earlier run came to, to go on from there.

        Returns:
            (prompts, positions, hidden size) float64, normalised as the output head expects it.
        """
        inputs = {}
        if done is None:
            inputs["inputs_embeds"] = self._embedded(self.stock.embedding, self.plan.embedding, ids)
        else:
            # No layer that runs sees it, so of several parallel streams any one will do.
            given = done.hidden if done.hidden.ndim == 3 else done.hidden[:, :, 0]
            inputs["inputs_embeds"], self._experts_done = given.to(self._device), done.experts
        if self.stock.layer_embedding is not None and self.plan.layer_embedding is not None:
            rows = self._embedded(self.stock.layer_embedding, self.plan.layer_embedding, ids)
            inputs["per_layer_inputs"] = rows.reshape(*ids.shape, len(self.stock.layers), -1)
        self._load("")
        with torch.no_grad(), self.mode, self._hooks(ids.to(self._device), on_layer, done):
            output = self.stock.base(**inputs, use_cache=False)
        self._drop("")
        result = output.last_hidden_state
        assert isinstance(result, torch.Tensor)
        return result

    def head_rows(self) -> Iterator[torch.Tensor]:
        """Yield the output matrix in float64 by blocks of rows, in order; a tied one is not sketched again."""
        tied = self.plan.head is self.plan.embedding
        return self._rows(self.plan.head, None if tied else self.stock.head)

    def read_unused(self) -> tuple[str, ...]:
        """Read and sketch what the forward pass has no place for; return the names of the stored tensors."""
        for weight in self.plan.unused:
            sketched = Sketched(name=weight.name, layer=None, shape=weight.shape, slices=1, executed=False)
            if len(weight.shape) < 2 or 0 in weight.shape or not weight.sliced:
                self.sketches.whole(sketched, self.begin(weight).read())
                self.on_read()
                continue
            sketch, passing = self.sketches.by_rows(sketched, rows=False), self.begin(weight)
            step = max(1, BLOCK_VALUES // max(1, math.prod(weight.shape[1:])))
            for block, _ in self.ahead(partial(_block, passing, step), math.ceil(weight.shape[0] / step)):
                sketch.add(block)
                self.on_read()
            sketch.finish()
        return tuple(sorted(name for weight in self.plan.unused for name in weight.tensors))

    def described(self, parameter: str) -> Sketched:
        """Return the entry of a parameter in the record's list of weights."""
        layer, slices = place_of(self.stock, parameter)
        shape = tuple(self.conversion.parameters[parameter].shape)
        return Sketched(name=parameter, layer=layer, shape=shape, slices=slices)

    def _rows(self, weight: Weight, parameter: str | None) -> Iterator[torch.Tensor]:
        """Yield a matrix in float64 by blocks of rows, and sketch it under the name of a parameter."""
        passing = self.begin(weight)
        sketch = None
        if parameter is not None:
            ends = (self.stock.embedding, self.stock.head)
            sketch = self.sketches.by_rows(self.described(parameter), rows=parameter in ends)
        for block, moved in self.ahead(partial(_block, passing, HEAD_ROWS), math.ceil(weight.shape[0] / HEAD_ROWS)):
            if sketch is not None:
                sketch.tried(moved)
                sketch.add(block)
            yield block
            self.on_read()
        if sketch is not None:
            sketch.finish()

    def _embedded(self, parameter: str, weight: Weight, ids: torch.Tensor) -> torch.Tensor:
        """Embed (prompts, positions) ids by the stock module that ``parameter`` belongs to."""
        wanted, where = torch.unique(ids, return_inverse=True)  # ascending
        if int(wanted[-1]) >= weight.shape[0]:
            raise FormatError(f"{weight.name}: a prompt has token {int(wanted[-1])}, there are {weight.shape[0]} rows")
        kept, first = [], 0
        for block in self._rows(weight, parameter):
            inside = wanted[(wanted >= first) & (wanted < first + block.shape[0])] - first
            kept.append(block[inside.to(block.device)])
            first += block.shape[0]
        module = self.stock.model.get_submodule(parameter.rpartition(".")[0])
        rows = {"weight": torch.cat(kept)}  # (distinct ids, width)
        with torch.no_grad(), self.mode:
            # Some modules scale what they look up. The scale is a float64 constant like any other, where narrower
            # runs round it to the type of the weights: Gemma's square root of 3072 to 55.5 in bfloat16.
            embedded: torch.Tensor = torch.func.functional_call(module, rows, (where.to(self._device),))
        return embedded

    @contextmanager
    def _hooks(
        self, ids: torch.Tensor, on_layer: Callable[[int, torch.Tensor], None], done: "Done | None"
    ) -> Iterator[None]:
        handles = []
        skipped = done.layers if done is not None else 0
        for index, (name, layer) in enumerate(self.stock.layers):
            if done is not None and index < skipped:
                layer.forward = _given(done, self._device)
                continue
            if "input_ids" in inspect.signature(layer.forward).parameters:
                handles.append(layer.register_forward_pre_hook(_with_ids(ids), with_kwargs=True))
            handles.append(layer.register_forward_pre_hook(self._before(name)))
            for part, module in layer.named_children():
                handles.append(module.register_forward_hook(self._over(f"{name}.{part}")))
            handles.append(layer.register_forward_hook(self._after(index, name, on_layer)))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
            for _, layer in self.stock.layers[:skipped]:
                del layer.forward

    def _before(self, name: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _args: object) -> None:
            with self.mode.paused():
                self._load(name)

        return hook

    def _over(self, part: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _args: object, _output: object) -> None:
            with self.mode.paused():
                self._drop(part)

        return hook

    def _after(self, index: int, name: str, on_layer: Callable[[int, torch.Tensor], None]) -> Callable[..., None]:
        def hook(_module: nn.Module, _args: object, output: object) -> None:
            with self.mode.paused():
                self._drop(name)
            hidden = output[0] if isinstance(output, tuple) else output
            assert isinstance(hidden, torch.Tensor)
            self.tuple_length = len(output) if isinstance(output, tuple) else None
            on_layer(index, hidden)

        return hook

    def _load(self, layer: str) -> None:
        dense = self.plan.dense.get(layer, {})
        passes = (self.begin(weight) for weight in dense.values())
        read = self.ahead(lambda: _block(next(passes), None), len(dense))
        for parameter, (values, moved) in zip(dense, read, strict=True):
            if parameter not in self.sketches.weights:  # what lies outside the layers is read again by a resumed run
                sketched = self.described(parameter)
                self.sketches.tried(sketched, 0, moved)
                self.sketches.whole(sketched, values)
            self._put(parameter, values)
            self.on_read()
        stacked = {name: each for name, each in self.plan.stacked.items() if name.startswith(f"{layer}.")}
        experts = [Experts(parameter, sources, self) for parameter, sources in stacked.items()]
        for parameter, first, second in zip(stacked, experts, [*experts[1:], *experts[:1]], strict=True):
            first.after = second.ahead
            self._put(parameter, first)
        if experts:
            experts[0].ahead.begin()

    def _put(self, parameter: str, value: torch.Tensor | Experts) -> None:
        path, _, name = parameter.rpartition(".")
        module = self.stock.model.get_submodule(path)
        self._placeholders[parameter] = getattr(module, name)
        if isinstance(value, Experts):
            delattr(module, name)  # a module insists that what is registered as a parameter stays one
        elif isinstance(self._placeholders[parameter], nn.Parameter):
            value = nn.Parameter(value, requires_grad=False)
        setattr(module, name, value)

    def _drop(self, layer: str) -> None:
        experts = 0
        for parameter in [p for p in self._placeholders if not layer or p.startswith(f"{layer}.")]:
            path, _, name = parameter.rpartition(".")
            module = self.stock.model.get_submodule(path)
            value = getattr(module, name)
            if isinstance(value, Experts):
                experts = value.finish()
                delattr(module, name)
            setattr(module, name, self._placeholders.pop(parameter))
        self._experts_done += experts


def _with_ids(ids: torch.Tensor) -> Callable[..., Any]:
    """Return a hook that gives a layer the token ids, by which some look up experts; the model has embeddings only."""

    def hook(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return args, {**kwargs, "input_ids": ids}

    return hook
