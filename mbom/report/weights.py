"""The blocks on what became of the weights between two models: by layer, by role, one by one, and explained."""

import math
from collections.abc import Iterator

from mbom.diff.changes import EXPLANATIONS, Changes, Explanation, RoleChange, Weights
from mbom.diff.edits import LISTED, edits
from mbom.quantities import counted
from mbom.report import drawings, figures
from mbom.report.blocks import Block, Cell, Code, Fold, Mark, Picture, Prose, Table, Tone, shortened
from mbom.report.model import ROWS, bullets

LAYERS = 1_000  # that are drawn; the deepest published models have under 130
NAMED = 10  # weights or experts that a sentence or cell spells out
ALARMING = frozenset({"few-weights-edit"})


def tone(item: Explanation) -> Tone:
    """Return how an explanation is to be taken."""
    if item.id in ALARMING:
        return "bad"
    return "good" if item.outcome == "explained" else "mind"


def unexplained(found: Changes) -> str:
    """Return why there is no explanation; nothing where nothing changed that could have one, or nobody knows."""
    weights = found.weights
    if weights is None or not (weights.changed or weights.only_old or weights.only_new):
        return ""
    if weights.basis == "weights":
        return "No named explanation accounts for what changed in the weights"
    return "Explanations were not tested: that takes the weights of both models, beside their bundles or alone"


def blocks(found: Changes) -> Iterator[Block]:
    """Yield what became of the values, and what explains it."""
    weights = found.weights
    if found.explanations:
        yield from _explanations(found.explanations)
    elif unexplained(found):
        yield Prose(text=f"{unexplained(found)}.")
    if weights is None:
        yield Prose(
            text="The values were not compared: that takes behaviour records on both sides, or the checkpoints."
        )
        return
    if weights.compared:
        yield Prose(
            text=f"{weights.equal:,} of {counted(weights.compared, 'weight')} that both sides have are equal. "
            + (
                "Figures are exact: they were computed from the weights."
                if weights.basis == "weights"
                else "Figures are estimates from the sketches in the behaviour records, each with its error: in 95 of "
                "100 cases the truth is within it."
            )
        )
    yield from _layers(weights)
    yield from _roles(weights)
    yield from _largest(weights)
    for names, told in ((weights.only_old, "Weights that only the old side has"),
                        (weights.only_new, "Weights that only the new side has")):  # fmt: skip
        if names:
            blocks = (bullets(Code(text=name) for name in names),)
            yield Fold(title=f"{told}: {len(names):,}", blocks=blocks)


def _explanations(held: tuple[Explanation, ...]) -> Iterator[Block]:
    rows: list[tuple[Cell, ...]] = []
    for item in held[:ROWS]:
        details = tuple(f"{name}: {figures.stated(value)}" for name, value in sorted(item.details.items())
                        if name != LISTED)  # fmt: skip
        more = "…" if item.weights > NAMED else ""
        rows.append(
            (
                (item.id, EXPLANATIONS.get(item.id, "")),
                Mark(text=item.outcome, tone=tone(item)),
                (item.sentence, *details),
                (counted(item.weights, "weight"),
                 *(Code(text=name) for name in item.names[:NAMED]), *((more,) if more else ())),
                "nobody can tell" if item.residual is None else figures.relative(item.residual),
            )
        )  # fmt: skip
    yield Table(
        caption="What explains the change of the weights",
        columns=("Explanation", "Outcome", "What was found", "Accounts for", "What is left"),
        rows=tuple(rows),
    )
    yield from _edits(held)
    yield Prose(
        text="Explained: nothing but rounding is left. Consistent: it fits, and cannot be proven from what is at hand."
    )


def _edits(held: tuple[Explanation, ...]) -> Iterator[Block]:
    """Yield every weight that was edited, where it is a few: the alarm is worth what it lets one look up."""
    listed: list[tuple[Cell, ...]] = [
        (Code(text=edit.place), edit.old, edit.new, "more than one" if edit.bit is None else f"bit {edit.bit}")
        for item in held
        for edit in edits(item)
    ]
    if listed:
        rows, more = shortened(listed, ROWS)
        yield Table(
            caption="Every element that was edited; bit 0 is the lowest",
            columns=("Weight and index", "Old", "New", "Bits that differ"),
            rows=rows,
            numeric=(1, 2),
            more=more,
            where="`mbom diff --json` has them all",
        )


def _layers(weights: Weights) -> Iterator[Block]:
    held = {item.layer: item for item in weights.by_layer if item.layer is not None}
    if not held:
        return
    if max(held) - min(held) < LAYERS:
        points = {layer: (item.relative, item.error) for layer, item in held.items()}
        yield Picture(drawing=drawings.chart("layers", points))
    listed = [_row(str(item.layer) if item.layer is not None else "outside of layers", item)
              for item in weights.by_layer]  # fmt: skip
    rows, more = shortened(listed, ROWS)
    table = Table(caption="Change by layer", columns=("Layer", *_COLUMNS), rows=rows, numeric=_NUMERIC, more=more)
    yield Fold(title="The same as a table", blocks=(table,))


_COLUMNS = ("Weights changed", "Relative change", "Equal elements", "Largest change")
_NUMERIC = (1, 2, 3, 4)


def _row(name: Cell, item: RoleChange) -> tuple[Cell, ...]:
    return (
        name,
        f"{item.changed:,} of {item.weights:,}",
        figures.relative(item.relative, item.error),
        "–" if item.unchanged is None else figures.share(item.unchanged, 1),
        "–" if item.largest is None else figures.relative(item.largest),
    )


def _roles(weights: Weights) -> Iterator[Block]:
    """Yield each role once: how many weights of it changed in all layers, and where the most."""
    held: dict[str, list[RoleChange]] = {}
    for item in weights.by_role:
        if item.changed:
            held.setdefault(item.role or "", []).append(item)
    listed: list[tuple[Cell, ...]] = []
    for role, items in sorted(held.items()):
        worst = max(items, key=lambda item: _sortable(item.relative))
        where = "outside of layers" if worst.layer is None else f"layer {worst.layer}"
        listed.append(
            (Code(text=role), f"{sum(item.changed for item in items):,}",
             f"{figures.relative(worst.relative, worst.error)}", where)
        )  # fmt: skip
    if listed:
        rows, more = shortened(listed, ROWS)
        yield Table(
            caption="Change by role of the weight",
            columns=("Role", "Changed", "Largest relative change", "Where"),
            rows=rows,
            numeric=(1, 2),
            more=more,
        )


def _largest(weights: Weights) -> Iterator[Block]:
    held = sorted(weights.changed, key=lambda item: (-_sortable(item.relative), item.name))
    listed: list[tuple[Cell, ...]] = [
        (
            Code(text=item.name),
            figures.relative(item.relative, item.error),
            "–" if item.unchanged is None else figures.share(item.unchanged, 1),
            "–" if item.rank is None else f"{item.rank:,}",
            f"{figures.ranges(item.experts[:NAMED])}{'…' if len(item.experts) > NAMED else ''} of {item.of:,}"
            if item.experts
            else "–",
        )
        for item in held[:ROWS]
    ]
    if listed:
        table = Table(
            caption="Weights that changed, the most changed first",
            columns=("Weight", "Relative change", "Equal elements", "Rank of the change", "Experts"),
            rows=tuple(listed),
            numeric=(1, 2, 3),
            more=max(0, len(held) - ROWS),
            where="`mbom diff --json` has them all",
        )
        yield Fold(title=f"Weight by weight: {len(held):,} changed", blocks=(table,))


def _sortable(value: float) -> float:
    return value if not math.isnan(value) else math.inf
