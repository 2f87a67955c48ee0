"""The same values in other bytes: another type that holds them all, another encoding, another split into tensors."""

from collections.abc import Sequence

from mbom.behaviour.values import Values
from mbom.diff.changes import Explanation, Weights
from mbom.diff.explanations.accounting import LISTED
from mbom.diff.values.weights import Progress


def explain(
    old: Values,
    new: Values,
    weights: Weights,
    *,
    others: Sequence[Values] = (),  # noqa: ARG001 - as all families have it
    progress: Progress | None = None,  # noqa: ARG001 - nothing is read
) -> Explanation | None:
    """Return the explanation where every weight has equal values and some have other bytes, else None.

    The values have been compared one by one in ``weights``.
    """
    if weights.basis != "weights" or weights.changed or weights.only_old or weights.only_new:
        return None
    before, after = old.weights(), new.weights()
    names = [
        name
        for name, weight in before.items()
        if weight.readable and (weight.dtype, weight.digest) != (after[name].dtype, after[name].digest)
    ]
    if not names:
        return None
    pairs = sorted({(before[name].dtype, after[name].dtype) for name in names})
    types = [f"{one} to {other}" if one != other else one for one, other in pairs]
    return Explanation(
        id="re-encoding",
        outcome="explained",
        sentence=f"the same values in other bytes: {', '.join(types)}, {len(names)} of {weights.compared} weights",
        weights=len(names),
        names=tuple(names[:LISTED]),
        residual=0.0,
        details={"types": list(types), "from": [one for one, _ in pairs], "to": [other for _, other in pairs]},
    )
