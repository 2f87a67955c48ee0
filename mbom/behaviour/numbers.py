"""The numbers of a behaviour record as arrays, and their one form as a safetensors file.

Letters in shapes: N measured positions of all prompts, one prompt after the other without padding; L layers;
R routers (0 for a dense model); K experts chosen per token; V rows of the output head; T = min(32, V); S values of all
sketches together.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mbom import tensorfile
from mbom.errors import FormatError

TOP_TOKENS = 32
LOGIT_DIMENSIONS = 32
RESIDUAL_DIMENSIONS = 4
SIZE_LIMIT = 256 << 20  # a model of 128 layers, each with 512 experts of which 22 are chosen, takes 45 MB
VALUE_LIMIT = 1e100  # squares of what is below stay finite; activations of trained models stay below 1e6
LOGPROB_SLACK = 1e-9  # a probability of one may come out this far above it

# By name: safetensors dtype, numpy dtype of the same bytes, rank.
LAYOUT: dict[str, tuple[str, str, int]] = {
    "top_ids": ("I32", "<i4", 2),
    "top_logprobs": ("F64", "<f8", 2),
    "logsumexp": ("F64", "<f8", 1),
    "logits_projection": ("F64", "<f8", 2),
    "residual_projection": ("F64", "<f8", 3),
    "router_layers": ("I32", "<i4", 1),
    "router_ids": ("U16", "<u2", 3),
    "router_margin": ("F64", "<f8", 2),
    "sketches": ("F64", "<f8", 1),
    "embedding_rows": ("F64", "<f8", 1),
    "head_rows": ("F64", "<f8", 1),
}

Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True, eq=False)
class Numbers:
    """What a checkpoint computed at N positions, and the sketches of its weights, which depend on no prompt.

    Signs are those of ``mbom.behaviour.projection`` under the record's key.

    Attributes:
        top_ids: int32 (N, T), the most probable tokens, the most probable first.
        top_logprobs: float64 (N, T), their natural log-probabilities.
        logsumexp: float64 (N,), of all V logits.
        logits_projection: float64 (N, 32), the logits minus their mean times ``signs("logits", (V, 32))`` / sqrt(V).
        residual_projection: float64 (L, N, 4), the residual stream after each layer times
            ``signs(f"residual/{layer}", (H, 4))`` / sqrt(H), H being its width.
        router_layers: int32 (R,), the layer that each router belongs to, ascending.
        router_ids: uint16 (R, N, K), the chosen experts, ascending.
        router_margin: float64 (R, N), the smallest relative distance between the last chosen and the first rejected
            score, over every choice that the router made, and every choice of keys that attention made since the router
            before; infinite where nothing was rejected.
        sketches: float64 (S,), of every weight in the order of the record's list, each (slices, values) in C order: see
            ``mbom.behaviour.sketches``.
        embedding_rows: float64 (V,), each row of the embedding times ``row_signs``.
        head_rows: float64 (V,), each row of the output head times ``row_signs``; empty where it is the embedding.
    """

    top_ids: NDArray[np.int32]
    top_logprobs: NDArray[np.float64]
    logsumexp: NDArray[np.float64]
    logits_projection: NDArray[np.float64]
    residual_projection: NDArray[np.float64]
    router_layers: NDArray[np.int32]
    router_ids: NDArray[np.uint16]
    router_margin: NDArray[np.float64]
    sketches: NDArray[np.float64]
    embedding_rows: NDArray[np.float64]
    head_rows: NDArray[np.float64]

    @property
    def positions(self) -> int:
        """N."""
        return len(self.logsumexp)

    @property
    def layers(self) -> int:
        """L."""
        return len(self.residual_projection)

    @property
    def routers(self) -> int:
        """R."""
        return len(self.router_layers)

    def arrays(self) -> dict[str, Array]:
        """Return the arrays by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Numbers):
            return NotImplemented
        theirs = other.arrays()
        return all(
            array.dtype == theirs[name].dtype and np.array_equal(array, theirs[name])
            for name, array in self.arrays().items()
        )

    __hash__ = None  # type: ignore[assignment]  # arrays have no hash

    def to_bytes(self) -> bytes:
        """Return the safetensors file: equal numbers give equal bytes."""
        return tensorfile.dump(
            {
                name: (LAYOUT[name][0], array.shape, array.astype(LAYOUT[name][1], copy=False).tobytes())
                for name, array in self.arrays().items()
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes, *, what: str) -> "Numbers":
        """Read the safetensors file. Only names, dtypes and ranks are checked; ``check`` does the rest.

        Raises:
            FormatError: when the file is not exactly the arrays of ``LAYOUT``.
        """
        if len(data) > SIZE_LIMIT:
            raise FormatError(f"{what}: {len(data)} bytes, the limit is {SIZE_LIMIT}")
        header = tensorfile.parse_header(data, len(data), what)
        if header.metadata:
            raise FormatError(f"{what}: has the metadata {min(header.metadata)[:80]!r}, a behaviour record has none")
        found = {tensor.name: tensor for tensor in header.tensors}
        if found.keys() != LAYOUT.keys():
            name = min(found.keys() ^ LAYOUT.keys())
            raise FormatError(f"{what}: the array {name[:80]!r} is {'unknown' if name in found else 'missing'}")
        arrays: dict[str, Array] = {}
        for name, (dtype, numpy_dtype, rank) in LAYOUT.items():
            tensor = found[name]
            if tensor.dtype != dtype or len(tensor.shape) != rank:
                raise FormatError(f"{what}: {name} is {tensor.dtype} {tensor.shape}, it must be {dtype} of rank {rank}")
            flat = np.frombuffer(data[tensor.start : tensor.end], numpy_dtype)
            arrays[name] = flat.reshape(tensor.shape)
        return cls(**arrays)


def check(numbers: Numbers, *, positions: int, vocabulary: int, experts: int, what: str) -> None:
    """Refuse numbers that no honest measurement of ``positions`` positions gives.

    Args:
        numbers: the arrays.
        positions: N, as the prompts say.
        vocabulary: V.
        experts: experts of all routers together; every router has the same number.
        what: how error messages name the document.

    Raises:
        FormatError: on a wrong dtype or shape, on a number that is not finite, or one that contradicts another.
    """
    _check_layout(numbers, positions, vocabulary, what)
    _check_finite(numbers, what)
    _check_top(numbers, vocabulary, what)
    _check_routers(numbers, experts, what)


def _check_layout(numbers: Numbers, positions: int, vocabulary: int, what: str) -> None:
    for name, array in numbers.arrays().items():
        _, dtype, rank = LAYOUT[name]
        if array.dtype != np.dtype(dtype) or array.ndim != rank:
            raise FormatError(
                f"{what}: {name} is {array.dtype} of rank {array.ndim}, it must be {np.dtype(dtype)} of rank {rank}"
            )
    layers = numbers.layers
    routers, _, chosen = numbers.router_ids.shape
    top = min(TOP_TOKENS, vocabulary)
    if positions == 0 or layers == 0:
        raise FormatError(f"{what}: {positions} positions of {layers} layers, there must be at least one of each")
    if (routers == 0) != (chosen == 0):
        raise FormatError(f"{what}: {routers} routers that choose {chosen} experts each")
    shapes: Mapping[str, tuple[int, ...]] = {
        "top_ids": (positions, top),
        "top_logprobs": (positions, top),
        "logsumexp": (positions,),
        "logits_projection": (positions, LOGIT_DIMENSIONS),
        "residual_projection": (layers, positions, RESIDUAL_DIMENSIONS),
        "router_layers": (routers,),
        "router_ids": (routers, positions, chosen),
        "router_margin": (routers, positions),
        "sketches": numbers.sketches.shape,  # held against the list of weights by mbom.behaviour.sketches.check
        "embedding_rows": (vocabulary,),
        "head_rows": (vocabulary if numbers.head_rows.size else 0,),
    }
    for name, array in numbers.arrays().items():
        if array.shape != shapes[name]:
            raise FormatError(
                f"{what}: {name} has the shape {array.shape}, it must have {shapes[name]} "
                f"for {positions} positions, {layers} layers, {routers} routers and {vocabulary} tokens"
            )


def _check_finite(numbers: Numbers, what: str) -> None:
    for name, array in numbers.arrays().items():
        if array.dtype.kind != "f":
            continue
        values = array[~np.isposinf(array)] if name == "router_margin" else array
        wrong = ~(np.abs(values) <= VALUE_LIMIT)  # this way round, NaN is wrong too
        if wrong.any():
            raise FormatError(f"{what}: {name} holds {values[wrong][0]}, only finite numbers up to 1e100 are allowed")


def _check_top(numbers: Numbers, vocabulary: int, what: str) -> None:
    ids, logprobs = numbers.top_ids, numbers.top_logprobs
    _refuse((ids < 0) | (ids >= vocabulary), f"{what}: top_ids names a token outside {vocabulary}")
    ordered = np.sort(ids, axis=1)
    _refuse(ordered[:, 1:] == ordered[:, :-1], f"{what}: top_ids names one token twice")
    _refuse(logprobs[:, 1:] > logprobs[:, :-1], f"{what}: top_logprobs is not in descending order")
    _refuse(logprobs > LOGPROB_SLACK, f"{what}: top_logprobs holds a probability above one")
    sums = np.exp(np.minimum(logprobs, 1)).sum(axis=1)
    _refuse(sums > 1 + LOGPROB_SLACK, f"{what}: top_logprobs holds probabilities that add up to more than one")


def _check_routers(numbers: Numbers, experts: int, what: str) -> None:
    layers, ids = numbers.router_layers, numbers.router_ids
    if numbers.routers == 0:
        if experts:
            raise FormatError(f"{what}: {experts} experts but no router")
        return
    if experts % numbers.routers:
        raise FormatError(f"{what}: {experts} experts are not the same number for each of {numbers.routers} routers")
    each = experts // numbers.routers
    _refuse((layers < 0) | (layers >= numbers.layers), f"{what}: router_layers names a layer that is not there")
    _refuse(layers[1:] <= layers[:-1], f"{what}: router_layers is not ascending")
    _refuse(ids >= each, f"{what}: router_ids names an expert outside {each}")
    _refuse(ids[:, :, 1:] <= ids[:, :, :-1], f"{what}: router_ids is not ascending")
    _refuse(numbers.router_margin < 0, f"{what}: router_margin holds a negative number")


def _refuse(wrong: NDArray[np.bool_], message: str) -> None:
    """Raise ``message`` with the first index at which ``wrong`` holds, if there is one."""
    found = np.argwhere(wrong)
    if len(found):
        raise FormatError(f"{message} (at index {tuple(found[0].tolist())})")
