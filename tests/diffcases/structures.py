"""Changes of what a model is made of: rows of the vocabulary, experts, layers; and several steps in a row."""

import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from diffcases.models import ATTENTION, DENSE, Case, Sides, Tensors, based, checkpoint, low_rank, noise, within
from mbom.behaviour.values import Floats

Step = Callable[[np.random.Generator, Tensors], Tensors]

VOCABULARY = frozenset({"vocabulary-extension"})
NAMED = re.compile(r"(?P<stem>.*\.experts)\.(?P<index>\d+)\.(?P<rest>.*)")


def _steps(rng: np.random.Generator, *steps: Step, dtype: str = "bfloat16", **sizes: Any) -> Sides:
    """Put a model through several changes."""
    old = based(rng, dtype, **sizes)
    tensors = dict(old.arrays)
    for step in steps:
        tensors = dict(checkpoint(step(rng, tensors), dtype).arrays)
    return old, checkpoint(tensors, dtype), ()


def added_rows(count: int, rng: np.random.Generator, tensors: Tensors) -> Tensors:
    """Add rows to the embedding and the head, around the mean as tools do."""

    def longer(values: Floats) -> Floats:
        mean = values.mean(axis=0)
        return np.concatenate([values, mean + 0.001 * rng.standard_normal((count, len(mean)))])

    return {n: longer(v) if n in {"model.embed_tokens.weight", "lm_head.weight"} else v for n, v in tensors.items()}


def adapted(modules: Sequence[str], rank: int, rng: np.random.Generator, tensors: Tensors) -> Tensors:
    """Merge an adapter."""
    return {n: v + low_rank(rng, v, rank, 2e-2) if within(n, modules) else v for n, v in tensors.items()}


def trained(modules: Sequence[str], rng: np.random.Generator, tensors: Tensors) -> Tensors:
    """Train some modules further."""
    return {n: v + noise(rng, v, 2e-2) if within(n, modules) else v for n, v in tensors.items()}


def one_row(name: str, _rng: np.random.Generator, tensors: Tensors) -> Tensors:
    """Change a single old row by very little."""
    values = tensors[name].copy()
    values[3] *= 1.02
    return {**tensors, name: values}


def shorter(count: int, _rng: np.random.Generator, tensors: Tensors) -> Tensors:
    """Take the last rows of the vocabulary away."""
    return {n: v[:-count] if n in {"model.embed_tokens.weight", "lm_head.weight"} else v for n, v in tensors.items()}


def only_head(count: int, rng: np.random.Generator, tensors: Tensors) -> Tensors:
    """Add rows to the head alone."""
    longer = added_rows(count, rng, tensors)
    return {**tensors, "lm_head.weight": longer["lm_head.weight"]}


def vocabularies() -> Iterator[Case]:
    """Vocabularies that grew."""
    grid = itertools.product((1, 8, 64), ("bfloat16", "float32"), (added_rows, only_head))
    for count, dtype, grow in grid:
        yield Case(
            name=f"{count} rows {grow.__name__} {dtype}",
            kind="vocabulary-extension",
            build=partial(_build, (partial(grow, count),), dtype=dtype),
            explained=VOCABULARY,
            figures={"vocabulary-extension": {"added": count}},
        )
    head = "lm_head.weight"
    yield Case(
        name="rows added and an old one changed",
        kind="vocabulary and more",
        build=partial(_build, (partial(added_rows, 8), partial(one_row, head))),
    )
    yield Case(name="rows taken away", kind="no name", build=partial(_build, (partial(shorter, 8),)))
    yield Case(
        name="rows added and layers retrained",
        kind="vocabulary and more",
        build=partial(_build, (partial(added_rows, 8), partial(trained, (*ATTENTION, *DENSE)))),
        consistent=VOCABULARY,
    )


def _build(steps: tuple[Step, ...], rng: np.random.Generator, **sizes: Any) -> Sides:
    return _steps(rng, *steps, **sizes)


# Experts.


def placed(
    mapping: Sequence[int] | Mapping[int, Sequence[int]],
    _rng: np.random.Generator,
    tensors: Tensors,
    *,
    router: bool = True,
) -> Tensors:
    """Take experts, and their rows of the router, in an order: the same in all layers, or of each layer in turn."""
    result: Tensors = {}
    for name, values in tensors.items():
        layer = next((int(part) for part in name.split(".") if part.isdigit()), 0)
        order = mapping[layer] if isinstance(mapping, Mapping) else mapping
        named = NAMED.fullmatch(name)
        if named is not None:
            for index, place in enumerate(order):
                if place == int(named["index"]):
                    result[f"{named['stem']}.{index}.{named['rest']}"] = values
        elif ".experts." in name or (name.endswith(".mlp.gate.weight") and router):
            result[name] = values[list(order)]
        else:
            result[name] = values
    return result


