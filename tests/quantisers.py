"""Tiny checkpoints rewritten in the encodings that publishers use, with the values that are then stored.

Values are computed from codes before those are packed, so that they owe nothing to the engine's unpacking.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import tinymodels
import torch
from safetensors.torch import load_file
from tinymodels import TinyModel
from torch import Tensor

Encoded = tuple[dict[str, Tensor], Tensor]  # stored tensors by the ends of their names, and their values in float64
E2M1 = torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0], dtype=torch.float64)


def quantise(
    model: TinyModel,
    encode: Callable[[Tensor], Encoded],
    description: dict[str, Any],
    *,
    which: Callable[[str], bool] = lambda name: "_proj" in name and name.endswith(".weight"),
) -> TinyModel:
    """Rewrite the matrices that ``which`` names: ``model.x.weight`` becomes ``model.x.`` and each end of ``encode``."""
    tensors = load_file(model.folder / "model.safetensors")
    values = dict(model.values)
    for name in [name for name in tensors if which(name)]:
        stored, values[name] = encode(tensors.pop(name))
        tensors |= {name.removesuffix("weight") + end: tensor for end, tensor in stored.items()}
    return tinymodels._requantised(model, tensors, values, description)


@dataclass(frozen=True, kw_only=True)
class Rounded:
    """A matrix (O, I) rounded to integers: codes (O, I) and zero points (O, G) from 0, scales (O, G)."""

    codes: Tensor
    zeros: Tensor
    scales: Tensor

    def values(self, order: Tensor | None = None) -> Tensor:
        groups = self.scales.shape[1]
        order = torch.arange(self.codes.shape[1]) // (self.codes.shape[1] // groups) if order is None else order
        return (self.codes - self.zeros[:, order]).to(torch.float64) * self.scales.to(torch.float64)[:, order]


def rounded(
    weight: Tensor, *, bits: int, group: int, symmetric: bool, dtype: torch.dtype = torch.bfloat16, least: int = 0
) -> Rounded:
    groups = weight.to(torch.float64).reshape(len(weight), -1, group)  # (O, G, group)
    top = 2**bits - 1
    if symmetric:
        scales = (groups.abs().amax(2) * 2 / top).to(dtype)
        zeros = torch.full(scales.shape, 2 ** (bits - 1))
    else:
        scales = ((groups.amax(2) - groups.amin(2)) / top).to(dtype)
        zeros = (-groups.amin(2) / scales).round().clamp(least, top).long()
    codes = ((groups / scales.unsqueeze(2)).round() + zeros.unsqueeze(2)).clamp(0, top).long().flatten(1)
    return Rounded(codes=codes, zeros=zeros, scales=scales)


def to_words(codes: Tensor, bits: int) -> Tensor:
    """Pack (R, C) codes from 0 along their columns into (R, C * bits / 32) int32, lowest bits first."""
    places = torch.arange(32 // bits) * bits
    return (codes.reshape(len(codes), -1, 32 // bits) << places).sum(2).to(torch.int32)


def pack_quantized(weight: Tensor, *, bits: int = 4, group: int = 32, symmetric: bool = True) -> Encoded:
    from compressed_tensors.compressors import pack_to_int32  # type: ignore[import-untyped]

    found = rounded(weight, bits=bits, group=group, symmetric=symmetric)
    offset = 2 ** (bits - 1)
    stored = {
        "weight_packed": pack_to_int32((found.codes - offset).to(torch.int8), bits),
        "weight_scale": found.scales,
        "weight_shape": torch.tensor(weight.shape),
    }
    if not symmetric:
        stored["weight_zero_point"] = pack_to_int32((found.zeros - offset).to(torch.int8), bits, packed_dim=0)
    return stored, found.values()


def int_quantized(weight: Tensor) -> Encoded:
    found = rounded(weight, bits=8, group=weight.shape[1], symmetric=True, dtype=torch.float32)
    return {"weight": (found.codes - 128).to(torch.int8), "weight_scale": found.scales}, found.values()


def fp8(weight: Tensor, *, by_row: bool, end: str = "weight_scale") -> Encoded:
    whole = weight.to(torch.float32)
    scales = (whole.abs().amax(1, keepdim=True) if by_row else whole.abs().max()) / 448
    stored = (whole / scales).to(torch.float8_e4m3fn)
    return {"weight": stored, end: scales}, stored.to(torch.float64) * scales.to(torch.float64)


def to_fp4(weight: Tensor, overall: Tensor, *, divisor: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Round (O, I) to NVFP4; return the bytes, the E4M3 scales and the values."""
    factor = overall.to(torch.float64)
    groups = weight.to(torch.float64).reshape(len(weight), -1, 16)
    scale = groups.abs().amax(2) / 6
    scales = (scale * factor if divisor else scale / factor).to(torch.float8_e4m3fn)
    wide = scales.to(torch.float64)
    used = (wide / factor if divisor else wide * factor).unsqueeze(2)
    magnitude = ((groups / used).abs().nan_to_num().unsqueeze(3) - E2M1).abs().argmin(3)
    sign = torch.where(groups < 0, -1.0, 1.0)
    product = (E2M1[magnitude] * sign * wide.unsqueeze(2)).flatten(1)
    nibbles = (magnitude + 8 * (groups < 0)).flatten(1).to(torch.uint8)
    return nibbles[:, ::2] | nibbles[:, 1::2] << 4, scales, product / factor if divisor else product * factor


