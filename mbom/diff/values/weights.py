"""What became of the weights, value by value, or estimated from sketches (``estimate``).

Both checkpoints are streamed: of a dense weight there are blocks of rows in memory, of experts one, and what is equal
by its digest is not read. Sums are in float64.

The *effective rank* of a change is that of ``rank``: the number of singular values above what rounding to the stored
type leaves. Of a stack of experts it is the largest of those of the first few that changed.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mbom.behaviour import values
from mbom.behaviour.values import Values, Weight
from mbom.diff.changes import WeightChange, Weights
from mbom.diff.values import totals
from mbom.diff.values.estimates import Estimate, Sum
from mbom.diff.values.rank import Rank, Sample
from mbom.diff.values.rows import BLOCK_VALUES, MATRIX, aligned
from mbom.diff.values.sketched import estimate
from mbom.diff.values.totals import Compared

__all__ = ["Progress", "compare", "estimate"]

Floats = NDArray[np.float64]
Progress = Callable[[str], None]  # told the weight that is looked at

RANKED_EXPERTS = 4  # of a stack, whose rank is looked at: it takes a decomposition each


def compare(old: Values, new: Values, *, progress: Progress | None = None) -> Weights:
    """Compare the values of all weights that both sides have in one shape.

    A weight whose shape is not the same is listed on both sides, as if it were two.

    Args:
        old: what was.
        new: what is.
        progress: called with each weight before it is read.

    Raises:
        UnavailableError: when a file cannot be read.
        RefusedError: when one is not what the inventory says.
    """
    before, after = old.weights(), new.weights()
    compared = []
    for name, weight in before.items():
        other = after.get(name)
        if other is None or other.shape != weight.shape:
            continue
        if progress is not None:
            progress(name)
        compared.append(_compared(old, new, weight, other))
    notes = tuple(dict.fromkeys((*values.notes(old), *values.notes(new))))
    return totals.weights(compared, "weights", before=before.keys(), after=after.keys(), notes=notes)


def _compared(old: Values, new: Values, weight: Weight, other: Weight) -> Compared:
    elements = math.prod(weight.shape)
    equal = Compared(name=weight.name, layer=weight.layer, elements=elements)
    if (weight.digest and weight.digest == other.digest) or elements == 0:
        return equal
    if not (weight.readable and other.readable):
        return _unreadable(weight, elements)
    sums = _Sums()
    experts = tuple(_experts(old, new, weight, other, sums) if weight.slices > 1 else _dense(old, new, other, sums))
    if sums.equal == elements:
        return equal
    amount = Estimate(change=Sum(total=sums.change), norm=Sum(total=sums.norm))
    rank = sums.rank()
    change = WeightChange(
        name=weight.name,
        layer=weight.layer,
        role=weight.role,
        elements=elements,
        basis="weights",
        relative=amount.relative,
        error=0.0,
        unchanged=sums.equal / elements,
        largest=sums.largest,
        rank=rank.rank,
        rank_unknown=rank.reason,
        experts=experts,
        of=weight.slices,
    )
    return Compared(name=weight.name, layer=weight.layer, elements=elements, change=change, amount=amount)


def _unreadable(weight: Weight, elements: int) -> Compared:
    """Return what is said of bytes that nobody can read as numbers and that are not the same."""
    change = WeightChange(
        name=weight.name,
        layer=weight.layer,
        role=weight.role,
        elements=elements,
        basis="weights",
        relative=math.inf,
        error=math.inf,
        rank_unknown="what its bytes stand for is not known",
    )
    return Compared(name=weight.name, layer=weight.layer, elements=elements, change=change)


@dataclass(kw_only=True)
class _Sums:
    """What is added up over the blocks of a weight.

    Attributes:
        change: squared norm of the change.
        norm: squared norm of the old values.
        equal: elements that are the same.
        largest: absolute change of an element.
        ranks: of the matrices that were looked at.
    """

    change: float = 0.0
    norm: float = 0.0
    equal: int = 0
    largest: float = 0.0
    ranks: list[Rank] = field(default_factory=list)

    def add(self, before: Floats, after: Floats, sample: Sample | None) -> bool:
        """Take in a block of rows, (rows, columns) or (elements,), and return whether anything changed in it."""
        with np.errstate(invalid="ignore", over="ignore"):
            change = after - before
        self.norm += _squares(before)
        # Neighbours differ by a number other than zero, so that equal elements are those without a difference.
        if not math.isfinite(_squares(change)):
            change = _infinite(before, after, change)
        different = int(np.count_nonzero(change))
        self.equal += before.size - different
        if different == 0:
            return False
        self.change += _squares(change)
        self.largest = max(self.largest, float(change.max()), -float(change.min()))
        if sample is not None:
            sample.add(after, change)
        return True

    def rank(self) -> Rank:
        """Return the largest rank that was found; where there is none, the first reason."""
        found = [rank for rank in self.ranks if rank.rank is not None]
        if found:
            return max(found, key=lambda rank: rank.rank or 0)
        return self.ranks[0] if self.ranks else Rank(rank=None, reason=None)


def _dense(old: Values, new: Values, other: Weight, sums: _Sums) -> Iterator[int]:
    """Add up a weight that is no stack of experts."""
    name, shape = other.name, other.shape
    sample = Sample(shape[-1]) if len(shape) >= MATRIX and min(shape) > 1 else None
    sides = values.blocks(old, name, BLOCK_VALUES), values.blocks(new, name, BLOCK_VALUES)
    for before, after in aligned(*sides, columns=shape[-1] if len(shape) >= MATRIX else 0):
        sums.add(before, after, sample)
    if sample is not None and sums.equal < math.prod(shape):
        sums.ranks.append(sample.rank(other.dtype))
    yield from ()


def _experts(old: Values, new: Values, weight: Weight, other: Weight, sums: _Sums) -> Iterator[int]:
    """Add up experts, and yield those that changed."""
    if len(weight.shape) == MATRIX:  # a row for each
        before, after = old.read(weight.name), new.read(weight.name)
        for index in range(weight.slices):
            if sums.add(before[index], after[index], None):
                yield index
        return
    for index in range(weight.slices):
        before, after = old.read(weight.name, index), new.read(weight.name, index)
        sample = Sample(weight.shape[-1]) if len(sums.ranks) < RANKED_EXPERTS and min(before.shape) > 1 else None
        changed = [sums.add(*both, sample) for both in aligned(iter([before]), iter([after]), columns=weight.shape[-1])]
        if any(changed):
            if sample is not None:
                sums.ranks.append(sample.rank(other.dtype))
            yield index


def _infinite(before: Floats, after: Floats, change: Floats) -> Floats:
    """Return a change where two that are no numbers are the same, and one is infinitely far from any number."""
    same = (before == after) | (np.isnan(before) & np.isnan(after))
    found: Floats = np.where(same, 0.0, np.where(np.isnan(change), math.inf, change))
    return found


def _squares(values: Floats) -> float:
    flat = values.reshape(-1)
    with np.errstate(invalid="ignore", over="ignore"):
        return float(flat @ flat)
