from dataclasses import replace

import numpy as np
import pytest
from arrayvalues import Arrays, Rows
from diffcases.models import checkpoint, model, noise

from mbom.diff.explanations.accounting import differences, number, pieces
from mbom.diff.explanations.explain import explain
from mbom.diff.values.weights import compare


def _rows(side: Arrays, step: int) -> Rows:
    return Rows(arrays=side.arrays, dtypes=side.dtypes, experts=side.experts, digests=side.digests, step=step)


@pytest.mark.parametrize("steps", [(1, 1, 1), (7, 10, 64), (200, 3, 5)])
def test_the_same_rows_come_from_every_side_whatever_each_yields_at_a_time(steps: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(0)
    sides = [Rows(arrays={"w": rng.standard_normal((41, 3))}, step=step) for step in steps]
    found = list(pieces(sides, "w"))
    assert all(len({len(rows) for rows in piece}) == 1 for piece in found)
    for index, side in enumerate(sides):
        assert np.array_equal(np.concatenate([piece[index] for piece in found]), side.arrays["w"])


def test_stacked_experts_come_one_by_one() -> None:
    sides = [Arrays(arrays={"w": np.arange(24.0).reshape(4, 3, 2)}, experts=frozenset({"w"})) for _ in range(2)]
    assert [rows[0].shape for rows in pieces(sides, "w")] == [(3, 2)] * 4
    assert sides[0].reads == [("w", part) for part in range(4)]


@pytest.mark.parametrize("step", [5, 64])
def test_explanations_do_not_depend_on_how_many_rows_are_read_at_a_time(step: int) -> None:
    rng = np.random.default_rng(1)
    old = checkpoint(model(rng, layers=2), "bfloat16")
    other = checkpoint({n: v + noise(rng, v, 0.1) for n, v in old.arrays.items()}, "bfloat16")
    merged = checkpoint({n: 0.7 * v + 0.3 * other.arrays[n] for n, v in old.arrays.items()}, "bfloat16")
    grown = checkpoint(
        {n: np.concatenate([v, v[:9]]) if n == "lm_head.weight" else v for n, v in old.arrays.items()}, "bfloat16"
    )
    for new in (merged, grown):
        weights = compare(old, new)
        [whole] = explain(old, new, weights, others=(other,))
        [parts] = explain(_rows(old, step), _rows(new, step + 1), weights, others=(_rows(other, 3),))
        assert whole.outcome == "explained"
        assert replace(parts, residual=None) == replace(whole, residual=None)


def test_an_old_row_that_changed_far_into_the_vocabulary_is_no_extension() -> None:
    old = checkpoint(model(np.random.default_rng(2), layers=1), "bfloat16")
    head = np.concatenate([old.arrays["lm_head.weight"], np.ones((4, 64))])
    head[-5, 3] += 0.25
    new = checkpoint({**old.arrays, "lm_head.weight": head}, "bfloat16")
    assert explain(_rows(old, 50), _rows(new, 13), compare(old, new)) == ()


def test_every_difference_is_named_once() -> None:
    old = checkpoint({"a": np.ones(3), "b": np.ones(3), "c": np.ones(3), "d": np.ones(3), "e": np.ones(3)}, "float32")
    new = checkpoint({"a": np.ones(3), "b": np.zeros(3), "c": np.ones(4), "f": np.ones(3), "e": np.zeros(3)}, "float32")
    old.unreadable = frozenset({"e"})
    found = differences(old, new, compare(old, new))
    assert found.changed == ("b",)
    assert found.unreadable == ("e",)
    assert found.reshaped == ("c",)
    assert (found.only_old, found.only_new) == (("d",), ("f",))
    assert found.names == {"b", "c", "d", "e", "f"}


def test_counts_are_written_as_people_write_them() -> None:
    assert [number(count, "row") for count in (0, 1, 1200)] == ["0 rows", "1 row", "1,200 rows"]
