"""What is stored and what config.json says of it: where both agree it is read, and anything else is refused by name."""

import json
import random
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import fullload
import pytest
import quantisers
import tinymodels
import torch
from fullload import relative
from safetensors.torch import load_file, save_file
from slowfloats import exact, finite_codes, random_codes, slow_e2m1, slow_e4m3
from streamed import stream
from tinymodels import TinyModel
from torch import Tensor

from mbom.engine.checkpoint import Checkpoint
from mbom.engine.encodings import ACTIVATIONS, MODELOPT, description, weights
from mbom.engine.weights import WeightPass
from mbom.errors import EngineError, FormatError, MbomError
from mbom.strictjson import Json

CPU = torch.device("cpu")
IDS = torch.randint(3, 256, (2, 12), generator=torch.Generator().manual_seed(1))
NAME = "model.layers.0.self_attn.q_proj."
FP8: dict[str, Any] = {"quant_method": "fp8", "weight_block_size": [128, 128]}


def stored(folder: Path, tensors: dict[str, Tensor], quantization: Json) -> TinyModel:
    """Write tensors as a checkpoint that nothing will run."""
    save_file({name: value.contiguous() for name, value in tensors.items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"quantization_config": quantization}))
    return tinymodels.described(folder, {})


def read(model: TinyModel) -> dict[str, Tensor]:
    """Return every weight of a checkpoint, whole, by way of its description."""
    inventory = model.inventory()
    with Checkpoint(model.files, inventory.tensors) as checkpoint:
        found = weights(checkpoint.records, description(model.config, model.files, inventory))
        return {name: WeightPass(weight, checkpoint, CPU).read() for name, weight in found.items()}


def read_in_slices(model: TinyModel, name: str, counts: list[int]) -> Tensor:
    inventory = model.inventory()
    with Checkpoint(model.files, inventory.tensors) as checkpoint:
        weight = weights(checkpoint.records, description(model.config, model.files, inventory))[name]
        passing = WeightPass(weight, checkpoint, CPU)
        return torch.cat([passing.read(count) for count in counts])


def matrix(rows: int = 24, columns: int = 64, seed: int = 0) -> Tensor:
    return torch.randn((rows, columns), generator=torch.Generator().manual_seed(seed))


def below(tensors: dict[str, Tensor], stem: str = NAME) -> dict[str, Tensor]:
    return {stem + end: value for end, value in tensors.items()}


@pytest.mark.parametrize("name", quantisers.FORMATS)
def test_every_format_is_read_as_the_values_that_were_written(name: str, tmp_path: Path) -> None:
    _, encode, quantization = quantisers.FORMATS[name]
    tensors, values = encode(matrix())
    found = read(stored(tmp_path, below(tensors), quantization))
    assert list(found) == [f"{NAME}weight"]
    assert torch.equal(found[f"{NAME}weight"], values)


SLICED: dict[str, tuple[Callable[[Tensor], quantisers.Encoded], Json]] = {
    "int4": (quantisers.pack_quantized, quantisers.groups("pack-quantized", **quantisers.INT4)),
    "int8": (quantisers.int_quantized, quantisers.groups("naive-quantized", **quantisers.INT8)),
    "NVFP4": (quantisers.nvfp4, quantisers.groups("nvfp4-pack-quantized", **quantisers.NVFP4)),
    "FP8 by rows": (partial(quantisers.fp8, by_row=True), {"quant_method": "fbgemm_fp8"}),
    "FP8 with one scale": (partial(quantisers.fp8, by_row=False), {"quant_method": "modelopt", "quant_algo": "FP8"}),
}


@pytest.mark.parametrize("case", SLICED)
def test_a_weight_read_by_rows_is_the_weight_read_whole(case: str, tmp_path: Path) -> None:
    encode, quantization = SLICED[case]
    tensors, values = encode(matrix())
    model = stored(tmp_path, below(tensors), quantization)
    assert torch.equal(read_in_slices(model, f"{NAME}weight", [1, 16, 0, 7]), values)


