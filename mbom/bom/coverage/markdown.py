"""Writing hostile text into Markdown so that every reader sees it as text, and a table keeps its shape.

A value becomes a code span, in which Markdown knows no links, no HTML and no emphasis. What a code span or the table
around it would still react to is written as an escape: line ends, control characters and the bar between cells.
"""

import re

from mbom.bom.coverage.answers import VALUE_LIMIT
from mbom.inventory.findings import plain

_TICKS = re.compile(r"`+")


def code(text: str) -> str:
    """Return a text as a code span for a cell of a table."""
    # Readers disagree on whether a backslash before a bar escapes it, so no bar is written at all.
    return span(plain(text)[:VALUE_LIMIT].replace("|", r"\x7c"))


def span(text: str) -> str:
    """Return a text as a code span outside of tables."""
    shown = plain(text)[:VALUE_LIMIT].strip()
    fence = "`" * (max((len(run) for run in _TICKS.findall(shown)), default=0) + 1)
    space = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{fence}{space}{shown}{space}{fence}"
