"""What readers get of a review: valid in each format, and nothing hostile acts in any of them."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hostiletexts import HOSTILE, outside_of_code

from mbom.gate import Gated, Pin, PolicyUsed, Review
from mbom.gate.outputs import annotations, markdown, sarif, table
from mbom.gate.outputs.annotations import LIMIT as ANNOTATIONS_LIMIT
from mbom.gate.outputs.markdown import LIMIT
from mbom.gate.outputs.sarif import FINGERPRINT, text
from mbom.gate.reasons import MEANINGS, meaning
from mbom.inventory.findings import KINDS
from mbom.policy import Decision, Place, Reason
from mbom.policy.reasons import REASONS

OFFICIAL = json.loads((Path(__file__).parent / "schemas" / "sarif-schema-2.1.0.json").read_bytes())


def gated(number: int = 0, *reasons: Reason, model: str = "acme/tiny", unclear: str | None = None) -> Gated:
    pin = Pin(source=model, revision="1" * 40, digest="a" * 64, bundle="tiny.mbom", bundle_digest="b" * 64)
    return Gated(
        model=model,
        kinds=("upgraded",),
        old=pin,
        new=replace(pin, revision="2" * 40),
        line=6 + 14 * number,
        case=None,
        decision=Decision(model=model, reasons=reasons, could_not_check=unclear),
    )


def review(*models: Gated, **members: Any) -> Review:
    given = {
        "gated": models,
        "unchanged": 2,
        "lock": "sub dir/mbom.lock",
        "old": "mbom.lock in 1111",
        "new": "2222",
        "policy": PolicyUsed(file="mbom.yaml", source="base", sha256="c" * 64),
    }
    return Review(**{**given, **members})


def refusal(sentence: str = "it is not allowed", **members: Any) -> Reason:
    given = {
        "id": "licence-not-allowed",
        "outcome": "refuse",
        "sentence": sentence,
        "action": "ask somebody",
        "place": Place(file="mbom.yaml", line=3),
    }
    return Reason(**{**given, **members})


def hostile() -> Review:
    """Return a review in which everything that can be somebody else's is hostile."""
    models = [
        gated(
            number,
            refusal(said, path=said, action=said, waiver=said if number % 2 else None),
            refusal(said, outcome="waived", waiver=said),
            refusal(said, outcome="note", id="template-clock"),
            model=said,
            unclear=said,
        )
        for number, said in enumerate(HOSTILE)
    ]
    return review(*models, notes=HOSTILE, lock="mbom,a:b%0A.lock")


def results(found: Review) -> list[dict[str, Any]]:
    log: Any = sarif(found)
    kept: list[dict[str, Any]] = log["runs"][0]["results"]
    return kept


EVERY = review(
    gated(0, refusal(), refusal(id="custom", outcome="missing", place=None, path="a b.json")),
    gated(1, refusal(outcome="waived", waiver="seen"), refusal(outcome="note"), model="acme/two"),
    gated(2, model="acme/three", unclear="there is no bundle"),
    notes=("mbom.yaml changes too",),
)


# ---- SARIF ----


@pytest.mark.parametrize("found", [EVERY, hostile(), review(), review(gated(0, refusal()), lock=None)])
def test_sarif_is_what_the_standard_says(found: Review) -> None:
    log = json.loads(json.dumps(sarif(found), ensure_ascii=False).encode("utf-8", "backslashreplace"))
    jsonschema.Draft4Validator.check_schema(OFFICIAL)
    problems = list(jsonschema.Draft4Validator(OFFICIAL).iter_errors(log))
    assert not problems, problems[0].message


def test_the_validator_is_looking() -> None:
    log: Any = sarif(EVERY)
    log["runs"][0]["results"][0]["level"] = "fatal"
    assert not jsonschema.Draft4Validator(OFFICIAL).is_valid(log)


