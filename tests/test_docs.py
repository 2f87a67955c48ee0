"""The reference of the BOM says what BOMs hold: each name at its place, and nothing that no BOM has."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import boms
import licencetexts
import shapes

from docs import tables
from mbom import bom
from mbom.ancestry import Compared, Sketches
from mbom.behaviour.deployed import Deployed, Distance
from mbom.bom import Affidavit, Author
from mbom.bom.format.spec16 import to_1_6
from mbom.facts import blocks, mof, tokenizer
from mbom.facts.producers import built_in
from mbom.facts.reading import read_facts
from mbom.inventory import FileRecord, Inventory
from mbom.inventory.executables import Contents
from mbom.source import Observed, Origin

PAGE = tables.PAGE.read_text(encoding="utf-8")
# What words in capitals stand for in names of properties, where that is a closed list.
WORDS = {"BLOCK": blocks.BLOCKS, "COMPONENT": (*mof.BY_KEY, mof.RECIPE.key), "ROLE": tokenizer.ROLES}

CARD = """---
license: mit
license_name: house-terms
license_link: https://example.org/terms
base_model: [google/gemma-3-4b-it, ./local]
new_version: openai/next
datasets: [org/corpus]
language: [en]
model-index: [{results: [{dataset: {name: own, type: own}, metrics: [{type: accuracy, value: 1}]}]}]
---
See [this](https://github.com/org/this).
"""
TOKENIZER = {
    "model": {"type": "BPE", "vocab": {"a": 0, "b": 1}},
    "added_tokens": [{"id": 2, "content": "<s>", "special": True}],
    "normalizer": {"type": "NFC"},
}
TEMPLATES = [{"name": "default", "template": "{{ strftime_now('%Y') }}"}]
SIDE = {
    **boms.SIDE,
    "LICENSE": licencetexts.text("apache-2.0").encode(),
    "README.md": CARD.encode(),
    "adapter_config.json": b'{"base_model_name_or_path": "org/other", "revision": "v1"}',
    "tokenizer.json": json.dumps(TOKENIZER).encode(),
    "tokenizer_config.json": json.dumps(
        {"chat_template": TEMPLATES, "tokenizer_class": "T", "bos_token": "<s>", "auto_map": {"AutoTokenizer": ["o.T"]}}
    ).encode(),
}
CONTENTS = {
    "extra.bin": Contents(format="pickle", globals=("os.system", "torch.Size")),
    "m.gguf": Contents(format="gguf"),
}
COMPARED = Compared(
    origin=Origin(kind="hub", name="base", repo="org/base", revision="2" * 40),
    model_digest="a" * 64,
    attestation="b" * 64,
    signer="ECDSA P-256, SHA256:abc",
    tensors=10,
    base_tensors=11,
    equal=3,
    moved=1,
    size=1000,
    shared=400,
    sketches=Sketches(elements=500, compared=480, near=470, distance=0.03125, error=1.5e-05),
)
SAID = Affidavit(
    author=Author(name="Jo"),
    observed=Observed(gated="auto", created=None, last_modified=None, bases=(("google/gemma-3-4b-it", "1" * 40),)),
    compared=(COMPARED,),
    producers=built_in().among(["openai", "google"]),
)
BEHAVIOUR = replace(
    boms.BEHAVIOUR,
    deployed=Deployed(
        dtype="bfloat16",
        device="cuda",
        distance=Distance(kl_mean=1.0, kl_largest=2.0, top1_agreement=0.5, largest_difference=3.0),
        reason=None,
    ),
    runtime=replace(boms.BEHAVIOUR.runtime, device="NVIDIA H200", driver="575.1", cuda="12.8"),
)
PACKED = {
    "torch_dtype": "bfloat16",
    "quantization_config": {"quant_method": "compressed-tensors", "format": "pack-quantized", "bits": 4},
    "rope_parameters": {
        name: {
            "rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 8,
            "partial_rotary_factor": 0.5,
        }
        for name in ("full_attention", "sliding_attention")
    },
}  # fmt: skip


def _build(held: Inventory, side: dict[str, bytes]) -> bytes:
    return bom.build(
        inventory=held,
        facts=read_facts(held, side, CONTENTS)[0],
        behaviour=BEHAVIOUR,
        tool_version="1.2.3",
        created=boms.CREATED,
        said=SAID,
    )


@cache
def documents() -> list[dict[str, Any]]:
    """Return every BOM of ``boms``, and others that say what those have no occasion to say."""
    held = boms.inventory(SIDE)
    code = FileRecord(name="modeling.py", size=1, sha256="e" * 64, role="code")
    held = replace(held, files=tuple(sorted((*held.files, code), key=lambda file: file.name)))
    packed = shapes.inventory([("w.weight_packed", "I32", (8, 1)), ("w.weight_scale", "BF16", (8, 1))])
    unknown = shapes.inventory([("model.layers.0.w.weight", "U32", (4, 4))])
    found = [
        *boms.everything().values(),
        _build(held, SIDE),
        _build(packed, {"config.json": json.dumps(PACKED).encode()}),
        _build(unknown, {}),
        boms.build(spec="1.6"),
    ]
    return [*map(boms.document, found), _converted()]


def _converted() -> dict[str, Any]:
    """Return a BOM of 1.6 that says something otherwise than its original, which only others' documents do."""
    document: dict[str, Any] = boms.document(boms.build())
    document["components"][0]["licenses"] = [{"expression": "MIT OR Apache-2.0"}, {"license": {"id": "MIT"}}]
    return to_1_6(document)


# ---- what BOMs hold ----

PLACES = {
    "": "the document",
    "/components/modelCard": "the model card",
    "/components/components": "a file",
    "/components/pedigree/ancestors": "an ancestor",
    "/components/licenses/license": "a licence",
    "/components/evidence/licenses/license": "a licence",
    "/formulation/workflows": "the workflow",
    "/definitions/standards/requirements": "a requirement",
}
COMPONENTS = {"pkg": "the model", "chat-template": "a chat template", "dataset": "a dataset", "runtime": "the runtime"}


def objects(value: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every object of a document with its path, without numbers."""
    if isinstance(value, dict):
        yield path, value
        for name, held in value.items():
            yield from objects(held, f"{path}/{name}")
    elif isinstance(value, list):
        for held in value:
            yield from objects(held, path)


def held_properties() -> set[tuple[str, str]]:
    """Return place and name of every property of ours, in all BOMs."""
    found: set[tuple[str, str]] = set()
    for document in documents():
        for path, item in objects(document):
            names = [entry["name"] for entry in item.get("properties", ()) if entry["name"].startswith("mbom:")]
            if names:
                place = COMPONENTS[item["bom-ref"].partition(":")[0]] if path == "/components" else PLACES[path]
                found.update((place, name) for name in names)
    return found


# ---- what the page says ----


def section(heading: str) -> str:
    """Return the part of the page below a heading, up to the next one."""
    return PAGE.partition(f"\n{heading}\n")[2].partition("\n#")[0]


def first_cells(text: str) -> list[str]:
    """Return the names in the first cell of every row of a table."""
    return [
        name for cell in re.findall(r"^\| (`[^|]*) \|", text, re.MULTILINE) for name in re.findall(r"`([^`]+)`", cell)
    ]


def told_properties() -> list[tuple[str, str]]:
    """Return place and name of every property that the page lists."""
    places = re.findall(r"^### Of (.*)$", PAGE, re.MULTILINE)
    return [(place, name) for place in places for name in first_cells(section(f"### Of {place}"))]


def pattern(name: str) -> re.Pattern[str]:
    """Return what a listed name stands for; its words in capitals stand for others."""
    word = re.compile(r"(?<![A-Za-z])[A-Z]{2,}(?![A-Za-z])")
    parts, end = "", 0
    for match in word.finditer(name):
        allowed = "|".join(map(re.escape, WORDS[match[0]])) if match[0] in WORDS else ".+"
        parts += re.escape(name[end : match.start()]) + f"(?:{allowed})"
        end = match.end()
    return re.compile(parts + re.escape(name[end:]), re.DOTALL)


def unlisted(held: set[str], told: list[str]) -> list[str]:
    return sorted(name for name in held if not any(pattern(listed).fullmatch(name) for listed in told))


def unheld(held: set[str], told: list[str]) -> list[str]:
    """Return listed names that nothing has which is not listed by a plainer one."""
    plain = set(told)
    return [
        listed
        for listed in told
        if not any(name == listed or (name not in plain and pattern(listed).fullmatch(name)) for name in held)
    ]


# ---- the tests ----


def test_every_property_of_a_bom_is_listed_at_its_place() -> None:
    told = told_properties()
    places = {place for place, _ in told}
    assert places == {*PLACES.values(), *COMPONENTS.values()}
    for place in places:
        held = {name for where, name in held_properties() if where == place}
        assert unlisted(held, [name for where, name in told if where == place]) == []


def test_every_listed_property_is_one_that_some_bom_has() -> None:
    told = told_properties()
    for place in {place for place, _ in told}:
        held = {name for where, name in held_properties() if where == place}
        assert unheld(held, [name for where, name in told if where == place]) == []


def test_nothing_is_listed_twice_at_one_place() -> None:
    told = told_properties()
    assert len(told) == len(set(told)) > 150


def test_the_names_of_objects_are_as_listed() -> None:
    held = {str(item["bom-ref"]) for document in documents() for _, item in objects(document) if "bom-ref" in item}
    told = first_cells(section("### Names"))
    assert unlisted(held, told) == []
    assert unheld(held, told) == []


def test_the_metrics_are_as_listed() -> None:
    analyses = [document["components"][0]["modelCard"].get("quantitativeAnalysis") for document in documents()]
    kinds = {metric["type"] for analysis in analyses if analysis for metric in analysis["performanceMetrics"]}
    told = first_cells(section("## Metrics"))
    assert unlisted({kind for kind in kinds if not kind.startswith("declared:")}, told) == []
    assert unheld(kinds, told) == []
    assert any(kind.startswith("declared:") for kind in kinds)


def test_the_external_references_are_as_listed() -> None:
    references = [item.get("externalReferences", ()) for document in documents() for _, item in objects(document)]
    kinds = {reference["type"] for held in references for reference in held}
    assert kinds == set(first_cells(section("### External references")))


def test_every_member_of_a_document_is_in_the_overview() -> None:
    held = {name for document in documents() for name in document}
    form = {"$schema", "bomFormat", "properties", "serialNumber", "specVersion", "version"}
    named = " ".join(first_cells(section("## How it is laid out")))
    assert {name for name in held - form if not re.search(rf"\b{name}\b", named)} == set()


def test_the_tables_are_those_of_the_code() -> None:
    assert re.findall(r"<!-- table: (\w+) -->", PAGE) == ["restrictions", "findings", "problems"]
    assert tables.filled(PAGE) == PAGE, "`python -m docs.tables` writes them"


def test_a_name_in_no_list_and_a_list_without_a_name_are_found() -> None:
    told = ["mbom:a:rule", "mbom:a:DTYPE", "mbom:tokenizer:ROLE"]
    assert unlisted({"mbom:a:rule", "mbom:a:F8", "mbom:tokenizer:bos"}, told) == []
    assert unlisted({"mbom:b", "mbom:tokenizer:other"}, told) == ["mbom:b", "mbom:tokenizer:other"]
    assert unheld({"mbom:a:rule"}, told) == ["mbom:a:DTYPE", "mbom:tokenizer:ROLE"]
