"""Patterns over names of models."""

import itertools
import re

import pytest

from mbom.policy.patterns import FORM, PATTERN_LIMIT, matches, weight


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("openai/*", "openai/gpt-oss-20b", True),
        ("openai/*", "OpenAI/gpt-oss-20b", True),
        ("openai/*", "openai/", True),
        ("openai/*", "openai-evil/gpt", False),
        ("openai*", "openai-evil", True),
        ("openai*", "openai/gpt", False),
        ("*", "openai/gpt", True),
        ("*", "x", True),
        ("*/*", "x", False),
        ("*/*", "a/b", True),
        ("**", "a/b", False),
        ("a/?", "a/b", True),
        ("a/?", "a/bc", False),
        ("a?b", "a/b", False),
        ("a.b", "axb", False),
        ("*-instruct", "evil/x-instruct", False),
        ("*/*-instruct", "meta/x-instruct", True),
        ("a/b", "a/b\n", False),
        ("a/*b*c", "a/xbxbc", True),
        ("a/*b*c", "a/xbcx", False),
    ],
)
def test_a_pattern_means_what_it_should(pattern: str, name: str, *, expected: bool) -> None:
    assert matches(pattern, name) is expected


def test_patterns_agree_with_a_slow_reader() -> None:
    def slow(pattern: str, name: str) -> bool:
        if not pattern:
            return not name
        if pattern[0] == "*":
            return slow(pattern[1:], name) or (bool(name) and name[0] != "/" and slow(pattern, name[1:]))
        return (
            bool(name)
            and (pattern[0] == name[0] or (pattern[0] == "?" and name[0] != "/"))
            and slow(pattern[1:], name[1:])
        )

    names = ["".join(letters) for size in range(1, 5) for letters in itertools.product("ab/", repeat=size)]
    for size in range(1, 5):
        for letters in itertools.product("a*?/", repeat=size):
            pattern = "".join(letters)
            for name in names:
                assert matches(pattern, name) == (pattern == "*" or slow(pattern, name)), (pattern, name)


def test_no_pattern_takes_long() -> None:
    assert not matches("a*" * (PATTERN_LIMIT // 2 - 1) + "b", "a" * 5000)
    assert not matches("?*" * (PATTERN_LIMIT // 2 - 1) + "b", "a" * 5000)


@pytest.mark.parametrize("pattern", ["a/[bc]", "a/{b,c}", "a/b/c", "/a", "a/", "", "a b", "../a b"])
def test_a_pattern_has_nothing_but_names_stars_and_question_marks(pattern: str) -> None:
    assert re.search(FORM, pattern) is None


def test_what_says_more_weighs_more() -> None:
    order = ["*", "a/*", "ab/*", "ab/c*", "ab/cd"]
    mixed = ["ab/c*", "*", "ab/cd", "a/*", "ab/*"]
    assert sorted(mixed, key=weight) == order
