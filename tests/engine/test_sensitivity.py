from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tinymodels
import torch
from tinymodels import TinyModel

from mbom.behaviour.compare import compare
from mbom.behaviour.prompts import seeded
from mbom.behaviour.record import SKETCH_LIMIT, Record
from mbom.behaviour.sketches import Flip, role
from mbom.engine import run
from mbom.engine.dequantise import fp8_blocks
from mbom.engine.weights import Weight, _moved

MODELS: dict[str, Callable[[Path], TinyModel]] = {
    "gpt_oss in MXFP4": lambda folder: tinymodels.quantise_mxfp4(tinymodels.build("gpt_oss", folder)),
    "qwen3_moe": partial(tinymodels.build, "qwen3_moe"),
    "deepseek_v3 in FP8": lambda folder: tinymodels.quantise_fp8(tinymodels.build("deepseek_v3", folder)),
    "llama, tied": partial(tinymodels.build, "llama", settings={"tie_word_embeddings": True}),
}


def measured(model: TinyModel, *, trials: int = 0) -> Record:
    return run.measured(
        model.files,
        model.inventory(),
        seeded(256),
        sensitivity=trials,
        device=torch.device("cpu"),
        isolation=("none",),
        emit=lambda _report: None,
    )


def move(model: TinyModel, flip: Flip) -> None:
    """Turn the last bit of the element in the file itself."""
    tensor = next(tensor for tensor in model.inventory().tensors if tensor.name == flip.stored)
    width = {"BF16": 2, "F32": 4, "U8": 1, "F8_E4M3": 1}[tensor.dtype]
    with (model.folder / tensor.file).open("r+b") as file:
        file.seek(tensor.start + width * flip.element)
        byte = file.read(1)[0]
        file.seek(-1, 1)
        file.write(bytes([byte ^ 1]))


@pytest.mark.parametrize("name", MODELS)
def test_a_trial_says_what_the_edit_of_the_file_then_shows(name: str, tmp_path: Path) -> None:
    model = MODELS[name](tmp_path)
    reference = measured(model, trials=200)
    seen = {flip.weight: flip for flip in reference.sensitivity}
    for flip in list(seen.values())[::8]:
        move(model, flip)
        found = compare(reference, measured(model))
        move(model, flip)
        assert found.verdict == "mismatch"
        difference = found.weights[0]
        assert [each.weight.name for each in found.weights] == [flip.weight]
        assert difference.part is None or difference.part == "token" or difference.indices == (flip.slice,)
        assert difference.error == pytest.approx(flip.error, rel=1e-6)
    assert compare(reference, measured(model)).verdict == "match"


def test_trials_reach_every_kind_of_weight_and_all_show(tmp_path: Path) -> None:
    record = measured(tinymodels.quantise_mxfp4(tinymodels.build("gpt_oss", tmp_path)), trials=60)
    assert len(record.sensitivity) == 60
    assert {role(flip.weight) for flip in record.sensitivity} == {weight.role for weight in record.weights}
    assert min(flip.error for flip in record.sensitivity) > 1e3 * SKETCH_LIMIT


def test_trials_change_nothing_else_in_the_record(tmp_path: Path) -> None:
    model = tinymodels.build("qwen3_moe", tmp_path)
    tried, plain = measured(model, trials=40), measured(model)
    assert replace(tried, sensitivity=()) == plain
    assert measured(model, trials=40) == tried


def test_a_zero_is_passed_over_for_a_neighbour(tmp_path: Path) -> None:
    def empty(tensors: dict[str, torch.Tensor]) -> None:
        for value in tensors.values():
            value.view(-1)[: value.numel() // 3] = 0.0

    record = measured(tinymodels.build("llama", tmp_path, alter=empty), trials=60)
    assert min(flip.error for flip in record.sensitivity) > SKETCH_LIMIT


def test_a_weight_of_zeros_alone_shows_any_change(tmp_path: Path) -> None:
    def empty(tensors: dict[str, torch.Tensor]) -> None:
        tensors["model.norm.weight"].zero_()

    record = measured(tinymodels.build("llama", tmp_path, alter=empty), trials=60)
    assert {flip.error for flip in record.sensitivity if flip.weight == "model.norm.weight"} == {1.0}


def test_a_scale_that_would_become_no_number_moves_the_other_way() -> None:
    codes = torch.full((2, 2), 0x7E, dtype=torch.uint8).view(torch.float8_e4m3fn)  # the next code is NaN
    weight = Weight(name="w", shape=(2, 2), stored=("w", "s"), decode=lambda w, s: fp8_blocks(w, s, block=(2, 2)))
    scale = torch.ones((1, 1), dtype=torch.float32)
    values = _moved(weight, [codes, scale], 3)
    assert values is not None
    assert np.array_equal(values.numpy(), [[448.0, 448.0], [448.0, 416.0]])
