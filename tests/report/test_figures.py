"""Numbers and texts as a report writes them."""

import math

import pytest

from mbom.report import figures


@pytest.mark.parametrize(
    ("number", "words"),
    [(0, "0"), (99_999, "99,999"), (847_904, "848 thousand"), (20_900_000_000, "20.9 billion"),
     (116_829_156_672, "117 billion"), (10**12, "1.00 trillion"), (10**17, "100,000 trillion")],
)  # fmt: skip
def test_large_numbers_are_words(number: int, words: str) -> None:
    assert figures.count(number) == words


def test_a_share_never_looks_like_none_or_all_unless_it_is() -> None:
    shares = [figures.share(part, 10_000) for part in (0, 1, 10, 5_000, 9_999, 10_000)]
    assert shares == ["0 %", "under 0.1 %", "0.1 %", "50.0 %", "over 99.9 %", "100 %"]
    assert figures.share(1, 0) == "–"


def test_a_change_has_its_error_where_it_is_an_estimate() -> None:
    assert figures.relative(0.00312) == "0.00312"
    assert figures.relative(0.022249, 0.00912) == "0.0222 ± 0.0091"
    assert figures.relative(1.5, 0.25) == "1.50 ± 0.25"
    assert figures.relative(3.12e-7, 4e-8) == "3.1e-07 ± 4.0e-08"
    assert figures.relative(0.5, math.inf) == "about 0.5"
    assert figures.relative(math.inf) == "beyond measure (it was all zero)"


def test_runs_of_numbers_are_joined() -> None:
    assert figures.ranges([0, 1, 2, 5, 7, 8]) == "0–2, 5, 7–8"
    assert figures.ranges([]) == ""


def test_a_text_is_one_visible_line_of_bounded_length() -> None:
    assert figures.plain("a\nb\N{RIGHT-TO-LEFT OVERRIDE}") == r"a\nb\u202e"
    assert figures.plain("x" * 1_000) == "x" * figures.TEXT_LIMIT + "… (1,000 characters)"
