"""A few isolated elements changed, and nothing else: a bit that flipped in storage, or somebody's edit. All are listed.

Where the stored type shows its bits in the value, each element says whether the change is that of a single bit, and
which. Bit 0 is the lowest of the significand; the sign is the highest.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from mbom.behaviour.values import Values, Weight
from mbom.diff.changes import Explanation, WeightChange, Weights
from mbom.diff.explanations.accounting import LISTED
from mbom.diff.values.floats import TYPES, bits
from mbom.diff.values.rows import both
from mbom.diff.values.weights import Progress
from mbom.strictjson import Json

IN_ALL = 256  # elements that a report can list and a person can look at
PER_WEIGHT = 64
SHARE = 0.1  # of the elements of a weight: where more changed they are not isolated, as in a norm that was trained


def explain(
    old: Values,
    new: Values,
    weights: Weights,
    *,
    others: Sequence[Values] = (),  # noqa: ARG001 - as all families have it
    progress: Progress | None = None,
) -> Explanation | None:
    """Return the explanation where all that changed is a few isolated elements, else None.

    Args:
        old: what was.
        new: what is.
        weights: what a comparison of the values came to.
        others: not used.
        progress: called with each weight before it is read again.
    """
    counts = [_count(change) for change in weights.changed]
    if not counts or weights.only_old or weights.only_new or sum(counts) > IN_ALL:
        return None
    for change, count in zip(weights.changed, counts, strict=True):
        if not 0 < count <= min(PER_WEIGHT, max(1, SHARE * change.elements)):
            return None
    found: list[dict[str, Json]] = []
    for change in weights.changed:
        if progress is not None:
            progress(change.name)
        found += _elements(old, new, new.weights()[change.name])
    flips = sum(each["bit"] is not None for each in found)
    elements: list[Json] = [*found]
    return Explanation(
        id="few-weights-edit",
        outcome="explained",
        sentence=f"{_told(len(found), len(counts), flips)}, and nothing else",
        weights=len(counts),
        names=tuple(change.name for change in weights.changed[:LISTED]),
        residual=0.0,
        details={"elements": elements, "bit_flips": flips},
    )


def _told(elements: int, weights: int, flips: int) -> str:
    """Return how many elements changed, in how many weights, and how many of them by one bit."""
    sentence = f"{elements} isolated element{'s' * (elements != 1)} of {weights} weight{'s' * (weights != 1)} changed"
    if not flips:
        return sentence
    if flips == elements:
        return f"{sentence}, {'by' if elements == 1 else 'each by'} a single bit"
    return f"{sentence}, {flips} of them by a single bit"


def _count(change: WeightChange) -> int:
    """Return how many elements of a weight changed, 0 where nobody knows."""
    return 0 if change.unchanged is None else round((1 - change.unchanged) * change.elements)


def _elements(old: Values, new: Values, weight: Weight) -> Iterator[dict[str, Json]]:
    """Yield every element that changed: the weight, its index, both values, and the bit that makes the difference."""
    first = 0
    for before, after in both(old, new, weight):
        one, other = before.reshape(-1), after.reshape(-1)
        changed = ~((one == other) | (np.isnan(one) & np.isnan(other)))
        for place in np.flatnonzero(changed).tolist():
            index = np.unravel_index(first + place, weight.shape)
            yield {
                "weight": weight.name,
                "index": [int(each) for each in index],
                "old": _number(float(one[place])),
                "new": _number(float(other[place])),
                "bit": _bit(float(one[place]), float(other[place]), weight.dtype),
            }
        first += one.size


def _bit(one: float, other: float, dtype: str) -> int | None:
    """Return the only bit of the stored type that two values differ in, or None."""
    if dtype not in TYPES:
        return None
    before, after = bits(one, dtype), bits(other, dtype)
    if before is None or after is None or (before ^ after).bit_count() != 1:
        return None
    return (before ^ after).bit_length() - 1


def _number(value: float) -> Json:
    return value if math.isfinite(value) else str(value)
