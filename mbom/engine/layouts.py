"""Stored tensors of one encoding to the weight that they make up: shapes are checked here, values as they are read.

Every function takes records of the inventory, returns a ``Weight``, and raises ``FormatError``, naming the tensor, when
types or shapes contradict each other.
"""

import math
from collections.abc import Mapping, Sequence
from functools import partial

import torch

from mbom.engine import packed
from mbom.engine.dequantise import GROUP, GROUP_BYTES, fp8_blocks, mxfp4
from mbom.engine.weights import Weight
from mbom.errors import FormatError
from mbom.inventory.record import TensorRecord

FLOATS = ("F32", "BF16", "F16")
EXPONENTS = ("U8", "F8_E8M0")


def mxfp4_experts(blocks: TensorRecord, scales: TensorRecord) -> Weight:
    """Describe expert weights of gpt-oss: blocks (E, O, G, 16), scales (E, O, G), values (E, G * 32, O)."""
    if (
        len(blocks.shape) != 4
        or blocks.shape[3] != GROUP_BYTES
        or blocks.shape[:3] != scales.shape
        or (blocks.dtype, scales.dtype) != ("U8", "U8")
    ):
        raise FormatError(
            f"{blocks.name}: {blocks.dtype} {list(blocks.shape)} with scales {scales.dtype} {list(scales.shape)} "
            "is not MXFP4, which has U8 (experts, out, groups, 16) with U8 (experts, out, groups)"
        )
    experts, out, groups, _ = blocks.shape
    return Weight(
        name=blocks.name.removesuffix("_blocks"),
        shape=(experts, groups * GROUP, out),
        stored=(blocks.name, scales.name),
        decode=partial(_mxfp4_experts, what=blocks.name),
        encoding="mxfp4",
    )


