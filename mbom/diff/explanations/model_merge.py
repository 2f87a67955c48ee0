"""A merge with one of some given models: NEW = a OLD + b OTHER, weight by weight.

``linear`` has a + b = 1 in common for all weights, ``task-arithmetic`` other numbers in common; ``slerp`` goes along
the great circle between both, the same way in every weight; ``by-layer`` and ``by-weight`` have numbers of their own.
Other recipes (TIES, DARE, more than two models) are not of this form, and nothing is claimed for them.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mbom.behaviour.values import Floats, Values
from mbom.diff.changes import Explanation, Weights
from mbom.diff.explanations.accounting import Account, Differences, account, differences, number, pieces
from mbom.diff.explanations.rounding import Remainder, known, step
from mbom.diff.values.weights import Progress
from mbom.strictjson import Json

EXACT = 1e-3  # weights of a merge that are closer are the same
SURE = 6.0  # standard errors of an estimate within which two are the same too
PRESENT = 0.005  # of either model: less than that is no merge
SHARE = 0.5  # of the changed weights that must be merged
HOPELESS = 0.3  # share of elements that are not rounding: no better numbers help
STRAIGHT = 0.9995  # cosine from which tools go along the straight line, because the arc is the same
NEWTON = 6
SMALL = 1e-6  # for a derivative
DIGITS = 4

Sides = tuple[Values, Values, Values]  # OLD, NEW, OTHER


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """One weight as a OLD + b OTHER.

    Attributes:
        a: of the old model.
        b: of the other.
        normal: the normal equations of (a, b), in units of the rounding: adding those of several weights pools them.
        angle: between both models.
        layer: the weight's.
    """

    a: float
    b: float
    normal: Floats
    angle: float
    layer: int | None

    @property
    def errors(self) -> tuple[float, float]:
        """The standard errors of both numbers: rounding is even over a width, so a third of its square."""
        variances = np.diag(np.linalg.pinv(self.normal)) / 3
        return float(math.sqrt(variances[0])), float(math.sqrt(variances[1]))

    def is_at(self, a: float, b: float) -> bool:
        """Whether it may have been these numbers."""
        one, other = (max(EXACT, SURE * error) for error in self.errors)
        return abs(self.a - a) <= one and abs(self.b - b) <= other


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What the numbers of all weights follow: its name, its figures, and the numbers for each weight."""

    method: str
    figures: Mapping[str, Json]
    numbers: Callable[[str], tuple[float, float]]


def explain(
    old: Values, new: Values, weights: Weights, *, others: Sequence[Values] = (), progress: Progress | None = None
) -> Explanation | None:
    """Try each of ``others`` in turn; without any, nothing is claimed."""
    found = differences(old, new, weights)
    if not found.changed:
        return None
    best: Account | None = None
    for index, other in enumerate(others):
        estimates = _estimates(found, old, new, other, progress)
        if estimates:
            claimed = _account(found, (old, new, other), estimates, index)
            if claimed is not None and (best is None or len(claimed.accounted) > len(best.accounted)):
                best = claimed
    return best


def _estimates(
    found: Differences, old: Values, new: Values, other: Values, progress: Progress | None
) -> dict[str, Estimate]:
    """Fit every changed weight by itself; return nothing where too many are nothing of the kind."""
    estimates: dict[str, Estimate] = {}
    missed = 0
    for name in found.changed:
        if progress is not None:
            progress(name)
        one = _estimate((old, new, other), name)
        if one is not None:
            estimates[name] = one
            continue
        missed += 1
        if missed > (1 - SHARE) * len(found.changed):
            return {}
    return estimates


def _read(sides: Sides, name: str) -> Iterator[tuple[Floats, Floats, Floats]]:
    """Yield OLD and OTHER as (2, elements), NEW, and the widths of its rounding, by pieces of the weight."""
    dtype = sides[1].weights()[name].dtype
    for before, after, far in pieces(sides, name):
        if after.size:
            typical = float(np.sqrt(np.mean(np.square(after))))
            # Products and the sum are computed in float32 at least.
            widths = step(after, dtype) / 2 + 2 * float(step(np.array([typical]), "float32")[0])
            yield np.stack([before.ravel(), far.ravel()]), after.ravel(), widths.ravel()


