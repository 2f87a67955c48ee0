"""Whether a change of a matrix is one of low rank that was rounded, and of which rank.

NEW = round(OLD + L) says of every element of L between which bounds it lies: half a step of the stored type around the
change. The question is whether a matrix of low rank lies within all of them. A truncated singular value decomposition
of the change is only the start of the answer, because changes smaller than a step vanish or grow to a whole one, so
that the change is L shrunken by an unknown factor which differs from element to element. So the matrix is then
projected onto the bounds and onto the rank in turn until it lies within both, accelerated as in Nesterov's method. A
true L gets there in some 15 rounds; a dense change of a sixth of a step beside it leaves a tenth of the elements out of
bounds for ever.

The rank is the number of singular values above those of the same noise without structure, which is the residual with
random signs (Hong, Sheng and Dobriban, Selecting the number of components in PCA via random signflips). Parts of L that
are smaller than what rounding does to the matrix are not seen, and not counted.
"""

from dataclasses import dataclass

import numpy as np

from mbom.behaviour.values import Floats
from mbom.diff.explanations.rounding import OUTSIDE, within

LIMIT = 1 << 26  # elements of a matrix: some twelve arrays of its size are held at once, so 6 GB at most
EXTREME = 1e100  # numbers beyond which, or whose inverse below which, products leave the range of float64
RANK_LIMIT = 512  # adapters of a higher rank are no longer small
FIRST = 96  # singular values looked at first: adapters seldom have more
DENSE_SIDE = 256  # up to here a full decomposition costs less than a search for the largest singular values
SWEEPS = 6  # of subspace iteration: 2**-12 of the noise is left where a signal is twice as large
OVERSAMPLING = 16
MARGIN = 1.3  # above the edge of the noise, whose own largest singular value varies by a few percent
ROUNDS = 50
LOOK = 10  # rounds after which hidden directions are looked for
HOPELESS = 4  # times the share that may be outside: no fit that has so many after 3 looks gets better
FREEDOM = 0.3  # of the elements: a rank with more degrees of freedom fits noise
EVIDENCE = 2.0  # changed elements for each degree of freedom: any few elements are a matrix of low rank
SPREAD = 0.25  # of the rows, and of the columns: what touches fewer is an edit of rows or elements
SEED = 20240229


@dataclass(frozen=True, kw_only=True)
class Fit:
    """How well a matrix of low rank explains a change.

    Attributes:
        rank: of the matrix; 0 where nothing of low rank stands out.
        outside: the share of elements further from the change than rounding can bring them.
        residual: Frobenius norm of what is left beyond rounding, relative to the change.
        holds: whether nothing but rounding is left.
        evident: whether that says anything: whether so many changed elements could not have fitted by chance.
    """

    rank: int
    outside: float
    residual: float
    holds: bool
    evident: bool


NONE = Fit(rank=0, outside=1.0, residual=1.0, holds=False, evident=False)


def fit(change: Floats, widths: Floats) -> Fit:
    """Look for a matrix of low rank within ``widths`` of a change, element by element.

    Args:
        change: NEW - OLD, (rows, columns), finite and not all zero.
        widths: see ``mbom.diff.explanations.rounding.half_widths``.
    """
    if change.size > LIMIT:
        return NONE
    scale = float(np.max(np.abs(change)))
    if not 1 / EXTREME < scale < EXTREME:
        change, widths = change / scale, widths / scale
    rng = np.random.default_rng(SEED)
    rank, left, values, right = _visible(change, rng)
    if rank == 0 or rank > RANK_LIMIT or _freedom(rank, change) > FREEDOM * change.size:
        return NONE
    low, basis = (left * values) @ right, right.T
    previous, momentum = low, 1.0
    for number in range(1, ROUNDS + 1):
        following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        target = _onto_bounds(low, previous, (momentum - 1) / following, change, widths)
        momentum, previous = following, low
        low, basis = _truncated(target, basis)
        del target
        if number % LOOK:
            continue
        verdict = within(change - low, widths)
        if verdict.holds or (number >= 3 * LOOK and verdict.outside > HOPELESS * OUTSIDE):
            break
        hidden = _hidden(low, change, widths, rng)
        if len(hidden):
            basis, momentum = np.linalg.qr(np.concatenate([basis, hidden.T], axis=1))[0], 1.0
            if _freedom(basis.shape[1], change) > FREEDOM * change.size:
                return NONE
    verdict = within(change - low, widths)
    rank = basis.shape[1]
    beyond = np.maximum(np.abs(change - low) - widths, 0)
    return Fit(
        rank=rank,
        outside=verdict.outside,
        residual=float(np.linalg.norm(beyond) / np.linalg.norm(change)),
        holds=verdict.holds,
        evident=_evident(change, rank),
    )


