import json
import random
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

import boms
import pytest
import shapes
from boms import document
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from mbom import bom, strictjson
from mbom.bom.check import BOM_LIMIT
from mbom.bom.format.schema import schema_problems
from mbom.bom.format.spec16 import to_1_6
from mbom.facts.parameters import Parameters
from mbom.facts.reading import read_facts
from mbom.inventory import Inventory
from mbom.source import Origin

Edit = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def data() -> bytes:
    return boms.build()


@pytest.fixture(scope="module")
def held() -> Inventory:
    return boms.inventory()


def model(found: dict[str, Any]) -> Any:
    return found["components"][0]


def file(found: dict[str, Any], name: str = "config.json") -> Any:
    return next(item for item in model(found)["components"] if item["name"] == name)


def state(item: dict[str, Any], name: str, value: str) -> None:
    next(entry for entry in item["properties"] if entry["name"] == name)["value"] = value


def drop(item: dict[str, Any], name: str) -> None:
    item["properties"] = [entry for entry in item["properties"] if entry["name"] != name]


def add_file(found: dict[str, Any]) -> None:
    extra = deepcopy(file(found))
    extra.update({"name": "extra.py", "bom-ref": "file:extra.py"})
    model(found)["components"].append(extra)


def rename_digest(found: dict[str, Any]) -> None:
    model(found)["hashes"][0]["content"] = "0" * 64
    state(model(found), "mbom:model:digest", "0" * 64)


def swap_sizes(found: dict[str, Any]) -> None:
    state(file(found), "mbom:file:size", "14")
    state(file(found, "chat_template.jinja"), "mbom:file:size", "626")


def move_bytes(found: dict[str, Any]) -> None:
    state(model(found)["modelCard"], "mbom:stored-bytes:BF16", "13761264768")
    state(model(found)["modelCard"], "mbom:stored-bytes:U8", "0")


def rename_revision(found: dict[str, Any]) -> None:
    model(found).update(purl=model(found)["purl"][:-40] + "0" * 40, version="0" * 40)


SHARD = "model.safetensors"

