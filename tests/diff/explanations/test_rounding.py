import numpy as np
import pytest
from arrayvalues import TORCH, stored

from mbom.diff.explanations.rounding import equal_bits, half_widths, known, step, within

rng = np.random.default_rng(1)
VALUES = np.concatenate(
    [rng.standard_normal(4000), rng.standard_normal(1000) * 1e-6, np.ldexp(1.0, np.arange(-20, 15)), [0]]
)


@pytest.mark.parametrize("dtype", sorted(TORCH))
def test_a_sum_that_is_stored_is_within_the_widths_however_it_was_computed(dtype: str) -> None:
    old = stored(VALUES, dtype)
    change = 0.01 * rng.standard_normal(VALUES.shape)
    for new in (
        stored(old + change, dtype),  # exactly
        stored(old + stored(change, dtype), dtype),  # the change in the stored type first
        stored((old.astype(np.float32) + change.astype(np.float32)).astype(np.float64), dtype),
    ):
        assert np.all(np.abs(new - old - change) <= half_widths(old, new, dtype))


def test_the_step_of_a_packed_type_is_a_bound_and_proves_nothing() -> None:
    assert not known("mxfp4")
    assert known("bfloat16")
    values = np.array([0.5, -6.0])
    assert np.array_equal(step(values, "mxfp4"), [2.0, 2.0])
    assert np.array_equal(step(values, "some-type"), [6.0, 6.0])


def test_bits_are_equal_only_where_all_of_them_are() -> None:
    assert equal_bits(np.array([np.nan, 1.0]), np.array([np.nan, 1.0]))
    assert not equal_bits(np.array([0.0]), np.array([-0.0]))
    assert not equal_bits(np.zeros(2), np.zeros((2, 1)))


def test_few_small_misses_are_rounding_and_a_single_large_one_is_not() -> None:
    widths = np.ones(10_000)
    residual = rng.uniform(-1, 1, 10_000)
    assert within(residual, widths).holds
    residual[:40] = 1.5
    assert within(residual, widths).holds
    residual[:100] = 1.5
    assert not within(residual, widths).holds
    residual[:100] = 0
    residual[7] = 3.5
    assert not within(residual, widths).holds


def test_what_is_no_number_is_not_rounding() -> None:
    assert not within(np.array([np.nan] * 20), np.ones(20)).holds
    assert not within(np.array([np.inf] * 20), np.ones(20)).holds
