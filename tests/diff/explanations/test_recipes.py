"""Recipes against the libraries that quantise, bit for bit: compressed-tensors, transformers, torch."""

from typing import Any

import numpy as np
import pytest
import torch
from arrayvalues import stored
from torch import Tensor
from transformers.integrations.finegrained_fp8 import Fp8Quantize

from mbom.behaviour.values import Floats
from mbom.diff.explanations.recipes import e2m1, recipes

RNG = np.random.default_rng(3)
# Scales of all sizes, and values that bfloat16 puts right between two codes.
WEIGHT = stored(RNG.normal(size=(256, 384)) * np.exp2(RNG.integers(-12, 3, size=(256, 1))))
WEIGHT[3, :128] = 0.0


def derivations(dtype: str, old: Floats, new: Floats) -> list[str]:
    largest = float(np.abs(old).max())
    return [
        recipe.name
        for recipe in recipes(dtype)
        if recipe.fits(old) and not recipe.upright and np.array_equal(recipe.apply(old, largest), new)
    ]


def compressed(weight: Tensor, **settings: Any) -> Tensor:
    """Quantise with compressed-tensors, and return what its codes and scales stand for."""
    from compressed_tensors.quantization import QuantizationArgs  # type: ignore[import-untyped]
    from compressed_tensors.quantization.lifecycle.forward import (  # type: ignore[import-untyped]
        dequantize,
        quantize,
    )
    from compressed_tensors.quantization.utils import calculate_qparams  # type: ignore[import-untyped]

    args = QuantizationArgs(**settings)
    if args.strategy == "channel":
        least, most = weight.amin(1, keepdim=True), weight.amax(1, keepdim=True)
    elif args.strategy == "group":
        grouped = weight.reshape(len(weight), -1, args.group_size)
        least, most = grouped.amin(2), grouped.amax(2)
    elif args.strategy == "block":
        blocks = weight.reshape(len(weight) // 128, 128, -1, 128)
        least, most = blocks.amin((1, 3)), blocks.amax((1, 3))
    else:
        least, most = weight.amin(), weight.amax()
    scales, zeros = calculate_qparams(least, most, args)
    codes = quantize(weight, scales, zeros, args)
    found: Tensor = dequantize(codes.double(), scales.double(), zeros, args, dtype=torch.float64)
    return found


INT4 = {"num_bits": 4, "type": "int", "symmetric": True}
INT8 = {"num_bits": 8, "type": "int", "symmetric": True}
FP8 = {"num_bits": 8, "type": "float", "symmetric": True}
COMPRESSED: dict[str, tuple[str, dict[str, Any]]] = {
    "int8 by rows": ("int8", {**INT8, "strategy": "channel"}),
    "int8, one scale": ("int8", {**INT8, "strategy": "tensor"}),
    "int8 in groups": ("int8", {**INT8, "strategy": "group", "group_size": 128}),
    "int4 in groups": ("int4", {**INT4, "strategy": "group", "group_size": 32}),
    "FP8 by rows": ("fp8", {**FP8, "strategy": "channel"}),
    "FP8, one scale": ("fp8", {**FP8, "strategy": "tensor"}),
    "FP8 in blocks": ("fp8", {**FP8, "strategy": "block", "block_structure": [128, 128]}),
    "MXFP4": (
        "mxfp4",
        {"num_bits": 4, "type": "float", "symmetric": True, "strategy": "group", "group_size": 32,
         "scale_dtype": torch.uint8},
    ),
}  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=["bfloat16", "float32"])
@pytest.mark.parametrize("case", COMPRESSED)
def test_what_compressed_tensors_quantises_is_derived_again(case: str, dtype: torch.dtype) -> None:
    kind, settings = COMPRESSED[case]
    new = compressed(torch.from_numpy(WEIGHT).to(dtype), **settings)
    assert derivations(kind, WEIGHT, new.numpy())


