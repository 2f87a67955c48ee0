"""The effective rank of the change of a matrix: how many of its directions stand above the noise of rounding.

An adapter of rank r that was merged leaves r singular values, and then every element was rounded to the stored type,
which adds noise of full rank. Noise that is independent between elements, with a variance of its own for each, has no
singular value beyond the root of the largest sum of variances of a row plus that of a column, but for a few per cent
(Bandeira and van Handel, Sharp nonasymptotic bounds on the norm of random matrices with independent entries; for equal
variances it is the edge of Marchenko and Pastur). The variance of rounding is a twelfth of the squared step of the
stored type at the element. What is above is counted, and the count is believed where a clear gap follows it.

A large matrix is looked at through a sample of those of its rows and columns that changed: a matrix of rank r has the
same rank there, as long as r is small against the sample. So the cost of a rank does not grow with the matrix.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mbom.diff.values.floats import step, steps_known

Floats = NDArray[np.float64]

SIDE = 1024  # rows and columns of a sample; an adapter of rank 64 at a change of 0.003 stands twice above the noise
COLUMNS = 2048  # columns that rows are kept of, of which those that changed are sampled
GLANCE = 256  # of a sample that is looked at first: a change in all directions shows there at a fiftieth of the cost
LIMIT = GLANCE // 2  # directions that are counted; adapters of a higher rank are seen as changes in all directions
MARGIN = 1.1  # times the edge of the noise, for what depends on the change and is not quite independent
GAP = 1.5  # of the last singular value that counts over the next
SEED = 0


@dataclass(frozen=True, kw_only=True)
class Rank:
    """What was found: the rank, or why nobody can tell."""

    rank: int | None
    reason: str | None


class Sample:
    """Rows of a matrix that changed, each with the same chance to be among those kept, from blocks in order."""

    def __init__(self, columns: int) -> None:
        self._rng = np.random.default_rng(SEED)
        # A slice is copied several times as fast as what a list of numbers picks.
        self._columns: slice | NDArray[np.int64] = slice(None)
        if columns > COLUMNS:
            self._columns = np.sort(self._rng.choice(columns, COLUMNS, replace=False, shuffle=False))
        self._new = np.empty((SIDE, min(columns, COLUMNS)))
        self._change = np.empty((SIDE, min(columns, COLUMNS)))
        self._seen = 0
        self._sides = [0, columns]

    def add(self, new: Floats, change: Floats) -> None:
        """Take in the next rows, (rows, columns), and how they changed."""
        self._sides[0] += len(change)
        changed = np.flatnonzero(change.any(axis=1))
        numbers = self._seen + np.arange(len(changed))  # of each changed row, from the first one
        self._seen += len(changed)
        drawn = self._rng.integers(0, numbers + 1)  # reservoir sampling: row t replaces one with a chance of SIDE / t
        places = np.where(numbers < SIDE, numbers, drawn)
        kept = places < SIDE
        for place, row in zip(places[kept], changed[kept], strict=True):
            self._new[place] = new[row, self._columns]
            self._change[place] = change[row, self._columns]

    def rank(self, dtype: str) -> Rank:
        """Return the rank of the change of a matrix that is stored in a type."""
        kept = min(self._seen, SIDE)
        change = self._change[:kept]
        columns = np.flatnonzero(change.any(axis=0))
        if len(columns) > SIDE:
            columns = np.sort(self._rng.choice(columns, SIDE, replace=False, shuffle=False))
        if not len(columns):
            return Rank(rank=None, reason="no change lies in the sampled columns")
        rows, width = self._sides
        return effective_rank(change[:, columns], self._new[:kept][:, columns], dtype, sides=(rows, width))


def effective_rank(change: Floats, new: Floats, dtype: str, *, sides: tuple[int, int] | None = None) -> Rank:
    """Return the effective rank of a change.

    Args:
        change: (rows, columns), not all zero.
        new: the values after it.
        dtype: the type that those are stored in.
        sides: rows and columns of the matrix that all of these were taken from; by default those of ``change``.
    """
    if not steps_known(dtype):
        return Rank(rank=None, reason=f"what rounding to {dtype} does to an element is not known")
    if not np.isfinite(change).all():
        return Rank(rank=None, reason="the change is not finite")
    variances = step(new, dtype) ** 2 / 12
    glance = (slice(GLANCE), slice(GLANCE))
    dense = min(change.shape) > GLANCE and _above(change[glance], variances[glance])[0] > LIMIT
    count, values = (LIMIT + 1, np.empty(0)) if dense else _above(change, variances)
    if count > LIMIT or count == min(sides or change.shape) > 1:
        return Rank(rank=None, reason=f"it changed in all directions, or in more than {LIMIT}")
    if count == 0:
        return Rank(rank=None, reason="the change is no larger than rounding")
    if count < len(values) and values[count - 1] < GAP * values[count]:
        return Rank(rank=None, reason=f"no clear gap follows the {count} directions above the noise of rounding")
    return Rank(rank=count, reason=None)


def _above(change: Floats, variances: Floats) -> tuple[int, Floats]:
    """Return how many singular values are above the noise, and all of them, descending."""
    scale = float(np.abs(change).max(initial=0.0)) or 1.0  # squares of tiny numbers would vanish
    values: Floats = np.linalg.svd(change / scale, compute_uv=False).astype(np.float64)
    edge = np.sqrt(variances.sum(axis=1).max()) + np.sqrt(variances.sum(axis=0).max())
    # Below this, a decomposition in float64 finds its own rounding.
    own = values[0] * max(change.shape) * float(np.finfo(np.float64).eps)
    return int((values > max(MARGIN * edge / scale, own)).sum()), values
