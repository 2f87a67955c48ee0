"""Dequantisers against a slow decoder of bit fields and against transformers where it is right."""

import math
import struct
from fractions import Fraction
from typing import Any

import pytest
import torch
from slowfloats import exact, finite_codes, random_codes, slow_e2m1, slow_e4m3

from mbom.engine import dequantise
from mbom.engine.dequantise import fp8_blocks, mxfp4
from mbom.errors import FormatError


def slow_fp8(codes: torch.Tensor, scales: torch.Tensor, block: tuple[int, int]) -> list[list[Fraction]]:
    return [
        [
            slow_e4m3(code) * Fraction(float(scales[row // block[0], column // block[1]]))
            for column, code in enumerate(line)
        ]
        for row, line in enumerate(codes.tolist())
    ]


def test_every_mxfp4_byte_under_every_scale_is_the_value_of_its_bit_fields() -> None:
    blocks = torch.arange(256, dtype=torch.uint8).view(1, 16, 16).expand(255, 16, 16).contiguous()
    scales = torch.arange(255, dtype=torch.uint8).view(255, 1).expand(255, 16).contiguous()
    found = mxfp4(blocks, scales)  # (255, 512)
    assert found.dtype == torch.float64
    assert found.shape == (255, 512)
    for scale in range(255):
        factor = Fraction(2) ** (scale - 127)
        expected = [slow_e2m1(nibble) * factor for byte in range(256) for nibble in (byte & 15, byte >> 4)]
        assert [Fraction(value) for value in found[scale].tolist()] == expected


def test_mxfp4_keeps_the_sign_of_zero() -> None:
    blocks = torch.full((1, 16), 0x08, dtype=torch.uint8)
    values = mxfp4(blocks, torch.tensor([127], dtype=torch.uint8)).tolist()
    assert [math.copysign(1.0, value) for value in values] == [-1.0, 1.0] * 16


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_mxfp4_is_what_transformers_reads_from_gpt_oss_experts(dtype: torch.dtype) -> None:
    from transformers.integrations.mxfp4 import convert_moe_packed_tensors

    blocks, scales = random_codes((3, 64, 6, 16), 1), random_codes((3, 64, 6), 2, high=40) + 100
    theirs = convert_moe_packed_tensors(blocks, scales, dtype=dtype)  # (experts, in, out): transposed
    assert torch.equal(mxfp4(blocks, scales, dtype=dtype).transpose(1, 2), theirs)
    assert torch.equal(mxfp4(blocks, scales).transpose(1, 2), theirs.double())


def test_mxfp4_gives_the_same_in_chunks_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    blocks, scales = random_codes((5, 7, 16), 3), random_codes((5, 7), 4, high=255)
    whole = mxfp4(blocks, scales)
    monkeypatch.setattr(dequantise, "CHUNK_VALUES", 3 * 32)
    assert torch.equal(mxfp4(blocks, scales), whole)


def test_results_go_into_the_buffer_that_is_given() -> None:
    blocks, scales = random_codes((4, 2, 16), 5), random_codes((4, 2), 6, high=255)
    buffer = torch.full((4, 64), math.nan, dtype=torch.float64)
    assert mxfp4(blocks, scales, out=buffer) is buffer
    assert torch.equal(buffer, mxfp4(blocks, scales))
    codes, factors = finite_codes((30, 20), 7), torch.rand(1, 1)
    buffer = torch.full((30, 20), math.nan, dtype=torch.float64)
    assert fp8_blocks(codes, factors, out=buffer) is buffer
    assert torch.equal(buffer, fp8_blocks(codes, factors))


def test_slices_that_are_not_contiguous_are_read_in_their_own_order() -> None:
    blocks, scales = random_codes((6, 4, 16), 8), random_codes((6, 4), 9, high=255)
    assert torch.equal(mxfp4(blocks[::2], scales[::2]), mxfp4(blocks, scales)[::2])
    codes, factors = finite_codes((8, 300), 10), torch.rand(2, 6)
    assert torch.equal(fp8_blocks(codes, factors[:1, ::2]), fp8_blocks(codes, factors[:1, ::2].contiguous()))
    assert torch.equal(fp8_blocks(codes.t(), torch.ones(3, 1)), fp8_blocks(codes.t().contiguous(), torch.ones(3, 1)))


def test_empty_tensors_are_empty() -> None:
    assert mxfp4(torch.empty((0, 2, 16), dtype=torch.uint8), torch.empty((0, 2), dtype=torch.uint8)).shape == (0, 64)
    assert fp8_blocks(torch.empty((0, 5), dtype=torch.uint8), torch.empty((0, 1))).shape == (0, 5)
    assert fp8_blocks(torch.empty((5, 0), dtype=torch.uint8), torch.empty((1, 0))).shape == (5, 0)


@pytest.mark.parametrize(
    ("blocks", "scales", "message"),
    [
        (torch.zeros(2, 15, dtype=torch.uint8), torch.zeros(2, dtype=torch.uint8), "16 bytes in the last dimension"),
        (torch.zeros(2, 16, dtype=torch.int8), torch.zeros(2, dtype=torch.uint8), "int8 of shape"),
        (torch.zeros(16, dtype=torch.uint8), torch.zeros((), dtype=torch.uint8), "16 bytes in the last dimension"),
        (torch.zeros(2, 16, dtype=torch.uint8), torch.zeros(3, dtype=torch.uint8), "one E8M0 byte for each group"),
        (torch.zeros(2, 16, dtype=torch.uint8), torch.zeros(2), "one E8M0 byte for each group"),
        (torch.zeros(2, 16, dtype=torch.uint8), torch.tensor([0, 255], dtype=torch.uint8), "a scale is NaN"),
    ],
)
def test_mxfp4_that_does_not_fit_is_refused(blocks: torch.Tensor, scales: torch.Tensor, message: str) -> None:
    with pytest.raises(FormatError, match=message) as caught:
        mxfp4(blocks, scales, what="layers.3.experts")
    assert str(caught.value).startswith("layers.3.experts: ")


def test_every_fp8_code_is_the_value_of_its_bit_fields_and_of_torch() -> None:
    codes = torch.tensor([code for code in range(256) if code & 0x7F != 0x7F], dtype=torch.uint8).view(2, 127)
    found = fp8_blocks(codes, torch.ones(1, 1))
    assert exact(found) == [[slow_e4m3(code) for code in line] for line in codes.tolist()]
    assert torch.equal(found, codes.view(torch.float8_e4m3fn).double())


@pytest.mark.parametrize("shape", [(256, 384), (128, 128), (384, 128)])
def test_fp8_in_whole_blocks_is_what_transformers_computes(shape: tuple[int, int]) -> None:
    from transformers.integrations.finegrained_fp8 import Fp8Dequantize

    weight = finite_codes(shape, 11).view(torch.float8_e4m3fn)
    scales = torch.rand(shape[0] // 128, shape[1] // 128, generator=torch.Generator().manual_seed(12)) + 0.01
    theirs = Fp8Dequantize(None)._dequantize_one(weight, scales, torch.float32)  # type: ignore[no-untyped-call]
    assert torch.equal(fp8_blocks(weight, scales, dtype=torch.float32), theirs)


@pytest.mark.parametrize(
    ("shape", "block"),
    [
        ((144, 130), (128, 128)),
        ((1, 1), (128, 128)),
        ((127, 257), (128, 128)),
        ((37, 50), (7, 5)),
        ((20, 30), (1, 30)),
        ((20, 30), (20, 30)),
    ],
)
@pytest.mark.parametrize("chunk", [1, 1 << 18])
def test_fp8_with_ragged_blocks_is_exact(
    shape: tuple[int, int], block: tuple[int, int], chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dequantise, "CHUNK_VALUES", chunk)
    codes = finite_codes(shape, 13)
    grid = (-(-shape[0] // block[0]), -(-shape[1] // block[1]))
    scales = torch.randn(grid, generator=torch.Generator().manual_seed(14))
    assert exact(fp8_blocks(codes, scales, block=block)) == slow_fp8(codes, scales, block)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("chunk", [96, 1 << 18])
def test_narrower_results_are_the_exact_ones_rounded_once(
    dtype: torch.dtype, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks, scales = random_codes((7, 5, 16), 21), random_codes((7, 5), 22, high=40) + 100
    codes, factors = finite_codes((37, 50), 23), torch.rand(6, 10, generator=torch.Generator().manual_seed(24))
    exact_mxfp4, exact_fp8 = mxfp4(blocks, scales), fp8_blocks(codes, factors, block=(7, 5))
    monkeypatch.setattr(dequantise, "CHUNK_VALUES", chunk)
    assert torch.equal(mxfp4(blocks, scales, dtype=dtype), exact_mxfp4.to(dtype))
    assert torch.equal(fp8_blocks(codes, factors, block=(7, 5), dtype=dtype), exact_fp8.to(dtype))


def test_a_result_in_float64_takes_no_second_one_on_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dequantise, "CHUNK_VALUES", 1 << 14)
    made: list[int] = []
    empty = torch.empty

    def counted(*args: Any, **kwargs: Any) -> torch.Tensor:
        made.append(empty(*args, **kwargs).nbytes)
        return empty(*args, **kwargs)

    monkeypatch.setattr(torch, "empty", counted)
    mxfp4(random_codes((64, 32, 16), 25), random_codes((64, 32), 26, high=255))  # 65,536 values, four chunks
    assert made == [8 << 16, 4 << 13]  # the result, and the indices of one chunk


def test_the_matrix_of_deepseek_that_transformers_cannot_read_is_read() -> None:
    codes = finite_codes((576, 7168), 15)
    scales = torch.rand(5, 56, generator=torch.Generator().manual_seed(16))
    found = fp8_blocks(codes.view(torch.float8_e4m3fn), scales)
    assert found.shape == (576, 7168)
    for row, column in ((0, 0), (127, 127), (128, 128), (511, 7167), (512, 0), (575, 7167), (575, 6999)):
        expected = slow_e4m3(int(codes[row, column])) * Fraction(float(scales[row // 128, column // 128]))
        assert Fraction(float(found[row, column])) == expected


def test_scales_may_be_bfloat16_or_powers_of_two() -> None:
    codes = finite_codes((40, 40), 17)
    brain = torch.tensor([[0.3, 7.0], [1e-30, -2.5]]).bfloat16()
    assert exact(fp8_blocks(codes, brain, block=(32, 32))) == slow_fp8(codes, brain, (32, 32))
    powers = torch.tensor([[0, 254], [127, 100]], dtype=torch.uint8)
    values = torch.tensor([[2.0**-127, 2.0**127], [1.0, 2.0**-27]], dtype=torch.float64)
    expected = slow_fp8(codes, values, (32, 32))
    assert exact(fp8_blocks(codes, powers, block=(32, 32))) == expected
    assert exact(fp8_blocks(codes, powers.view(torch.float8_e8m0fnu), block=(32, 32))) == expected


def test_the_smallest_and_largest_float32_scales_stay_exact() -> None:
    smallest, largest = struct.unpack("<2f", bytes.fromhex("01000000ffff7f7f"))
    codes = torch.tensor([[0x01, 0x7E, 0x81, 0xFE]], dtype=torch.uint8)
    for scale in (smallest, largest):
        scales = torch.tensor([[scale]])
        assert exact(fp8_blocks(codes, scales)) == slow_fp8(codes, scales, (128, 128))


@pytest.mark.parametrize(
    ("weight", "scales", "message"),
    [
        (torch.tensor([[0x7F]], dtype=torch.uint8), torch.ones(1, 1), "a weight is NaN"),
        (torch.tensor([[0xFF]], dtype=torch.uint8), torch.ones(1, 1), "a weight is NaN"),
        (torch.zeros(129, 1, dtype=torch.uint8), torch.ones(1, 1), r"needs \(2, 1\)"),
        (torch.zeros(4, 4, dtype=torch.uint8), torch.ones(1), r"needs \(1, 1\)"),
        (torch.zeros(4, dtype=torch.uint8), torch.ones(1, 1), "a matrix of float8_e4m3fn"),
        (torch.zeros(4, 4), torch.ones(1, 1), "a matrix of float8_e4m3fn"),
        (torch.zeros(4, 4, dtype=torch.float8_e5m2), torch.ones(1, 1), "a matrix of float8_e4m3fn"),
        (torch.zeros(4, 4, dtype=torch.uint8), torch.tensor([[math.inf]]), "a scale is infinite or NaN"),
        (torch.zeros(4, 4, dtype=torch.uint8), torch.tensor([[math.nan]]), "a scale is infinite or NaN"),
        (torch.zeros(4, 4, dtype=torch.uint8), torch.tensor([[255]], dtype=torch.uint8), "a scale is NaN"),
        (torch.zeros(4, 4, dtype=torch.uint8), torch.ones(1, 1, dtype=torch.float16), "float32, bfloat16, float64"),
    ],
)
def test_fp8_that_does_not_fit_is_refused(weight: torch.Tensor, scales: torch.Tensor, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        fp8_blocks(weight, scales)


def test_a_block_without_rows_is_refused() -> None:
    with pytest.raises(FormatError, match="both sides must be at least 1"):
        fp8_blocks(torch.zeros(4, 4, dtype=torch.uint8), torch.ones(1, 1), block=(0, 128))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_gives_the_same_bits() -> None:
    blocks, scales = random_codes((9, 40, 16), 18), random_codes((9, 40), 19, high=255)
    assert torch.equal(mxfp4(blocks.cuda(), scales.cuda()).cpu(), mxfp4(blocks, scales))
    codes, factors = finite_codes((144, 300), 20), torch.rand(2, 3)
    assert torch.equal(fp8_blocks(codes.cuda(), factors.cuda()).cpu(), fp8_blocks(codes, factors))
