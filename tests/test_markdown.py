"""Hostile text in Markdown: every reader sees text, and lists, tables and blocks keep their shape."""

import re
import unicodedata

import pytest
from hostiletexts import HOSTILE, outside_of_code

from mbom.markdown import SPAN_LIMIT, cell, fenced, prose, sentence, span

# What Markdown or GitHub would react to.
SIGNS = ("<", ">", "[", "]", "@", "#", "|", "*", "_", "~", "`", "\\", "&", "$", "://", "www.", "GH-")


@pytest.mark.parametrize("said", HOSTILE)
def test_a_span_is_one_line_and_nothing_of_it_is_outside(said: str) -> None:
    for shown in (span(said), cell(said)):
        assert outside_of_code(shown) == ""
        assert all(unicodedata.category(char)[0] != "C" for char in shown)
    assert "|" not in cell(f"{said} | {said}")


def test_a_span_is_no_longer_than_its_limit() -> None:
    assert span("x" * 10_000) == f"`{'x' * SPAN_LIMIT}`"


@pytest.mark.parametrize("said", HOSTILE)
def test_prose_means_nothing_but_itself(said: str) -> None:
    shown = prose(f"it says {said} here")
    assert "\n" not in shown
    assert all(unicodedata.category(char)[0] != "C" for char in shown)
    outside = outside_of_code(shown)
    for sign in SIGNS:
        assert sign not in outside, (sign, shown)


def test_words_stay_words() -> None:
    sentence = "the card declares Apache-2.0, MIT (monthly users); see `mbom diff`, and 1,024 of 50% don't."
    assert prose(sentence) == sentence
    assert prose("7fc3a1b and www.example.org, a_b") == "`7fc3a1b` and `www.example.org`, `a_b`"


def test_no_line_ends_the_block_of_a_diff() -> None:
    block = fenced(("+```", "-````", " x"))
    assert block.splitlines()[0] == "`````diff"
    assert block.splitlines()[-1] == "`````"


def test_words_alone_need_no_code_span() -> None:
    assert sentence("2 of 9 changed, by 3.1e-03 of its norm.") == "2 of 9 changed, by 3.1e-03 of its norm."
    assert sentence("rope theta: 150000 → 200000") == "rope theta: 150000 → 200000"
    assert sentence("1. a list") == "`1. a list`"
    assert sentence("www.example.com") == "`www.example.com`"
    assert sentence("# 5") == "`# 5`"
    assert sentence("see GH-1") == "`see GH-1`"
    assert sentence("a :smile: b") == "`a :smile: b`"


@pytest.mark.parametrize("said", HOSTILE)
def test_a_sentence_means_nothing_but_itself(said: str) -> None:
    for shown in (sentence(said), sentence(f"it says {said} here", cell)):
        outside = outside_of_code(shown)
        assert not [sign for sign in SIGNS if sign in outside]
        assert not re.match(r"\d+[.)]", outside)
