"""How much memory a model takes: arithmetic over its tensor table and its configuration, each number with its formula.

No measurement and no promise: what a runtime needs besides weights and cache is a stated share. Where an ingredient is
unknown, so is whatever is made of it, and a note says why.
"""

from dataclasses import dataclass

from mbom.facts.accelerators import ACCELERATORS, COUNTS
from mbom.facts.architecture import Architecture
from mbom.facts.cache import FULL, RECURRENT, SIZE_LIMIT, WINDOWED, Cache
from mbom.facts.parameters import Parameters

ELEMENT_BYTES = 2  # of a cached key or value: 16 bits, what runtimes use unless they are told otherwise
STATE_BYTES = 4  # of a recurrent state, which runtimes keep in float32
OVERHEAD_PERCENT = 10  # of weights and cache together: activations, buffers, the runtime itself
GIGABYTE = 10**9

WEIGHTS_RULE = "bytes of all tensors as stored, layers that predict further tokens and other modalities included"
ACCELERATORS_RULE = (
    f"of each common size of memory the fewest, of {', '.join(map(str, COUNTS))} equal accelerators, that together "
    f"hold {100 + OVERHEAD_PERCENT} % of (weights + cache of one sequence at full context); the smallest are those "
    "with the least memory in all, then the fewest; memory as the makers state it, 1 GB = 10^9 bytes"
)
SEQUENCE_RULE = (
    "context length x bytes of a token in layers of full attention + min(context length, window) x bytes of a token "
    "in windowed layers + state of recurrent layers"
)
STATE_RULE = (
    f"recurrent layers x (elements of the state x {STATE_BYTES} bytes + elements of the convolution's inputs x "
    f"{ELEMENT_BYTES} bytes)"
)


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """The memory of a model in bytes; None where it is not known.

    Attributes:
        weights: by ``WEIGHTS_RULE``.
        token: kept of one token while every layer of attention still keeps it.
        later_token: kept of one token by the layers without a window: how the cache grows once windows are full.
        constant: kept by recurrent layers whatever the length, by ``STATE_RULE``.
        sequence: kept of one sequence at full context, by ``SEQUENCE_RULE``.
        token_rule: the formula of ``token`` and ``later_token``.
        smallest: the accelerators with the least memory in all that hold it, by ``ACCELERATORS_RULE``.
        accelerators: the fewest of every size of which 8 are enough.
        notes: why something is not known.
    """

    weights: int
    token: int | None = None
    later_token: int | None = None
    constant: int | None = None
    sequence: int | None = None
    token_rule: str = ""
    smallest: str | None = None
    accelerators: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def footprint(parameters: Parameters, architecture: Architecture) -> Footprint:
    """Return what the model takes."""
    weights, cache = parameters.bytes, architecture.cache
    attention = cache.number(FULL) + cache.number(WINDOWED)
    if cache.kinds is None or (attention and cache.elements is None):
        return Footprint(weights=weights, notes=(f"cache unknown: {cache.why}",) if cache.why else ())
    layer = (cache.elements or 0) * ELEMENT_BYTES
    constant, note = _constant(cache)
    sequence, why = _sequence(cache, layer, constant, architecture.context_length)
    smallest, accelerators = _fitting(weights + sequence) if sequence is not None else (None, ())
    return Footprint(
        weights=weights,
        token=attention * layer,
        later_token=cache.number(FULL) * layer,
        constant=constant,
        sequence=sequence,
        token_rule=f"layers of attention x ({cache.formula or 'nothing'}) x {ELEMENT_BYTES} bytes (16-bit elements)",
        smallest=smallest,
        accelerators=accelerators,
        notes=tuple(text for text in (note, why) if text),
    )


def _constant(cache: Cache) -> tuple[int | None, str]:
    """Return the bytes of all recurrent states, or why they are not known."""
    layers = cache.number(RECURRENT)
    if not layers:
        return 0, ""
    if cache.state is None or cache.convolution is None:
        return None, "state of recurrent layers unknown: the configuration does not give its dimensions"
    return layers * (cache.state * STATE_BYTES + cache.convolution * ELEMENT_BYTES), ""


def _sequence(cache: Cache, layer: int, constant: int | None, context: int | None) -> tuple[int | None, str]:
    """Return the bytes that one sequence of the full context leaves behind, or why they are not known."""
    if constant is None:
        return None, ""
    if not context or context > SIZE_LIMIT:
        return None, "cache at full context unknown: the configuration does not give a context length"
    windowed = cache.number(WINDOWED)
    if windowed and cache.window is None:
        return None, "cache at full context unknown: the configuration does not give the size of the window"
    seen = min(context, cache.window or 0)
    return (cache.number(FULL) * context + windowed * seen) * layer + constant, ""


def _fitting(size: int) -> tuple[str, tuple[str, ...]]:
    """Return the smallest accelerators that hold ``size`` bytes and the overhead, and the fewest of every size."""
    needed = -(-size * (100 + OVERHEAD_PERCENT) // 100)
    fitting = []
    for kind in ACCELERATORS:
        number = next((number for number in COUNTS if number * kind.gigabytes * GIGABYTE >= needed), None)
        if number is not None:
            fitting.append((number * kind.gigabytes, number, f"{number} x {kind.gigabytes} GB ({kind.names})"))
    if not fitting:
        return f"more than {COUNTS[-1]} x {ACCELERATORS[-1].gigabytes} GB", ()
    return min(fitting)[2], tuple(text for _, _, text in fitting)