def nvfp4(weight: Tensor) -> Encoded:
    overall = (448 * 6 / weight.abs().max().to(torch.float32)).reshape(1)
    packed, scales, values = to_fp4(weight, overall, divisor=True)
    return {"weight_packed": packed, "weight_scale": scales, "weight_global_scale": overall}, values


def modelopt_nvfp4(weight: Tensor) -> Encoded:
    overall = weight.abs().max().to(torch.float32) / (448 * 6)
    packed, scales, values = to_fp4(weight, overall, divisor=False)
    return {"weight": packed, "weight_scale": scales, "weight_scale_2": overall}, values


def awq(weight: Tensor, *, group: int = 32) -> Encoded:
    found = rounded(weight, bits=4, group=group, symmetric=False, dtype=torch.float16)
    places = torch.tensor([0, 2, 4, 6, 1, 3, 5, 7])  # AutoAWQ's order_map: the column that goes to each nibble

    def words(codes: Tensor) -> Tensor:
        return to_words(codes.t().reshape(codes.shape[1], -1, 8)[:, :, places].flatten(1), 4)

    stored = {"qweight": words(found.codes), "qzeros": words(found.zeros), "scales": found.scales.t()}
    return stored, found.values()


def gptq(weight: Tensor, *, bits: int = 4, group: int = 32, shuffled: bool = False, added: int = 1) -> Encoded:
    found = rounded(weight, bits=bits, group=group, symmetric=False, dtype=torch.float16, least=1)
    order = torch.arange(weight.shape[1]) // group
    if shuffled:
        order = order[torch.randperm(len(order), generator=torch.Generator().manual_seed(len(order)))]
    stored = {
        "qweight": to_words(found.codes, bits).t(),
        "qzeros": to_words(found.zeros.t() - added, bits),
        "scales": found.scales.t(),
        "g_idx": order.to(torch.int32),
    }
    return stored, found.values(order)


def groups(form: str, **weights: Any) -> dict[str, Any]:
    """Return a description by compressed-tensors of one group of weights."""
    group = {"targets": ["Linear"], "weights": weights, "input_activations": None, "output_activations": None}
    return {
        "quant_method": "compressed-tensors", "format": form, "config_groups": {"group_0": group},
        "ignore": ["lm_head"], "kv_cache_scheme": None, "quantization_status": "compressed",
    }  # fmt: skip


INT4: dict[str, Any] = {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 32, "symmetric": True}
INT8: dict[str, Any] = {"num_bits": 8, "type": "int", "strategy": "channel", "symmetric": True}
NVFP4: dict[str, Any] = {"num_bits": 4, "type": "float", "strategy": "tensor_group", "group_size": 16}
FP8_ROWS: dict[str, Any] = {"num_bits": 8, "type": "float", "strategy": "channel"}
STATIC_FP8: dict[str, Any] = {"quant_method": "fp8", "activation_scheme": "static", "weight_block_size": None}
AWQ: dict[str, Any] = {"quant_method": "awq", "bits": 4, "group_size": 32, "version": "gemm", "zero_point": True}
GPTQ: dict[str, Any] = {"quant_method": "gptq", "bits": 4, "group_size": 32, "desc_act": True, "sym": False}

# Name -> family, encoding, description.
FORMATS: dict[str, tuple[str, Callable[[Tensor], Encoded], dict[str, Any]]] = {
    "llama in int4": ("llama", pack_quantized, groups("pack-quantized", **INT4)),
    "qwen3_moe in int4 with zero points": (
        "qwen3_moe", partial(pack_quantized, symmetric=False), groups("pack-quantized", **INT4 | {"symmetric": False}),
    ),
    "qwen3 in int8": ("qwen3", int_quantized, groups("int-quantized", **INT8)),
    "qwen3_moe in FP8 by rows": ("qwen3_moe", partial(fp8, by_row=True), groups("float-quantized", **FP8_ROWS)),
    "mistral in FP8 with one scale": ("mistral", partial(fp8, by_row=False, end="weight_scale_inv"), STATIC_FP8),
    "qwen3_moe in NVFP4": ("qwen3_moe", nvfp4, groups("nvfp4-pack-quantized", **NVFP4)),
    "deepseek_v3 in ModelOpt's NVFP4": (
        "deepseek_v3", modelopt_nvfp4, {"quant_method": "modelopt", "quant_algo": "NVFP4"},
    ),
    "qwen2 in AWQ": ("qwen2", awq, AWQ),
    "qwen3_moe in GPTQ, sorted": ("qwen3_moe", partial(gptq, shuffled=True), GPTQ),
}  # fmt: skip


def build(name: str, folder: Path) -> TinyModel:
    """Write a random checkpoint in one of the formats to ``folder``."""
    family, encode, description = FORMATS[name]
    return quantise(tinymodels.build(family, folder), encode, description)


CASES: dict[str, Callable[[Path], TinyModel]] = {name: partial(build, name) for name in FORMATS}