def expert_changed(expert: int, rng: np.random.Generator, tensors: Tensors) -> Tensors:
    """Train one expert of the second layer further."""

    def change(name: str, values: Floats) -> Floats:
        if not name.startswith("model.layers.1.") or ".experts." not in name:
            return values
        named = NAMED.fullmatch(name)
        if named is not None:
            return values + noise(rng, values, 2e-2) if int(named["index"]) == expert else values
        values = values.copy()
        values[expert] += noise(rng, values[expert], 2e-2)
        return values

    return {name: change(name, values) for name, values in tensors.items()}


def torn(_rng: np.random.Generator, tensors: Tensors) -> Tensors:
    """Put the down matrices in another order than the gate and up matrices."""
    result = dict(tensors)
    for name, values in tensors.items():
        named = NAMED.fullmatch(name)
        if named is not None and named["rest"].startswith("down_proj"):
            result[f"{named['stem']}.{(int(named['index']) + 1) % 8}.{named['rest']}"] = values
        elif name.endswith(".experts.down_proj"):
            result[name] = np.roll(values, 1, axis=0)
    return result


def mixtures() -> Iterator[Case]:
    """Experts left out, repeated or in another order."""
    orders = {
        "experts-pruned": ([0, 1, 2, 4, 5, 7], [1, 3, 6, 7], [2, 7]),
        "experts-duplicated": (
            [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7],
            [*range(8), 3],
            [0, 1, 2, 3, 4, 5, 6, 6],
        ),
        "experts-permuted": ([1, 0, 2, 3, 4, 5, 6, 7], [7, 6, 5, 4, 3, 2, 1, 0], [3, 1, 4, 0, 5, 2, 6, 7]),
    }
    for kind, mappings in orders.items():
        for mapping, stacked, dtype in itertools.product(mappings, (False, True), ("bfloat16", "float32")):
            stored_as = "stacked" if stacked else "apart"
            sizes: dict[str, Any] = {"experts": 8, "stacked": stacked, "layers": 2, "dtype": dtype}
            yield Case(
                name=f"experts {mapping} {stored_as} {dtype}",
                kind=kind,
                build=partial(_build, (partial(placed, mapping),), **sizes),
                explained=frozenset({kind}),
                figures={kind: {"mapping": mapping, "router": True}},
            )
        for stacked in (False, True):
            yield Case(
                name=f"{kind}, another router, {'stacked' if stacked else 'apart'}",
                kind="experts and more",
                build=partial(
                    _build,
                    (partial(placed, mappings[0]), partial(trained, ("gate",))),
                    experts=8,
                    stacked=stacked,
                    layers=2,
                ),
                consistent=frozenset({kind}),
                figures={kind: {"mapping": mappings[0], "router": False}},
            )
            yield Case(
                name=f"{kind}, one expert changed, {'stacked' if stacked else 'apart'}",
                kind="experts and more",
                build=partial(
                    _build,
                    (partial(placed, mappings[0]), partial(expert_changed, 2)),
                    experts=8,
                    stacked=stacked,
                    layers=2,
                ),
                consistent=frozenset({kind}),
                figures={kind: {"mapping": mappings[0]}},
            )
    yield from _mixtures_of_other_kinds()


def _mixtures_of_other_kinds() -> Iterator[Case]:
    swaps = {0: [1, 0, 2, 3, 4, 5, 6, 7], 1: [0, 1, 2, 3, 4, 5, 7, 6]}
    for stacked in (False, True):
        sizes: dict[str, Any] = {"experts": 8, "stacked": stacked, "layers": 2}
        stored_as = "stacked" if stacked else "apart"
        yield Case(
            name=f"experts in another order in each layer, {stored_as}",
            kind="experts-permuted",
            build=partial(_build, (partial(placed, swaps),), **sizes),
            explained=frozenset({"experts-permuted"}),
            figures={
                "experts-permuted": {"mapping": {f"model.layers.{layer}.mlp": order for layer, order in swaps.items()}}
            },
        )
        yield Case(
            name=f"down matrices of other experts, {stored_as}", kind="no name", build=partial(_build, (torn,), **sizes)
        )
        yield Case(
            name=f"router rows in another order alone, {stored_as}",
            kind="no name",
            build=partial(_build, (_router_alone,), **sizes),
        )
        yield Case(
            name=f"experts pruned and trained, {stored_as}",
            kind="experts and more",
            build=partial(
                _build,
                (
                    partial(placed, [0, 2, 4, 6]),
                    partial(trained, ("gate", "experts", *DENSE, "gate_up_proj", *ATTENTION)),
                ),
                **sizes,
            ),
            consistent=frozenset({"experts-pruned"}),
            figures={"experts-pruned": {"mapping": [0, 2, 4, 6]}},
        )