TAMPERS: dict[str, tuple[Edit, str]] = {
    "a digest of a file": (
        lambda d: file(d)["hashes"][0].update(content="0" * 64),
        "config.json: the BOM does not give the SHA-256",
    ),
    "a second digest of a file": (
        lambda d: file(d)["hashes"].append({"alg": "SHA-1", "content": "0" * 40}),
        "config.json: the BOM does not give the SHA-256",
    ),
    "a file without digest": (lambda d: file(d).pop("hashes"), "config.json: the BOM does not give the SHA-256"),
    "two sizes swapped": (
        swap_sizes,
        "config.json: mbom:file:size is 14, the inventory says 626",
    ),
    "a file of another role": (
        lambda d: state(file(d, SHARD), "mbom:file:role", "other"),
        f"{SHARD}: mbom:file:role is other, the inventory says weights",
    ),
    "a file that is not listed": (lambda d: model(d)["components"].remove(file(d)), "config.json is not listed"),
    "a file too many": (add_file, "extra.py is listed, but no file of the model"),
    "a file twice": (
        lambda d: model(d)["components"].append({**file(d), "bom-ref": "again"}),
        "config.json is listed 2 times",
    ),
    "a file beside the model": (
        lambda d: d["components"].append(model(d)["components"].pop()),
        "tokenizer_config.json is listed elsewhere",
    ),
    "a library among the files": (
        lambda d: model(d)["components"].append({"type": "library", "name": "x"}),
        "x is part of the model, but of type library",
    ),
    "another model before it": (
        lambda d: d["components"].insert(0, {"type": "application", "name": "x"}),
        "components[0] is not a machine-learning-model",
    ),
    "no component": (lambda d: d.pop("components"), "components[0] is not a machine-learning-model"),
    "another model digest": (rename_digest, "the model's hashes is [{'alg': 'SHA-256', 'content': '0000"),
    "another model digest in words": (
        lambda d: state(model(d), "mbom:model:digest", "0" * 64),
        f"mbom:model:digest is {'0' * 64}, the inventory says ",
    ),
    "another revision": (rename_revision, f"the model's version is {'0' * 40}, the inventory says {boms.REVISION}"),
    "another organisation": (lambda d: model(d).update(group="meta-llama"), "the model's group is meta-llama"),
    "another name": (lambda d: model(d).update(name="gpt-oss-120b"), "the model's name is gpt-oss-120b"),
    "no purl": (lambda d: model(d).pop("purl"), "the model's purl is None"),
    "another serial number": (
        lambda d: d.update(serialNumber="urn:uuid:00000000-0000-4000-8000-000000000000"),
        "the serial number is urn:uuid:00000000-0000-4000-8000-000000000000",
    ),
    "another place to get it": (
        lambda d: model(d)["externalReferences"][0].update(url="https://example.org/gpt-oss-20b"),
        "the distribution https://example.org/gpt-oss-20b is not that of the inventory",
    ),
    "no place to get it": (
        lambda d: model(d).pop("externalReferences"),
        "the vcs https://huggingface.co/openai/gpt-oss-20b is missing",
    ),
    "another source": (
        lambda d: state(model(d), "mbom:source", "folder"),
        "mbom:source is folder, the inventory says hub",
    ),
    "a tensor more": (
        lambda d: state(model(d), "mbom:tensors:count", "460"),
        "mbom:tensors:count is 460, the inventory says 459",
    ),
    "a declared file that was verified": (
        lambda d: drop(model(d), "mbom:declared:not-fetched-not-verified"),
        "mbom:declared:not-fetched-not-verified is missing",
    ),
    "fewer declared files": (lambda d: state(model(d), "mbom:declared:count", "0"), "mbom:declared:count is 0"),
    "more parameters": (
        lambda d: state(model(d)["modelCard"], "mbom:parameters:total", "120000000000"),
        "mbom:parameters:total is 120000000000, the checkpoint says 20914757184",
    ),
    "fewer active parameters": (
        lambda d: state(model(d)["modelCard"], "mbom:parameters:active", "1"),
        "mbom:parameters:active is 1, the checkpoint says 3608307264",
    ),
    "more experts than the counts allow": (
        lambda d: state(model(d)["modelCard"], "mbom:architecture:experts", "64"),
        "mbom:parameters:active is 3608307264",
    ),
    "bytes moved between dtypes": (move_bytes, "mbom:stored-bytes:U8 is 0, the checkpoint says 10152345600"),
    "no count at all": (
        lambda d: drop(model(d)["modelCard"], "mbom:parameters:total"),
        "mbom:parameters:total is missing",
    ),
    "no model card": (lambda d: model(d).pop("modelCard"), "the model has no modelCard"),
    "a dangling reference": (lambda d: d["dependencies"][0]["dependsOn"].append("x"), "x is the bom-ref of nothing"),
    "an unknown member": (lambda d: d.update(extra=1), "schema: $: Additional properties are not allowed"),
    "a member of a wrong type": (lambda d: model(d).update(name=1), "schema: $.components[0].name: 1 is not of type"),
    "an SPDX id that is none": (
        lambda d: model(d)["licenses"][0]["license"].update(id="llama4"),
        "schema: $.components[0].licenses",
    ),
    "a metric with another member": (
        lambda d: model(d)["modelCard"]["quantitativeAnalysis"]["performanceMetrics"][0].update(unit="1"),
        "schema: $.components[0].modelCard.quantitativeAnalysis",
    ),
    "an older version": (lambda d: d.update(specVersion="1.5"), "the BOM is not a CycloneDX 1.7 or 1.6 document"),
}


def test_a_bom_agrees_with_its_inventory(data: bytes, held: Inventory) -> None:
    assert bom.check(data, held) == ()
    assert bom.check(data, held, boms.facts()) == ()


