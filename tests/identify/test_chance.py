"""How often chance makes unrelated models look near, which must never be more often than the bound says."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import syntheticrecords as synthetic
from numpy.typing import NDArray

from mbom.behaviour import sketches
from mbom.behaviour.record import Record
from mbom.behaviour.sketches import Sketched
from mbom.identify.candidate import CHANCE, SIMILAR
from mbom.identify.chance import Nearness, nearness, separation

Floats = NDArray[np.float64]

RECORD = synthetic.moe_record()
SIZE = RECORD.numbers.sketches.size


def sketched(values: Floats, record: Record = RECORD) -> Record:
    return replace(record, numbers=replace(record.numbers, sketches=values))


def near(record: Record, base: Record, candidates: int = 1) -> Nearness:
    found = nearness(record, base, candidates)
    assert found is not None
    return found


def gaussian(rng: np.random.Generator) -> Floats:
    return rng.normal(size=SIZE)


def heavy(rng: np.random.Generator) -> Floats:
    return rng.standard_t(1.5, size=SIZE)


def sparse(rng: np.random.Generator) -> Floats:
    return rng.normal(size=SIZE) * (rng.random(SIZE) < 0.05)


def alike(rng: np.random.Generator) -> Floats:
    """All layers of a role, and all experts, have one and the same weight, as in models made by copying layers."""
    drawn: dict[tuple[str, int], Floats] = {}
    parts = []
    for weight in RECORD.weights:
        one = drawn.setdefault((weight.role, weight.values), rng.normal(size=weight.values))
        parts.append(np.tile(one, weight.slices))
    return np.concatenate(parts)


@pytest.mark.parametrize("draw", [gaussian, heavy, sparse, alike])
def test_unrelated_models_look_near_no_more_often_than_the_bound_says(
    draw: Callable[[np.random.Generator], Floats],
) -> None:
    rng = np.random.default_rng(17)
    found = [near(sketched(draw(rng)), sketched(draw(rng))) for _ in range(1500)]
    chances = np.array([item.chance for item in found])
    for bound in (0.5, 0.1, 0.02):
        assert (chances <= bound).mean() <= bound
    scores = np.array([item.score for item in found])
    assert abs(scores.mean()) < 0.15
    assert 0.8 < scores.std() < 1.2  # a score is what it says: in units of the spread


# ---- matrices, and the signs that records are really made with ----

ROLES = ("model.layers.0.up.weight", "model.layers.0.down.weight", "lm_head.weight")
ROWS, COLUMNS, VALUES = 48, 40, 64
LISTED = tuple(
    sorted(
        (Sketched(name=name, layer=None, shape=(ROWS, COLUMNS), slices=1) for name in ROLES),
        key=lambda weight: weight.name,
    )
)
LEFT = {weight.role: sketches.left(weight.role, ROWS, VALUES).astype(float) for weight in LISTED}
RIGHT = {weight.role: sketches.right(weight.role, COLUMNS, VALUES).astype(float) for weight in LISTED}


def of_matrices(matrices: dict[str, Floats]) -> Record:
    parts = [
        np.einsum("ij,iv,jv->v", matrices[weight.name], LEFT[weight.role], RIGHT[weight.role]) for weight in LISTED
    ]
    return sketched(np.concatenate(parts), replace(RECORD, weights=LISTED))


def matrices(rng: np.random.Generator, rank: int | None, mean: float = 0.0) -> dict[str, Floats]:
    found: dict[str, Floats] = {}
    for name in ROLES:
        if rank is None:
            found[name] = mean + rng.standard_t(3, size=(ROWS, COLUMNS))
        else:
            found[name] = rng.normal(size=(ROWS, rank)) @ rng.normal(size=(rank, COLUMNS))
    return found


@pytest.mark.parametrize("rank", [None, 1, 4])
def test_unrelated_matrices_of_any_rank_are_not_nearer_than_the_bound_says(rank: int | None) -> None:
    rng = np.random.default_rng(3)
    found = [near(of_matrices(matrices(rng, rank)), of_matrices(matrices(rng, rank))) for _ in range(300)]
    chances = np.array([item.chance for item in found])
    assert (chances <= 0.1).mean() <= 0.1
    assert chances.min() > CHANCE
    assert max(item.similarity for item in found if item.chance <= 0.1) < 0.6


def test_the_similarity_is_that_of_the_matrices() -> None:
    rng = np.random.default_rng(5)
    off = []
    for _ in range(40):
        base = matrices(rng, None)
        tuned = {name: held + 1.5 * rng.normal(size=held.shape) for name, held in base.items()}
        products = sum(float((base[name] * tuned[name]).sum()) / _norms(base[name], tuned[name]) for name in ROLES)
        off.append(near(of_matrices(tuned), of_matrices(base)).similarity - 2 * products / len(ROLES))
    assert abs(np.mean(off)) < 0.05
    assert np.std(off) < 0.1


def _norms(one: Floats, other: Floats) -> float:
    return float((one**2).sum() + (other**2).sum())


def test_weights_that_share_a_mean_are_no_accident_and_too_little() -> None:
    """Both models' weights are positive on average, by 0.1 of their spread: their inner products are not zero."""
    rng = np.random.default_rng(7)
    found = [near(of_matrices(matrices(rng, None, 0.2)), of_matrices(matrices(rng, None, 0.2))) for _ in range(50)]
    assert 0.005 < float(np.mean([item.similarity for item in found])) < SIMILAR / 2


