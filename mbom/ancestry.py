"""Is one checkpoint made from another? What their tensors and their sketches show, and nothing that anybody says.

Two witnesses are asked. *Tensors*: equal dtype, shape and BLAKE3 are equal weights, whatever they are named; they show
what was copied, and say nothing of what was trained further or encoded anew. *Sketches*: two behaviour records estimate
how far apart the values are that both models compute with, whatever the encoding. The distance of two weights A and B
is ‖A - B‖ / sqrt(‖A‖² + ‖B‖²): 0 for the same values, and close to 1 for weights that have nothing to do with each
other, because independent matrices are nearly orthogonal. Where both norms are equal, its square is one minus the
cosine between them.

The rule is the same for everybody, so that the word means the same in every BOM:

- ``identical``: both hold the same tensors under the same names, and no others.
- ``derived``: tensors with at least ``SHARE`` of the bytes are the base's, or matrices with at least ``SHARE`` of the
  elements are within ``NEAR`` of the base's.
- ``not shown``: neither. That is no proof of the contrary: tensors may have been renamed, cut or permuted, and training
  may have gone on for long.

A vision tower or a tokenizer's embedding that many models share is below that share on purpose.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mbom.behaviour.record import Record
from mbom.behaviour.sketches import Sketched
from mbom.inventory import Inventory, TensorRecord
from mbom.source import Origin

SHARE = 0.5  # of the bytes of all tensors, or of the elements of all matrices
NEAR = 0.5  # of the distance between unrelated weights; a cosine of 0.75 where the norms are equal

RULE = (
    "identical: both hold the same tensors under the same names, and no others; derived: tensors with at least "
    f"{SHARE} of the bytes are the base's, or matrices with at least {SHARE} of the elements are within {NEAR} of it, "
    "at a distance of |A-B| / sqrt(|A|^2+|B|^2), which is close to 1 for unrelated weights; not shown: neither"
)

Outcome = Literal["identical", "derived", "not shown"]
Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Base:
    """What is known of a checkpoint that another is compared with.

    Attributes:
        inventory: its files and tensors.
        record: its behaviour; None where none was recorded.
        attestation: the SHA-256 of its signed attestation; None where it has none.
        signer: whose signature of that was checked; None where nobody checked it.
    """

    inventory: Inventory
    record: Record | None = None
    attestation: str | None = None
    signer: str | None = None


@dataclass(frozen=True, kw_only=True)
class Sketches:
    """What two records showed.

    Attributes:
        elements: of all matrices of this model.
        compared: of those whose sketch could be compared: the base has the weight under the same name and shape.
        near: of those that are within ``NEAR``.
        distance: root of the mean squared distance, over the elements compared.
        error: its standard error.
    """

    elements: int
    compared: int
    near: int
    distance: float
    error: float


@dataclass(frozen=True, kw_only=True)
class Compared:
    """The outcome of one comparison, with the numbers that it follows from.

    Attributes:
        origin: where the base came from.
        model_digest: the base's identity.
        attestation: as in ``Base``.
        signer: as in ``Base``.
        tensors: of this checkpoint.
        base_tensors: of the base.
        equal: tensors of this checkpoint that the base holds under the same name.
        moved: tensors that the base holds under other names.
        size: bytes of all tensors of this checkpoint.
        shared: bytes of those that are equal or moved.
        sketches: None where one of both has no behaviour record.
    """

    origin: Origin
    model_digest: str
    attestation: str | None
    signer: str | None
    tensors: int
    base_tensors: int
    equal: int
    moved: int
    size: int
    shared: int
    sketches: Sketches | None = None

    @property
    def outcome(self) -> Outcome:
        """What is shown, by the rule above."""
        if self.equal == self.tensors == self.base_tensors > 0:
            return "identical"
        copied = self.size > 0 and self.shared >= SHARE * self.size
        found = self.sketches
        alike = found is not None and found.elements > 0 and found.near >= SHARE * found.elements
        return "derived" if copied or alike else "not shown"


def compare(inventory: Inventory, record: Record | None, base: Base) -> Compared:
    """Hold a checkpoint against a base."""
    there = {tensor.name: tensor for tensor in base.inventory.tensors}
    contents = {_content(tensor) for tensor in there.values()}
    known = [tensor for tensor in inventory.tensors if _content(tensor) in contents]
    equal = sum(tensor.name in there and _content(tensor) == _content(there[tensor.name]) for tensor in known)
    return Compared(
        origin=base.inventory.origin,
        model_digest=base.inventory.digest,
        attestation=base.attestation,
        signer=base.signer,
        tensors=len(inventory.tensors),
        base_tensors=len(there),
        equal=equal,
        moved=len(known) - equal,
        size=_size(inventory.tensors),
        shared=_size(known),
        sketches=compare_sketches(record, base.record) if record is not None and base.record is not None else None,
    )


def compare_sketches(record: Record, base: Record) -> Sketches | None:
    """Hold the sketches of a checkpoint's matrices against those of a base; None where both were drawn differently."""
    if record.key != base.key:
        return None
    elements = compared = near = 0
    squared = variance = 0.0
    for weight, sketch, before in pairs(record, base):
        size = math.prod(weight.shape)
        elements += size
        if before is None:
            continue
        apart = squared_distance(before, sketch)
        if apart is None:
            continue
        compared += size
        near += size if apart[0] <= NEAR**2 else 0
        squared += size * apart[0]
        variance += (size * apart[1]) ** 2
    distance = math.sqrt(squared / compared) if compared else 0.0
    error = math.sqrt(variance) / compared / (2 * distance) if distance else 0.0
    return Sketches(elements=elements, compared=compared, near=near, distance=_rounded(distance), error=_rounded(error))


