import random
import struct

import pytest
import torch

from mbom.inventory.notfinite import Counter, NotFinite
from mbom.tensorfile import DTYPE_BITS

# What another library takes for each type.
TYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "C64": torch.float32,
    "F8_E5M2": torch.float8_e5m2, "F8_E4M3": torch.float8_e4m3fn, "F8_E8M0": torch.float8_e8m0fnu,
    "F8_E4M3FNUZ": torch.float8_e4m3fnuz, "F8_E5M2FNUZ": torch.float8_e5m2fnuz,
}  # fmt: skip


def counted(dtype: str, data: bytes, *cuts: int) -> NotFinite:
    counter = Counter(dtype)
    for start, end in zip((0, *cuts), (*cuts, len(data)), strict=True):
        counter.update(memoryview(data)[start:end])
    return counter.result()


def by_torch(dtype: str, data: bytes) -> NotFinite:
    values = torch.frombuffer(bytearray(data), dtype=TYPES[dtype]).to(torch.float64)
    return NotFinite(nan=int(values.isnan().sum()), infinite=int(values.isinf().sum()))


@pytest.mark.parametrize("dtype", [name for name, kind in TYPES.items() if kind.itemsize < 4])
def test_every_pattern_is_what_torch_takes_it_for(dtype: str) -> None:
    size = TYPES[dtype].itemsize
    patterns = [pattern.to_bytes(size, "little") for pattern in range(1 << (8 * size))]
    values = torch.frombuffer(bytearray(b"".join(patterns)), dtype=TYPES[dtype]).to(torch.float64)
    nan, infinite = values.isnan().tolist(), values.isinf().tolist()
    for number, pattern in enumerate(patterns):
        assert counted(dtype, pattern) == NotFinite(nan=nan[number], infinite=infinite[number]), pattern


@pytest.mark.parametrize("dtype", TYPES)
def test_random_bytes_in_pieces_of_any_size_give_the_same_count(dtype: str) -> None:
    chance = random.Random(dtype)
    for _ in range(60):
        # Bytes of all ones, or nearly, so that wide types meet what is no number too.
        data = bytes(chance.choice((0xFF, 0x7F, 0xF0, 0x80, 0x00, chance.randrange(256))) for _ in range(8 * 40))
        cuts = sorted(chance.randrange(len(data) + 1) for _ in range(chance.randrange(9)))
        assert counted(dtype, data, *cuts) == by_torch(dtype, data)


def test_a_complex_number_counts_as_two() -> None:
    data = struct.pack("<4f", float("nan"), 1.0, float("inf"), float("-inf"))
    assert counted("C64", data) == NotFinite(nan=1, infinite=2)


@pytest.mark.parametrize("dtype", sorted(DTYPE_BITS.keys() - TYPES.keys()))
def test_types_whose_every_pattern_is_a_number_are_never_counted(dtype: str) -> None:
    assert not counted(dtype, bytes(range(256)) * 8)


def test_an_empty_tensor_has_nothing_in_it() -> None:
    assert not counted("BF16", b"")
