"""Changes of values in place with their true reasons, and confusable ones: adapters, ablations, merges, training."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from arrayvalues import Arrays

from diffcases.models import (
    ATTENTION,
    DENSE,
    WRITERS,
    Case,
    Sides,
    Tensors,
    based,
    checkpoint,
    edited,
    low_rank,
    noise,
    within,
)
from mbom.behaviour.values import Floats
from mbom.diff.values.floats import rounded, step

# Adapters.


def _lora(
    rng: np.random.Generator,
    *,
    dtype: str,
    rank: int,
    relative: float,
    modules: Sequence[str] = ("q_proj", "v_proj"),
    extra: Callable[[np.random.Generator, Tensors], None] | None = None,
    in_stored_type: bool = False,
    ranks: Mapping[str, int] | None = None,
    **sizes: Any,
) -> Sides:
    old = based(rng, dtype, **sizes)

    def merge(name: str, values: Floats) -> Floats:
        if not within(name, modules):
            return values
        of = next((r for module, r in (ranks or {}).items() if within(name, [module])), rank)
        added = low_rank(rng, values, of, relative)
        return values + (rounded(2 * rounded(added / 2, dtype), dtype) if in_stored_type else added)

    new = edited(old, merge)
    if extra is not None:
        arrays = dict(new.arrays)
        extra(rng, arrays)
        new = checkpoint(arrays, dtype)
    return old, new, ()


def _edit(module: str, rng: np.random.Generator, arrays: Tensors) -> None:
    """Change one element of one matrix, to what a flipped high bit makes of it."""
    name = f"model.layers.1.self_attn.{module}.weight"
    values = arrays[name].copy()
    values[tuple(rng.integers(0, values.shape))] += 0.5
    arrays[name] = values


def _blur(modules: Sequence[str], steps: float, rng: np.random.Generator, arrays: Tensors) -> None:
    """Add dense noise of so many steps of bfloat16 to some modules."""
    for name in [name for name in arrays if within(name, modules)]:
        arrays[name] = arrays[name] + steps * step(arrays[name], "bfloat16") * rng.standard_normal(arrays[name].shape)


def _retrain(modules: Sequence[str], relative: float, rng: np.random.Generator, arrays: Tensors) -> None:
    for name in [name for name in arrays if within(name, modules)]:
        arrays[name] = arrays[name] + noise(rng, arrays[name], relative)


def adapters() -> Iterator[Case]:
    """Adapters that were merged, and what looks like them."""
    subsets = {"qv": ("q_proj", "v_proj"), "attention": ATTENTION, "mlp": DENSE, "all": (*ATTENTION, *DENSE)}
    grid = [
        (hidden, rank, dtype, relative, subset)
        for hidden, ranks in ((64, (1, 2, 4, 8)), (128, (4, 16)), (256, (16, 32)))
        for rank in ranks
        for dtype, relative in (("bfloat16", 1e-2), ("bfloat16", 3e-2), ("float16", 1e-2), ("float32", 3e-3))
        for subset in (("qv", "mlp") if hidden == 64 else ("qv",))
    ]
    grid += [(64, 4, "bfloat16", 3e-2, "attention"), (64, 4, "bfloat16", 3e-2, "all"), (128, 8, "float16", 3e-3, "all")]
    grid += [(512, 64, "bfloat16", 1e-2, "qv"), (512, 48, "float16", 3e-3, "qv")]
    for hidden, rank, dtype, relative, subset in grid:
        build = partial(
            _lora,
            dtype=dtype,
            rank=rank,
            relative=relative,
            modules=subsets[subset],
            hidden=hidden,
            layers=2 if hidden > 128 else 4,
            attention=("q_proj", "v_proj") if hidden > 256 else ATTENTION,
        )
        yield Case(
            name=f"lora r={rank} {subset} {hidden} {dtype} {relative}",
            kind="lora-merge",
            build=build,
            explained=frozenset({"lora-merge"}),
            figures={"lora-merge": {"rank": rank, "ranks": [rank]}},
            slow=hidden > 256,
        )
    yield from _adapters_of_other_kinds()
    yield from _nearly_adapters()


def _adapters_of_other_kinds() -> Iterator[Case]:
    explained = frozenset({"lora-merge"})
    for dtype in ("bfloat16", "float16"):
        yield Case(
            name=f"lora computed in {dtype}",
            kind="lora-merge",
            build=partial(_lora, dtype=dtype, rank=8, relative=3e-2, hidden=128, in_stored_type=True),
            explained=explained,
            figures={"lora-merge": {"rank": 8}},
        )
        yield Case(
            name=f"lora of two ranks {dtype}",
            kind="lora-merge",
            build=partial(_lora, dtype=dtype, rank=2, relative=2e-2, ranks={"q_proj": 6}, hidden=128),
            explained=explained,
            figures={"lora-merge": {"rank": 6, "ranks": [2, 6]}},
        )
    for rank in (1, 4):
        yield Case(
            name=f"lora of stacked experts r={rank}",
            kind="lora-merge",
            build=partial(
                _lora,
                dtype="bfloat16",
                rank=rank,
                relative=3e-2,
                modules=("down_proj",),
                hidden=128,
                experts=4,
                stacked=True,
                layers=2,
            ),
            explained=explained,
            figures={"lora-merge": {"rank": rank}},
        )


def _nearly_adapters() -> Iterator[Case]:
    both = ("q_proj", "v_proj")
    for steps in (0.25, 1.0, 3.0):
        yield Case(
            name=f"lora with dense noise of {steps} steps",
            kind="nearly low rank",
            build=partial(
                _lora, dtype="bfloat16", rank=4, relative=2e-2, hidden=128, extra=partial(_blur, both, steps)
            ),
        )
    for share in (0.1, 0.5):
        yield Case(
            name=f"fine-tune of all, {1 - share:.0%} of it low rank",
            kind="nearly low rank",
            build=partial(
                _lora,
                dtype="bfloat16",
                rank=4,
                relative=2e-2,
                modules=(*ATTENTION, *DENSE, "embed_tokens", "lm_head"),
                extra=partial(_retrain, (*ATTENTION, *DENSE, "embed_tokens", "lm_head"), 2e-2 * share),
            ),
        )
    for module, dtype in itertools.product(("o_proj", "q_proj"), ("bfloat16", "float16")):
        beside = module == "o_proj"
        yield Case(
            name=f"lora and one edited element in {module} {dtype}",
            kind="lora and an edit",
            build=partial(_lora, dtype=dtype, rank=4, relative=2e-2, hidden=128, extra=partial(_edit, module)),
            explained=frozenset({"lora-merge", "few-weights-edit"}) if beside else frozenset(),
            consistent=frozenset() if beside else frozenset({"lora-merge"}),
        )
    for modules in (("input_layernorm",), ("lm_head",), ("o_proj", "k_proj")):
        yield Case(
            name=f"lora and {modules[0]} retrained",
            kind="lora and more",
            build=partial(
                _lora, dtype="bfloat16", rank=4, relative=2e-2, hidden=128, extra=partial(_retrain, modules, 2e-2)
            ),
            consistent=frozenset({"lora-merge"}),
        )


# Ablations.


def _ablation(
    rng: np.random.Generator,
    *,
    dtype: str,
    strength: float = 1.0,
    modules: Sequence[str] = WRITERS,
    turned: Sequence[str] = (),
    extra: Callable[[np.random.Generator, Tensors], None] | None = None,
    directions: int = 1,
    **sizes: Any,
) -> Sides:
    """Take a direction out of the output of some modules, and out of the input of ``turned`` ones."""
    old = based(rng, dtype, **sizes)
    hidden = old.arrays["model.norm.weight"].size
    drawn = rng.standard_normal((directions, hidden))
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    uses = itertools.cycle(drawn)

    def ablate(name: str, values: Floats) -> Floats:
        if within(name, turned):
            v = next(uses)
            return np.asarray(values - strength * (values @ v)[..., None] * v)
        if within(name, modules):
            v = next(uses)
            return np.asarray(values - strength * np.outer(v, v @ values))
        return values

    new = edited(old, ablate)
    if extra is not None:
        arrays = dict(new.arrays)
        extra(rng, arrays)
        new = checkpoint(arrays, dtype)
    return old, new, ()


def ablations() -> Iterator[Case]:
    """Directions taken out, and what looks like it."""
    grid = itertools.product((64, 128, 256), ("bfloat16", "float16", "float32"), (1.0, 0.5, 1.3))
    for hidden, dtype, strength in grid:
        yield Case(
            name=f"ablation {hidden} {dtype} {strength}",
            kind="direction-ablation",
            build=partial(_ablation, dtype=dtype, strength=strength, hidden=hidden, layers=3),
            explained=frozenset({"direction-ablation"}),
            figures={"direction-ablation": {"strength": strength, "dimensions": hidden}},
        )
    for dtype in ("bfloat16", "float16"):
        for name, modules, turned in (
            ("with the embedding", WRITERS, ("embed_tokens",)),
            ("of readers", (), ("q_proj", "k_proj", "v_proj")),
            ("of one module", ("o_proj",), ()),
        ):
            yield Case(
                name=f"ablation {name} {dtype}",
                kind="direction-ablation",
                build=partial(_ablation, dtype=dtype, modules=modules, turned=turned, hidden=128),
                explained=frozenset({"direction-ablation"}),
                figures={"direction-ablation": {"strength": 1.0}},
            )
        yield Case(
            name=f"ablation of stacked experts {dtype}",
            kind="direction-ablation",
            build=partial(
                _ablation, dtype=dtype, modules=("o_proj",), turned=("down_proj",), hidden=128, experts=4, stacked=True
            ),
            explained=frozenset({"direction-ablation"}),
        )
        for steps in (0.3, 1.0, 4.0):
            yield Case(
                name=f"ablation with noise of {steps} steps {dtype}",
                kind="ablation and noise",
                build=partial(_ablation, dtype=dtype, hidden=128, extra=partial(_blur, WRITERS, steps)),
            )
    yield Case(
        name="ablation and an edited element",
        kind="ablation and an edit",
        build=partial(_ablation, dtype="bfloat16", hidden=128, extra=partial(_edit, "q_proj")),
        explained=frozenset({"direction-ablation", "few-weights-edit"}),
    )
    yield Case(
        name="ablation and the head retrained",
        kind="ablation and more",
        build=partial(_ablation, dtype="bfloat16", hidden=128, extra=partial(_retrain, ("lm_head",), 1e-2)),
        consistent=frozenset({"direction-ablation"}),
    )
    yield Case(
        name="three directions taken out in turn",
        kind="three directions",
        build=partial(_ablation, dtype="bfloat16", hidden=128, directions=3),
        explained=frozenset({"lora-merge"}),
        figures={"lora-merge": {"rank": 1}},
    )


# Merges.


def _trained(rng: np.random.Generator, base: Arrays, relative: float) -> Arrays:
    return edited(base, lambda _, values: values + noise(rng, values, relative))


def _merge(
    rng: np.random.Generator,
    *,
    dtype: str,
    mix: Callable[[str, Floats, Floats], Floats],
    apart: float = 0.1,
    third: float = 0.0,
    given: bool = True,
    decoys: int = 0,
) -> Sides:
    """Mix a model with one that was trained from it, or with an unrelated one where they are 1 apart."""
    old = based(rng, dtype)
    other = based(rng, dtype) if apart == 1 else _trained(rng, old, apart)
    unknown = _trained(rng, old, apart)
    decoy = tuple(_trained(rng, old, apart) for _ in range(decoys))

    def mixed(name: str, values: Floats) -> Floats:
        return mix(name, values, other.arrays[name]) + third * (unknown.arrays[name] - values)

    return old, edited(old, mixed), (*decoy, other) if given else decoy


def _linear(a: float, b: float, _name: str, one: Floats, other: Floats) -> Floats:
    return a * one + b * other


def _slerp(t: float, _name: str, one: Floats, other: Floats) -> Floats:
    angle = np.arccos(np.sum(one * other) / (np.linalg.norm(one) * np.linalg.norm(other)))
    mixed = (np.sin((1 - t) * angle) * one + np.sin(t * angle) * other) / np.sin(angle)
    return np.asarray(mixed)


def _by_layer(name: str, one: Floats, other: Floats) -> Floats:
    layer = next((int(part) for part in name.split(".") if part.isdigit()), 4)
    b = 0.2 + 0.15 * layer
    return (1 - b) * one + b * other


def merges() -> Iterator[Case]:
    """Merges of two models, and what looks like them."""
    explained = frozenset({"model-merge"})
    mixes = [(1 - t, t) for t in (0.05, 0.1, 0.25, 0.3, 0.5, 0.7, 0.9)] + [(1.0, 0.3), (0.8, 0.4), (1.2, -0.2)]
    for (a, b), (dtype, apart) in itertools.product(
        mixes, (("bfloat16", 0.1), ("bfloat16", 1.0), ("float16", 0.02), ("float32", 0.1))
    ):
        method = "linear" if abs(a + b - 1) < 1e-9 else "task-arithmetic"
        yield Case(
            name=f"merge {a:.2f} {b:.2f} {dtype} {apart}",
            kind="model-merge",
            build=partial(_merge, dtype=dtype, mix=partial(_linear, a, b), apart=apart),
            explained=explained,
            figures={"model-merge": {"a": a, "b": b, "method": method, "other": 0}},
        )
    for t, apart in itertools.product((0.2, 0.5, 0.6), (0.1, 1.0)):
        yield Case(
            name=f"slerp {t} {apart}",
            kind="model-merge",
            build=partial(_merge, dtype="bfloat16", mix=partial(_slerp, t), apart=apart),
            explained=explained,
            figures={"model-merge": {"t": t, "method": "slerp"}},
        )
    for dtype in ("bfloat16", "float16"):
        yield Case(
            name=f"merge by layer {dtype}",
            kind="model-merge",
            build=partial(_merge, dtype=dtype, mix=_by_layer),
            explained=explained,
            figures={"model-merge": {"method": "by-layer"}},
        )
        yield Case(
            name=f"merge with the third of three {dtype}",
            kind="model-merge",
            build=partial(_merge, dtype=dtype, mix=partial(_linear, 0.6, 0.4), decoys=2),
            explained=explained,
            figures={"model-merge": {"a": 0.6, "b": 0.4, "other": 2}},
        )
    half = partial(_linear, 0.5, 0.5)
    for third, apart in itertools.product((0.02, 0.1, 0.4), (0.1, 1.0)):
        yield Case(
            name=f"merge with a third model {third} {apart}",
            kind="merge of three",
            build=partial(_merge, dtype="bfloat16", mix=half, third=third, apart=apart),
        )
    yield Case(
        name="merge with a model that is not given",
        kind="merge, not given",
        build=partial(_merge, dtype="bfloat16", mix=half, given=False),
    )
    yield Case(
        name="merge with another model than those given",
        kind="merge, not given",
        build=partial(_merge, dtype="bfloat16", mix=half, given=False, decoys=2),
    )
    yield Case(
        name="the other model itself",
        kind="another model",
        build=partial(_merge, dtype="bfloat16", mix=partial(_linear, 0, 1), apart=1.0),
    )


# Training, and changes that have no name.


def _everywhere(
    rng: np.random.Generator,
    *,
    change: Callable[[np.random.Generator, Floats], Floats],
    dtype: str,
    modules: Sequence[str],
) -> Sides:
    old = based(rng, dtype)
    return old, edited(old, lambda name, values: change(rng, values) if within(name, modules) else values), ()


def _train(relative: float, rng: np.random.Generator, values: Floats) -> Floats:
    return values + noise(rng, values, relative)


def _integers(levels: int, _rng: np.random.Generator, values: Floats) -> Floats:
    scale = np.max(np.abs(values), axis=-1, keepdims=True) / levels
    return np.asarray(np.rint(values / scale) * scale)


def _jitter(share: float, rng: np.random.Generator, values: Floats) -> Floats:
    moved = rng.integers(0, 2, values.shape) * 2 - 1
    return values + np.where(rng.random(values.shape) < share, moved * step(values, "bfloat16"), 0)


def _spiked(rng: np.random.Generator, values: Floats) -> Floats:
    return _train(1e-2, rng, values) + (low_rank(rng, values, 2, 1e-2) if values.ndim == 2 else 0)


def _element(rng: np.random.Generator, values: Floats) -> Floats:
    edited_values: Floats = values.copy()
    edited_values[tuple(rng.integers(0, values.shape))] *= -3
    return edited_values


def _row(rng: np.random.Generator, values: Floats) -> Floats:
    edited_values = values.copy()
    edited_values[int(rng.integers(0, len(values)))] *= 2
    return edited_values


def trainings() -> Iterator[Case]:
    """Fine-tunes of everything, and changes that have no name here."""
    everything = (*ATTENTION, *DENSE, "embed_tokens", "lm_head", "input_layernorm")
    for dtype, relative in itertools.product(("bfloat16", "float16"), (1e-3, 1e-2, 0.1)):
        yield Case(
            name=f"fine-tune {dtype} {relative}",
            kind="full-fine-tune",
            build=partial(_everywhere, change=partial(_train, relative), dtype=dtype, modules=everything),
            consistent=frozenset({"full-fine-tune"}),
        )
    yield Case(
        name="fine-tune with strong directions",
        kind="full-fine-tune",
        build=partial(_everywhere, change=_spiked, dtype="bfloat16", modules=everything),
        consistent=frozenset({"full-fine-tune"}),
    )
    unnamed: dict[str, Callable[[np.random.Generator, Floats], Floats]] = {
        "int8 rows": partial(_integers, 127),
        "int4 rows": partial(_integers, 7),
        "one step of some": partial(_jitter, 0.1),
        "one step of all": partial(_jitter, 1.0),
        "another model": lambda rng, values: rng.permutation(values.ravel()).reshape(values.shape),
        "transposed": lambda _, values: values.T if values.ndim == 2 and len(set(values.shape)) == 1 else values,
        "signs of rows": lambda rng, values: (
            values * (rng.integers(0, 2, (len(values), *[1] * (values.ndim - 1))) * 2 - 1)
        ),
        "signs of all": lambda _, values: -values,
        "scaled by 1.01": lambda _, values: 1.01 * values,
        "scaled by 2": lambda _, values: 2 * values,
        "rows scaled": lambda rng, values: (
            values * (1 + 0.05 * rng.standard_normal((len(values), *[1] * (values.ndim - 1))))
        ),
        "rows in another order": lambda rng, values: values[rng.permutation(len(values))],
        "zeroed": lambda _, values: 0 * values,
        "a row": _row,
    }
    subsets: tuple[tuple[str, ...], ...] = (everything, ("q_proj", "v_proj"), ("lm_head",))
    for modules in subsets:
        yield Case(
            name=f"an element of {len(modules)} modules",
            kind="few-weights-edit",
            build=partial(_everywhere, change=_element, dtype="bfloat16", modules=modules),
            explained=frozenset({"few-weights-edit"}),
        )
    for (name, change), modules in itertools.product(unnamed.items(), subsets[:2]):
        yield Case(
            name=f"{name} of {'all' if modules is everything else 'two modules'}",
            kind="no name",
            build=partial(_everywhere, change=change, dtype="bfloat16", modules=modules),
        )


def in_place() -> Iterator[Case]:
    """All of them."""
    yield from adapters()
    yield from ablations()
    yield from merges()
    yield from trainings()