def _onto_bounds(low: Floats, previous: Floats, speed: float, change: Floats, widths: Floats) -> Floats:
    """Return a matrix moved on as it moved last, and then half as far again as it takes to lie within the bounds.

    In place, because of large matrices every array counts.
    """
    ahead = low - previous
    ahead *= speed
    ahead += low
    target = change - widths
    np.maximum(target, ahead, out=target)
    np.minimum(target, change + widths, out=target)
    target -= ahead
    target *= 1.5
    target += ahead
    return target


def _visible(change: Floats, rng: np.random.Generator) -> tuple[int, Floats, Floats, Floats]:
    """Return how many singular triples stand above the noise, and those."""
    count = min(FIRST, *change.shape)
    while True:
        left, values, right = largest(change, count, rng)
        rank = 0
        while True:
            residual = change - (left[:, :rank] * values[:rank]) @ right[:rank]
            above = int(np.count_nonzero(values > MARGIN * _edge(residual, rng)))
            if above <= rank:
                break
            rank = above
        if rank < count - OVERSAMPLING // 2 or count >= min(RANK_LIMIT, *change.shape):
            return rank, left[:, :rank], values[:rank], right[:rank]
        count = min(4 * count, RANK_LIMIT, *change.shape)


def largest(matrix: Floats, count: int, rng: np.random.Generator) -> tuple[Floats, Floats, Floats]:
    """Return the largest singular values with their vectors, as (rows, count), (count,), (count, columns)."""
    scale = float(np.max(np.abs(matrix), initial=0.0))
    if scale > 0 and not 1 / EXTREME < scale < EXTREME:
        matrix = matrix / scale
    else:
        scale = 1.0
    if min(matrix.shape) <= DENSE_SIDE:
        left, values, right = np.linalg.svd(matrix, full_matrices=False)
    else:
        width = min(count + OVERSAMPLING, *matrix.shape)
        basis = np.linalg.qr(matrix @ rng.standard_normal((matrix.shape[1], width)))[0]
        for _ in range(SWEEPS):
            basis = np.linalg.qr(matrix @ np.linalg.qr(matrix.T @ basis)[0])[0]
        left, values, right = np.linalg.svd(basis.T @ matrix, full_matrices=False)
        left = basis @ left
    return left[:, :count], scale * values[:count], right[:count]


def _edge(residual: Floats, rng: np.random.Generator) -> float:
    """Return the largest singular value of a matrix with the same elements under random signs."""
    signs = rng.integers(0, 2, residual.shape, dtype=np.int8) * np.int8(2) - np.int8(1)
    return float(largest(residual * signs, 1, rng)[1][0])


def _truncated(matrix: Floats, basis: Floats) -> tuple[Floats, Floats]:
    """Return a matrix cut down to the rank of a basis of its rows, by one step of subspace iteration, and the basis."""
    left = np.linalg.qr(matrix @ basis)[0]
    right = left.T @ matrix
    return left @ right, np.linalg.qr(right.T)[0]


def _hidden(low: Floats, change: Floats, widths: Floats, rng: np.random.Generator) -> Floats:
    """Return the directions that only show in what is out of bounds, (how many, columns)."""
    outside = np.clip(low, change - widths, change + widths) - low
    _, values, right = largest(outside, min(2 * OVERSAMPLING, *low.shape), rng)
    return right[values > MARGIN * _edge(outside, rng)]


def _freedom(rank: int, matrix: Floats) -> int:
    """Return the degrees of freedom of matrices of a rank."""
    return rank * (sum(matrix.shape) - rank)


def _evident(change: Floats, rank: int) -> bool:
    changed = change != 0
    if np.count_nonzero(changed) < EVIDENCE * _freedom(rank, change):
        return False
    return all(np.mean(changed.any(axis=axis)) >= SPREAD for axis in (0, 1))
