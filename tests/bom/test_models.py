"""BOMs of published models: every one of ``fixtures/models`` has a valid BOM that agrees with its inventory."""

import json
import random

import boms
import published
import pytest
import shapes
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from mbom import bom, strictjson
from mbom.facts.reading import read_facts
from mbom.strictjson import Json


def test_every_fixture_has_a_repository() -> None:
    assert sorted(path.name for path in boms.FIXTURES.iterdir() if path.is_dir()) == sorted(boms.REPOSITORIES)


@pytest.mark.parametrize("name", boms.REPOSITORIES)
def test_the_bom_of_a_published_model_is_valid(name: str) -> None:
    sample = boms.of(name)
    assert JsonStrictValidator(SchemaVersion.V1_7).validate_str(sample.bom.decode()) is None
    assert bom.check(sample.bom, sample.inventory, sample.facts) == ()


ODD: list[Json] = [
    None, True, -1, 0, 10**39, 1.5, float("inf"), "", "x", "\u202e", "full_attention", [], [1], ["a"] * 5000, {},
    {"rope_type": "yarn"}, {"a": {}, "b": {"factor": 10**39}}, [[]],
]  # fmt: skip


def bent(value: Json, chance: random.Random) -> Json:
    """Return a configuration with some of its values replaced by odd ones, at any depth."""
    if chance.random() < 0.08:
        return chance.choice(ODD)
    if isinstance(value, dict):
        return {name: bent(item, chance) for name, item in value.items()}
    return value


@pytest.mark.parametrize("name", boms.REPOSITORIES)
def test_whatever_a_configuration_says_the_bom_is_valid(name: str) -> None:
    table = published.TABLES[name]()
    entries = [entry for number, entry in enumerate(table) if number % 1009 == 0]
    held, side = shapes.inventory(entries), boms.side_of(name)
    document = strictjson.loads(side["config.json"], what="config.json")
    assert isinstance(document, dict)
    chance = random.Random(name)
    for _ in range(8):
        config = {member: bent(value, chance) for member, value in document.items()}
        facts, _ = read_facts(held, {**side, "config.json": json.dumps(config).encode()})
        data = boms.build(held, facts, None)
        assert bom.check(data, held, facts) == ()


@pytest.mark.parametrize(
    ("name", "task", "inputs"),
    [
        ("gpt-oss-20b", "text-generation", ["text"]),
        ("gemma-3-27b-it", "image-text-to-text", ["image", "text"]),
        ("llama-4-scout", None, ["image", "text"]),  # its card has no pipeline tag, its configuration a vision encoder
        ("deepseek-v3", "text-generation", ["text"]),
    ],
)
def test_what_goes_in_is_known_from_the_card_or_from_the_configuration(
    name: str, task: str | None, inputs: list[str]
) -> None:
    told = json.loads(boms.of(name).bom)["components"][0]["modelCard"]["modelParameters"]
    assert told.get("task") == task
    assert [item["format"] for item in told["inputs"]] == inputs
    assert told["outputs"] == [{"format": "text"}]
