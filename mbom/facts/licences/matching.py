"""Which licences of the table a text holds, and how faithfully.

Word for word first: at each place where a reference text begins, as many words as it has are hashed. What no reference
text covers is then searched for the marks of the others. So two licences in one file are both found, a notice beside
one is told from it, and a changed word is never taken for the original.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

from mbom.facts.licences.table import Entry, ReferenceText, Term, table
from mbom.facts.licences.text import Words, digest

OCCURRENCES = 8  # how often the opening of one reference text is tried in a file; an honest one repeats none

_GAP = " \n "  # between words that do not follow each other: no phrase holds it

How = Literal["exact", "added", "altered"]


@dataclass(frozen=True, kw_only=True)
class Match:
    """A licence or policy that a text holds.

    Attributes:
        key: of the table.
        how: ``exact`` when the file is a reference text and nothing else, word for word, copyright lines aside;
            ``added`` when it holds one word for word and other words too; ``altered`` when it has the marks of one and
            other words: another version, or terms that somebody changed.
        line: where it begins, or where its first mark is.
        stated: the restrictions that the text states, each with the line. Of an altered text, a restriction whose
            words are not there is not among them.
    """

    key: str
    how: How
    line: int
    stated: tuple[tuple[Term, int], ...]


@dataclass(frozen=True, kw_only=True)
class Identified:
    """What is known of one text: its matches by where they begin, and how many words no reference text accounts for."""

    matches: tuple[Match, ...]
    other_words: int


@dataclass(frozen=True, kw_only=True)
class _Region:
    """Words from ``start`` up to ``end`` that are a reference text of an entry."""

    start: int
    end: int
    entry: Entry


def identify(text: Words) -> Identified:
    """Return what the table knows of a text."""
    finder = _Finder(text)
    regions = _outermost(list(finder.regions()))
    rest = finder.rest(regions)
    others = sum(len(part.split()) for part in rest.split(_GAP))
    held = {region.entry.key for region in regions}
    altered = [entry for entry in table().entries.values() if entry.key not in held and _marked(entry, rest)]
    repeated = {key for entry in altered for key in entry.contains}
    how: How = "added" if others else "exact"
    matches = [
        Match(key=region.entry.key, how=how, line=text.lines[region.start], stated=finder.stated(region.entry))
        for region in regions
        if region.entry.key not in repeated
    ]
    for entry in (entry for entry in altered if entry.key not in repeated):
        line = min(line for anchor in entry.anchors if (line := finder.line(anchor)) is not None)
        matches.append(Match(key=entry.key, how="altered", line=line, stated=finder.stated(entry)))
    matches.sort(key=lambda match: (match.line, match.key))
    first = {match.key: match for match in reversed(matches)}  # a text may stand there twice
    return Identified(matches=tuple(match for match in matches if first[match.key] is match), other_words=others)


def lines_of(text: Words, entry: Entry) -> tuple[tuple[Term, int], ...]:
    """Return those restrictions of an entry whose words a text has, each with the line."""
    return _Finder(text).stated(entry)


class _Finder:
    """Looks phrases up in one text."""

    def __init__(self, text: Words) -> None:
        self.text = text
        self.joined = text.joined
        # Where each word begins in ``joined``, less the space before it.
        self.starts = array("Q", accumulate((len(word) + 1 for word in text.words), initial=0))

    def line(self, phrase: str) -> int | None:
        at = self.joined.find(phrase)
        return None if at < 0 else self.text.lines[bisect_left(self.starts, at)]

    def stated(self, entry: Entry) -> tuple[tuple[Term, int], ...]:
        found = ((term, self.line(term.phrase)) for term in entry.terms)
        return tuple((term, line) for term, line in found if line is not None)

    def regions(self) -> Iterator[_Region]:
        """Yield every place where a reference text stands word for word; for each opening the longest one."""
        openings: dict[str, list[tuple[ReferenceText, Entry]]] = {}
        for entry in table().entries.values():
            for reference in entry.texts:
                openings.setdefault(reference.opening, []).append((reference, entry))
        for opening, candidates in openings.items():
            candidates.sort(key=lambda item: -item[0].words)
            for start in self._occurrences(opening):
                found = next((item for item in candidates if self._is(item[0], start)), None)
                if found is not None:
                    yield _Region(start=start, end=start + found[0].words, entry=found[1])

    def rest(self, regions: list[_Region]) -> str:
        """Return the words outside all regions, with a gap where one was taken out."""
        parts, at = [], 0
        for region in regions:
            parts.append(" ".join(self.text.words[at : region.start]))
            at = max(at, region.end)
        parts.append(" ".join(self.text.words[at:]))
        return f" {_GAP.join(parts)} "

    def _occurrences(self, opening: str) -> Iterator[int]:
        at = -1
        for _ in range(OCCURRENCES):
            at = self.joined.find(opening, at + 1)
            if at < 0:
                return
            yield bisect_left(self.starts, at)

    def _is(self, reference: ReferenceText, start: int) -> bool:
        words = self.text.words[start : start + reference.words]
        return len(words) == reference.words and digest(words) == reference.sha256


def _outermost(regions: list[_Region]) -> list[_Region]:
    """Return the regions that lie in no other, in their order; a licence may quote another, or its own notice."""
    kept: list[_Region] = []
    for region in sorted(regions, key=lambda region: (region.start, -region.end)):
        if not kept or region.end > kept[-1].end:
            kept.append(region)
    return kept


def _marked(entry: Entry, words: str) -> bool:
    return all(anchor in words for anchor in entry.anchors) and not any(phrase in words for phrase in entry.absent)
