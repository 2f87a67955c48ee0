"""The stated error of estimates is one that 95 of 100 are within, whatever the change looks like."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import syntheticrecords as synthetic
import tinymodels
import torch
from numpy.random import Generator
from safetensors.torch import load_file, save_file

from mbom.behaviour import sketches
from mbom.behaviour.projection import challenge_key
from mbom.behaviour.record import Record
from mbom.behaviour.values import Floats
from mbom.diff.values.estimates import BILINEAR, LINEAR, Estimate, Sum
from mbom.diff.values.weights import compare, estimate
from mbom.engine import run
from mbom.engine.values import open_values

TRIALS = 300
CERTAIN = 0.95


def dense(rng: Generator, shape: tuple[int, ...]) -> Floats:
    return rng.normal(size=shape)


def low_rank(rng: Generator, shape: tuple[int, ...], rank: int = 1) -> Floats:
    *stack, rows, columns = shape
    return rng.normal(size=(*stack, rows, rank)) @ rng.normal(size=(*stack, rank, columns))


def rank_four(rng: Generator, shape: tuple[int, ...]) -> Floats:
    return low_rank(rng, shape, 4)


def sparse(rng: Generator, shape: tuple[int, ...]) -> Floats:
    return np.where(rng.random(shape) < 0.01, rng.normal(size=shape), 0.0) + single(rng, shape)


def few(rng: Generator, shape: tuple[int, ...]) -> Floats:
    found = np.zeros(shape)
    for _ in range(3):
        found += single(rng, shape)
    return found


def single(rng: Generator, shape: tuple[int, ...]) -> Floats:
    found = np.zeros(shape)
    found[tuple(rng.integers(side) for side in shape)] = rng.normal() + 2
    return found


def one_row(rng: Generator, shape: tuple[int, ...]) -> Floats:
    found = np.zeros(shape)
    found[tuple(rng.integers(side) for side in shape[:-1])] = rng.normal(size=shape[-1])
    return found


def one_slice(rng: Generator, shape: tuple[int, ...]) -> Floats:
    found = np.zeros(shape)
    found[rng.integers(shape[0])] = low_rank(rng, shape[1:]) if len(shape) > 2 else rng.normal(size=shape[1:])
    return found


Draw = Callable[[Generator, tuple[int, ...]], Floats]
ALL: tuple[Draw, ...] = (dense, sparse, few, single)
MATRICES: tuple[Draw, ...] = (low_rank, rank_four, one_row)
# What is sketched: shape, slices, and the changes it is tried with.
SHAPES: dict[str, tuple[tuple[int, ...], int, tuple[Draw, ...]]] = {
    "matrix": ((48, 40), 1, (*ALL, *MATRICES)),
    "vector": ((64,), 1, ALL),
    "experts": ((8, 24, 20), 8, (*ALL, *MATRICES, one_slice)),
    "router": ((16, 40), 16, (*ALL, *MATRICES, one_slice)),
}
CASES = [(name, draw) for name, (_, _, draws) in SHAPES.items() for draw in draws]


def sketched(values: Floats, slices: int, key: bytes) -> Floats:
    """Return the sketches of a weight by their definition."""
    parts = values if slices > 1 else values[None]
    count = sketches.values(values.shape, slices)
    left = sketches.left("w", parts.shape[1], count, key).astype(np.float64)
    if parts.ndim == 2:
        return parts @ left
    right = sketches.right("w", parts.shape[2], count, key).astype(np.float64)
    found: Floats = np.einsum("eij,ik,jk->ek", parts, left, right, optimize=True)
    return found


def trial(name: str, draw: Draw, seed: int) -> tuple[float, Estimate]:
    """Return the true relative change of a random weight, and what its sketches under other signs say."""
    shape, slices, _ = SHAPES[name]
    rng = np.random.default_rng(seed)
    key = challenge_key("5a" * 32, str(seed))
    before, change = rng.normal(size=shape), 0.01 * draw(rng, shape)
    bilinear = len(shape) - (slices > 1) > 1
    one, other = sketched(before, slices, key), sketched(before + change, slices, key)
    found = Estimate(change=Sum.of(other - one, bilinear=bilinear), norm=Sum.of(one, bilinear=bilinear))
    return float(np.linalg.norm(change) / np.linalg.norm(before)), found


@pytest.mark.parametrize(("name", "draw"), CASES, ids=[f"{name}, {draw.__name__}" for name, draw in CASES])
def test_the_stated_error_holds_in_95_of_100_cases(name: str, draw: Draw) -> None:
    within = []
    for seed in range(TRIALS):
        true, found = trial(name, draw, seed)
        within.append(abs(found.relative - true) <= found.error)
    assert np.mean(within) >= CERTAIN


def test_the_stated_error_is_no_excuse() -> None:
    # A bound that is never missed would be worth as little as one that is missed half the time.
    errors = [found.error / found.relative for _, found in (trial("matrix", dense, seed) for seed in range(100))]
    assert 0.2 < np.median(errors) < 0.5
    errors = [found.error / found.relative for _, found in (trial("experts", dense, seed) for seed in range(100))]
    assert np.median(errors) < 0.6


def test_a_single_element_is_measured_but_for_the_norm_that_it_is_relative_to() -> None:
    for seed in range(20):
        _, found = trial("matrix", single, seed)
        assert found.change.error == 0.0
        assert found.norm.error > 0.1


# ---- the factors ----


def law(rng: Generator, shape: tuple[int, ...], *, bilinear: bool) -> Floats:
    """Return what sketches of long vectors, and of long matrices of rank one, are like."""
    return rng.normal(size=shape) * (rng.normal(size=shape) if bilinear else 1.0)


# Slices, values of each, how the squared norm is spread over slices, whether the law is the bilinear one.
CROWDS: dict[str, tuple[int, int, float, bool]] = {
    "one matrix": (1, 64, 0.0, True),
    "one expert": (1, 16, 0.0, True),
    "8 experts": (8, 16, 0.0, True),
    "64 experts": (64, 16, 0.0, True),
    "32 experts, some much more": (32, 16, 1.0, True),
    "one vector": (1, 16, 0.0, False),
    "one row": (1, 2, 0.0, False),
    "32 rows": (32, 2, 0.0, False),
}


def share_within(case: str, *, alike: bool) -> float:
    slices, count, power, bilinear = CROWDS[case]
    rng = np.random.default_rng(41)
    weights = 1.0 / np.arange(1, slices + 1) ** power
    within = []
    for _ in range(2000):
        values = law(rng, (1 if alike else slices, count), bilinear=bilinear) * np.sqrt(weights)[:, None]
        found = Sum.of(values, bilinear=bilinear)
        root = math.sqrt(found.total)
        within.append(abs(root - math.sqrt(weights.sum())) <= found.error * root)
    return float(np.mean(within))


@pytest.mark.parametrize("alike", [False, True], ids=["each by itself", "alike"])
@pytest.mark.parametrize("case", CROWDS)
def test_the_factors_are_those_of_a_simulation(case: str, alike: bool) -> None:
    assert share_within(case, alike=alike) >= CERTAIN


@pytest.mark.parametrize("case", ["one matrix", "one expert", "one vector", "one row"])
def test_the_factors_are_no_larger_than_the_worst_law_asks_for(case: str) -> None:
    assert share_within(case, alike=False) <= 0.975


def test_factors_fall_as_values_grow_in_number() -> None:
    for table in (BILINEAR, LINEAR):
        assert [*table] == sorted(table)
        assert [*table.values()] == sorted(table.values(), reverse=True)


# ---- records ----

RECORD = synthetic.moe_record()


def moved(record: Record, name: str, factor: float) -> Record:
    """Return a record whose sketch of one weight is another."""
    flat, start = record.numbers.sketches.copy(), 0
    for weight in record.weights:
        if weight.name == name:
            flat[start : start + weight.size] *= factor
        start += weight.size
    return replace(record, numbers=replace(record.numbers, sketches=flat))


def test_records_of_one_checkpoint_are_equal() -> None:
    found = estimate(RECORD, synthetic.moe_record())
    assert found is not None
    assert (found.basis, found.changed, found.equal) == ("sketches", (), len(RECORD.weights))
    assert (found.only_old, found.only_new) == ((), ())


def test_a_weight_whose_sketch_moved_is_changed_by_as_much() -> None:
    weight = RECORD.weights[0]
    found = estimate(RECORD, moved(RECORD, weight.name, 1.25))
    assert found is not None
    (change,) = found.changed
    assert (change.name, change.basis, change.unchanged, change.largest) == (weight.name, "sketches", None, None)
    assert change.relative == pytest.approx(0.25)
    assert 0 < change.error < 0.25
    assert sum(each.changed for each in found.by_layer) == 1


def test_records_under_different_challenges_cannot_be_compared() -> None:
    assert estimate(RECORD, replace(RECORD, challenge="a nonce")) is None


def test_weights_of_one_side_are_listed() -> None:
    name = RECORD.weights[0].name
    renamed = replace(RECORD, weights=(replace(RECORD.weights[0], name=f"{name}.new"), *RECORD.weights[1:]))
    found = estimate(RECORD, renamed)
    assert found is not None
    assert (found.only_old, found.only_new) == ((name,), (f"{name}.new",))


def test_a_row_of_the_embedding_counts_although_its_sketch_is_the_same() -> None:
    rows = RECORD.numbers.embedding_rows.copy()
    rows[3] += 1
    found = estimate(RECORD, replace(RECORD, numbers=replace(RECORD.numbers, embedding_rows=rows)))
    assert found is not None
    assert [change.name for change in found.changed] == [RECORD.embedding]


@pytest.mark.parametrize("value", [math.nan, math.inf, 1e200, -1e308])
def test_numbers_beyond_all_measure_are_infinitely_far(value: float) -> None:
    numbers = RECORD.numbers.sketches.copy()
    numbers[:] = value
    hostile = replace(RECORD, numbers=replace(RECORD.numbers, sketches=numbers))
    for one, other in ((RECORD, hostile), (hostile, RECORD)):
        found = estimate(one, other)
        assert found is not None
        assert len(found.changed) == len(RECORD.weights)
        for change in found.changed:
            assert not change.relative < 0.5
            assert not math.isnan(change.error)


def test_a_record_says_what_the_weights_say(tmp_path: Path) -> None:
    old = tinymodels.build("qwen3_moe", tmp_path / "old")
    new = tinymodels.build("qwen3_moe", tmp_path / "new")
    tensors = load_file(new.folder / "model.safetensors")
    torch.manual_seed(5)
    for name, value in tensors.items():
        if "layers.1." in name and value.ndim == 2:
            low = torch.randn(value.shape[0], 1) @ torch.randn(1, value.shape[1])
            tensors[name] = (value.float() + 0.02 * low).bfloat16()
        elif "layers.2." in name or "norm" in name:
            tensors[name] = (value.float() + 0.01 * torch.randn_like(value.float())).bfloat16()
    save_file(tensors, new.folder / "model.safetensors", metadata={"format": "pt"})
    prompts = synthetic.fixed_prompts(256, length=3)
    one, other = (
        run.measured(m.files, m.inventory(), prompts, device=torch.device("cpu"), isolation=(), emit=lambda _: None)
        for m in (old, new)
    )
    with open_values(old.files, old.inventory()) as before, open_values(new.files, new.inventory()) as after:
        exact = compare(before, after)
    told = estimate(one, other)
    assert told is not None
    assert [change.name for change in told.changed] == [change.name for change in exact.changed]
    within = []
    for guess, true in zip(told.changed, exact.changed, strict=True):
        assert guess.experts == true.experts
        assert (guess.of, guess.elements, guess.layer, guess.role) == (true.of, true.elements, true.layer, true.role)
        within.append(abs(guess.relative - true.relative) <= guess.error)
    assert np.mean(within) >= CERTAIN
