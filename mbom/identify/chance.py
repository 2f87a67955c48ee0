"""How near the sketches of two models are, and how likely that is for two that have nothing to do with each other.

*The null distribution.* The similarity of two models is one minus the squared distance of ``mbom.ancestry``: 1 for the
same values, about 0 for unrelated ones. It is a weighted sum of products of one value of this model's sketch with the
same value of the other's. Each value is drawn with signs of its own, and the product of two is on average, over the
signs, the inner product of both weights: zero where they have nothing to do with each other, and as likely positive as
negative. Weights of one role share their signs, whatever their layer and expert, so their products are added up first.
What is left are sums of independent sign, of any size; Hoeffding's inequality bounds the chance that n of them add up
to z times the root of the sum of their squares, or more, by exp(-z²/2) (Probability inequalities for sums of bounded
random variables, 1963, theorem 2). That z, with roles weighted so that each of their values counts the same, is the
*score*; the bound times the number of candidates is the *chance*. It takes no model of how weights are distributed, or
of how those of one model resemble each other.

*Rivals.* Of two candidates that are both near, the squared distances are compared value by value. Were both equally
near, each difference would be as likely positive as negative, so the same bound holds for it.
"""

import math
from dataclasses import dataclass

import numpy as np

from mbom.ancestry import Floats, pairs
from mbom.behaviour.record import Record
from mbom.behaviour.sketches import Sketched


@dataclass(frozen=True, kw_only=True)
class Nearness:
    """What sketches say of two models.

    Attributes:
        comparable: the share of this model's elements, in matrices, whose sketches could be compared.
        similarity: one minus the squared distance: 1 for the same values, about 0 for unrelated ones.
        score: how near they are on average over roles, in units of its spread if the models were unrelated.
        chance: a bound on how likely such a score would be then, for any of the candidates; at most 1.
    """

    comparable: float
    similarity: float
    score: float
    chance: float


def nearness(record: Record, base: Record, candidates: int = 1) -> Nearness | None:
    """Hold the sketches of a model against those of a known one; None where both were drawn differently.

    Args:
        record: of the model.
        base: of the known one.
        candidates: how many known ones are asked in all.
    """
    if record.key != base.key:
        return None
    elements = 0
    terms = _Terms()
    for weight, sketch, before in pairs(record, base):
        elements += math.prod(weight.shape)
        scale = _scale(before, sketch)
        if before is not None and scale is not None:
            terms.add(weight, 2 * (before / scale) * (sketch / scale))
    score = terms.score
    return Nearness(
        comparable=_rounded(terms.elements / elements if elements else 0.0),
        similarity=_rounded(terms.sum / terms.elements if terms.elements else 0.0),
        score=_rounded(score),
        chance=_rounded(_bound(score, candidates)),
    )


def separation(record: Record, near: Record, far: Record) -> float:
    """Return a bound on how likely it is that ``near`` is not nearer than ``far``; 1 where nothing says so."""
    if not record.key == near.key == far.key:
        return 1.0
    terms = _Terms()
    for (weight, sketch, one), (_, _, other) in zip(pairs(record, near), pairs(record, far), strict=True):
        first, second = _scale(one, sketch), _scale(other, sketch)
        if one is None or other is None or first is None or second is None:
            continue
        apart = ((sketch - other) / second) ** 2 - ((sketch - one) / first) ** 2
        terms.add(weight, apart)
    return _bound(terms.score, 1)


class _Terms:
    """Terms of a sum, those of one role and value together, for they share their signs."""

    def __init__(self) -> None:
        self.elements = 0
        self.sum = 0.0
        self._by_role: dict[tuple[str, int], Floats] = {}
        self._sizes: dict[tuple[str, int], float] = {}

    def add(self, weight: Sketched, terms: Floats) -> None:
        """Add those of a weight, (slices, values), in units of its size."""
        size = math.prod(weight.shape)
        if size == 0:  # whatever its sketch claims
            return
        key = weight.role, terms.shape[1]
        sized = float(size) * terms.sum(axis=0)
        self.elements += size
        self.sum += float(sized.sum())
        self._by_role[key] = self._by_role.get(key, 0.0) + sized
        self._sizes[key] = self._sizes.get(key, 0.0) + size

    @property
    def score(self) -> float:
        """The sum in units of its spread if each term had a sign of its own by chance; 0 where there is none.

        Each value of each role counts the same here, however many elements the role has: nearly all elements of a
        mixture of experts are in three roles of sixteen values each, from which little could be concluded.
        """
        even = [values * terms / self._sizes[role, values] for (role, values), terms in self._by_role.items()]
        spread = math.sqrt(sum(float((terms**2).sum()) for terms in even))
        return sum(float(terms.sum()) for terms in even) / spread if spread else 0.0


def _scale(before: Floats | None, after: Floats) -> float | None:
    """Return what both sketches of a weight, (slices, values), are divided by: then their squares add up to 1."""
    if before is None:
        return None
    with np.errstate(over="ignore"):
        total = float((before**2 + after**2).sum())
    return math.sqrt(total) if 0.0 < total < math.inf else None


def _bound(score: float, trials: int) -> float:
    return min(1.0, trials * math.exp(-(score**2) / 2)) if score > 0 else 1.0


def _rounded(number: float) -> float:
    """Return four digits of a figure: what is beyond them is the library's order of summation."""
    return float(f"{number:.4g}")
