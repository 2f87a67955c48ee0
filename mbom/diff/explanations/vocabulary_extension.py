"""Rows for further tokens at the end of the embedding and the output head, the old ones bit for bit as they were."""

from collections.abc import Sequence

from mbom.diff.accounting import Progress, account, differences, number
from mbom.diff.changes import Explanation, Weights
from mbom.diff.rounding import equal_bits
from mbom.diff.values import Values


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
        if before[name].layer is None and len(one) == len(other) and one[1:] == other[1:] and one[0] < other[0]:
            grown.append(name)
    sizes = {(before[name].shape[0], after[name].shape[0]) for name in grown}
    if len(sizes) != 1 or not any(len(before[name].shape) == 2 for name in grown):
        return None
    [(rows, all_rows)] = sizes
    for name in grown:
        if progress is not None:
            progress(name)
        if not equal_bits(old.read(name), new.read(name)[:rows]):
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