def test_a_result_stands_at_the_line_of_the_lock_file_and_names_the_rule() -> None:
    first = results(EVERY)[0]
    place = first["locations"][0]["physicalLocation"]
    assert place["artifactLocation"] == {"uri": "sub%20dir/mbom.lock", "uriBaseId": "%SRCROOT%"}
    assert place["region"] == {"startLine": 6}
    rule = first["relatedLocations"][0]["physicalLocation"]
    assert (rule["artifactLocation"]["uri"], rule["region"]["startLine"]) == ("mbom.yaml", 3)


def test_only_what_is_to_be_mended_is_an_alert_and_a_waived_one_is_suppressed() -> None:
    found = results(EVERY)
    assert [item["ruleId"] for item in found] == [
        "licence-not-allowed",
        "custom",
        "licence-not-allowed",
        "could-not-check",
    ]
    assert [item["level"] for item in found] == ["error", "error", "note", "error"]
    assert [len(item.get("suppressions", [])) for item in found] == [0, 0, 1, 0]


def test_every_rule_is_declared_where_its_index_says() -> None:
    log: Any = sarif(EVERY)
    rules = log["runs"][0]["tool"]["driver"]["rules"]
    assert all(rules[item["ruleIndex"]]["id"] == item["ruleId"] for item in results(EVERY))
    assert all(rule["help"]["text"] for rule in rules)


def test_a_fingerprint_outlives_lines_digests_and_words() -> None:
    def prints(found: Review) -> list[str]:
        return [item["partialFingerprints"][FINGERPRINT] for item in results(found)]

    before = review(gated(0, refusal("one licence"), refusal("another"), refusal(path="LICENSE")))
    after = review(gated(5, refusal("one more"), refusal("and another"), refusal(path="LICENSE")), new="9999")
    assert prints(before) == prints(after)
    assert len(set(prints(before))) == 3
    assert prints(review(gated(0, refusal(), model="acme/other"))) != prints(review(gated(0, refusal())))


def test_text_is_no_link_and_no_placeholder() -> None:
    assert text("[click](https://evil.example) {0} \\[a]") == r"\[click\](https://evil.example) {{0}} \\\[a\]"


def test_every_id_means_something() -> None:
    for kind in (*MEANINGS, *REASONS, *KINDS, "rule-small-active-set"):
        assert meaning(kind).endswith(".")
    assert not MEANINGS.keys() & (REASONS.keys() | KINDS.keys())


# ---- annotations ----


def test_an_annotation_is_what_the_runner_reads() -> None:
    assert annotations(review(gated(0, refusal("50% of a, b: c\nd"))))[0] == (
        "::error file=sub dir/mbom.lock,line=6,title=acme/tiny%3A licence-not-allowed"
        "::50%25 of a, b: c%0Aask somebody%0ARule: mbom.yaml:3".replace("c%0Aask", "c%0Ad%0Aask")
    )


def parsed(line: str) -> tuple[str, dict[str, str], str]:
    """Read a command as ``ActionCommand.TryParseV2`` of the runner does."""
    assert line.startswith("::")
    end = line.index("::", 2)
    name, _, rest = line[2:end].partition(" ")
    properties = dict(item.split("=", 1) for item in rest.split(",") if item)

    def unescaped(value: str, *, prop: bool) -> str:
        pairs = [("%0D", "\r"), ("%0A", "\n"), *([("%3A", ":"), ("%2C", ",")] if prop else []), ("%25", "%")]
        for escape, char in pairs:
            value = value.replace(escape, char)
        return value

    told = {key: unescaped(value, prop=True) for key, value in properties.items()}
    return name, told, unescaped(line[end + 2 :], prop=False)


def test_no_text_ends_a_command_or_begins_another() -> None:
    for line in annotations(hostile()):
        assert len(line.splitlines()) == 1
        name, properties, _ = parsed(line)
        assert name in ("error", "warning", "notice")
        assert properties.keys() <= {"file", "line", "title"}
        if "file" in properties:
            assert properties["file"] == "mbom,a:b%0A.lock"
            assert properties["line"].isdigit()


