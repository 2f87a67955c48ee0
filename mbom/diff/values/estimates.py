"""How far two checkpoints are apart by the sketches of their records, with an error that holds in 95 of 100 cases.

The mean of the squares of a sketch estimates a squared norm without bias (``mbom.behaviour.sketches``). Its spread
depends on what was sketched. A sketch of a dense change is a normal number, whose square has the variance 2 (in units
of the squared mean); one of rank one is the product of two, with the variance 8, and no bilinear form of signs has
more (hypercontractivity: its fourth moment is at most 3**4 / 9 = 9 times the square of its second); a single element
leaves the same square in every value, which then is no estimate but the thing itself.

Signs are the same for all slices of a weight, so that experts which changed alike are off alike: the squares are added
over the slices first, and it is the spread of these sums, one for each value, that tells the variance. It is taken as
at least that of normal numbers that are independent between slices (of rows, which have two values, that of rows which
changed alike), because few values with a heavy tail show too little spread as a rule, just when their mean is too
small. What is left of that is in the factors below, by which the standard error has to be multiplied to be a bound in
95 of 100 cases of the *worst* law. They come from a simulation, which a test repeats. For milder laws they are too
large: the bound holds more often there.

The norm that a change is relative to is estimated in the same way, and both errors are added as independent ones.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Independent values behind an estimate -> factor, for sketches of matrices (products of two sums of signs) and of
# vectors (one sum of signs). Between entries by the logarithm of the number.
BILINEAR = {2: 8.0, 16: 5.2, 32: 3.9, 64: 3.15, 128: 2.85, 256: 2.6, 1024: 2.3, 4096: 2.1}
LINEAR = {2: 7.5, 4: 3.4, 8: 2.6, 16: 2.4, 64: 2.0}
NORMAL = 2.0  # variance of the square of a normal number, in units of its squared mean
SAME = 1e-9  # relative difference of squares that come from one element: rounding of sums, and nothing else
FEWEST = 16  # values that have to agree before that is believed


@dataclass(frozen=True, kw_only=True)
class Sum:
    """A squared norm, estimated or known.

    Attributes:
        total: the estimate.
        variance: of it.
        crowd: the sum of the squares of each weight's part over its number of values: ``total**2 / crowd`` is how many
            equal, independent values would spread as much.
        bilinear: whether any of it comes from sketches of matrices.
    """

    total: float
    variance: float = 0.0
    crowd: float = 0.0
    bilinear: bool = False

    def __add__(self, other: "Sum") -> "Sum":
        return Sum(
            total=self.total + other.total,
            variance=self.variance + other.variance,
            crowd=self.crowd + other.crowd,
            bilinear=self.bilinear or other.bilinear,
        )

    @classmethod
    def of(cls, sketch: Floats, *, bilinear: bool) -> "Sum":
        """Estimate a squared norm from sketches of slices, (slices, values)."""
        count = sketch.shape[1]
        with np.errstate(over="ignore", invalid="ignore"):  # a hostile record may hold any numbers: those end as inf
            squares = sketch**2
            sums = squares.sum(axis=0)  # (values,)
            total = float(sums.mean())
            least = NORMAL * float((squares.mean(axis=1) ** 2).sum()) if bilinear else NORMAL * total * total
            if count >= FEWEST and np.ptp(sums) <= SAME * total:
                return cls(total=total, bilinear=bilinear)
            variance = max(float(sums.var(ddof=1)), least) / count
        return cls(total=total, variance=variance, crowd=total * total / count, bilinear=bilinear)

    @property
    def error(self) -> float:
        """The relative error of its root that 95 of 100 cases are within."""
        if self.variance == 0.0:
            return 0.0
        if not math.isfinite(self.variance) or self.crowd <= 0.0:
            return math.inf
        values = self.total * self.total / self.crowd
        table = BILINEAR if self.bilinear else LINEAR
        factor = float(np.interp(math.log2(values), np.log2([*table]), [*table.values()]))
        return factor * math.sqrt(self.variance) / (2 * self.total)


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """The squared norms of a change and of what it is relative to."""

    change: Sum
    norm: Sum

    @property
    def relative(self) -> float:
        """The norm of the change in units of the old norm; infinite where that is zero."""
        if self.change.total == 0.0:
            return 0.0
        ratio = self.change.total / self.norm.total if self.norm.total > 0 else math.inf
        return math.sqrt(ratio) if ratio >= 0 else math.inf  # what is no number is infinite too

    @property
    def error(self) -> float:
        """What ``relative`` is within of the truth in 95 of 100 cases, in the same unit."""
        relative = self.relative
        if relative == 0.0 or not math.isfinite(relative):
            return relative
        return relative * math.hypot(self.change.error, self.norm.error)

    @classmethod
    def total(cls, parts: Iterable["Estimate"]) -> "Estimate":
        """Add up what became of several weights."""
        change = norm = Sum(total=0.0)
        for part in parts:
            change, norm = change + part.change, norm + part.norm
        return cls(change=change, norm=norm)

    @classmethod
    def unknown(cls) -> "Estimate":
        """Return what is said of weights that have no values: infinitely far apart."""
        return cls(change=Sum(total=math.inf), norm=Sum(total=1.0))
