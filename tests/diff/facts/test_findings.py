"""Findings that are new or gone, and those that merely moved."""

import pytest
from diffing import listed

from mbom.diff import diff
from mbom.inventory import Finding
from mbom.inventory.findings import finding, ordered

Findings = list[Finding]


def trigger(detail: str, path: str = "a.jinja") -> Finding:
    return finding("template-trigger", path, detail)


CASES: dict[str, tuple[Findings, Findings, int, int]] = {
    "the same": ([trigger("x (line 3)")], [trigger("x (line 3)")], 0, 0),
    "a new one": ([], [trigger("x (line 3)")], 1, 0),
    "one that is gone": ([trigger("x (line 3)")], [], 0, 1),
    "some lines further down": ([trigger("x (line 3)")], [trigger("x (line 14)")], 0, 0),
    "several lines further down": ([trigger("x (lines 3, 9)")], [trigger("x (lines 4, 10)")], 0, 0),
    "one line more": ([trigger("x (line 3)")], [trigger("x (lines 3, 9)")], 1, 1),
    "another phrase in the same line": ([trigger("'x' (line 3)")], [trigger("'y' (line 3)")], 1, 1),
    "a second one of a kind": ([trigger("x (line 3)")], [trigger("x (line 3)"), trigger("x (line 9)")], 1, 0),
    "another file": ([trigger("x", "a.jinja")], [trigger("x", "b.jinja")], 1, 1),
    "another number that is no line": ([trigger("5 tokens")], [trigger("6 tokens")], 1, 1),
    "a place in a text": ([trigger("README.md:3 says x")], [trigger("README.md:8 says x")], 0, 0),
}


@pytest.mark.parametrize("case", CASES)
def test_findings_are_new_gone_or_moved(case: str) -> None:
    old, new, came, gone = CASES[case]
    for sides, expected in (((old, new), (came, gone)), ((new, old), (gone, came))):
        changes = diff(*(listed(findings=ordered(found)) for found in sides))
        assert (len(changes.findings_new), len(changes.findings_gone)) == expected


def test_a_finding_about_a_file_of_another_name_is_not_new() -> None:
    old = listed(files={"a.jinja": "text"}, findings=[trigger("x (line 3)", "a.jinja")])
    new = listed(files={"b.jinja": "text"}, findings=[trigger("x (line 3)", "b.jinja")])
    changes = diff(old, new)
    assert (changes.findings_new, changes.findings_gone) == ((), ())
    other = listed(files={"b.jinja": "longer"}, findings=[trigger("x (line 3)", "b.jinja")])
    assert len(diff(old, other).findings_new) == 1


def test_what_is_new_is_named_as_it_is_and_in_order() -> None:
    new = ordered([trigger("b (line 2)", "b.jinja"), trigger("a (line 1)", "a.jinja")])
    assert diff(listed(), listed(findings=new)).findings_new == new


def test_a_hundred_thousand_findings_are_compared_in_one_go() -> None:
    old = ordered(trigger(f"line {number} holds {number % 7}") for number in range(50_000))
    new = ordered(trigger(f"line {number + 1} holds {number % 7}") for number in range(50_000))
    changes = diff(listed(findings=old), listed(findings=new))
    assert (changes.findings_new, changes.findings_gone) == ((), ())
