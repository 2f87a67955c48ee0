"""The same facts as Markdown, short: for summaries of jobs and comments on pull requests.

Drawings, folded parts and commands are left out. Whatever is not plain words becomes a code span, in which Markdown
knows no links, no mentions and no HTML.
"""

from collections.abc import Iterator

from mbom.markdown import cell as code
from mbom.markdown import sentence
from mbom.report import figures
from mbom.report.blocks import Block, Bullets, Cell, Code, Facts, Inline, Link, Mark, Page, Prose, Table

ROWS = 20  # of a table or list; a summary is read to its end
# Sections that a summary has no room for: the page has them.
LEFT_OUT = frozenset({"regulators", "undisclosed", "limits", "oneself"})
_SHAPES = {"good": "✅", "bad": "❌", "mind": "⚠️", "plain": ""}


def markdown(page: Page) -> str:
    """Return the page as Markdown."""
    lines = [
        f"## {page.topic}: {_text(page.title)}",
        "",
        _text(page.subtitle),
        "",
        f"**{_SHAPES[page.banner.tone]} {page.banner.title}**  ",
        _text(page.banner.text),
    ]
    for section in page.sections:
        if section.id not in LEFT_OUT:
            lines += ["", f"### {section.title}"]
            for block in section.blocks:
                lines += _block(block)
    return "\n".join(lines) + "\n"


def _block(block: Block) -> Iterator[str]:
    if isinstance(block, Prose):
        yield from ("", _text(block.text))
    elif isinstance(block, Facts):
        yield ""
        for fact in block.items:
            note = f" ({_text(fact.note)})" if fact.note and not isinstance(fact.value, tuple) else ""
            yield f"- {fact.label}: {_cell(fact.value, '; ')}{note}"
    elif isinstance(block, Bullets):
        yield ""
        yield from (f"- {_cell(item, '; ')}" for item in block.items[:ROWS])
        yield from _more(len(block.items) - ROWS + block.more, "- ")
    elif isinstance(block, Table):
        yield from ("", f"**{_text(block.caption)}**", "", f"| {' | '.join(map(_text, block.columns))} |")
        yield f"|{'|'.join('--:' if number in block.numeric else '---' for number in range(len(block.columns)))}|"
        yield from (f"| {' | '.join(_cell(value, '<br>') for value in row)} |" for row in block.rows[:ROWS])
        more = tuple(_more(len(block.rows) - ROWS + block.more, ""))
        yield from ("", *more) if more else ()


def _more(number: int, before: str) -> Iterator[str]:
    if number > 0:
        yield f"{before}and {number:,} more"


def _cell(value: Cell, between: str) -> str:
    return between.join(map(_inline, value)) if isinstance(value, tuple) else _inline(value)


def _inline(item: Inline) -> str:
    if isinstance(item, str):
        return _text(item)
    if isinstance(item, Code):
        return code(item.text) if item.text else ""
    if isinstance(item, Mark):
        return f"{_SHAPES[item.tone]} {_text(item.text)}".strip()
    if isinstance(item, Link) and figures.linkable(item.url) and not set(item.url) & set("()<>|[]\\"):
        return f"[{_text(item.text)}]({item.url})"
    return _text(item.text)


def _text(text: str) -> str:
    """Return plain words as they are, and anything else as a code span."""
    shown = figures.plain(text)
    return sentence(shown, code) if shown else ""
