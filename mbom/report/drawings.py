"""Drawings as data: figures are turned into places here, and the templates into SVG.

A drawing holds texts only as labels, and paths only of digits that are computed here. None has words inside that would
shrink with it on a small screen, except for the lineage, which is as wide as a phone.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mbom.quantities import counted
from mbom.report import figures

BAR_WIDTH = 1000  # units of a stacked bar
_GAP = 3  # units between two of its parts
_LEAST = 4  # units of a part that would else not be seen
CELLS_WIDE = 400  # pixels that a heat map takes at least, as far as its cells do not become blocks
CELL = range(6, 33)  # pixels of a cell; a narrow window scales the whole down
NODES = 8  # ancestors that are drawn; the table has more
LABEL, NOTE = 32, 46  # characters of a name, and of the words below it, in a drawing that is as wide as a phone
_STEP = 62  # units between two names of a lineage
_PLOT = 100  # units of the height of a chart

# How often a router chose an expert, in units of an even share: each level from its bound up to the next.
LEVELS: tuple[tuple[float, str], ...] = (
    (0.0, "less than a quarter of an even share"),
    (0.25, "a quarter of an even share, up to the whole"),
    (1.0, "an even share, up to four times that"),
    (4.0, "four times an even share or more"),
)
NEVER = "never"


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part of a stacked bar: what it is, its slot in the palette, and where it lies."""

    label: str
    slot: str
    x: float
    width: float


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A stacked bar."""

    kind: ClassVar[str] = "bar"
    id: str
    title: str
    description: tuple[str, ...]
    width: int
    parts: tuple[Part, ...]


@dataclass(frozen=True, kw_only=True)
class Level:
    """The cells of a heat map that have one colour, as one path."""

    label: str
    slot: str
    cells: int
    path: str


@dataclass(frozen=True, kw_only=True)
class HeatMap:
    """Rows by columns of cells, with the labels of the ends of both axes."""

    kind: ClassVar[str] = "heatmap"
    id: str
    title: str
    description: tuple[str, ...]
    columns: int
    rows: int
    cell: int
    levels: tuple[Level, ...]
    across: str
    down: str
    first_row: str
    last_row: str
    last_column: str


@dataclass(frozen=True, kw_only=True)
class Node:
    """A model in a lineage: its name, what is known of the step to it, and how far down it stands."""

    name: str
    note: str
    y: int
    this: bool


@dataclass(frozen=True, kw_only=True)
class Lineage:
    """Models on a line from the oldest down to this one."""

    kind: ClassVar[str] = "lineage"
    id: str
    title: str
    description: tuple[str, ...]
    height: int
    nodes: tuple[Node, ...]


@dataclass(frozen=True, kw_only=True)
class Column:
    """The change of one layer: a column with an error bar where it is an estimate."""

    label: str
    x: int
    y: float
    height: float
    low: float | None
    high: float | None
    beyond: bool


@dataclass(frozen=True, kw_only=True)
class Chart:
    """Columns by layer, from zero up to ``top``."""

    kind: ClassVar[str] = "chart"
    id: str
    title: str
    description: tuple[str, ...]
    width: int
    columns: tuple[Column, ...]
    top: str
    middle: str
    first: str
    last: str
    note: str


Drawing: TypeAlias = Bar | HeatMap | Lineage | Chart


def bar(name: str, title: str, amounts: Sequence[tuple[str, str, int]]) -> Bar:
    """Return a stacked bar of (label, slot, amount); amounts of zero have no part.

    Parts too thin to be seen are widened, and the others give way.
    """
    held = [(label, slot, amount) for label, slot, amount in amounts if amount > 0]
    total = sum(amount for _, _, amount in held)
    room = BAR_WIDTH - _GAP * max(0, len(held) - 1)
    widths = [max(float(_LEAST), room * amount / total) for _, _, amount in held]
    scale = room / sum(widths) if widths else 1.0
    parts, x = [], 0.0
    for (label, slot, amount), width in zip(held, widths, strict=True):
        told = f"{label}: {amount:,} ({figures.share(amount, total)})"
        parts.append(Part(label=told, slot=slot, x=round(x, 1), width=round(width * scale, 1)))
        x += width * scale + _GAP
    return Bar(
        id=name,
        title=title,
        description=tuple(f"{part.label}. " for part in parts),
        width=BAR_WIDTH,
        parts=tuple(parts),
    )


def heatmap(name: str, counts: NDArray[np.int64], *, layers: Sequence[int], even: float) -> HeatMap:
    """Return which experts the prompts reached.

    Args:
        name: the id of the drawing.
        counts: how often each expert was chosen, (routers, experts).
        layers: the layer of each router.
        even: how often each would be, were all chosen alike.
    """
    rows, columns = counts.shape
    bounds = np.array([bound * even for bound, _ in LEVELS[1:]])
    level = np.where(counts == 0, -1, np.searchsorted(bounds, counts, side="right"))
    found = [Level(label="never chosen", slot=NEVER, cells=int((level == -1).sum()), path=cells(level == -1))]
    for number, (_, label) in enumerate(LEVELS):
        held = level == number
        found.append(Level(label=label, slot=f"heat-{number}", cells=int(held.sum()), path=cells(held)))
    reached = int((counts > 0).sum())
    return HeatMap(
        id=name,
        title=f"Experts that the prompts reached: {reached:,} of {counts.size:,}",
        description=(
            f"A cell for each of {columns:,} experts, from left to right. ",
            f"A row for each of {rows:,} layers with a router, from top to bottom. ",
            *(f"{item.label}: {counted(item.cells, 'expert')}. " for item in found),
            "The table below says the same by layer.",
        ),
        columns=columns,
        rows=rows,
        cell=min(max(CELLS_WIDE // columns, CELL.start), CELL.stop - 1),
        levels=tuple(found),
        across=f"{columns:,} experts",
        down=f"{rows:,} layers",
        first_row=str(layers[0]),
        last_row=str(layers[-1]),
        last_column=str(columns - 1),
    )


def cells(held: NDArray[np.bool_]) -> str:
    """Return the path of the cells that are held, (rows, columns); neighbours in a row are one rectangle."""
    parts = []
    for row, line in enumerate(held):
        edges = np.flatnonzero(np.diff(np.concatenate(([0], line.astype(np.int8), [0]))))
        parts += [f"M{start} {row}h{end - start}v1h{start - end}z" for start, end in edges.reshape(-1, 2).tolist()]
    return "".join(parts)


def lineage(name: str, this: str, ancestors: Sequence[tuple[str, str]]) -> Lineage:
    """Return the ancestors, each a name and how this model was made from it, above the model itself."""
    drawn = ancestors[:NODES]
    nodes = [_node(ancestor, note, y=_STEP * number, this=False) for number, (ancestor, note) in enumerate(drawn)]
    left_out = len(ancestors) - len(drawn)
    here = "this model" if not left_out else f"this model; {counted(left_out, 'ancestor')} not drawn"
    nodes.append(_node(this, here, y=_STEP * len(drawn), this=True))
    return Lineage(
        id=name,
        title="What the model was made from",
        description=("From the top down to this model. ", *(f"{ancestor}, {note}. " for ancestor, note in drawn)),
        height=_STEP * len(nodes),
        nodes=tuple(nodes),
    )


def _node(model: str, note: str, *, y: int, this: bool) -> Node:
    account, _, name = model.rpartition("/")
    told = f"{account} · {note}" if account else note
    return Node(name=_cut(name or model, LABEL), note=_cut(told, NOTE), y=y, this=this)


def _cut(text: str, limit: int) -> str:
    shown = figures.plain(text)
    return shown if len(shown) <= limit else f"{shown[: limit - 1]}…"


def chart(name: str, changes: Mapping[int, tuple[float, float]]) -> Chart:
    """Return the relative change of each layer with its error."""
    finite = [value + error for value, error in changes.values() if math.isfinite(value + error)]
    top = _round_up(max(finite, default=0.0))
    first, last = min(changes), max(changes)
    columns = tuple(_column(layer, layer - first, changes[layer], top) for layer in sorted(changes))
    worst = max(changes, key=lambda layer: changes[layer][0])
    return Chart(
        id=name,
        title="Relative change of the weights by layer",
        description=(
            f"A column for each of {counted(len(columns), 'layer')}, from layer {first} to layer {last}. ",
            f"The largest change is in layer {worst}: {figures.relative(*changes[worst])}. ",
            "The table below says the same.",
        ),
        width=10 * (last - first + 1),
        columns=columns,
        top=figures.relative(top),
        middle=figures.relative(top / 2),
        first=str(first),
        last=str(last),
        note=_note(columns),
    )


def _note(columns: Sequence[Column]) -> str:
    bounded = "The thin lines are the errors of the estimates." if any(c.low is not None for c in columns) else ""
    beyond = counted(sum(column.beyond for column in columns), "column")
    if not any(column.beyond for column in columns):
        return bounded
    return f"{bounded} {beyond} in another colour and of full height: the old weights were all zero.".strip()


def _column(layer: int, place: int, change: tuple[float, float], top: float) -> Column:
    value, error = change
    label = f"layer {layer}: {figures.relative(value, error)}"
    if not math.isfinite(value):
        return Column(label=label, x=10 * place, y=0, height=_PLOT, low=None, high=None, beyond=True)
    height = _PLOT * value / top
    bounded = error > 0 and math.isfinite(error)
    return Column(
        label=label,
        x=10 * place,
        y=round(_PLOT - height, 2),
        height=round(height, 2),
        low=round(_PLOT * (1 - max(0.0, value - error) / top), 2) if bounded else None,
        high=round(_PLOT * (1 - (value + error) / top), 2) if bounded else None,
        beyond=False,
    )


def _round_up(value: float) -> float:
    """Return the next number of the form 1, 2 or 5 times a power of ten; 1 for nothing."""
    if value <= 0:
        return 1.0
    power: float = 10.0 ** math.floor(math.log10(value))
    return next((step * power for step in (1, 2, 5) if value <= step * power * (1 + 1e-9)), 10 * power)
