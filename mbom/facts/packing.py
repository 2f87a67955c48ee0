"""How many weights a stored tensor stands for, where an encoding packs several into one element.

MXFP4 stores two weights in a byte, GPTQ eight in an integer. Names, dtypes and shapes of a weight and of the scales
beside it show the packing; only compressed-tensors' integers need the width that the configuration gives. A packing
that is not known here is counted as stored, and a note says so.
"""

import math
import re
from collections.abc import Mapping, Sequence

from mbom.inventory.findings import plain
from mbom.inventory.record import TensorRecord

# What belongs to a quantised tensor, by the end of its name, and the ends that the tensor's own name may have instead.
_COMPANIONS = (
    ("_scales", ("_blocks",)),  # gpt-oss MXFP4
    ("_scale_inv", ("",)),  # FP8 in blocks, as DeepSeek stores it
    ("_scale", ("", "_packed")),  # FP8, NVFP4, compressed-tensors
    ("_scale_2", ("",)),  # NVFP4 as modelopt stores it
    ("_global_scale", ("_packed",)),
    ("_zero_point", ("", "_packed")),
    ("_shape", ("_packed",)),
    ("_g_idx", ("_packed",)),
    (".input_scale", (".weight",)),
    (".input_zero_point", (".weight",)),
    (".input_global_scale", (".weight_packed",)),
    (".activation_scale", (".weight",)),
    (".k_scale", (".weight", ".k_proj.weight", ".k_proj.weight_packed")),  # of a key-value cache in FP8
    (".v_scale", (".weight", ".v_proj.weight", ".v_proj.weight_packed")),
    (".scale", (".weight",)),
    (".scales", (".qweight",)),
    (".qzeros", (".qweight",)),
    (".g_idx", (".qweight",)),
    (".SCB", (".weight",)),  # bitsandbytes, eight bits
    (".weight_format", (".weight",)),
)
_BITSANDBYTES = re.compile(r"(.*\.weight)\.(absmax|quant_map|nested_absmax|nested_quant_map|quant_state\..*)")
_NF4_STATES = (".quant_state.bitsandbytes__nf4", ".quant_state.bitsandbytes__fp4")
_ENCODED = frozenset({"U8", "I8", "I32", "F8_E4M3", "F8_E5M2", "F4"})  # dtypes that need companions to be decoded
_CONTAINERS = frozenset({"U8", "I16", "U16", "I32", "U32"})  # dtypes that hold several weights where they hold any
_FP4_GROUPS = (16, 32)  # weights that share a scale: NVFP4, MXFP4
_FP4_SCALES = frozenset({"F8_E4M3", "F8_E8M0", "U8"})
_LONG = {"U8": "uint8", "I8": "int8"}


def logical_elements(
    tensors: Sequence[TensorRecord], bits: int | None
) -> tuple[dict[str, int], tuple[str, ...], tuple[str, ...]]:
    """Return how many weights each tensor stands for, the packings that were met, and notes.

    Args:
        tensors: all tensors of the checkpoint, because a packing shows in a weight and its scales together.
        bits: the width of one weight in compressed-tensors' integers, where the configuration gives one.
    """
    table = {tensor.name: tensor for tensor in tensors}
    elements: dict[str, int] = {}
    packings: set[str] = set()
    unknown: list[str] = []
    for tensor in tensors:
        size = math.prod(tensor.shape)
        if _is_companion(tensor, size, table):
            elements[tensor.name] = 0
            continue
        packed = _packed(tensor, table, bits)
        if packed is not None:
            elements[tensor.name], packing = packed
            packings.add(packing)
            continue
        elements[tensor.name] = size
        if tensor.dtype in _CONTAINERS and len(tensor.shape) > 1:
            unknown.append(tensor.name)
    notes: tuple[str, ...] = ()
    if unknown:
        example = plain(min(unknown))
        notes = (f"integer tensors of no packing that mbom knows, counted as stored: {len(unknown)}, first {example}",)
    return elements, tuple(sorted(packings)), notes


