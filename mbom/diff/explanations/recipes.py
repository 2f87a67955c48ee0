"""Known ways to round weights to fewer bits, done again on the values of a checkpoint.

A recipe is a table of codes, a rule for scales, what shares one, and the type that the arithmetic is done in: tools
divide in float32 or in the type of the weights, which rounds once more. What a recipe returns are the values that its
codes and scales stand for, exactly, in float64. Comparing values and not codes leaves out what means nothing: which
zero it is, and the scale of a group of zeros.

Sources: OCP Microscaling Formats (MX) 1.0, section 6.3 (the exponent of the largest value less that of 6);
``compressed_tensors`` 0.20 (``quantization/utils/helpers.py``, ``mxfp_utils.py``, ``lifecycle/forward.py``); triton's
``triton_kernels.numerics_details.mxfp`` (scales rounded up, ties away from zero); DeepSeek-V3 ``inference/kernel.py``
(``weight_quant``); transformers 5.23 ``integrations/finegrained_fp8.py``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from mbom.diff.values.floats import TYPES, rounded
from mbom.diff.values.rows import MATRIX

Floats = NDArray[np.float64]

BLOCK = 128  # rows and columns under one scale of FP8
MX_GROUP = 32
E4M3_LARGEST = 448.0
E2M1_LARGEST = 6.0
# Between neighbours of E2M1 (0, 0.5, 1, 1.5, 2, 3, 4, 6) and which of both has an even code.
_E2M1 = np.array([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0])
_BETWEEN = (_E2M1[1:] + _E2M1[:-1]) / 2
_INT_GROUPS = (32, 64, 128)
# The type that is divided in, and the one that scales are stored in.
_ARITHMETIC = (
    ("float32", "float32"), ("bfloat16", "bfloat16"), ("float16", "float16"), ("float32", "bfloat16"),
    ("float64", "float32"), ("float64", "bfloat16"),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One way to quantise.

    Attributes:
        name: in words.
        apply: maps values (rows, columns), in the rows of a block, and the largest magnitude of the whole tensor, to
            what is stored of them.
        whole: whether scales are of the whole tensor, whose largest magnitude has to be found first.
        columns: the length of the runs of values that share a scale, which the side of a matrix has to be a multiple
            of; 0 where each value is rounded by itself, and need not be in a matrix.
        upright: whether those run down columns, as in experts that the stock class multiplies from the left.
    """

    name: str
    apply: Callable[[Floats, float], Floats]
    whole: bool = False
    columns: int = 1
    upright: bool = False

    def fits(self, values: Floats) -> bool:
        """Return whether a block can be divided as the recipe does."""
        if self.columns == 0:
            return True
        return values.ndim == MATRIX and values.shape[0 if self.upright else 1] % self.columns == 0


def recipes(dtype: str) -> tuple[Recipe, ...]:
    """Return the recipes that lead to a type, as ``mbom.behaviour.values.Weight.dtype`` calls it."""
    if dtype in TYPES:
        return (cast(dtype),)
    return _RECIPES.get(dtype, ())


def cast(dtype: str) -> Recipe:
    """Return the recipe that rounds each value to the nearest of a plain type."""
    return Recipe(name=f"cast to {dtype}", apply=lambda values, _largest: rounded(values, dtype), columns=0)


# ---- MXFP4 ----


def _mxfp4(values: Floats, _largest: float, *, scale: str, ties: str) -> Floats:
    groups = values.reshape(len(values), -1, MX_GROUP)
    fraction, exponent = np.frexp(np.abs(groups).max(axis=2, keepdims=True))  # fraction in [0.5, 1)
    exponent = exponent - 1
    if scale == "down":  # the exponent of the largest value
        exponent = exponent - 2
    elif scale == "nearest":  # one more where the largest value would be rounded up beyond 6
        exponent = exponent - 2 + (fraction >= 0.875)
    else:  # so that the largest value is at most 6
        exponent = exponent - 2 + (fraction > 0.75)
    powers = np.ldexp(1.0, np.clip(exponent, -127, 127))
    found: Floats = (e2m1(groups / powers, ties) * powers).reshape(values.shape)
    return found


def e2m1(values: Floats, ties: str) -> Floats:
    """Round to E2M1; ``ties`` go to the even code, away from zero ("up") or towards it ("down")."""
    magnitudes = np.abs(values)
    up, down = (np.searchsorted(_BETWEEN, magnitudes, side=side) for side in ("right", "left"))
    codes = {"up": up, "down": down, "even": np.where(up % 2 == 0, up, down)}[ties]
    found: Floats = np.copysign(_E2M1[codes], values)
    return found


def _upright(apply: Callable[[Floats, float], Floats], values: Floats, largest: float) -> Floats:
    found: Floats = np.ascontiguousarray(apply(np.ascontiguousarray(values.T), largest).T)
    return found


