"""The summary in Markdown: the same facts, and hostile text is text to every reader of Markdown."""

import re
from dataclasses import replace

import pytest
import reports
from hostiletexts import outside_of_code
from reportpages import pages

from mbom.report import markdown, of_changes

NAMES = ("model", "large model", "hostile model", "diff", "hostile diff")


@pytest.mark.parametrize("name", NAMES)
def test_nothing_hostile_is_outside_of_a_code_span(name: str) -> None:
    lines = [outside_of_code(line) for line in markdown(pages()[name]).splitlines()]
    rest = "\n".join(lines).replace("<br>", " ")
    assert not set(rest) & set("<>&@`\\{}")
    assert not re.search(r"javascript|onerror|evil", rest)
    assert not re.search(r"(?<!\()https?:", rest)
    assert all(re.match(r"(#{2,3} |- |\||\*\*|$)", line) or line[0].isalnum() for line in lines)


@pytest.mark.parametrize("name", NAMES)
def test_a_table_has_the_same_cells_in_every_row(name: str) -> None:
    tables = re.findall(r"(?:^\|.*\n)+", markdown(pages()[name]), re.MULTILINE)
    assert tables
    for table in tables:
        assert len({line.count("|") for line in table.splitlines()}) == 1


@pytest.mark.parametrize("title", ["GH-1", "fixes gh-12", "www.example.org"])
def test_no_name_becomes_a_link_of_the_forge(title: str) -> None:
    page = replace(pages()["diff"], title=title)
    assert markdown(page).startswith(f"## What changed: `{title}`\n")


def test_the_summary_has_the_facts_of_the_page() -> None:
    shown = markdown(pages()["diff"])
    assert shown.startswith("## What changed: example/seven\n")
    assert "**⚠️ Nothing was verified**" in shown
    assert "- Weights: 29 of 460 changed" in shown
    assert "| user-cap | ❌ new | Above a number of users" in shown
    assert "| lora-merge<br>a low-rank adapter merged into some modules | ✅ explained |" in shown


def test_a_summary_is_short() -> None:
    for name in ("model", "diff", "large model"):
        assert len(markdown(pages()[name])) < 20_000
    hostile = of_changes(reports.changes(reports.LONG), reports.hostile(reports.LONG))
    assert len(markdown(hostile)) < 200_000