def _router_alone(_rng: np.random.Generator, tensors: Tensors) -> Tensors:
    return {name: np.roll(v, 1, axis=0) if name.endswith(".mlp.gate.weight") else v for name, v in tensors.items()}


# Layers.


def stacked_up(mapping: Sequence[int], _rng: np.random.Generator, tensors: Tensors) -> Tensors:
    """Take layers in an order."""
    result = {name: values for name, values in tensors.items() if ".layers." not in name}
    for index, place in enumerate(mapping):
        stem = f"model.layers.{place}."
        result |= {
            f"model.layers.{index}.{name.removeprefix(stem)}": values
            for name, values in tensors.items()
            if name.startswith(stem)
        }
    return result


def layer_trained(layer: int, rng: np.random.Generator, tensors: Tensors) -> Tensors:
    """Train one layer further."""
    stem = f"model.layers.{layer}."
    return {name: v + noise(rng, v, 2e-2) if name.startswith(stem) else v for name, v in tensors.items()}


def depths() -> Iterator[Case]:
    """Layers left out or repeated."""
    orders = {
        "layers-dropped": ([0, 1, 2, 3, 5], [0, 1, 4, 5], [0, 5], [0, 1, 2, 3, 4]),
        "layers-repeated": (
            [0, 1, 2, 3, 2, 3, 4, 5],
            [0, 1, 2, 3, 1, 2, 3, 4, 5],
            [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5],
            [0, 1, 2, 3, 2, 3],
            [0, 1, 1, 2, 5, 5],
        ),
    }
    for kind, mappings in orders.items():
        for mapping, experts, dtype in itertools.product(mappings, (0, 4), ("bfloat16",)):
            yield Case(
                name=f"layers {mapping}, {experts} experts, {dtype}",
                kind=kind,
                build=partial(_build, (partial(stacked_up, mapping),), layers=6, experts=experts, dtype=dtype),
                explained=frozenset({kind}),
                figures={
                    kind: {"mapping": mapping, "dropped": sorted({*range(6)} - {*mapping})},
                },
            )
        for name, step in (
            ("one trained", partial(layer_trained, 1)),
            ("the head trained", partial(trained, ("lm_head",))),
            ("all trained", partial(trained, (*ATTENTION, *DENSE))),
        ):
            yield Case(
                name=f"{kind} and {name}",
                kind="layers and more",
                build=partial(_build, (partial(stacked_up, mappings[0]), step), layers=6),
                consistent=frozenset({kind}),
                figures={kind: {"mapping": mappings[0]}},
            )
    for mapping in ([1, 0, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0]):
        yield Case(
            name=f"layers in another order {mapping}",
            kind="no name",
            build=partial(_build, (partial(stacked_up, mapping),), layers=6),
        )


def sequences() -> Iterator[Case]:
    """Several steps: each is explained where nothing but rounding is left of any, and else none is."""
    adapter = partial(adapted, ("q_proj", "v_proj"), 4)
    swap = [1, 0, 3, 2]
    exact: dict[str, tuple[tuple[Step, ...], dict[str, Any], set[str]]] = {
        "rows and an adapter": ((partial(added_rows, 8), adapter), {}, {"vocabulary-extension", "lora-merge"}),
        "experts swapped and an adapter": (
            (partial(placed, swap), adapter),
            {"experts": 4},
            {"experts-permuted", "lora-merge"},
        ),
        "rows and experts swapped": (
            (partial(added_rows, 8), partial(placed, swap)),
            {"experts": 4, "stacked": True},
            {"vocabulary-extension", "experts-permuted"},
        ),
        "rows and a layer dropped": (
            (partial(added_rows, 8), partial(stacked_up, [0, 1, 3])),
            {},
            {"vocabulary-extension", "layers-dropped"},
        ),
    }
    for name, (steps, sizes, ids) in exact.items():
        yield Case(
            name=name,
            kind="several steps",
            build=partial(_build, steps, hidden=128, **sizes),
            explained=frozenset(ids),
        )
        yield Case(
            name=f"{name}, and a norm retrained",
            kind="several steps and more",
            build=partial(_build, (*steps, partial(trained, ("norm",))), hidden=128, **sizes),
            consistent=frozenset(ids),
        )


def of_structure() -> Iterator[Case]:
    """All of them."""
    yield from vocabularies()
    yield from mixtures()
    yield from depths()
    yield from sequences()
