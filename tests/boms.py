"""A BOM of gpt-oss-20b: its inventory with made-up digests, its facts, and a behaviour summary."""

import functools
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

import shapes

from mbom import bom, strictjson
from mbom.bom import BehaviourSummary
from mbom.bom.build import Spec
from mbom.digest import sha256
from mbom.facts import Facts
from mbom.facts.reading import read_facts
from mbom.inventory import DeclaredFile, FileRecord, Inventory
from mbom.inventory.roles import role
from mbom.source import Origin
from mbom.strictjson import Json

REVISION = "6cee5e81ee83917806bbde320786a8fb61efebee"
CREATED = datetime(2026, 5, 12, 10, 30, 15, 999, tzinfo=UTC)
CARD = b"""---
license: apache-2.0
pipeline_tag: text-generation
language: [en, no]
base_model: openai/gpt-oss-base
base_model_relation: quantized
datasets: [org/corpus]
---
# gpt-oss
"""
SIDE = {
    "README.md": CARD,
    "chat_template.jinja": b"{{ messages }}",
    "config.json": shapes.config("gpt-oss-20b"),
    "tokenizer_config.json": b'{"auto_map": {"AutoTokenizer": ["own.Tokenizer", null]}}',
}
BEHAVIOUR = BehaviourSummary(
    weights=60,
    trials=40,
    least_trial=5.2e5,
    deployed=None,
    record_sha256="b" * 64,
    prompt_set="mbom-prompts-1",
    prompts=8,
    positions=2048,
    layers=24,
    experts=768,
    experts_reached=741,
    device="cpu",
    precision="float64",
    limits=(("router_margin", 1e-6), ("relative_error", 1e-9)),
)


def inventory(side: Mapping[str, bytes] = SIDE) -> Inventory:
    """Return the inventory of a small hub repository: one shard, side files, one other weight set."""
    tensors = shapes.records(shapes.gpt_oss(24, 32))
    files = [FileRecord(name=n, size=len(data), sha256=sha256(data), role=role(n)) for n, data in side.items()]
    files.append(FileRecord(name="model.safetensors", size=tensors[-1].end, sha256="a" * 64, role="weights"))
    declared = (
        DeclaredFile(name="metal/model.bin", size=13750886400, sha256="c" * 64, git_blob=None),
        DeclaredFile(name="original/config.json", size=376, sha256=None, git_blob="d" * 40),
    )
    return Inventory(
        origin=Origin(kind="hub", name="gpt-oss-20b", repo="openai/gpt-oss-20b", revision=REVISION),
        files=tuple(sorted(files, key=lambda file: file.name)),
        tensors=tensors,
        declared=declared,
    )


def folder(held: Inventory) -> Inventory:
    """Return the same files as a plain folder."""
    return replace(held, origin=Origin(kind="folder", name="my model"), declared=())


def facts(side: Mapping[str, bytes] = SIDE) -> Facts:
    """Return the facts of ``inventory``."""
    return read_facts(inventory(side), side)[0]


def build(
    held: Inventory | None = None,
    told: Facts | None = None,
    behaviour: BehaviourSummary | None = BEHAVIOUR,
    spec: Spec = "1.7",
) -> bytes:
    """Build the BOM of the sample, or of a variation of it."""
    return bom.build(
        inventory=held or inventory(),
        facts=told or facts(),
        behaviour=behaviour,
        tool_version="1.2.3",
        created=CREATED,
        spec=spec,
    )


@functools.cache
def everything() -> dict[str, bytes]:
    """Return BOMs of every kind by name, for tests that hold whatever mbom builds against something."""
    bare = {"config.json": SIDE["config.json"]}
    return {
        "a repository of the hub": build(),
        "a folder": build(folder(inventory())),
        "no behaviour": build(behaviour=None),
        "no card": build(inventory(bare), facts(bare), None),
        **{name: build(inventory(side), facts(side)) for name, side in _hostile().items()},
    }


def _hostile() -> dict[str, dict[str, bytes]]:
    """Return side files whose texts try to be something else in a BOM."""
    texts = {
        "markup": "<script>alert(1)</script>",
        "a way out": '"}],"components":[],"x":"',
        "a reference": "urn:cdx:f08a6ccd-4dce-4759-bd84-c626675d60a7/1#file:config.json",
        "an expression": "MIT OR (Apache-2.0",
        "every script": "\u6a21\u578b \u0645\u0648\u062f\u0644 \U0001f916",
        "a line": "x" * 512,
    }
    sides = {}
    for name, text in texts.items():
        quoted = json.dumps(text)
        lines = [f"{member}: {quoted}" for member in ("license_name", "license_link", "pipeline_tag", "library_name")]
        lists = [f"{member}: [{quoted}, org/name]" for member in ("base_model", "datasets", "language", "license")]
        card = "\n".join(["---", *lines, *lists, "---", ""]).encode()
        config = shapes.config("gpt-oss-20b", model_type=text[:256], architectures=[text[:256]])
        tokenizer = json.dumps({"chat_template": [{"name": text[:256], "template": text}]}).encode()
        sides[f"texts of {name}"] = {"README.md": card, "config.json": config, "tokenizer_config.json": tokenizer}
    return sides


def document(data: bytes) -> dict[str, Json]:
    """Parse a BOM."""
    parsed = strictjson.loads(data, what="bom")
    assert isinstance(parsed, dict)
    return parsed
