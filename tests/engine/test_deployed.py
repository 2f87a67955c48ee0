import json
from pathlib import Path

import fullload
import numpy as np
import pytest
import tinymodels
import torch
from tinymodels import TinyModel

from mbom import engine
from mbom.behaviour.deployed import distance
from mbom.behaviour.record import Record
from mbom.engine.budget import Budget


def measured(model: TinyModel, dtype: str) -> Record:
    return engine.measure(model.files, model.inventory(), device="cpu", deployed=dtype)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> TinyModel:
    return tinymodels.build("qwen3_moe", tmp_path_factory.mktemp("model"))


def test_the_distance_is_that_of_an_ordinary_load(model: TinyModel, tmp_path: Path) -> None:
    record = measured(model, "bfloat16")
    assert record.deployed is not None
    found = record.deployed.distance
    assert found is not None
    whole = fullload.load(model, tmp_path, dtype=torch.bfloat16)
    with torch.no_grad():
        rows = [whole(torch.tensor([prompt.token_ids])).logits[0].double() for prompt in record.prompts]
    logprobs = torch.cat(rows).log_softmax(1).numpy()
    numbers = record.numbers
    told = distance(
        numbers.top_ids,
        numbers.top_logprobs,
        np.take_along_axis(logprobs, numbers.top_ids.astype(np.int64), axis=1),
        logprobs.argmax(axis=1),
    )
    # Kernels of attention and of experts may differ from the oracle's: the distance is of the same size.
    assert 0.5 < found.kl_mean / told.kl_mean < 2
    assert abs(found.top1_agreement - told.top1_agreement) < 0.05


def test_a_wider_type_is_nearer(model: TinyModel) -> None:
    narrow, wide = measured(model, "bfloat16").deployed, measured(model, "float32").deployed
    assert narrow is not None
    assert wide is not None
    assert narrow.distance is not None
    assert wide.distance is not None
    assert wide.distance.kl_mean < narrow.distance.kl_mean / 1000


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


def test_a_model_that_does_not_fit_is_not_loaded(model: TinyModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "available_memory", lambda: None)
    record = measured(model, "bfloat16")
    assert record.deployed is not None
    assert record.deployed.distance is not None
    needed = Budget.whole_bytes
    monkeypatch.setattr(Budget, "whole_bytes", lambda budget, size: needed(budget, size) + 10**15)
    monkeypatch.setattr(engine, "available_memory", lambda: 10**13)
    record = measured(model, "bfloat16")
    assert record.deployed is not None
    assert "needs about 10000" in str(record.deployed.reason)


def test_code_of_the_repository_is_not_imported(tmp_path: Path) -> None:
    model = tinymodels.build("llama", tmp_path)
    marker = tmp_path.parent / "imported"
    (tmp_path / "modeling_evil.py").write_text(f"open({str(marker)!r}, 'w')\nclass Evil: pass\n")
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(
        json.dumps({**config, "auto_map": {"AutoModelForCausalLM": "modeling_evil.Evil"}})
    )
    record = measured(model, "bfloat16")
    assert record.deployed is not None
    assert record.deployed.distance is not None
    assert not marker.exists()