def companions(tensors: Sequence[TensorRecord]) -> frozenset[str]:
    """Return the names of the tensors that only help to decode another one of a packed or scaled type."""
    table = {tensor.name: tensor for tensor in tensors}
    return frozenset(tensor.name for tensor in tensors if _is_companion(tensor, math.prod(tensor.shape), table))


def _is_companion(tensor: TensorRecord, size: int, table: Mapping[str, TensorRecord]) -> bool:
    """Tell whether a tensor only helps to decode another one: a scale, a zero point, a permutation."""
    match = _BITSANDBYTES.fullmatch(tensor.name)
    hosts = [match[1]] if match else []
    for ending, replacements in _COMPANIONS:
        if tensor.name.endswith(ending):
            hosts.extend(tensor.name.removesuffix(ending) + other for other in replacements)
    # A name alone must not hide weights: what decodes a tensor is smaller than it, and that tensor is encoded.
    found = (table[host] for host in hosts if host in table)
    return any(host.dtype in _ENCODED and size <= max(math.prod(host.shape), 64) for host in found)


def _packed(tensor: TensorRecord, table: Mapping[str, TensorRecord], bits: int | None) -> tuple[int, str] | None:
    """Return the number of weights in a packed tensor and the packing's name; None for any other tensor."""
    if len(tensor.shape) < 2:
        return None
    if tensor.dtype == "I32" and tensor.name.endswith(".qweight"):
        return _packed_by_columns(tensor, table)
    if tensor.dtype == "I32" and tensor.name.endswith("_packed") and bits in (2, 4, 8, 16):
        return math.prod(tensor.shape) * (32 // bits), f"int{bits} in int32"
    if tensor.dtype in ("U8", "I8"):
        packing = _pairs(tensor, table)
        return None if packing is None else (math.prod(tensor.shape) * 2, packing)
    return None


def _pairs(tensor: TensorRecord, table: Mapping[str, TensorRecord]) -> str | None:
    """Return the name of the packing that puts two weights into each byte of this tensor, if one does."""
    name, shape = tensor.name, tensor.shape
    if any(name + state in table for state in _NF4_STATES):
        return "bitsandbytes 4 bit in uint8"
    if name.endswith("_blocks"):
        scales = table.get(name.removesuffix("_blocks") + "_scales")
        fits = scales is not None and scales.dtype == "U8" and scales.shape == shape[:-1] and shape[-1] == 16
        return "mxfp4 in uint8" if fits else None
    stem = name.removesuffix("_packed")
    scale = table.get(stem + "_scale") or table.get(stem.removesuffix(".weight") + ".scale")
    if scale is None or scale.dtype not in _FP4_SCALES or scale.shape[:-1] != shape[:-1]:
        return None
    groups = (group for group in _FP4_GROUPS if scale.shape[-1] * group == shape[-1] * 2)
    return next((f"fp4 in {_LONG[tensor.dtype]}, groups of {group}" for group in groups), None)


def _packed_by_columns(tensor: TensorRecord, table: Mapping[str, TensorRecord]) -> tuple[int, str] | None:
    """Resolve GPTQ (rows packed) and AWQ (columns packed) by their scales, which have one column per output."""
    stem = tensor.name.removesuffix("qweight")
    scales, zeros, order = (table.get(stem + part) for part in ("scales", "qzeros", "g_idx"))
    if scales is None or len(scales.shape) != 2 or len(tensor.shape) != 2:
        return None
    (rows, columns), outputs = tensor.shape, scales.shape[1]
    if columns < outputs:
        return rows * outputs, "awq in int32"
    if columns == outputs and order is not None and len(order.shape) == 1:
        return order.shape[0] * outputs, "gptq in int32"
    if columns == outputs and zeros is not None and len(zeros.shape) == 2 and zeros.shape[1] > 0:
        return rows * outputs // zeros.shape[1] * outputs, "gptq in int32"  # 32 * zeros / outputs bits a weight
    return None
