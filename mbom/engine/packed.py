"""Packed integers and NVFP4 to the exact values that they stand for.

An integer weight is ``(code - zero) * scale``. Codes of 8 bits leave a difference of at most 8 significant bits and a
sign, scales have 24 at most (float32), so that float64 holds the product of 32 bits without rounding.

NVFP4 multiplies E2M1 (2 significant bits) with E4M3 (4): 6 bits, exact. Where a float32 follows as a factor, as
NVIDIA's ModelOpt stores it, the product has 30 bits and is exact as well. Where it is a divisor, as compressed-tensors
stores it, the quotient has no end in general, and the value is *defined* as the float64 nearest to
``(E2M1 * E4M3) / divisor``: one rounding. Dividing the scale first, or multiplying with a reciprocal, rounds more often
and differs in the last bits.

Sources: ``compressed_tensors`` 0.20 (``compressors/pack_quantized``, ``compressors/nvfp4``); AutoAWQ 0.2.9 ``awq/utils/
packing_utils.py`` (the GEMM order); AutoGPTQ 0.7.1 ``nn_modules/qlinear/qlinear_cuda.py``; OCP formats as in
``mbom.engine.dequantise``.
"""

import torch
from torch import Tensor

from mbom.errors import FormatError

WIDTHS = (4, 8)  # bits of a code; both divide a word of 32, so that no code is spread over two
WORD_BITS = 32
NVFP4_GROUP = 16  # values under one scale
CHUNK_VALUES = 1 << 18  # 2 MiB of float64: a chunk is shifted and scaled while it is still in the cache

# Column of eight neighbours -> the place of its nibble in AutoAWQ's words, which hold them as 0 2 4 6 1 3 5 7.
AWQ_PLACES = (0, 4, 1, 5, 2, 6, 3, 7)

_FLOATS = (torch.float16, torch.bfloat16, torch.float32)  # not float64, whose products would be rounded
_E4M3_NAN = 0x7F  # with either sign
_E2M1 = torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0], dtype=torch.float64)

# Scale code, then nibble -> their product, exact in float64; those of NaN scales are never looked up.
_PRODUCTS = torch.arange(256, dtype=torch.uint8).view(torch.float8_e4m3fn).to(torch.float64).unsqueeze(1) * torch.cat(
    [_E2M1, -_E2M1]
)  # (256, 16)


def unpacked(words: Tensor, bits: int, *, what: str) -> Tensor:
    """Return the codes of (..., P) int32 words as (..., P * 32 / bits) uint8, lowest bits first.

    Raises:
        FormatError: for words of another type, or codes that would be spread over words.
    """
    if words.dtype != torch.int32 or words.ndim < 1 or bits not in WIDTHS:
        raise FormatError(f"{what}: {_describe(words)} with codes of {bits} bits; int32 with 4 or 8 bits is known")
    # The first octet is the lowest, as in the file. Flat, because a single column may have any stride.
    octets = words.reshape(-1).contiguous().view(torch.uint8).view(*words.shape[:-1], words.shape[-1] * 4)
    return octets if bits == 8 else torch.stack((octets & 15, octets >> 4), dim=-1).flatten(-2)


