"""The forward pass of a stock model that holds one layer's dense weights and one expert at a time.

Hooks read a layer's weights just before it runs and drop them after. The eager forward of a mixture of experts asks
its fused parameter for one expert after another, in ascending order; an object that reads from disk answers.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from mbom.engine.checkpoint import Checkpoint
from mbom.engine.float64 import Float64
from mbom.engine.plan import Plan, Source
from mbom.engine.stock import Conversion, Stock, experts_of
from mbom.engine.weights import Weight, WeightPass
from mbom.errors import FormatError

# Of a matrix that is read by rows: the rows in float64 held at once, and for the embedding, of which few rows are kept,
# the bytes as they are stored. At 2,048 positions a block of 2,048 tokens makes 32 MiB of logits.
HEAD_ROWS = 2048
EMBEDDING_BYTES = 16 << 20


class Experts:
    """Stands in for a fused expert parameter (experts, ., .): indexing reads, decodes and merges one expert.

    Experts that nobody asks for are read as well, without decoding, because their bytes are part of the record.
    """

    def __init__(
        self, parameter: str, sources: Source | tuple[tuple[Source, ...], ...], streamed: "StreamedModel"
    ) -> None:
        self._parameter = parameter
        self._sources = sources
        self._streamed = streamed
        self._shape = tuple(streamed.conversion.parameters[parameter].shape[1:])
        self._count = streamed.conversion.parameters[parameter].shape[0]
        self._next = 0
        # A tensor that stacks all experts is one pass through the whole layer.
        self._stack = streamed.begin(sources.weight) if isinstance(sources, Source) else None

    def __getitem__(self, index: torch.Tensor) -> torch.Tensor:
        """Return the matrix of one expert; indices may only rise, because a digest is computed in order."""
        expert = int(index)
        assert self._next <= expert < self._count, f"{self._parameter}: expert {expert} asked for after {self._next}"
        with self._streamed.mode.paused():
            self._skip_to(expert)
            values = self._read(expert)
        self._next = expert + 1
        if tuple(values.shape) != self._shape:
            raise FormatError(f"{self._parameter}: expert {expert} is {list(values.shape)}, not {list(self._shape)}")
        return values

    def finish(self) -> int:
        """Read what nobody asked for and return the number of experts."""
        self._skip_to(self._count)
        self._next = self._count
        return self._count

    def _skip_to(self, expert: int) -> None:
        if self._stack is not None:
            self._stack.skip(expert - self._next)
        else:
            assert isinstance(self._sources, tuple)
            for sources in self._sources[self._next : expert]:
                for source in sources:
                    self._streamed.begin(source.weight).skip()

    def _read(self, expert: int) -> torch.Tensor:
        if self._stack is not None:
            return self._stack.read(1)[0]
        assert isinstance(self._sources, tuple)
        parts = [
            (source.weight.name, str(source.pattern), self._streamed.begin(source.weight).read())
            for source in self._sources[expert]
        ]
        return self._streamed.conversion.merged(self._parameter, parts)[0]


class StreamedModel:
    """A stock model whose weights come from a checkpoint while it runs.

    Attributes:
        mode: the float64 mode that the forward pass runs under.
        experts_read: experts read so far, over all layers.
    """

    def __init__(
        self, stock: Stock, conversion: Conversion, plan: Plan, checkpoint: Checkpoint, device: torch.device
    ) -> None:
        self.stock = stock
        self.conversion = conversion
        self.plan = plan
        self.mode = Float64()
        self.experts_read = 0
        self._checkpoint = checkpoint
        self._device = device
        self._placeholders: dict[str, Any] = {}

    @property
    def experts(self) -> int:
        """The experts of all layers together."""
        counts = {name.rpartition(".")[0]: experts_of(self.stock, name) or 0 for name in self.plan.stacked}
        return sum(counts.values())

    def begin(self, weight: Weight) -> WeightPass:
        """Begin a pass over a weight."""
        return WeightPass(weight, self._checkpoint, self._device)

    def residual(self, ids: torch.Tensor, on_layer: Callable[[int, torch.Tensor], None]) -> torch.Tensor:
        """Run everything below the output head once.

        Args:
            ids: (prompts, positions) token ids, padded on the right: causal models ignore what comes later.
            on_layer: called with the index of each layer and the residual stream after it, shape of the result.

        Returns:
            (prompts, positions, hidden size) float64, normalised as the output head expects it.
        """
        inputs = {"inputs_embeds": self._embedded(self.stock.embedding, self.plan.embedding, ids)}
        if self.stock.layer_embedding is not None and self.plan.layer_embedding is not None:
            rows = self._embedded(self.stock.layer_embedding, self.plan.layer_embedding, ids)
            inputs["per_layer_inputs"] = rows.reshape(*ids.shape, len(self.stock.layers), -1)
        self._load("")
        with torch.no_grad(), self.mode, self._hooks(on_layer):
            output = self.stock.base(**inputs, use_cache=False)
        self._drop("")
        result = output.last_hidden_state
        assert isinstance(result, torch.Tensor)
        return result

    def rows(self, weight: Weight) -> Iterator[torch.Tensor]:
        """Yield a plain matrix in float64 by blocks of rows, in order."""
        passing = self.begin(weight)
        while passing.position < weight.shape[0]:
            yield passing.read(min(HEAD_ROWS, weight.shape[0] - passing.position))

    def read_unused(self) -> tuple[str, ...]:
        """Read and hash the stored tensors that the forward pass has no place for, and return their names."""
        names = tuple(self._checkpoint.unread())
        for name in names:
            self._checkpoint.stored(name).skip()
        return names

    def _embedded(self, parameter: str, weight: Weight, ids: torch.Tensor) -> torch.Tensor:
        """Embed (prompts, positions) ids by the stock module that ``parameter`` belongs to.

        Rows that no id asks for are hashed and forgotten.
        """
        stored = self._checkpoint.stored(weight.stored[0])
        row_bytes = (stored.record.end - stored.record.start) // stored.slices
        step = max(1, EMBEDDING_BYTES // row_bytes)
        wanted, where = torch.unique(ids, return_inverse=True)  # ascending
        kept = []
        for first in range(0, stored.slices, step):
            block = stored.read(min(step, stored.slices - first))
            inside = wanted[(wanted >= first) & (wanted < stored.position)] - first
            kept.append(weight.decode(block[inside]))
        if int(wanted[-1]) >= stored.slices:
            raise FormatError(f"{weight.name}: a prompt has token {int(wanted[-1])}, there are {stored.slices} rows")
        module = self.stock.model.get_submodule(parameter.rpartition(".")[0])
        rows = {"weight": torch.cat(kept).to(self._device)}  # (distinct ids, width)
        with torch.no_grad(), self.mode:
            # Some modules scale what they look up. The scale is a float64 constant like any other, where narrower
            # runs round it to the type of the weights: Gemma's square root of 3072 to 55.5 in bfloat16.
            embedded: torch.Tensor = torch.func.functional_call(module, rows, (where.to(self._device),))
        return embedded

    @contextmanager
    def _hooks(self, on_layer: Callable[[int, torch.Tensor], None]) -> Iterator[None]:
        handles = []
        for index, (name, layer) in enumerate(self.stock.layers):
            handles.append(layer.register_forward_pre_hook(self._before(name)))
            handles.append(layer.register_forward_hook(self._after(index, name, on_layer)))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _before(self, name: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _args: object) -> None:
            with self.mode.paused():
                self._load(name)

        return hook

    def _after(self, index: int, name: str, on_layer: Callable[[int, torch.Tensor], None]) -> Callable[..., None]:
        def hook(_module: nn.Module, _args: object, output: object) -> None:
            with self.mode.paused():
                self._drop(name)
            hidden = output[0] if isinstance(output, tuple) else output
            assert isinstance(hidden, torch.Tensor)
            on_layer(index, hidden)

        return hook

    def _load(self, layer: str) -> None:
        for parameter, weight in self.plan.dense.get(layer, {}).items():
            self._put(parameter, self.begin(weight).read())
        for parameter, stacked in self.plan.stacked.items():
            if parameter.startswith(f"{layer}."):
                self._put(parameter, Experts(parameter, stacked, self))

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
        self.experts_read += experts
