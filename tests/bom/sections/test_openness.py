"""Openness as it stands in the BOM."""

import boms
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from releases import OF_COMPONENT, PROSE, card, facts

from mbom import bom
from mbom.bom import BehaviourSummary
from mbom.bom.properties import values
from mbom.digest import sha256
from mbom.facts.mof import COMPONENTS
from mbom.strictjson import Json

INDEX = "model-index: [{name: x, results: [{dataset: {name: MMLU}, metrics: [{type: accuracy, value: 70.1}]}]}]"


def built(text: bytes | None, names: tuple[str, ...] = (), behaviour: BehaviourSummary | None = None) -> bytes:
    held, told = facts(names, text)
    return boms.build(held, told, behaviour)


def model(data: bytes) -> dict[str, Json]:
    components = boms.document(data)["components"]
    assert isinstance(components, list)
    found = components[0]
    assert isinstance(found, dict)
    return found


def test_each_component_says_its_file_digest_licence_and_verdict() -> None:
    found = model(built(card("license: mit"), ("train.py", "LICENSE")))
    assert values(found, "openness:training-code") == [
        f"present train.py sha256:{sha256(b'train.py')}; licence mit (README.md), MIT (LICENSE); open"
    ]
    assert values(found, "openness:final-parameters")[0].endswith(
        "open, acceptable but not preferred (CDLA-Permissive-2.0 or OpenMDW)"
    )
    assert values(found, "openness:datasets") == ["absent: not found"]


def test_restricted_weights_are_named_as_such() -> None:
    found = model(built(card("license: llama3.1"), tuple(OF_COMPONENT.values())))
    (label,) = values(found, "openness:class")
    assert label.startswith("none (Class III lacks Model architecture: licence llama3.1 (README.md) is not open")
    assert values(found, "openness:final-parameters")[0].endswith("licence llama3.1 (README.md); not open")


def test_the_framework_is_a_standard_and_each_component_has_a_score() -> None:
    document = boms.document(built(card(), tuple(OF_COMPONENT.values())))
    definitions, declarations = document["definitions"], document["declarations"]
    assert isinstance(definitions, dict)
    assert isinstance(declarations, dict)
    standards, attestations = definitions["standards"], declarations["attestations"]
    assert isinstance(standards, list)
    assert isinstance(attestations, list)
    standard = next(item for item in standards if isinstance(item, dict) and item["bom-ref"] == "standard:mof")
    attestation = next(
        item for item in attestations if isinstance(item, dict) and str(item["summary"]).startswith("Model Openness")
    )
    assert isinstance(standard["requirements"], list)
    assert isinstance(attestation["map"], list)
    refs = [item["bom-ref"] for item in standard["requirements"] if isinstance(item, dict)]
    assert refs == [f"standard:mof:{component.key}" for component in COMPONENTS]
    assert [item["requirement"] for item in attestation["map"] if isinstance(item, dict)] == refs
    assert {item["conformance"]["score"] for item in attestation["map"]} == {1}  # type: ignore[index,call-overload]
    levels = standard["levels"]
    assert isinstance(levels, list)
    assert [
        (level["identifier"], len(level["requirements"]))  # type: ignore[arg-type]
        for level in levels
        if isinstance(level, dict)
    ] == [("Class III", 6), ("Class II", 11), ("Class I", 15)]


def test_declared_results_are_metrics_that_say_so() -> None:
    data = built(card(f"license: mit\n{INDEX}"), behaviour=boms.BEHAVIOUR)
    found = model(data)["modelCard"]
    assert isinstance(found, dict)
    analysis = found["quantitativeAnalysis"]
    assert isinstance(analysis, dict)
    held = analysis["performanceMetrics"]
    assert isinstance(held, list)
    assert held[-1] == {
        "type": "declared:accuracy", "value": "70.1", "slice": "MMLU (declared in README.md, not verified)",
    }  # fmt: skip
    assert bom.check_behaviour(data, boms.BEHAVIOUR) == ()
    unmeasured = built(card(f"license: mit\n{INDEX}"))
    assert bom.check_behaviour(unmeasured, None) == ()
    assert bom.check_behaviour(unmeasured, boms.BEHAVIOUR) != ()
    posing = data.replace(b'"declared:accuracy"', b'"mbom:behaviour:accuracy"')
    assert "performance metrics" in " ".join(bom.check_behaviour(posing, boms.BEHAVIOUR))


HOSTILE = {
    "no card": None,
    "not UTF-8": b"---\nlicense: mit\n---\n\xff\xfe" * 50,
    "controls": card(text=f"## Training data \x1b[2J\u202e\n{PROSE}\n[\x07train](https://github.com/x)"),
    "deep index": card("license: mit\nmodel-index: " + "[" * 20 + "]" * 20),
    "an endless licence name": card("license: other\nlicense_name: " + "x" * 512),
    "sections without end": card(text="\n".join(f"## Training data\n{PROSE}" for _ in range(3000))),
}


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_a_hostile_card_gives_a_valid_bom_of_bounded_size(name: str) -> None:
    data = built(HOSTILE[name])
    assert len(data) < 200_000
    assert JsonStrictValidator(SchemaVersion.V1_7).validate_str(data.decode()) is None
    assert all(
        value.isprintable() for item in ("class", "data-card") for value in values(model(data), f"openness:{item}")
    )