@pytest.mark.parametrize("name", boms.REPOSITORIES)
def test_a_bom_of_1_6_is_held_against_its_own_schema_and_says_the_same(name: str) -> None:
    sample = boms.of(name)
    current = strictjson.loads(sample.bom, what="the BOM")
    assert isinstance(current, dict)
    older = strictjson.pretty(to_1_6(current))
    assert bom.check(older, sample.inventory, sample.facts) == ()
    assert bom.affidavit_of(strictjson.loads(older, what="the BOM")) == bom.affidavit_of(current)
    claimed = {**document(older), "citations": document(sample.bom)["citations"]}
    problems = bom.check(strictjson.pretty(claimed), sample.inventory, sample.facts)
    assert problems
    assert all("citations" in problem for problem in problems)


def test_behaviour_is_held_against_a_bom_of_1_6() -> None:
    older = boms.build(spec="1.6")
    assert bom.check_behaviour(older, boms.BEHAVIOUR) == ()
    assert bom.check_behaviour(older, None)


def test_the_bom_of_a_folder_agrees_with_its_inventory() -> None:
    held = boms.folder(boms.inventory())
    assert bom.check(boms.build(held), held) == ()


@pytest.mark.parametrize("tamper", TAMPERS)
def test_each_tampering_is_named(data: bytes, held: Inventory, tamper: str) -> None:
    edit, problem = TAMPERS[tamper]
    found = document(data)
    edit(found)
    problems = bom.check(strictjson.pretty(found), held)
    assert any(problem in said for said in problems), problems


@pytest.mark.parametrize("tamper", TAMPERS)
def test_the_librarys_own_validator_agrees_on_each_tampering(data: bytes, tamper: str) -> None:
    found = document(data)
    TAMPERS[tamper][0](found)
    oracle = JsonStrictValidator(SchemaVersion.V1_7).validate_str(json.dumps(found))
    assert bool(schema_problems(found)) == (oracle is not None)


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("mbom:architecture:layers", "36"),
        ("mbom:architecture:context-length", "1000000"),
        ("mbom:architecture:vocabulary", "1"),
    ],
)
def test_facts_at_hand_show_what_the_inventory_cannot(data: bytes, held: Inventory, name: str, changed: str) -> None:
    found = document(data)
    state(model(found)["modelCard"], name, changed)
    tampered = strictjson.pretty(found)
    assert bom.check(tampered, held) == ()
    assert [said for said in bom.check(tampered, held, boms.facts()) if said.startswith(f"{name} is {changed}, ")]


def test_a_bom_of_another_checkpoint_does_not_agree(data: bytes, held: Inventory) -> None:
    assert "purl" in " ".join(bom.check(data, boms.folder(held)))
    other = replace(held, origin=Origin(kind="hub", name="x", repo="evil/gpt-oss-20b", revision=boms.REVISION))
    assert "the model's group is openai, the inventory says evil" in bom.check(data, other)


def test_every_packing_is_counted_from_what_the_bom_states() -> None:
    # Width, layers, prediction layers and ties come from the configuration, which the inventory does not hold.
    entries: list[shapes.Entry] = [
        ("model.embed_tokens.weight", "BF16", (10, 8)),
        *((f"model.layers.{n}.mlp.up_proj.weight_packed", "I32", (8, 1)) for n in range(3)),
        *((f"model.layers.{n}.mlp.up_proj.weight_scale", "BF16", (8, 1)) for n in range(3)),
    ]
    config = {
        "num_hidden_layers": 2,
        "num_nextn_predict_layers": 1,
        "tie_word_embeddings": True,
        "quantization_config": {"bits": 4},
    }
    held = shapes.inventory(entries)
    facts, _ = read_facts(held, {"config.json": json.dumps(config).encode()})
    assert facts.parameters == Parameters(
        total=208, active=208, embedding=0, other_modalities=0, prediction=64,
        blocks=(("feed-forward", 128), ("head", 80)), dtypes=(("BF16", 80), ("I32", 128)),
        logical=(("bfloat16", 80), ("int4", 128)),
        stored=(("BF16", 208), ("I32", 96)), packings=("int4 in int32",), notes=(),
    )  # fmt: skip
    assert bom.check(boms.build(held, facts, None), held) == ()


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "not JSON"),
        (b"\xff", "not UTF-8"),
        (b"[]", "not a CycloneDX 1.7 or 1.6 document"),
        (b"{}", "not a CycloneDX 1.7 or 1.6 document"),
        (b'{"specVersion": "1.7"}', 'schema: $: "bomFormat" is a required property'),
        (b'{"specVersion": "1.7", "specVersion": "1.7"}', "twice"),
        (b" " * (BOM_LIMIT + 1), f"the limit is {BOM_LIMIT}"),
        (b'{"specVersion": ' + b"[" * 100_000, "nested deeper"),
    ],
)
def test_what_is_no_bom_is_named(held: Inventory, data: bytes, problem: str) -> None:
    problems = bom.check(data, held)
    assert problems
    assert problem in problems[0]


