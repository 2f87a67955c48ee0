"""What rounding can leave of a prediction of a change, when the result is stored.

The steps themselves are those of ``mbom.diff.values.floats``. Of packed types (int8 with scales, MXFP4, ...) the step
depends on a scale that values do not show; what is known of them is a bound, so nothing may be called *explained* on
their account: ``known`` is False for those.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mbom.behaviour.values import Floats
from mbom.diff.values import floats

# What may be left of a prediction that was estimated from rounded numbers. Where a weight is much smaller than others
# of its matrix its step is so too, and the estimate is no better there than elsewhere.
NEAR = 1.1  # times what rounding can do
OUTSIDE = 0.005  # share of elements that may be further away than that
FEW = 2  # elements that may be so in any case, where the share comes to less than one
FEW_OF = 16  # elements that must be there for that
FAR = 2.0  # times the typical width: nothing may be so far away, or somebody edited it
# Of a packed type, the largest step in units of the largest value that the same scale serves: E2M1 has steps of 2 up to
# 6, int8 has 127 and int4 7 positive steps, and E4M3 has steps of 32 up to 448.
PACKED = (("fp4", 2 / 6), ("int4", 1 / 7), ("int8", 1 / 127), ("fp8", 32 / 448), ("float8", 32 / 448))


def known(dtype: str) -> bool:
    """Return whether the step of a stored type at a value follows from the value alone."""
    return floats.steps_known(dtype)


def step(values: Floats, dtype: str) -> Floats:
    """Return the distance between neighbours in a stored type at each value: its unit in the last place.

    Of a packed type it is an upper bound, taken from the largest value of the whole array.
    """
    if known(dtype):
        return floats.step(values, dtype)
    share = next((share for name, share in PACKED if name in dtype.lower()), 1.0)  # 1: of a type nobody knows
    return np.full(values.shape, share * float(np.max(np.abs(values), initial=0.0)))


def half_widths(old: Floats, new: Floats, dtype: str) -> Floats:
    """Return how far each value of ``new`` may be from what an exact sum with ``old`` would come to.

    That is half a step for storing the result, and what is lost before: tools compute a change in the stored type too
    and scale it (half a step of the change each), or at least in float32 (some steps at the size of the change).
    """
    change = new - old
    typical = float(np.sqrt(np.mean(np.square(change)))) if change.size else 0.0
    widths = step(new, dtype) / 2 + step(change, dtype)
    # The step of a subnormal change is no smaller than that of a subnormal sum: where nothing changed it adds nothing.
    return np.where(change == 0, step(new, dtype) / 2, widths) + 4 * float(step(np.array([typical]), "float32")[0])


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether what is left of a prediction is rounding: the share that is more, the furthest in widths, the answer."""

    outside: float
    furthest: float
    holds: bool


class Remainder:
    """What is left of a prediction of a change, taken in piece by piece, against what rounding can leave."""

    def __init__(self) -> None:
        self._size = self._outside = 0
        self._furthest = -math.inf
        self._widths = self._beyond = 0.0

    def add(self, residual: Floats, widths: Floats) -> None:
        """Take in what is left of some elements, and how far rounding can have moved each."""
        if not residual.size:
            return
        distance = np.abs(residual)
        self._size += residual.size
        # What is no number is not near.
        self._outside += residual.size - int(np.count_nonzero(distance <= NEAR * widths))
        self._furthest = max(self._furthest, float(np.max(distance - widths)))
        self._widths += float(np.sum(np.square(widths)))
        self._beyond += float(np.sum(np.square(np.maximum(distance - widths, 0))))

    @property
    def beyond(self) -> float:
        """The Frobenius norm of what is more than rounding."""
        return math.sqrt(self._beyond)

    def verdict(self) -> Verdict:
        """Judge all of it."""
        if not self._size:
            return Verdict(outside=0.0, furthest=0.0, holds=True)
        outside = self._outside / self._size
        typical = math.sqrt(self._widths / self._size)
        furthest = self._furthest / typical if typical else 0.0
        allowed = max(OUTSIDE, FEW / self._size if self._size >= FEW_OF else 0.0)
        return Verdict(outside=outside, furthest=furthest, holds=outside <= allowed and furthest <= FAR)


def within(residual: Floats, widths: Floats) -> Verdict:
    """Judge what is left of a prediction of a change."""
    remainder = Remainder()
    remainder.add(residual, widths)
    return remainder.verdict()


def equal_bits(one: Floats, other: Floats) -> bool:
    """Return whether two arrays hold the same numbers bit for bit, so that NaN equals itself and -0 is not 0."""
    return one.shape == other.shape and bool(np.array_equal(_bits(one), _bits(other)))


def _bits(values: Floats) -> NDArray[np.uint64]:
    return np.ascontiguousarray(values, dtype=np.float64).view(np.uint64)