def test_what_transformers_quantises_to_fp8_is_derived_again() -> None:
    class Quantizer:
        class quantization_config:  # noqa: N801 - as transformers reads it
            weight_block_size = (128, 128)
            scale_fmt = "float"

    found = Fp8Quantize(Quantizer()).convert({"a.weight": torch.from_numpy(WEIGHT).bfloat16()})  # type: ignore[arg-type, no-untyped-call]
    scales = found["a.weight_scale_inv"].double().repeat_interleave(128, 0).repeat_interleave(128, 1)
    names = derivations("fp8", WEIGHT, (found["a.weight"].double() * scales).numpy())
    assert names == ["FP8 E4M3, blocks of 128 x 128, by the reciprocal, computed in float32, scales in float32"]


def deepseek(weight: Tensor) -> Floats:
    """What DeepSeek-V3's ``weight_quant`` does, block by block in float32."""
    out = torch.empty(weight.shape, dtype=torch.float64)
    for i in range(0, weight.shape[0], 128):
        for j in range(0, weight.shape[1], 128):
            block = weight[i : i + 128, j : j + 128].float()
            scale = block.abs().max() / 448.0
            out[i : i + 128, j : j + 128] = (block / scale).to(torch.float8_e4m3fn).double() * scale.double()
    found: Floats = out.numpy()
    return found


@pytest.mark.parametrize("shape", [(256, 256), (144, 200), (1, 130)])
def test_what_deepseek_quantises_is_derived_again_with_ragged_blocks(shape: tuple[int, int]) -> None:
    old = stored(RNG.normal(size=shape))
    new = deepseek(torch.from_numpy(old))
    assert derivations("fp8", old, new)[0].startswith("FP8 E4M3, blocks of 128 x 128, computed in float32")
    off = new.copy()
    off[-1, -1] = np.nextafter(off[-1, -1], 1)
    assert not derivations("fp8", old, off)


GRID = torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0], dtype=torch.float64)


def triton(weight: Tensor) -> Floats:
    """What triton's ``downcast_to_mxfp`` does by its bits: scales rounded up to a power of two, ties away from zero."""
    groups = weight.float().reshape(weight.shape[0], -1, 32)
    scale = groups.abs().amax(2, keepdim=True) / 6
    scale = ((scale.view(torch.int32) + 0x007FFFFF) & 0x7F800000).view(torch.float32)
    quant = torch.where(scale == 0, 0.0, 1 / scale)
    scaled = (groups * quant).view(torch.int32)
    signs, exponents, mantissas = scaled & -(2**31), (scaled >> 23) & 0xFF, scaled & 0x7FFFFF
    shift = 127 - exponents - 1
    mantissas = torch.where(exponents < 127, (0x400000 | (mantissas >> 1)) >> shift.clamp(0, 31), mantissas)
    exponents = exponents.clamp(min=126) - 126
    codes = ((((exponents << 2) | (mantissas >> 21)) + 1) >> 1).clamp(max=7)
    values = GRID[codes.long()] * torch.where(signs != 0, -1.0, 1.0) * scale.double()
    found: Floats = values.reshape(weight.shape).numpy()
    return found


def test_what_triton_quantises_to_mxfp4_is_derived_again() -> None:
    names = derivations("mxfp4", WEIGHT, triton(torch.from_numpy(WEIGHT).bfloat16()))
    assert names == ["MXFP4, groups of 32, scales rounded up, ties away from zero"]


@pytest.mark.parametrize(
    ("ties", "expected"),
    [
        ("even", [0.0, 1.0, 1.0, 2.0, 2.0, 4.0, 4.0]),
        ("up", [0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0]),
        ("down", [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0]),
    ],
)
def test_ties_of_e2m1_go_where_they_are_said_to_go(ties: str, expected: list[float]) -> None:
    between = np.array([0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0])
    assert e2m1(between, ties).tolist() == expected
    assert e2m1(-between, ties).tolist() == [-each for each in expected]
