"""The coverage in the BOM itself: valid, without a dangling reference, and no more than the evaluation says."""

import json
from typing import Any

import boms
import pytest
from coveredboms import foreign, full
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from mbom.bom.coverage import KEYS, Status, coverage, standard
from mbom.bom.coverage.declaring import declare
from mbom.bom.format.lint import lint
from mbom.bom.parts import join


def joined(document: dict[str, Any]) -> dict[str, Any]:
    join(document, declare(document))
    return document


@pytest.fixture(scope="module")
def built() -> dict[str, Any]:
    """A document to which nothing else declares anything."""
    return joined(full())


@pytest.mark.parametrize(
    ("document", "version"), [(full(), SchemaVersion.V1_7), (foreign(), SchemaVersion.V1_6)], ids=["ours", "1.6"]
)
def test_it_is_valid(document: dict[str, Any], version: SchemaVersion) -> None:
    """By the library's validator, which is not the one that the builder uses."""
    assert JsonStrictValidator(version).validate_str(json.dumps(joined(document))) is None


def test_every_reference_of_it_leads_somewhere(built: dict[str, Any]) -> None:
    refs = {item["bom-ref"] for held in built["definitions"]["standards"] for item in held["requirements"]}
    assert len(refs) == 50 + 13 + 7 + 43
    entries = [entry for attestation in built["declarations"]["attestations"] for entry in attestation["map"]]
    assert {entry["requirement"] for entry in entries} == refs
    claims = {claim["bom-ref"] for claim in built["declarations"]["claims"]}
    assert {ref for entry in entries for ref in entry.get("claims", [])} == claims
    dangling = [problem for problem in lint(built) if "is the bom-ref of nothing" in problem]
    assert dangling == []


def test_it_is_part_of_every_bom() -> None:
    document = boms.document(boms.build())
    assert lint(document) == ()
    standards = {item["bom-ref"] for item in document["definitions"]["standards"]}  # type: ignore[index,call-overload,union-attr]
    assert standards >= {f"standard:{key}" for key in KEYS}


def test_a_score_says_disclosed_or_not_and_confidence_is_for_what_mbom_computed(built: dict[str, Any]) -> None:
    for item, attestation in zip(coverage(built), built["declarations"]["attestations"], strict=True):
        for covered, entry in zip(item.elements, attestation["map"], strict=True):
            answer = covered.answer
            score = {Status.UNDISCLOSED: 0, Status.INAPPLICABLE: None}.get(answer.status, 1)
            assert entry["conformance"].get("score") == score
            assert entry["conformance"]["rationale"].startswith(f"{answer.status}: ")
            assert ("claims" in entry) == answer.disclosed
            assert entry.get("confidence") == ({"score": 1} if answer.status is Status.VERIFIED else None)


def test_the_summary_gives_the_totals(built: dict[str, Any]) -> None:
    (summary,) = [
        item["summary"] for item in built["declarations"]["attestations"] if item["summary"].startswith("Software Bill")
    ]
    assert summary.endswith("2026-05-12: 16 verified, 31 declared, 0 not disclosed, 3 not applicable")


def test_a_claim_names_the_values_and_where_they_stand(built: dict[str, Any]) -> None:
    claims = {claim["bom-ref"]: claim for claim in built["declarations"]["claims"]}
    assert claims["claim:coverage:model-size"] == {
        "bom-ref": "claim:coverage:model-size",
        "target": built["components"][0]["bom-ref"],
        "predicate": "number of parameters: verified",
        "reasoning": "/components/0/modelCard/properties/4/value = 20900000000 (verified); "
        "/components/0/modelCard/properties/3/value = active: 3600000000 (verified)",
    }


def test_the_standards_say_whose_they_are(built: dict[str, Any]) -> None:
    for key, held in zip(KEYS, built["definitions"]["standards"], strict=True):
        wanted = standard(key)
        assert (held["name"], held["version"], held["owner"]) == (wanted.name, wanted.version, wanted.owner)
        assert [item["identifier"] for item in held["requirements"]] == [element.id for element in wanted.elements]


def test_mbom_is_the_assessor_and_no_third_party(built: dict[str, Any]) -> None:
    (assessor,) = built["declarations"]["assessors"]
    assert (assessor["organization"], assessor["thirdParty"]) == ({"name": "mbom"}, False)
    assert {item["assessor"] for item in built["declarations"]["attestations"]} == {assessor["bom-ref"]}


def test_an_assessor_that_another_section_gives_is_used() -> None:
    document = full()
    document["declarations"] = {"assessors": [{"bom-ref": "us", "organization": {"name": "mbom"}}]}
    joined(document)
    assert [item["bom-ref"] for item in document["declarations"]["assessors"]] == ["us"]
    assert {item["assessor"] for item in document["declarations"]["attestations"]} == {"us"}


def test_hostile_text_is_quoted_in_print() -> None:
    document = full()
    document["components"][0]["name"] = "tiny\x1b[2J\u202e\n" + "x" * 10_000
    claims = {claim["bom-ref"]: claim for claim in joined(document)["declarations"]["claims"]}
    reasoning = claims["claim:coverage:component-name"]["reasoning"]
    assert reasoning.isprintable()
    assert len(reasoning) < 2000


def test_a_hundred_thousand_files_take_no_more_room() -> None:
    document = full()
    model = document["components"][0]
    model["components"] *= 50_000
    assert len(json.dumps(declare(document))) < 150_000
