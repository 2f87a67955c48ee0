import json
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import fullload
import numpy as np
import pytest
import quantisers
import tinymodels
import torch
from tinymodels import TinyModel

from mbom import engine
from mbom.behaviour.deployed import Deployed, distance
from mbom.behaviour.record import Record
from mbom.engine.budget import Budget


def measured(model: TinyModel, dtype: str) -> Record:
    return engine.measure(model.files, model.inventory(), device="cpu", deployed=dtype)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> TinyModel:
    return tinymodels.build("qwen3_moe", tmp_path_factory.mktemp("model"))


def edit(folder: Path, **members: object) -> None:
    """Set members of config.json, further in where names hold two underscores."""
    config = json.loads((folder / "config.json").read_text())
    for name, value in members.items():
        *path, last = name.split("__")
        target = config
        for step in path:
            target = target[step]
        target[last] = value
    (folder / "config.json").write_text(json.dumps(config))


def told(model: TinyModel, record: Record, dtype: str = "bfloat16") -> Deployed:
    """Run the ordinary path of a checkpoint beside a record of the same prompts, which may be of another one."""
    return engine._deployed(model.files, model.inventory(), record, dtype=dtype, device="cpu", time_limit=None)


@pytest.fixture(scope="module")
def record(model: TinyModel) -> Record:
    return engine.measure(model.files, model.inventory(), device="cpu")


@pytest.fixture(scope="module")
def honest(model: TinyModel, record: Record) -> Deployed:
    return told(model, record)


def test_the_distance_is_that_of_an_ordinary_load(
    model: TinyModel, record: Record, honest: Deployed, tmp_path: Path
) -> None:
    found = honest.distance
    assert found is not None
    whole = fullload.load(model, tmp_path, dtype=torch.bfloat16)
    with torch.no_grad():
        rows = [whole(torch.tensor([prompt.token_ids])).logits[0].double() for prompt in record.prompts]
    logprobs = torch.cat(rows).log_softmax(1).numpy()
    numbers = record.numbers
    expected = distance(
        numbers.top_ids,
        numbers.top_logprobs,
        np.take_along_axis(logprobs, numbers.top_ids.astype(np.int64), axis=1),
        logprobs.argmax(axis=1),
    )
    # Kernels of attention and of experts may differ from the oracle's: the distance is of the same size.
    assert 0.5 < found.kl_mean / expected.kl_mean < 2
    assert abs(found.top1_agreement - expected.top1_agreement) < 0.05


@pytest.mark.slow
def test_a_wider_type_is_nearer(model: TinyModel, record: Record, honest: Deployed) -> None:
    wide = told(model, record, "float32").distance
    assert wide is not None
    assert honest.distance is not None
    assert wide.kl_mean < honest.distance.kl_mean / 1000


def test_what_transformers_cannot_load_leaves_the_record_whole(tmp_path: Path) -> None:
    """Transformers takes no FP8 whose scales lie this way without packages that are not there."""
    model = tinymodels.quantise_fp8(tinymodels.build("deepseek_v3", tmp_path))
    config = json.loads((tmp_path / "config.json").read_text())
    config["quantization_config"]["activation_scheme"] = "none of them"
    (tmp_path / "config.json").write_text(json.dumps(config))
    record = measured(model, "bfloat16")
    assert record.deployed is not None
    assert record.deployed.distance is None
    assert "transformers cannot load it" in str(record.deployed.reason)
    assert Record.from_bytes(record.to_json(), record.to_safetensors()) == record
    assert record.numbers.positions == 2048


def test_a_model_that_does_not_fit_is_not_loaded(
    model: TinyModel, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = Budget.whole_bytes
    monkeypatch.setattr(Budget, "whole_bytes", lambda budget, size: needed(budget, size) + 10**15)
    monkeypatch.setattr(engine, "available_memory", lambda: 10**13)
    found = told(model, record)
    assert found.distance is None
    assert "needs about 10000" in str(found.reason)


def test_more_memory_than_the_weights_account_for_is_not_to_be_had(
    model: TinyModel, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Budget, "whole_address_space_bytes", lambda _budget, _size, _stored: 1 << 20)
    assert "out of memory" in str(told(model, record).reason)


def without_tower(folder: Path) -> TinyModel:
    return tinymodels.build("gemma3", folder, alter=lambda tensors: drop(tensors, "vision_tower"))


def without_a_norm(folder: Path) -> TinyModel:
    """Has as many numbers as the model has parameters, and lacks one that the model needs all the same."""

    def swap(tensors: dict[str, torch.Tensor]) -> None:
        drop(tensors, "layers.1.input_layernorm")
        tensors["model.layers.9.extra.weight"] = torch.ones(1000)

    return tinymodels.build("llama", folder, alter=swap)


def drop(tensors: dict[str, torch.Tensor], part: str) -> None:
    for name in [name for name in tensors if part in name]:
        del tensors[name]


def with_a_large_tower(folder: Path) -> TinyModel:
    model = tinymodels.build("mistral3", folder)
    edit(folder, vision_config__num_hidden_layers=200, vision_config__intermediate_size=1 << 20)
    return model


def in_modelopts_words(folder: Path) -> TinyModel:
    return quantisers.build("deepseek_v3 in ModelOpt's NVFP4", folder)


def in_modelopts_own_file(folder: Path) -> TinyModel:
    """FP8 of which config.json says nothing: transformers would take it for plain weights."""
    model = tinymodels.quantise_fp8(tinymodels.build("llama", folder))
    config = json.loads((folder / "config.json").read_text())
    del config["quantization_config"]
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "hf_quant_config.json").write_text(json.dumps({"quantization": {"quant_algo": "FP8"}}))
    return model


