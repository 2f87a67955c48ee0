"""The SPDX export, held against the official JSON schema and the bindings that SPDX generates from its model."""

import copy
import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boms
import jsonschema_rs
import pytest
import spdx_python_model
from releases import OF_COMPONENT, card, facts

from mbom import strictjson
from mbom.bom.spdx import export_spdx
from mbom.digest import sha256
from mbom.errors import FormatError

SCHEMA = Path(__file__).parent / "spdx" / "spdx-3.0.1.schema.json"
VALIDATOR = jsonschema_rs.Draft202012Validator(json.loads(SCHEMA.read_bytes()))
NO_LICENCE = "expandedlicensing_NoAssertionLicense"

FOREIGN: dict[str, Any] = {
    "bomFormat": "CycloneDX",
    "specVersion": "1.6",
    "version": 1,
    "metadata": {
        "timestamp": "2025-03-01T12:00:00.5+02:00",
        "authors": [{"name": "A. Person"}],
        "tools": [{"vendor": "x", "name": "generator", "version": "2"}],
        "lifecycles": [{"phase": "build"}, {"name": "own"}],
        "component": {
            "type": "machine-learning-model",
            "name": "m",
            "bom-ref": "m",
            "version": "2",
            "supplier": {"name": "Org Inc."},
            "releaseNotes": {"type": "major", "timestamp": "2025-01-02T03:04:05Z"},
            "licenses": [
                {"license": {"name": "Own Licence 1", "text": {"content": "Do as you like."}, "url": "https://x.example/l"}},
                {"license": {"id": "MIT", "acknowledgement": "concluded"}},
                {"expression": "Apache-2.0 OR MIT", "acknowledgement": "declared"},
            ],
            "evidence": {"licenses": [{"license": {"id": "BSD-3-Clause"}}]},
            "externalReferences": [{"type": "distribution", "url": "https://x.example/m"}, {"type": "x y", "url": " "}],
            "modelCard": {
                "modelParameters": {
                    "approach": {"type": "supervised"},
                    "datasets": [
                        {"type": "dataset", "name": "d", "contents": {"url": "https://x.example/d"}}, {"ref": "e"},
                    ],
                },
                "considerations": {"technicalLimitations": ["short memory", "English"], "useCases": ["chat"]},
                "properties": [{"name": "lr", "value": "0.1"}, {"name": "lr", "value": "0.2"}],
            },
            "components": [{"type": "file", "name": "w.bin", "hashes": [{"alg": "MD5", "content": "0" * 32}]}],
        },
    },
    "components": [
        {"type": "data", "name": "e", "bom-ref": "e", "data": [{"type": "dataset"}]},
        {"type": "library", "name": "torch", "version": "2.13", "bom-ref": "t", "purl": "pkg:pypi/torch@2.13"},
        {"type": "library", "name": "torch", "version": "2.13", "bom-ref": "t"},
    ],
    "dependencies": [{"ref": "m", "dependsOn": ["t", "nowhere"]}],
}  # fmt: skip


def valid(data: bytes) -> dict[str, dict[str, Any]]:
    """Return the elements of an SPDX document by id, after both oracles have nothing against it."""
    document = json.loads(data)
    assert [str(error) for error in VALIDATOR.iter_errors(document)] == []
    _, objects = spdx_python_model.load_data(document)
    assert objects.missing_ids == set()
    graph = document["@graph"]
    assert graph[0]["type"] == "CreationInfo"
    elements = {element["spdxId"]: element for element in graph[1:]}
    assert len(elements) == len(graph) - 1
    return elements


def exported(data: bytes) -> dict[str, dict[str, Any]]:
    return valid(export_spdx(boms.document(data), data))


def foreign(document: Mapping[str, Any] = FOREIGN) -> dict[str, dict[str, Any]]:
    return valid(export_spdx(dict(document), b"bytes"))


