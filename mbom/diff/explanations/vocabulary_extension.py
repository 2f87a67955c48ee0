"""Rows for further tokens at the end of the embedding and the output head, the old ones bit for bit as they were."""

from collections.abc import Iterator, Sequence

import numpy as np

from mbom.behaviour.values import Floats, Values, blocks
from mbom.diff.changes import Explanation, Weights
from mbom.diff.explanations.accounting import BLOCK_VALUES, account, differences, number
from mbom.diff.explanations.rounding import equal_bits
from mbom.diff.values.weights import Progress


def explain(
    old: Values, new: Values, weights: Weights, *, others: Sequence[Values] = (), progress: Progress | None = None
) -> Explanation | None:
    """Compare the first rows of every weight outside of layers that has more rows than before."""
    del others
    found = differences(old, new, weights)
    before, after = old.weights(), new.weights()
    grown = []
    for name in found.reshaped:
        one, other = before[name].shape, after[name].shape
        readable = before[name].readable and after[name].readable
        longer = len(one) == len(other) > 0 and one[1:] == other[1:] and one[0] < other[0]
        if readable and longer and before[name].layer is None:
            grown.append(name)
    sizes = {(before[name].shape[0], after[name].shape[0]) for name in grown}
    if len(sizes) != 1 or not any(len(before[name].shape) == 2 for name in grown):
        return None
    [(rows, all_rows)] = sizes
    for name in grown:
        if progress is not None:
            progress(name)
        if not _begins(old, new, name):
            return None
    return account(
        "vocabulary-extension",
        of=found,
        accounted=grown,
        sentence=f"{number(all_rows - rows, 'row')} for further tokens in {number(len(grown), 'weight')}, "
        f"the first {rows:,} as they were",
        residual=0.0,
        details={"added": all_rows - rows, "rows": rows},
    )


def _begins(old: Values, new: Values, name: str) -> bool:
    """Return whether the rows of a weight on the old side are the first on the new side, bit for bit."""
    further: Iterator[Floats] = blocks(new, name, BLOCK_VALUES)
    kept: Floats | None = None
    for block in blocks(old, name, BLOCK_VALUES):
        pieces = [] if kept is None else [kept]
        while sum(len(piece) for piece in pieces) < len(block):
            pieces.append(next(further))
        rows = np.concatenate(pieces)
        if not equal_bits(block, rows[: len(block)]):
            return False
        kept = rows[len(block) :]
    return True