UNLOADABLE: dict[str, tuple[Callable[[Path], TinyModel], str]] = {
    "a tower without weights": (without_tower, r"^config\.json describes a model of [\d,]+ parameters, the checkpoint"),
    "a tower larger than any memory": (with_a_large_tower, r"^config\.json describes a model of [\d,]{11,} parameters"),
    "a norm without weights": (without_a_norm, r"finds no weights for 1 parameters, of which .*input_layernorm"),
    "ModelOpt in config.json": (in_modelopts_words, "does not load weights that are stored as 'modelopt'"),
    "ModelOpt in its own file": (in_modelopts_own_file, r"does not read hf_quant_config\.json"),
}


# Each is a process that imports transformers: the default run takes the first of each kind of reason.
BRIEF = ("a tower without weights", "ModelOpt in its own file")


@pytest.mark.parametrize(
    "name", [name if name in BRIEF else pytest.param(name, marks=pytest.mark.slow) for name in UNLOADABLE]
)
def test_no_distance_is_made_up_where_weights_would_be(name: str, record: Record, tmp_path: Path) -> None:
    make, reason = UNLOADABLE[name]
    found = told(make(tmp_path), record)
    assert found.distance is None
    assert re.search(reason, str(found.reason))


@pytest.mark.parametrize(
    ("family", "quantise"), [("gpt_oss", tinymodels.quantise_mxfp4), ("deepseek_v3", tinymodels.quantise_fp8)]
)
def test_packed_weights_are_those_of_the_record(
    family: str, quantise: Callable[[TinyModel], TinyModel], tmp_path: Path
) -> None:
    found = measured(quantise(tinymodels.build(family, tmp_path)), "float32").deployed
    assert found is not None
    assert found.distance is not None
    assert found.distance.kl_mean < 1e-9
    assert found.distance.largest_difference < 1e-3


def test_the_configuration_chooses_no_kernel(
    model: TinyModel, record: Record, honest: Deployed, tmp_path: Path
) -> None:
    shutil.copytree(model.folder, tmp_path, dirs_exist_ok=True)
    edit(tmp_path, attn_implementation="org/kernel", _attn_implementation="org/kernel", transformers_weights="a.bin")
    assert told(replace(model, folder=tmp_path), record) == honest
    assert honest.distance is not None


def test_the_index_of_the_checkpoint_is_not_read(
    model: TinyModel, record: Record, honest: Deployed, tmp_path: Path
) -> None:
    shutil.copytree(model.folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "model.safetensors").rename(tmp_path / "model-00001-of-00001.safetensors")
    (tmp_path / "model.safetensors.index.json").write_text('{"weight_map": {"x": "../../elsewhere.safetensors"}}')
    assert told(replace(model, folder=tmp_path), record) == honest
    assert honest.distance is not None


@pytest.mark.slow
def test_a_reason_names_no_folder_of_this_machine(model: TinyModel, record: Record, tmp_path: Path) -> None:
    shutil.copytree(model.folder, tmp_path, dirs_exist_ok=True)
    bent, files = replace(model, folder=tmp_path), dict(replace(model, folder=tmp_path).files)
    inventory = bent.inventory()
    (tmp_path / "model.safetensors").unlink()
    found = engine._deployed(files, inventory, record, dtype="bfloat16", device="cpu", time_limit=None)
    assert "found in directory checkpoint" in str(found.reason)
    assert tempfile.gettempdir() not in str(found.reason)


def test_code_of_the_repository_is_not_imported(record: Record, tmp_path: Path) -> None:
    model = tinymodels.build("llama", tmp_path)
    marker = tmp_path.parent / "imported"
    (tmp_path / "modeling_evil.py").write_text(f"open({str(marker)!r}, 'w')\nclass Evil: pass\n")
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(
        json.dumps({**config, "auto_map": {"AutoModelForCausalLM": "modeling_evil.Evil"}})
    )
    assert told(model, record).distance is not None
    assert not marker.exists()
