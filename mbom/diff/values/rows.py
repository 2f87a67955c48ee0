"""Reading the same rows of two checkpoints at a time."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from mbom.behaviour import values
from mbom.behaviour.values import Values, Weight

Floats = NDArray[np.float64]

BLOCK_VALUES = 1 << 21  # 16 MiB of float64 on each side, and as much for what is computed of them
MATRIX = 2  # dimensions


def both(old: Values, new: Values, weight: Weight, *, multiple: int = 1) -> Iterator[tuple[Floats, Floats]]:
    """Yield the values of a weight on both sides by the same rows; a stack of experts comes expert by expert.

    Args:
        old: one side.
        new: the other side.
        weight: by its name and shape on both sides.
        multiple: what the number of rows of a block is a multiple of, but for the last one of a matrix.
    """
    columns = weight.shape[-1] if len(weight.shape) >= MATRIX else 0
    if weight.slices > 1 and len(weight.shape) > MATRIX:
        for part in range(weight.slices):
            before, after = old.read(weight.name, part), new.read(weight.name, part)
            yield from aligned(iter([before]), iter([after]), columns=columns, multiple=multiple)
        return
    sides = values.blocks(old, weight.name, BLOCK_VALUES), values.blocks(new, weight.name, BLOCK_VALUES)
    yield from aligned(*sides, columns=columns, multiple=multiple)


def aligned(
    old: Iterator[Floats], new: Iterator[Floats], *, columns: int, multiple: int = 1
) -> Iterator[tuple[Floats, Floats]]:
    """Yield blocks of both sides that hold the same rows, as matrices; with no columns, pieces of vectors."""
    step = max(1, BLOCK_VALUES // columns) if columns else BLOCK_VALUES
    step = max(step // multiple, 1) * multiple
    before, after = _Rows(old, columns), _Rows(new, columns)
    while True:
        count = min(before.fill(multiple), after.fill(multiple), step)
        if count == 0:
            assert before.fill(1) == after.fill(1), "two weights of one shape have as many rows"
            return
        # Less than a multiple is only left at the end.
        count = count // multiple * multiple or count
        yield before.take(count), after.take(count)


class _Rows:
    """Rows from blocks of any height."""

    def __init__(self, blocks: Iterator[Floats], columns: int) -> None:
        self._blocks = blocks
        self._columns = columns
        self._rows: Floats = np.empty((0, columns) if columns else 0)

    def fill(self, count: int) -> int:
        """Read on until so many rows are there, or no more come; return how many there are."""
        while len(self._rows) < count:
            block = next((block for block in self._blocks if block.size), None)
            if block is None:
                break
            rows = block.reshape(-1, self._columns) if self._columns else block.reshape(-1)
            self._rows = np.concatenate([self._rows, rows]) if len(self._rows) else rows
        return len(self._rows)

    def take(self, count: int) -> Floats:
        """Return the next rows."""
        taken, self._rows = self._rows[:count], self._rows[count:]
        return taken