def test_the_worst_annotations_come_first_and_there_are_not_too_many() -> None:
    many = review(*(gated(n, refusal(outcome="note"), refusal(), model=f"acme/m{n}") for n in range(60)))
    lines = annotations(many)
    assert len(lines) == ANNOTATIONS_LIMIT + 1
    assert lines[0].startswith("::error")
    assert "70 more" in lines[-1]


# ---- Markdown ----


def test_every_line_of_a_hostile_summary_is_ours() -> None:
    for line in markdown(hostile()).splitlines():
        outside = outside_of_code(line)
        shown = re.sub(r"^(#{2,3} |> |  - |- )", "", outside).replace("**", "")
        assert not re.search(r"[<>\[\]@#|*_~`\\&$]|://", shown), line


def test_a_summary_has_room_in_a_comment_and_keeps_the_worst() -> None:
    long = [
        gated(n, *(refusal(f"reason {k} " + "word " * 200) for k in range(60)), model=f"acme/m{n}") for n in range(80)
    ]
    shown = markdown(review(*long))
    assert len(shown.encode()) <= LIMIT < 65_536
    assert "acme/m0" in shown
    assert "`acme/m79` upgraded: refused" in shown
    assert "more models have no room here" in markdown(review(*(gated(n, model=f"acme/m{n}") for n in range(2000))))
    few = markdown(review(*long[:2]))
    assert "and 20 more" in few


def test_a_summary_says_what_is_wrong_where_the_rule_stands_and_what_to_do() -> None:
    shown = markdown(review(gated(0, refusal("user-cap 700000000 (monthly users)", id="restriction-not-allowed"))))
    order = ["REFUSED: 1 refused of 1 model", "acme/tiny", "upgraded", "Refused because", "user-cap",
             "mbom.yaml:3", "Above a number of users", "What to do:", "ask somebody", "2 unchanged"]  # fmt: skip
    places = [shown.index(part) for part in order]
    assert places == sorted(places)


# ---- table, and the review itself ----


def test_the_table_ends_with_the_outcome() -> None:
    lines = table(EVERY)
    assert lines[-1].text == "REFUSED: 1 refused, 1 incomplete, 1 allowed of 3 models"
    assert lines[-1].tone == "bad"
    assert any(line.text == "            ask somebody" for line in lines)


def test_old_notes_are_counted_and_not_told() -> None:
    item = gated(0, refusal("old", outcome="note", is_new=False), refusal("new", outcome="note"))
    told = "\n".join(line.text for line in table(review(item)))
    assert "old" not in told.replace("not told", "")
    assert "1 that the model before had too" in told
    assert "1 that the model before had too" in markdown(review(item))


STATUSES = [
    ((), True, {"any": 0, "refused": 0, "never": 0}),
    ((), False, {"any": 3, "refused": 0, "never": 0}),
    ((gated(0),), True, {"any": 0, "refused": 0, "never": 0}),
    ((gated(0, unclear="?"),), True, {"any": 3, "refused": 0, "never": 0}),
    ((gated(0, refusal()), gated(1, unclear="?")), True, {"any": 1, "refused": 1, "never": 0}),
]


@pytest.mark.parametrize(("models", "locked", "expected"), STATUSES)
def test_the_status_is_the_worst_that_is_to_fail(
    models: tuple[Gated, ...], locked: bool, expected: dict[str, int]
) -> None:
    found = review(*models, locked=locked)
    assert {kind: found.status(kind) for kind in expected} == expected  # type: ignore[arg-type]


def test_judging_without_a_policy_is_said() -> None:
    assert "without a policy" in "\n".join(
        line.text for line in table(review(gated(0), policy=PolicyUsed(file=None, source="none", sha256=None)))
    )
