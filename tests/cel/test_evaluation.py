"""Expressions in CEL come to true or false within limits, and everything else is an error that says why."""

import re
import sys
import time
from typing import Any

import pytest

from mbom.cel import evaluation
from mbom.errors import UnavailableError

VARIABLES: dict[str, Any] = {
    "bom": {"params": {"active": 3_600_000_000, "total": None}, "text": "x" * 1000},
    "findings": [{"id": f"finding-{number}"} for number in range(100)],
    "changes": None,
}

TRUE = [
    "bom.params.active < 8e9",
    "bom.params.active == 3600000000",
    "findings.all(f, f.id.startsWith('finding-'))",
    "!findings.exists(f, f.id == 'x')",
    "changes == null || changes.identical",
    "findings.filter(f, f.id.endsWith('7')).size() == 10",
    "'x' in ['x']",
    "bom.text.matches('^x+$')",
]

# What no expression may come to, with words of the error.
ERRORS = {
    "bom.params.total < 8e9": "overload",  # not known
    "bom.params.missing < 8": "not found",
    "bom.params.active": "neither true nor false",
    "1 / 0 == 1": "zero",
    "9223372036854775807 + 1 > 0": "overflow",
    "findings[1000].id == 'x'": "index",
    "'" + "a" * 40 + "'.matches('(')": "regex|missing|paren|invalid",
}

# What cannot even be compiled.
MALFORMED = {
    "bom.": "syntax error",
    "nothing == 1": "undeclared reference to 'nothing'",
    "1 + 1": "of type INT",
    "'text'": "of type STRING",
    "size(1)": "no matching overload",
    "(" * 200 + "true" + ")" * 200: "recursion",
    "__import__('os').system('true') == 0": "undeclared reference",
}

HOSTILE = {
    "iterations of iterations": "findings.all(a, findings.all(b, findings.all(c, findings.all(d, true))))",
    "text that doubles": "['x'].map(a, [a + a].map(b, [b + b].map(c, [c + c].map(d, [d + d]))))" + ".size() == 2",
    "an expression that backtracks": "bom.text.matches('(x+x+)+y')",
    "copies of a long text": "findings.all(a, findings.all(b, (bom.text + bom.text + bom.text).size() > 0))",
    "a list of lists": "[findings, findings].map(a, [a, a, a].map(b, [b, b, b].map(c, [c, c, c]))).size() == 2",
}


def test_what_is_true_is_true_and_its_contrary_false() -> None:
    assert [item.value for item in evaluation.evaluate(TRUE, VARIABLES)] == [True] * len(TRUE)
    contrary = [f"!({text})" for text in TRUE]
    assert [item.value for item in evaluation.evaluate(contrary, VARIABLES)] == [False] * len(TRUE)


def test_what_has_no_value_is_an_error_that_says_why() -> None:
    for (text, words), outcome in zip(ERRORS.items(), evaluation.evaluate(list(ERRORS), VARIABLES), strict=True):
        assert outcome.value is None, text
        assert outcome.error is not None, text
        assert re.search(words, outcome.error.lower()), (text, outcome.error)


def test_what_cannot_be_compiled_is_told_before_there_is_a_model() -> None:
    found = evaluation.check(list(MALFORMED), list(VARIABLES))
    for (text, words), error in zip(MALFORMED.items(), found, strict=True):
        assert error is not None, text
        assert words.casefold() in error.casefold(), (text, error)
    assert evaluation.check(TRUE, list(VARIABLES)) == [None] * len(TRUE)


@pytest.mark.parametrize("name", HOSTILE)
def test_no_expression_runs_away(name: str) -> None:
    started = time.process_time()
    (outcome,) = evaluation.evaluate([HOSTILE[name]], VARIABLES)
    assert (outcome.value is None) == (outcome.error is not None)
    assert time.process_time() - started < 5  # of this process, which only waits


def test_one_error_leaves_the_other_expressions_their_values() -> None:
    found = evaluation.evaluate(["true", "1 / 0 == 1", "false"], VARIABLES)
    assert [item.value for item in found] == [True, None, False]


def test_a_process_that_dies_gives_no_value_to_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "_INSIDE", "antigravity_of_nobody")
    found = evaluation.evaluate(["true", "true"], VARIABLES)
    assert [item.value for item in found] == [None, None]
    assert all(item.error is not None and "rules process" in item.error for item in found)


def test_facts_that_are_too_many_give_no_value() -> None:
    (outcome,) = evaluation.evaluate(["true"], {"bom": "x" * (evaluation.VARIABLES_LIMIT + 1)})
    assert outcome.value is None


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cel_expr_python", None)
    with pytest.raises(UnavailableError, match=r"pip install 'mbom\[cel\]'"):
        evaluation.evaluate(["true"], VARIABLES)
