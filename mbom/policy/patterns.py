"""Patterns over names of models, such as ``openai/*``, and which of several says more."""

import functools
import re

PATTERN_LIMIT = 200  # characters; the longest name on the hub has 193

# What a name consists of, and the three that stand for something.
FORM = r"^[0-9A-Za-z_.*?-]+(/[0-9A-Za-z_.*?-]+)?$"
EVERYTHING = "*"

_WILD = re.compile(r"\*+|\?")


def matches(pattern: str, name: str) -> bool:
    """Tell whether a name is one that a pattern means.

    ``*`` stands for any characters but the slash, ``?`` for one; ``*`` by itself for every name. Letter case does not
    count, because the hub does not tell accounts or repositories apart by it.
    """
    return pattern == EVERYTHING or _expression(pattern).fullmatch(name) is not None


def is_exact(pattern: str) -> bool:
    """Tell whether a pattern means one name alone."""
    return _WILD.search(pattern) is None


def weight(pattern: str) -> tuple[bool, int]:
    """Return how much a pattern says: an exact one most, otherwise by its characters that stand for themselves."""
    return is_exact(pattern), len(_WILD.sub("", pattern))


@functools.lru_cache(maxsize=1024)
def _expression(pattern: str) -> re.Pattern[str]:
    """Return a pattern as an expression.

    A run of stars is one, and each star takes as little as it can without looking back (an atomic group), so that no
    pattern takes longer than its length times the name's.
    """
    head, *tail = re.split(r"\*+", pattern)
    parts = [_literal(head)]
    if tail:
        *middle, last = tail
        parts += [f"(?>[^/]*?{_literal(text)})" for text in middle]
        parts.append(f"[^/]*{_literal(last)}")
    return re.compile("".join(parts), re.IGNORECASE | re.ASCII)


def _literal(text: str) -> str:
    return re.escape(text).replace(r"\?", "[^/]")
