"""Values of weights one at a time, against those of an ordinary full load, in any order and from hostile files."""

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import fullload
import numpy as np
import pytest
import quantisers
import tinymodels
import torch
from safetensors.torch import load_file, save_file
from tinymodels import TinyModel
from torch import Tensor

from mbom.behaviour import values
from mbom.behaviour.values import Encoded, Floats, InBlocks
from mbom.engine.values import CheckpointValues, open_values
from mbom.errors import EngineError, RefusedError

Build = Callable[[Path], TinyModel]

MODELS: dict[str, Build] = {
    "llama": partial(tinymodels.build, "llama"),
    "qwen3, tied": partial(tinymodels.build, "qwen3"),
    "gpt_oss": partial(tinymodels.build, "gpt_oss"),
    "gpt_oss in MXFP4": lambda folder: tinymodels.quantise_mxfp4(tinymodels.build("gpt_oss", folder)),
    "deepseek_v3 in FP8": lambda folder: tinymodels.quantise_fp8(tinymodels.build("deepseek_v3", folder)),
    **{name: partial(quantisers.build, name) for name in quantisers.FORMATS if "moe" in name},
}


def opened(model: TinyModel) -> CheckpointValues:
    return open_values(model.files, model.inventory())


@pytest.mark.parametrize("name", MODELS)
def test_values_are_those_of_a_full_load_under_the_names_of_the_stock_class(name: str, tmp_path: Path) -> None:
    model = MODELS[name](tmp_path / "model")
    loaded = fullload.load(model, tmp_path / "plain", dtype=torch.float64)
    expected: dict[str, Any] = {each: value.detach() for each, value in loaded.named_parameters()}
    expected |= {each: value for each, value in loaded.state_dict().items() if "inv_" not in each}
    if loaded.get_output_embeddings().weight is loaded.get_input_embeddings().weight:
        expected.pop("lm_head.weight", None)
    with opened(model) as found:
        assert set(found.weights()) == set(expected)
        assert not found.notes
        for weight in found.weights().values():
            whole = expected[weight.name].to(torch.float64).numpy()
            assert weight.shape == whole.shape
            assert np.array_equal(found.read(weight.name), whole), weight.name
            assert np.array_equal(np.concatenate([*found.blocks(weight.name, 700)]).reshape(weight.shape), whole)
            if weight.slices > 1:
                # Backwards, so that each slice but the first is asked for out of order.
                for part in reversed(range(weight.slices)):
                    assert np.array_equal(found.read(weight.name, part), whole[part]), (weight.name, part)


def test_the_kind_of_each_weight_is_said_as_people_say_it(tmp_path: Path) -> None:
    model = MODELS["gpt_oss in MXFP4"](tmp_path)
    with opened(model) as found:
        experts = found.weights()["model.layers.1.mlp.experts.gate_up_proj"]
        assert (experts.dtype, experts.slices, experts.layer) == ("mxfp4", 8, 1)
        assert experts.role == "model.layers.*.mlp.experts.gate_up_proj"
        assert found.weights()["model.norm.weight"].dtype == "bfloat16"
        assert isinstance(found, InBlocks)
        assert isinstance(found, Encoded)


def test_stored_weights_have_the_names_of_the_checkpoint_and_the_same_values(tmp_path: Path) -> None:
    model = MODELS["qwen3_moe in FP8 by rows"](tmp_path)
    with opened(model) as found:
        stored = values.stored(found)
        assert set(stored.weights()) == set(model.values)
        for name, expected in model.values.items():
            assert np.array_equal(stored.read(name), expected.numpy()), name


def rewritten(model: TinyModel, folder: Path, change: Callable[[dict[str, Tensor]], object]) -> TinyModel:
    tensors = load_file(model.folder / "model.safetensors")
    change(tensors)
    folder.mkdir()
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "model.safetensors")
    (folder / "config.json").write_bytes((model.folder / "config.json").read_bytes())
    return tinymodels.described(folder, {})


def test_digests_change_with_every_byte_that_a_value_depends_on_and_with_nothing_else(tmp_path: Path) -> None:
    model = MODELS["qwen3_moe in FP8 by rows"](tmp_path / "model")
    scale = "model.layers.1.mlp.experts.3.up_proj.weight_scale"

    def change(tensors: dict[str, Tensor]) -> None:
        tensors[scale][0] *= 2
        tensors["model.norm.weight"] = tensors["model.norm.weight"].view(torch.float16)

    other = rewritten(model, tmp_path / "other", change)
    with opened(model) as before, opened(other) as after:
        changed = {n for n, weight in before.weights().items() if weight.digest != after.weights()[n].digest}
    assert changed == {"model.layers.1.mlp.experts.gate_up_proj", "model.norm.weight"}


# ---- files that are not what was inventoried ----


def swapped(model: TinyModel, name: str, *, last: bool) -> None:
    """Flip a bit of a tensor in the file, after it was inventoried."""
    record = next(tensor for tensor in model.inventory().tensors if tensor.name == name)
    data = bytearray((model.folder / record.file).read_bytes())
    data[record.end - 1 if last else record.start] ^= 1
    (model.folder / record.file).write_bytes(data)


