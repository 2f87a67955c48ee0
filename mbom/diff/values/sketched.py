"""What became of the weights, estimated from the sketches of two behaviour records."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from mbom.behaviour.differences import row_errors
from mbom.behaviour.record import SKETCH_LIMIT, Record
from mbom.behaviour.sketches import Sketched
from mbom.diff.changes import WeightChange, Weights
from mbom.diff.values import totals
from mbom.diff.values.estimates import Estimate, Sum
from mbom.diff.values.totals import Compared

Floats = NDArray[np.float64]


def estimate(old: Record, new: Record) -> Weights | None:
    """Estimate how far the weights of two checkpoints are apart, from their records alone.

    Returns:
        None where the records were made under different challenges, so that their sketches cannot be compared.
    """
    if old.key != new.key:
        return None
    before, after = _sketches(old), _sketches(new)
    compared = [
        _compared(weight, one, after[name][1], _rows(old, new, name))
        for name, (weight, one) in before.items()
        if name in after and (after[name][0].shape, after[name][0].slices) == (weight.shape, weight.slices)
    ]
    return totals.weights(compared, "sketches", before=before.keys(), after=after.keys())


def _sketches(record: Record) -> dict[str, tuple[Sketched, Floats]]:
    return {weight.name: (weight, sketch) for weight, sketch in zip(record.weights, record.sketches(), strict=True)}


def _compared(weight: Sketched, before: Floats, after: Floats, rows: Iterator[tuple[Floats, Floats]]) -> Compared:
    elements = int(np.prod(weight.shape, dtype=object))
    wrong = _wrong(before, after)
    beyond = any(_wrong(one, other).any() for one, other in rows)
    if not wrong.any() and not beyond:
        return Compared(name=weight.name, layer=weight.layer, elements=elements)
    bilinear = len(weight.shape) - (weight.slices > 1) > 1
    difference = np.where(wrong[:, None], after - before, 0.0) if wrong.any() else after - before
    amount = Estimate(change=Sum.of(difference, bilinear=bilinear), norm=Sum.of(before, bilinear=bilinear))
    change = WeightChange(
        name=weight.name,
        layer=weight.layer,
        role=weight.role,
        elements=elements,
        basis="sketches",
        relative=amount.relative,
        error=amount.error,
        experts=tuple(np.flatnonzero(wrong).tolist()) if weight.slices > 1 else (),
        of=weight.slices,
    )
    return Compared(name=weight.name, layer=weight.layer, elements=elements, change=change, amount=amount)


def _rows(old: Record, new: Record, name: str) -> Iterator[tuple[Floats, Floats]]:
    """Yield the projections of the rows of the embedding or the output head on both sides, (rows, 1)."""
    for one, other, before, after in (
        (old.embedding, new.embedding, old.numbers.embedding_rows, new.numbers.embedding_rows),
        (old.head, new.head, old.numbers.head_rows, new.numbers.head_rows),
    ):
        if one == other == name and before.shape == after.shape:
            yield before[:, None], after[:, None]


def _wrong(before: Floats, after: Floats) -> NDArray[np.bool_]:
    """Mark the rows that are not the same; what is no number, or beyond all measure, is never the same."""
    with np.errstate(over="ignore", invalid="ignore"):
        same = row_errors(before, after) <= SKETCH_LIMIT
    wrong: NDArray[np.bool_] = ~(same & np.isfinite(before).all(axis=1) & np.isfinite(after).all(axis=1))
    return wrong
