"""What there is to explain between two checkpoints, and how much of it an explanation accounts for."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace

from mbom.behaviour.values import Floats, Values, Weight, blocks
from mbom.diff.changes import Explanation, Weights
from mbom.strictjson import Json

BLOCK_VALUES = 1 << 21  # read at a time: an embedding of 200,000 rows in float64 is larger than a small model
LISTED = 100  # names of weights in an explanation: enough to recognise a pattern, and no list of 40,000 experts


@dataclass(frozen=True, kw_only=True)
class Differences:
    """Every weight that is not the same on both sides, by name, in the order of the model.

    Attributes:
        changed: in the same shape on both sides, with other values.
        unreadable: in the same shape, with bytes that nobody can read as numbers.
        reshaped: in another shape.
        only_old: on the old side alone, and ``only_new`` on the new side.
    """

    changed: tuple[str, ...]
    unreadable: tuple[str, ...]
    reshaped: tuple[str, ...]
    only_old: tuple[str, ...]
    only_new: tuple[str, ...]

    @property
    def names(self) -> frozenset[str]:
        """All of them."""
        return frozenset((*self.changed, *self.unreadable, *self.reshaped, *self.only_old, *self.only_new))


def differences(old: Values, new: Values, weights: Weights) -> Differences:
    """Return what there is to explain: what changed, from ``weights``; shapes and names, from both sides."""
    before, after = old.weights(), new.weights()
    both = [name for name in before if name in after]
    changed = {change.name for change in weights.changed if before[change.name].shape == after[change.name].shape}
    return Differences(
        changed=tuple(n for n in both if n in changed and before[n].readable and after[n].readable),
        unreadable=tuple(n for n in both if n in changed and not (before[n].readable and after[n].readable)),
        reshaped=tuple(n for n in both if before[n].shape != after[n].shape),
        only_old=tuple(n for n in before if n not in after),
        only_new=tuple(n for n in after if n not in before),
    )


@dataclass(frozen=True, kw_only=True)
class Account(Explanation):
    """An explanation before it is resolved with others.

    Attributes:
        claim: the sentence without what is left.
        accounted: every weight of which nothing but rounding is left under it.
    """

    claim: str
    accounted: frozenset[str]

    def against(self, everything: frozenset[str]) -> "Account":
        """Return it with its outcome for everything that there is to explain, and what it leaves in the sentence."""
        whole = self.accounted == everything
        told = {name: value for name, value in self.details.items() if name != "left"}
        if whole:
            return replace(self, outcome="explained", sentence=self.claim, details=told)
        counts = f"{len(self.accounted)} of {len(everything)} changed weights"
        return replace(
            self,
            outcome="consistent",
            sentence=f"{self.claim}; this explains {counts}",
            details={**told, "left": len(everything) - len(self.accounted)},
        )

    def plain(self) -> Explanation:
        """Return it as the diff holds it."""
        return Explanation(**{item.name: getattr(self, item.name) for item in fields(Explanation)})


def account(
    name: str,
    *,
    of: Differences,
    accounted: Collection[str],
    sentence: str,
    residual: float | None,
    fitting: Collection[str] = (),
    details: Mapping[str, Json] | None = None,
) -> Account:
    """State an explanation: ``explained`` where it accounts for every difference, else ``consistent``.

    Args:
        name: one of ``EXPLANATIONS``.
        of: everything that there is to explain.
        accounted: weights of which nothing but rounding is left.
        sentence: what was found, without a full stop.
        residual: as in ``Explanation``.
        fitting: weights that it would fit too, without a proof.
        details: figures by name.
    """
    exact = of.names & frozenset(accounted)
    claimed = exact | (of.names & frozenset(fitting))
    stated = Account(
        id=name,
        outcome="consistent",
        sentence=sentence,
        weights=len(claimed),
        names=tuple(sorted(claimed))[:LISTED],
        residual=residual,
        details=dict(details or {}),
        claim=sentence,
        accounted=exact,
    )
    return stated.against(of.names)


def parts(weight: Weight) -> tuple[int | None, ...]:
    """Return what to read a weight by: each expert by itself where that can be, else the whole."""
    return tuple(range(weight.slices)) if weight.slices > 1 and len(weight.shape) > 2 else (None,)


def pieces(sides: Sequence[Values], name: str) -> Iterator[tuple[Floats, ...]]:
    """Yield a weight by the same rows on several sides, which have it in one shape; experts one by one.

    How many rows a side yields at a time is its own affair, so that the least of what is at hand is taken from all.
    """
    slices = {side.weights()[name].slices for side in sides}
    if slices != {1} and len(slices) == 1 and len(sides[0].weights()[name].shape) > 2:
        for part in range(*slices):
            yield tuple(side.read(name, part) for side in sides)
        return
    further = [blocks(side, name, BLOCK_VALUES) for side in sides]
    held: list[Floats | None] = [None] * len(sides)
    while True:
        held = [
            rows if rows is not None and len(rows) else next(more, None)
            for rows, more in zip(held, further, strict=True)
        ]
        there = [rows for rows in held if rows is not None]
        if len(there) < len(sides):
            return
        if not there[0].ndim:
            yield tuple(there)
            return
        count = min(len(rows) for rows in there)
        yield tuple(rows[:count] for rows in there)
        held = [rows[count:] for rows in there]


def number(count: int, noun: str) -> str:
    """Return a count with its noun, such as "1 layer" and "2 layers"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