def pairs(record: Record, base: Record) -> Iterator[tuple[Sketched, Floats, Floats | None]]:
    """Yield each matrix of a checkpoint with its sketch, (slices, values), and that of the same weight of a base.

    The last is None where the base has no weight of that name and shape. Both records drew the same signs.
    """
    there = {weight.name: (weight, sketch) for weight, sketch in _matrices(base)}
    for weight, sketch in _matrices(record):
        other, before = there.get(weight.name, (None, None))
        is_same = other is not None and (other.shape, other.slices) == (weight.shape, weight.slices)
        yield weight, sketch, before if is_same else None


def squared_distance(before: Floats, after: Floats) -> tuple[float, float] | None:
    """Estimate the square of the distance between two versions of a weight from sketches, both (slices, values).

    Returns:
        The estimate and its standard error, from the spread of the values about their ratio; None where both weights
        are zero, or too large to square.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        apart = (after - before) ** 2  # (slices, values)
        norms = before**2 + after**2
        total = float(norms.mean(axis=1).sum())
        if not 0.0 < total < math.inf:
            return None
        ratio = float(apart.mean(axis=1).sum()) / total
        values = norms.shape[1]
        spread = (apart - ratio * norms).var(axis=1, ddof=1) / values if values > 1 else np.square(total)
        return ratio, math.sqrt(float(np.sum(spread))) / total


def _rounded(number: float) -> float:
    """Return four digits of an estimate: what is beyond them is the library's order of summation."""
    return float(f"{number:.4g}")


def _matrices(record: Record) -> Iterator[tuple[Sketched, Floats]]:
    """Yield the weights that have two dimensions or more: vectors, mostly norms, are near one in every model."""
    for weight, sketch in zip(record.weights, record.sketches(), strict=True):
        if len(weight.shape) > 1:
            yield weight, sketch


def _content(tensor: TensorRecord) -> tuple[str, tuple[int, ...], str]:
    return tensor.dtype, tensor.shape, tensor.blake3


def _size(tensors: Sequence[TensorRecord]) -> int:
    return sum(tensor.end - tensor.start for tensor in tensors)
