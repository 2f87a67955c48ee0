"""Recognising the same values, or nearly the same, at another place of a model."""

from dataclasses import dataclass

import numpy as np
from blake3 import blake3

from mbom.behaviour.values import Floats

SAMPLE = 256  # values kept of each array: distances are then off by a few percent
NEARBY = 0.3  # relative distance of what was trained further; unrelated weights are at 1.4
CLEARLY = 2.0  # times nearer than the next


@dataclass(frozen=True, kw_only=True)
class Fingerprint:
    """A digest of shapes and values, and a sample of the values."""

    digest: bytes
    sample: Floats


def fingerprint(values: Floats) -> Fingerprint:
    """Take the fingerprint of an array."""
    hasher = blake3(repr(values.shape).encode())
    hasher.update(np.ascontiguousarray(values, dtype=np.float64).data.cast("B") if values.size else b"")
    flat = values.ravel()
    spaced = np.linspace(0, max(len(flat) - 1, 0), min(SAMPLE, len(flat))).astype(np.int64)
    return Fingerprint(digest=hasher.digest(), sample=flat[spaced])


def of_digest(digest: str) -> Fingerprint:
    """Take the fingerprint of what has a digest and cannot be read."""
    return Fingerprint(digest=blake3(digest.encode()).digest(), sample=np.empty(0))


def joined(parts: list[Fingerprint]) -> Fingerprint:
    """Take the fingerprint of several arrays in an order."""
    return Fingerprint(
        digest=blake3(b"".join(part.digest for part in parts)).digest(),
        sample=np.concatenate([part.sample for part in parts]),
    )


def nearest(one: Fingerprint, others: list[Fingerprint]) -> int | None:
    """Return which of some fingerprints is of nearly the same values, None where none is, or not clearly."""
    norm = float(np.linalg.norm(one.sample))
    near = sorted(
        (float(np.linalg.norm(one.sample - other.sample)) / norm, index)
        for index, other in enumerate(others)
        if norm > 0 and other.sample.shape == one.sample.shape and np.all(np.isfinite(other.sample))
    )
    if not near or not near[0][0] <= NEARBY:
        return None
    return near[0][1] if len(near) == 1 or near[1][0] >= CLEARLY * near[0][0] else None
