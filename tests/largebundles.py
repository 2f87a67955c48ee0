"""Two unsigned bundles in the shape of gpt-oss-120b, the second one trained further in a few places."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import shapes
import syntheticrecords as synthetic

from mbom import bom, bundle
from mbom.behaviour import prompts as prompt_sets
from mbom.behaviour.coverage import Coverage
from mbom.behaviour.prompts import POSITIONS
from mbom.behaviour.record import Record, summarise
from mbom.digest import sha256
from mbom.facts.reading import read_facts
from mbom.inventory import FileRecord, Inventory
from mbom.inventory.record import TensorRecord
from mbom.inventory.roles import role
from mbom.source import Origin

LAYERS, EXPERTS, CHOSEN, VOCABULARY = 36, 128, 4, 201_088
SHARDS = 15
EDITED_LAYERS = (7, 21)  # whose tensors have other digests, and whose sketches moved
CREATED = datetime(2026, 11, 2, 8, 30, tzinfo=UTC)


def write_two(folder: Path) -> tuple[Path, Path]:
    """Write the bundles below ``folder`` and return their paths."""
    record = _record()
    tensors, files = _stored()
    paths = folder / "old.mbom", folder / "new.mbom"
    _write(paths[0], tensors, files, shapes.config("gpt-oss-120b"), record, revision="a" * 40)
    changed = tuple(
        replace(tensor, blake3=sha256(tensor.blake3.encode())) if _edited(tensor.name) else tensor for tensor in tensors
    )
    shards = {tensor.file for tensor in changed if _edited(tensor.name)}
    files = tuple(replace(file, sha256=sha256(file.sha256.encode())) if file.name in shards else file for file in files)
    config = shapes.config("gpt-oss-120b", rope_theta=200000)
    _write(paths[1], changed, files, config, _trained(record), revision="b" * 40)
    return paths


def _edited(name: str) -> bool:
    return any(f".layers.{layer}." in name for layer in EDITED_LAYERS)


def _stored() -> tuple[tuple[TensorRecord, ...], tuple[FileRecord, ...]]:
    entries = sorted(shapes.gpt_oss(LAYERS, EXPERTS))
    names = [f"model-{number:05}-of-{SHARDS:05}.safetensors" for number in range(SHARDS)]
    parts = [shapes.records(entries[number::SHARDS], name) for number, name in enumerate(names)]
    tensors = sorted((tensor for part in parts for tensor in part), key=lambda tensor: tensor.name)
    files = [
        FileRecord(name=name, size=part[-1].end, sha256=f"{number + 1:064x}", role=role(name))
        for number, (name, part) in enumerate(zip(names, parts, strict=True))
    ]
    return tuple(replace(tensor, blake3=f"{number:064x}") for number, tensor in enumerate(tensors)), tuple(files)


def _record() -> Record:
    prompts = synthetic.fixed_prompts(VOCABULARY, POSITIONS)
    weights = synthetic.gpt_oss_120b()
    rng = np.random.default_rng(3)
    few = synthetic.random_numbers(
        POSITIONS * len(prompts),
        layers=LAYERS,
        router_layers=tuple(range(LAYERS)),
        chosen=CHOSEN,
        experts=EXPERTS,
        vocabulary=1000,
    )
    numbers = replace(
        few,
        sketches=rng.normal(size=sum(weight.size for weight in weights)),
        embedding_rows=rng.normal(size=VOCABULARY),
        head_rows=rng.normal(size=VOCABULARY),
    )
    coverage = Coverage.of(
        prompts,
        numbers,
        experts=LAYERS * EXPERTS,
        vocabulary=VOCABULARY,
        tensors_read=len(weights),
        tensors_not_executed=(),
    )
    return Record(
        model_digest="0" * 64,
        prompts=prompts,
        runtime=synthetic.RUNTIME,
        coverage=coverage,
        weights=weights,
        embedding=synthetic.EMBEDDING,
        head=synthetic.HEAD,
        numbers=numbers,
        summaries=summarise(prompts, numbers, lambda token: f"<{token}>"),
    )


def _trained(record: Record) -> Record:
    """Return the record with the sketches of some layers moved by a hundredth, and its answers by a tenth of a nat."""
    rng = np.random.default_rng(5)
    sketches, start = record.numbers.sketches.copy(), 0
    for weight in record.weights:
        if weight.layer in EDITED_LAYERS:
            sketches[start : start + weight.size] *= 1 + 0.01 * rng.normal(size=weight.size)
        start += weight.size
    moved = record.numbers.top_logprobs + 0.1 * rng.normal(size=record.numbers.top_logprobs.shape)
    total = np.log(np.exp(moved).sum(axis=1) + 1 - np.exp(record.numbers.top_logprobs).sum(axis=1))
    order = np.argsort(-moved, axis=1)
    return synthetic.with_numbers(
        record,
        replace(
            record.numbers,
            sketches=sketches,
            top_ids=np.take_along_axis(record.numbers.top_ids, order, axis=1),
            top_logprobs=np.take_along_axis(moved, order, axis=1) - total[:, None],
        ),
    )


def _write(
    path: Path,
    tensors: tuple[TensorRecord, ...],
    weights: tuple[FileRecord, ...],
    config: bytes,
    record: Record,
    *,
    revision: str,
) -> None:
    side: Mapping[str, bytes] = {"config.json": config, "chat_template.jinja": b"{{ messages }}"}
    files = [FileRecord(name=name, size=len(data), sha256=sha256(data), role=role(name)) for name, data in side.items()]
    inventory = Inventory(
        origin=Origin(kind="hub", name="openai/gpt-oss-120b", repo="openai/gpt-oss-120b", revision=revision),
        files=tuple(sorted([*weights, *files], key=lambda file: file.name)),
        tensors=tensors,
    )
    facts, _ = read_facts(inventory, side)
    measured = replace(record, model_digest=inventory.digest)
    document = measured.to_json()
    built = bom.build(
        inventory=inventory,
        facts=facts,
        behaviour=bom.BehaviourSummary.of(measured, document),
        tool_version="1",
        created=CREATED,
    )
    members = {
        bundle.INVENTORY: inventory.to_bytes(),
        bundle.BOM: built,
        bundle.BEHAVIOUR: document,
        bundle.BEHAVIOUR_NUMBERS: measured.to_safetensors(),
    }
    bundle.write(path, members, force=False)


assert prompt_sets.PROMPTS * POSITIONS == 2048  # as many positions as honest records have
