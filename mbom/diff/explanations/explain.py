"""Naming the reason of a change of weights: every family is asked, and what they claim in common is resolved.

The rules:

1. Families are asked from the most specific to the most general, as in ``FAMILIES``. One that explains every changed
   weight to the last rounding settles the matter: a direction that was projected out is a change of rank one too, and
   is not called an adapter on top.
2. Where something is left, the others are asked for what no more specific one accounts for to the last rounding; last
   of all, whether that is an edit of a few weights.
3. Several that each leave nothing but rounding, of weights that are not the same, and together account for every
   changed weight, are all called explained; ``together`` in the details names the others. Otherwise each is at most
   consistent, and its sentence says how many of the changed weights it explains.
4. A full fine-tune is asked for last, and only where none but parts that moved or were added was found.
5. Those that explain come first, then those that account for more weights, then the more specific.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from mbom.behaviour.values import Values
from mbom.diff.changes import EXPLANATIONS, Explanation, Weights
from mbom.diff.explanations import (
    direction_ablation,
    experts,
    few_weights,
    full_fine_tune,
    layers,
    lora_merge,
    model_merge,
    quantisation,
    re_encoding,
    vocabulary_extension,
)
from mbom.diff.explanations.accounting import LISTED, Account, differences
from mbom.diff.values.weights import Progress


class Family(Protocol):
    """What each module of ``mbom.diff.explanations`` calls ``explain``."""

    def __call__(
        self,
        old: Values,
        new: Values,
        weights: Weights,
        *,
        others: Sequence[Values] = (),
        progress: Progress | None = None,
    ) -> Explanation | None:
        """Return one explanation, or None where it does not fit."""


# An edit of a few weights is asked for twice: as all that happened, and as what the others leave.
FAMILIES: tuple[Family, ...] = (
    re_encoding.explain,
    quantisation.explain,
    few_weights.explain,
    vocabulary_extension.explain,
    layers.explain,
    experts.explain,
    direction_ablation.explain,
    model_merge.explain,
    lora_merge.explain,
    few_weights.explain,
)

# What moves or adds rows, experts or layers, and leaves open what became of the values of the others.
STRUCTURAL = frozenset(
    {
        "vocabulary-extension",
        "layers-dropped",
        "layers-repeated",
        "experts-pruned",
        "experts-duplicated",
        "experts-permuted",
    }
)


def explain(
    old: Values, new: Values, weights: Weights, *, others: Sequence[Values] = (), progress: Progress | None = None
) -> tuple[Explanation, ...]:
    """Return the explanations that hold for what became of the weights, the one that accounts for most first.

    Args:
        old: what was.
        new: what is.
        weights: what became of the values, from ``mbom.diff.values.weights.compare``.
        others: models that may have been merged in.
        progress: called with each weight that is looked at.
    """
    # Hostile numbers may leave the range of float64. What becomes of them then is infinite or none, and fits nothing.
    with np.errstate(all="ignore"):
        return _explained(old, new, weights, others, progress)


def _explained(
    old: Values, new: Values, weights: Weights, others: Sequence[Values], progress: Progress | None
) -> tuple[Explanation, ...]:
    everything = differences(old, new, weights).names
    kept: list[Account] = []
    for family in FAMILIES:
        claimed = family(old, new, _without(weights, kept), others=others, progress=progress)
        if claimed is None:
            continue
        one = _accounted(claimed, everything - _settled(kept)).against(everything)
        if one.outcome == "explained":
            return (claimed if not kept and not isinstance(claimed, Account) else one.plain(),)
        kept.append(one)
    together = _together(kept, everything)
    if not together and all(one.id in STRUCTURAL for one in kept):
        trained = full_fine_tune.explain(old, new, _without(weights, kept), others=others, progress=progress)
        if trained is not None:
            kept.append(_accounted(trained, frozenset()).against(everything))
    order = list(EXPLANATIONS)
    ranked = sorted(together or kept, key=lambda one: (one.outcome != "explained", -one.weights, order.index(one.id)))
    return tuple(one.plain() for one in ranked)


def _without(weights: Weights, kept: Sequence[Account]) -> Weights:
    """Return what became of the weights that no explanation accounts for yet."""
    settled = _settled(kept)
    return replace(
        weights,
        changed=tuple(change for change in weights.changed if change.name not in settled),
        only_old=tuple(name for name in weights.only_old if name not in settled),
        only_new=tuple(name for name in weights.only_new if name not in settled),
    )


def _settled(kept: Sequence[Account]) -> frozenset[str]:
    return frozenset[str]().union(*(one.accounted for one in kept))


def _accounted(claimed: Explanation, left: frozenset[str]) -> Account:
    """Return an explanation with what it accounts for: one that does not say, for all that was left, or for nothing."""
    if isinstance(claimed, Account):
        return claimed
    told = {name: getattr(claimed, name) for name in claimed.__dataclass_fields__}
    proven = left if claimed.outcome == "explained" else frozenset[str]()
    return Account(**told, claim=claimed.sentence.removesuffix(", and nothing else"), accounted=proven)


def _together(kept: Sequence[Account], everything: frozenset[str]) -> list[Account]:
    """Return explanations that account for everything between them, each for weights of its own; else none."""
    parts: list[Account] = []
    left = everything
    for one in kept:
        if one.accounted and one.accounted <= left:
            parts.append(one)
            left -= one.accounted
    if left or not parts:
        return []
    return [
        replace(
            one.against(one.accounted),
            weights=len(one.accounted),
            names=tuple(sorted(one.accounted))[:LISTED],
            details={
                **{name: value for name, value in one.details.items() if name != "left"},
                "together": [other.id for other in parts if other is not one],
            },
        )
        for one in parts
    ]
