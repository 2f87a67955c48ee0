"""Small models shaped like transformers, and cases of changes with what must be found of them."""

import hashlib
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from arrayvalues import Arrays

from mbom.behaviour.values import Floats
from mbom.diff.changes import Explanation
from mbom.diff.values.floats import rounded

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
DENSE = ("gate_proj", "up_proj", "down_proj")
WRITERS = ("o_proj", "down_proj")

Tensors = dict[str, Floats]
Sides = tuple[Arrays, Arrays, tuple[Arrays, ...]]


@dataclass(frozen=True, kw_only=True)
class Case:
    """One change.

    Attributes:
        name: unique.
        kind: what it is in truth, for the table.
        build: returns the old side, the new side and other models.
        explained: ids that must be called explained, exactly these; none for what has no such explanation.
        consistent: ids of which at least one must be called consistent, where there are any.
        figures: details that must be there, by id and name; numbers within 0.001.
        slow: left out of the default run.
    """

    name: str
    kind: str
    build: Callable[[np.random.Generator], Sides]
    explained: frozenset[str] = frozenset()
    consistent: frozenset[str] = frozenset()
    figures: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    slow: bool = False

    def sides(self, seed: int = 0) -> Sides:
        """Build it, the same at each call with the same seed."""
        seed ^= int.from_bytes(hashlib.sha256(self.name.encode()).digest()[:8], "big")
        return self.build(np.random.default_rng(seed))

    def faults(self, found: Sequence[Explanation]) -> list[str]:
        """Return what is wrong about some explanations."""
        told = {one.id: one for one in found}
        explained = {one.id for one in found if one.outcome == "explained"}
        faults = [f"{name} is called explained" for name in sorted(explained - self.explained)]
        faults += [f"{name} is not called explained" for name in sorted(self.explained - explained)]
        if self.consistent and self.consistent.isdisjoint(set(told) - explained):
            faults.append(f"none of {sorted(self.consistent)} is called consistent")
        for name, figures in self.figures.items():
            details = told[name].details if name in told else {}
            faults += [
                f"{name}: {figure} is {details.get(figure)!r}, not {value!r}"
                for figure, value in figures.items()
                if not _same(details.get(figure), value)
            ]
        return faults


def _same(found: object, expected: object) -> bool:
    if isinstance(expected, float):
        return isinstance(found, int | float) and abs(found - expected) <= 1e-3
    return found == expected


def model(
    rng: np.random.Generator,
    *,
    hidden: int = 64,
    layers: int = 4,
    experts: int = 0,
    stacked: bool = False,
    vocabulary: int = 0,
    attention: Sequence[str] = ATTENTION,
) -> Tensors:
    """Draw the weights of a model: rows and columns of different sizes, as training makes them."""
    inner = hidden * 2 if not experts else hidden // 2

    def matrix(*shape: int) -> Floats:
        sizes = np.exp(0.3 * rng.standard_normal((*shape[:-1], 1))) * np.exp(0.3 * rng.standard_normal(shape[-1]))
        return np.asarray(rng.standard_normal(shape) * sizes * 0.02)

    tensors = {"model.embed_tokens.weight": matrix(vocabulary or 3 * hidden, hidden)}
    for layer in range(layers):
        stem = f"model.layers.{layer}"
        for name in attention:
            tensors[f"{stem}.self_attn.{name}.weight"] = matrix(hidden, hidden)
        tensors[f"{stem}.input_layernorm.weight"] = 1 + 0.1 * rng.standard_normal(hidden)
        if not experts:
            for name in DENSE:
                shape = (hidden, inner) if name == "down_proj" else (inner, hidden)
                tensors[f"{stem}.mlp.{name}.weight"] = matrix(*shape)
            continue
        tensors[f"{stem}.mlp.gate.weight"] = matrix(experts, hidden)
        if stacked:
            tensors[f"{stem}.mlp.experts.gate_up_proj"] = matrix(experts, hidden, 2 * inner)
            tensors[f"{stem}.mlp.experts.down_proj"] = matrix(experts, inner, hidden)
            continue
        for expert, name in itertools.product(range(experts), DENSE):
            shape = (hidden, inner) if name == "down_proj" else (inner, hidden)
            tensors[f"{stem}.mlp.experts.{expert}.{name}.weight"] = matrix(*shape)
    tensors["model.norm.weight"] = 1 + 0.1 * rng.standard_normal(hidden)
    tensors["lm_head.weight"] = matrix(vocabulary or 3 * hidden, hidden)
    return tensors


def checkpoint(arrays: Mapping[str, Floats], dtype: str) -> Arrays:
    """Round everything to a stored type; stacked experts are those of three dimensions."""
    return Arrays(
        arrays={name: rounded(np.asarray(values, np.float64), dtype) for name, values in arrays.items()},
        dtypes=dict.fromkeys(arrays, dtype),
        experts=frozenset(name for name, values in arrays.items() if values.ndim == 3),
        digests=True,
    )


def based(rng: np.random.Generator, dtype: str, **sizes: Any) -> Arrays:
    """Draw a model as it is stored."""
    return checkpoint(model(rng, **sizes), dtype)


def edited(base: Arrays, change: Callable[[str, Floats], Floats]) -> Arrays:
    """Return a model with every weight put through a function of its name and values, and stored."""
    [dtype] = set(base.dtypes.values())
    return checkpoint({name: change(name, values) for name, values in base.arrays.items()}, dtype)


def within(name: str, modules: Iterable[str]) -> bool:
    """Whether a weight is of one of some modules."""
    return any(f".{module}." in f".{name}." for module in modules)


def low_rank(rng: np.random.Generator, values: Floats, rank: int, relative: float) -> Floats:
    """Draw the product of two factors for each matrix, of a size relative to it."""
    shape = values.shape
    product = rng.standard_normal((*shape[:-1], rank)) @ rng.standard_normal((*shape[:-2], rank, shape[-1]))
    return np.asarray(product * (relative * np.linalg.norm(values) / np.linalg.norm(product)))


def noise(rng: np.random.Generator, values: Floats, relative: float) -> Floats:
    """Draw a dense change of a size relative to some values."""
    drawn = rng.standard_normal(values.shape)
    return np.asarray(drawn * (relative * np.linalg.norm(values) / np.linalg.norm(drawn)))
