"""Which weights differ between two records, by their sketches alone: names, experts, rows of tokens, and how far."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mbom.behaviour.record import SKETCH_LIMIT, Record
from mbom.behaviour.sketches import Distance, Sketched, distance
from mbom.strictjson import Json

NAMED = 3  # experts or tokens that a sentence spells out before it counts the rest
LISTED = 1000  # experts or tokens that a difference lists at most

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class WeightDifference:
    """One weight that is not the same in two records.

    Attributes:
        weight: which one.
        part: what ``indices`` count: "expert", "token" (a row of the embedding or the output head), or None where the
            sketch is of the whole weight.
        indices: the first ``LISTED`` experts or tokens that differ, ascending.
        count: how many differ.
        of: how many there are.
        error: the largest relative error of a sketch.
        distance: the estimated distance of the whole weight, relative to its norm.
    """

    weight: Sketched
    part: str | None
    indices: tuple[int, ...]
    count: int
    of: int
    error: float
    distance: Distance

    def __str__(self) -> str:
        """Say it in words."""
        where = f"weights of layer {self.weight.layer}" if self.weight.layer is not None else "weights"
        unused = "" if self.weight.executed else " (not executed)"
        return f"{where}: {self.weight.name}{unused}{self._part()} changed by {_measured(self.distance)} of its norm"

    def to_dict(self) -> dict[str, Json]:
        """Return the difference as JSON."""
        return {
            "name": self.weight.name,
            "layer": self.weight.layer,
            "executed": self.weight.executed,
            "part": self.part,
            "indices": list(self.indices),
            "count": self.count,
            "of": self.of,
            "error": self.error,
            "distance": _finite(self.distance.relative),
            "distance_error": _finite(self.distance.error),
        }

    def _part(self) -> str:
        if self.part is None or not self.indices:
            return ""
        named = ", ".join(str(index) for index in self.indices[:NAMED])
        more = f" and {self.count - NAMED} more" if self.count > NAMED else ""
        plural = "s" if self.count > 1 else ""
        return f", {self.part}{plural} {named}{more} of {self.of},"


def _measured(estimate: Distance) -> str:
    if math.isinf(estimate.relative):
        return "more than can be told"
    return f"{estimate.relative:.1e} (± {estimate.error:.0e})"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def weight_differences(reference: Record, measured: Record) -> tuple[list[WeightDifference], float]:
    """Compare the sketches of two records with equal lists of weights.

    Returns:
        The weights that differ, in the order of computation: the embedding, the layers, what lies outside them, the
        output head, and what is not executed; and the largest relative error of all sketches and row projections.
    """
    found, worst = [], 0.0
    for weight, before, after in zip(reference.weights, reference.sketches(), measured.sketches(), strict=True):
        errors = row_errors(before, after)  # (slices,)
        rows = _row_errors(reference, measured, weight.name)  # (V,), or (0,) for most weights
        worst = max(worst, float(errors.max()), float(rows.max(initial=0.0)))
        if not (_wrong(errors).any() or _wrong(rows).any()):
            continue
        part, of = ("token", rows) if len(rows) else ("expert", errors)
        indices = np.flatnonzero(_wrong(of)).tolist()
        found.append(
            WeightDifference(
                weight=weight,
                part=part if len(of) > 1 and indices else None,
                indices=tuple(indices[:LISTED]) if len(of) > 1 else (),
                count=len(indices),
                of=len(of),
                error=max(float(errors.max()), float(rows.max(initial=0.0))),
                distance=distance(before, after),
            )
        )
    found.sort(key=lambda difference: _order(reference, difference.weight))
    return found, worst


def _wrong(errors: Floats) -> NDArray[np.bool_]:
    """Mark what the rule refuses; an error that is no number is refused too."""
    return ~(errors <= SKETCH_LIMIT)


def _row_errors(reference: Record, measured: Record, name: str) -> Floats:
    """Return the errors of the rows of the embedding or the output head, nothing for another weight."""
    old, new = reference.numbers, measured.numbers
    if name == reference.embedding:
        return row_errors(old.embedding_rows[:, None], new.embedding_rows[:, None])
    if name == reference.head:
        return row_errors(old.head_rows[:, None], new.head_rows[:, None])
    return np.zeros(0)


def _order(record: Record, weight: Sketched) -> tuple[int, int, str]:
    """Return when a weight is used; what lies outside the layers counts as used after them."""
    if not weight.executed:
        stage = 4
    elif weight.name == record.embedding:
        stage = 0
    elif weight.name == record.head:
        stage = 3
    else:
        stage = 1 if weight.layer is not None else 2
    return stage, weight.layer if weight.layer is not None else 0, weight.name


def row_errors(before: Floats, after: Floats) -> Floats:
    """Return the relative L2 error of each row, (N, D) and (N, D) to (N,), from 0 to 2.

    The error of a row is relative to its own norm, or to the median norm of all rows where that is larger: a
    projection on few dimensions comes out small by chance (on four, one row in 73,000 has a twentieth of its usual
    size), while its noise is that of the vector that was projected. The median and not the mean square, because single
    positions, as a rule the first, have activations a thousand times those of all others.
    """
    norms = np.maximum(np.linalg.norm(before, axis=1), np.linalg.norm(after, axis=1))
    scale = np.maximum(norms, np.median(norms))
    distance = np.linalg.norm(before - after, axis=1)
    errors: Floats = np.divide(distance, scale, out=np.zeros_like(distance), where=scale > 0)
    return errors
