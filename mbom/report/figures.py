"""Numbers and texts as a report writes them."""

import json
import math
import re
from collections.abc import Sequence
from urllib.parse import quote

from mbom.printable import printable
from mbom.quantities import scaled
from mbom.strictjson import Json

TEXT_LIMIT = 700  # characters of a text from outside; what is longer is no name and no sentence
TITLE_LIMIT = 120  # characters of a heading; the longest name on the hub has 96 and its account before it
_ADDRESS = re.compile(r"https://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[!#-;=?-~]*)?")
_ADDRESS_LIMIT = 300  # characters
_WORDS = ("", "thousand", "million", "billion", "trillion")


def plain(text: str) -> str:
    """Return a text from anywhere in one line that is not too long, with whatever is not printable made visible."""
    if len(text) <= TEXT_LIMIT:
        return printable(text)
    return f"{printable(text[:TEXT_LIMIT])}… ({len(text):,} characters)"


def heading(text: str) -> str:
    """Return a text from anywhere as it may stand above everything else: no name pushes the verdict off the page."""
    shown = plain(text)
    return shown if len(shown) <= TITLE_LIMIT else f"{shown[: TITLE_LIMIT - 1]}…"


def linkable(url: str) -> bool:
    """Tell whether an address may be followed: https, a plain host name, and nothing that a reader cannot see."""
    return len(url) <= _ADDRESS_LIMIT and _ADDRESS.fullmatch(url) is not None


def hub_address(repo: str, revision: str) -> str:
    """Return where a commit of a repository can be looked at."""
    return f"https://huggingface.co/{quote(repo, errors='replace')}/tree/{quote(revision, errors='replace')}"


def count(number: int) -> str:
    """Return a large number in words: ``116.8 billion``."""
    return f"{number:,}" if number < 100_000 else scaled(number, _WORDS)


def share(part: float, whole: float) -> str:
    """Return a part in per cent; what is neither nothing nor all never looks like it."""
    if not whole:
        return "–"
    percent = 100 * part / whole
    if 0 < percent < 0.1:
        return "under 0.1 %"
    if 99.9 < percent < 100:
        return "over 99.9 %"
    return f"{percent:.0f} %" if percent in (0.0, 100.0) else f"{percent:.1f} %"


def relative(value: float, error: float = 0.0) -> str:
    """Return a relative change, with its error where it is an estimate: ``0.0031 ± 0.0002``."""
    if not math.isfinite(value):
        return "beyond measure (it was all zero)"
    if not error:
        return _small(value)
    if not math.isfinite(error):
        return f"about {_small(value)}"
    if 1e-4 <= error < 1:  # as many decimals as the error has a first digit for, and one more
        decimals = 1 - math.floor(math.log10(error))
        return f"{value:.{decimals}f} ± {error:.{decimals}f}"
    return f"{value:.1e} ± {error:.1e}"


def stated(value: Json) -> str:
    """Return a value of a document as text; a dash where there is none."""
    if value is None:
        return "–"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)


def ranges(numbers: Sequence[int]) -> str:
    """Join ascending numbers, runs of them as one: ``0–3, 7, 12–13``."""
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}–{last}" for first, last in found)


def _small(value: float) -> str:
    return f"{value:.3g}" if value == 0 or 1e-3 <= abs(value) < 1e4 else f"{value:.2e}"
