"""The pre-filled form: every item, nothing invented, and a table that no text can break."""

from copy import deepcopy
from typing import Any

import boms
import coveredboms
import pytest
from coveredboms import foreign, full
from markdown_it import MarkdownIt
from markdown_it.token import Token

from mbom.bom.coverage import standard
from mbom.bom.coverage.form import RANGES, gpai_form

HOSTILE = (
    "a | b",
    "\\| c \\\\| d",
    "`tick` ``two`` ```three",
    "`",
    "\\`",
    "<script>alert(1)</script>",
    "<!-- comment",
    "[link](https://evil.example)",
    "![image](https://evil.example/i.png)",
    "https://evil.example www.evil.example x@evil.example",
    "# heading",
    "- item\n\n## heading",
    "x\r\n| y | z |\n|---|---|",
    "**bold** _em_ ~~gone~~ &lt; &#124;",
    "tab\tnull\x00bell\x07",
    "\u202eright to left\u2066 zero\u200bwidth",
    "☒ declared | verified",
)
COLUMNS = 7


def form(document: dict[str, Any]) -> str:
    return gpai_form(b"{}", document)


def parsed(text: str) -> list[Token]:
    """Parse Markdown with tables by a library that we did not write."""
    return MarkdownIt("commonmark").enable("table").parse(text)


def tables(text: str) -> list[list[list[Token]]]:
    """Return the tables: their rows, and of each row the inline contents of its cells."""
    found: list[list[list[Token]]] = []
    for token in parsed(text):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type == "inline" and found and token.level >= 4:
            found[-1][-1].append(token)
    return found


def items(text: str) -> dict[str, list[Token]]:
    """Return the cells of every item, by its name; the last table is the provider's."""
    rows = [row for table in tables(text)[:-1] for row in table[1:]]
    return {_shown(row[0]).partition("\n")[0]: row for row in rows}


def _shown(cell: Token) -> str:
    """Return what a reader sees of a cell, a line a line."""
    seen = ""
    for token in cell.children or ():
        seen += "\n" if token.type == "html_inline" else token.content
    return seen


def test_it_has_every_item_of_the_form_in_its_order_and_a_blank_to_sign() -> None:
    text = form(full())
    assert list(items(text)) == [element.name for element in standard("gpai").elements]
    sections = [line for line in text.splitlines() if line.startswith("## ")]
    assert sections[:-2] == [f"## {number}. {group}" for number, group in enumerate(standard("gpai").groups, start=1)]
    assert "| Signature | |" in text.splitlines()


def test_a_bom_that_says_nothing_gives_a_form_that_says_so() -> None:
    rows = items(form({"bomFormat": "CycloneDX", "specVersion": "1.7"}))
    assert {(_shown(row[1]), _shown(row[2])) for row in rows.values()} == {("not disclosed", "not disclosed")}


def test_a_value_comes_with_its_status_and_its_place() -> None:
    row = items(form(full()))["Total model size"]
    assert [_shown(cell) for cell in row[1:]] == [
        "20900000000; active: 3600000000",
        "verified",
        "/components/0/modelCard/properties/4/value; /components/0/modelCard/properties/3/value",
        "(☒)",
        "(☒)",
        "(☐)",
    ]


def test_a_value_that_is_less_sure_than_its_neighbours_says_so() -> None:
    changed = full()
    changed["components"][0]["hashes"].append({"alg": "SHA-1", "content": "c" * 40})
    row = items(form(changed))["Model authenticity"]
    assert _shown(row[2]) == "declared"
    assert _shown(row[3]).startswith("/components/0/hashes/0/content (verified); /components/0/hashes/1/content; ")


def test_a_citation_says_where_the_value_was_read() -> None:
    changed = full()
    changed["citations"] = [
        {"pointers": ["/components/0/modelCard/modelParameters"], "attributedTo": "x", "note": "config.json at 6cee5e8"}
    ]
    row = items(form(changed))["Output modalities"]
    assert _shown(row[3]) == "/components/0/modelCard/modelParameters/outputs/0/format from config.json at 6cee5e8"