@pytest.mark.parametrize("case", SLICED)
def test_a_quantised_embedding_and_output_head_are_read_by_rows(case: str, tmp_path: Path) -> None:
    encode, quantization = SLICED[case]
    (tmp_path / "model").mkdir()
    model = quantisers.quantise(
        tinymodels.build("llama", tmp_path / "model"), encode, dict(quantization),  # type: ignore[arg-type]
        which=lambda name: name in ("model.embed_tokens.weight", "lm_head.weight"),
    )  # fmt: skip
    streamed, full = stream(model, IDS), fullload.run(model, IDS, tmp_path / "twin", dtype=torch.float64)
    assert relative(streamed.logits.logsumexp, full.logits.flatten(0, 1).logsumexp(1)) <= 1e-12
    assert set(streamed.passes.values()) == {1}


@pytest.mark.parametrize(
    ("encode", "quantization"),
    [(quantisers.awq, quantisers.AWQ), (partial(quantisers.pack_quantized, symmetric=False),
      quantisers.groups("pack-quantized", **quantisers.INT4 | {"symmetric": False}))],
)  # fmt: skip
def test_an_embedding_that_has_no_rows_on_disk_is_refused(encode: Any, quantization: Any, tmp_path: Path) -> None:
    model = quantisers.quantise(
        tinymodels.build("llama", tmp_path), encode, quantization, which=lambda name: "embed" in name
    )
    with pytest.raises(EngineError, match=r"embed_tokens\.weight: .* cannot be read by rows"):
        stream(model, IDS)


