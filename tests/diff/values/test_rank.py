"""Ranks of adapters that were merged in float32 and rounded, and of changes that have none."""

import numpy as np
import pytest
from arrayvalues import Arrays, Rows, stored
from numpy.typing import NDArray

from mbom.behaviour.values import Floats
from mbom.diff.changes import WeightChange
from mbom.diff.values.rank import SIDE
from mbom.diff.values.weights import compare

RANKS = (4, 8, 16, 32, 64)


def base(rows: int, columns: int, seed: int) -> Floats:
    rng = np.random.default_rng(seed)
    return stored(0.02 * rng.normal(size=(rows, columns)).astype(np.float32))


def merged(old: Floats, rank: int, relative: float, dtype: str, seed: int) -> Floats:
    """Merge a random adapter as peft does: ``old + B @ A`` in float32, then rounded."""
    rng = np.random.default_rng(seed)
    left, right = (rng.normal(size=shape).astype(np.float32) for shape in ((len(old), rank), (rank, old.shape[1])))
    low: NDArray[np.float32] = left @ right
    low *= np.float32(relative * np.linalg.norm(old) / np.linalg.norm(low))
    return stored(old.astype(np.float32) + low, dtype)


def change_of(old: Floats, new: Floats, dtype: str = "bfloat16") -> WeightChange:
    (change,) = compare(Arrays(arrays={"w": old}), Arrays(arrays={"w": new}, dtypes={"w": dtype})).changed
    return change


SLOW = pytest.mark.slow


@pytest.mark.parametrize("relative", [3e-3, pytest.param(1e-2, marks=SLOW), pytest.param(0.1, marks=SLOW)])
@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=SLOW) for seed in range(1, 10))])
@pytest.mark.parametrize("rank", RANKS)
def test_the_rank_of_a_merged_adapter_is_exact(rank: int, seed: int, relative: float) -> None:
    old = base(1024, 1024, seed)
    assert change_of(old, merged(old, rank, relative, "bfloat16", seed + 100)).rank == rank


@pytest.mark.parametrize(("dtype", "relative"), [("float32", 1e-5), ("float16", 1e-3)])
def test_finer_types_show_smaller_adapters(dtype: str, relative: float) -> None:
    old = base(400, 300, 3)
    assert change_of(old, merged(old, 8, relative, dtype, 4), dtype).rank == 8


@pytest.mark.parametrize("shape", [(3000, 96), (96, 3000), (1500, 2500)])
def test_large_matrices_are_sampled(shape: tuple[int, int]) -> None:
    old = base(*shape, 5)
    new = merged(old, 16, 0.02, "bfloat16", 6)
    assert change_of(old, new).rank == 16
    (change,) = compare(Rows(arrays={"w": old}, step=700), Rows(arrays={"w": new}, step=700)).changed
    assert change.rank == 16


def test_a_sample_finds_the_few_rows_that_changed() -> None:
    old = base(3 * SIDE, 64, 7)
    new = old.copy()
    new[[5, 2000, 3001]] += 1
    assert change_of(old, new).rank == 1
    new[2000] *= 2
    assert change_of(old, new).rank == 2


def test_a_weight_whose_rows_differ_in_size_has_the_rank_of_its_adapter() -> None:
    rng = np.random.default_rng(8)
    old = stored(base(512, 512, 8) * np.exp(rng.normal(size=(512, 1))))
    assert change_of(old, merged(old, 16, 0.01, "bfloat16", 9)).rank == 16


def test_a_change_in_all_directions_has_no_rank() -> None:
    old = base(512, 512, 10)
    new = stored(old + 0.002 * np.random.default_rng(11).normal(size=old.shape))
    change = change_of(old, new)
    assert (change.rank, change.rank_unknown) == (None, "it changed in all directions, or in more than 128")


def test_a_small_matrix_that_changed_in_all_directions_has_no_rank() -> None:
    old = base(24, 40, 12)
    assert change_of(old, old + np.random.default_rng(13).normal(size=old.shape)).rank is None


def test_rounding_alone_has_no_rank() -> None:
    old = 0.02 * np.random.default_rng(14).normal(size=(512, 512))
    change = change_of(old, stored(old))
    assert (change.rank, change.rank_unknown) == (None, "the change is no larger than rounding")


def test_an_adapter_below_the_noise_has_no_rank() -> None:
    old = base(512, 512, 15)
    change = change_of(old, merged(old, 64, 4e-4, "bfloat16", 16))
    assert change.rank is None
    assert change.rank_unknown is not None


def test_one_element_is_a_change_of_rank_one() -> None:
    old = base(300, 300, 17)
    new = old.copy()
    new[17, 4] += 1.0
    assert change_of(old, new).rank == 1


def test_vectors_have_no_rank() -> None:
    change = change_of(np.ones(40), np.arange(40.0))
    assert (change.rank, change.rank_unknown) == (None, None)


def test_the_rank_of_experts_is_the_largest_of_the_first_that_changed() -> None:
    old = np.stack([base(200, 200, seed) for seed in range(6)])
    new = old.copy()
    for index, rank in ((1, 4), (2, 8), (4, 4)):
        new[index] = merged(old[index], rank, 0.03, "bfloat16", index)
    stacks = frozenset({"w"})
    (change,) = compare(Arrays(arrays={"w": old}, experts=stacks), Arrays(arrays={"w": new}, experts=stacks)).changed
    assert (change.rank, change.experts) == (8, (1, 2, 4))
