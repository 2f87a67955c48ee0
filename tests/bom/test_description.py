"""What a BOM says is read back as it was built, and a bent one says less, never more."""

import copy
from typing import Any

import boms
import pytest
from boms import document

from mbom import bom
from mbom.bom.description import Description, describe
from mbom.facts.licences.vocabulary import RESTRICTIONS
from mbom.facts.producers import built_in

SAMPLES = ("gpt-oss-20b", "deepseek-v3", "llama-4-scout", "glm-5")


def described(name: str) -> Description:
    return describe(document(boms.of(name).bom))


def test_identity_and_origin_are_read_back() -> None:
    found = describe(document(boms.build()))
    held = boms.inventory()
    assert (found.digest, found.repo, found.version) == (held.digest, held.origin.repo, held.origin.revision)
    assert (found.account, found.entity, found.country) == ("openai", None, None)
    assert [(item.name, item.relations) for item in found.ancestors] == [("openai/gpt-oss-base", ("quantized",))]
    assert found.datasets == ("org/corpus",)
    assert found.licences_declared == ("Apache-2.0",)


def test_the_producer_is_read_back() -> None:
    producer = built_in().of("openai")
    assert producer is not None
    data = bom.build(
        inventory=boms.inventory(),
        facts=boms.facts(),
        behaviour=None,
        tool_version="1.2.3",
        created=boms.CREATED,
        said=bom.Affidavit(producers=built_in().among(["openai"])),
    )
    found = describe(document(data))
    assert (found.entity, found.country) == (producer.entity, producer.country)


@pytest.mark.parametrize("name", SAMPLES)
def test_facts_are_read_back(name: str) -> None:
    sample, found = boms.of(name), described(name)
    facts = sample.facts
    assert (found.parameters, found.active) == (facts.parameters.total, facts.parameters.active)
    assert found.model_type == facts.model_type
    assert found.architecture["layers"] == (str(facts.architecture.layers),)
    assert [item.kind for item in found.restrictions] == sorted(item.kind for item in facts.licensing.restrictions)
    assert {item.kind for item in found.restrictions} <= set(RESTRICTIONS)
    assert {(item.file, item.name, item.sha256) for item in found.templates} == {
        (item.file, item.name, item.sha256) for item in facts.chat_templates
    }


def test_a_licence_of_the_table_that_spdx_does_not_list_has_its_reference() -> None:
    found = described("llama-4-scout")
    assert found.licences_declared == ("LicenseRef-scancode-llama-4-cla-2025",)
    cap = next(item for item in found.restrictions if item.kind == "user-cap")
    assert cap.value is not None
    assert "700" in cap.value


def bent(change: Any) -> Description:
    value: Any = copy.deepcopy(document(boms.build()))
    change(value["components"][0])
    return describe(value)


def without(model: dict[str, Any], name: str) -> None:
    model["properties"] = [item for item in model["properties"] if item["name"] != name]


def test_what_is_missing_doubled_or_unknown_is_none() -> None:
    assert bent(lambda m: without(m, "mbom:producer:country")).country is None
    assert bent(lambda m: m["properties"].append({"name": "mbom:producer:country", "value": "XX"})).country is None
    assert bent(lambda m: m.update(properties=[{"name": "mbom:producer:country", "value": "unknown"}])).country is None
    assert bent(lambda m: m.update(licenses="none")).licences_declared == ()
    assert bent(lambda m: m.update(pedigree=[])).ancestors == ()


def test_a_restriction_in_other_words_still_restricts() -> None:
    odd = {"name": "mbom:licence:restriction", "value": "No use on Mondays"}
    assert "unknown" in [item.kind for item in bent(lambda m: m["properties"].append(odd)).restrictions]


@pytest.mark.parametrize(
    "value", [{}, {"components": 5}, {"components": [None]}, {"components": [{"properties": [1]}]}]
)
def test_any_document_can_be_described(value: Any) -> None:
    found = describe(value)
    assert found.digest is None
    assert found.restrictions == ()
