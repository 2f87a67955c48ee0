"""When one checkpoint is shown to be made from another: what tensors show, and what sketches show."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import shapes
import syntheticrecords as synthetic
from numpy.typing import NDArray

from mbom.ancestry import NEAR, Base, Compared, Sketches, compare, compare_sketches, squared_distance
from mbom.behaviour.record import Record
from mbom.behaviour.sketches import EXPERT_VALUES, MATRIX_VALUES
from mbom.inventory import Inventory, TensorRecord

MODEL = shapes.inventory([
    ("a.weight", "BF16", (600, 100)), ("b.weight", "BF16", (300, 100)), ("c.weight", "BF16", (100, 100)),
    ("norm.weight", "BF16", (100,)),
])  # fmt: skip
RECORD = synthetic.moe_record()
Floats = NDArray[np.float64]


def changed(held: Inventory, **edits: Callable[[TensorRecord], TensorRecord]) -> Inventory:
    """Return an inventory with tensors edited by the first component of their names."""
    found = [(tensor, edits.get(tensor.name.partition(".")[0])) for tensor in held.tensors]
    return replace(held, tensors=tuple(tensor if edit is None else edit(tensor) for tensor, edit in found))


def trained(tensor: TensorRecord) -> TensorRecord:
    return replace(tensor, blake3="f" * 63 + tensor.blake3[-1])


def renamed(tensor: TensorRecord) -> TensorRecord:
    return replace(tensor, name=f"language_model.{tensor.name}")


def cast(tensor: TensorRecord) -> TensorRecord:
    return replace(tensor, dtype="F16")


def outcome(model: Inventory, base: Inventory) -> tuple[str, int, int]:
    found = compare(model, None, Base(inventory=base))
    assert found.sketches is None
    return found.outcome, found.equal, found.moved


CASES: dict[str, tuple[Inventory, Inventory, tuple[str, int, int]]] = {
    "the same": (MODEL, MODEL, ("identical", 4, 0)),
    "a norm was trained": (changed(MODEL, norm=trained), MODEL, ("derived", 3, 0)),
    "the largest matrix was trained": (changed(MODEL, a=trained), MODEL, ("not shown", 3, 0)),
    "all else was trained": (changed(MODEL, b=trained, c=trained, norm=trained), MODEL, ("derived", 1, 0)),
    "everything was trained": (
        changed(MODEL, a=trained, b=trained, c=trained, norm=trained), MODEL, ("not shown", 0, 0),
    ),
    "everything lies under another name": (
        changed(MODEL, a=renamed, b=renamed, c=renamed, norm=renamed), MODEL, ("derived", 0, 4),
    ),
    "the same bytes as another dtype": (changed(MODEL, a=cast), MODEL, ("not shown", 3, 0)),
    "the base holds one tensor more": (
        MODEL, shapes.inventory([("z", "BF16", (2,)), *((t.name, t.dtype, t.shape) for t in MODEL.tensors)]),
        ("derived", 4, 0),
    ),
    "no tensors at all": (shapes.inventory([]), shapes.inventory([]), ("not shown", 0, 0)),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_equal_tensors_show_what_was_copied(case: str) -> None:
    model, base, expected = CASES[case]
    assert outcome(model, base) == expected


def test_two_tensors_that_changed_places_are_not_an_identical_model() -> None:
    first, second = "a.weight", "b.weight"
    square = shapes.inventory([(first, "BF16", (100, 100)), (second, "BF16", (100, 100))])
    digests = {first: square.tensors[1].blake3, second: square.tensors[0].blake3}
    swapped = replace(square, tensors=tuple(replace(item, blake3=digests[item.name]) for item in square.tensors))
    assert outcome(swapped, square) == ("derived", 0, 2)


def test_a_comparison_says_with_what_it_was_made() -> None:
    found = compare(MODEL, None, Base(inventory=MODEL, attestation="ab" * 32, signer="somebody"))
    assert found == Compared(
        origin=MODEL.origin, model_digest=MODEL.digest, attestation="ab" * 32, signer="somebody",
        tensors=4, base_tensors=4, equal=4, moved=0, size=200_200, shared=200_200,
    )  # fmt: skip


# ---- sketches ----


def sketched(record: Record, change: Callable[[Floats], Floats]) -> Record:
    return replace(record, numbers=replace(record.numbers, sketches=change(record.numbers.sketches)))


def normal(size: float, seed: int = 3) -> Callable[[Floats], Floats]:
    return lambda values: values + size * np.random.default_rng(seed).normal(size=values.shape)


def of_sketches(model: Record, base: Record) -> Sketches:
    found = compare_sketches(model, base)
    assert found is not None
    return found


def by_sketches(model: Record, base: Record) -> str:
    other = changed(MODEL, a=trained, b=trained, c=trained, norm=trained)
    return compare(other, model, Base(inventory=MODEL, record=base)).outcome


def test_the_same_sketches_are_at_no_distance() -> None:
    found = of_sketches(RECORD, RECORD)
    assert (found.distance, found.error) == (0.0, 0.0)
    assert found.near == found.compared == found.elements
    assert by_sketches(RECORD, RECORD) == "derived"


@pytest.mark.parametrize("size", [1e-6, 1e-2, 0.3])
def test_sketches_that_moved_a_little_are_as_far_apart_as_they_moved(size: float) -> None:
    found = of_sketches(sketched(RECORD, normal(size)), RECORD)
    assert found.distance == pytest.approx(size / math.sqrt(2 + size**2), rel=0.1)
    assert 0 < found.error < 0.1 * found.distance
    assert by_sketches(sketched(RECORD, normal(size)), RECORD) == "derived"


@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e3])
def test_unrelated_sketches_are_at_distance_one_whatever_their_norms(scale: float) -> None:
    other = sketched(RECORD, lambda values: scale * np.random.default_rng(3).normal(size=values.shape))
    found = of_sketches(other, RECORD)
    assert found.distance == pytest.approx(1.0, abs=5 * found.error + 1e-3)
    assert found.near == 0
    assert by_sketches(other, RECORD) == "not shown"


def test_vectors_count_for_nothing() -> None:
    vectors = sum(math.prod(weight.shape) for weight in RECORD.weights if len(weight.shape) == 1)
    assert vectors > 0
    assert of_sketches(RECORD, RECORD).elements == sum(math.prod(w.shape) for w in RECORD.weights) - vectors


def test_weights_that_the_base_has_in_another_shape_are_not_compared() -> None:
    def widened(record: Record) -> Record:
        weights = tuple(replace(w, shape=(400, 32)) if w.name == synthetic.HEAD else w for w in record.weights)
        return replace(record, weights=weights)

    found = of_sketches(widened(RECORD), RECORD)
    assert found.elements - found.compared == 400 * 32
    assert found.near == found.compared


def test_a_base_with_none_of_the_names_shows_nothing() -> None:
    weights = tuple(replace(weight, name=f"x.{weight.name}") for weight in RECORD.weights)
    found = of_sketches(RECORD, replace(RECORD, weights=weights))
    assert (found.compared, found.near, found.distance, found.error) == (0, 0, 0.0, 0.0)
    assert by_sketches(RECORD, replace(RECORD, weights=weights)) == "not shown"


def test_records_that_drew_their_signs_differently_are_not_compared() -> None:
    assert compare_sketches(replace(RECORD, challenge="5f0c"), RECORD) is None


def test_weights_of_nothing_are_no_witness() -> None:
    zeros = np.zeros((1, MATRIX_VALUES))
    assert squared_distance(zeros, zeros) is None
    assert squared_distance(zeros, zeros + 1.0) == (1.0, 0.0)
    assert squared_distance(zeros + 1e200, zeros) is None
    nothing = sketched(RECORD, np.zeros_like)
    assert of_sketches(nothing, nothing).near == 0


def matrix(rng: np.random.Generator, rank: int | None) -> Floats:
    """Return a matrix of 96 x 64 of full or low rank, of norm one."""
    found: Floats = rng.normal(size=(96, 64))
    if rank is not None:
        found = rng.normal(size=(96, rank)) @ rng.normal(size=(rank, 64))
    return found / np.linalg.norm(found)


@pytest.mark.parametrize("rank", [None, 1, 4])
@pytest.mark.parametrize(("slices", "values"), [(1, MATRIX_VALUES), (8, EXPERT_VALUES)])
def test_the_estimate_is_that_of_the_matrices_and_its_error_is_its_spread(
    rank: int | None, slices: int, values: int
) -> None:
    rng = np.random.default_rng(5)
    estimates, errors, exact = [], [], []
    for _ in range(60):
        before = np.stack([matrix(rng, rank) for _ in range(slices)])
        after = before + 0.4 * np.stack([matrix(rng, rank) for _ in range(slices)])
        left, right = (rng.choice((-1.0, 1.0), size=(side, values)) for side in (96, 64))
        old, new = (np.einsum("ijk,jv,kv->iv", held, left, right) for held in (before, after))
        found = squared_distance(old, new)
        assert found is not None
        estimates.append(found[0])
        errors.append(found[1])
        exact.append(((after - before) ** 2).sum() / ((after**2).sum() + (before**2).sum()))
    off = np.array(estimates) - np.array(exact)
    assert abs(off.mean()) < 4 * off.std() / math.sqrt(len(off)) + 0.15 * np.mean(exact)
    assert 0.4 < np.mean(errors) / off.std() < 2.0


def test_unrelated_matrices_of_any_rank_are_not_near() -> None:
    rng = np.random.default_rng(5)
    near = 0
    for rank in (None, 1, 4) * 60:
        left, right = (rng.choice((-1.0, 1.0), size=(side, MATRIX_VALUES)) for side in (96, 64))
        old, new = (np.einsum("jk,jv,kv->v", matrix(rng, rank), left, right)[None] for _ in range(2))
        found = squared_distance(old, new)
        assert found is not None
        near += found[0] <= NEAR**2
    assert near == 0


def numbers(**values: Any) -> Compared:
    given: dict[str, Any] = {"tensors": 4, "base_tensors": 4, "equal": 0, "moved": 0, "size": 100, "shared": 0}
    return Compared(origin=MODEL.origin, model_digest=MODEL.digest, attestation=None, signer=None, **(given | values))


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ({"shared": 49}, "not shown"),
        ({"shared": 50}, "derived"),
        ({"sketches": Sketches(elements=100, compared=100, near=49, distance=0.1, error=0.1)}, "not shown"),
        ({"sketches": Sketches(elements=100, compared=50, near=50, distance=0.1, error=0.1)}, "derived"),
        ({"sketches": Sketches(elements=0, compared=0, near=0, distance=0.0, error=0.0)}, "not shown"),
        ({"equal": 4, "shared": 100}, "identical"),
        ({"equal": 4, "shared": 100, "base_tensors": 5}, "derived"),
    ],
)
def test_half_of_the_bytes_or_of_the_elements_is_the_rule(values: dict[str, Any], shown: str) -> None:
    assert numbers(**values).outcome == shown
