"""Seeded vectors of plus and minus one, for projections that two parties must draw alike.

A library's random generator may change between versions and differs between libraries; SHAKE-256 (FIPS 202) does
neither.
"""

import hashlib
import math

import numpy as np
from numpy.typing import NDArray

DOMAIN = b"mbom/v1/signs\0"


def signs(label: str, shape: tuple[int, ...]) -> NDArray[np.int8]:
    """Return the signs that ``label`` stands for, as int8 of +1 and -1.

    The stream is SHAKE-256 over ``DOMAIN`` and the label in UTF-8. Bits are taken from each byte beginning with the
    least significant one and fill ``shape`` in C order; a set bit is +1. The same label with more rows continues the
    same stream, so the label names the use (layer, role) and the shape follows from the model.
    """
    count = math.prod(shape)
    stream = hashlib.shake_256(DOMAIN + label.encode()).digest((count + 7) // 8)
    bits = np.unpackbits(np.frombuffer(stream, np.uint8), count=count, bitorder="little")
    return (bits.view(np.int8) * np.int8(2) - np.int8(1)).reshape(shape)
