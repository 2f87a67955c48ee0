import json

import pytest

from mbom.facts.card import Card, read_card
from mbom.facts.lineage import NAMED_LIMIT, Base, Dataset, Lineage, read_lineage
from mbom.facts.places import Place

ADAPTER = b'{"peft_type": "LORA", "base_model_name_or_path": "org/base", "revision": "a1b2"}'


def card(front_matter: str) -> Card:
    found, findings = read_card(f"---\n{front_matter}\n---\n".encode())
    assert findings == ()
    return found


def told(front_matter: str, adapter: bytes | None = None) -> Lineage:
    lineage, findings = read_lineage(card(front_matter), adapter)
    assert findings == ()
    return lineage


@pytest.mark.parametrize(
    ("front_matter", "bases"),
    [
        ("license: mit", ()),
        ("base_model: org/base", (Base(name="org/base"),)),
        ("base_model: org/base\nbase_model_relation: finetune", (Base(name="org/base", relations=("finetune",)),)),
        ("base_model: [org/a, org/b]\nbase_model_relation: merge",
         (Base(name="org/a", relations=("merge",)), Base(name="org/b", relations=("merge",)))),
        ("tags: [x, 'base_model:org/base']", (Base(name="org/base"),)),
        ("tags: ['base_model:quantized:org/base', 'base_model:org/base']",
         (Base(name="org/base", relations=("quantized",)),)),
        ("tags: ['base_model:', 'base_model:adapter:', 'base_model']", ()),
        ("tags: ['base_model:improved:org/base']", (Base(name="org/base"),)),
        ("base_model: org/base\nbase_model_relation: finetune\ntags: ['base_model:merge:org/base']",
         (Base(name="org/base", relations=("finetune", "merge")),)),
        ("base_model: [org/base, Org/Base]", (Base(name="org/base"), Base(name="Org/Base"))),
    ],
)  # fmt: skip
def test_a_relation_is_what_was_declared_and_nothing_else(front_matter: str, bases: tuple[Base, ...]) -> None:
    assert told(front_matter).bases == bases


def test_an_adapter_names_its_base_and_the_revision_it_was_trained_on() -> None:
    lineage = told("license: mit", ADAPTER)
    assert lineage.bases == (Base(name="org/base", relations=("adapter",), revision="a1b2"),)
    assert lineage.bases[0].places == (Place(file="adapter_config.json", pointer="/base_model_name_or_path"),)


def test_a_base_named_in_several_places_is_one_base_with_all_of_them() -> None:
    (base,) = told("base_model: org/base\ntags:\n- base_model:finetune:org/base", ADAPTER).bases
    assert base.relations == ("adapter", "finetune")
    assert [str(place) for place in base.places] == [
        "README.md:2",
        "README.md:3",
        "adapter_config.json#/base_model_name_or_path",
    ]


def test_every_fact_has_the_place_where_it_was_read() -> None:
    lineage = told(
        "base_model: org/base\ndatasets: [org/corpus]\nnew_version: org/next\n"
        "model-index: [{results: [{dataset: {type: gsm8k}, metrics: []}, {dataset: {type: org/corpus}, metrics: []}]}]"
    )
    assert {name: str(place) for name, place in lineage.places.items()} == {
        "base:org/base": "README.md:2",
        "dataset:org/corpus": "README.md:3",
        "lineage:successor": "README.md:4",
        "dataset:gsm8k": "README.md:5",
    }
    assert lineage.successor == "org/next"
    assert lineage.datasets == (
        Dataset(name="org/corpus", uses=("training", "evaluation")),
        Dataset(name="gsm8k", uses=("evaluation",)),
    )


@pytest.mark.parametrize(
    ("adapter", "finding"),
    [
        (b"{", "config-malformed"),
        (b"[]", "config-malformed"),
        (b'{"base_model_name_or_path": ["x"]}', "config-field"),
        (b'{"base_model_name_or_path": "a\\u202eb"}', "config-field"),
        (b'{"base_model_name_or_path": "org/base", "revision": 3}', "config-field"),
    ],
)
def test_a_broken_adapter_configuration_costs_the_card_nothing(adapter: bytes, finding: str) -> None:
    lineage, findings = read_lineage(card("base_model: org/base\ndatasets: [a]"), adapter)
    assert [found.id for found in findings] == [finding]
    assert [base.name for base in lineage.bases] == ["org/base"]
    assert [data.name for data in lineage.datasets] == ["a"]


def test_an_adapter_of_nothing_named_has_no_base() -> None:
    assert told("license: mit", b'{"base_model_name_or_path": null}') == Lineage()


def test_no_checkpoint_has_more_ancestors_than_the_limit() -> None:
    names = [f"org/{number}" for number in range(250)]
    tags = [f"base_model:other/{number}" for number in range(250)]
    lineage = told(f"base_model: {json.dumps(names)}\ntags: {json.dumps(tags)}")
    assert len(lineage.bases) == NAMED_LIMIT