BLOCKS = "model.layers.1.mlp.experts.gate_up_proj_blocks"
EXPERTS = BLOCKS.removesuffix("_blocks")


def all_slices(found: CheckpointValues) -> None:
    for part in range(8):
        found.read(EXPERTS, part)


READS: dict[str, Callable[[CheckpointValues], object]] = {
    "whole": lambda found: found.read(EXPERTS),
    "by slices": all_slices,
    "one slice": lambda found: found.read(EXPERTS, 0),
    "by blocks, the first alone": lambda found: next(values.stored(found).blocks(EXPERTS, 9000)),  # type: ignore[attr-defined]
}


@pytest.mark.parametrize("last", [False, True], ids=["first byte", "last byte"])
@pytest.mark.parametrize("how", READS)
def test_a_file_that_was_swapped_after_it_was_hashed_is_refused(how: str, last: bool, tmp_path: Path) -> None:
    model = MODELS["gpt_oss in MXFP4"](tmp_path)
    inventory = model.inventory()
    swapped(model, BLOCKS, last=last)
    with pytest.raises(RefusedError, match=f"{BLOCKS}: the bytes that were read have BLAKE3"):  # noqa: SIM117 - its exit refuses too
        with open_values(model.files, inventory) as found:
            READS[how](found)


def test_a_slice_that_changes_after_it_was_read_is_refused(tmp_path: Path) -> None:
    model = MODELS["gpt_oss in MXFP4"](tmp_path)
    with opened(model) as found:
        all_slices(found)
        record = next(tensor for tensor in model.inventory().tensors if tensor.name == BLOCKS)
        with (model.folder / record.file).open("r+b") as file:
            file.seek(record.start)
            byte = file.read(1)[0]
            file.seek(record.start)
            file.write(bytes([byte ^ 1]))
        found.read(EXPERTS, 1)
        with pytest.raises(RefusedError, match=f"{BLOCKS} changed while it was compared"):
            found.read(EXPERTS, 0)


def test_a_configuration_that_was_swapped_is_refused(tmp_path: Path) -> None:
    model = MODELS["llama"](tmp_path)
    inventory = model.inventory()
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(RefusedError, match=r"config\.json: has SHA-256"):
        open_values(model.files, inventory)


# ---- checkpoints without a stock class ----


def test_a_model_type_without_a_stock_class_has_the_names_of_its_checkpoint(tmp_path: Path) -> None:
    model = MODELS["qwen3_moe in FP8 by rows"](tmp_path)
    config = (tmp_path / "config.json").read_text().replace('"qwen3_moe"', '"acme_moe"')
    (tmp_path / "config.json").write_text(config)
    with opened(model) as found:
        assert set(found.weights()) == set(model.values)
        assert found.notes[0].startswith("weights have the names of the checkpoint, not those of a stock class: ")
        assert "'acme_moe' cannot be measured" in found.notes[0]
        name = "model.layers.2.mlp.experts.5.down_proj.weight"
        assert found.weights()[name].layer == 2
        assert np.array_equal(found.read(name), model.values[name].numpy())


def test_what_is_packed_in_a_way_that_nobody_knows_has_a_digest_and_no_values(tmp_path: Path) -> None:
    model = MODELS["qwen3_moe in FP8 by rows"](tmp_path)
    config = (tmp_path / "config.json").read_text().replace("compressed-tensors", "acme-pack")
    (tmp_path / "config.json").write_text(config)
    name = "model.layers.1.mlp.experts.3.up_proj.weight"
    with opened(model) as found:
        assert found.notes == (
            (
                "what is packed was compared as bytes: config.json: quantisation by 'acme-pack' is not known; awq, "
                "compressed-tensors, fbgemm_fp8, fp8, gptq, modelopt, mxfp4 are"
            ),
        )
        assert not found.weights()[name].readable
        assert found.weights()[name].digest
        with pytest.raises(EngineError, match=f"{name}: what its bytes stand for is not known"):
            found.read(name)
        assert found.weights()["model.norm.weight"].readable


def test_a_folder_without_a_configuration_has_the_names_of_its_tensors(tmp_path: Path) -> None:
    model = MODELS["llama"](tmp_path)
    (tmp_path / "config.json").unlink()
    with opened(model) as found:
        assert set(found.weights()) == set(model.values)
        assert found.notes[0].startswith("the configuration was not used: the checkpoint has no config.json")
        for name, expected in model.values.items():
            assert np.array_equal(found.read(name), expected.numpy())


@pytest.mark.parametrize("shape", [(0, 4), (4, 0), (), (0,), (3, 0, 2)])
def test_tensors_of_any_shape_can_be_read(shape: tuple[int, ...], tmp_path: Path) -> None:
    save_file({"odd": torch.ones(shape)}, tmp_path / "model.safetensors")
    model = tinymodels.TinyModel(folder=tmp_path, config={}, values={})
    with opened(model) as found:
        assert found.read("odd").shape == shape
        pieces: list[Floats] = [*values.blocks(found, "odd", 1)]
        assert sum(piece.size for piece in pieces) == math.prod(shape)


def test_a_slice_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    model = MODELS["gpt_oss"](tmp_path)
    with opened(model) as found, pytest.raises(EngineError, match="there is no slice 8 of 8"):
        found.read(EXPERTS, 8)
