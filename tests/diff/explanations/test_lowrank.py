import numpy as np
import pytest
from arrayvalues import stored

from mbom.diff.explanations.lowrank import Fit, fit
from mbom.diff.explanations.rounding import half_widths
from mbom.diff.values.floats import step

SIDE = 128


def _fit(added: float, *, rank: int, rows: int = SIDE, dense: float = 0.0, dtype: str = "bfloat16") -> Fit:
    rng = np.random.default_rng(rank)
    old = stored(0.02 * rng.standard_normal((rows, SIDE)), dtype)
    low = rng.standard_normal((rows, rank)) @ rng.standard_normal((rank, SIDE))
    low *= added * np.linalg.norm(old) / np.linalg.norm(low)
    new = stored(old + low + dense * step(old, dtype) * rng.standard_normal(old.shape), dtype)
    return fit(new - old, half_widths(old, new, dtype))


@pytest.mark.parametrize("rank", [1, 3, 8, 12])
@pytest.mark.parametrize("rows", [64, 128, 300])
def test_a_rounded_change_of_low_rank_holds_with_its_rank(rank: int, rows: int) -> None:
    found = _fit(0.02, rank=rank, rows=rows)
    assert (found.rank, found.holds, found.evident) == (rank, True, True)


@pytest.mark.parametrize("dense", [0.2, 0.5, 2.0])
def test_dense_noise_of_a_fifth_of_a_step_is_not_rounding(dense: float) -> None:
    assert not _fit(0.02, rank=4, dense=dense).holds


def test_a_rank_that_could_fit_anything_fits_nothing() -> None:
    assert not _fit(0.5, rank=40).holds


def test_a_dense_change_has_no_rank() -> None:
    found = _fit(1e-9, rank=1, dense=1.0)
    assert (found.rank, found.holds) == (0, False)


@pytest.mark.parametrize("place", [np.s_[5:6, 7:8], np.s_[5:6, :], np.s_[:, 3:4]])
def test_an_element_a_row_and_a_column_are_of_rank_one_and_no_evidence(place: tuple[slice, slice]) -> None:
    rng = np.random.default_rng(0)
    old = stored(0.02 * rng.standard_normal((SIDE, SIDE)))
    new = old.copy()
    new[place] *= 3
    assert not fit(new - old, half_widths(old, new, "bfloat16")).evident