def integers(
    codes: Tensor, scales: Tensor, *, zeros: Tensor | int = 0, order: Tensor | None = None, what: str
) -> Tensor:
    """Return ``(code - zero) * scale`` for a matrix of integers, exact in float64.

    Args:
        codes: (O, I) uint8 or int8.
        scales: (O, G) floats, one for each group of I / G neighbouring columns, or a single one for all.
        zeros: (O, G) integers, or one number for all.
        order: (I,) integers, the group of each column where groups are not neighbours.
        what: how error messages name the tensor.

    Returns:
        (O, I) on the device of ``codes``.

    Raises:
        FormatError: when shapes or dtypes do not fit together, a scale is not finite, or a group does not exist.
    """
    if codes.dtype not in (torch.uint8, torch.int8) or codes.ndim != 2:
        raise FormatError(f"{what}: codes are {_describe(codes)}; a matrix of 8-bit integers belongs here")
    rows, columns = codes.shape
    factors = _finite(scales, what)
    factors = factors.reshape(1, 1).expand(rows, 1) if factors.numel() == 1 else factors
    groups = factors.shape[-1]
    if factors.shape != (rows, groups) or groups == 0 or (order is None and columns % groups):
        raise FormatError(f"{what}: scales of shape {tuple(scales.shape)} do not fit a matrix of {rows}x{columns}")
    shifts = zeros if isinstance(zeros, Tensor) else torch.full((), zeros, device=codes.device)
    if shifts.is_floating_point() or (shifts.ndim and shifts.shape != factors.shape):
        raise FormatError(f"{what}: zero points are {_describe(shifts)}; scales need {tuple(factors.shape)} integers")
    shifts = shifts.to(torch.float64).expand(rows, groups)
    group_of = None if order is None else _groups(order, columns, groups, what)
    out = torch.empty((rows, columns), dtype=torch.float64, device=codes.device)
    step = max(1, CHUNK_VALUES // max(1, columns))
    for start in range(0, rows, step):
        chunk = slice(start, start + step)
        shift, factor = shifts[chunk], factors[chunk]
        if group_of is None:
            target = out[chunk].view(-1, groups, columns // groups)
            target.copy_(codes[chunk].reshape(target.shape)).sub_(shift.unsqueeze(-1)).mul_(factor.unsqueeze(-1))
        else:
            shift, factor = shift.index_select(1, group_of), factor.index_select(1, group_of)
            out[chunk].copy_(codes[chunk]).sub_(shift).mul_(factor)
    return out


def packed_rows(
    words: Tensor,
    scales: Tensor,
    *,
    bits: int,
    zeros: Tensor | None = None,
    order: Tensor | None = None,
    what: str = "packed weight",
) -> Tensor:
    """Return the values of compressed-tensors' ``pack-quantized``: rows packed along their columns.

    Codes are stored with ``2**(bits - 1)`` added, those of zero points too, so that the offset cancels.

    Args:
        words: (O, I * bits / 32) int32.
        scales: (O, G) floats, or a single one.
        bits: of a code, 4 or 8.
        zeros: (ceil(O * bits / 32), G) int32, packed along the rows; None for symmetric codes.
        order: (I,) integers, the group of each column, where columns were sorted by activation.
        what: how error messages name the tensor.

    Returns:
        (O, I) float64.

    Raises:
        FormatError: as ``integers`` does.
    """
    codes = unpacked(words, bits, what=what)
    if zeros is None:
        return integers(codes, scales, zeros=1 << (bits - 1), order=order, what=what)
    if zeros.ndim != 2 or zeros.shape[0] != -(-codes.shape[0] * bits // WORD_BITS):
        raise FormatError(
            f"{what}: zero points are {_describe(zeros)}; {codes.shape[0]} rows of {bits} bits are packed in "
            f"{-(-codes.shape[0] * bits // WORD_BITS)} words"
        )
    shifts = unpacked(zeros.t(), bits, what=what)[:, : codes.shape[0]].t()  # (O, G)
    return integers(codes, scales, zeros=shifts, order=order, what=what)


def awq(words: Tensor, zeros: Tensor, scales: Tensor, *, what: str = "AWQ weight") -> Tensor:
    """Return the values of an AutoAWQ GEMM matrix of 4 bits, as the rows that a linear layer has.

    Args:
        words: (I, O / 8) int32, eight columns of outputs a word in the order of ``AWQ_PLACES``.
        zeros: (G, O / 8) int32, in the same order.
        scales: (G, O) floats.
        what: how error messages name the tensor.

    Returns:
        (O, I) float64.

    Raises:
        FormatError: as ``integers`` does.
    """
    codes, shifts = (_awq_codes(part, what) for part in (words, zeros))
    return integers(codes.t(), scales.t(), zeros=shifts.t(), what=what)


def gptq(
    words: Tensor,
    zeros: Tensor,
    scales: Tensor,
    order: Tensor | None,
    *,
    bits: int = 4,
    added: int = 1,
    what: str = "GPTQ weight",
) -> Tensor:
    """Return the values of a GPTQ matrix, as the rows that a linear layer has.

    Args:
        words: (I * bits / 32, O) int32, packed along the inputs.
        zeros: (G, O * bits / 32) int32, packed along the outputs.
        scales: (G, O) floats.
        order: (I,) int32, the group of each input (``g_idx``); None where groups are neighbours.
        bits: of a code, 4 or 8.
        added: to each stored zero point: 1 in the first version of the format, 0 in the second.
        what: how error messages name the tensor.

    Returns:
        (O, I) float64.

    Raises:
        FormatError: as ``integers`` does, and when a zero point is none of the codes: AutoGPTQ takes 16 for 0 there,
            its CUDA kernels do not.
    """
    codes = unpacked(words.t(), bits, what=what)  # (O, I)
    shifts = unpacked(zeros, bits, what=what).to(torch.int16) + added  # (G, O)
    if shifts.numel() and int(shifts.max()) >= 1 << bits:
        raise FormatError(f"{what}: a zero point is {1 << bits}, codes of {bits} bits end at {(1 << bits) - 1}")
    return integers(codes, scales.t(), zeros=shifts.t(), order=order, what=what)


def nvfp4(packed: Tensor, scales: Tensor, overall: Tensor, *, divisor: bool, what: str = "NVFP4 weight") -> Tensor:
    """Return the values of an NVFP4 matrix, low nibble first; see the module for what is exact.

    Args:
        packed: (O, I / 2) uint8, two E2M1 values a byte.
        scales: (O, I / 16) float8_e4m3fn.
        overall: one float for the whole matrix.
        divisor: whether values are divided by ``overall`` (compressed-tensors) or multiplied with it (ModelOpt).
        what: how error messages name the tensor.

    Returns:
        (O, I) float64 on the device of ``packed``.

    Raises:
        FormatError: when shapes or dtypes do not fit together, a scale is not finite, or the divisor is 0.
    """
    if packed.dtype != torch.uint8 or packed.ndim != 2:
        raise FormatError(f"{what}: {_describe(packed)}; NVFP4 is a matrix of uint8")
    rows, columns = packed.shape[0], packed.shape[1] * 2
    if scales.dtype != torch.float8_e4m3fn or tuple(scales.shape) != (rows, columns // NVFP4_GROUP):
        raise FormatError(
            f"{what}: scales are {_describe(scales)}; {rows}x{columns} values need float8_e4m3fn of shape "
            f"{(rows, columns // NVFP4_GROUP)}"
        )
    if columns % NVFP4_GROUP:
        raise FormatError(f"{what}: {columns} columns are no whole groups of {NVFP4_GROUP}")
    factor = _finite(overall, what)
    if factor.numel() != 1 or (divisor and float(factor) == 0):
        raise FormatError(f"{what}: its global scale is {_describe(overall)}; one number other than 0 belongs here")
    codes = scales.contiguous().view(torch.uint8)
    if bool((codes & 0x7F == _E4M3_NAN).any()):
        raise FormatError(f"{what}: a scale is NaN")
    products = _PRODUCTS.to(packed.device)
    table = _pairs(products / factor.reshape(()) if divisor else products * factor.reshape(()))
    out = torch.empty((rows, columns // 2), dtype=torch.complex128, device=packed.device)
    step = max(1, CHUNK_VALUES // max(1, columns))
    for start in range(0, rows, step):
        chunk = slice(start, start + step)
        target = out[chunk]
        keys = codes[chunk].int().unsqueeze(-1) * 256 + packed[chunk].reshape(*codes[chunk].shape, NVFP4_GROUP // 2)
        torch.index_select(table, 0, keys.reshape(-1), out=target.view(-1))
    return torch.view_as_real(out).flatten(-2)


def _pairs(values: Tensor) -> Tensor:
    """Return a table from ``scale code * 256 + byte`` to the byte's two values, of (256, 16) values by nibble."""
    pairs = torch.stack([values.repeat(1, 16), values.repeat_interleave(16, dim=1)], dim=-1)  # (256, 256, 2)
    return torch.view_as_complex(pairs).flatten()


def _awq_codes(words: Tensor, what: str) -> Tensor:
    codes = unpacked(words, 4, what=what)
    places = torch.tensor(AWQ_PLACES, device=words.device)
    return codes.reshape(*words.shape, 8).index_select(-1, places).flatten(-2)


def _groups(order: Tensor, columns: int, groups: int, what: str) -> Tensor:
    if order.is_floating_point() or tuple(order.shape) != (columns,):
        raise FormatError(f"{what}: its order of columns is {_describe(order)}; {columns} integers belong here")
    if columns and not 0 <= int(order.min()) <= int(order.max()) < groups:
        raise FormatError(
            f"{what}: its columns belong to groups {int(order.min())} to {int(order.max())}, scales have {groups}"
        )
    return order.to(torch.int64)


def _finite(scales: Tensor, what: str) -> Tensor:
    if scales.dtype not in _FLOATS:
        raise FormatError(f"{what}: scales are {_describe(scales)}; floats of 16 or 32 bits are known")
    factors = scales.to(torch.float64)
    if not bool(factors.isfinite().all()):
        raise FormatError(f"{what}: a scale is infinite or NaN")
    return factors


def _describe(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} of shape {tuple(tensor.shape)}"
