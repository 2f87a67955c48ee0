"""Tokenizer, chat templates, code and pickles in the BOM."""

import json
from dataclasses import replace

import boms
from boms import document

from mbom.bom.format.lint import lint
from mbom.bom.format.schema import schema_problems
from mbom.facts.reading import read_facts
from mbom.inventory.executables import Contents
from mbom.inventory.record import FileRecord
from mbom.strictjson import Json

TEMPLATES = [{"name": "default", "template": "{{ strftime_now('%Y') }}"}, {"name": "tool_use", "template": "x"}]
SIDE = {
    **boms.SIDE,
    "additional_chat_templates/rag.jinja": b"{{ messages.__class__ }}",
    "tokenizer.json": json.dumps({"model": {"type": "BPE", "vocab": {"a": 0, "b": 1}}, "added_tokens": [
        {"id": 2, "content": "<s>", "special": True}], "normalizer": {"type": "NFC"}}).encode(),
    "tokenizer_config.json": json.dumps(
        {"chat_template": TEMPLATES, "tokenizer_class": "T", "bos_token": "<s>"}).encode(),
}  # fmt: skip
CONTENTS = {
    "extra.bin": Contents(format="pickle", globals=("os.system", "torch.Size")),
    "m.gguf": Contents(format="gguf"),
}


def built() -> dict[str, Json]:
    held = boms.inventory(SIDE)
    code = FileRecord(name="modeling.py", size=1, sha256="e" * 64, role="code")
    held = replace(held, files=tuple(sorted((*held.files, code), key=lambda file: file.name)))
    facts, _ = read_facts(held, SIDE, CONTENTS)
    return document(boms.build(held, facts))


def told(item: Json, prefix: str) -> list[tuple[str, str]]:
    assert isinstance(item, dict)
    held = item["properties"]
    assert isinstance(held, list)
    pairs = [(str(entry["name"]), str(entry["value"])) for entry in held if isinstance(entry, dict)]
    return [(name, value) for name, value in pairs if name.startswith(f"mbom:{prefix}")]


def components(bom: dict[str, Json]) -> dict[str, dict[str, Json]]:
    held = bom["components"]
    assert isinstance(held, list)
    return {str(item["bom-ref"]): item for item in held if isinstance(item, dict)}


def test_every_template_is_a_hashed_component_with_its_findings() -> None:
    found = components(built())
    refs = [
        "chat-template:chat_template.jinja#default",
        "chat-template:additional_chat_templates/rag.jinja#rag",
        "chat-template:tokenizer_config.json#default",
        "chat-template:tokenizer_config.json#tool_use",
    ]
    assert [ref for ref in found if ref.startswith("chat-template:")] == refs
    assert found[refs[3]]["hashes"] == [
        {"alg": "SHA-256", "content": "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"}
    ]
    assert found[refs[3]]["type"] == "data"
    assert found[refs[3]]["data"] == [{"type": "definition", "name": "tool_use"}]
    assert told(found[refs[2]], "chat-template") == [
        ("mbom:chat-template:file", "tokenizer_config.json"),
        ("mbom:chat-template:finding", "template-clock"),
        ("mbom:chat-template:pointer", "/chat_template/0/template"),
    ]
    assert ("mbom:chat-template:finding", "template-escape") in told(found[refs[1]], "chat-template")


def test_the_model_depends_on_its_templates_and_they_on_their_files() -> None:
    bom = built()
    held = bom["dependencies"]
    assert isinstance(held, list)
    edges = {str(item["ref"]): item.get("dependsOn") for item in held if isinstance(item, dict)}
    model = edges[next(iter(components(bom)))]
    assert isinstance(model, list)
    assert [ref for ref in model if str(ref).startswith("chat-template:")] == [
        ref for ref in components(bom) if ref.startswith("chat-template:")
    ]
    assert edges["chat-template:tokenizer_config.json#tool_use"] == ["file:tokenizer_config.json"]
    assert schema_problems(bom) == ()
    assert lint(bom) == ()


def test_the_card_tells_the_tokenizer() -> None:
    model = next(iter(components(built()).values()))
    assert told(model["modelCard"], "tokenizer:")[:8] == [
        ("mbom:tokenizer:added", "1"),
        ("mbom:tokenizer:base", "2"),
        ("mbom:tokenizer:bos", "<s>"),
        ("mbom:tokenizer:chat-template", "chat-template:additional_chat_templates/rag.jinja#rag"),
        ("mbom:tokenizer:chat-template", "chat-template:chat_template.jinja#default"),
        ("mbom:tokenizer:chat-template", "chat-template:tokenizer_config.json#default"),
        ("mbom:tokenizer:chat-template", "chat-template:tokenizer_config.json#tool_use"),
        ("mbom:tokenizer:class", "T"),
    ]
    assert ("mbom:tokenizer:step", "01 normalizer: NFC") in told(model["modelCard"], "tokenizer:step")


def test_the_model_tells_code_and_pickles() -> None:
    model = next(iter(components(built()).values()))
    assert told(model, "code:") + told(model, "pickle:") == [
        ("mbom:code:count", "1"),
        ("mbom:code:file", "Python: modeling.py"),
        ("mbom:code:format", "gguf: m.gguf"),
        ("mbom:pickle:count", "1"),
        ("mbom:pickle:file", "extra.bin: pickle, 1 globals that are known to be harmless, 1 others"),
        ("mbom:pickle:global", "extra.bin: os.system"),
    ]


def test_nothing_is_said_of_pickles_where_nobody_looked() -> None:
    model = next(iter(components(document(boms.build())).values()))
    assert told(model, "pickle:") == []
