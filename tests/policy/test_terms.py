"""Licence expressions mean what another reader of them says."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from license_expression import LicenseWithExceptionSymbol, Licensing

from mbom.policy.terms import EXPRESSION_LIMIT, is_known, refused, unknown_licences

IDS = ("MIT", "Apache-2.0", "GPL-2.0-only", "LicenseRef-x", "AFL-1.1+")


def expressions() -> st.SearchStrategy[str]:
    names = st.one_of(st.sampled_from(IDS), st.just("GPL-2.0-only WITH Classpath-exception-2.0"))

    def joined(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        word = st.sampled_from([" AND ", " OR ", " and ", " or "])
        return st.builds(lambda a, how, b, c: f"{a}{how}({b}{how}{c})", inner, word, inner, inner) | st.builds(
            lambda a, first, b, second, c: f"{a}{first}{b}{second}{c}", names, word, names, word, names
        )

    return st.recursive(names, joined, max_leaves=6)


def fits(node: Any, allowed: Callable[[str], bool]) -> bool:
    """Return what the library's tree of an expression comes to."""
    if hasattr(node, "operator") and node.args:
        parts = [fits(part, allowed) for part in node.args]
        return any(parts) if node.operator.strip() == "OR" else all(parts)
    key = str(node.license_symbol.key) if isinstance(node, LicenseWithExceptionSymbol) else str(node.key)
    return allowed(key)


@settings(max_examples=200, deadline=None)
@given(expressions().filter(lambda text: len(text) <= EXPRESSION_LIMIT), st.sets(st.sampled_from(IDS)))
def test_an_expression_is_allowed_where_its_tree_says_so(expression: str, allow: set[str]) -> None:
    tree = Licensing().parse(expression)
    folded = {name.casefold() for name in allow}
    assert (refused(expression, sorted(allow), []) is None) == fits(tree, lambda key: key.casefold() in folded)
    assert (refused(expression, None, sorted(allow)) is None) == fits(tree, lambda key: key.casefold() not in folded)


@pytest.mark.parametrize(
    ("declared", "found"),
    [
        ("MIT", None),
        ("(mit)", None),
        ("MIT OR Zlib", None),
        ("Zlib OR ISC", "Zlib"),
        ("MIT AND (ISC OR Zlib)", "ISC"),
        ("MIT OR", "MIT OR"),
        ("OR MIT", "OR MIT"),
        ("MIT MIT", "MIT MIT"),
        ("(MIT", "(MIT"),
        ("MIT)", "MIT)"),
        ("MIT WITH", "MIT WITH"),
        ("MIT WITH (MIT)", "MIT WITH (MIT)"),
        ("()", "()"),
        ("MIT, MIT", "MIT, MIT"),
        ("MIT\nOR MIT", "MIT\nOR MIT"),
        ("house terms", "house terms"),
    ],
)
def test_what_refuses_is_named(declared: str, found: str | None) -> None:
    assert refused(declared, ["MIT"], []) == found


def test_a_denied_licence_is_denied_in_words_that_are_no_expression_too() -> None:
    for declared in ("MIT AND", "((MIT", "MIT " * 200, "Zlib, mit", "\u2028MIT"):
        assert refused(declared, None, ["MIT"]) is not None


@pytest.mark.parametrize(
    ("declared", "known"),
    [("mit", True), ("MIT OR Zlib", True), ("MIT OR house-terms", False), ("house terms", False), ("", False)],
)
def test_an_expression_is_known_when_each_of_its_licences_is(declared: str, *, known: bool) -> None:
    assert is_known(declared) is known


def test_an_id_is_known_by_the_list_of_spdx_and_by_the_table_of_texts() -> None:
    names = ["mit", "LicenseRef-scancode-llama-4-cla-2025", "Apache2", "qqqqqqqq", "GPL-2.0-only with Apache-2.0"]
    assert [near for _, near in unknown_licences(names)] == [None, None, "Apache-2.0", "", None]


@pytest.mark.parametrize("rider", ["LicenseRef-NonCommercial", "CC-BY-NC-4.0", "Commons-Clause"])
def test_what_is_no_exception_is_allowed_by_name_alone(rider: str) -> None:
    """Words behind a licence may take away what it grants."""
    declared = f"Apache-2.0 WITH {rider}"
    assert refused(declared, ["Apache-2.0"], []) == declared
    assert refused(declared, None, ["Apache-2.0"]) == declared
    assert refused(declared, [declared], []) is None
    assert refused("Apache-2.0 WITH LLVM-exception", ["Apache-2.0"], []) is None
