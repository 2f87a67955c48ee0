"""A low-rank adapter that was merged: NEW = round(OLD + s B A) for some modules, the others as they were.

The scale s cannot be told from B and A. Ranks are those of what stands above rounding, see ``lowrank``.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mbom.behaviour.values import Floats, Values
from mbom.diff.changes import Explanation, Weights
from mbom.diff.explanations.accounting import Account, Differences, account, differences, number, parts
from mbom.diff.explanations.lowrank import LIMIT, Fit, fit
from mbom.diff.explanations.rounding import half_widths, known
from mbom.diff.values.weights import Progress
from mbom.strictjson import Json

PROBES = 5  # matrices, spread over the model, of which one must be of low rank before all are looked at
SHARE = 0.5  # of the changed matrices that must be of low rank before an adapter is spoken of


@dataclass(frozen=True, kw_only=True)
class Merged:
    """One weight of low rank: the rank, for stacked experts the largest of any, what was left, and what that says."""

    rank: int
    residual: float
    evident: bool


def explain(
    old: Values, new: Values, weights: Weights, *, others: Sequence[Values] = (), progress: Progress | None = None
) -> Explanation | None:
    """Look for a change of low rank in every changed matrix; ``others`` make no difference."""
    del others
    found = differences(old, new, weights)
    stored = new.weights()
    matrices = [name for name in found.changed if len(stored[name].shape) in (2, 3)]
    if not matrices:
        return None
    seen: dict[str, Merged | None] = {}
    spread = [matrices[index] for index in np.linspace(0, len(matrices) - 1, PROBES).astype(int)]
    for name in dict.fromkeys((*spread, *matrices)):
        if len(seen) == len(set(spread)) and not any(seen.values()):
            return None
        if progress is not None:
            progress(name)
        seen[name] = _merged(old, new, name)
        if sum(merged is None for merged in seen.values()) > (1 - SHARE) * len(matrices):
            return None
    merged = {name: one for name in matrices if (one := seen[name]) is not None}
    # A few elements that changed are of low rank too, in a matrix beside adapters, and say nothing by themselves.
    return _account(found, new, merged) if any(one.evident for one in merged.values()) else None


def _merged(old: Values, new: Values, name: str) -> Merged | None:
    weight = new.weights()[name]
    if math.prod(weight.shape[-2:]) > LIMIT:
        return None
    fits: list[Fit] = []
    for part in parts(weight):
        before, after = old.read(name, part), new.read(name, part)
        for one, other in zip(_matrices(before), _matrices(after), strict=True):
            change = other - one
            if not np.all(np.isfinite(change)):
                return None
            if change.any():
                fits.append(fit(change, half_widths(one, other, weight.dtype)))
            if fits and not fits[-1].holds:
                return None
    if not fits:
        return None
    return Merged(
        rank=max(fit.rank for fit in fits),
        residual=max(fit.residual for fit in fits),
        evident=all(fit.evident for fit in fits),
    )


def _matrices(values: Floats) -> Floats:
    return values.reshape(-1, *values.shape[-2:])


def _account(found: Differences, new: Values, merged: Mapping[str, Merged]) -> Account:
    stored = new.weights()
    modules: defaultdict[str, list[int]] = defaultdict(list)
    for name, one in merged.items():
        modules[stored[name].role].append(one.rank)
    ranks = sorted({one.rank for one in merged.values()})
    shown = str(ranks[0]) if len(ranks) == 1 else f"{ranks[0]} to {ranks[-1]}"
    told: dict[str, Json] = {role: {"weights": len(of), "ranks": [*sorted(set(of))]} for role, of in modules.items()}
    proven = [name for name, one in merged.items() if one.evident and known(stored[name].dtype)]
    return account(
        "lora-merge",
        of=found,
        accounted=proven,
        fitting=merged,
        sentence=f"a change of rank {shown} was merged into {number(len(merged), 'weight')} of "
        f"{number(len(modules), 'module')}",
        residual=max(one.residual for one in merged.values()),
        details={"rank": ranks[-1], "ranks": list(ranks), "modules": told},
    )
