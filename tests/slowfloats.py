"""Narrow floats decoded slowly, bit field by bit field, in fractions; and random codes of them."""

from fractions import Fraction

import torch


def slow_float(code: int, *, exponent_bits: int, mantissa_bits: int, bias: int) -> Fraction:
    """Return the value of a sign-exponent-mantissa code, written as the standards define it."""
    sign = code >> (exponent_bits + mantissa_bits)
    exponent = (code >> mantissa_bits) % 2**exponent_bits
    mantissa = Fraction(code % 2**mantissa_bits, 2**mantissa_bits)
    value = mantissa * Fraction(2) ** (1 - bias)
    if exponent > 0:
        value = (1 + mantissa) * Fraction(2) ** (exponent - bias)
    return -value if sign else value


def slow_e2m1(nibble: int) -> Fraction:
    return slow_float(nibble, exponent_bits=2, mantissa_bits=1, bias=1)


def slow_e4m3(code: int) -> Fraction:
    return slow_float(code, exponent_bits=4, mantissa_bits=3, bias=7)


def random_codes(shape: tuple[int, ...], seed: int, *, high: int = 256) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, high, shape, dtype=torch.uint8, generator=generator)


def finite_codes(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    """E4M3 codes without the two that are NaN."""
    codes = random_codes(shape, seed)
    return torch.where(codes & 0x7F == 0x7F, codes & 0x80, codes)


def exact(tensor: torch.Tensor) -> list[list[Fraction]]:
    return [[Fraction(value) for value in line] for line in tensor.tolist()]