def test_activation_scales_are_read_and_listed_as_not_executed(tmp_path: Path) -> None:
    model = quantisers.build("mistral in FP8 with one scale", tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    beside = {f"{NAME}{kind}": torch.ones(1) for kind in ACTIVATIONS}
    beside["model.layers.1.self_attn.k_scale"] = torch.ones(())
    save_file(tensors | beside, tmp_path / "model.safetensors")
    streamed = stream(model, IDS)
    assert set(streamed.unused) == set(beside)
    assert set(streamed.passes) == set(streamed.records)


def test_stacked_experts_in_fp8_take_scales_that_spread_over_them(tmp_path: Path) -> None:
    codes = finite_codes((3, 16, 24), 1)
    for number, shape in enumerate([(3,), (3, 1, 1), (3, 16, 1), (3, 1, 24), (1,), ()]):
        scales = torch.rand(shape, generator=torch.Generator().manual_seed(2)) + 0.5
        folder = tmp_path / str(number)
        folder.mkdir()
        tensors = {"mlp.experts.down_proj": codes.view(torch.float8_e4m3fn), "mlp.experts.down_proj_scale": scales}
        model = stored(folder, tensors, {"quant_method": "fbgemm_fp8"})
        wide = scales.view(3, 1, 1) if shape == (3,) else scales
        expected = codes.view(torch.float8_e4m3fn).to(torch.float64) * wide.to(torch.float64)
        assert torch.equal(read(model)["mlp.experts.down_proj"], expected)
        assert torch.equal(read_in_slices(model, "mlp.experts.down_proj", [1, 2]), expected)


def test_stacked_experts_in_fp8_blocks_are_read_by_expert(tmp_path: Path) -> None:
    codes, scales = finite_codes((2, 5, 7), 3), torch.rand((2, 2, 3), generator=torch.Generator().manual_seed(4))
    tensors = {"experts.up_proj": codes.view(torch.float8_e4m3fn), "experts.up_proj_scale_inv": scales}
    model = stored(tmp_path, tensors, {"quant_method": "fp8", "weight_block_size": [4, 3]})
    found = read_in_slices(model, "experts.up_proj", [1, 1])
    for expert in range(2):
        for row, column in ((0, 0), (3, 2), (4, 3), (4, 6)):
            scale = exact(scales[expert])[row // 4][column // 3]
            value = slow_e4m3(int(codes[expert, row, column])) * scale
            assert exact(found[expert])[row][column] == value


def test_fp8_under_a_power_of_two_for_each_32_columns_is_exact(tmp_path: Path) -> None:
    codes, powers = finite_codes((4, 64), 5), random_codes((4, 2), 6, high=255)
    tensors = {f"{NAME}weight": codes.view(torch.float8_e4m3fn), f"{NAME}weight_scale": powers}
    group = {"num_bits": 8, "type": "float", "strategy": "group", "group_size": 32}
    found = read(stored(tmp_path, tensors, quantisers.groups("mxfp8-quantized", **group)))[f"{NAME}weight"]
    factors = torch.exp2(powers.to(torch.float64) - 127).repeat_interleave(32, dim=1)
    assert torch.equal(found, codes.view(torch.float8_e4m3fn).to(torch.float64) * factors)


MXFP4_GROUP = {"num_bits": 4, "type": "float", "strategy": "group", "group_size": 32}


@pytest.mark.parametrize(
    ("ends", "quantization"),
    [
        (("weight", "scale"), FP8),
        (("weight_packed", "weight_scale"), quantisers.groups("mxfp4-pack-quantized", **MXFP4_GROUP)),
    ],
)
def test_mxfp4_by_rows_is_exact(ends: tuple[str, str], quantization: Any, tmp_path: Path) -> None:
    packed, powers = random_codes((4, 32), 7), random_codes((4, 2), 8, high=255)
    values, scales = (packed.view(torch.int8), powers.view(torch.float8_e8m0fnu)) if ends[1] == "scale" else (
        packed, powers,
    )  # fmt: skip
    found = read(stored(tmp_path, below({ends[0]: values, ends[1]: scales}), quantization))[f"{NAME}weight"]
    for row in range(4):
        for column in range(64):
            nibble = int(packed[row, column // 2]) >> 4 * (column % 2) & 15
            assert float(found[row, column]) == float(slow_e2m1(nibble)) * 2.0 ** (int(powers[row, column // 32]) - 127)


def test_columns_sorted_by_activation_take_the_group_that_is_stored(tmp_path: Path) -> None:
    found = quantisers.rounded(matrix(), bits=4, group=32, symmetric=True)
    order = torch.arange(64).flip(0) // 32
    tensors, _ = quantisers.pack_quantized(matrix())
    tensors["weight_g_idx"] = order.to(torch.int32)
    quantization = quantisers.groups("pack-quantized", **quantisers.INT4, actorder="group")
    assert torch.equal(read(stored(tmp_path, below(tensors), quantization))[f"{NAME}weight"], found.values(order))


def test_int8_with_zero_points_is_exact(tmp_path: Path) -> None:
    codes = torch.randint(-128, 128, (6, 8), generator=torch.Generator().manual_seed(9)).to(torch.int8)
    zeros = torch.tensor([[-128], [127], [0], [3], [-7], [1]], dtype=torch.int8)
    scales = torch.rand((6, 1), generator=torch.Generator().manual_seed(10))
    tensors = below({"weight": codes, "weight_scale": scales, "weight_zero_point": zeros})
    quantization = quantisers.groups("int-quantized", **quantisers.INT8 | {"symmetric": False})
    model = stored(tmp_path, tensors, quantization)
    expected = (codes.to(torch.float64) - zeros.to(torch.float64)) * scales.to(torch.float64)
    assert torch.equal(read(model)[f"{NAME}weight"], expected)
    assert torch.equal(read_in_slices(model, f"{NAME}weight", [1, 5]), expected)


def test_two_schemes_are_told_apart_by_what_is_stored(tmp_path: Path) -> None:
    four, values = quantisers.pack_quantized(matrix())
    eight, wide = quantisers.fp8(matrix(seed=1), by_row=True)
    quantization = quantisers.groups("mixed-precision", **quantisers.INT4)
    quantization["config_groups"]["group_0"]["format"] = "pack-quantized"
    quantization["config_groups"]["group_1"] = {
        "targets": ["re:.*o_proj"], "weights": quantisers.FP8_ROWS, "format": "float-quantized",
    }  # fmt: skip
    found = read(stored(tmp_path, below(four) | below(eight, "o_proj."), quantization))
    assert torch.equal(found[f"{NAME}weight"], values)
    assert torch.equal(found["o_proj.weight"], wide)


def test_modelopt_may_describe_itself_in_a_file_of_its_own(tmp_path: Path) -> None:
    tensors, values = quantisers.modelopt_nvfp4(matrix())
    model = stored(tmp_path, below(tensors), None)
    own = {"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "NVFP4", "kv_cache_quant_algo": "FP8"}}
    (tmp_path / MODELOPT).write_text(json.dumps(own))
    assert torch.equal(read(model)[f"{NAME}weight"], values)


def test_modelopt_may_mix_its_algorithms(tmp_path: Path) -> None:
    four, values = quantisers.modelopt_nvfp4(matrix())
    eight, wide = quantisers.fp8(matrix(seed=1), by_row=False)
    layers: dict[str, Json] = {"a": {"quant_algo": "NVFP4", "group_size": 16}, "b": {"quant_algo": "FP8"}}
    quantization: Json = {"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION", "quantized_layers": layers}
    found = read(stored(tmp_path, below(four) | below(eight, "o_proj."), quantization))
    assert torch.equal(found[f"{NAME}weight"], values)
    assert torch.equal(found["o_proj.weight"], wide)


INT4 = quantisers.INT4
DESCRIPTIONS: dict[str, tuple[Json, type[MbomError], str]] = {
    "of an unknown method": ({"quant_method": "hqq"}, EngineError, "quantisation by 'hqq' is not known; awq, comp"),
    "without a method": ({}, EngineError, "quantisation by None is not known"),
    "of a method that is no name": ({"quant_method": ["fp8"]}, EngineError, "quantisation by .* is not known"),
    "that is no object": (["fp8"], FormatError, "quantization_config is not an object"),
    "FP8 of another format": (FP8 | {"fmt": "e5m2"}, EngineError, "format 'e5m2'"),
    "FP8 in blocks of nothing": (FP8 | {"weight_block_size": [0, 1]}, FormatError, r"weight_block_size is \[0, 1\]"),
    "FP8 in blocks of one side": (FP8 | {"weight_block_size": [8]}, FormatError, r"weight_block_size is \[8\]"),
    "2:4 sparse": (
        quantisers.groups("pack-quantized", **INT4) | {"sparsity_config": {"format": "sparse-24-bitmask"}},
        EngineError, "sparsity format 'sparse-24-bitmask'",
    ),
    "transformed": (
        quantisers.groups("pack-quantized", **INT4) | {"transform_config": {"config_groups": {}}},
        EngineError, "transform_config",
    ),
    "in Marlin's order": (quantisers.groups("marlin-24", **INT4), EngineError, "the format 'marlin-24' is not known"),
    "of three bits": (
        quantisers.groups("pack-quantized", **INT4 | {"num_bits": 3}), EngineError, "int weights of 3 bits",
    ),
    "by token": (
        quantisers.groups("int-quantized", **quantisers.INT8 | {"strategy": "token"}), EngineError, "by 'token'",
    ),
    "of a group of nothing": (
        quantisers.groups("pack-quantized", **INT4 | {"group_size": 0}), FormatError, "group_size is 0",
    ),
    "of groups by channel": (
        quantisers.groups("pack-quantized", **INT4 | {"strategy": "channel"}), FormatError, "group_size is 32",
    ),
    "of NVFP4 in groups of 32": (
        quantisers.groups("nvfp4-pack-quantized", **quantisers.NVFP4 | {"group_size": 32}), FormatError, "is 32",
    ),
    "of floats with zero points": (
        quantisers.groups("float-quantized", **quantisers.FP8_ROWS, symmetric=False), EngineError, "zero points",
    ),
    "in an unknown order": (
        quantisers.groups("pack-quantized", **INT4, actorder="sideways"), EngineError, "the order 'sideways'",
    ),
    "of blocks without sides": (
        quantisers.groups("float-quantized", **quantisers.FP8_ROWS | {"strategy": "block", "block_structure": [0, 1]}),
        FormatError, "block_structure is",
    ),
    "by the name of a preset": (
        {"quant_method": "compressed-tensors", "config_groups": {"W4A16": ["Linear"]}}, EngineError, "W4A16 is a pre",
    ),
    "without groups": ({"quant_method": "compressed-tensors"}, FormatError, "'config_groups' is missing"),
    "by groups that are none": (
        {"quant_method": "compressed-tensors", "config_groups": []}, FormatError, "config_groups is not an object",
    ),
    "by ModelOpt with activations scaled": (
        {"quant_method": "modelopt", "quant_algo": "W4A8_AWQ"}, EngineError, "ModelOpt's W4A8_AWQ is not known",
    ),
    "by ModelOpt, mixed of nothing": (
        {"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION", "quantized_layers": {}}, FormatError, "has no",
    ),
    "by ModelOpt, of no object": (
        {"quant_method": "modelopt", "quantization": 1}, FormatError, "quantization is not an object",
    ),
    "AWQ of another version": (quantisers.AWQ | {"version": "gemv"}, EngineError, "version 'gemv'"),
    "AWQ without zero points": (quantisers.AWQ | {"zero_point": False}, EngineError, "without zero points"),
    "AWQ of a group of nothing": (quantisers.AWQ | {"group_size": 0}, FormatError, "group_size is 0"),
    "GPTQ of three bits": (quantisers.GPTQ | {"bits": 3}, EngineError, "GPTQ of 3 bits"),
    "GPTQ in Marlin's order": (quantisers.GPTQ | {"checkpoint_format": "marlin"}, EngineError, "format 'marlin'"),
}  # fmt: skip


@pytest.mark.parametrize("case", DESCRIPTIONS)
def test_a_quantisation_that_cannot_be_undone_is_named(case: str) -> None:
    quantization, error, message = DESCRIPTIONS[case]
    with pytest.raises(error, match=message):
        weights({}, quantization)


def mutated(value: Any, chance: random.Random) -> Any:
    """Return a copy of a document with one of its members, at any depth, replaced."""
    if not isinstance(value, dict | list) or not value or chance.random() < 0.2:
        return chance.choice([None, True, -1, 0, 3, 2**70, 0.5, "", "group", [], [1], {}, {"weights": {}}])
    copied = value.copy()
    key = chance.choice(list(value) if isinstance(value, dict) else range(len(value)))
    copied[key] = mutated(value[key], chance)
    return copied


@pytest.mark.parametrize("name", quantisers.FORMATS)
def test_a_bent_description_ends_in_a_refusal_or_in_a_whole_weight(name: str, tmp_path: Path) -> None:
    _, encode, quantization = quantisers.FORMATS[name]
    tensors, values = encode(matrix())
    model = stored(tmp_path, below(tensors), None)
    chance = random.Random(name)
    read_whole = 0
    with Checkpoint(model.files, model.inventory().tensors) as checkpoint:
        for _ in range(100):
            try:
                weight = weights(checkpoint.records, mutated(quantization, chance))[f"{NAME}weight"]
                if weight.tensors == (f"{NAME}weight",):
                    continue  # without a scale, which the plan refuses
                found = WeightPass(weight, checkpoint, CPU).read()
            except MbomError:
                continue
            read_whole += 1
            assert found.shape == values.shape
    assert read_whole < 100


def changed(end: str, value: Tensor | None) -> Callable[[dict[str, Tensor]], None]:
    """Return what sets a tensor, or takes it away."""

    def change(tensors: dict[str, Tensor]) -> None:
        if value is None:
            del tensors[end]
        else:
            tensors[end] = value

    return change


E4M3 = torch.float8_e4m3fn
I32 = torch.int32
# What happens to a format's tensors, and what is then said.
TAMPERS: dict[str, tuple[str, Callable[[dict[str, Tensor]], None], type[MbomError], str]] = {
    "int4 without scales": ("llama in int4", changed("weight_scale", None), FormatError, "no .*weight_scale beside"),
    "int4 cut off": (
        "llama in int4", changed("weight_packed", torch.zeros(24, 7, dtype=I32)), FormatError, "56 columns are no",
    ),
    "int4 of another width": (
        "llama in int4", changed("weight_packed", torch.zeros(24, 4, dtype=I32)), FormatError, r"needs F32 .*\[24, 1\]",
    ),
    "int4 said to be of another shape": (
        "llama in int4", changed("weight_shape", torch.tensor([24, 63])), FormatError, r"shape \[24, 63\], its words",
    ),
    "int4 with a NaN scale": (
        "llama in int4", changed("weight_scale", torch.full((24, 2), torch.nan)), FormatError, "infinite or NaN",
    ),
    "int4 with zero points that nobody announced": (
        "llama in int4", changed("weight_zero_point", torch.zeros(3, 2, dtype=I32)), FormatError, "has shape, zero_p",
    ),
    "int4 with an order that nobody announced": (
        "llama in int4", changed("weight_g_idx", torch.zeros(64, dtype=I32)), FormatError, "has g_idx, shape besides",
    ),
    "int4 whose zero points are gone": (
        "qwen3_moe in int4 with zero points", changed("weight_zero_point", None), FormatError, "which needs zero_point",
    ),
    "int4 whose zero points are cut off": (
        "qwen3_moe in int4 with zero points", changed("weight_zero_point", torch.zeros(2, 2, dtype=I32)), FormatError,
        r"weight_zero_point: I32 \[2, 2\]",
    ),
    "int4 beside the same weight unpacked": (
        "llama in int4", changed("weight", torch.zeros(24, 64)), FormatError, "weight: has shape besides",
    ),
    "int8 that is plain": ("qwen3 in int8", changed("weight", torch.zeros(24, 64)), FormatError, "F32 .* matrix of I8"),
    "int8 by tensor": ("qwen3 in int8", changed("weight_scale", torch.ones(1)), FormatError, r"F32 \[1\]"),
    "int8 that turns its activations": (
        "qwen3 in int8", changed("pre_quant_scale", torch.ones(64)), EngineError, "pre_quant_scale: stands beside",
    ),
    "FP8 by rows with one scale": (
        "qwen3_moe in FP8 by rows", changed("weight_scale", torch.ones(1)), FormatError, r"scales of shape \[1\]",
    ),
    "FP8 by rows with scales for columns": (
        "qwen3_moe in FP8 by rows", changed("weight_scale", torch.ones(1, 64)), FormatError, r"scales of shape \[1, 64",
    ),
    "FP8 by rows without scales": (
        "qwen3_moe in FP8 by rows", changed("weight_scale", None), EngineError, "holds F8_E4M3 without a known scale",
    ),
    "FP8 with an infinite scale": (
        "mistral in FP8 with one scale", changed("weight_scale_inv", torch.tensor(torch.inf)), FormatError, "infinite",
    ),
    "FP8 with two scales": (
        "mistral in FP8 with one scale", changed("weight_scale", torch.tensor(1.0)), FormatError, "has scales in",
    ),
    "FP8 that is bfloat16": (
        "mistral in FP8 with one scale", changed("weight", torch.zeros(24, 64).bfloat16()), FormatError, "only matric",
    ),
    "FP8 in four dimensions": (
        "mistral in FP8 with one scale", changed("weight", torch.zeros(1, 1, 8, 8).to(E4M3)), FormatError, "only matri",
    ),
    "NVFP4 without its global scale": (
        "qwen3_moe in NVFP4", changed("weight_global_scale", None), FormatError, "which needs global_scale",
    ),
    "NVFP4 with scales cut off": (
        "qwen3_moe in NVFP4", changed("weight_scale", torch.zeros(24, 3).to(E4M3)), FormatError, r"F8_E4M3 \[24, 4\]",
    ),
    "NVFP4 divided by nothing": (
        "qwen3_moe in NVFP4", changed("weight_global_scale", torch.zeros(1)), FormatError, "other than 0",
    ),
    "NVFP4 with a scale for each row": (
        "qwen3_moe in NVFP4", changed("weight_global_scale", torch.ones(24)), FormatError, "one global scale",
    ),
    "ModelOpt's NVFP4 that is FP8": (
        "deepseek_v3 in ModelOpt's NVFP4", changed("weight_scale_2", None), FormatError, "is FP8, config.json says NV",
    ),
    "AWQ without zero points": ("qwen2 in AWQ", changed("qzeros", None), FormatError, "no .*qzeros beside"),
    "AWQ with scales cut off": (
        "qwen2 in AWQ", changed("scales", torch.ones(2, 8).half()), FormatError, r"scales: F16 \[2, 8\]",
    ),
    "GPTQ without an order": ("qwen3_moe in GPTQ, sorted", changed("g_idx", None), FormatError, "no .*g_idx beside"),
    "GPTQ of groups that are not there": (
        "qwen3_moe in GPTQ, sorted", changed("g_idx", torch.full((64,), 2, dtype=I32)), FormatError, "groups 2 to 2",
    ),
    "GPTQ with a zero point of sixteen": (
        "qwen3_moe in GPTQ, sorted", changed("qzeros", torch.full((2, 3), -1, dtype=I32)), FormatError, "point is 16",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", TAMPERS)
def test_tensors_that_contradict_their_description_are_refused_by_name(case: str, tmp_path: Path) -> None:
    name, change, error, message = TAMPERS[case]
    _, encode, quantization = quantisers.FORMATS[name]
    tensors, _ = encode(matrix())
    change(tensors)
    model = stored(tmp_path, below(tensors), quantization)
    with pytest.raises(error, match=message) as caught:
        executed(model)
    assert NAME in str(caught.value)


def executed(model: TinyModel) -> None:
    """Read what a forward pass would, with the check that the plan makes of plain tensors."""
    from mbom.engine.weights import check_plain

    records = {record.name: record for record in model.inventory().tensors}
    for weight in weights(records, model.config["quantization_config"]).values():
        check_plain(weight, records)
    read(model)


def test_scales_without_a_description_are_refused(tmp_path: Path) -> None:
    tensors, _ = quantisers.int_quantized(matrix())
    with pytest.raises(FormatError, match=r"q_proj\.weight_scale: .* config.json does not describe"):
        read(stored(tmp_path, below(tensors), None))


def test_the_same_weight_stored_twice_is_refused(tmp_path: Path) -> None:
    tensors, _ = quantisers.awq(matrix())
    with pytest.raises(FormatError, match=r"q_proj\.weight: stored twice"):
        read(stored(tmp_path, below(tensors) | {f"{NAME}weight": matrix()}, quantisers.AWQ))


def test_an_order_that_desc_act_denies_is_refused(tmp_path: Path) -> None:
    tensors, _ = quantisers.gptq(matrix(), shuffled=True)
    with pytest.raises(FormatError, match="another order than desc_act: false"):
        read(stored(tmp_path, below(tensors), quantisers.GPTQ | {"desc_act": False}))
    tensors, values = quantisers.gptq(matrix(), added=0)
    second = quantisers.GPTQ | {"desc_act": False, "checkpoint_format": "gptq_v2"}
    assert torch.equal(read(stored(tmp_path, below(tensors), second))[f"{NAME}weight"], values)


def test_a_tensor_that_two_schemes_read_differently_is_refused(tmp_path: Path) -> None:
    tensors, _ = quantisers.pack_quantized(matrix(), group=64)
    tensors.pop("weight_shape")
    quantization = quantisers.groups("pack-quantized", num_bits=4, type="int", strategy="channel")
    quantization["config_groups"]["other"] = {"weights": {"num_bits": 8, "type": "int", "strategy": "channel"}}
    with pytest.raises(EngineError, match=r"weight_packed: fits 2 schemes"):
        read(stored(tmp_path, below(tensors), quantization))


def test_scales_of_stacked_experts_that_do_not_spread_are_refused(tmp_path: Path) -> None:
    tensors = {"experts.down_proj": torch.zeros(3, 16, 24).to(E4M3), "experts.down_proj_scale": torch.ones(3, 24, 1)}
    with pytest.raises(FormatError, match=r"experts\.down_proj: scales of shape \[3, 24, 1\]"):
        read(stored(tmp_path, tensors, {"quant_method": "fbgemm_fp8"}))


def test_a_tensor_beside_stacked_experts_that_nobody_reads_is_refused(tmp_path: Path) -> None:
    model = tinymodels.quantise_mxfp4(tinymodels.build("gpt_oss", tmp_path))
    tensors = load_file(tmp_path / "model.safetensors")
    name = "model.layers.0.mlp.experts.down_proj_rotation"
    save_file(tensors | {name: torch.ones(3)}, tmp_path / "model.safetensors")
    with pytest.raises(EngineError, match=f"{name}: stands beside"):
        stream(model, IDS)


def test_blocks_of_the_wrong_shape_are_refused(tmp_path: Path) -> None:
    model = tinymodels.quantise_mxfp4(tinymodels.build("gpt_oss", tmp_path))
    records = {record.name: record for record in model.inventory().tensors}
    name = "model.layers.0.mlp.experts.down_proj"
    records[f"{name}_scales"] = replace(records[f"{name}_scales"], shape=(8, 64, 2))
    with pytest.raises(FormatError, match=f"{name}_blocks: U8"):
        weights(records, model.config["quantization_config"])


def test_scales_of_other_blocks_are_refused(tmp_path: Path) -> None:
    model = tinymodels.quantise_fp8(tinymodels.build("qwen3", tmp_path))
    model.config["quantization_config"]["weight_block_size"] = [32, 32]
    with pytest.raises(FormatError, match=r"layers.0.mlp.down_proj.weight_scale_inv: F32 \[1, 1\]"):
        stream(model, IDS)
