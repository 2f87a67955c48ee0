"""Quantised by a known recipe: every stored weight of NEW derives from OLD's, bit for bit, or is the same.

Weights are taken as the checkpoints store them, because that is what a tool quantises: before experts are stacked, and
matrices merged. All recipes for the type that NEW has are tried on the first block of rows, and those that reproduce it
go on to the next, until none is left or the last weight has been derived. A single value that does not follow ends it:
there is no tolerance. So this proves that quantisation is all that happened.

Recipes that depend on data (GPTQ, AWQ) cannot be derived again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from mbom.behaviour.values import Floats, Values, Weight, blocks, stored
from mbom.diff.changes import Explanation, Weights
from mbom.diff.explanations.accounting import LISTED
from mbom.diff.explanations.recipes import BLOCK, Recipe, recipes
from mbom.diff.values.rows import BLOCK_VALUES, both
from mbom.diff.values.weights import Progress


def explain(
    old: Values,
    new: Values,
    weights: Weights,
    *,
    others: Sequence[Values] = (),  # noqa: ARG001 - as all families have it
    progress: Progress | None = None,
) -> Explanation | None:
    """Return the explanation where quantisation is all that happened to the weights that changed, else None.

    Args:
        old: what was.
        new: what is.
        weights: what a comparison came to.
        others: not used.
        progress: called with each weight before it is read.
    """
    if not weights.changed or weights.only_old or weights.only_new:
        return None
    before, after = stored(old), stored(new)
    olds, news = before.weights(), after.weights()
    if olds.keys() != news.keys() or any(olds[name].shape != news[name].shape for name in olds):
        return None
    left: dict[str, tuple[Recipe, ...]] = {}  # by the type that NEW stores
    derived: dict[str, list[str]] = {}
    for name, weight in news.items():
        if weight.digest and weight.digest == olds[name].digest:
            continue
        if not (weight.readable and olds[name].readable):
            return None
        if progress is not None:
            progress(name)
        kind = f"{weight.dtype}, {len(weight.shape)}"  # tools treat stacks in their own way
        found = _derived(before, after, olds[name], weight, left.get(kind, recipes(weight.dtype)))
        if found is None:
            continue
        if not found:
            return None
        left[kind] = found
        derived.setdefault(kind, []).append(name)
    if not derived:
        return None
    names = tuple(change.name for change in weights.changed)
    used = list(dict.fromkeys(found[0].name for found in left.values()))
    return Explanation(
        id="quantisation",
        outcome="explained",
        sentence=f"quantised: {'; '.join(used)}; all {len(names)} weights derived again bit for bit",
        weights=len(names),
        names=names[:LISTED],
        residual=0.0,
        details={
            "recipe": used[0],
            "recipes": list(used),
            "stored": sum(len(each) for each in derived.values()),
            "from": [*sorted({olds[name].dtype for each in derived.values() for name in each})],
            "to": [*sorted({news[name].dtype for each in derived.values() for name in each})],
        },
    )


def _derived(
    old: Values, new: Values, before: Weight, weight: Weight, candidates: tuple[Recipe, ...]
) -> tuple[Recipe, ...] | None:
    """Return which recipes derive a weight, none where none does; None where its values did not change."""
    whole = any(recipe.whole for recipe in candidates)
    largest = max((float(np.abs(each).max()) for each in _blocks(old, before)), default=0.0) if whole else 0.0
    sliced = weight if before.slices == weight.slices else replace(weight, slices=1)
    same = True
    for one, other in both(old, new, sliced, multiple=BLOCK):
        same = same and np.array_equal(one, other)
        with np.errstate(over="ignore", invalid="ignore"):  # of hostile values
            candidates = tuple(
                each for each in candidates if each.fits(one) and np.array_equal(each.apply(one, largest), other)
            )
        if not same and not candidates:
            return ()
    return None if same else candidates


def _blocks(old: Values, weight: Weight) -> Iterator[Floats]:
    return (block for block in blocks(old, weight.name, BLOCK_VALUES) if block.size)
