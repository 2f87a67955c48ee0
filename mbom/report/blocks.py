"""What a report is made of: a page of sections, and blocks of a few kinds in them, all of it data.

Texts in it come from anywhere. Whoever writes a page out escapes every one of them; none is markup.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

from mbom.report.drawings import Drawing

# What a mark says beside its words; each has a shape of its own, so that nothing hangs on colour.
Tone = Literal["good", "bad", "mind", "plain"]


@dataclass(frozen=True, kw_only=True)
class Code:
    """Something to be read letter by letter: a digest, a file name, an id."""

    kind: ClassVar[str] = "code"
    text: str


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A word or two that say how something stands."""

    kind: ClassVar[str] = "mark"
    text: str
    tone: Tone


@dataclass(frozen=True, kw_only=True)
class Link:
    """An address; it is followed only where ``mbom.report.figures.linkable`` says so, and else it is text."""

    kind: ClassVar[str] = "link"
    text: str
    url: str


@dataclass(frozen=True, kw_only=True)
class Swatch:
    """A label with the colour that a drawing gives it, ``slot`` of the palette."""

    kind: ClassVar[str] = "swatch"
    text: str
    slot: str


Inline: TypeAlias = str | Code | Mark | Link | Swatch
Cell: TypeAlias = Inline | tuple[Inline, ...]  # several stand below each other


@dataclass(frozen=True, kw_only=True)
class Prose:
    """A paragraph."""

    kind: ClassVar[str] = "prose"
    text: str


@dataclass(frozen=True, kw_only=True)
class Fact:
    """One fact: its name and what it is."""

    label: str
    value: Cell
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Facts below each other; ``large`` ones are the few that a reader came for."""

    kind: ClassVar[str] = "facts"
    items: tuple[Fact, ...]
    large: bool = False


@dataclass(frozen=True, kw_only=True)
class Bullets:
    """A list; ``more`` items are left out."""

    kind: ClassVar[str] = "bullets"
    items: tuple[Cell, ...]
    more: int = 0


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table, whose first column names the rows.

    Attributes:
        caption: what it shows.
        columns: their headings; those whose index is in ``numeric`` hold numbers.
        rows: cells, as many as there are columns.
        more: rows that are left out, and ``where`` they can be had.
        sentences: whether the first column holds sentences and not names.
    """

    kind: ClassVar[str] = "table"
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    numeric: tuple[int, ...] = ()
    more: int = 0
    where: str = ""
    sentences: bool = False


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A drawing; a table near it says the same."""

    kind: ClassVar[str] = "picture"
    drawing: Drawing


@dataclass(frozen=True, kw_only=True)
class Commands:
    """What to type; lines of a program's text."""

    kind: ClassVar[str] = "commands"
    caption: str
    lines: tuple[str, ...]
    more: int = 0


@dataclass(frozen=True, kw_only=True)
class Lines:
    """A unified diff of lines, without the two that name files."""

    kind: ClassVar[str] = "lines"
    caption: str
    lines: tuple[str, ...]
    more: int = 0


@dataclass(frozen=True, kw_only=True)
class Fold:
    """Blocks that are shown on demand; printed, they are left out unless they were opened."""

    kind: ClassVar[str] = "fold"
    title: str
    blocks: "tuple[Block, ...]"


Block: TypeAlias = Prose | Facts | Bullets | Table | Picture | Commands | Lines | Fold


@dataclass(frozen=True, kw_only=True)
class Section:
    """A section: its anchor, its heading, and what stands in it."""

    id: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, kw_only=True)
class Banner:
    """The first thing to read: what was established, or that nothing was."""

    tone: Tone
    title: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Page:
    """A report."""

    title: str
    subtitle: str
    topic: str
    banner: Banner
    sections: tuple[Section, ...]
    colophon: str


def shortened(rows: Sequence[tuple[Cell, ...]], limit: int) -> tuple[tuple[tuple[Cell, ...], ...], int]:
    """Return the first rows, and how many are left out."""
    return tuple(rows[:limit]), max(0, len(rows) - limit)
