"""The words of a licence text, without what publishers change when they copy one, and the line of each word.

Two copies of a licence differ in line breaks, quotes, dashes, letter case, Markdown, list marks and the copyright line.
None of that is a term, so none of it is compared: a text becomes its words. The digests in ``table.json`` are of such
words, so nothing here may change without computing them anew.
"""

import hashlib
import re
import unicodedata
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from mbom.errors import FormatError

TEXT_LIMIT = 1 << 20  # bytes; the longest licence in the table has 20 kB, collected notices some hundred
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")

# All repetitions are bounded, so that no line takes more than a constant time for each of its characters.
_LINK = re.compile(r"\[([^\[\]]{1,300})\]\([^()]{0,1000}\)")  # Markdown shows the text and hides the address
_TAG = re.compile(
    r"</?(?:a|b|blockquote|br|center|code|div|em|h[1-6]|hr|i|li|ol|p|pre|span|strong|sup|u|ul)\b[^<>]{0,1000}>",
    re.IGNORECASE,
)
_MARK = re.compile(r"(?<!\S)\(?(?:(?:\d{1,2}\.)*\d{1,2}|[a-z]|[ivx]{1,4})[.)](?!\S)")  # of a list: 1. 2.1. a) (iv)
_EMPHASIS = str.maketrans("", "", "\\*`")  # of Markdown: **1\\. Definitions**
_WORD = re.compile(r"[^\W_]+")
# Whose work it is: the word or the sign, which alone would be the third mark of a list, and the year after it.
_COPYRIGHT = re.compile(r"\W*(?:copyright\b|©|\(c\)\s*(?:copyright\b|©|(?:19|20)\d\d))")
_YEAR = re.compile(r"\W*(?:copyright|©|\(c\))(?:\W|copyright|c\b|by\b){0,20}(?:(?:19|20)\d\d\b|yyyy|year)")
_COPYRIGHT_WORDS = 24  # of a line that names an author; a longer one says more than that
_TERM = re.compile(  # a word that turns such a line into a condition
    r"\b(?:agree\w*|commercial\w*|forbid\w*|licen[cs]\w*|may|must|noncommercial|not|only|permi\w*|prohibit\w*|shall"
    r"|subject|terms|use|used|uses|without)\b"
)


@dataclass(frozen=True, kw_only=True)
class Words:
    """The words of a text in order, and the line of each, from 1."""

    words: Sequence[str]
    lines: Sequence[int]

    @property
    def joined(self) -> str:
        """All words with one space around each, so that a phrase is found where whole words stand."""
        return f" {' '.join(self.words)} "


def words_of(data: bytes) -> Words:
    """Return the words of a text.

    Raises:
        FormatError: when it is longer than ``TEXT_LIMIT`` or neither UTF-8 nor marked as UTF-16.
    """
    if len(data) > TEXT_LIMIT:
        raise FormatError(f"{len(data)} bytes, the longest licence text that is read has {TEXT_LIMIT}")
    encoding = "utf-16" if data.startswith(_UTF16_MARKS) else "utf-8-sig"
    try:
        text = data.decode(encoding, errors="strict")
    except UnicodeDecodeError as error:
        raise FormatError(f"not a text in {encoding.removesuffix('-sig').upper()} at byte {error.start}") from error
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    words: list[str] = []
    numbers = array("I")
    for number, line in enumerate(lines, 1):
        if _is_copyright(lines, number - 1):
            continue
        found = _line_words(line)
        words.extend(found)
        numbers.extend([number] * len(found))
    return Words(words=words, lines=numbers)


def phrase(text: str) -> str:
    """Return a phrase as it is looked for in ``Words.joined``."""
    return f" {' '.join(_line_words(text))} "


def digest(words: Sequence[str]) -> str:
    """Return the SHA-256 of words joined by single spaces."""
    return hashlib.sha256(" ".join(words).encode()).hexdigest()


def _line_words(line: str) -> list[str]:
    plain = unicodedata.normalize("NFKC", line).casefold().translate(_EMPHASIS).replace("++", "plusplus")
    return _WORD.findall(_MARK.sub(" ", _TAG.sub(" ", _LINK.sub(r"\1", plain))))


def _is_copyright(lines: Sequence[str], index: int) -> bool:
    """Tell whether a line says whose work this is and nothing else: it begins so, and names a year or stands alone.

    A notice that a licence demands, wrapped so that a line of it begins with the word, does neither; and a condition
    in such a line is a condition.
    """
    line = lines[index].strip().casefold()
    if _COPYRIGHT.match(line) is None or _TERM.search(line) or len(_WORD.findall(line)) > _COPYRIGHT_WORDS:
        return False
    around = (lines[index - 1] if index else "", lines[index + 1] if index + 1 < len(lines) else "")
    return _YEAR.match(line) is not None or not any(neighbour.strip() for neighbour in around)
