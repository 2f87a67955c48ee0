"""Writing hostile text into Markdown so that every reader sees it as text, and a list or table keeps its shape.

A value becomes a code span, in which Markdown knows no links, no HTML and no emphasis, and GitHub no mentions and no
numbers of issues. What a code span or the table around it would still react to is written as an escape: line ends,
control characters and the bar between cells.
"""

import re
from collections.abc import Callable, Iterable

from mbom.printable import printable

SPAN_LIMIT = 500  # characters of a code span; an address or a description is shorter
LINE_LIMIT = 2000  # characters of a line in a block of code
SENTENCE_LIMIT = 1200  # characters of prose

_TICKS = re.compile(r"`+")

# What no reader of Markdown takes for anything but words: no list, address, mention, emoji or number of an issue.
_SENTENCE = re.compile(
    r"(?!\d+[.)])(?!.*(?:www\.|gh-\d))[a-z0-9](?:[a-z0-9 ,.;()%±×→–’'\"“”…/?+-]|:(?= |$))*", re.ASCII | re.IGNORECASE
)

# A word that neither Markdown nor GitHub makes anything of: letters and digits, with dashes, dots and slashes inside,
# quotes and brackets around it, and a mark of the sentence behind it.
_WORD = re.compile(r"""["'(„“”]{0,2}[^\W_](?:[^\W_]|[-.,'’/%+](?=[^\W_]))*["'),.;:?!%…“”]{0,3}""")
# Words, and what stands between two backticks: a command, or a key, as our own sentences quote them.
_TOKENS = re.compile(r"(?:^|(?<= ))`[^`]+`[,.;:)]{0,2}(?= |$)|[^ ]+")
_QUOTED = re.compile(r"`([^`]+)`([,.;:)]{0,2})")
_ALONE = frozenset({"→", "±", "·", "–", "…", "/", "="})
_NUMBERED = re.compile(r"\d+[.)]")
_LINK = re.compile(r"www\.|https?:|ftp:", re.IGNORECASE)
_MARK = re.compile(r"GH-\d+|[0-9a-f]{7,64}", re.IGNORECASE)


def span(text: str) -> str:
    """Return a text as a code span outside of tables."""
    shown = printable(text)[:SPAN_LIMIT].strip()
    fence = "`" * (_longest_run(shown) + 1)
    space = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{fence}{space}{shown}{space}{fence}"


def cell(text: str) -> str:
    """Return a text as a code span for a cell of a table."""
    # Readers disagree on whether a backslash before a bar escapes it, so no bar is written at all.
    return span(printable(text)[:SPAN_LIMIT].replace("|", r"\x7c"))


def sentence(text: str, code: Callable[[str], str] = span) -> str:
    """Return a text as it is where it holds nothing but words, else all of it as code: nothing in it is ours."""
    return text if _SENTENCE.fullmatch(text) else code(text)


def fenced(lines: Iterable[str]) -> str:
    """Return the lines of a diff as a block of code that nothing in them can end."""
    held = "\n".join(_cut(printable(line), LINE_LIMIT) for line in lines)
    fence = "`" * max(3, 1 + _longest_run(held))
    return f"{fence}diff\n{held}\n{fence}"


def prose(said: str) -> str:
    """Return a sentence of ours that quotes hostile text as one line of Markdown that means nothing but itself.

    Words that Markdown or GitHub would react to become code spans, all others are plain words, so that a sentence reads
    as one.
    """
    words = _TOKENS.findall(_cut(printable(said), SENTENCE_LIMIT))
    return " ".join(_word(word, first=not at) for at, word in enumerate(words))


def _word(word: str, *, first: bool) -> str:
    if word in _ALONE and not first:
        return word
    quoted = _QUOTED.fullmatch(word)
    if quoted is not None:
        return span(quoted[1]) + quoted[2]
    plain = _WORD.fullmatch(word) is not None and not (first and _NUMBERED.match(word))
    if plain and _LINK.search(word) is None and (_MARK.search(word) is None or not _is_mark(word)):
        return word
    # Marks of the sentence stay outside, where that changes nothing.
    body = word.rstrip(",.;:")
    return span(body) + word[len(body) :] if body else span(word)


def _is_mark(word: str) -> bool:
    """Tell whether GitHub would make a link to an issue or a commit of a part of the word."""
    return any(
        (_MARK.fullmatch(part) is not None and not part.isalpha()) or part.upper().startswith("GH-")
        for part in re.split(r"[^\w-]+", word)
        if part
    )


def _longest_run(text: str) -> int:
    return max((len(run) for run in _TICKS.findall(text)), default=0)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
