from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tinymodels
import torch
from streamed import stream
from tinymodels import TinyModel

from mbom import engine
from mbom.behaviour.numbers import Numbers
from mbom.behaviour.prompts import Prompt, seeded
from mbom.behaviour.record import Record
from mbom.engine import reporting, run, stock
from mbom.engine.reporting import MeasureProgress
from mbom.errors import EngineError, FormatError, RefusedError
from mbom.strictjson import Json

CPU = torch.device("cpu")


def measured(model: TinyModel, prompts: tuple[Prompt, ...], device: torch.device = CPU) -> Record:
    return run.measured(
        model.files, model.inventory(), prompts, device=device, isolation=("none",), emit=lambda _report: None
    )


def prompt(*token_ids: int) -> Prompt:
    return Prompt(id="test", kind="text", variant=None, token_ids=token_ids)


def short(length: int) -> tuple[Prompt, ...]:
    return tuple(replace(item, token_ids=item.token_ids[:length]) for item in seeded(256)[:2])


def test_a_checkpoint_is_measured_in_a_child_process(tmp_path: Path) -> None:
    model = tinymodels.quantise_mxfp4(tinymodels.build("gpt_oss", tmp_path))
    reports: list[engine.MeasureProgress] = []
    record = engine.measure(model.files, model.inventory(), device="cpu", progress=reports.append)
    assert record.model_digest == model.inventory().digest
    assert record.prompts == seeded(256)  # there is no tokenizer
    assert record.numbers.positions == 2048
    assert record.coverage.experts == 24
    assert record.coverage.experts_reached == 24
    assert record.coverage.tensors_read == len(model.inventory().tensors)
    assert record.runtime.device == "cpu"
    assert "rlimits" in record.runtime.isolation
    steps = [(report.phase, report.done, report.total, report.experts_read) for report in reports]
    assert list(dict.fromkeys(steps)) == [
        ("layer", 0, 3, 0), ("layer", 1, 3, 8), ("layer", 2, 3, 16), ("layer", 3, 3, 24),
        ("output head", 0, 1, 24), ("output head", 1, 1, 24),
        ("unused tensors", 0, 1, 24), ("unused tensors", 1, 1, 24),
    ]  # fmt: skip
    whole = sum(tensor.end - tensor.start for tensor in model.inventory().tensors)
    assert {(report.experts, report.bytes_total) for report in reports} == {(24, whole)}
    read = [report.bytes_read for report in reports]
    assert read == sorted(read)
    assert (read[0], read[-1]) == (0, whole)
    assert Record.from_bytes(record.to_json(), record.to_safetensors()) == record


@pytest.mark.parametrize("family", ["gemma4", "llama4"])
def test_the_record_of_a_composite_lists_what_was_not_run(family: str, tmp_path: Path) -> None:
    model = tinymodels.build(family, tmp_path)
    inventory = model.inventory()
    record = engine.measure(model.files, inventory, device="cpu")
    towers = [tensor.name for tensor in inventory.tensors if "vision" in tensor.name]
    assert towers
    assert set(towers) <= set(record.coverage.tensors_not_executed)
    assert record.coverage.tensors_read == len(inventory.tensors)
    assert record.coverage.vocabulary == 256
    assert record.coverage.experts == {"gemma4": 0, "llama4": 16}[family]
    assert len(record.numbers.router_layers) == {"gemma4": 0, "llama4": 2}[family]


def test_a_change_after_the_inventory_crosses_the_process_as_a_refusal(tmp_path: Path) -> None:
    model = tinymodels.build("mixtral", tmp_path)
    inventory = model.inventory()
    data = bytearray(model.files["model.safetensors"].read_bytes())
    data[-1] ^= 1
    model.files["model.safetensors"].write_bytes(data)
    last = max(inventory.tensors, key=lambda tensor: tensor.end)
    with pytest.raises(RefusedError, match=f"^{last.name}: the bytes"):
        engine.measure(model.files, inventory, device="cpu")


def test_a_configuration_changed_after_the_inventory_is_refused(tmp_path: Path) -> None:
    model = tinymodels.build("llama", tmp_path)
    inventory = model.inventory()
    path = model.files["config.json"]
    path.write_bytes(path.read_bytes().replace(b'"rms_norm_eps": 1e-06', b'"rms_norm_eps": 1e-05'))
    with pytest.raises(RefusedError, match=r"config\.json: has SHA-256"):
        engine.measure(model.files, inventory, device="cpu")


def test_a_configuration_that_no_class_takes_ends_in_an_error_of_ours(tmp_path: Path) -> None:
    model = tinymodels.build("llama", tmp_path)
    path = model.files["config.json"]
    path.write_bytes(path.read_bytes().replace(b'"hidden_size": 64', b'"hidden_size": "x"'))
    with pytest.raises(FormatError, match=r"no llama model can be built from it: .*hidden_size"):
        engine.measure(model.files, model.inventory(), device="cpu")


