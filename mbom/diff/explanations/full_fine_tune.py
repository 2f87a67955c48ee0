"""Most weights changed by little and without structure, as further training does: never proven, only consistent.

What has a structure is not claimed: whole matrices scaled, turned or replaced, a change of low rank, another encoding.
"""

import math
from collections.abc import Sequence

import numpy as np

from mbom.behaviour.values import Floats, Values
from mbom.diff.changes import Explanation, WeightChange, Weights
from mbom.diff.explanations.accounting import account, differences, number
from mbom.diff.explanations.lowrank import fit
from mbom.diff.explanations.rounding import half_widths, known
from mbom.diff.values.weights import Progress

MOST = 0.5  # of the compared elements that must belong to changed weights
DENSE = 0.01  # of a weight's elements that must have changed: a low learning rate leaves most bfloat16 values alone
SMALL = 0.5  # relative change: beyond it, what was there before is no longer recognised
PROBES = 6  # matrices whose values are looked at
SCALED = 0.5  # cosine between a change and the old values: training does not scale
LEVELS = 0.05  # distinct values for each element: fewer come from a table of quantisation
LEVELS_OF = 4096  # elements that are looked at for that


def explain(
    old: Values, new: Values, weights: Weights, *, others: Sequence[Values] = (), progress: Progress | None = None
) -> Explanation | None:
    """Judge the figures of all changed weights, and the values of a few; ``others`` make no difference."""
    del others
    found = differences(old, new, weights)
    before, after = old.weights(), new.weights()
    changed = [change for change in weights.changed if change.name in set(found.changed)]
    total = sum(math.prod(weight.shape) for name, weight in before.items() if name in after)
    touched = sum(change.elements for change in changed)
    if not changed or touched < MOST * total:
        return None
    fitting = [change for change in changed if _small_and_dense(change)]
    if sum(change.elements for change in fitting) < MOST * total:
        return None
    if any(before[change.name].dtype != after[change.name].dtype for change in fitting):
        return None
    matrices = [change.name for change in fitting if len(after[change.name].shape) in (2, 3)]
    if not matrices:
        return None
    for index in sorted(set(np.linspace(0, len(matrices) - 1, PROBES).astype(int))):
        if progress is not None:
            progress(matrices[index])
        if _structured(old, new, matrices[index]):
            return None
    median = float(np.median([change.relative for change in fitting]))
    share = touched / total
    return account(
        "full-fine-tune",
        of=found,
        accounted=(),
        fitting=[change.name for change in fitting],
        sentence=f"{number(len(fitting), 'weight')}, {share:.0%} of all elements, changed by {median:.2g} of their "
        "norm in the median, without structure",
        residual=None,
        details={"share": round(share, 4), "median_relative": median},
    )


def _small_and_dense(change: WeightChange) -> bool:
    dense = change.unchanged is None or 1 - change.unchanged >= DENSE
    return dense and 0 < change.relative <= SMALL


def _structured(old: Values, new: Values, name: str) -> bool:
    """Return whether a matrix, the first of stacked ones, was scaled, changed in a low rank, or took few values."""
    weight = new.weights()[name]
    part = 0 if weight.slices > 1 else None
    one, other = (_matrix(values.read(name, part)) for values in (old, new))
    change = other - one
    if not np.all(np.isfinite(change)) or not change.any():
        return False  # of stacked experts the first may be as it was
    norms = float(np.linalg.norm(change) * np.linalg.norm(one))
    if norms and abs(float(np.vdot(change, one))) > SCALED * norms:
        return True
    seen = other.ravel()[:: max(1, other.size // LEVELS_OF)]
    was = one.ravel()[:: max(1, one.size // LEVELS_OF)]
    if len(np.unique(seen)) < min(LEVELS * len(seen), len(np.unique(was)) / 2):
        return True
    return known(weight.dtype) and fit(change, half_widths(one, other, weight.dtype)).holds


def _matrix(values: Floats) -> Floats:
    return values.reshape(-1, values.shape[-1])
