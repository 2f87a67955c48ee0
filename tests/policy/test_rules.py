"""A policy's own rules, and the variables that they speak of."""

import json
import sys
from typing import Any

import policies
import pytest
from policies import SHAPE, changes, of, policy, published, tiny, weights

from mbom.diff.changes import Explanation, FieldChange, TokenizerChange
from mbom.errors import FormatError, UnavailableError
from mbom.policy import Policy
from mbom.policy.variables import NAMES, variables


def rule(cel: str, more: str = "") -> str:
    return f'rules: [{{name: Our own rule, cel: "{cel}"{more}}}]'


# What rules of the fixture come to; None where they are met.
RULES = {
    "bom.params.active < 8e9": None,
    "bom.params.total > 1e9": "refuse",
    "changes.identical": "missing",
    "changes == null": None,
    "bom.origin.country == 'US'": "missing",
    "bom.origin.country != 'XX'": "missing",
    "!(bom.origin.country in ['XX', 'YY'])": "missing",
    "bom.origin.country != null && bom.origin.country != 'XX'": "refuse",
    "bom.origin.country == null || bom.origin.country != 'XX'": None,
    "!has(bom.origin.country)": None,
    "bom.openness < 3": "missing",
    "record.experts_reached == record.experts": None,
    "findings.all(f, f.severity != 'error')": None,
    "verdict.outcome == 'verified' && verdict.checks['bom'] == 'PASS'": None,
    "timestamp(now) - timestamp(model.attested) < duration('720h')": None,
    "model.dtypes.all(d, d in ['BF16', 'U8'])": None,
    "bom.licences.detected.exists(l, l.id == 'Apache-2.0' && l.match == 'exact')": None,
    "int(bom.architecture['layers'][0]) == 4": None,
}


def test_a_rule_that_is_not_true_refuses() -> None:
    lines = [f"- {{name: rule {number}, cel: {json.dumps(cel)}}}" for number, cel in enumerate(RULES)]
    reasons = policy("\n".join(["rules:", *lines])).decide(of(tiny())).reasons
    assert {reason.id: reason.outcome for reason in reasons} == {
        f"rule-rule-{number}": outcome for number, outcome in enumerate(RULES.values()) if outcome is not None
    }
    for reason in reasons:
        assert reason.place is not None
        assert reason.place.line == 3 + int(reason.id.rpartition("-")[2])
        assert reason.outcome == "refuse" or "could not be evaluated: " in reason.sentence


def test_a_rule_has_words_of_its_own_and_can_be_waived() -> None:
    text = rule("false", ", message: Ask the platform team.")
    assert policy(text).decide(of(tiny())).reasons[0].sentence == "Ask the platform team."
    waived = f"{text}\nwaivers: [{{model: '*', id: rule-our-own-rule, reason: so, expires: 2027-01-01}}]"
    assert policy(waived).decide(of(tiny())).outcome == "allowed"


def test_a_rule_that_is_no_expression_is_a_problem_with_its_place() -> None:
    with pytest.raises(FormatError, match=r"^mbom\.yaml:2:35: the rule 'Our own rule' is no expression in CEL: "):
        policy(rule("bom."))
    with pytest.raises(FormatError, match=r"in CEL: 1:12: undeclared reference to 'bomb\.params\.active'"):
        policy(rule("bomb.params.active < 1"))


def test_without_the_extra_a_policy_with_rules_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cel_expr_python", None)
    with pytest.raises(UnavailableError, match=r"pip install 'mbom\[cel\]'"):
        policy(rule("true"))
    assert Policy.from_bytes(b"version: 1").rules == ()


# ---- the shape of the variables ----


def shape(value: Any, path: str = "") -> set[str]:
    """Return the ways to every member of a value, with lists and named things left open."""
    if isinstance(value, dict) and path not in OPEN:
        return {path} | {inner for name, item in value.items() for inner in shape(item, f"{path}.{name}".strip("."))}
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return {path} | {inner for item in value for inner in shape(item, f"{path}[]")} - {f"{path}[]"}
    return {path}


OPEN = ("verdict.checks", "bom.architecture", "bom.tokenizer", "bom.properties", "changes.tensors")


def everything() -> list[dict[str, Any]]:
    full = changes(
        fields=(FieldChange(section="config", name="x", old=1, new=2),),
        explanations=(
            Explanation(id="lora-merge", outcome="explained", sentence="", weights=1, names=(), residual=None),
        ),
        tokenizer=TokenizerChange(added=1, moved=0, removed=0, listed=()),
        weights=weights(0.1),
        behaviour=policies.answers(0.1, 0.9),
    )
    endless = changes(weights=weights(float("inf")), behaviour=policies.answers(float("nan"), 1))
    cases = [
        of(tiny(), changes=endless),
        of(tiny(), changes=full, previous=tiny()),
        of(published("llama-4-scout")),
        of(published("deepseek-r1")),
    ]
    return [variables(case) for case in cases]


def test_the_shape_of_the_variables_is_fixed() -> None:
    found = {path for held in everything() for path in shape(held)} - {""}
    missing = {path for path in SHAPE.split() if path.startswith("bom.ancestors[]")}  # no model of these names one
    assert found | missing == set(SHAPE.split())
    for held in everything():
        assert tuple(held) == NAMES


def test_variables_are_what_json_carries() -> None:
    for held in everything():
        assert json.loads(json.dumps(held, allow_nan=False)) == held
