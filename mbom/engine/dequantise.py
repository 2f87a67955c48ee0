"""Quantised weights to the exact values that they stand for.

Stored values are small integers times scales, so float64 holds every product without rounding: MXFP4 needs 2
significant bits, FP8 in blocks 4 + 24. transformers has its own versions; they round to bfloat16, and for FP8 whose
rows or columns are no multiple of the block they raise or give wrong values.

Sources: OCP Microscaling Formats (MX) 1.0, sections 5.3.3 (E2M1) and 5.4.1 (E8M0); OCP 8-bit Floating Point (OFP8)
1.0, section 5.1 (E4M3, the variant without infinities that torch calls ``float8_e4m3fn``).
"""

import math

import torch
from torch import Tensor

from mbom.errors import FormatError

GROUP = 32  # MXFP4: values under one scale
GROUP_BYTES = GROUP // 2
FP8_BLOCK = (128, 128)  # the default of the DeepSeek layout, which every FP8 checkpoint since has copied

# A chunk is looked up, then scaled where it lies. 4 MiB of float64 are few enough for the last cache, and enough for
# waking the second thread to pay: at a quarter of this, two threads take longer than one.
CHUNK_VALUES = 1 << 19
E8M0_NAN = 255
E4M3_NAN = 0x7F  # with either sign; the format has no infinities

_E2M1_MAGNITUDES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
_E2M1 = torch.tensor([*_E2M1_MAGNITUDES, *(-value for value in _E2M1_MAGNITUDES)], dtype=torch.float64)

# Byte -> the two values that it packs, low nibble first. As a complex number the pair is one element of 16 bytes, which
# index_select copies four times as fast as a row of two.
_E2M1_PAIRS = torch.view_as_complex(
    torch.stack([_E2M1.repeat(16), _E2M1.repeat_interleave(16)], dim=-1).contiguous()
)  # (256,)

# Byte -> 2**(byte - 127); the NaN code never reaches the table.
_E8M0 = torch.tensor([math.ldexp(1.0, code - 127) for code in range(E8M0_NAN)], dtype=torch.float64)


def _e4m3(code: int) -> float:
    sign, exponent, mantissa = -1.0 if code & 0x80 else 1.0, (code >> 3) & 0xF, code & 7
    if code & 0x7F == E4M3_NAN:
        return math.nan
    if exponent == 0:
        return sign * math.ldexp(mantissa, -9)
    return sign * math.ldexp(8 + mantissa, exponent - 10)


_E4M3 = torch.tensor([_e4m3(code) for code in range(256)], dtype=torch.float64)


def mxfp4(
    blocks: Tensor,
    scales: Tensor,
    *,
    dtype: torch.dtype = torch.float64,
    out: Tensor | None = None,
    what: str = "MXFP4 weight",
) -> Tensor:
    """Return the values of an MXFP4 tensor: ``E2M1[nibble] * 2**(scale - 127)``, low nibble first.

    Args:
        blocks: (..., G, 16) uint8, two values a byte.
        scales: (..., G) uint8 or float8_e8m0fnu, one for each group of 32.
        dtype: of the result. float64 is exact; a narrower type rounds once, and overflows as its format does.
        out: where to put the result, contiguous, on the device of ``blocks``; made when None.
        what: how error messages name the tensor.

    Returns:
        (..., G * 32) on the device of ``blocks``.

    Raises:
        FormatError: when shapes or dtypes do not fit together, or a scale is NaN.
    """
    if blocks.dtype != torch.uint8 or blocks.ndim < 2 or blocks.shape[-1] != GROUP_BYTES:
        raise FormatError(
            f"{what}: blocks are {_describe(blocks)}; MXFP4 has uint8 with {GROUP_BYTES} bytes in the last dimension"
        )
    codes = _e8m0_codes(scales, what)
    if codes is None or scales.shape != blocks.shape[:-1]:
        raise FormatError(
            f"{what}: scales are {_describe(scales)}; blocks of {_describe(blocks)} need one E8M0 byte for each group"
        )
    shape = (*blocks.shape[:-2], blocks.shape[-2] * GROUP)
    out = _result(shape, dtype, blocks.device, out)
    pairs, powers = _E2M1_PAIRS.to(blocks.device), _E8M0.to(blocks.device)
    packed, exponents, flat = blocks.reshape(-1, GROUP_BYTES), codes.reshape(-1), out.view(-1, GROUP)
    scratch = _Scratch(min(CHUNK_VALUES, out.numel()), out, values_per_code=2)
    step = CHUNK_VALUES // GROUP
    for start in range(0, flat.shape[0], step):
        chunk = slice(start, start + step)
        values = scratch.values(flat[chunk])  # (groups, 32) float64
        scratch.look_up(pairs, packed[chunk], torch.view_as_complex(values.view(-1, 2)))
        values *= powers.index_select(0, exponents[chunk].int()).unsqueeze(1)
        scratch.store(values, flat[chunk])
    return out


