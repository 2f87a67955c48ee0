"""Characters that people do not see: what hides a word from a reader who looks for it, or shows another one."""

import re
import unicodedata
from collections.abc import Iterable

# Beside the categories of control and format: fillers that are letters to Unicode and blank to the eye, and selectors.
_BLANK = "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"
_SELECTORS = re.compile(r"[\ufe00-\ufe0f\U000e0100-\U000e01ef]")
_CANDIDATE = re.compile(rf"[^\x20-\x7e\u00c0-\u0300\u0400-\u05ff\u3040-\u3130\u4e00-\u9fff]|[{_BLANK}]")
_HARMLESS = frozenset("\t\n\r")
# One emoji may be several characters, held together by a joiner or followed by the selector of its coloured form.
_EMOJI = re.compile(
    r"(?<=[\u2190-\u2bff\U0001f000-\U0001faff\ufe0f])(?:\ufe0f|\u200d(?=[\u2190-\u2bff\U0001f000-\U0001faff]))"
)


def invisible(text: str) -> tuple[str, ...]:
    """Return the invisible characters of a text as ``U+200B``, each once, in order."""
    if text.isascii() and text.isprintable():
        return ()
    found = {char for char in _CANDIDATE.findall(_EMOJI.sub("", text)) if _hides(char)}
    return named(found)


def named(chars: Iterable[str]) -> tuple[str, ...]:
    """Return characters by their code points."""
    return tuple(f"U+{ord(char):04X}" for char in sorted(chars))


def _hides(char: str) -> bool:
    if char in _HARMLESS:
        return False
    return (
        char in _BLANK
        or _SELECTORS.match(char) is not None
        or unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp", "Cs", "Co")
    )
