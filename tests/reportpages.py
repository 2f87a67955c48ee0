"""Reading a page without a browser: its tags, attributes and texts, and the pages that tests look at."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from html.parser import HTMLParser

import reports

from mbom.dossier import read_bundle
from mbom.report import Page, Verified, html, of_changes, of_model
from mbom.report.blocks import Block, Cell, Fold, Table
from mbom.verdict import STEPS, Check, Outcome, Verdict

TIME = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)

VOID = {"meta", "link", "img", "br", "hr", "input", "base"}


@dataclass
class Tag:
    """A tag with its attributes, in the order in which they stand."""

    name: str
    attributes: dict[str, str]


@dataclass
class Parsed(HTMLParser):
    """What a page consists of."""

    tags: list[Tag] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), f"{tag} has an attribute twice"
        self.tags.append(Tag(tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(Tag(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"{tag} closes what it did not open"

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.texts.append(data)

    @property
    def text(self) -> str:
        """All text, with single spaces."""
        return " ".join(" ".join(self.texts).split())

    def named(self, name: str) -> list[Tag]:
        """The tags of a name."""
        return [tag for tag in self.tags if tag.name == name]


def parsed(data: bytes) -> Parsed:
    """Parse a page; every tag must be closed in its order."""
    found = Parsed()
    found.feed(data.decode())
    found.close()
    assert found.open == []
    return found


@cache
def pages() -> dict[str, Page]:
    """The pages that must hold in every respect."""
    tiny, large = read_bundle(reports.BUNDLE), reports.gpt_oss_120b()
    return {
        "model": of_model(tiny),
        "large model": of_model(large),
        "hostile model": of_model(reports.hostile(reports.LONG)),
        "diff": of_changes(reports.changes(), large),
        "hostile diff": of_changes(reports.changes(reports.LONG), reports.hostile()),
    }


def text(page: Page) -> str:
    """The text of a page as it is written out."""
    return parsed(html(page)).text


def blocks(held: Iterable[Block]) -> Iterator[Block]:
    """Blocks, and those that are folded away in them."""
    for block in held:
        yield block
        if isinstance(block, Fold):
            yield from blocks(block.blocks)


def tables(page: Page, section: str) -> dict[str, Table]:
    """The tables of a section by their captions."""
    (found,) = (item for item in page.sections if item.id == section)
    return {block.caption: block for block in blocks(found.blocks) if isinstance(block, Table)}


def words(cell: Cell) -> str:
    """What a cell says."""
    if isinstance(cell, tuple):
        return " / ".join(map(words, cell))
    return cell if isinstance(cell, str) else cell.text


def verdict(**outcomes: Outcome) -> Verified:
    """A verdict where all passes but what is named, with underscores for hyphens."""
    checks = tuple(
        Check(id=step, outcome=outcomes.get(step.replace("-", "_"), "PASS"), detail=f"seen at {step}",
              asked=step not in ("behaviour", "challenge"))
        for step in STEPS
    )  # fmt: skip
    return Verified(verdict=Verdict(checks=checks, model=None), time=TIME, checkpoint=True)