def _mxfp4_recipes() -> tuple[Recipe, ...]:
    found = []
    for upright in (True, False):
        for scale, ties in (
            ("down", "even"), ("nearest", "even"), ("up", "up"), ("down", "up"), ("up", "even"), ("down", "down"),
        ):  # fmt: skip
            apply = partial(_mxfp4, scale=scale, ties=ties)
            to = {"even": "the even code", "up": "away from zero", "down": "towards zero"}[ties]
            found.append(
                Recipe(
                    name=f"MXFP4, groups of {MX_GROUP}, scales rounded {scale}, ties {to}",
                    apply=partial(_upright, apply) if upright else apply,
                    columns=MX_GROUP,
                    upright=upright,
                )
            )
    return tuple(found)


# ---- one scale for many codes ----


def _spread(values: Floats, sides: tuple[int, int], largest: float | None) -> Floats:
    """Return the largest magnitude of the block around each value; sides of 0 are the whole row or column."""
    if largest is not None:
        return np.full((1, 1), largest)
    rows, columns = (side or length for side, length in zip(sides, values.shape, strict=True))
    grid = [-(-length // side) for length, side in zip(values.shape, (rows, columns), strict=True)]
    padded = np.zeros((grid[0] * rows, grid[1] * columns))
    padded[: values.shape[0], : values.shape[1]] = np.abs(values)
    most = padded.reshape(grid[0], rows, grid[1], columns).max(axis=(1, 3))
    spread: Floats = most.repeat(rows, axis=0).repeat(columns, axis=1)[: values.shape[0], : values.shape[1]]
    return spread


def _divided(numbers: Floats, by: Floats | float, arithmetic: str) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return rounded(np.nan_to_num(numbers / by, nan=0.0), arithmetic)


def _fp8(
    values: Floats, largest: float, *, sides: tuple[int, int] | None, arithmetic: str, stored: str, how: str
) -> Floats:
    most = _spread(values, sides or (0, 0), largest if sides is None else None)
    if how == "reciprocal":
        # transformers multiplies with 448 / largest, for which torch takes a reciprocal, and stores one of that.
        inverse = _divided(np.ones_like(most), most, arithmetic)
        factors = np.where(most > 0, rounded(inverse * E4M3_LARGEST, arithmetic), 1.0)
        scales = rounded(_divided(np.ones_like(factors), factors, arithmetic), stored)
        scaled = rounded(values * factors, arithmetic)
    else:
        scales = rounded(_divided(most, E4M3_LARGEST, arithmetic), stored)
        if how == "power":
            scales = np.where(scales > 0, np.exp2(np.ceil(np.log2(np.where(scales > 0, scales, 1.0)))), 0.0)
        scaled = _divided(values, scales, arithmetic)
    return rounded(np.clip(scaled, -E4M3_LARGEST, E4M3_LARGEST), "float8_e4m3") * scales


def _integers(
    values: Floats,
    largest: float,
    *,
    sides: tuple[int, int] | None,
    arithmetic: str,
    stored: str,
    bits: int,
    full: bool,
) -> Floats:
    most = _spread(values, sides or (0, 0), largest if sides is None else None)
    top = 2 ** (bits - 1)
    scales = rounded(_divided(most, (2**bits - 1) / 2 if full else top - 1, arithmetic), stored)
    return np.clip(np.rint(_divided(values, scales, arithmetic)), -top, top - 1) * scales


_SIDES = {
    "blocks of 128 x 128": (BLOCK, BLOCK),
    "one scale a row": (1, 0),
    "one scale": None,
}


def _fp8_recipes() -> tuple[Recipe, ...]:
    return tuple(
        Recipe(
            name=f"FP8 E4M3, {where}{words}, computed in {arithmetic}, scales in {stored}",
            apply=partial(_fp8, sides=sides, arithmetic=arithmetic, stored=stored, how=how),
            whole=sides is None,
        )
        for where, sides in _SIDES.items()
        for how, words in (("quotient", ""), ("reciprocal", ", by the reciprocal"), ("power", ", powers of two"))
        for arithmetic, stored in _ARITHMETIC
    )


def _integer_recipes(bits: int) -> tuple[Recipe, ...]:
    where: dict[str, tuple[tuple[int, int] | None, int]] = {
        "one scale a row": ((1, 0), 1),
        **{f"groups of {group}": ((1, group), group) for group in _INT_GROUPS},
        "one scale": (None, 1),
    }
    return tuple(
        Recipe(
            name=f"int{bits}, symmetric, {words}, up to {(2**bits - 1) / 2 if full else 2 ** (bits - 1) - 1:g}, "
            f"computed in {arithmetic}, scales in {stored}",
            apply=partial(_integers, sides=sides, arithmetic=arithmetic, stored=stored, bits=bits, full=full),
            whole=sides is None,
            columns=columns,
        )
        for words, (sides, columns) in where.items()
        for full in (True, False)
        for arithmetic, stored in _ARITHMETIC
    )


_RECIPES: dict[str, tuple[Recipe, ...]] = {
    "mxfp4": _mxfp4_recipes(),
    "fp8": _fp8_recipes(),
    "int8": _integer_recipes(8),
    "int4": _integer_recipes(4),
}
