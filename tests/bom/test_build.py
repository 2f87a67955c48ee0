import json
import sys
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from subprocess import run

import boms
import pytest
import shapes
from boms import document
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import ComponentType
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from mbom import bom
from mbom.bom.sections.figures import figures
from mbom.facts.reading import read_facts
from mbom.inventory import FileRecord, Inventory
from mbom.source import Origin
from mbom.strictjson import Json

PURL = "pkg:huggingface/openai/gpt-oss-20b@6cee5e81ee83917806bbde320786a8fb61efebee"
DIGEST = "bf41ee562260fba1197c25733aa298a167f3aedb11d0679080b13bdf04624f6a"
TEMPLATE = "f24189f08c85a1eb19a737306c3a13e85462ee33d964f28108d64a2485fa2171"
CHAT_TEMPLATE = "chat-template:chat_template.jinja#default"
HUB = "https://huggingface.co/openai/gpt-oss-20b"


def model_of(data: bytes) -> dict[str, Json]:
    components = document(data)["components"]
    assert isinstance(components, list)
    model = components[0]
    assert isinstance(model, dict)
    return model


def told(item: Json) -> list[tuple[str, str]]:
    """Return the properties of an object as pairs without the prefix."""
    assert isinstance(item, dict)
    held = item["properties"]
    assert isinstance(held, list)
    pairs = []
    for entry in held:
        assert isinstance(entry, dict)
        name, value = entry["name"], entry["value"]
        assert isinstance(name, str)
        assert isinstance(value, str)
        assert name.startswith("mbom:")
        pairs.append((name.removeprefix("mbom:"), value))
    return pairs


@pytest.fixture(scope="module")
def data() -> bytes:
    return boms.build()


def test_the_frame_of_the_document(data: bytes) -> None:
    elsewhere = {"citations", "components", "definitions", "declarations", "formulation"}
    assert {name: value for name, value in document(data).items() if name not in elsewhere} == {
        "$schema": "http://cyclonedx.org/schema/bom-1.7.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.7",
        "version": 1,
        "serialNumber": "urn:uuid:f96966bc-e5e6-57d3-94f2-17154ed98c47",
        "metadata": {
            "timestamp": "2026-05-12T10:30:15+00:00",
            "lifecycles": [{"phase": "post-build"}],
            "tools": {
                "components": [{"type": "application", "bom-ref": "tool:mbom", "name": "mbom", "version": "1.2.3"}]
            },
            "component": {
                "type": "data",
                "bom-ref": "checkpoint",
                "name": "openai/gpt-oss-20b checkpoint",
                "version": boms.REVISION,
                "description": "The set of files that this document describes; "
                "the model that they hold is components[0].",
            },
        },
        "dependencies": [
            {"ref": "checkpoint", "dependsOn": [PURL]},
            *({"ref": f"file:{file.name}"} for file in boms.inventory().files),
            {"ref": PURL, "dependsOn": [*(f"file:{file.name}" for file in boms.inventory().files), CHAT_TEMPLATE]},
            {"ref": CHAT_TEMPLATE, "dependsOn": ["file:chat_template.jinja"]},
        ],
        "compositions": [
            {"aggregate": "complete", "assemblies": [PURL]},
            {"aggregate": "unknown", "dependencies": [PURL]},
            {"aggregate": "unknown", "assemblies": ["base:openai/gpt-oss-base", "dataset:org/corpus"]},
        ],
    }


