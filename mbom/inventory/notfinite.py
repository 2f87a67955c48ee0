"""How many elements of a tensor are no numbers: NaN and infinities, counted on the bit patterns as they pass by.

Two comparisons with the largest pattern settle a stretch that holds neither, which is every honest one: as signed
integers the patterns of positive numbers are in order, and as unsigned ones those of negative numbers. Only where one
of them is beyond the last finite number is anything counted.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class _Pattern:
    """The bits of a floating-point type.

    ``first`` is the smallest magnitude that is no finite number, and ``infinite`` whether just that one is infinity.
    Types without a sign, or whose only NaN is where negative zero would be, have their one pattern in ``only``.
    """

    width: int  # bytes
    first: int = 0
    infinite: bool = True
    only: int | None = None


# IEEE 754 and bfloat16; the eight-bit types by the OCP specifications of FP8 and microscaling, and those of Graphcore
# and AMD (https://arxiv.org/abs/2206.02915). Types of four and six bits have no pattern that is no number.
_PATTERNS = {
    "F64": _Pattern(width=8, first=0x7FF0000000000000),
    "F32": _Pattern(width=4, first=0x7F800000),
    "C64": _Pattern(width=4, first=0x7F800000),  # two numbers of float32
    "F16": _Pattern(width=2, first=0x7C00),
    "BF16": _Pattern(width=2, first=0x7F80),
    "F8_E5M2": _Pattern(width=1, first=0x7C),
    "F8_E4M3": _Pattern(width=1, first=0x7F, infinite=False),
    "F8_E8M0": _Pattern(width=1, only=0xFF),
    "F8_E4M3FNUZ": _Pattern(width=1, only=0x80),
    "F8_E5M2FNUZ": _Pattern(width=1, only=0x80),
}


@dataclass(frozen=True, kw_only=True)
class NotFinite:
    """How many elements are NaN, and how many infinite."""

    nan: int = 0
    infinite: int = 0

    def __bool__(self) -> bool:
        """Tell whether there is any."""
        return self.nan + self.infinite > 0


class Counter:
    """Counts the elements of one tensor that are no numbers, over its bytes in pieces of any size."""

    def __init__(self, dtype: str) -> None:
        self._pattern = _PATTERNS.get(dtype)
        self._left = b""  # the beginning of an element that the last piece cut
        self._nan = self._infinite = 0

    def update(self, data: memoryview) -> None:
        """Take the next bytes."""
        pattern = self._pattern
        if pattern is None:
            return
        if self._left:
            missing = pattern.width - len(self._left)
            self._left += bytes(data[:missing])
            data = data[missing:]
            if len(self._left) < pattern.width:
                return
            self._count(np.frombuffer(self._left, f"<u{pattern.width}"), pattern)
        whole = len(data) - len(data) % pattern.width
        self._left = bytes(data[whole:])
        if whole:
            self._count(np.frombuffer(data[:whole], f"<u{pattern.width}"), pattern)

    def _count(self, patterns: "np.ndarray[tuple[int], np.dtype[np.unsignedinteger]]", pattern: _Pattern) -> None:
        if pattern.only is not None:
            self._nan += int(np.count_nonzero(patterns == pattern.only))
            return
        sign = 1 << (8 * pattern.width - 1)
        if patterns.max() < sign + pattern.first and patterns.view(f"<i{pattern.width}").max() < pattern.first:
            return
        magnitudes = patterns & patterns.dtype.type(sign - 1)
        beyond = int(np.count_nonzero(magnitudes >= pattern.first))
        infinite = int(np.count_nonzero(magnitudes == pattern.first)) if pattern.infinite else 0
        self._infinite += infinite
        self._nan += beyond - infinite

    def result(self) -> NotFinite:
        """Return what was counted."""
        return NotFinite(nan=self._nan, infinite=self._infinite)