@pytest.mark.parametrize(
    ("count", "ticked"),
    [
        (1, "1–500M"),
        (500_000_000, "1–500M"),
        (500_000_001, "500M–5B"),
        (5_000_000_001, "5B–15B"),
        (20_914_757_184, "15B–50B"),
        (50_000_000_001, "50B–100B"),
        (116_829_156_672, "100B–500B"),
        (671_026_419_200, "500B–1T"),
        (1_000_000_000_000, "500B–1T"),
        (1_000_000_000_001, ">1T"),
    ],
)
def test_the_range_of_the_exact_count_is_ticked_and_no_other(count: int, ticked: str) -> None:
    changed = full()
    changed["components"][0]["modelCard"]["properties"][-1]["value"] = str(count)
    cell = _shown(items(form(changed))["Range within which the total model size falls"][1])
    assert cell == " ".join(f"{'☒' if label == ticked else '☐'} {label}" for label, _ in RANGES)


def test_recipients_stand_in_brackets_unless_read_in_the_form() -> None:
    rows = {name: [_shown(cell) for cell in row[4:]] for name, row in items(form(full())).items()}
    assert rows["Model authenticity"] == ["☒", "☒", "☐"]
    assert rows["Required hardware"] == ["(☐)", "(☐)", "(☒)"]
    assert rows["Model dependencies"] == ["?", "?", "?"]
    assert rows["Number of data points (for the AI Office)"] == ["☒", "☐", "☐"]


def replaced(value: Any, text: str, kept: frozenset[str]) -> Any:
    """Return a document with every text replaced, except where that would change what kind of thing it is."""
    if isinstance(value, dict):
        return {name: held if name in kept else replaced(held, text, kept) for name, held in value.items()}
    if isinstance(value, list):
        return [replaced(item, text, kept) for item in value]
    return text if isinstance(value, str) else value


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("source", [coveredboms.FULL, coveredboms.FOREIGN], ids=["ours", "foreign"])
def test_no_text_breaks_the_table_or_becomes_markup(source: dict[str, Any], text: str) -> None:
    kept = frozenset({"type", "bom-ref", "ref", "activity"})
    document = replaced(deepcopy(source), text, kept)
    document["components"][0]["properties"] = [{"name": "mbom:gpai:data-scope", "value": text}]
    written = form(document)
    whole = parsed(written)
    assert {token.type for token in whole} & {"html_block", "fence", "code_block", "blockquote_open"} == set()
    rows = items(written)
    assert list(rows) == [element.name for element in standard("gpai").elements]
    for name, row in rows.items():
        assert len(row) == COLUMNS, name
        allowed = {"text", "code_inline", "strong_open", "strong_close", "html_inline"}  # the last is our own <br>
        assert {child.type for cell in row for child in cell.children or ()} <= allowed
        assert {child.content for cell in row for child in cell.children or () if child.type == "html_inline"} <= {
            "<br>"
        }
    inline = [child for token in whole for child in token.children or ()]
    links = [child.attrGet("href") for child in inline if child.type == "link_open"]
    assert links == [standard("gpai").url]
    assert all(char.isprintable() or char == "\n" for char in written)


def test_the_text_of_a_value_can_be_read_back() -> None:
    changed = full()
    changed["components"][0]["name"] = "a `b` ``c`` <d> [e](f)"
    shown = _shown(items(form(changed))["Model name"][1])
    assert shown.startswith("a `b` ``c`` <d> [e](f); org; ")


def test_a_hundred_data_sets_are_counted_not_listed() -> None:
    changed = full()
    datasets = [{"type": "dataset", "name": f"set {number}"} for number in range(99)]
    changed["components"][0]["modelCard"]["modelParameters"]["datasets"] = datasets
    assert _shown(items(form(changed))["Data provenance"][1]).endswith("set 11; and 88 more")  # with the component


@pytest.mark.parametrize("make", [full, foreign, lambda: boms.document(boms.build())])
def test_it_is_the_same_every_time(make: Any) -> None:
    assert form(make()) == form(make())


def test_it_says_which_bom_it_was_filled_in_from() -> None:
    text = gpai_form(b"abc", full())
    assert "SHA-256 `ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad`" in text
    assert "`mbom verify` does that" in text
