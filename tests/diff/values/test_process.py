"""The comparison in a process of its own says what it says in this one."""

import json
from pathlib import Path

import pytest
import tinymodels
import torch
from safetensors.torch import load_file, save_file
from tinymodels import TinyModel

from mbom.diff.changes import plain
from mbom.diff.values import process
from mbom.diff.values.reply import explanation, weights
from mbom.diff.values.weights import compare
from mbom.engine.values import open_values
from mbom.errors import FormatError, RefusedError
from mbom.strictjson import Fields, Json


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[TinyModel, TinyModel]:
    folder = tmp_path_factory.mktemp("pair")
    old, new = (tinymodels.build("llama", folder / name) for name in ("old", "new"))
    tensors = load_file(new.folder / "model.safetensors")
    tensors["model.layers.1.mlp.up_proj.weight"].view(torch.int16)[3, 4] ^= 1 << 13
    save_file(tensors, new.folder / "model.safetensors")
    return old, new


def test_another_process_says_the_same(pair: tuple[TinyModel, TinyModel]) -> None:
    old, new = pair
    heard: list[tuple[str, str]] = []
    found, reasons = process.compare(
        (old.files, old.inventory()),
        (new.files, new.inventory()),
        progress=lambda stage, name: heard.append((stage, name)),
    )
    with open_values(old.files, old.inventory()) as one, open_values(new.files, new.inventory()) as other:
        assert found == compare(one, other)
        names = [*one.weights()]
    assert [reason.id for reason in reasons] == ["few-weights-edit"]
    assert reasons[0].details["bit_flips"] == 1
    assert [name for stage, name in heard if stage == "compare"] == names
    assert ("explain", "model.layers.1.mlp.up_proj.weight") in heard


@pytest.mark.slow
def test_a_file_that_was_swapped_is_refused(pair: tuple[TinyModel, TinyModel], tmp_path: Path) -> None:
    old, new = pair
    files = dict(new.files)
    files["model.safetensors"] = tmp_path / "model.safetensors"
    data = bytearray((new.folder / "model.safetensors").read_bytes())
    # A tensor that was inventoried with the same digest on both sides is not read, one that changed is.
    record = next(each for each in new.inventory().tensors if each.name == "model.layers.1.mlp.up_proj.weight")
    data[record.start] ^= 1
    files["model.safetensors"].write_bytes(data)
    with pytest.raises(RefusedError, match=r"up_proj\.weight: the bytes that were read have BLAKE3"):
        process.compare((old.files, old.inventory()), (files, new.inventory()))


@pytest.mark.slow
def test_a_configuration_that_asks_for_all_memory_ends_in_names_of_tensors(tmp_path: Path) -> None:
    old, new = (tinymodels.build("llama", tmp_path / name, seed=seed) for seed, name in enumerate(("old", "new")))
    for model in (old, new):
        config = json.loads((model.folder / "config.json").read_text())
        (model.folder / "config.json").write_text(json.dumps({**config, "head_dim": 1 << 40}))
    found, reasons = process.compare((old.files, old.inventory()), (new.files, new.inventory()))
    assert found.notes[0].startswith("weights have the names of the checkpoint, not those of a stock class: ")
    assert len(found.changed) == found.compared
    assert not reasons


# ---- what it says is read strictly ----

GROUP: dict[str, Json] = {
    "layer": 0, "role": None, "weights": 1, "changed": 1, "elements": 4, "basis": "weights", "relative": None,
    "error": 0.0, "unchanged": None, "largest": None,
}  # fmt: skip
TOLD: dict[str, Json] = {
    "basis": "weights", "compared": 1, "equal": 0, "changed": [], "by_role": [], "by_layer": [GROUP], "only_old": [],
    "only_new": [], "notes": ["one"],
}  # fmt: skip
REASON: dict[str, Json] = {
    "id": "re-encoding", "outcome": "explained", "sentence": "so", "weights": 1, "names": ["w"], "residual": 0.0,
    "details": {},
}  # fmt: skip


def test_what_was_said_is_what_is_read() -> None:
    assert plain(weights(Fields(dict(TOLD), "it"))) == TOLD
    assert plain(explanation(Fields(dict(REASON), "it"))) == REASON


@pytest.mark.parametrize(
    "change",
    [{"basis": "faith"}, {"compared": -1}, {"equal": True}, {"only_old": [1]}, {"more": 1}, {"changed": [{}]}],
)
def test_other_words_about_weights_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(FormatError, match=r"^it"):
        weights(Fields({**TOLD, **change}, "it"))  # type: ignore[dict-item]


@pytest.mark.parametrize("change", [{"id": "magic"}, {"outcome": "certain"}, {"details": []}, {"weights": 1.5}])
def test_other_words_about_reasons_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(FormatError, match=r"^it"):
        explanation(Fields({**REASON, **change}, "it"))  # type: ignore[dict-item]