def mxfp4_rows(name: str, values: TensorRecord, scales: TensorRecord) -> Weight:
    """Describe an MXFP4 matrix: two values a byte (O, I / 2), E8M0 scales (O, I / 32)."""
    rows, columns = _matrix(values, ("U8", "I8"))
    _fits(scales, EXPONENTS, (rows, columns * 2 // GROUP), values)
    if columns % GROUP_BYTES:
        raise FormatError(f"{values.name}: {columns * 2} columns are no whole groups of {GROUP}")
    return Weight(
        name=name,
        shape=(rows, columns * 2),
        stored=(values.name, scales.name),
        decode=partial(_mxfp4_rows, what=values.name),
        encoding="mxfp4",
    )


def nvfp4(name: str, values: TensorRecord, scales: TensorRecord, overall: TensorRecord, *, divisor: bool) -> Weight:
    """Describe an NVFP4 matrix: two values a byte (O, I / 2), E4M3 scales (O, I / 16), one float for all."""
    rows, columns = _matrix(values, ("U8",))
    if columns * 2 % packed.NVFP4_GROUP:
        raise FormatError(f"{values.name}: {columns * 2} columns are no whole groups of {packed.NVFP4_GROUP}")
    _fits(scales, ("F8_E4M3",), (rows, columns * 2 // packed.NVFP4_GROUP), values)
    if overall.dtype not in FLOATS or math.prod(overall.shape) != 1:
        raise FormatError(f"{overall.name}: {_shown(overall)}; one global scale belongs here")
    return Weight(
        name=name,
        shape=(rows, columns * 2),
        stored=(values.name, scales.name),
        constants=(overall.name,),
        decode=partial(packed.nvfp4, divisor=divisor, what=values.name),
        encoding="nvfp4",
    )


def fp8(values: TensorRecord, scales: TensorRecord, *, block: tuple[int, int] | None = None) -> Weight:
    """Describe FP8 with one scale for all, for each row, each column (of stacked experts), or each block.

    Args:
        values: F8_E4M3, a matrix (O, I) or, for experts that are stacked, (E, ., .).
        scales: one element, or (O, 1) or (O,), or a shape (E, ...) that spreads over the stack; with ``block``, one for
            each block, the last ones ragged.
        block: rows and columns under one scale.
    """
    if values.dtype != "F8_E4M3" or len(values.shape) not in (2, 3):
        raise FormatError(
            f"{values.name}: {_shown(values)} has scales in {scales.name}; only matrices of F8_E4M3 may, and their "
            "stacks"
        )
    kind = _fp8_kind(values, scales, block)
    both = (values.name, scales.name)
    apart = kind in ("all", "ragged rows")
    return Weight(
        name=values.name,
        shape=values.shape,
        stored=both[:1] if apart else both,
        constants=both[1:] if apart else (),
        sliced=kind != "ragged rows",
        decode=partial(_fp8, block=block, what=values.name),
        encoding="fp8",
    )


def _fp8_kind(values: TensorRecord, scales: TensorRecord, block: tuple[int, int] | None) -> str:
    """Return which of its shapes the scales have: "all", "ragged rows" (blocks of them), or "slices"."""
    *stack, rows, columns = values.shape
    if block is not None:
        grid = (*stack, -(-rows // block[0]), -(-columns // block[1]))
        _fits(scales, (*FLOATS, *EXPONENTS), grid, values)
        return "ragged rows" if not stack and block[0] != 1 else "slices"
    if scales.dtype not in FLOATS:
        raise FormatError(f"{scales.name}: {_shown(scales)}; scales of FP8 are {', '.join(FLOATS)}")
    if math.prod(scales.shape) == 1:
        return "all"
    if stack:
        allowed = [(stack[0],), (stack[0], 1, 1), (stack[0], rows, 1), (stack[0], 1, columns)]
    else:
        allowed = [(rows,), (rows, 1)]
    if scales.shape not in allowed:
        raise FormatError(
            f"{values.name}: scales of shape {list(scales.shape)}; values of {list(values.shape)} take [1] or one of "
            f"{', '.join(str(list(shape)) for shape in allowed)}"
        )
    return "slices"


def integers(values: TensorRecord, scales: TensorRecord, zeros: TensorRecord | None, shape: tuple[int, ...]) -> Weight:
    """Describe a matrix of I8 (O, I) with scales of ``shape`` and, where codes are not symmetric, zero points."""
    rows, columns = _matrix(values, ("I8",))
    _scales(scales, shape, values)
    if zeros is not None:
        _fits(zeros, ("I8",), scales.shape, values)
    companions = (scales.name, *([] if zeros is None else [zeros.name]))
    return Weight(
        name=values.name,
        shape=(rows, columns),
        stored=(values.name, *companions) if shape else (values.name,),
        constants=() if shape else companions,
        decode=partial(_integers, what=values.name),
        encoding="int8",
    )


def packed_rows(
    name: str,
    values: TensorRecord,
    scales: TensorRecord,
    beside: Mapping[str, TensorRecord],
    *,
    bits: int,
    shape: tuple[int, ...],
) -> Weight:
    """Describe compressed-tensors' words of codes (O, I * bits / 32), packed along the columns.

    Args:
        name: of the weight.
        values: the words.
        scales: of ``shape``, () being one for all.
        beside: what may stand beside them: "zero_point", "g_idx", "shape".
        bits: of a code.
        shape: what scales must have.
    """
    rows, words = _matrix(values, ("I32",))
    columns = words * packed.WORD_BITS // bits
    _scales(scales, shape, values)
    if "zero_point" in beside:
        if not shape:
            raise FormatError(
                f"{values.name}: zero points for one scale are not packed, {beside['zero_point'].name} is"
            )
        packed_zeros = (-(-rows * bits // packed.WORD_BITS), shape[-1])
        _fits(beside["zero_point"], ("I32",), packed_zeros, values)
    if "g_idx" in beside:
        _fits(beside["g_idx"], ("I32", "I64"), (columns,), values)
    if "shape" in beside:
        _fits(beside["shape"], ("I32", "I64"), (2,), values)
    roles = tuple(role for role in ("zero_point", "g_idx", "shape") if role in beside)
    constants = tuple(beside[role].name for role in roles)
    return Weight(
        name=name,
        shape=(rows, columns),
        stored=(values.name, scales.name) if shape else (values.name,),
        constants=constants if shape else (scales.name, *constants),
        sliced="zero_point" not in beside,  # eight rows share a word of zero points
        decode=partial(_packed_rows, roles=roles, bits=bits, shape=(rows, columns), what=values.name),
        encoding=f"int{bits}",
    )


def awq(name: str, values: TensorRecord, zeros: TensorRecord, scales: TensorRecord, *, group: int) -> Weight:
    """Describe an AutoAWQ GEMM matrix: words (I, O / 8), zero points (G, O / 8), scales (G, O)."""
    inputs, words = _matrix(values, ("I32",))
    groups = _group_count(values, inputs, group)
    _fits(zeros, ("I32",), (groups, words), values)
    _fits(scales, FLOATS, (groups, words * 8), values)
    return Weight(
        name=name,
        shape=(words * 8, inputs),
        stored=(values.name,),
        constants=(zeros.name, scales.name),
        sliced=False,  # outputs are columns on disk
        decode=partial(packed.awq, what=values.name),
        encoding="awq",
    )


def gptq(
    name: str, parts: Sequence[TensorRecord], *, bits: int, group: int, added: int, sorted_columns: bool
) -> Weight:
    """Describe a GPTQ matrix.

    Args:
        name: of the weight.
        parts: words (I * bits / 32, O), zero points (G, O * bits / 32), scales (G, O), the group of each input (I,).
        bits: of a code.
        group: inputs under one scale, -1 for all of them.
        added: to stored zero points.
        sorted_columns: whether inputs were sorted (``desc_act``), so that their groups are not neighbours.
    """
    values, zeros, scales, order = parts
    words, outputs = _matrix(values, ("I32",))
    inputs = words * packed.WORD_BITS // bits
    groups = _group_count(values, inputs, group)
    _fits(zeros, ("I32",), (groups, outputs * bits // packed.WORD_BITS), values)
    _fits(scales, FLOATS, (groups, outputs), values)
    _fits(order, ("I32", "I64"), (inputs,), values)
    neighbours = None if sorted_columns else inputs // groups
    return Weight(
        name=name,
        shape=(outputs, inputs),
        stored=(values.name,),
        constants=(zeros.name, scales.name, order.name),
        sliced=False,  # inputs come first on disk
        decode=partial(_gptq, bits=bits, added=added, neighbours=neighbours, what=values.name),
        encoding="gptq",
    )


def _mxfp4_experts(blocks: torch.Tensor, scales: torch.Tensor, *, what: str) -> torch.Tensor:
    return mxfp4(blocks, scales, what=what).transpose(-1, -2)  # (E, in, out): the stock class multiplies from the left


def _mxfp4_rows(values: torch.Tensor, scales: torch.Tensor, *, what: str) -> torch.Tensor:
    return mxfp4(values.view(torch.uint8).reshape(*scales.shape, GROUP_BYTES), scales, what=what)


def _fp8(values: torch.Tensor, scales: torch.Tensor, *, block: tuple[int, int] | None, what: str) -> torch.Tensor:
    """Return FP8 values, by expert where those are stacked; one scale, a row's, a column's are blocks of such sides."""
    if values.ndim == 3:
        each = scales.reshape(1).expand(len(values)) if block is None and scales.numel() == 1 else scales
        return torch.stack([_fp8(one, scale, block=block, what=what) for one, scale in zip(values, each, strict=True)])
    rows, columns = values.shape
    if block is not None:
        return fp8_blocks(values, scales, block=block, what=what)
    if values.numel() == 0:
        return values.to(torch.float64)
    if scales.numel() == 1:
        return fp8_blocks(values, scales.reshape(1, 1), block=(rows, columns), what=what)
    if scales.shape == (1, columns):
        return fp8_blocks(values, scales, block=(rows, 1), what=what)
    return fp8_blocks(values, scales.reshape(-1, 1), block=(1, columns), what=what)


def _integers(
    values: torch.Tensor, scales: torch.Tensor, zeros: torch.Tensor | None = None, *, what: str
) -> torch.Tensor:
    grid = (1, 1) if scales.ndim == 0 or scales.numel() == 1 else scales.shape
    if zeros is None:
        return packed.integers(values, scales.reshape(grid), what=what)
    if zeros.numel() == 1:
        return packed.integers(values, scales.reshape(grid), zeros=int(zeros), what=what)
    return packed.integers(values, scales.reshape(grid), zeros=zeros, what=what)


def _packed_rows(
    words: torch.Tensor,
    scales: torch.Tensor,
    *constants: torch.Tensor,
    roles: Sequence[str],
    bits: int,
    shape: tuple[int, int],
    what: str,
) -> torch.Tensor:
    beside = dict(zip(roles, constants, strict=True))
    if "shape" in beside and tuple(beside["shape"].tolist()) != shape:
        raise FormatError(f"{what}: said to have the shape {beside['shape'].tolist()}, its words hold {list(shape)}")
    return packed.packed_rows(
        words, scales, bits=bits, zeros=beside.get("zero_point"), order=beside.get("g_idx"), what=what
    )


def _gptq(
    words: torch.Tensor,
    zeros: torch.Tensor,
    scales: torch.Tensor,
    order: torch.Tensor,
    *,
    bits: int,
    added: int,
    neighbours: int | None,
    what: str,
) -> torch.Tensor:
    # Programs that see no desc_act leave the order unread, so one that says something else has two meanings.
    if neighbours is None:
        return packed.gptq(words, zeros, scales, order, bits=bits, added=added, what=what)
    if not torch.equal(order, (torch.arange(len(order), device=order.device) // neighbours).to(order.dtype)):
        raise FormatError(f"{what}: its inputs are in another order than desc_act: false says")
    return packed.gptq(words, zeros, scales, None, bits=bits, added=added, what=what)


def _matrix(record: TensorRecord, dtypes: Sequence[str]) -> tuple[int, int]:
    if record.dtype not in dtypes or len(record.shape) != 2 or 0 in record.shape:
        raise FormatError(f"{record.name}: {_shown(record)}; a matrix of {' or '.join(dtypes)} belongs here")
    return record.shape[0], record.shape[1]


def _scales(scales: TensorRecord, shape: tuple[int, ...], values: TensorRecord) -> None:
    if shape:
        _fits(scales, FLOATS, shape, values)
    elif scales.dtype not in FLOATS or math.prod(scales.shape) != 1:
        raise FormatError(f"{scales.name}: {_shown(scales)}; one scale belongs to {values.name}")


def _fits(companion: TensorRecord, dtypes: Sequence[str], shape: tuple[int, ...], values: TensorRecord) -> None:
    if companion.dtype not in dtypes or companion.shape != shape:
        raise FormatError(
            f"{companion.name}: {_shown(companion)}; {values.name} of {_shown(values)} needs {' or '.join(dtypes)} "
            f"{list(shape)}"
        )


def _group_count(values: TensorRecord, inputs: int, group: int) -> int:
    if group == -1:
        return 1
    if inputs % group:
        raise FormatError(f"{values.name}: {inputs} inputs are no whole groups of {group}")
    return inputs // group


def _shown(record: TensorRecord) -> str:
    return f"{record.dtype} {list(record.shape)}"
