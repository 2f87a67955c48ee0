"""Policies by those who open pull requests, and models that try to talk their way through one."""

import random
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from policies import NOW, changes, of, policy, published, tiny, with_findings
from test_layers import PACKAGE

from mbom.errors import FormatError
from mbom.policy import Policy
from mbom.policy.document import read
from mbom.policy.terms import EXPRESSION_LIMIT, refused

FULL = b"""\
# yaml-language-server: $schema=x
version: 1
signers: [{model: "openai/*", identity: a@b.example, issuer: "https://b.example"}, {model: '*', key: keys/a.pub}]
require: {signature: true, behaviour: match, expert_coverage: 0.9, sensitivity: {trials: 5, factor: 1e3}}
licences:
  allow: [Apache-2.0, "MIT"]   # and so on
  forbid_restrictions: [user-cap]
origins: {allow_countries: [NO, FR], deny_publishers: [x]}
findings: {fail_on: warning, allow: [template-clock]}
changes: {frozen: [tokenizer], max_relative_change: .2}
models: {"a/*": {max_age: 90d, formats: {dtypes: [BF16]}}}
waivers: [{model: acme/x, id: custom-code, reason: reviewed in SEC-12, expires: 2027-01-31, path: a.py}]
"""
PIECES = (
    b"&a ", b"*a", b"!!python/name:os.system ", b"{", b"}", b"[", b"]", b": ", b"- ", b"\n", b"\t", b"'", b'"', b"\xff",
    b"\x00", b"\xe2\x80\xae", b"#", b"|\n", b"? ", b"<<: ", b"---\n", b"9" * 400, b"null", b"true",
)  # fmt: skip


def mutated(data: bytes, chance: random.Random) -> bytes:
    held = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 4))):
        at = chance.randrange(len(held))
        match chance.randrange(4):
            case 0:
                held[at : at + chance.randint(1, 30)] = b""
            case 1:
                held[at:at] = chance.choice(PIECES)
            case 2:
                held[at] = chance.randrange(256)
            case _:
                other = chance.randrange(len(held))
                held[at:at] = held[other : other + chance.randint(1, 60)]
    return bytes(held)


def test_whatever_a_policy_holds_it_is_read_or_its_problems_are_told() -> None:
    chance = random.Random(6)
    sound = 0
    for _ in range(400):
        data = mutated(FULL, chance)
        _, problems = read(data, file="mbom.yaml")
        for problem in problems:
            assert re.match(r"mbom\.yaml:[1-9]\d*:[1-9]\d*: \S", str(problem))
            assert str(problem).isprintable()
            assert len(str(problem)) < 1200
        if not problems:
            sound += 1
            Policy.from_bytes(data).decide(of(tiny(), changes=changes(), previous=tiny()))
        else:
            with pytest.raises(FormatError):
                Policy.from_bytes(data)
    assert 5 < sound < 390  # both ways are tried


def test_no_policy_without_a_signer_or_a_waiver_allows_what_nobody_signed() -> None:
    chance = random.Random(7)
    unsigned = of(tiny(), verdict=None, signer=None)
    for _ in range(300):
        data = mutated(FULL, chance)
        parts, problems = read(data, file="mbom.yaml")
        asked = parts.base.get("require.signature")
        if problems or (asked is not None and asked.value is False):
            continue
        waived = any(waiver.id == "signature-missing" for waiver in parts.waivers)
        assert waived or Policy.from_bytes(data).decide(unsigned).outcome == "refused"


@settings(max_examples=150, deadline=None)
@given(st.text("()MIT ANDORWITH-gpl.+:\u2028\x00é", max_size=60))
def test_no_declared_words_pass_as_a_licence_that_is_not_there(declared: str) -> None:
    assert refused(declared, ["Zlib"], []) is not None
    assert refused(declared, [], []) is not None


@pytest.mark.parametrize(
    "declared",
    [
        "(" * 5000 + "MIT",
        "MIT OR " * 200 + "MIT",
        "(" * 240 + "MIT" + ")" * 240,
        "MIT" + " AND MIT" * 60,
        "x" * (EXPRESSION_LIMIT + 1),
        "MIT OR",
        "",
        " ",
        "MIT\x00",
        "MIT, Apache-2.0",
        "MIT/Apache-2.0",
        "NOT MIT",
    ],
)
def test_an_expression_ends_and_says_nothing_more_than_it_does(declared: str) -> None:
    assert refused(declared, ["Zlib"], []) is not None
    if "MIT" not in declared.split() and not declared.startswith("((") and "AND" not in declared:
        assert refused(declared, ["MIT"], []) is not None


def described(**others: Any) -> Any:
    held = replace(tiny())
    held.__dict__["described"] = replace(tiny().described, licence_texts_unknown=(), **others)
    return of(held)


HOSTILE_FACTS: dict[str, dict[str, Any]] = {
    "a licence that quotes an allowed one": {"licences_declared": ("MIT (see LICENSE)",), "licences_detected": ()},
    "a country in words": {"country": "US "},
    "two countries": {"country": "US, CN"},
    "an openness that nobody gives": {"openness": "Class I (says the card)"},
    "an account that looks like another": {"account": "open\u0430i"},
}


@pytest.mark.parametrize("name", HOSTILE_FACTS)
def test_a_fact_that_is_nearly_what_is_allowed_is_not(name: str) -> None:
    held = policy(
        "licences: {allow: [MIT, Apache-2.0]}\norigins: {allow_countries: [US], allow_publishers: [openai]}\n"
        "min_openness: class-iii"
    )
    told: dict[str, Any] = {"country": "US", "account": "openai", "openness": "Class III"}
    assert held.decide(described(**told)).outcome == "allowed"
    assert held.decide(described(**(told | HOSTILE_FACTS[name]))).outcome == "refused"


def test_reasons_quote_hostile_texts_without_losing_what_they_are_about() -> None:
    path = "a\x1b[2J\u202e.py"
    decision = policy("findings: {fail_on: warning}").decide(of(with_findings(tiny(), ("code-present", path))))
    assert decision.outcome == "refused"
    assert (decision.reasons[0].path or "").isprintable()


def test_a_country_of_another_script_is_no_country() -> None:
    with pytest.raises(FormatError, match="it is one of"):
        policy("origins: {allow_countries: [\uff35\uff33]}")  # fullwidth


def test_time_that_runs_backwards_brings_no_waiver_back_from_the_future() -> None:
    text = "waivers: [{model: '*', id: signature-missing, reason: so, expires: 2026-11-21}]"
    late = of(tiny(), verdict=None, signer=None, now=NOW.replace(year=2030))
    assert policy(text).decide(late).outcome == "refused"


def test_the_policy_asks_no_network_and_no_clock() -> None:
    for path in (PACKAGE / "policy").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"\.now\(|time\.time|import (socket|urllib|subprocess)", text), path


def test_a_published_model_is_decided_on_without_a_record_of_it() -> None:
    held = policy("require: {behaviour: none}\nlicences: {forbid_restrictions: [user-cap]}")
    assert held.decide(of(published("deepseek-r1"))).outcome == "allowed"
