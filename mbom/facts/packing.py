"""How many weights a stored tensor stands for, where an encoding packs several into one element.

MXFP4 stores two weights in a byte, GPTQ eight in an integer. Names, dtypes and shapes of a weight and of the scales
beside it show the packing; only compressed-tensors' integers need the width that the configuration gives. A packing
that is not known here is counted as stored, and a note says so.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
_ENDINGS = tuple(ending for ending, _ in _COMPANIONS)
_BITSANDBYTES = re.compile(r"(.*\.weight)\.(absmax|quant_map|nested_absmax|nested_quant_map|quant_state\..*)")
_NF4_STATES = (".quant_state.bitsandbytes__nf4", ".quant_state.bitsandbytes__fp4")
_ENCODED = frozenset({"U8", "I8", "I32", "F8_E4M3", "F8_E5M2", "F4"})  # dtypes that need companions to be decoded
_CONTAINERS = frozenset({"U8", "I16", "U16", "I32", "U32"})  # dtypes that hold several weights where they hold any
_FP4_GROUPS = (16, 32)  # weights that share a scale: NVFP4, MXFP4
_FP4_SCALES = frozenset({"F8_E4M3", "F8_E8M0", "U8"})
# By weights in a group and type of its scale: NVIDIA's NVFP4, and MXFP4 of the OCP microscaling specification, whose
# scales are powers of two that older files hold as plain bytes.
_FP4_TYPES = {(16, "F8_E4M3"): "nvfp4", (32, "F8_E8M0"): "mxfp4", (32, "U8"): "mxfp4"}
_WIDTHS = ("8", "16", "32", "64")
_LONG = {"U8": "uint8", "I8": "int8"}
# What one element stands for, as people write it, where nothing is packed. Others are their own name in lower case.
_LOGICAL = {
    "F8_E4M3": "fp8-e4m3",
    "F8_E5M2": "fp8-e5m2",
    "F8_E8M0": "fp8-e8m0",
    "F8_E4M3FNUZ": "fp8-e4m3fnuz",
    "F8_E5M2FNUZ": "fp8-e5m2fnuz",
    **{kind + width: f"{name}{width}" for kind, name in (("I", "int"), ("U", "uint")) for width in _WIDTHS},
    **{f"F{width}": f"float{width}" for width in _WIDTHS[1:]},
    "BF16": "bfloat16",
    "F4": "fp4-e2m1",
}


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """What the elements of a checkpoint's tensors stand for.

    Attributes:
        elements: how many weights each tensor stands for, by its name; 0 for what only helps to decode another one.
        logical: the type of a weight, such as ``mxfp4`` or ``bfloat16``, of every tensor that stands for weights.
        packings: how they are packed, of all packings that were met.
        notes: sentences about what could not be resolved.
    """

    elements: Mapping[str, int]
    logical: Mapping[str, str]
    packings: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class _Packing:
    """The weights in one packed tensor: their number, their type, and how people call the packing."""

    elements: int
    logical: str
    name: str


def resolve(tensors: Sequence[TensorRecord], bits: int | None) -> Resolved:
    """Return how many weights each tensor stands for, and of which type.

    Args:
        tensors: all tensors of the checkpoint, because a packing shows in a weight and its scales together.
        bits: the width of one weight in compressed-tensors' integers, where the configuration gives one.
    """
    table = {tensor.name: tensor for tensor in tensors}
    elements: dict[str, int] = {}
    logical: dict[str, str] = {}
    packings: set[str] = set()
    unknown: list[str] = []
    for tensor in tensors:
        size = math.prod(tensor.shape)
        if _is_companion(tensor, size, table):
            elements[tensor.name] = 0
            continue
        packed = _packed(tensor, table, bits)
        if packed is not None:
            elements[tensor.name], logical[tensor.name] = packed.elements, packed.logical
            packings.add(packed.name)
            continue
        elements[tensor.name] = size
        logical[tensor.name] = _LOGICAL.get(tensor.dtype, tensor.dtype.lower())
        if tensor.dtype in _CONTAINERS and len(tensor.shape) > 1:
            unknown.append(tensor.name)
            logical[tensor.name] = f"unknown-in-{logical[tensor.name]}"
    notes: tuple[str, ...] = ()
    if unknown:
        example = plain(min(unknown))
        notes = (f"integer tensors of no packing that mbom knows, counted as stored: {len(unknown)}, first {example}",)
    return Resolved(elements=elements, logical=logical, packings=tuple(sorted(packings)), notes=notes)


def logical_elements(
    tensors: Sequence[TensorRecord], bits: int | None
) -> tuple[Mapping[str, int], tuple[str, ...], tuple[str, ...]]:
    """Return how many weights each tensor stands for, the packings that were met, and notes, as ``resolve`` does."""
    found = resolve(tensors, bits)
    return found.elements, found.packings, found.notes


def companions(tensors: Sequence[TensorRecord]) -> frozenset[str]:
    """Return the names of the tensors that only help to decode another one of a packed or scaled type."""
    table = {tensor.name: tensor for tensor in tensors}
    return frozenset(tensor.name for tensor in tensors if _is_companion(tensor, math.prod(tensor.shape), table))


def _is_companion(tensor: TensorRecord, size: int, table: Mapping[str, TensorRecord]) -> bool:
    """Tell whether a tensor only helps to decode another one: a scale, a zero point, a permutation."""
    match = _BITSANDBYTES.fullmatch(tensor.name) if ".weight." in tensor.name else None
    if match is None and not tensor.name.endswith(_ENDINGS):
        return False
    hosts = [match[1]] if match else []
    for ending, replacements in _COMPANIONS:
        if tensor.name.endswith(ending):
            hosts.extend(tensor.name.removesuffix(ending) + other for other in replacements)
    # A name alone must not hide weights: what decodes a tensor is smaller than it, and that tensor is encoded.
    found = (table[host] for host in hosts if host in table)
    return any(host.dtype in _ENCODED and size <= max(math.prod(host.shape), 64) for host in found)


def _packed(tensor: TensorRecord, table: Mapping[str, TensorRecord], bits: int | None) -> _Packing | None:
    """Return what a packed tensor holds; None for any other tensor."""
    if len(tensor.shape) < 2:
        return None
    if tensor.dtype == "I32" and tensor.name.endswith(".qweight"):
        return _packed_by_columns(tensor, table)
    if tensor.dtype == "I32" and tensor.name.endswith("_packed") and bits in (2, 4, 8, 16):
        elements = math.prod(tensor.shape) * (32 // bits)
        return _Packing(elements=elements, logical=f"int{bits}", name=f"int{bits} in int32")
    return _pairs(tensor, table) if tensor.dtype in _LONG else None


def _pairs(tensor: TensorRecord, table: Mapping[str, TensorRecord]) -> _Packing | None:
    """Return what a tensor holds that puts two weights into each byte."""
    name, shape = tensor.name, tensor.shape
    elements = math.prod(shape) * 2
    for state in _NF4_STATES:
        if name + state in table:
            return _Packing(elements=elements, logical=state[-3:], name="bitsandbytes 4 bit in uint8")
    if name.endswith("_blocks"):
        scales = table.get(name.removesuffix("_blocks") + "_scales")
        fits = scales is not None and scales.dtype == "U8" and scales.shape == shape[:-1] and shape[-1] == 16
        return _Packing(elements=elements, logical="mxfp4", name="mxfp4 in uint8") if fits else None
    stem = name.removesuffix("_packed")
    scale = table.get(stem + "_scale") or table.get(stem.removesuffix(".weight") + ".scale")
    if scale is None or scale.dtype not in _FP4_SCALES or scale.shape[:-1] != shape[:-1]:
        return None
    group = next((group for group in _FP4_GROUPS if scale.shape[-1] * group == shape[-1] * 2), None)
    if group is None:
        return None
    logical = _FP4_TYPES.get((group, scale.dtype), "fp4")
    return _Packing(elements=elements, logical=logical, name=f"fp4 in {_LONG[tensor.dtype]}, groups of {group}")


def _packed_by_columns(tensor: TensorRecord, table: Mapping[str, TensorRecord]) -> _Packing | None:
    """Resolve GPTQ (rows packed) and AWQ (columns packed) by their scales, which have one column per output."""
    stem = tensor.name.removesuffix("qweight")
    scales, zeros, order = (table.get(stem + part) for part in ("scales", "qzeros", "g_idx"))
    if scales is None or len(scales.shape) != 2 or len(tensor.shape) != 2:
        return None
    (rows, columns), outputs = tensor.shape, scales.shape[1]
    if columns < outputs:
        return _integers(rows * outputs, tensor, "awq in int32")
    if columns == outputs and order is not None and len(order.shape) == 1:
        return _integers(order.shape[0] * outputs, tensor, "gptq in int32")
    if columns == outputs and zeros is not None and len(zeros.shape) == 2 and zeros.shape[1] > 0:
        # 32 * zeros / outputs bits a weight
        return _integers(rows * outputs // zeros.shape[1] * outputs, tensor, "gptq in int32")
    return None


def _integers(elements: int, tensor: TensorRecord, name: str) -> _Packing:
    """Return a packing of integers, whose width follows from how many of them the stored bits make."""
    stored = math.prod(tensor.shape) * 32
    width = stored // elements if elements and stored % elements == 0 else None
    return _Packing(elements=elements, logical=f"int{width}" if width in range(2, 9) else "unknown-integers", name=name)