def test_the_model_is_the_first_component(data: bytes) -> None:
    model = model_of(data)
    pedigree = model["pedigree"]
    assert isinstance(pedigree, dict)
    assert isinstance(pedigree["ancestors"], list)
    (ancestor,) = pedigree["ancestors"]
    assert isinstance(ancestor, dict)
    assert {name: model[name] for name in model.keys() - {"components", "modelCard", "properties"}} == {
        "type": "machine-learning-model",
        "bom-ref": PURL,
        "purl": PURL,
        "group": "openai",
        "publisher": "openai",
        "name": "gpt-oss-20b",
        "version": "6cee5e81ee83917806bbde320786a8fb61efebee",
        "description": "GptOssForCausalLM, 20,914,757,184 parameters, 3,608,307,264 active per token",
        "hashes": [{"alg": "SHA-256", "content": DIGEST}],
        "licenses": [
            {
                "license": {
                    "id": "Apache-2.0",
                    "acknowledgement": "declared",
                    "properties": [
                        {"name": "mbom:licence:key", "value": "apache-2.0"},
                        {"name": "mbom:licence:restriction", "value": "attribution"},
                        {"name": "mbom:licence:restriction", "value": "patent-termination: the patent licence"},
                    ],
                }
            }
        ],
        "pedigree": {
            "ancestors": [
                {
                    "type": "machine-learning-model",
                    "bom-ref": "base:openai/gpt-oss-base",
                    "group": "openai",
                    "name": "gpt-oss-base",
                    "purl": "pkg:huggingface/openai/gpt-oss-base",
                    "properties": ancestor["properties"],
                }
            ],
            "notes": pedigree["notes"],
        },
        "externalReferences": [
            {"type": "distribution", "url": f"{HUB}/tree/{boms.REVISION}"},
            {
                "type": "model-card",
                "url": f"{HUB}/blob/{boms.REVISION}/README.md",
                "hashes": [
                    {"alg": "SHA-256", "content": "49c7d198f5742b27291b005736c416d3da38e48e13dcd94caad75deccfcaeb62"}
                ],
            },
            {"type": "vcs", "url": HUB},
        ],
    }
    assert [pair for pair in told(model) if not pair[0].startswith("openness:")] == [
        ("chat-template", f"sha256:{TEMPLATE} chat_template.jinja default"),
        ("code:count", "0"),
        ("declared:count", "2"),
        ("declared:not-fetched-not-verified", f"git:{'d' * 40} 376 original/config.json"),
        ("declared:not-fetched-not-verified", f"sha256:{'c' * 64} 13750886400 metal/model.bin"),
        ("files:bytes", "13761265645"),
        ("files:count", "5"),
        ("licence:declared", "apache-2.0"),
        ("licence:detected", "none"),
        ("licence:restriction", "attribution [apache-2.0, declared README.md:2]"),
        ("licence:restriction", "patent-termination: the patent licence [apache-2.0, declared README.md:2]"),
        ("lineage:base-models", "1 named"),
        ("lineage:datasets", "1 named"),
        ("model:digest", DIGEST),
        ("model:digest:method", "SHA-256 over RFC 8785 JSON of [{name, sha256, size}] of all files, sorted by name"),
        ("producer:account", "openai"),
        ("producer:country", "unknown"),
        ("producer:legal-entity", "unknown"),
        ("producer:source", "unknown"),
        ("remote-code", "tokenizer_config.json: AutoTokenizer = own.Tokenizer"),
        ("source", "hub"),
        ("tensors:bytes", "13761264768"),
        ("tensors:count", "459"),
    ]  # fmt: skip


def test_every_file_is_a_nested_component(data: bytes) -> None:
    files = model_of(data)["components"]
    assert isinstance(files, list)
    assert len(files) == 5
    assert files[3] == {
        "type": "file",
        "bom-ref": "file:model.safetensors",
        "name": "model.safetensors",
        "mime-type": "application/octet-stream",
        "hashes": [{"alg": "SHA-256", "content": "a" * 64}],
        "properties": [
            {"name": "mbom:file:role", "value": "weights"},
            {"name": "mbom:file:size", "value": "13761264776"},
        ],
    }


def test_the_model_card_gives_architecture_counts_and_behaviour(data: bytes) -> None:
    card = model_of(data)["modelCard"]
    assert isinstance(card, dict)
    assert card["modelParameters"] == {
        "task": "text-generation",
        "architectureFamily": "gpt_oss",
        "modelArchitecture": "GptOssForCausalLM",
        "inputs": [{"format": "text"}],
        "outputs": [{"format": "text"}],
        "datasets": [{"ref": "dataset:org/corpus"}],
    }
    values = [
        ("prompts", "8"), ("positions", "2048"), ("layers", "24"), ("experts", "768"), ("experts-reached", "741"),
        ("weights", "60"), ("sensitivity:trials", "40"), ("sensitivity:least-factor", "5.2e+05"),
        ("limit:relative_error", "1e-09"), ("limit:router_margin", "1e-06"),
    ]  # fmt: skip
    assert card["quantitativeAnalysis"] == {
        "performanceMetrics": [
            {"type": f"mbom:behaviour:{name}", "value": value, "slice": "mbom-prompts-1"} for name, value in values
        ]
    }
    others = [pair for pair in told(card) if pair not in set(figures(boms.facts()))]
    assert others == [
        ("behaviour", "measured"),
        ("behaviour:device", "cpu"),
        ("behaviour:precision", "float64"),
        ("behaviour:prompt-set", "mbom-prompts-1"),
        ("behaviour:record:sha256", "b" * 64),
        ("language", "en"),
        ("language", "no"),
        ("tokenizer:chat-template", CHAT_TEMPLATE),
        ("tokenizer:file", "tokenizer_config.json"),
    ]
    assert len(told(card)) == len(others) + len(list(figures(boms.facts())))


