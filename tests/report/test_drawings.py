"""Drawings: what they show is what the figures say."""

import math
import re

import numpy as np
import pytest
from numpy.typing import NDArray

from mbom.report import drawings
from mbom.report.drawings import bar, cells, chart, heatmap, lineage


def painted(path: str, shape: tuple[int, int]) -> NDArray[np.int64]:
    """Draw the rectangles of a path on a grid."""
    grid = np.zeros(shape, np.int64)
    for match in re.finditer(r"M(\d+) (\d+)h(\d+)v1h-(\d+)z", path):
        x, y, width, back = map(int, match.groups())
        assert width == back
        grid[y, x : x + width] += 1
    assert re.sub(r"M\d+ \d+h\d+v1h-\d+z", "", path) == ""
    return grid


@pytest.mark.parametrize("seed", range(20))
def test_a_path_covers_its_cells_once_and_no_other(seed: int) -> None:
    rng = np.random.default_rng(seed)
    held = rng.random((rng.integers(1, 9), rng.integers(1, 40))) < rng.random()
    assert (painted(cells(held), held.shape) == held).all()


def test_every_cell_of_a_heat_map_has_one_level_the_one_of_its_count() -> None:
    counts = np.array([[0, 1, 24, 25], [99, 100, 399, 400]])
    found = heatmap("h", counts, layers=[3, 7], even=100.0)
    grids = [painted(level.path, counts.shape) for level in found.levels]
    assert (np.sum(grids, axis=0) == 1).all()
    level = [[int(np.argmax([grid[row, column] for grid in grids])) for column in range(4)] for row in range(2)]
    assert level == [[0, 1, 1, 2], [2, 3, 3, 4]]
    assert [level.cells for level in found.levels] == [1, 2, 2, 2, 1]
    assert found.title == "Experts that the prompts reached: 7 of 8"
    assert (found.first_row, found.last_row, found.last_column) == ("3", "7", "3")


def test_the_parts_of_a_bar_lie_side_by_side_and_fill_it() -> None:
    found = bar("b", "t", [("most", "experts", 998), ("little", "norms", 1), ("none", "head", 0), ("bit", "router", 1)])
    assert [part.slot for part in found.parts] == ["experts", "norms", "router"]
    edge = 0.0
    for part in found.parts:
        assert part.x >= edge
        assert part.width >= 3
        edge = part.x + part.width
    assert edge == pytest.approx(drawings.BAR_WIDTH, abs=0.2)
    assert found.parts[1].label == "little: 1 (0.1 %)"


def test_the_columns_of_a_chart_are_as_high_as_the_change() -> None:
    found = chart("c", {4: (0.01, 0.002), 5: (0.0, 0.0), 6: (math.inf, 0.0), 8: (0.018, math.inf)})
    assert (found.top, found.middle, found.first, found.last) == ("0.02", "0.01", "4", "8")
    first, none, beyond, unbounded = found.columns
    assert (first.x, first.y, first.height, first.low, first.high) == (0, 50, 50, 60, 40)
    assert (none.height, none.low) == (0, None)
    assert beyond.beyond
    assert beyond.height == 100
    assert (unbounded.x, unbounded.low) == (40, None)
    assert "the old weights were all zero" in found.note


def test_a_chart_of_nothing_but_zero_can_be_drawn() -> None:
    found = chart("c", {0: (0.0, 0.0)})
    assert found.columns[0].height == 0
    assert found.note == ""


def test_no_column_reaches_beyond_the_chart() -> None:
    rng = np.random.default_rng(1)
    for scale in (1e-300, 1e-9, 1.0, 1e9):
        values = {layer: (float(v), float(v) / 3) for layer, v in enumerate(rng.random(30) * scale)}
        for column in chart("c", values).columns:
            assert 0 <= column.y <= 100
            assert column.high is None or 0 <= column.high <= column.low <= 100  # type: ignore[operator]


def test_a_lineage_leaves_out_what_there_is_no_room_for_and_says_so() -> None:
    found = lineage("l", "this", [(f"base {number}", "trained further from it") for number in range(20)])
    assert len(found.nodes) == drawings.NODES + 1
    assert found.nodes[-1].this
    assert found.nodes[-1].note == "this model; 12 ancestors not drawn"
    assert all(len(node.name) <= drawings.LABEL for node in lineage("l", "n" * 90, [("a" * 90, "b")]).nodes)
