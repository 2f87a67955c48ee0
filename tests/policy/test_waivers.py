"""Waivers count before the decision, for their model, their id and their file, until their last day."""

from datetime import timedelta, timezone

import policies
import pytest
from policies import NOW, checked, of, policy, tiny, with_findings

from mbom.policy import Reason

TWO = with_findings(tiny(), ("code-present", "a.py"), ("code-present", "b.py"))


def waiver(model: str = '"*"', *, name: str = "code-present", expires: str = "2026-11-21", path: str = "") -> str:
    about = f", path: {path}" if path else ""
    entry = f"{{model: {model}, id: {name}, reason: reviewed in SEC-12, expires: {expires}{about}}}"
    return f"findings: {{forbid: [code-present]}}\nwaivers: [{entry}]"


def test_a_waiver_in_force_allows_and_is_listed_with_its_reason() -> None:
    decision = policy(waiver()).decide(of(TWO))
    assert decision.outcome == "allowed"
    assert [(reason.outcome, reason.path, reason.waiver) for reason in decision.reasons] == [
        ("waived", "a.py", "reviewed in SEC-12"),
        ("waived", "b.py", "reviewed in SEC-12"),
    ]


def test_a_waiver_of_one_file_covers_no_other() -> None:
    decision = policy(waiver(path="a.py")).decide(of(TWO))
    assert [(reason.outcome, reason.path) for reason in decision.reasons] == [("waived", "a.py"), ("refuse", "b.py")]


@pytest.mark.parametrize("model", ["other", "acme/*", '"?"'])
def test_a_waiver_for_other_models_does_not_count(model: str) -> None:
    assert policy(waiver(model)).decide(of(TWO)).outcome == "refused"


def test_an_expired_waiver_says_since_when_and_waives_nothing() -> None:
    decision = policy(waiver(expires="2026-11-20")).decide(of(TWO))
    assert decision.outcome == "refused"
    assert decision.reasons[0].sentence.endswith("(a waiver for this expired with 2026-11-20)")
    note = decision.reasons[-1]
    assert (note.id, note.outcome) == ("waiver-expired", "note")
    assert note.place is not None
    assert note.place.line == 3


def test_of_two_waivers_the_one_in_force_counts() -> None:
    text = waiver(expires="2026-11-20").removesuffix("]") + (
        ", {model: tiny-gpt-oss, id: code-present, reason: again, expires: 2026-12-31}]"
    )
    assert {reason.waiver for reason in policy(text).decide(of(TWO)).reasons} == {"again", None}
    assert policy(text).decide(of(TWO)).outcome == "allowed"


def test_the_last_day_is_whole_and_in_utc() -> None:
    text = waiver(expires="2026-11-21")
    end = NOW.replace(hour=23, minute=59)
    assert policy(text).decide(of(TWO, now=end)).outcome == "allowed"
    assert policy(text).decide(of(TWO, now=end + timedelta(minutes=1))).outcome == "refused"
    east = end.astimezone(timezone(timedelta(hours=14)))  # where it is tomorrow already
    assert policy(text).decide(of(TWO, now=east)).outcome == "allowed"


def test_a_waiver_with_nothing_to_waive_is_a_note_where_it_names_one_model() -> None:
    for model, notes in (("tiny-gpt-oss", ["waiver-unused"]), ('"tiny*"', [])):
        decision = policy(waiver(model)).decide(of(with_findings(tiny())))
        assert decision.outcome == "allowed"
        assert [reason.id for reason in decision.reasons] == notes


def test_what_is_missing_can_be_waived_as_well() -> None:
    text = waiver(name="signature-missing")
    assert policy(text).decide(of(with_findings(tiny()), verdict=None, signer=None)).outcome == "allowed"


def test_no_waiver_allows_a_verification_that_failed() -> None:
    held = policy(waiver(name="signature-missing"))
    decision = held.decide(of(with_findings(tiny()), verdict=checked(signature="FAIL")))
    assert decision.outcome == "refused"
    assert [reason.id for reason in decision.reasons if reason.refuses] == ["verification-failed"]


def test_a_finding_and_a_reason_about_it_are_waived_apart() -> None:
    text = "findings: {fail_on: warning}\nformats: {code: refuse}\n" + waiver().partition("\n")[2]
    left = [reason.id for reason in policy(text).decide(of(TWO)).reasons if reason.refuses]
    assert left == ["custom-code", "custom-code"]


CHANGED = Reason(id="changed-in-place", outcome="refuse", sentence="the same commit, other files")


def test_what_the_gate_adds_is_waived_by_its_id_alone() -> None:
    case = of(with_findings(tiny()))
    assert policy().settle([CHANGED], case).outcome == "refused"
    assert policy("findings: {fail_on: none}").settle([CHANGED], case).outcome == "refused"
    decision = policy(waiver(name="changed-in-place")).settle([CHANGED], case)
    assert decision.outcome == "allowed"
    assert decision.reasons[0].waiver == "reviewed in SEC-12"


def test_waivers_are_held_against_the_name_and_the_repository() -> None:
    case = of(policies.published("llama-4-scout"), model="ours")
    entry = "{model: meta-llama/*, id: country-not-allowed, reason: so, expires: 2027-01-01}"
    text = f"origins: {{deny_countries: [US]}}\nwaivers: [{entry}]"
    assert policy(text).decide(case).outcome == "allowed"
