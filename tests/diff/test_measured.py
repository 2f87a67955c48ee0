"""The values of weights: read of checkpoints, estimated of bundles, and left alone where neither can be done."""

import json
from pathlib import Path

import pytest
from attesting import FIXTURE
from diffing import BUNDLE, CHECKPOINT, edited, read
from largebundles import EDITED_LAYERS, write_two

from mbom import engine
from mbom.diff import diff
from mbom.diff.measured import measured
from mbom.diff.opening import joined
from mbom.dossier import read_bundle

WEIGHT = "model.layers.2.self_attn.q_proj.weight"


def flip(root: Path) -> Path:
    """Return a copy of the fixture of which one bit of one weight is another."""
    shards = json.loads((FIXTURE / "model.safetensors.index.json").read_bytes())["weight_map"]

    def edit(data: bytes) -> bytes:
        length = int.from_bytes(data[:8], "little")
        start = 8 + length + json.loads(data[8 : 8 + length])[WEIGHT]["data_offsets"][0] + 101
        return data[:start] + bytes([data[start] ^ 0x10]) + data[start + 1 :]

    return edited(root, **{shards[WEIGHT].replace(".", "__"): edit})


def test_the_same_files_need_no_comparison_of_values() -> None:
    for old, new in ((read_bundle(BUNDLE), read(CHECKPOINT)), (read(CHECKPOINT), read(CHECKPOINT))):
        found = measured(old, new)
        assert (found.weights, found.explanations, found.notes) == (None, (), ())


def test_values_of_bundles_without_records_are_neither_read_nor_estimated(tmp_path: Path) -> None:
    new = read(edited(tmp_path, config__json=lambda data: data + b"\n"), label="new")
    found = measured(read_bundle(BUNDLE), new)
    (note,) = found.notes
    assert found.weights is None
    assert "is a bundle; give the checkpoint instead of it or beside it" in note
    assert "new has no behaviour record" in note


def test_without_the_engine_values_are_not_read_and_the_note_says_what_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "TRANSFORMERS", "0.0.1")
    old, new = read(CHECKPOINT, label="old"), read(flip(tmp_path), label="new")
    found = measured(old, new, others=[read(CHECKPOINT, label="other")])
    first, second = found.notes
    assert found.weights is None
    assert "needs transformers 0.0.1" in first
    assert "pip install" in first
    assert first.endswith("because old and new have no behaviour records")
    assert second.startswith("other was not looked at as a parent")


def test_values_of_checkpoints_are_read(tmp_path: Path) -> None:
    old, new = joined(read_bundle(BUNDLE), read(CHECKPOINT)), read(flip(tmp_path))
    told = list[tuple[str, str]]()
    found = measured(old, new, progress=lambda stage, weight: told.append((stage, weight)))
    assert found.weights is not None
    assert (found.weights.basis, len(found.weights.changed)) == ("weights", 1)
    assert found.weights.changed[0].name == WEIGHT
    assert found.weights.changed[0].rank == 1
    assert ("compare", WEIGHT) in told
    changes = diff(old, new, weights=found.weights, explanations=found.explanations, notes=found.notes)
    assert [change.status for change in changes.tensors.changes] == ["changed"]


def test_values_of_bundles_are_estimated(tmp_path: Path) -> None:
    found = measured(*map(read_bundle, write_two(tmp_path)))
    assert found.weights is not None
    assert found.weights.basis == "sketches"
    assert {change.layer for change in found.weights.changed} == set(EDITED_LAYERS)
    (note,) = found.notes
    assert note.endswith("on the word of whoever recorded them, and sketches prove no explanation")
