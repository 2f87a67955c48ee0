import time

import pytest

from mbom.errors import FormatError
from mbom.facts.licences.text import TEXT_LIMIT, digest, phrase, words_of

PLAIN = "MIT License\n\nPermission is granted to use, copy and modify."


def words(text: str) -> str:
    return " ".join(words_of(text.encode()).words)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("“Agreement” — the ﬁrst non-transferable", "agreement the first non transferable"),
        ("1\\. **License Rights**.", "license rights"),
        ("(a) grant b. copy (iv) move 2.1. hold 12) keep", "grant copy move hold keep"),
        ("Llama 3.1 and version 2.0 and section 5(a)", "llama 3 1 and version 2 0 and section 5 a"),
        ("see [the policy](https://example.org/a_b) there", "see the policy there"),
        ("<p>one</p> <b>two</b> <https://example.org> <name of owner>", "one two https example org name of owner"),
        ("> quoted\n> lines", "quoted lines"),
        ("Open RAIL++-M and Open RAIL-M", "open railplusplus m and open rail m"),
        ("Copyright (c) 2026 A, B and C. All rights reserved.\nthe rest", "the rest"),
        ("© 2026 A\n(c) 2026 B\n# Copyright 2026 C\n", ""),
        ("Copyright [yyyy] [name of copyright owner]", ""),
        ("before\n\nCopyright Some Company\n\nafter", "before after"),
    ],
)
def test_what_counts_as_the_words_of_a_text(text: str, expected: str) -> None:
    assert words(text) == expected


@pytest.mark.parametrize(
    "line",
    [
        "(c) You must retain all notices.",  # an item of a list, not a sign
        "Copyright 2026 A. Not for commercial use.",
        "Copyright (c) 2026 A, who may end this at any time",
        "Copyright treaty of December 20, 1996",
        "Copyright 2026 " + "and so on " * 10,
        'Copyright (c) Meta Platforms, Inc. All Rights Reserved."\nfollows at once',
    ],
)
def test_a_condition_cannot_hide_in_a_copyright_line(line: str) -> None:
    assert words(f"first\n{line}") != "first"


def test_every_word_has_its_line() -> None:
    found = words_of(b"one two\r\n\r\nthree\rfour\n")
    assert list(zip(found.words, found.lines, strict=True)) == [("one", 1), ("two", 1), ("three", 3), ("four", 4)]


def test_a_phrase_is_found_as_whole_words_over_line_breaks() -> None:
    joined = words_of(b"monthly active\n   users").joined
    assert phrase("Monthly “active” users") in joined
    assert phrase("active user") not in joined


def test_utf_16_is_read_where_it_is_marked() -> None:
    assert words_of(PLAIN.encode("utf-16")).words == words_of(PLAIN.encode()).words


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"License\xff", "not a text in UTF-8 at byte 7"),
        (b"%PDF-1.7\x00\xe2\xe3", "not a text in UTF-8"),
        (b"\xff\xfea", "not a text in UTF-16"),
        (b"a" * (TEXT_LIMIT + 1), f"the longest licence text that is read has {TEXT_LIMIT}"),
    ],
)
def test_what_is_no_text_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        words_of(data)


def test_a_digest_is_of_words_joined_by_spaces() -> None:
    assert digest(["a", "b"]) == "c8687a08aa5d6ed2044328fa6a697ab8e96dc34291e8c2034ae8c38e6fcc6d65"
    assert digest(["a", "b"]) != digest(["ab"])


@pytest.mark.parametrize("unit", ["a ", "[", "[a](", "<a", "*", "copyright 2026 ", "(c)", "\n", "(i)"])
def test_time_grows_with_the_length_and_not_faster(unit: str) -> None:
    def seconds(size: int) -> float:
        data = (unit * (size // len(unit))).encode()
        began = time.process_time()
        words_of(data)
        return time.process_time() - began

    seconds(1000)  # warm
    assert seconds(800_000) < 40 * max(seconds(100_000), 0.005)
