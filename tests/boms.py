"""BOMs to test with: one of gpt-oss-20b with a behaviour summary, and one of each model in ``fixtures/models``.

Configurations and cards are those of the publishers, tensor tables are exact, and digests are made up.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache, cached_property
from pathlib import Path

import published
import shapes
from syntheticrecords import RUNTIME

from mbom import bom, strictjson
from mbom.behaviour.coverage import Coverage
from mbom.bom import BehaviourSummary
from mbom.bom.format.schema import Spec
from mbom.digest import sha256
from mbom.facts import Facts
from mbom.facts.reading import read_facts
from mbom.inventory import DeclaredFile, FileRecord, Inventory, TensorRecord
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
    coverage=Coverage(
        experts=768,
        experts_reached=741,
        vocabulary=201_088,
        vocabulary_reached=1_204,
        layers=24,
        tensors_read=459,
        tensors_not_executed=(),
    ),
    runtime=replace(RUNTIME, torch="2.9.1+cu128", threads=16, isolation=("network-namespace", "rlimits")),
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


@cache
def everything() -> dict[str, bytes]:
    """Return BOMs of every kind by name, for tests that hold whatever mbom builds against something."""
    bare = {"config.json": SIDE["config.json"]}
    return {
        "a repository of the hub": build(),
        "a folder": build(folder(inventory())),
        "no behaviour": build(behaviour=None),
        "no card": build(inventory(bare), facts(bare), None),
        **{name: build(inventory(side), facts(side)) for name, side in _hostile().items()},
        **{name: of(name).bom for name in REPOSITORIES},
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


FIXTURES = Path(__file__).parent.parent / "fixtures" / "models"
REPOSITORIES = {
    "deepseek-r1": "deepseek-ai/DeepSeek-R1",
    "deepseek-v3": "deepseek-ai/DeepSeek-V3",
    "gemma-3-27b-it": "google/gemma-3-27b-it",
    "glm-5": "zai-org/GLM-5",
    "gpt-oss-120b": "openai/gpt-oss-120b",
    "gpt-oss-20b": "openai/gpt-oss-20b",
    "llama-4-scout": "meta-llama/Llama-4-Scout-17B-16E-Instruct",
    "mixtral-8x7b": "mistralai/Mixtral-8x7B-v0.1",
    "nemotron-3-nano": "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16",
    "qwen3.5-397b-a17b": "Qwen/Qwen3.5-397B-A17B",
}

# The licence text in each repository, by its key in the table of texts.
TEXTS = {
    "deepseek-r1": "mit",
    "deepseek-v3": "deepseek-la-1.0",
    "gemma-3-27b-it": "gemma-tou-2025-03-24",
    "glm-5": "mit",
    "gpt-oss-120b": "apache-2.0",
    "gpt-oss-20b": "apache-2.0",
    "llama-4-scout": "llama-4-cla-2025",
    "mixtral-8x7b": "apache-2.0",
    "nemotron-3-nano": "nvidia-open-model-2025-04-28",
    "qwen3.5-397b-a17b": "apache-2.0",
}


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A published model: its files by name, and what is made of them; the BOM has no behaviour summary."""

    inventory: Inventory
    side: Mapping[str, bytes]
    facts: Facts

    @cached_property
    def bom(self) -> bytes:
        """The BOM, built when it is first asked for."""
        return build(self.inventory, self.facts, None)


@cache
def of(name: str) -> Sample:
    """Return a model of ``fixtures/models``."""
    return sample(name, side_of(name))


def side_of(name: str) -> dict[str, bytes]:
    """Return the side files of a model in ``fixtures/models``."""
    return {path.name: path.read_bytes() for path in sorted((FIXTURES / name).iterdir())}


def sample(name: str, side: Mapping[str, bytes]) -> Sample:
    """Return a model of ``fixtures/models`` with other side files."""
    tensors = _records(published.TABLES[name])
    files = [FileRecord(name=n, size=len(data), sha256=sha256(data), role=role(n)) for n, data in side.items()]
    size = max(tensor.end for tensor in tensors)
    files.append(FileRecord(name="model.safetensors", size=size, sha256="a" * 64, role="weights"))
    repo = REPOSITORIES[name]
    held = Inventory(
        origin=Origin(kind="hub", name=repo.partition("/")[2], repo=repo, revision=sha256(repo.encode())[:40]),
        files=tuple(sorted(files, key=lambda file: file.name)),
        tensors=tensors,
    )
    return Sample(inventory=held, side=side, facts=read_facts(held, side)[0])


@cache
def _records(table: Callable[[], Iterable[shapes.Entry]]) -> tuple[TensorRecord, ...]:
    return shapes.records(table())


def document(data: bytes) -> dict[str, Json]:
    """Parse a BOM."""
    parsed = strictjson.loads(data, what="bom")
    assert isinstance(parsed, dict)
    return parsed