def test_a_model_that_was_not_measured_says_so() -> None:
    card = model_of(boms.build(behaviour=None))["modelCard"]
    assert isinstance(card, dict)
    assert "quantitativeAnalysis" not in card
    assert [pair for pair in told(card) if pair[0].startswith("behaviour")] == [("behaviour", "not measured")]


def test_a_folder_is_named_by_its_digest_and_claims_no_repository() -> None:
    model = model_of(boms.build(boms.folder(boms.inventory())))
    assert model["purl"] == f"pkg:generic/my%20model@sha256:{DIGEST}"
    assert (model["name"], model["version"]) == ("my model", f"sha256:{DIGEST}")
    assert not {"group", "publisher", "externalReferences"} & model.keys()
    assert ("source", "folder") in told(model)


def test_a_checkpoint_of_which_nothing_is_known_has_a_valid_bom() -> None:
    held = Inventory(origin=Origin(kind="folder", name="empty"), files=(), tensors=())
    facts, _ = read_facts(held, {})
    data = boms.build(held, facts, None)
    model = model_of(data)
    assert model["description"] == "unknown architecture, 0 parameters"
    assert not {"licenses", "pedigree", "components"} & model.keys()
    assert ("licence:declared", "none") in told(model)
    assert bom.check(data, held) == ()


def test_the_strict_schema_accepts_it(data: bytes) -> None:
    # With the errors of the validator itself, past our own limits and wrapping.
    assert JsonStrictValidator(SchemaVersion.V1_7).validate_str(data.decode()) is None


def test_another_reader_finds_the_same_components(data: bytes) -> None:
    read = Bom.from_json(json.loads(data))  # type: ignore[attr-defined]
    (model,) = [item for item in read.components if item.type is ComponentType.MACHINE_LEARNING_MODEL]
    assert str(model.purl) == PURL
    assert {file.name: next(iter(file.hashes)).content for file in model.components} == {
        file.name: file.sha256 for file in boms.inventory().files
    }
    assert {component.name for component in read.components} >= {"gpt-oss-20b", "org/corpus", "chat template default"}
    read.validate()  # no dangling reference, no doubled bom-ref


def test_two_builds_are_byte_identical_whatever_the_order_of_the_input(data: bytes) -> None:
    side = dict(reversed(boms.SIDE.items()))
    config = json.loads(side["config.json"])
    same = boms.facts({**side, "config.json": json.dumps(dict(reversed(config.items()))).encode()})
    assert boms.build(boms.inventory(side), same) == data
    limits = replace(boms.BEHAVIOUR, limits=boms.BEHAVIOUR.limits[::-1])
    assert boms.build(behaviour=limits) == data