def _estimate(sides: Sides, name: str) -> Estimate | None:
    """Fit one weight, each element weighted by how finely it is stored: what rounding hides in large ones is seen."""
    weight, beside = sides[1].weights()[name], sides[2].weights().get(name)
    if beside is None or beside.shape != weight.shape or not beside.readable:
        return None
    normal, gram = np.zeros((2, 2)), np.zeros((2, 2))
    target = np.zeros(2)
    apart = False
    for both, after, widths in _read(sides, name):
        if not (np.all(np.isfinite(both)) and np.all(np.isfinite(after))):
            return None
        weighted = both / np.square(widths)
        normal += weighted @ both.T
        target += weighted @ after
        gram += both @ both.T
        apart = apart or bool(np.any(both[0] != both[1]))
    if not apart or not (np.all(np.isfinite(normal)) and np.all(np.isfinite(target))):
        return None
    a, b = (float(number) for number in np.linalg.lstsq(normal, target, rcond=1e-13)[0])
    left = Remainder()
    for both, after, widths in _read(sides, name):
        left.add(after - a * both[0] - b * both[1], widths)
    if left.verdict().outside > HOPELESS:
        return None
    norms = math.sqrt(gram[0, 0] * gram[1, 1])
    cosine = float(gram[0, 1]) / norms if norms else 1.0
    return Estimate(a=a, b=b, normal=normal, angle=math.acos(max(-1.0, min(1.0, cosine))), layer=weight.layer)


def _account(found: Differences, sides: Sides, estimates: Mapping[str, Estimate], index: int) -> Account | None:
    """Test every recipe against every weight, and state the simplest of those that fit the most."""
    stored = sides[1].weights()
    tested = _tested(sides, estimates, list(_recipes(estimates)))
    recipe, residuals = max(tested, key=lambda one: len(one[1]))
    if len(residuals) < SHARE * len(found.changed):
        return None
    figures = ", ".join(f"{name} = {value}" for name, value in recipe.figures.items() if isinstance(value, float))
    return account(
        "model-merge",
        of=found,
        accounted=[name for name in residuals if known(stored[name].dtype)],
        fitting=residuals,
        sentence=f"merged with the other model number {index + 1} in {number(len(residuals), 'weight')}, "
        + recipe.method
        + (f": {figures}" if figures else ""),
        residual=max(residuals.values()),
        details={"other": index, "method": recipe.method, **recipe.figures},
    )


def _tested(
    sides: Sides, estimates: Mapping[str, Estimate], recipes: Sequence[Recipe]
) -> list[tuple[Recipe, dict[str, float]]]:
    """Return for each recipe what is left beyond rounding, relative to the change, of every weight that it fits."""
    tested: list[tuple[Recipe, dict[str, float]]] = [(recipe, {}) for recipe in recipes]
    for name in estimates:
        numbers = [recipe.numbers(name) for recipe in recipes]
        left = [Remainder() for _ in recipes]
        changed = 0.0
        for both, after, widths in _read(sides, name):
            changed += float(np.sum(np.square(after - both[0])))
            for (a, b), remainder in zip(numbers, left, strict=True):
                remainder.add(after - a * both[0] - b * both[1], widths)
        for (_, residuals), (a, b), remainder in zip(tested, numbers, left, strict=True):
            if min(abs(a), abs(b)) >= PRESENT and remainder.verdict().holds:
                residuals[name] = remainder.beyond / math.sqrt(changed)
    return tested


