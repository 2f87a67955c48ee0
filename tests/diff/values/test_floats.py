"""What a narrow type does to a number, held against torch."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from arrayvalues import stored
from torch import Tensor

from mbom.diff.values import floats

RNG = np.random.default_rng(20)

TYPES: dict[str, tuple[torch.dtype, Any]] = {
    "bfloat16": (torch.bfloat16, np.uint16),
    "float16": (torch.float16, np.uint16),
    "float32": (torch.float32, np.uint32),
    "float8_e4m3": (torch.float8_e4m3fn, np.uint8),
}
AWKWARD = np.concatenate([
    RNG.normal(size=2000) * np.exp2(RNG.integers(-30, 15, size=2000)),
    [0.0, -0.0, 1e-45, 3e-8, 2**-24, 65519.9, 65520.0, 447.9, 448.0, 1.0625, 1.1875, 2**-10, 2**-9 * 1.5],
])  # fmt: skip


@pytest.mark.parametrize("name", TYPES)
def test_rounding_is_that_of_torch(name: str) -> None:
    dtype, _ = TYPES[name]
    values = AWKWARD.clip(-448, 448) if name == "float8_e4m3" else AWKWARD
    # By float32, as any tool does; of what is rounded twice, the second rounding is what is tested.
    narrow = torch.from_numpy(values).float()
    expected = narrow.to(dtype).double().numpy()
    assert np.array_equal(floats.rounded(narrow.double().numpy(), name), expected)


@pytest.mark.parametrize("name", TYPES)
def test_bits_are_those_of_torch(name: str) -> None:
    dtype, integers = TYPES[name]
    codes: Callable[[Tensor], Any] = lambda tensor: tensor.view(torch.uint8).numpy().view(integers)  # noqa: E731
    values = torch.from_numpy(AWKWARD.clip(-448, 448)).float().to(dtype)
    for value, code in zip(values.double().tolist(), codes(values).tolist(), strict=True):
        assert floats.bits(value, name) == code


def test_what_a_type_does_not_hold_has_no_bits() -> None:
    assert floats.bits(1 + 2**-9, "bfloat16") is None
    assert floats.bits(float("nan"), "bfloat16") is None
    assert floats.bits(float("inf"), "float8_e4m3") is None
    assert floats.bits(1e6, "float16") is None
    assert floats.bits(float("-inf"), "bfloat16") == 0xFF80


def test_steps_are_the_distance_to_the_next_number() -> None:
    values = np.abs(stored(RNG.normal(size=500)))
    after = (torch.from_numpy(values).bfloat16().view(torch.int16) + 1).view(torch.bfloat16).double().numpy()
    assert np.array_equal(floats.step(values, "bfloat16"), after - values)