def test_another_process_with_another_hash_seed_builds_the_same_bytes(data: bytes) -> None:
    code = "import sys, boms; sys.stdout.buffer.write(boms.build())"
    for seed in ("1", "2"):
        environment = {"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path), "TZ": "Asia/Tokyo"}
        assert run([sys.executable, "-c", code], env=environment, capture_output=True, check=True).stdout == data


def test_the_time_is_stated_in_utc_in_whole_seconds(data: bytes) -> None:
    tokyo = datetime(2026, 5, 12, 19, 30, 15, tzinfo=timezone(timedelta(hours=9)))
    built = bom.build(
        inventory=boms.inventory(), facts=boms.facts(), behaviour=boms.BEHAVIOUR, tool_version="1.2.3", created=tokyo
    )
    assert built == data


def card(front_matter: str) -> bytes:
    return f"---\n{front_matter}\n---\n".encode()


BLOB = f"{HUB}/blob/{boms.REVISION}"


@pytest.mark.parametrize(
    ("front_matter", "licences"),
    [
        ("license: mit", [{"id": "MIT"}]),
        ("license: [cc-by-4.0, bsd-3-clause]", [{"id": "CC-BY-4.0"}, {"id": "BSD-3-Clause"}]),
        ("license: openmdw-1.0", [{"id": "OpenMDW-1.0"}]),
        ("license: llama4", [{"name": "llama4"}]),
        ("license: gpl", [{"name": "gpl"}]),
        ("license: other", [{"name": "other"}]),
        ("license: other\nlicense_name: modified-mit\nlicense_link: README.md",
         [{"name": "modified-mit", "url": f"{BLOB}/README.md"}]),
        ("license: other\nlicense_name: qwen\nlicense_link: https://example.org/a%20b?c=d",
         [{"name": "qwen", "url": "https://example.org/a%20b?c=d"}]),
        ("license: other\nlicense_name: qwen\nlicense_link: not/a file", [{"name": "qwen"}]),
        ("license: other\nlicense_name: qwen\nlicense_link: 'javascript:alert(1)'", [{"name": "qwen"}]),
        ("license: other\nlicense_name: qwen\nlicense_link: 'https://[x'", [{"name": "qwen"}]),
        ("license_name: own", [{"name": "own"}]),
        ("license: [llama4, gemma]\nlicense_link: README.md", [{"name": "llama4"}, {"name": "gemma"}]),
        ("license: mit\nlicense_link: https://example.org", [{"id": "MIT"}]),
    ],
)  # fmt: skip
def test_licences_are_given_by_spdx_id_only_where_there_is_one(
    front_matter: str, licences: list[dict[str, str]]
) -> None:
    side = {**boms.SIDE, "README.md": card(front_matter)}
    model = model_of(boms.build(boms.inventory(side), boms.facts(side)))
    shown = json.loads(json.dumps(model["licenses"]))
    for item in shown:
        item["license"].pop("properties", None)
    assert shown == [{"license": {**licence, "acknowledgement": "declared"}} for licence in licences]


HOSTILE_CARDS = [
    "base_model: ['../../etc', 'a/b/c', 'x', 'o/n@r', 'ö/é', '%2e/%2e', ' / ', '/', 'a/', '/b', '-/-', '?#/q']",
    "datasets: ['../..', 'https://evil.example/x', 'a b', '<script>', '%', 'ü', '#?&', 'javascript:x', '//', '\\']",
    "pipeline_tag: '<b>'\nlanguage: ['', x]\nlicense: '-'",
    "license: 'MIT OR Apache-2.0'\nlicense_name: \"'; drop\"",
    "license: [other, mit, MIT]\nlicense_link: 'http://'",
    "license_link: 'https://a/%zz'",
    f"license_link: 'https://a/{'b' * 480}'",
]


@pytest.mark.parametrize("front_matter", HOSTILE_CARDS)
def test_whatever_a_card_says_the_bom_is_valid(front_matter: str) -> None:
    side = {**boms.SIDE, "README.md": card(front_matter)}
    held = boms.inventory(side)
    assert bom.check(boms.build(held, boms.facts(side)), held) == ()


NAMES = [
    "a b.txt",
    "ünï.md",
    "x#y?z",
    "100%.json",
    "a/b/../c".replace("..", "dd"),
    "checkpoint",
    "tool:mbom",
    "<i>.py",
    "'\"",
]


def test_whatever_files_are_named_the_bom_is_valid() -> None:
    base = boms.inventory()
    odd = (FileRecord(name=name, size=1, sha256="e" * 64, role="other") for name in NAMES)
    held = replace(base, files=tuple(sorted((*base.files, *odd), key=lambda file: file.name)))
    assert bom.check(boms.build(held), held) == ()


def test_a_checkpoint_of_thousands_of_files_has_a_valid_bom() -> None:
    files = tuple(FileRecord(name=f"{number:06}", size=1, sha256="e" * 64, role="other") for number in range(5000))
    held = Inventory(origin=Origin(kind="folder", name="many"), files=files, tensors=())
    facts, _ = read_facts(held, {})
    assert bom.check(boms.build(held, facts, None), held) == ()


def test_notes_on_what_could_not_be_counted_are_in_the_card() -> None:
    held = shapes.inventory([("model.layers.0.w.weight", "U32", (4, 4))])
    facts, _ = read_facts(held, {})
    data = boms.build(held, facts, None)
    assert bom.check(data, held, facts) == ()
    assert ("parameters:note", facts.parameters.notes[0]) in told(model_of(data)["modelCard"])


def test_a_packed_checkpoint_states_how_it_is_packed() -> None:
    section = {"quant_method": "compressed-tensors", "format": "pack-quantized", "bits": 4}
    config = json.dumps({"torch_dtype": "bfloat16", "quantization_config": section}).encode()
    held = shapes.inventory([("w.weight_packed", "I32", (8, 1)), ("w.weight_scale", "BF16", (8, 1))])
    facts, _ = read_facts(held, {"config.json": config})
    data = boms.build(held, facts, None)
    assert bom.check(data, held, facts) == ()
    assert {
        ("architecture:dtype", "bfloat16"),
        ("packing", "int4 in int32"),
        ("parameters:total", "64"),
        ("quantisation:bits", "4"),
        ("quantisation:format", "pack-quantized"),
        ("quantisation:method", "compressed-tensors"),
    } <= set(told(model_of(data)["modelCard"]))