@pytest.mark.parametrize("vocabulary", [b'"256"', b"0", b"true"])
def test_a_vocabulary_that_is_no_number_is_refused(vocabulary: bytes, tmp_path: Path) -> None:
    model = tinymodels.build("llama", tmp_path)
    path = model.files["config.json"]
    path.write_bytes(path.read_bytes().replace(b'"vocab_size": 256', b'"vocab_size": ' + vocabulary))
    with pytest.raises(FormatError, match=r"config\.json: vocab_size is"):
        engine.measure(model.files, model.inventory(), device="cpu")


def test_a_checkpoint_without_a_configuration_cannot_be_run(tmp_path: Path) -> None:
    model = tinymodels.build("llama", tmp_path)
    model.files["config.json"].unlink()
    with pytest.raises(EngineError, match=r"the checkpoint has no config.json"):
        engine.measure(model.files, model.inventory(), device="cpu")


def test_padding_changes_nothing(tmp_path: Path) -> None:
    model = tinymodels.build("deepseek_v3", tmp_path)
    prompts = (prompt(5, 9, 200), prompt(*range(3, 40)), prompt(77))
    together = measured_numbers(model, prompts)
    first = 0
    for item in prompts:
        alone = measured_numbers(model, (item,))
        rows = slice(first, first + len(item.token_ids))
        first += len(item.token_ids)
        assert np.allclose(together.logits_projection[rows], alone.logits_projection, rtol=1e-12, atol=1e-13)
        assert np.allclose(together.residual_projection[:, rows], alone.residual_projection, rtol=1e-12, atol=1e-13)
        assert np.array_equal(together.router_ids[:, rows], alone.router_ids)
        assert np.array_equal(together.top_ids[rows], alone.top_ids)
    assert first == together.positions


def measured_numbers(model: TinyModel, prompts: tuple[Prompt, ...]) -> Numbers:
    return measured(model, prompts).numbers


def test_repeating_a_measurement_gives_the_same_bytes(tmp_path: Path) -> None:
    model = tinymodels.build("qwen3_moe", tmp_path)
    assert measured(model, seeded(256)).to_safetensors() == measured(model, seeded(256)).to_safetensors()


def test_the_child_writes_the_record_that_a_measurement_gives(tmp_path: Path) -> None:
    model = tinymodels.build("mixtral", tmp_path / "model")
    (tmp_path / "inventory.json").write_bytes(model.inventory().to_bytes())
    reports: list[Json] = []
    request: dict[str, Json] = {
        "files": {name: str(path) for name, path in model.files.items()},
        "inventory": str(tmp_path / "inventory.json"),
        "prompts": [engine._entry(item) for item in seeded(256)],
        "device": "cpu",
        "challenge": None,
        "sensitivity": 0,
        "json": str(tmp_path / "behaviour.json"),
        "safetensors": str(tmp_path / "behaviour.safetensors"),
        "isolation": ["none"],
    }
    assert run.in_child(request, reports.append) is None
    expected = measured(model, seeded(256))
    assert (tmp_path / "behaviour.json").read_bytes() == expected.to_json()
    assert (tmp_path / "behaviour.safetensors").read_bytes() == expected.to_safetensors()
    last = MeasureProgress.from_json(reports[-1], "the last report")
    assert (last.phase, last.done, last.experts_read, last.experts) == ("unused tensors", 1, 12, 12)
    assert last.bytes_read == last.bytes_total > 0