# ---- what is not chance ----


@pytest.mark.parametrize("size", [0.0, 1e-3, 0.3, 1.0, 2.0])
def test_what_was_trained_on_is_seen(size: float) -> None:
    rng = np.random.default_rng(11)
    base = gaussian(rng)
    found = near(sketched(base + size * rng.normal(size=SIZE)), sketched(base))
    assert found.similarity == pytest.approx(2 / (2 + size**2), abs=0.06)
    assert found.chance < CHANCE
    assert found.comparable == 1.0


def test_the_bound_counts_every_candidate() -> None:
    rng = np.random.default_rng(13)
    base = gaussian(rng)
    model, known = sketched(base + 3 * rng.normal(size=SIZE)), sketched(base)
    alone = near(model, known).chance
    assert 0 < alone < 1e-4
    assert near(model, known, 1000).chance == pytest.approx(1000 * alone, rel=1e-3)
    assert near(model, known, 10**30).chance == 1.0


def test_the_opposite_is_not_near() -> None:
    found = near(sketched(-RECORD.numbers.sketches), RECORD)
    assert (found.similarity, found.chance) == (-1.0, 1.0)


def test_records_of_nothing_of_too_much_and_of_other_signs_show_nothing() -> None:
    zeros, huge = sketched(np.zeros(SIZE)), sketched(np.full(SIZE, 1e200))
    for one, other in ((zeros, zeros), (huge, huge), (RECORD, huge)):
        found = near(one, other)
        assert (found.comparable, found.similarity, found.score, found.chance) == (0.0, 0.0, 0.0, 1.0)
    assert nearness(replace(RECORD, challenge="5f0c"), RECORD) is None
    assert separation(replace(RECORD, challenge="5f0c"), RECORD, RECORD) == 1.0


def test_shapes_beyond_any_memory_are_counted_all_the_same() -> None:
    weights = tuple(
        replace(weight, shape=(1 << 48,) * 8) if weight.slices == 1 and len(weight.shape) > 1 else weight
        for weight in RECORD.weights
    )
    giant = replace(RECORD, weights=weights)
    assert near(giant, giant).similarity == pytest.approx(1.0)


def test_weights_of_no_elements_count_for_nothing() -> None:
    weights = tuple(replace(weight, shape=(0, *weight.shape[1:])) for weight in RECORD.weights if weight.slices == 1)
    size = sum(weight.size for weight in weights)
    nothing = sketched(np.ones(size), replace(RECORD, weights=weights))
    assert near(nothing, nothing) == Nearness(comparable=0.0, similarity=0.0, score=0.0, chance=1.0)


def test_a_mixture_of_experts_is_told_from_many_known_models() -> None:
    """99 of 100 weights are in experts, whose sketches have 16 values each; the other roles speak all the same."""
    rng = np.random.default_rng(29)
    record = replace(RECORD, weights=synthetic.gpt_oss_120b())
    size = sum(weight.size for weight in record.weights)
    base = rng.normal(size=size)
    model, sibling = (sketched(base + 0.1 * rng.normal(size=size), record) for _ in range(2))
    assert near(model, sketched(base, record), 10_000).chance < 1e-30
    assert near(sketched(rng.normal(size=size), record), sketched(base, record)).chance > CHANCE
    assert separation(model, sketched(base, record), sibling) < CHANCE


# ---- rivals ----


def test_the_base_is_nearer_than_another_model_made_from_it() -> None:
    rng = np.random.default_rng(19)
    base = gaussian(rng)
    model, sibling = (sketched(base + 0.1 * rng.normal(size=SIZE)) for _ in range(2))
    assert separation(model, sketched(base), sibling) < CHANCE
    assert separation(model, sibling, sketched(base)) == 1.0


def test_two_that_are_equally_near_are_not_told_apart() -> None:
    rng = np.random.default_rng(23)
    below = 0
    for _ in range(300):
        base = gaussian(rng)
        model, one, other = (sketched(base + 0.1 * rng.normal(size=SIZE)) for _ in range(3))
        below += separation(model, one, other) <= 0.1
    assert below <= 30
    assert separation(RECORD, RECORD, RECORD) == 1.0


def test_rivals_with_no_weight_in_common_are_not_told_apart() -> None:
    other = replace(RECORD, weights=tuple(replace(weight, name=f"x.{weight.name}") for weight in RECORD.weights))
    assert separation(RECORD, RECORD, other) == 1.0
