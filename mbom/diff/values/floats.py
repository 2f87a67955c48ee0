"""What storing a number in a narrow type does to it: the step between neighbours there, and rounding to the nearest.

Everything is computed in float64, exactly: steps are powers of two, so that dividing and multiplying by them loses
nothing. Types are called as in ``mbom.behaviour.values.Weight.dtype``.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Type:
    """A binary floating-point type.

    Attributes:
        bits: that are stored of the significand.
        least: exponent of the least normal number; below it, steps stay the same.
        largest: the largest finite value.
        width: bits of a number.
        infinite: whether it has infinities.
    """

    bits: int
    least: int
    largest: float
    width: int
    infinite: bool = True


TYPES = {
    "float64": Type(bits=52, least=-1022, largest=float(np.finfo(np.float64).max), width=64),
    "float32": Type(bits=23, least=-126, largest=float(np.finfo(np.float32).max), width=32),
    "bfloat16": Type(bits=7, least=-126, largest=(2 - 2**-7) * 2.0**127, width=16),
    "float16": Type(bits=10, least=-14, largest=65504.0, width=16),
    "float8_e4m3": Type(bits=3, least=-6, largest=448.0, width=8, infinite=False),
}


def steps_known(dtype: str) -> bool:
    """Return whether the step of a type at a value follows from the value alone."""
    return dtype in TYPES


def step(values: Floats, dtype: str) -> Floats:
    """Return the distance between neighbours of a type at each value: its unit in the last place."""
    form = TYPES[dtype]
    _, exponents = np.frexp(values)  # value = fraction * 2**exponent with the fraction in [0.5, 1)
    # Of what is no number frexp says any exponent.
    steps: Floats = np.ldexp(1.0, np.clip(exponents - 1, form.least, 1023) - form.bits)
    return steps


def rounded(values: Floats, dtype: str) -> Floats:
    """Return the nearest values of a type, ties to even, beyond its range infinite."""
    if dtype == "float64":
        return values
    steps = step(values, dtype)
    found = np.rint(values / steps) * steps
    return np.where(np.abs(found) > TYPES[dtype].largest, np.copysign(np.inf, values), found)


def bits(value: float, dtype: str) -> int | None:
    """Return the bits of a value as a type stores it: sign, exponent, significand; None where it does not hold it.

    Not a number has many codes, and is none of those that a value could be told from.
    """
    form = TYPES[dtype]
    field = form.width - 1 - form.bits  # bits of the exponent
    sign = int(math.copysign(1.0, value) < 0) << (form.width - 1)
    if math.isnan(value) or (math.isinf(value) and not form.infinite):
        return None
    if math.isinf(value):
        return sign | ((1 << field) - 1) << form.bits
    magnitude = abs(value)
    if magnitude > form.largest:
        return None
    exponent = max(math.frexp(magnitude)[1] - 1, form.least) if magnitude else form.least
    units = math.ldexp(magnitude, form.bits - exponent)  # with the leading bit, where the number is normal
    if units != int(units):
        return None
    if int(units) < 1 << form.bits:
        return sign | int(units)
    return sign | (exponent - form.least + 1) << form.bits | int(units) - (1 << form.bits)
