"""How far the ordinary fast path in a narrow type is from the canonical record; for people, and no part of a verdict.

Serving software computes in bfloat16, with kernels whose noise would hide an edit of the weights. What it says about a
checkpoint is therefore a distance, never a proof.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mbom.errors import FormatError
from mbom.strictjson import Fields, Json

TYPES = ("bfloat16", "float16", "float32")
TEXT_LIMIT = 400  # characters of a reason; a device has fewer
KL_LIMIT = 1e6  # nats

Floats = NDArray[np.float64]
Integers = NDArray[np.integer]


@dataclass(frozen=True, kw_only=True)
class Distance:
    """A distance between two distributions over tokens, at all positions of the record.

    Attributes:
        kl_mean: the mean Kullback-Leibler divergence of the fast path from the record, in nats, over the record's top
            tokens and one bucket for all others.
        kl_largest: the largest of them.
        top1_agreement: the share of positions with the same likeliest token.
        largest_difference: the largest difference of a log-probability among the record's top tokens.
    """

    kl_mean: float
    kl_largest: float
    top1_agreement: float
    largest_difference: float


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """What came of running the ordinary path: a distance, or the reason why there is none.

    Attributes:
        dtype: the type that it computed in.
        device: where it ran, or was to run.
        distance: None where it could not be run.
        reason: why not.
    """

    dtype: str
    device: str
    distance: Distance | None = None
    reason: str | None = None

    def to_dict(self) -> dict[str, Json]:
        """Return it as JSON."""
        distance: dict[str, Json] | None = None if self.distance is None else dict(vars(self.distance))
        return {"dtype": self.dtype, "device": self.device, "distance": distance, "reason": self.reason}

    @classmethod
    def from_fields(cls, fields: Fields) -> "Deployed":
        """Read it.

        Raises:
            FormatError: on anything missing, extra, out of its range, or inconsistent.
        """
        distance = None
        if fields.has("distance"):
            inner = fields.object("distance")
            distance = Distance(
                kl_mean=inner.number("kl_mean"),
                kl_largest=inner.number("kl_largest"),
                top1_agreement=inner.number("top1_agreement"),
                largest_difference=inner.number("largest_difference"),
            )
            inner.end()
        deployed = cls(
            dtype=fields.text("dtype"),
            device=fields.text("device"),
            distance=distance,
            reason=fields.optional_text("reason"),
        )
        fields.end()
        check(deployed, what=fields.what)
        return deployed


def check(deployed: Deployed, *, what: str) -> None:
    """Refuse what no run can have come to.

    Raises:
        FormatError: with ``what`` as the name of the document.
    """
    if deployed.dtype not in TYPES:
        raise FormatError(f"{what}: the type {deployed.dtype[:80]!r} is none of {', '.join(TYPES)}")
    for text in (deployed.device, deployed.reason):
        if text is not None and (not 1 <= len(text) <= TEXT_LIMIT or not text.isprintable()):
            raise FormatError(f"{what}: {text[:80]!r} is not 1 to {TEXT_LIMIT} printable characters")
    distance = deployed.distance
    if (distance is None) == (deployed.reason is None):
        raise FormatError(f"{what}: a distance or the reason why there is none belongs here, one of the two")
    if distance is None:
        return
    limits: Mapping[str, float] = {
        "kl_mean": distance.kl_largest, "kl_largest": KL_LIMIT, "top1_agreement": 1.0, "largest_difference": KL_LIMIT,
    }  # fmt: skip
    for name, limit in limits.items():
        value = getattr(distance, name)
        # Rounding leaves the divergence of a distribution from itself a little off zero, on either side.
        if not -1e-9 <= value <= limit + 1e-9:
            raise FormatError(f"{what}: {name} is {value}, from 0 to {limit} is possible")


def distance(top_ids: Integers, top_logprobs: Floats, logprobs: Floats, likeliest: Integers) -> Distance:
    """Return how far a distribution is from the record.

    Args:
        top_ids: (N, T), the record's likeliest tokens.
        top_logprobs: (N, T), their log-probabilities.
        logprobs: (N, T), what the other path gives the same tokens.
        likeliest: (N,), its likeliest token.
    """
    divergence = divergences(top_logprobs, logprobs)
    return Distance(
        kl_mean=float(divergence.mean()),
        kl_largest=float(divergence.max()),
        top1_agreement=float((top_ids[:, 0] == likeliest).mean()),
        largest_difference=float(np.abs(top_logprobs - logprobs).max()),
    )


def divergences(old: Floats, new: Floats, known: NDArray[np.bool_] | None = None) -> Floats:
    """Return the Kullback-Leibler divergence at each position, in nats, over some tokens and one bucket for all others.

    Args:
        old: (N, T), log-probabilities of tokens.
        new: (N, T), what the other distribution gives the same tokens.
        known: (N, T), which of them count; the others fall into the bucket. All where it is None.
    """
    if known is not None:  # exp(-inf) is nothing, and so is nothing times the difference
        old, new = np.where(known, old, -np.inf), np.where(known, new, -np.inf)
    before, after = np.exp(old), np.exp(new)
    least = np.finfo(np.float64).eps  # what is left of one is known no better
    rest, other = (np.maximum(1 - shares.sum(axis=1), 0) for shares in (before, after))
    left = np.where(rest > 0, rest * np.log(np.maximum(rest, least) / np.maximum(other, least)), 0.0)
    ratios = np.subtract(old, new, out=np.zeros_like(old), where=before > 0)
    found: Floats = np.maximum((before * ratios).sum(axis=1) + left, 0.0)
    return found


def is_finite(found: Distance) -> bool:
    """Return whether every number of a distance is one."""
    return all(math.isfinite(value) for value in vars(found).values())