def frame(**members: object) -> bytes:
    return json.dumps({"bomFormat": "CycloneDX", "specVersion": "1.7", "version": 1, **members}).encode()


def nested(levels: int) -> object:
    item: dict[str, object] = {"type": "file", "name": "x"}
    for _ in range(levels):
        item = {"type": "file", "name": "x", "components": [item]}
    return item


COSTLY: dict[str, tuple[bytes, str]] = {
    "a hundred thousand components": (
        frame(components=[{"type": "file", "name": str(number)} for number in range(100_000)]),
        "components[0] is not a machine",
    ),
    "an address of a megabyte": (
        frame(externalReferences=[{"type": "other", "url": "a" * (1 << 20)}]),
        "components[0] is not a machine",
    ),
    "addresses in many places": (
        frame(metadata={"supplier": {"url": ["https://example.org/" + "a" * 980] * 80}}),
        "components[0] is not a machine",
    ),
    "the deepest nesting that is read": (frame(components=[nested(30)]), "components[0] is not a machine"),
    "a property of ten megabytes": (
        frame(properties=[{"name": "x", "value": "a" * (10 << 20), "y": 1}]),
        "schema: $.properties[0]",
    ),
    "six thousand wrong things": (frame(properties=[1] * 6000), "schema: $.properties[0]"),
}


@pytest.mark.parametrize("case", COSTLY)
def test_a_document_made_to_be_costly_is_refused_in_seconds(held: Inventory, case: str) -> None:
    data, problem = COSTLY[case]
    before = time.monotonic()
    problems = bom.check(data, held)
    assert time.monotonic() - before < 15
    assert problem in problems[0]
    assert all(len(said) <= 2000 for said in problems)
    assert len(problems) <= 200


def test_messages_quote_nothing_that_moves_a_terminal(data: bytes, held: Inventory) -> None:
    found: Any = document(data)
    model(found)["group"] = "\x1b[2J\u202e"
    add_file(found)
    model(found)["components"][-1]["name"] = "\x1b]0;x\x07"
    problems = bom.check(strictjson.pretty(found), held)
    assert len(problems) >= 2
    assert all(said.isprintable() for said in problems)


def test_mutated_bytes_never_agree_with_another_meaning(data: bytes, held: Inventory) -> None:
    chance = random.Random(3)
    honest = document(data)
    accepted = 0
    for _ in range(60):
        mutated = bytearray(data)
        place = chance.randrange(len(mutated))
        mutated[place] = chance.choice(b'0123456789abcdef{}[]",: x')
        problems = bom.check(bytes(mutated), held)
        if not problems:
            accepted += 1
            changed = document(bytes(mutated))
            # What may differ is prose and the architecture, which only facts can judge: no digest, size or name.
            assert strip(changed) == strip(honest)
    assert accepted < 30


def strip(found: dict[str, Any]) -> Any:
    item = model(found)
    return [
        item["purl"],
        item["hashes"],
        [(part["name"], part["hashes"], part["properties"]) for part in item["components"]],
    ]