def _recipes(estimates: Mapping[str, Estimate]) -> Iterator[Recipe]:
    """Yield the recipes that the numbers of all weights may follow, the simplest first; the last always does.

    Estimates cannot decide between close ones: two numbers on a grid mixed in simple parts lie on a finer grid, where
    rounding errs to one side, and estimates are off by some ten-thousandths.
    """
    several = list(estimates.values())
    b = _blend(several)
    t = _way(several)
    line = Recipe(method="linear", figures=_figures(a=1 - b, b=b), numbers=lambda _: (1 - b, b))
    arc = Recipe(method="slerp", figures=_figures(t=t), numbers=lambda name: _arc(t, estimates[name].angle))
    free = _pooled(several)
    both = Recipe(method="task-arithmetic", figures=_figures(a=free[0], b=free[1]), numbers=lambda _: free)
    # Where tools take the straight line for an arc, the arc is no better than the line.
    curved = 2 * _misfit(arc, estimates) < _misfit(line, estimates)
    for recipe in (arc, line, both) if curved else (line, arc, both):
        if all(one.is_at(*recipe.numbers(name)) for name, one in estimates.items()):
            yield recipe
    layers: dict[int | None, list[Estimate]] = {}
    for one in estimates.values():
        layers.setdefault(one.layer, []).append(one)
    pools = {layer: _pooled(of) for layer, of in layers.items()}
    if all(one.is_at(*pools[one.layer]) for one in estimates.values()):
        listed: list[Json] = [
            {"layer": layer, "a": round(a, DIGITS), "b": round(b, DIGITS)} for layer, (a, b) in pools.items()
        ]
        yield Recipe(method="by-layer", figures={"weights": listed}, numbers=lambda name: pools[estimates[name].layer])
    each: list[Json] = [
        {"name": name, "a": round(one.a, DIGITS), "b": round(one.b, DIGITS)} for name, one in sorted(estimates.items())
    ]
    yield Recipe(
        method="by-weight", figures={"weights": each}, numbers=lambda name: (estimates[name].a, estimates[name].b)
    )


def _figures(**numbers: float) -> dict[str, Json]:
    return {name: round(number, DIGITS) for name, number in numbers.items()}


def _blend(estimates: Sequence[Estimate]) -> float:
    """Return how much of the other model there is in all weights, where both make one together."""
    along = np.array([-1.0, 1.0])
    slope = sum(float(along @ one.normal @ np.array([one.a - 1, one.b])) for one in estimates)
    curvature = sum(float(along @ one.normal @ along) for one in estimates)
    return slope / curvature if curvature > 0 else 0.0


def _pooled(estimates: Sequence[Estimate]) -> tuple[float, float]:
    """Return the numbers that several weights have in common, each with what it knows of them."""
    normal = np.sum([one.normal for one in estimates], axis=0)
    target = np.sum([one.normal @ np.array([one.a, one.b]) for one in estimates], axis=0)
    a, b = np.linalg.lstsq(normal, target, rcond=1e-13)[0]
    return float(a), float(b)


def _arc(way: float, angle: float) -> tuple[float, float]:
    """Return the numbers of a point on the great circle between two models, a share of the way from the first."""
    if math.cos(angle) > STRAIGHT or math.pi - angle < 1e-6:
        return 1 - way, way
    return math.sin((1 - way) * angle) / math.sin(angle), math.sin(way * angle) / math.sin(angle)


def _way(estimates: Sequence[Estimate]) -> float:
    """Return how far along the great circle all weights lie, if they do, by Newton's method from where they seem to."""
    way = float(np.median([one.b for one in estimates]))
    for _ in range(NEWTON):
        slope = curvature = 0.0
        for one in estimates:
            at = np.array(_arc(way, one.angle))
            turn = (np.array(_arc(way + SMALL, one.angle)) - at) / SMALL
            slope += float(turn @ one.normal @ (np.array([one.a, one.b]) - at))
            curvature += float(turn @ one.normal @ turn)
        way += slope / curvature if curvature > 0 else 0.0
    return way


def _misfit(recipe: Recipe, estimates: Mapping[str, Estimate]) -> float:
    """Return how badly the numbers of a recipe fit those of all weights, in units of the rounding."""
    total = 0.0
    for name, one in estimates.items():
        off = np.array([one.a, one.b]) - np.array(recipe.numbers(name))
        total += float(off @ one.normal @ off)
    return total
