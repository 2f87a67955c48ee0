"""Seeded vectors of plus and minus one, for projections that two parties must draw alike.

A library's random generator may change between versions and differs between libraries; SHAKE-256 (FIPS 202) does
neither. The vectors of the fixed record are public, so that any two records can be compared. Those of a challenge
depend on a nonce and on the checkpoint, so that nobody can prepare for them.
"""

import hashlib
import math

import numpy as np
from numpy.typing import NDArray

DOMAIN = b"mbom/v1/signs\0"
CHALLENGE_SIGNS = b"mbom/v1/challenge-signs\0"
CHALLENGE_KEY = b"mbom/v1/challenge\0"
FIXED = b""  # the key of the fixed record


def challenge_key(model_digest: str, nonce: str) -> bytes:
    """Return the key of a challenge: SHA-256 over a domain, the model digest's 32 bytes, and the nonce in UTF-8."""
    return hashlib.sha256(CHALLENGE_KEY + bytes.fromhex(model_digest) + nonce.encode()).digest()


def signs(label: str, shape: tuple[int, ...], key: bytes = FIXED) -> NDArray[np.int8]:
    """Return the signs that ``label`` stands for, as int8 of +1 and -1.

    The stream is SHAKE-256 over ``DOMAIN`` and the label in UTF-8; under the key of a challenge it is SHAKE-256 over
    ``CHALLENGE_SIGNS``, the key and the label. Bits are taken from each byte beginning with the least significant one
    and fill ``shape`` in C order; a set bit is +1. The same label with more rows continues the same stream, so the
    label names the use (layer, role) and the shape follows from the model.
    """
    count = math.prod(shape)
    domain = CHALLENGE_SIGNS + key if key else DOMAIN
    stream = hashlib.shake_256(domain + label.encode()).digest((count + 7) // 8)
    bits = np.unpackbits(np.frombuffer(stream, np.uint8), count=count, bitorder="little")
    return (bits.view(np.int8) * np.int8(2) - np.int8(1)).reshape(shape)
