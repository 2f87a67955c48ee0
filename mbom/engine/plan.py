"""Which stored weights make up which parameter, decided and checked before any of them is read."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice

import torch

from mbom.engine.conversion import Conversion, expert_index, natural
from mbom.engine.stock import Stock, experts_of
from mbom.engine.weights import Weight, check_plain, lookup
from mbom.errors import EngineError, FormatError, RefusedError
from mbom.inventory.record import TensorRecord


@dataclass(frozen=True, kw_only=True)
class Source:
    """A weight that goes into a parameter, by the conversion pattern that leads there, if any."""

    weight: Weight
    pattern: str | None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to read when.

    Attributes:
        embedding: the embedding matrix, read by rows.
        layer_embedding: a second one, from which each layer takes its own part, where the model has it.
        head: the output matrix, read by rows; the same weight as ``embedding`` where the model ties them.
        dense: for each layer's module name, and "" for what lies outside them, the weight of each parameter.
        stacked: for each parameter that stacks experts, either one source that stacks them too, or the sources of each
            expert in turn.
        unused: weights that the forward pass has no place for, such as those of multi-token prediction.
    """

    embedding: Weight
    layer_embedding: Weight | None
    head: Weight
    dense: Mapping[str, Mapping[str, Weight]]
    stacked: Mapping[str, Source | tuple[tuple[Source, ...], ...]]
    unused: tuple[Weight, ...]


def plan(
    stock: Stock, conversion: Conversion, weights: Mapping[str, Weight], records: Mapping[str, TensorRecord]
) -> Plan:
    """Assign every weight of a checkpoint to the parameter that it fills.

    Raises:
        FormatError: when a parameter gets too few or too many tensors, or one of another shape; when a tensor without
            a place looks as if the text model should use it.
        RefusedError: when the checkpoint leaves a parameter without a tensor.
        EngineError: when a tensor that is needed has a type that cannot be computed with.
    """
    sources: defaultdict[str, list[Source]] = defaultdict(list)
    unused = []
    for name in sorted(weights, key=natural):
        target = conversion.target(name)
        if target is None:
            conversion.check_unused(name)
            unused.append(weights[name])
        else:
            weight = weights[name]
            if conversion.parameters[target.parameter].dtype.is_floating_point:
                check_plain(weight, records)
            else:
                weight = lookup(weight, records, below=_experts_beside(stock, target.parameter))
            sources[target.parameter].append(Source(weight=weight, pattern=target.pattern))
    _check_complete(stock, conversion, sources)
    embedding = _single(stock.embedding, sources.pop(stock.embedding), conversion).weight
    # Where both are stored although the configuration ties them, transformers uses the stored head, and so does this.
    head = _single(stock.head, sources.pop(stock.head), conversion).weight if stock.head in sources else embedding
    by_layer = stock.layer_embedding
    layer_embedding = _single(by_layer, sources.pop(by_layer), conversion).weight if by_layer is not None else None
    for matrix in (embedding, head, layer_embedding):
        if matrix is not None and not matrix.sliced:
            raise EngineError(f"{matrix.name}: an embedding or output head quantised like this cannot be read by rows")
    dense: defaultdict[str, dict[str, Weight]] = defaultdict(dict)
    stacked: dict[str, Source | tuple[tuple[Source, ...], ...]] = {}
    layers = [name for name, _ in stock.layers]
    for parameter, found in sources.items():
        experts = experts_of(stock, parameter)
        if experts is None:
            layer = next((name for name in layers if parameter.startswith(f"{name}.")), "")
            dense[layer][parameter] = _merged(parameter, found, conversion)
        elif any(source.pattern for source in found):
            stacked[parameter] = _by_expert(parameter, found, experts, conversion)
        else:
            stacked[parameter] = _single(parameter, found, conversion)
    return Plan(
        embedding=embedding,
        layer_embedding=layer_embedding,
        head=head,
        dense=dense,
        stacked=stacked,
        unused=tuple(unused),
    )


def _check_complete(stock: Stock, conversion: Conversion, found: Iterable[str]) -> None:
    missing = set(conversion.parameters) - set(found)
    if stock.tied:
        missing.discard(stock.head)
    if missing:
        raise RefusedError(
            f"the checkpoint has no tensor for {min(missing)} and {len(missing) - 1} other parameters of "
            f"{type(stock.model).__name__}"
        )


def _single(parameter: str, found: list[Source], conversion: Conversion) -> Source:
    """Return the one source of a parameter that nothing has to be merged into."""
    expected = tuple(conversion.parameters[parameter].shape)
    if len(found) != 1 or found[0].pattern is not None:
        names = ", ".join(source.weight.name for source in found[:3])
        raise FormatError(f"{parameter}: filled by {len(found)} tensors ({names}), only one is allowed")
    weight = found[0].weight
    if weight.shape != expected:
        raise FormatError(f"{weight.name}: has the shape {list(weight.shape)}, config.json asks for {list(expected)}")
    return found[0]


def _merged(parameter: str, found: list[Source], conversion: Conversion) -> Weight:
    """Return the weight of a dense parameter, one for all of its sources where a conversion merges several."""
    patterns = [source.pattern for source in found if source.pattern is not None]
    if not patterns:
        return _single(parameter, found, conversion).weight
    if len(patterns) != len(found) or sorted(patterns) != sorted(conversion.sources(patterns[0])):
        names = ", ".join(source.weight.name for source in found[:3])
        raise FormatError(f"{parameter}: made up of {len(found)} tensors ({names}), {patterns[0]} asks for others")
    shape = tuple(conversion.parameters[parameter].shape)

    def decode(*stored: torch.Tensor) -> torch.Tensor:
        parts, rest = [], iter(stored)
        for source, pattern in zip(found, patterns, strict=True):
            values = source.weight.decode(*islice(rest, len(source.weight.tensors)))
            parts.append((source.weight.name, pattern, values))
        merged = conversion.merged(parameter, parts)
        if tuple(merged.shape) != shape:
            raise FormatError(f"{parameter}: its tensors make {list(merged.shape)}, config.json asks for {list(shape)}")
        return merged

    stored = tuple(name for source in found for name in source.weight.tensors)
    encoding = "+".join(dict.fromkeys(filter(None, (source.weight.encoding for source in found))))
    return Weight(name=parameter, shape=shape, stored=stored, sliced=False, decode=decode, encoding=encoding)


def _experts_beside(stock: Stock, parameter: str) -> int:
    """Return the number of experts of the router that owns a table of integers."""
    count = getattr(stock.model.get_submodule(parameter.rpartition(".")[0]), "num_experts", None)
    if type(count) is not int:
        raise EngineError(f"{parameter}: what its integers stand for is not known")
    return count


def _by_expert(
    parameter: str, found: list[Source], experts: int, conversion: Conversion
) -> tuple[tuple[Source, ...], ...]:
    """Return the sources of each expert; every one has the same set of patterns, all of them once."""
    grouped: defaultdict[int | None, list[Source]] = defaultdict(list)
    for source in found:
        grouped[expert_index(source.weight.name)].append(source)
    for expert in range(experts):
        patterns = Counter(source.pattern for source in grouped[expert])
        first = next(iter(patterns), None)
        if first is None or max(patterns.values()) > 1 or len(patterns) != conversion.patterns(first):
            raise FormatError(f"{parameter}: expert {expert} is made up of {sum(patterns.values())} tensors")
    if len(grouped) != experts:
        raise FormatError(f"{parameter}: tensors of {len(grouped)} experts, config.json asks for {experts}")
    return tuple(tuple(grouped[expert]) for expert in range(experts))
