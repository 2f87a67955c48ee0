"""What the model card says in numbers: architecture, parameters, memory, and the rules that they follow."""

from collections.abc import Iterator, Sequence

from mbom.facts.architecture import NUMBERS, Architecture
from mbom.facts.blocks import RULE as BLOCK_RULE
from mbom.facts.cache import FULL, RECURRENT, WINDOWED
from mbom.facts.footprint import ACCELERATORS_RULE, SEQUENCE_RULE, STATE_RULE, WEIGHTS_RULE, Footprint, footprint
from mbom.facts.parameters import ACTIVE_RULE, TOTAL_RULE, Parameters
from mbom.facts.reading import Facts
from mbom.facts.rope import Rope
from mbom.facts.tensordigests import STRUCTURE_METHOD, VALUES_METHOD

Property = tuple[str, str]
# The numbers that BOMs have stated from the first on. One without ``tensors:digest`` states no others.
FIRST = frozenset({
    *("parameters:total", "parameters:active", "parameters:active-with-embedding", "parameters:embedding"),
    *("parameters:other-modalities", "parameters:prediction-layers", "quantisation:bits"),
    *(NUMBERS[attribute][0] for attribute in (
        "layers", "prediction_layers", "hidden", "heads", "kv_heads", "experts", "experts_per_token", "context_length",
        "vocabulary", "sliding_window",
    )),
})  # fmt: skip
TIED = {True: "true", False: "false"}


def numbers(parameters: Parameters, architecture: Architecture) -> dict[str, int | None]:
    """Return every whole number of the card by the name of its property; None where it is not known."""
    cache, memory = architecture.cache, footprint(parameters, architecture)
    counted = cache.kinds is not None
    return {
        "parameters:total": parameters.total,
        "parameters:active": parameters.active,
        "parameters:active-with-embedding": parameters.active_with_embedding,
        "parameters:embedding": parameters.embedding,
        "parameters:other-modalities": parameters.other_modalities,
        "parameters:prediction-layers": parameters.prediction,
        **{f"parameters:block:{name}": number for name, number in parameters.blocks},
        **{f"parameters:stored:{dtype}": number for dtype, number in parameters.dtypes},
        **{f"parameters:logical:{name}": number for name, number in parameters.logical},
        **{name: getattr(architecture, attribute) for attribute, (name, _) in NUMBERS.items()},
        "architecture:full-attention-layers": cache.number(FULL) if counted else None,
        "architecture:windowed-layers": cache.number(WINDOWED) if counted else None,
        "architecture:recurrent-layers": cache.number(RECURRENT) if counted else None,
        "architecture:state-size": cache.state,
        "quantisation:bits": architecture.quantisation.bits if architecture.quantisation else None,
        **{f"stored-bytes:{dtype}": size for dtype, size in parameters.stored},
        "footprint:weights": memory.weights,
        "footprint:cache-per-token": memory.token,
        "footprint:cache-per-token:beyond-window": memory.later_token,
        "footprint:cache-state": memory.constant,
        "footprint:cache-at-full-context": memory.sequence,
    }


def figures(facts: Facts) -> Iterator[Property]:
    """Yield what is known of architecture, parameters and memory; an unknown number is left out, never zero."""
    parameters, architecture = facts.parameters, facts.architecture
    known = numbers(parameters, architecture)
    yield from ((name, str(number)) for name, number in known.items() if number is not None)
    yield "parameters:total:rule", TOTAL_RULE
    if parameters.blocks:
        yield "parameters:block:rule", BLOCK_RULE
    if parameters.active is not None:
        yield "parameters:active:rule", ACTIVE_RULE
    yield from (("parameters:note", note) for note in parameters.notes)
    yield from (("packing", packing) for packing in parameters.packings)
    yield from _architecture(architecture)
    yield from _memory(facts.footprint)
    yield "tensors:digest", facts.tensors.structure
    yield "tensors:digest:method", STRUCTURE_METHOD
    if facts.tensors.values is not None:
        yield "tensors:values-digest", facts.tensors.values
        yield "tensors:values-digest:method", VALUES_METHOD


def _architecture(architecture: Architecture) -> Iterator[Property]:
    if architecture.dtype is not None:
        yield "architecture:dtype", architecture.dtype
    if architecture.tied_embeddings is not None:
        yield "architecture:tied-embeddings", TIED[architecture.tied_embeddings]
    yield from (("architecture:modality", modality) for modality in architecture.modalities)
    yield from (("architecture:assumed", sentence) for sentence in architecture.assumed.values())
    for rope in architecture.rope:
        yield from _rope(rope)
    kinds = architecture.cache.kinds or ()
    for kind, name in ((WINDOWED, "windowed"), (RECURRENT, "recurrent")):
        if held := [layer for layer, found in enumerate(kinds) if found == kind]:
            yield f"architecture:{name}-layers:which", ranges(held)
    quantisation = architecture.quantisation
    if quantisation is not None and quantisation.method is not None:
        yield "quantisation:method", quantisation.method
    if quantisation is not None and quantisation.format is not None:
        yield "quantisation:format", quantisation.format


def _rope(rope: Rope) -> Iterator[Property]:
    prefix = f"architecture:rope:{rope.layers}" if rope.layers else "architecture:rope"
    if rope.type is not None:
        yield f"{prefix}:type", rope.type
    if rope.original_context is not None:
        yield f"{prefix}:original-context", str(rope.original_context)
    values = {"theta": rope.theta, "scaling-factor": rope.factor, "partial": rope.partial}
    yield from ((f"{prefix}:{name}", f"{value:.15g}") for name, value in values.items() if value is not None)


def _memory(memory: Footprint) -> Iterator[Property]:
    """Yield the formula beside each number of the footprint, and what follows from them."""
    yield "footprint:weights:formula", WEIGHTS_RULE
    if memory.token is not None:
        yield "footprint:cache-per-token:formula", memory.token_rule
    if memory.constant:
        yield "footprint:cache-state:formula", STATE_RULE
    if memory.sequence is not None:
        yield "footprint:cache-at-full-context:formula", SEQUENCE_RULE
    if memory.smallest is not None:
        yield "footprint:smallest-accelerators", memory.smallest
        yield "footprint:accelerators:formula", ACCELERATORS_RULE
        yield from (("footprint:accelerators", text) for text in memory.accelerators)
    yield from (("footprint:note", note) for note in memory.notes)


def ranges(numbers: Sequence[int]) -> str:
    """Return ascending numbers as people list them: ``0-4, 6-10, 12``."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ", ".join(f"{first}-{last}" if last > first else str(first) for first, last in spans)
