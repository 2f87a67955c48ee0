"""One direction projected out of what writes to the residual stream: W' = W - s v (v^T W), for a common unit vector v.

Matrices that are stored the other way round, embeddings and readers have it on the other side, W' = W - s (W v) v^T;
which side it is on is found, not assumed. A bias of a writer is a matrix of one column. With s = 1 the direction is
gone ("abliteration"); other strengths are common too.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mbom.behaviour.values import Floats, Values
from mbom.diff.changes import Explanation, Weights
from mbom.diff.explanations.accounting import account, differences, number, parts, pieces
from mbom.diff.explanations.lowrank import LIMIT, largest
from mbom.diff.explanations.rounding import Remainder, half_widths, known
from mbom.diff.values.weights import Progress

PROBES = 5  # matrices, spread over the model, that the direction is first taken from
ALIGNED = 0.9  # cosine between the two that a projection makes equal; rounding takes something away
COMMON = 0.8  # cosine between the direction of a probe and that of the others
PASSES = 3  # over the weights to make the direction exact: it is linear but for W^T v, which settles at once
WHOLE = 0.01  # a strength within this of 1 is 1
LEAST = 8  # elements of a direction: shorter ones are found in anything
SHARE = 0.5  # of the changed weights that must have lost the direction

Side = Literal["left", "right"]


@dataclass(frozen=True, kw_only=True)
class Ablated:
    """A weight and the side that the direction is on."""

    name: str
    side: Side


def explain(
    old: Values, new: Values, weights: Weights, *, others: Sequence[Values] = (), progress: Progress | None = None
) -> Explanation | None:
    """Look for one direction that all changed weights have lost; ``others`` make no difference."""
    del others
    found = differences(old, new, weights)
    stored = new.weights()
    matrices = [name for name in found.changed if len(stored[name].shape) in (2, 3)]
    probes = [name for name in matrices if math.prod(stored[name].shape[-2:]) <= LIMIT]
    if not probes:
        return None
    direction = _first(old, new, probes)
    if direction is None:
        return None
    strength = 1.0
    for _ in range(PASSES):
        direction, strength = _refined(old, new, matrices, direction, strength)
    fits: list[str] = []
    residual = 0.0
    for name in found.changed:
        if progress is not None:
            progress(name)
        left = _left(old, new, name, direction, strength)
        if left is not None:
            fits.append(name)
            residual = max(residual, left)
    if len(fits) < SHARE * len(found.changed):
        return None
    whole = abs(strength - 1) <= WHOLE
    return account(
        "direction-ablation",
        of=found,
        accounted=[name for name in fits if known(stored[name].dtype)],
        fitting=fits,
        sentence=f"one direction was projected out of {number(len(fits), 'weight')}"
        + ("" if whole else f" with a strength of {strength:.3f}"),
        residual=residual,
        details={
            "strength": round(strength, 4),
            "dimensions": len(direction),
            "modules": [*sorted({stored[name].role for name in fits})],
        },
    )


def _pairs(old: Values, new: Values, name: str, length: int) -> Iterator[tuple[Floats, Floats, Floats]]:
    """Yield (old, change, widths) of a weight for each of its matrices, (rows, columns), a vector as one column.

    Rows of a matrix that can only have lost the direction on the right are independent of each other, so that an
    embedding comes in pieces.
    """
    weight = new.weights()[name]
    if len(weight.shape) == 2 and weight.shape[0] != length == weight.shape[1]:
        sides = pieces((old, new), name)
    else:
        sides = ((old.read(name, part), new.read(name, part)) for part in parts(weight))
    for before, after in sides:
        shape = (-1, length, 1) if before.ndim == 1 else (-1, *before.shape[-2:])
        for one, other in zip(before.reshape(shape), after.reshape(shape), strict=True):
            yield one, other - one, half_widths(one, other, weight.dtype)


def _first(old: Values, new: Values, matrices: Sequence[str]) -> Floats | None:
    """Return a direction that several matrices have lost, or None where they did not lose one in common."""
    rng = np.random.default_rng(0)
    seen: list[Floats] = []
    for index in sorted(set(np.linspace(0, len(matrices) - 1, PROBES).astype(int))):
        one, change, _ = next(_pairs(old, new, matrices[index], 0))
        if not np.all(np.isfinite(change)) or not change.any():
            return None
        left, _, right = largest(change, 1, rng)
        writes, reads = left[:, 0], right[0]
        # A projection from the left takes v (v^T W): the right vector is W^T v. From the right it is the reverse.
        candidates = [
            (abs(_cosine(one.T @ writes, reads)), writes),
            (abs(_cosine(one @ reads, writes)), reads),
        ]
        aligned, direction = max(candidates, key=lambda candidate: candidate[0])
        if aligned >= ALIGNED and len(direction) >= LEAST:
            seen.append(direction)
    if not seen:
        return None
    for start in seen:
        same = [one * np.sign(one @ start) for one in seen if one.shape == start.shape and abs(one @ start) >= COMMON]
        if len(same) > len(seen) / 2:
            mean = np.sum(same, axis=0)
            return np.asarray(mean / np.linalg.norm(mean))
    return None


def _refined(
    old: Values, new: Values, matrices: Sequence[str], direction: Floats, strength: float
) -> tuple[Floats, float]:
    """Return the direction and strength that fit all matrices best, each element weighted by how finely it is stored.

    With y = W^T v the change is (-s v) y^T, which is linear in s v while y is kept.
    """
    numerator, denominator = np.zeros_like(direction), np.zeros_like(direction)
    for name in matrices:
        for one, change, widths in _pairs(old, new, name, len(direction)):
            side = _side(one, change, direction)
            if side is None:
                continue
            matrix, target, width = (one, change, widths) if side == "left" else (one.T, change.T, widths.T)
            along = matrix.T @ direction
            precision = 1 / np.square(width)
            numerator -= (target * precision) @ along
            denominator += precision @ np.square(along)
    lost = np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)
    norm = float(np.linalg.norm(lost))
    return (np.asarray(lost / norm), norm) if norm > 0 else (direction, strength)


def _side(one: Floats, change: Floats, direction: Floats) -> Side | None:
    """Return the side on which the change lies along the direction, None where on neither."""
    sides: tuple[tuple[Side, Floats, Floats], ...] = (("left", one, change), ("right", one.T, change.T))
    best: Side | None = None
    most = 0.0
    for side, matrix, target in sides:
        if len(matrix) == len(direction):
            cosine = _cosine(target.T @ direction, -(matrix.T @ direction))
            if cosine > max(most, ALIGNED):
                best, most = side, cosine
    return best


def _left(old: Values, new: Values, name: str, direction: Floats, strength: float) -> float | None:
    """Return what is left of a weight's change beyond rounding, relative to it; None where that is too much."""
    left = Remainder()
    total = 0.0
    shape = new.weights()[name].shape
    if len(direction) not in shape[-2:]:
        return None
    for one, change, widths in _pairs(old, new, name, len(direction)):
        if not change.any():
            continue
        side = "left" if one.shape[1] == 1 else _side(one, change, direction)
        if side is None or not np.all(np.isfinite(change)):
            return None
        matrix = one if side == "left" else one.T
        taken = strength * np.outer(direction, matrix.T @ direction)
        left.add(change + (taken if side == "left" else taken.T), widths)
        total += float(np.sum(np.square(change)))
    return left.beyond / math.sqrt(total) if total and left.verdict().holds else None


def _cosine(one: Floats, other: Floats) -> float:
    norms = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / norms if norms > 0 else 0.0
