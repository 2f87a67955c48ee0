import math

import pytest
import torch

from mbom.engine.taps import relative_margin
from mbom.errors import EngineError


def margin(scores: list[float], k: int) -> float:
    return float(relative_margin(torch.tensor([scores], dtype=torch.float64), k))


def test_the_margin_is_the_gap_over_the_largest_magnitude() -> None:
    assert margin([1.0, -8.0, 3.0, 2.0], 2) == 1 / 8


def test_the_order_among_the_chosen_is_no_decision() -> None:
    assert margin([5.0, 5.0, 1.0], 2) == 4 / 5


def test_a_tie_at_the_edge_has_no_margin() -> None:
    assert margin([5.0, 2.0, 2.0], 2) == 0


def test_equal_scores_of_zero_have_no_margin() -> None:
    assert margin([0.0, 0.0, 0.0], 1) == 0


def test_choosing_all_has_an_infinite_margin() -> None:
    assert margin([1.0, 2.0], 2) == math.inf


def test_groups_that_were_ruled_out_are_no_rivals() -> None:
    assert margin([1.0, 2.0, -math.inf, -math.inf], 2) == math.inf
    assert margin([1.0, 2.0, 4.0, -math.inf], 2) == 1 / 4


def test_a_choice_among_what_was_ruled_out_has_no_margin() -> None:
    assert margin([1.0, -math.inf, -math.inf], 2) == 0


def test_scores_that_are_not_numbers_are_an_error() -> None:
    with pytest.raises(EngineError, match="not numbers"):
        margin([1.0, math.nan], 1)
