"""A unified diff of two texts that may be made to keep its reader busy: bounded in time, and every line printable."""

import difflib
import re
from collections.abc import Iterator, Sequence

from mbom.errors import FormatError
from mbom.printable import printable

# difflib takes up to cubic time: a sixth of a second for the worst texts of this length that were found.
LINES_LIMIT = 1000  # of either text, without the lines that both begin and end with; gpt-oss's template has 331 in all
CHARACTERS_LIMIT = 1 << 18  # of either text; the longest template seen has 20,000
WIDTH = 160  # characters beyond which a line is broken: many templates are a single line
CONTEXT = 3  # equal lines around those that differ

_TAG = re.compile(r"(?=\{[%{#])")


def lines_of(text: str) -> list[str]:
    """Return the lines of a text, long ones broken before the tags of a template, and else wherever they are full."""
    found = list[str]()
    for line in text.split("\n"):
        if len(line) <= WIDTH:
            found.append(line)
            continue
        held = ""
        for part in _TAG.split(line):
            if held and len(held) + len(part) > WIDTH:
                found.append(held)
                held = ""
            held += part
            while len(held) > WIDTH:
                found.append(held[:WIDTH])
                held = held[WIDTH:]
        if held:
            found.append(held)
    return found


def unified(old: str | None, new: str | None, *, budget: int) -> tuple[tuple[str, ...], int]:
    """Return the diff of two texts as ``diff -u`` writes it, without the two lines that name the files.

    Args:
        old: what was; None where there was no text.
        new: what is; None where there is none.
        budget: how many lines may be compared, of both together.

    Returns:
        The lines, and how many were compared.

    Raises:
        FormatError: where a text, or what remains of both without equal beginnings and ends, is over a limit.
    """
    for text in (old, new):
        if text is not None and len(text) > CHARACTERS_LIMIT:
            raise FormatError(f"too large to show: {len(text):,} characters, the limit is {CHARACTERS_LIMIT:,}")
    before, after = (lines_of(text) if text is not None else [] for text in (old, new))
    start, end = _ends(before, after)
    sizes = [len(held) - start - end for held in (before, after)]
    if max(sizes) > LINES_LIMIT or sum(sizes) > budget:
        limit = LINES_LIMIT if max(sizes) > LINES_LIMIT else budget
        raise FormatError(f"too large to show: {max(sizes):,} lines that may differ, the limit is {limit:,}")
    first, last = max(0, start - CONTEXT), max(0, end - CONTEXT)
    inner = [held[first : len(held) - last] for held in (before, after)]
    return tuple(_written(inner[0], inner[1], first)), sum(sizes)


def _ends(old: Sequence[str], new: Sequence[str]) -> tuple[int, int]:
    """Return how many lines both begin with, and how many of the rest both end with."""
    shorter = min(len(old), len(new))
    start = next((number for number in range(shorter) if old[number] != new[number]), shorter)
    rest = shorter - start
    end = next((number for number in range(rest) if old[-1 - number] != new[-1 - number]), rest)
    return start, end


def _written(old: Sequence[str], new: Sequence[str], offset: int) -> Iterator[str]:
    matcher = difflib.SequenceMatcher(None, old, new)
    for group in matcher.get_grouped_opcodes(CONTEXT):
        spans = [(group[0][1], group[-1][2]), (group[0][3], group[-1][4])]
        old_span, new_span = (_span(offset + first, last - first) for first, last in spans)
        yield f"@@ -{old_span} +{new_span} @@"
        for kind, old_first, old_last, new_first, new_last in group:
            if kind == "equal":
                yield from (f" {printable(line)}" for line in old[old_first:old_last])
                continue
            yield from (f"-{printable(line)}" for line in old[old_first:old_last])
            yield from (f"+{printable(line)}" for line in new[new_first:new_last])


def _span(first: int, count: int) -> str:
    """Return a span of lines as POSIX writes it: an empty one begins before the line that it stands at."""
    if count == 1:
        return str(first + 1)
    return f"{first + 1 if count else first},{count}"
