"""A merge with one of some given models: NEW = a OLD + b OTHER, weight by weight.

``linear`` has a + b = 1 in common for all weights, ``task-arithmetic`` other numbers in common; ``slerp`` goes along
the great circle between both, the same way in every weight; ``by-layer`` and ``by-weight`` have numbers of their own.
Other recipes (TIES, DARE, more than two models) are not of this form, and nothing is claimed for them.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mbom.diff.accounting import Account, Differences, Progress, account, differences, number
from mbom.diff.changes import Explanation, Weights
from mbom.diff.rounding import known, step, within
from mbom.diff.values import Floats, Values
from mbom.strictjson import Json

ROUNDS = 6  # of the estimate: changes that rounding swallowed come back a part in each
EXACT = 1e-3  # weights of a merge that are closer are the same
PRESENT = 0.005  # of the other model: less than that is no merge
SHARE = 0.5  # of the changed weights that must be merged
STRAIGHT = 0.9995  # cosine from which tools go along the straight line, because the arc is the same
DIGITS = 4


@dataclass(frozen=True, kw_only=True)
class Mixed:
    """One weight as a OLD + b OTHER, the angle between both, and what was left relative to the change."""

    a: float
    b: float
    angle: float
    residual: float


def explain(
    old: Values, new: Values, weights: Weights, *, others: Sequence[Values] = (), progress: Progress | None = None
) -> Explanation | None:
    """Try each of ``others`` in turn; without any, nothing is claimed."""
    found = differences(old, new, weights)
    if not found.changed or not found.same_shapes:
        return None
    best: Account | None = None
    for index, other in enumerate(others):
        mixed = _fitted(found, old, new, other, progress)
        if mixed:
            claimed = _account(found, new, mixed, index)
            best = max(best or claimed, claimed, key=lambda one: len(one.accounted))
    return best


def _fitted(found: Differences, old: Values, new: Values, other: Values, progress: Progress | None) -> dict[str, Mixed]:
    """Fit every changed weight; return nothing where too many do not fit."""
    mixed: dict[str, Mixed] = {}
    missed = 0
    for name in found.changed:
        if progress is not None:
            progress(name)
        one = _mixed(old, new, other, name)
        if one is None:
            missed += 1
            if missed > (1 - SHARE) * len(found.changed):
                return {}
        else:
            mixed[name] = one
    return mixed


def _account(found: Differences, new: Values, mixed: Mapping[str, Mixed], index: int) -> Account:
    stored = new.weights()
    method, told = _method({name: one for name, one in mixed.items() if math.prod(stored[name].shape) > 1}, new)
    shown = f"{told['a']} and {told['b']}" if "a" in told else f"{told['t']} of the way" if "t" in told else method
    return account(
        "model-merge",
        of=found,
        accounted=[name for name in mixed if known(stored[name].dtype)],
        fitting=mixed,
        sentence=f"merged with the other model number {index + 1} in {number(len(mixed), 'weight')}: {method}, {shown}",
        residual=max(one.residual for one in mixed.values()),
        details={"other": index, "method": method, **told},
    )


def _mixed(old: Values, new: Values, other: Values, name: str) -> Mixed | None:
    """Fit one weight; None where the other model lacks it or something besides rounding is left."""
    weight, beside = new.weights()[name], other.weights().get(name)
    if beside is None or beside.shape != weight.shape:
        return None
    before, after, far = (values.read(name).ravel() for values in (old, new, other))
    change, towards = after - before, far - before
    if not (np.all(np.isfinite(change)) and np.all(np.isfinite(towards))) or not towards.any():
        return None
    typical = float(np.sqrt(np.mean(np.square(after))))
    # Products and the sum are computed in float32 at least.
    widths = step(after, weight.dtype) / 2 + 2 * float(step(np.array([typical]), "float32")[0])
    added, b = _estimate(before, towards, change, widths)
    residual = change - added * before - b * towards
    verdict = within(residual, widths)
    if not verdict.holds or abs(b) < PRESENT or abs(1 + added - b) < PRESENT:
        return None
    beyond = np.maximum(np.abs(residual) - widths, 0)
    norms = float(np.linalg.norm(before) * np.linalg.norm(far))
    return Mixed(
        a=1 + added - b,
        b=b,
        angle=math.acos(max(-1.0, min(1.0, float(before @ far) / norms))) if norms else 0.0,
        residual=float(np.linalg.norm(beyond) / np.linalg.norm(change)),
    )


def _estimate(before: Floats, towards: Floats, change: Floats, widths: Floats) -> tuple[float, float]:
    """Return (c, b) so that c OLD + b (OTHER - OLD) is the change, elements weighted by how finely they are stored."""
    precision = 1 / np.square(widths)
    columns = np.stack([before, towards])  # (2, elements)
    normal = (columns * precision) @ columns.T
    target: Floats = change
    weights: Floats = np.zeros(2)
    for _ in range(ROUNDS):
        weights = np.asarray(np.linalg.lstsq(normal, columns @ (precision * target), rcond=1e-12)[0])
        target = np.clip(weights @ columns, change - widths, change + widths)
    return float(weights[0]), float(weights[1])


def _method(mixed: Mapping[str, Mixed], new: Values) -> tuple[str, dict[str, Json]]:
    """Return the recipe that the numbers of all weights follow, and its figures."""
    stored = new.weights()
    if _same([one.a for one in mixed.values()]) and _same([one.b for one in mixed.values()]):
        a, b = _middle([one.a for one in mixed.values()]), _middle([one.b for one in mixed.values()])
        return "linear" if abs(a + b - 1) <= EXACT else "task-arithmetic", {"a": a, "b": b}
    ways = [_way(one) for one in mixed.values()]
    known_ways = [way for way in ways if way is not None]
    if len(known_ways) == len(ways) and _same(known_ways):
        return "slerp", {"t": _middle(known_ways)}
    layers: dict[int | None, list[Mixed]] = {}
    for name, one in mixed.items():
        layers.setdefault(stored[name].layer, []).append(one)
    if all(_same([one.a for one in of]) and _same([one.b for one in of]) for of in layers.values()):
        return "by-layer", {
            "weights": [
                {"layer": layer, "a": _middle([one.a for one in of]), "b": _middle([one.b for one in of])}
                for layer, of in layers.items()
            ]
        }
    return "by-weight", {
        "weights": [
            {"name": name, "a": round(one.a, DIGITS), "b": round(one.b, DIGITS)} for name, one in sorted(mixed.items())
        ]
    }


def _way(mixed: Mixed) -> float | None:
    """Return how far along the great circle from OLD to OTHER a weight lies, None where it does not lie on it."""
    if math.cos(mixed.angle) > STRAIGHT:
        return mixed.b if abs(mixed.a + mixed.b - 1) <= EXACT else None
    sine = math.sin(mixed.angle)
    if abs(mixed.b * sine) > 1:
        return None
    way = math.asin(mixed.b * sine) / mixed.angle
    return way if abs(math.sin((1 - way) * mixed.angle) / sine - mixed.a) <= EXACT else None


def _same(values: Sequence[float]) -> bool:
    return max(values) - min(values) <= 2 * EXACT


def _middle(values: Sequence[float]) -> float:
    return round(float(np.median(values)), DIGITS)