def of_type(elements: Mapping[str, dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [element for element in elements.values() if element["type"] == kind]


def related(elements: Mapping[str, dict[str, Any]], source: str, kind: str) -> list[dict[str, Any]]:
    return [
        element
        for element in of_type(elements, "Relationship")
        if element["relationshipType"] == kind and elements[element["from"]]["name"] == source
    ]


def names(elements: Mapping[str, dict[str, Any]], source: str, kind: str) -> list[str]:
    """Return the names of what an element relates to."""
    return [elements[to]["name"] for relation in related(elements, source, kind) for to in relation["to"]]


def licence(elements: Mapping[str, dict[str, Any]], source: str, kind: str) -> str:
    (relation,) = related(elements, source, kind)
    (to,) = relation["to"]
    return str(to if to == NO_LICENCE else elements[to]["simplelicensing_licenseExpression"])


def test_the_schema_is_the_official_one_and_refuses_what_is_wrong() -> None:
    assert sha256(SCHEMA.read_bytes()) == "582c64e809d5b3ef9bd0c4de13a32391b47b0284a3e8d199569fb96f649234b1"
    document = json.loads(export_spdx(FOREIGN, b""))
    del document["@graph"][1]["spdxId"]
    assert list(VALIDATOR.iter_errors(document))
    document = json.loads(export_spdx(FOREIGN, b""))
    next(item for item in document["@graph"] if item["type"] == "ai_AIPackage")["ai_autonomyType"] = "perhaps"
    assert list(VALIDATOR.iter_errors(document))


def test_a_bom_of_ours_becomes_a_model_with_its_files() -> None:
    data = boms.build()
    document, elements = boms.document(data), exported(data)
    model, base = of_type(elements, "ai_AIPackage")
    assert model["name"] == "openai/gpt-oss-20b"
    assert model["software_packageVersion"] == boms.REVISION
    assert model["software_primaryPurpose"] == "model"
    assert model["ai_typeOfModel"] == ["gpt_oss", "GptOssForCausalLM"]
    assert model["ai_domain"] == ["text-generation"]
    assert {entry["key"]: entry["value"] for entry in model["ai_hyperparameter"]}["parameters:total"] == "20914757184"
    held = document["components"]
    assert isinstance(held, list)
    parts: Any = held[0]["components"]  # type: ignore[call-overload,index]
    files = of_type(elements, "software_File")
    assert [(file["name"], file["verifiedUsing"]) for file in files] == [
        (part["name"], [{"type": "Hash", "algorithm": "sha256", "hashValue": part["hashes"][0]["content"]}])
        for part in parts
    ]
    (contained,) = related(elements, "openai/gpt-oss-20b", "contains")
    assert contained["completeness"] == "complete"
    assert contained["to"] == [file["spdxId"] for file in files]
    assert names(elements, "openai/gpt-oss-20b", "descendantOf") == [base["name"]] == ["openai/gpt-oss-base"]
    assert names(elements, "openai/gpt-oss-20b", "trainedOn") == ["org/corpus"]
    assert all(element["spdxId"].startswith(f"{document['serialNumber']}#") for element in elements.values())


def test_every_model_and_dataset_has_one_declared_and_one_concluded_licence() -> None:
    for elements in (exported(boms.build()), foreign()):
        packages = of_type(elements, "ai_AIPackage") + of_type(elements, "dataset_DatasetPackage")
        assert len(packages) == 3
        for package in packages:
            for kind in ("hasDeclaredLicense", "hasConcludedLicense"):
                assert len(related(elements, package["name"], kind)) == 1
        (document,) = of_type(elements, "SpdxDocument")
        assert document["profileConformance"] == ["core", "software", "simpleLicensing", "ai", "dataset"]
        assert set(document["element"]) == elements.keys() - {document["spdxId"]}


def test_licences_keep_who_said_what() -> None:
    elements = exported(boms.build())
    assert licence(elements, "openai/gpt-oss-20b", "hasDeclaredLicense") == "Apache-2.0"
    assert licence(elements, "openai/gpt-oss-20b", "hasConcludedLicense") == NO_LICENCE
    elements = foreign()
    assert licence(elements, "m", "hasDeclaredLicense") == "LicenseRef-Own-Licence-1 AND (Apache-2.0 OR MIT)"
    assert licence(elements, "m", "hasConcludedLicense") == "MIT"
    assert related(elements, "m", "hasDeclaredLicense")[0]["comment"] == "detected in the files: BSD-3-Clause"
    (kept,) = of_type(elements, "simplelicensing_SimpleLicensingText")
    assert kept["simplelicensing_licenseText"] == "Do as you like."


def test_a_licence_without_an_spdx_id_is_a_reference_by_its_name() -> None:
    side = boms.SIDE | {"README.md": b"---\nlicense: other\nlicense_name: Llama 3.1!\nlicense_link: LICENSE\n---\n"}
    elements = exported(boms.build(boms.inventory(side), boms.facts(side)))
    assert licence(elements, "openai/gpt-oss-20b", "hasDeclaredLicense") == "LicenseRef-Llama-3.1"


def test_what_nobody_said_is_left_out_and_named() -> None:
    model = of_type(exported(boms.build()), "ai_AIPackage")[0]
    assert model["comment"] == "not known, and therefore left out: releaseTime"
    unknown = (
        "informationAboutTraining modelDataPreprocessing energyConsumption safetyRiskAssessment modelExplainability"
    )
    assert not {f"ai_{name}" for name in unknown.split()} & model.keys()
    assert (model["ai_autonomyType"], model["ai_useSensitivePersonalInformation"]) == ("noAssertion", "noAssertion")
    held, told = facts((), None)
    alone = of_type(exported(boms.build(boms.folder(held), told, None)), "ai_AIPackage")[0]
    assert alone["comment"].endswith("releaseTime, suppliedBy, downloadLocation")


def test_what_the_profile_has_no_member_for_stands_in_an_annotation() -> None:
    held, told = facts(tuple(OF_COMPONENT.values()), card())
    elements = exported(boms.build(held, told))
    model = of_type(elements, "ai_AIPackage")[0]
    (annotation,) = [item for item in of_type(elements, "Annotation") if item["subject"] == model["spdxId"]]
    stated = {entry["name"]: entry["value"] for entry in json.loads(annotation["statement"])}
    assert stated["mbom:openness:class"] == "Class I (Open Science)"
    assert stated["mbom:behaviour"] == "measured"


def test_what_the_behaviour_pass_ran_with_is_a_package_of_its_kind() -> None:
    kinds = {
        item["name"]: item["software_primaryPurpose"] for item in of_type(exported(boms.build()), "software_Package")
    }
    assert kinds["torch"] == "library"
    assert kinds["Python"] == "platform"
    assert kinds["Linux"] == "operatingSystem"
    assert kinds["AMD EPYC 9654 96-Core Processor"] == "device"


def test_a_bom_of_another_make_goes_as_far_as_it_goes() -> None:
    document = json.loads(export_spdx(FOREIGN, b"bytes"))
    elements = foreign()
    assert document["@graph"][0]["created"] == "2025-03-01T10:00:00Z"
    assert [elements[agent]["name"] for agent in document["@graph"][0]["createdBy"]] == ["A. Person"]
    assert [elements[tool]["name"] for tool in document["@graph"][0]["createdUsing"]] == ["generator 2"]
    (model,) = of_type(elements, "ai_AIPackage")
    assert "comment" not in model  # all that the class asks for is known
    assert model["releaseTime"] == "2025-01-02T03:04:05Z"
    assert model["ai_limitation"] == "short memory\nEnglish"
    assert model["ai_hyperparameter"] == [{"type": "DictionaryEntry", "key": "lr", "value": "0.1, 0.2"}]
    assert names(elements, "m", "contains") == ["w.bin"]
    assert related(elements, "m", "contains")[0]["completeness"] == "noAssertion"
    assert names(elements, "m", "trainedOn") == ["d", "e"]
    assert names(elements, "m", "dependsOn") == ["torch"]
    assert len(of_type(elements, "software_Package")) == 2  # two equal bom-refs are two elements
    assert of_type(elements, "software_Sbom")[0]["software_sbomType"] == ["build"]


def test_the_same_bom_gives_the_same_bytes_and_another_one_other_ids() -> None:
    data = boms.build()
    assert export_spdx(boms.document(data), data) == export_spdx(boms.document(data), data)
    assert export_spdx(FOREIGN, b"a") == export_spdx(copy.deepcopy(FOREIGN), b"a")
    assert not valid(export_spdx(FOREIGN, b"a")).keys() & valid(export_spdx(FOREIGN, b"b")).keys()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"metadata": {}}, "no metadata.timestamp with a zone"),
        ({"metadata": {"timestamp": "2025-03-01T12:00:00"}}, "no metadata.timestamp with a zone"),
        ({"metadata": {"timestamp": "2025-03-01T12:00:00Z"}}, "no component of type machine-learning-model"),
    ],
)
def test_what_cannot_be_an_spdx_document_of_a_model_is_refused(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(FormatError, match=sentence):
        export_spdx(FOREIGN | changes, b"")


def test_whatever_stands_where_something_else_belongs_gives_a_valid_document_or_a_refusal() -> None:
    dice, seen = random.Random(11), 0
    base = boms.document(boms.build())
    for round_ in range(150):
        document = copy.deepcopy(FOREIGN if round_ % 2 else base)
        for _ in range(5):
            _bend(document, dice)
        data = strictjson.pretty(document)
        try:
            valid(export_spdx(document, data))
            seen += 1
        except FormatError:
            continue
    assert seen > 50


def _bend(item: Any, dice: random.Random) -> None:
    """Put something of another type at a random place of a document."""
    while True:
        keys = list(item) if isinstance(item, dict) else list(range(len(item)))
        if not keys:
            return
        key = dice.choice(keys)
        if isinstance(item[key], dict | list) and item[key] and dice.random() < 0.85:
            item = item[key]
            continue
        item[key] = dice.choice(
            [None, 7, True, "", " ", "a b\n\u202e%#[", "x" * 3000, [], {}, [[]], [{"name": 3}], 1.5]
        )
        return