def test_summaries_carry_the_texts_of_the_checkpoint_s_tokenizer(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models

    model = tinymodels.build("llama", tmp_path)
    words: Any = {f"word{number}": number for number in range(256)}
    Tokenizer(models.WordLevel(words, unk_token="word0")).save(str(tmp_path / "tokenizer.json"))
    for token in measured(model, (prompt(5, 6, 7),)).summaries[0].tokens:
        assert token.text == f"word{token.id}"


def test_a_tokenizer_changed_after_the_inventory_is_refused(tmp_path: Path) -> None:
    model = tinymodels.build("llama", tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    inventory = model.inventory()
    (tmp_path / "tokenizer.json").write_text("{ }")
    with pytest.raises(RefusedError, match=r"tokenizer\.json: has SHA-256"):
        run.measured(model.files, inventory, (prompt(5),), device=CPU, isolation=("none",), emit=lambda _report: None)


def test_a_dense_model_has_no_routers(tmp_path: Path) -> None:
    record = measured(tinymodels.build("llama", tmp_path), seeded(256))
    assert record.numbers.routers == 0
    assert record.coverage.experts == 0
    assert Record.from_bytes(record.to_json(), record.to_safetensors()) == record


def test_router_choices_are_counted_at_real_positions_alone(tmp_path: Path) -> None:
    model = tinymodels.build("qwen3_moe", tmp_path)
    record = measured(model, (prompt(5, 6), prompt(*range(3, 60))))
    pairs = {(layer, int(expert)) for layer in range(3) for expert in record.numbers.router_ids[layer].ravel()}
    assert record.coverage.experts_reached == len(pairs)
    alone = measured(model, (prompt(5, 6),))
    assert alone.coverage.experts_reached <= 12
    assert alone.coverage.experts == 24


def test_one_ulp_in_one_weight_stands_far_above_the_noise(tmp_path: Path) -> None:
    plain = tinymodels.build("gpt_oss", tmp_path / "plain")

    def nudge(tensors: dict[str, torch.Tensor]) -> None:
        tensors["model.layers.1.self_attn.v_proj.weight"].view(torch.int16)[3, 5] += 1

    nudged = tinymodels.build("gpt_oss", tmp_path / "nudged", alter=nudge)
    before, after = measured(plain, short(64)).numbers, measured(nudged, short(64)).numbers
    difference = np.linalg.norm(after.residual_projection - before.residual_projection, axis=(1, 2))
    scale = np.linalg.norm(before.residual_projection, axis=(1, 2))
    assert difference[0] == 0
    assert (difference[1:] / scale[1:] > 1e-7).all()


def test_a_token_outside_the_embedding_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="token 256, the embedding has 256 rows"):
        measured(tinymodels.build("llama", tmp_path), (prompt(1, 256),))


def test_a_prompt_without_tokens_cannot_be_run(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="without tokens"):
        measured(tinymodels.build("llama", tmp_path), (prompt(1), prompt()))


def test_a_missing_extra_is_named_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "_EXTRA", ("torch", "mbom_no_such_package"))
    assert engine.available() == "running a checkpoint needs mbom_no_such_package: pip install 'mbom[engine]'"
    with pytest.raises(EngineError, match="pip install 'mbom"):
        engine.measure({}, None)  # type: ignore[arg-type]


def test_another_version_of_transformers_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "TRANSFORMERS", "1.2.3")
    sentence = engine.available()
    assert sentence is not None
    assert "needs transformers 1.2.3" in sentence


def test_asking_for_the_engine_imports_neither_torch_nor_transformers() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from mbom import engine; assert engine.available() is None; "
        "sys.exit(sum(name in sys.modules for name in ('torch', 'transformers', 'tokenizers')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_device_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert run.chosen_device("auto") == CPU
    with pytest.raises(EngineError, match="no CUDA device"):
        run.chosen_device("cuda")
    with pytest.raises(EngineError, match="'tpu' is none of"):
        run.chosen_device("tpu")


def test_a_matrix_used_at_both_ends_counts_twice(tmp_path: Path) -> None:
    model = tinymodels.build("qwen3", tmp_path)
    reports: list[Json] = []
    run.measured(model.files, model.inventory(), short(8), device=CPU, isolation=("none",), emit=reports.append)
    last = MeasureProgress.from_json(reports[-1], "the last report")
    stored = {tensor.name: tensor.end - tensor.start for tensor in model.inventory().tensors}
    assert last.bytes_read == last.bytes_total == sum(stored.values()) + stored["model.embed_tokens.weight"]


def test_experts_are_reported_while_their_layer_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporting, "INTERVAL", 0.0)
    model = tinymodels.build("mixtral", tmp_path)
    reports: list[Json] = []
    run.measured(model.files, model.inventory(), short(32), device=CPU, isolation=("none",), emit=reports.append)
    parsed = [MeasureProgress.from_json(report, "a report") for report in reports]
    within = [report.experts_read for report in parsed if (report.phase, report.done) == ("layer", 1)]
    assert sorted(set(within)) == [4, 5, 6, 7, 8]
    assert within == sorted(within)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("family", sorted(stock.FAMILIES))
def test_a_gpu_computes_what_the_cpu_computes(family: str, tmp_path: Path) -> None:
    model = tinymodels.build(family, tmp_path)
    if family == "gpt_oss":
        model = tinymodels.quantise_mxfp4(model)
    if family == "deepseek_v3":
        model = tinymodels.quantise_fp8(model)
    cpu, gpu = measured(model, short(100)).numbers, measured(model, short(100), torch.device("cuda")).numbers
    projections = ("logits_projection", "residual_projection", "sketches", "embedding_rows", "head_rows")
    for name in ("logsumexp", "top_logprobs", *projections):
        expected, found = getattr(cpu, name), getattr(gpu, name)
        assert np.linalg.norm(found - expected) <= 1e-12 * np.linalg.norm(expected), name
    assert np.array_equal(cpu.router_ids, gpu.router_ids)
    assert np.array_equal(cpu.top_ids, gpu.top_ids)
    ids = torch.tensor([prompt.token_ids for prompt in short(100)])
    assert stream(model, ids, device="cuda").hidden.is_cuda
