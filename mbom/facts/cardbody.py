"""The text of a model card below its front matter: its links, and the sections under its headings.

Read as lines, not as Markdown: what is taken is what stands there in the open. Every limit bounds what a hostile card
can make of the BOM; a text beyond it is not looked at.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from mbom.facts.card import CARD, body
from mbom.facts.mof import CODE_HOSTS, HUB_HOSTS, PAPER_HOSTS
from mbom.facts.places import Place

BODY_LIMIT = 512 << 10  # bytes of text below the front matter; long honest cards have fifty thousand
LINE_LIMIT = 4096  # characters of one line; HTML tables on one line are longer and hold no links that matter
LINKS_LIMIT = 64  # links kept of one card, in the card's order
SECTIONS_LIMIT = 256
LABEL_LIMIT = 120  # characters of a link's label or a section's title

_FENCE = re.compile(r" {0,3}(```|~~~)")
_HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+(\S.*)")
_COMMENT = re.compile(r"<!--.*?-->")
_PLACEHOLDER = re.compile(r"\[?more information needed\]?", re.IGNORECASE)
_URL_CHARACTER = r"[A-Za-z0-9._~:/?#@!$&'*+,;=%-]"
_URL = re.compile(rf"https?://([A-Za-z0-9.-]{{1,253}}+)(/{_URL_CHARACTER}{{0,400}}+)?+(?!{_URL_CHARACTER})")
_ARXIV = re.compile(r"(?<![\w/])arxiv:[ \t]?(\d{4}\.\d{4,5})(?!\d)", re.IGNORECASE | re.ASCII)
_ANCHOR = re.compile(r"(!?)\[([^\[\]]*)\]\(\Z")  # what stands before the address of a Markdown link
_ELEMENT = re.compile(r"""["'][^<>]{0,200}+>([^<>]{1,120}+)</a>""")  # what follows the address of an HTML link
_BREAK = re.compile(r"[|.;>]")
_DIGITS = re.compile(r"\d+(\.\d+)?")


@dataclass(frozen=True, kw_only=True)
class CardLink:
    """A link to where code, papers or datasets are kept.

    Attributes:
        address: as the card has it; of a bare arXiv id, that of its page.
        label: what the card calls it; empty where it does not.
        place: its line.
    """

    address: str
    label: str
    place: Place

    @property
    def host(self) -> str:
        """The host in lower case."""
        return self.address.split("/")[2].lower()


@dataclass(frozen=True, kw_only=True)
class Section:
    """A section of a card, up to the next heading of its level or a higher one.

    Attributes:
        title: of its heading.
        characters: of its text; headings, placeholders and white space left out.
        figures: numbers that stand in rows of its tables and in its lists.
        place: the line of its heading.
    """

    title: str
    characters: int
    figures: int
    place: Place


@dataclass(frozen=True, kw_only=True)
class Body:
    """What a card's text holds: its length as of a section, its links and its sections, in the card's order."""

    characters: int = 0
    links: tuple[CardLink, ...] = ()
    sections: tuple[Section, ...] = ()


def read_body(data: bytes | None) -> Body:
    """Read the text of README.md; whatever is not UTF-8 in it counts as text like any other."""
    if data is None:
        return Body()
    text, first = body(data)
    lines = [line[:LINE_LIMIT] for line in text[:BODY_LIMIT].decode("utf-8", errors="replace").split("\n")]
    sections = _sections(lines, first)
    links: dict[str, CardLink] = {}
    for number, line in enumerate(lines, first):
        for address, label in _links(line):
            if len(links) < LINKS_LIMIT:
                links.setdefault(address, CardLink(address=address, label=label, place=Place(file=CARD, line=number)))
    return Body(characters=sum(map(_length, lines)), links=tuple(links.values()), sections=sections)


def _sections(lines: list[str], first: int) -> tuple[Section, ...]:
    """Return the sections; a line that begins with # inside a fence of code is no heading."""
    headings: list[tuple[int, int, str]] = []
    fence = ""
    for index, line in enumerate(lines):
        marker = _FENCE.match(line)
        if marker is not None and fence in ("", marker[1]):
            fence = "" if fence else marker[1]
        heading = None if fence else _HEADING.match(line)
        if heading is not None and len(headings) < SECTIONS_LIMIT:
            headings.append((index, len(heading[1]), heading[2].strip(" #\t\r*_:")[:LABEL_LIMIT]))
    sections = []
    for position, (index, depth, title) in enumerate(headings):
        end = next((at for at, level, _ in headings[position + 1 :] if level <= depth), len(lines))
        inner = lines[index + 1 : end]
        sections.append(
            Section(
                title=title,
                characters=sum(map(_length, inner)),
                figures=sum(len(_DIGITS.findall(line)) for line in inner if line.lstrip().startswith(("|", "-", "*"))),
                place=Place(file=CARD, line=first + index),
            )
        )
    return tuple(sections)


def _length(line: str) -> int:
    """Return the length of a line's text: nothing for a heading, a comment or the hub's placeholder."""
    if _HEADING.match(line):
        return 0
    return len("".join(_PLACEHOLDER.sub("", _COMMENT.sub("", line)).split()))


def _links(line: str) -> Iterator[tuple[str, str]]:
    """Yield the links of a line to hosts of code, papers and datasets, each with its label; no images."""
    for match in _URL.finditer(line):
        before = line[max(0, match.start() - 2 * LABEL_LIMIT) : match.start()]
        anchor, element = _ANCHOR.search(before) if before.endswith("](") else None, _ELEMENT.match(line, match.end())
        if anchor is not None and anchor[1]:
            continue
        host, address = match[1].lower(), match[0].rstrip(".,;:!?*_'")
        datasets = (match[2] or "").startswith(("/datasets/", "/papers/"))
        if host in CODE_HOSTS | PAPER_HOSTS or (host in HUB_HOSTS and datasets):
            label = anchor[2] if anchor is not None else element[1] if element is not None else _lead(before)
            yield address, " ".join(label.split())[:LABEL_LIMIT]
    for match in _ARXIV.finditer(line):
        yield f"https://arxiv.org/abs/{match[1]}", ""


def _lead(before: str) -> str:
    """Return the words before a bare address that end with a colon, as in ``Training code: https://…``."""
    text = before.rstrip(" \t*_([<")
    return _BREAK.split(text[:-1])[-1].strip(" \t*_-") if text.endswith(":") else ""
