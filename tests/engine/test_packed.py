"""Packed integers and NVFP4 against slow readers of bit fields, and against the programs that write them."""

import math
from fractions import Fraction
from typing import Any

import pytest
import quantisers
import torch
from slowfloats import exact, finite_codes, random_codes, slow_e2m1, slow_e4m3
from torch import Tensor

from mbom.engine import packed
from mbom.engine.packed import awq, gptq, integers, nvfp4, packed_rows, unpacked
from mbom.errors import FormatError

WHAT = "layers.3.up_proj.weight"


def random_words(shape: tuple[int, ...], seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-(2**31), 2**31, shape, dtype=torch.int64, generator=generator).to(torch.int32)


def random_scales(shape: tuple[int, ...], seed: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def code(word: int, place: int, bits: int) -> int:
    """The integer in a word of 32 bits, counted from its lowest."""
    return (word % (1 << 32) >> bits * place) % (1 << bits)


def slow_rows(words: Tensor, bits: int) -> list[list[int]]:
    return [[code(word, place, bits) for word in line for place in range(32 // bits)] for line in words.tolist()]


def slow_values(codes: Any, zeros: Any, scales: Tensor, group_of: list[int]) -> list[list[Fraction]]:
    """``(code - zero) * scale`` for codes by row and column, zeros and scales by row and group."""
    return [
        [
            (value - zeros[row][group_of[column]]) * Fraction(float(scales[row, group_of[column]]))
            for column, value in enumerate(line)
        ]
        for row, line in enumerate(codes)
    ]


@pytest.mark.parametrize("bits", [4, 8])
def test_words_hold_their_lowest_bits_first(bits: int) -> None:
    words = random_words((5, 7), 1)
    assert unpacked(words, bits, what=WHAT).tolist() == slow_rows(words, bits)
    assert unpacked(words.t(), bits, what=WHAT).tolist() == slow_rows(words.t().contiguous(), bits)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("chunk", [1, 1 << 18])
def test_symmetric_rows_are_exact(bits: int, dtype: torch.dtype, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "CHUNK_VALUES", chunk)
    words, scales = random_words((9, 12), 2), random_scales((9, 3), 3, dtype)
    codes = slow_rows(words, bits)
    zeros = [[2 ** (bits - 1)] * 3] * 9
    group_of = [column * 3 // len(codes[0]) for column in range(len(codes[0]))]
    assert exact(packed_rows(words, scales, bits=bits)) == slow_values(codes, zeros, scales, group_of)


@pytest.mark.parametrize("rows", [8, 9, 23])
@pytest.mark.parametrize("bits", [4, 8])
def test_rows_with_packed_zero_points_are_exact(bits: int, rows: int) -> None:
    words, scales = random_words((rows, 8), 4), random_scales((rows, 2), 5)
    zeros = random_words((-(-rows * bits // 32), 2), 6)
    slow_zeros = [
        [code(int(zeros[row * bits // 32, g]), row % (32 // bits), bits) for g in (0, 1)] for row in range(rows)
    ]
    codes = slow_rows(words, bits)
    group_of = [column * 2 // len(codes[0]) for column in range(len(codes[0]))]
    found = packed_rows(words, scales, bits=bits, zeros=zeros)
    assert exact(found) == slow_values(codes, slow_zeros, scales, group_of)


def test_columns_in_another_order_take_the_scale_of_their_group() -> None:
    words, scales = random_words((4, 4), 7), random_scales((4, 4), 8)
    order = torch.randint(0, 4, (32,), generator=torch.Generator().manual_seed(9))
    expected = slow_values(slow_rows(words, 4), [[8] * 4] * 4, scales, order.tolist())
    assert exact(packed_rows(words, scales, bits=4, order=order.to(torch.int32))) == expected


def test_the_widest_product_of_integers_is_exact() -> None:
    scale = torch.tensor([[1 + 2.0**-23]])
    found = integers(torch.tensor([[-128, 127]], dtype=torch.int8), scale, zeros=torch.tensor([[127]]), what=WHAT)
    assert exact(found) == [[-255 * Fraction(float(scale)), Fraction(0)]]


@pytest.mark.parametrize(
    ("bits", "symmetric", "group"), [(4, True, 32), (4, False, 32), (8, True, 64), (8, False, 64), (4, False, 128)]
)
def test_rows_are_what_compressed_tensors_unpacks(bits: int, symmetric: bool, group: int) -> None:
    from compressed_tensors.compressors import PackedQuantizationCompressor  # type: ignore[import-untyped]
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme  # type: ignore[import-untyped]

    weight = random_scales((24, 128), 10)
    stored, values = quantisers.pack_quantized(weight, bits=bits, group=group, symmetric=symmetric)
    stored["weight_scale"] = stored["weight_scale"].to(torch.float32)
    weights = QuantizationArgs(num_bits=bits, group_size=group, strategy="group", symmetric=symmetric)
    scheme = QuantizationScheme(targets=["Linear"], weights=weights)
    theirs = PackedQuantizationCompressor.decompress(dict(stored), scheme)["weight"]
    found = packed_rows(
        stored["weight_packed"], stored["weight_scale"], bits=bits, zeros=stored.get("weight_zero_point")
    )
    assert torch.equal(found, values)
    assert torch.equal(found.to(torch.float32), theirs)


def test_every_nvfp4_code_under_every_scale_is_the_value_of_its_bit_fields() -> None:
    scale_codes = [c for c in range(256) if c & 0x7F != 0x7F]
    values = torch.arange(16, dtype=torch.uint8)
    line = torch.cat([values | (15 - values) << 4] * 2).view(1, 32)  # (1, 32) bytes: each nibble low and high
    scales = torch.tensor(scale_codes, dtype=torch.uint8).view(-1, 1).repeat(1, 4).view(torch.float8_e4m3fn)
    overall = torch.tensor([1 + 2.0**-23])
    found = nvfp4(line.repeat(len(scale_codes), 1), scales, overall, divisor=False)
    nibbles = [nibble for byte in line[0].tolist() for nibble in (byte & 15, byte >> 4)]
    for row, scale in enumerate(scale_codes):
        factor = slow_e4m3(scale) * Fraction(float(overall))
        assert exact(found[row : row + 1])[0] == [slow_e2m1(nibble) * factor for nibble in nibbles]


@pytest.mark.parametrize("chunk", [1, 1 << 18])
def test_a_divided_nvfp4_value_is_the_nearest_to_the_exact_quotient(
    chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed, "CHUNK_VALUES", chunk)
    bytes_, scales = random_codes((12, 40), 11), finite_codes((12, 5), 12)
    overall = torch.tensor([777.1237])
    found = nvfp4(bytes_, scales.view(torch.float8_e4m3fn), overall, divisor=True).tolist()
    for row, line in enumerate(bytes_.tolist()):
        for column in range(80):
            nibble = line[column // 2] >> 4 * (column % 2) & 15
            product = slow_e2m1(nibble) * slow_e4m3(int(scales[row, column // 16]))
            # int / int rounds once, to the nearest.
            quotient = product / Fraction(float(overall))
            assert found[row][column] == quotient.numerator / quotient.denominator


def test_nvfp4_is_what_compressed_tensors_unpacks_up_to_its_bfloat16() -> None:
    from compressed_tensors.compressors import NVFP4PackedCompressor
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme

    weight = random_scales((16, 64), 13)
    stored, values = quantisers.nvfp4(weight)
    weights = QuantizationArgs(num_bits=4, type="float", strategy="tensor_group", group_size=16)
    scheme = QuantizationScheme(targets=["Linear"], weights=weights)
    theirs = NVFP4PackedCompressor.decompress(dict(stored), scheme)["weight"].to(torch.float64)
    found = nvfp4(stored["weight_packed"], stored["weight_scale"], stored["weight_global_scale"], divisor=True)
    assert torch.equal(found, values)
    assert bool(((found - theirs).abs() <= found.abs() * 2.0**-7).all())
    assert torch.equal(found == 0, theirs == 0)


def test_nvfp4_of_modelopt_is_multiplied_exactly() -> None:
    weight = random_scales((16, 64), 14)
    stored, values = quantisers.modelopt_nvfp4(weight)
    found = nvfp4(stored["weight"], stored["weight_scale"], stored["weight_scale_2"], divisor=False)
    assert torch.equal(found, values)
    assert float((found - weight).abs().max()) < 0.5


def test_awq_is_what_compressed_tensors_converts_it_to() -> None:
    from compressed_tensors.entrypoints.convert.converters import autoawq  # type: ignore[import-untyped]

    words, zeros = random_words((64, 3), 15), random_words((2, 3), 16)
    scales = random_scales((2, 24), 17, torch.float16)
    codes, factors, shifts = autoawq.AutoAWQConverter(group_size=32)._convert_gemm_module(words, scales, zeros)
    assert shifts is not None
    group_of = [column // 32 for column in range(64)]
    expected = slow_values(codes.tolist(), shifts.tolist(), factors, group_of)
    assert exact(awq(words, zeros, scales)) == expected


def test_awq_is_read_as_autoawq_packs_it() -> None:
    stored, values = quantisers.awq(random_scales((24, 64), 18))
    assert torch.equal(awq(stored["qweight"], stored["qzeros"], stored["scales"]), values)


@pytest.mark.parametrize(("bits", "added"), [(4, 1), (4, 0), (8, 1), (8, 0)])
def test_gptq_is_exact_in_any_order_of_its_inputs(bits: int, added: int) -> None:
    stored, values = quantisers.gptq(random_scales((16, 64), 19), bits=bits, added=added, shuffled=True)
    parts = [stored[name].contiguous() for name in ("qweight", "qzeros", "scales", "g_idx")]
    found = gptq(*parts, bits=bits, added=added)
    assert torch.equal(found, values)
    words, zeros, scales, order = parts
    codes = [[code(int(words[i * bits // 32, o]), i % (32 // bits), bits) for i in range(64)] for o in range(16)]
    shifts = [[z + added for z in line] for line in slow_rows(zeros, bits)]
    by_output = [list(line) for line in zip(*shifts, strict=True)]
    assert exact(found) == slow_values(codes, by_output, scales.t(), order.tolist())


def words_of_zeros(*shape: int) -> Tensor:
    return torch.zeros(shape, dtype=torch.int32)


HOSTILE: dict[str, tuple[Any, str]] = {
    "rows that are no words": (lambda: packed_rows(torch.zeros(2, 2), torch.ones(2, 1), bits=4), "int32 with"),
    "rows of three bits": (lambda: packed_rows(words_of_zeros(2, 3), torch.ones(2, 1), bits=3), "codes of 3 bits"),
    "a NaN scale": (lambda: packed_rows(words_of_zeros(1, 1), torch.tensor([[math.nan]]), bits=4), "infinite or NaN"),
    "an infinite scale": (
        lambda: packed_rows(words_of_zeros(1, 1), torch.tensor([[math.inf]]), bits=4), "infinite or NaN",
    ),
    "scales of 64 bits": (
        lambda: packed_rows(words_of_zeros(1, 1), torch.ones(1, 1, dtype=torch.float64), bits=4), "16 or 32 bits",
    ),
    "no groups": (lambda: packed_rows(words_of_zeros(2, 1), torch.ones(2, 0), bits=4), "do not fit"),
    "groups that do not divide": (lambda: packed_rows(words_of_zeros(2, 1), torch.ones(2, 3), bits=4), "do not fit"),
    "scales of other rows": (lambda: packed_rows(words_of_zeros(2, 1), torch.ones(3, 1), bits=4), "do not fit"),
    "truncated zero points": (
        lambda: packed_rows(words_of_zeros(9, 1), torch.ones(9, 1), bits=4, zeros=words_of_zeros(1, 1)), "2 words",
    ),
    "zero points of other groups": (
        lambda: packed_rows(words_of_zeros(8, 1), torch.ones(8, 1), bits=4, zeros=words_of_zeros(1, 2)),
        "zero points are",
    ),
    "a group that is not there": (
        lambda: packed_rows(words_of_zeros(1, 1), torch.ones(1, 2), bits=4, order=torch.full((8,), 2)), "groups 2 to 2",
    ),
    "a group below zero": (
        lambda: packed_rows(words_of_zeros(1, 1), torch.ones(1, 2), bits=4, order=torch.full((8,), -1)), "groups -1",
    ),
    "an order of other columns": (
        lambda: packed_rows(words_of_zeros(1, 1), torch.ones(1, 2), bits=4, order=torch.zeros(7, dtype=torch.int32)),
        "8 integers belong here",
    ),
    "codes in a row": (lambda: integers(torch.zeros(3, dtype=torch.int8), torch.ones(1), what=WHAT), "a matrix of"),
    "a GPTQ zero point beyond the codes": (
        lambda: gptq(
            words_of_zeros(1, 8), torch.full((1, 1), -1, dtype=torch.int32), torch.ones(1, 8),
            torch.zeros(8, dtype=torch.int32),
        ),
        "a zero point is 16",
    ),
    "NVFP4 of other bytes": (
        lambda: nvfp4(torch.zeros(1, 8), torch.zeros(1, 1).to(torch.float8_e4m3fn), torch.ones(1), divisor=True),
        "a matrix of uint8",
    ),
    "NVFP4 in half a group": (
        lambda: nvfp4(random_codes((1, 12), 0), torch.zeros(1, 1).to(torch.float8_e4m3fn), torch.ones(1), divisor=True),
        "whole groups of 16",
    ),
    "NVFP4 with scales cut off": (
        lambda: nvfp4(random_codes((1, 16), 0), torch.zeros(1, 1).to(torch.float8_e4m3fn), torch.ones(1), divisor=True),
        r"of shape \(1, 2\)",
    ),
    "NVFP4 with a NaN scale": (
        lambda: nvfp4(
            random_codes((1, 8), 0), torch.tensor([[0xFF]], dtype=torch.uint8).view(torch.float8_e4m3fn),
            torch.ones(1), divisor=False,
        ),
        "a scale is NaN",
    ),
    **{
        f"NVFP4 {'divided by' if divisor else 'times'} {overall}": (
            lambda overall=overall, divisor=divisor: nvfp4(
                random_codes((1, 8), 0), torch.ones(1, 1).to(torch.float8_e4m3fn), torch.tensor(overall),
                divisor=divisor,
            ),
            message,
        )
        for overall, divisor, message in [
            ([0.0], True, "other than 0"), ([math.inf], True, "infinite"), ([math.nan], False, "NaN"),
            ([1.0, 1.0], False, "one number"),
        ]
    },
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_what_does_not_fit_is_refused(case: str) -> None:
    attempt, message = HOSTILE[case]
    with pytest.raises(FormatError, match=message):
        attempt()


def test_refusals_name_the_tensor() -> None:
    with pytest.raises(FormatError) as caught:
        packed_rows(words_of_zeros(2, 1), torch.ones(3, 1), bits=4, what=WHAT)
    assert str(caught.value).startswith(f"{WHAT}: ")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_gives_the_same_bits() -> None:
    words, scales, zeros = random_words((16, 8), 20), random_scales((16, 2), 21), random_words((2, 2), 22)
    found = packed_rows(words.cuda(), scales.cuda(), bits=4, zeros=zeros.cuda())
    assert torch.equal(found.cpu(), packed_rows(words, scales, bits=4, zeros=zeros))
    parts = random_codes((12, 40), 23), finite_codes((12, 5), 24).view(torch.float8_e4m3fn), torch.tensor([777.1])
    assert torch.equal(nvfp4(*(part.cuda() for part in parts), divisor=True).cpu(), nvfp4(*parts, divisor=True))
    stored, values = quantisers.awq(random_scales((24, 64), 25))
    assert torch.equal(awq(*(stored[name].cuda() for name in ("qweight", "qzeros", "scales"))).cpu(), values)
    stored, values = quantisers.gptq(random_scales((24, 64), 26), shuffled=True)
    parts4 = [stored[name].cuda() for name in ("qweight", "qzeros", "scales", "g_idx")]
    assert torch.equal(gptq(*parts4).cpu(), values)