def fp8_blocks(
    weight: Tensor,
    scales: Tensor,
    *,
    block: tuple[int, int] = FP8_BLOCK,
    dtype: torch.dtype = torch.float64,
    out: Tensor | None = None,
    what: str = "FP8 weight",
) -> Tensor:
    """Return the values of an FP8 matrix with one scale a block; the last block of a side may be ragged.

    One scale for the whole matrix is a block of its shape, one for each row a block of ``(1, columns)``.

    Args:
        weight: (O, I) float8_e4m3fn, or its bytes as uint8.
        scales: (ceil(O / block[0]), ceil(I / block[1])) float32, bfloat16, float64, or E8M0 (uint8, float8_e8m0fnu).
            DeepSeek's ``weight_scale_inv`` is, its name notwithstanding, what the weight is multiplied with.
        block: rows and columns under one scale.
        dtype: of the result. float64 is exact for scales of up to 24 bits; a narrower type rounds once.
        out: where to put the result, contiguous, on the device of ``weight``; made when None.
        what: how error messages name the tensor.

    Returns:
        (O, I) on the device of ``weight``.

    Raises:
        FormatError: when shapes or dtypes do not fit together, or a weight or a scale is NaN, or a scale infinite.
    """
    if weight.dtype not in (torch.float8_e4m3fn, torch.uint8) or weight.ndim != 2:
        raise FormatError(f"{what}: {_describe(weight)}; a matrix of float8_e4m3fn belongs here")
    if min(block) < 1:
        raise FormatError(f"{what}: a block of {block[0]}x{block[1]}; both sides must be at least 1")
    rows, columns = weight.shape
    grid = (-(-rows // block[0]), -(-columns // block[1]))
    if tuple(scales.shape) != grid:
        raise FormatError(
            f"{what}: scales of shape {tuple(scales.shape)}; a weight of {rows}x{columns} in blocks of "
            f"{block[0]}x{block[1]} needs {grid}"
        )
    factors = _block_scales(scales, what)
    out = _result((rows, columns), dtype, weight.device, out)
    table, codes = _E4M3.to(weight.device), weight.contiguous().view(torch.uint8)
    signed = codes.view(torch.int8)
    row_block = torch.arange(rows, device=weight.device) // block[0]  # (O,)
    whole = columns // block[1]  # blocks of full width; a ragged one may follow
    step = max(1, CHUNK_VALUES // max(1, columns))
    scratch = _Scratch(min(step, rows) * columns, out)
    for start in range(0, rows, step):
        chunk = slice(start, start + step)
        if columns and int((signed[chunk] | -128).amax()) == -1:  # 0x7F or 0xFF; int8 has the fast paths
            raise FormatError(f"{what}: a weight is NaN, in rows {start} to {min(start + step, rows) - 1}")
        found = scratch.values(out[chunk])  # (r, I) float64
        scratch.look_up(table, codes[chunk], found.view(-1))
        scale = factors.index_select(0, row_block[chunk]).unsqueeze(2)  # (r, blocks, 1)
        edge = whole * block[1]
        if whole:
            found[:, :edge].view(-1, whole, block[1]).mul_(scale[:, :whole])
        if edge < columns:
            found[:, edge:].mul_(scale[:, whole])
        scratch.store(found, out[chunk])
    return out


class _Scratch:
    """Memory that every chunk of one tensor uses again: fresh pages cost more than what is computed in them."""

    def __init__(self, chunk: int, out: Tensor, *, values_per_code: int = 1) -> None:
        self._indices = torch.empty(-(-chunk // values_per_code), dtype=torch.int32, device=out.device)
        exact = out.dtype == torch.float64
        self._values = None if exact else torch.empty(chunk, dtype=torch.float64, device=out.device)

    def values(self, out: Tensor) -> Tensor:
        """Return where a chunk is computed in float64: in place where that is the type of ``out``."""
        return out if self._values is None else self._values[: out.numel()].view(out.shape)

    def store(self, values: Tensor, out: Tensor) -> None:
        """Round a chunk to the type of ``out``, unless it was computed there."""
        if self._values is not None:
            out.copy_(values)

    def look_up(self, table: Tensor, codes: Tensor, out: Tensor) -> None:
        """Write ``table[codes]`` for uint8 codes to the flat ``out``; ``out=`` is the fast path on a CPU."""
        indices = self._indices[: codes.numel()].view(codes.shape).copy_(codes)
        torch.index_select(table, 0, indices.view(-1), out=out)


def _e8m0_codes(scales: Tensor, what: str) -> Tensor | None:
    """Return the bytes of E8M0 scales, or None for another dtype; NaN raises."""
    if scales.dtype not in (torch.uint8, torch.float8_e8m0fnu):
        return None
    codes = scales.contiguous().view(torch.uint8)
    if bool((codes == E8M0_NAN).any()):
        raise FormatError(f"{what}: a scale is NaN (E8M0 code {E8M0_NAN})")
    return codes


def _block_scales(scales: Tensor, what: str) -> Tensor:
    codes = _e8m0_codes(scales, what)
    if codes is not None:
        return _E8M0.to(scales.device).index_select(0, codes.reshape(-1).int()).view(scales.shape)
    if scales.dtype not in (torch.float32, torch.bfloat16, torch.float64):
        raise FormatError(f"{what}: scales are {_describe(scales)}; float32, bfloat16, float64 and E8M0 are known")
    factors = scales.to(torch.float64)
    if not bool(factors.isfinite().all()):
        raise FormatError(f"{what}: a scale is infinite or NaN")
    return factors


def _result(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device, out: Tensor | None) -> Tensor:
    if out is None:
        return torch.empty(shape, dtype=dtype, device=device)
    assert tuple(out.shape) == shape, (tuple(out.shape), shape)
    assert out.dtype == dtype, (out.dtype, dtype)
    assert out.device == device, (out.device, device)
    assert out.is_contiguous()
    return out


def _describe(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} of shape {tuple(tensor.shape)}"
