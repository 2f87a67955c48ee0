"""What is kept of every weight, whatever the prompts reach: a few numbers that any edit of it changes.

A *bilinear sketch* of a matrix W is ``s @ W @ r`` for seeded vectors s and r of plus and minus one, and of a vector w
it is ``w @ s``. Its square is, over the choice of signs, on average the squared Frobenius norm. It is linear, so the
difference of two sketches is the sketch of the difference: one record tells that a weight was edited, two records tell
how far apart two checkpoints are (``distance``), with neither at hand.

Sketches are of the values that a model computes with, under the names that its stock class gives them. Neither the
encoding on disk, nor the order of shards, nor whether experts are stored apart or stacked makes a difference. Signs
depend on the role of a weight, which is its name without the numbers of layers and experts, so that weights of two
layers or experts can be compared too.
"""

import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mbom.behaviour.projection import FIXED, signs
from mbom.errors import FormatError
from mbom.strictjson import Fields, Json
from mbom.tensorfile import DIMENSION_LIMIT, NAME_LIMIT, RANK_LIMIT

MATRIX_VALUES = 64  # a distance estimated from so many is off by a tenth as a rule
EXPERT_VALUES = 16  # for each matrix of each expert
VECTOR_VALUES = 16
ROW_VALUES = 2  # for each row of a matrix that has a row for each expert
FLIP_LIMIT = 10_000
ERROR_LIMIT = 2  # of a relative error: two vectors of norm one may point in opposite directions

_LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks?)\.(\d{1,6})\.")

Floats = NDArray[np.float64]
Signs = NDArray[np.int8]


@dataclass(frozen=True, kw_only=True)
class Sketched:
    """One weight of which the record holds a sketch.

    Attributes:
        name: the parameter's name in the stock class, or of a weight that the forward pass does not use, its name in
            the checkpoint without the suffixes of quantisation.
        layer: the decoder layer that it belongs to, None outside of those.
        shape: the shape of its values.
        slices: 1, or the length of the first dimension where each expert's slice is sketched by itself.
        executed: whether the forward pass uses it.
    """

    name: str
    layer: int | None
    shape: tuple[int, ...]
    slices: int
    executed: bool = True

    @property
    def role(self) -> str:
        """The name with every number in it replaced, so that it is the same in all layers and for all experts."""
        return role(self.name)

    @property
    def values(self) -> int:
        """The numbers kept of each slice."""
        return values(self.shape, self.slices)

    @property
    def size(self) -> int:
        """The numbers kept of it in all."""
        return self.slices * self.values

    def to_dict(self) -> dict[str, Json]:
        """Return the entry as JSON."""
        return {
            "name": self.name,
            "layer": self.layer,
            "shape": list(self.shape),
            "slices": self.slices,
            "executed": self.executed,
        }

    @classmethod
    def from_fields(cls, fields: Fields) -> "Sketched":
        """Read an entry, without checking what it claims."""
        layer = fields.raw("layer")
        if layer is not None and type(layer) is not int:
            raise FormatError(f"{fields.what}: 'layer' is neither an integer nor null")
        sketched = cls(
            name=fields.text("name"),
            layer=layer,
            shape=fields.integers("shape"),
            slices=fields.integer("slices", minimum=1),
            executed=fields.boolean("executed"),
        )
        fields.end()
        return sketched


def role(name: str) -> str:
    """Return a weight's name with every component that is a number replaced by ``*``."""
    return re.sub(r"(?<=\.)\d+(?=\.)", "*", name)


def layer(name: str) -> int | None:
    """Return the number of the layer that a weight's name has, or None."""
    match = _LAYER.search(name)
    return int(match[1]) if match else None


def values(shape: Sequence[int], slices: int) -> int:
    """Return how many numbers are kept of each slice of a weight."""
    if slices > 1:
        return EXPERT_VALUES if len(shape) > 2 else ROW_VALUES
    return MATRIX_VALUES if len(shape) > 1 else VECTOR_VALUES


def left(role: str, rows: int, values: int, key: bytes = FIXED) -> Signs:
    """Return the signs that a weight's rows are summed with, (rows, values); a vector's elements are its rows."""
    return signs(f"sketch/{role}/left", (rows, values), key)


def right(role: str, columns: int, values: int, key: bytes = FIXED) -> Signs:
    """Return the signs that a weight's columns are summed with, (columns, values)."""
    return signs(f"sketch/{role}/right", (columns, values), key)


def row_signs(role: str, columns: int, key: bytes = FIXED) -> Signs:
    """Return the signs of the projection of each row of the embedding or the output head, (columns,)."""
    return signs(f"rows/{role}", (columns,), key)


@dataclass(frozen=True, kw_only=True)
class Distance:
    """An estimated Frobenius distance between two versions of a weight.

    Attributes:
        relative: the distance in units of the norm of the first, infinite where that is zero.
        error: its standard error, in the same unit.
    """

    relative: float
    error: float


def distance(before: Floats, after: Floats) -> Distance:
    """Estimate how far apart two versions of a weight are from their sketches, both (slices, values).

    The mean of the squared differences is an unbiased estimate of the squared distance, whatever the difference looks
    like; its spread is not the same for all (one of rank one spreads most), so the error comes from the spread that
    the values themselves show. Few values understate it now and then: it is a standard error, not a bound.
    """
    squared, uncertain = _squared_norm(after - before)
    norm, _ = _squared_norm(before)
    if squared == 0.0:
        return Distance(relative=0.0, error=0.0)
    if norm == 0.0:
        return Distance(relative=math.inf, error=math.inf)
    estimate = math.sqrt(squared / norm)
    return Distance(relative=estimate, error=estimate * uncertain / (2 * squared))


def _squared_norm(sketch: Floats) -> tuple[float, float]:
    """Return the estimated squared norm of what is sketched in (slices, values), and its standard error."""
    squares = sketch**2
    total = float(squares.mean(axis=1).sum())
    count = squares.shape[1]
    variance = float(squares.var(axis=1, ddof=1).sum()) / count if count > 1 else total**2
    return total, math.sqrt(variance)


@dataclass(frozen=True, kw_only=True)
class Flip:
    """A trial of how sharp the record is: one stored element moved by one unit in its last place as it was loaded.

    Attributes:
        weight: the weight that it belongs to, by its name in the record.
        slice: which of its slices.
        stored: the tensor of the checkpoint that holds the element.
        element: its index there, counted in C order; of two values in a byte the low one is moved.
        error: the relative error of the slice's sketch, in the measure that two records are compared in.
    """

    weight: str
    slice: int
    stored: str
    element: int
    error: float

    def to_dict(self) -> dict[str, Json]:
        """Return the trial as JSON."""
        return {
            "weight": self.weight,
            "slice": self.slice,
            "stored": self.stored,
            "element": self.element,
            "error": self.error,
        }

    @classmethod
    def from_fields(cls, fields: Fields) -> "Flip":
        """Read a trial, without checking what it claims."""
        flip = cls(
            weight=fields.text("weight"),
            slice=fields.integer("slice"),
            stored=fields.text("stored"),
            element=fields.integer("element"),
            error=fields.number("error"),
        )
        fields.end()
        return flip


def check_flips(flips: Sequence[Flip], weights: Sequence[Sketched], *, what: str) -> None:
    """Refuse trials of weights that are not there, or that no relative error can come from.

    Raises:
        FormatError: naming the first one.
    """
    slices = {weight.name: weight.slices for weight in weights}
    if len(flips) > FLIP_LIMIT:
        raise FormatError(f"{what}: sensitivity: {len(flips)} flips, at most {FLIP_LIMIT} are allowed")
    for flip in flips:
        if flip.slice >= slices.get(flip.weight, 0):
            raise FormatError(f"{what}: sensitivity: there is no slice {flip.slice} of {flip.weight[:80]!r}")
        if not 1 <= len(flip.stored) <= NAME_LIMIT or not flip.stored.isprintable():
            raise FormatError(f"{what}: sensitivity: {flip.stored[:80]!r} is no tensor name")
        if not 0 <= flip.error <= ERROR_LIMIT:
            raise FormatError(f"{what}: sensitivity: {flip.error} is no relative error, which is 0 to {ERROR_LIMIT}")


def check(weights: Sequence[Sketched], *, layers: int, sketches: int, what: str) -> None:
    """Refuse a list of weights that contradicts itself or the number of values that are there.

    Args:
        weights: the list.
        layers: decoder layers of the model.
        sketches: how many values the record holds.
        what: how error messages name the document.

    Raises:
        FormatError: naming the first contradiction.
    """
    names = [weight.name for weight in weights]
    for before, after in itertools.pairwise(names):
        if before >= after:
            raise FormatError(f"{what}: weights: {after[:80]!r} follows {before[:80]!r}; names must ascend")
    for weight in weights:
        if not 1 <= len(weight.name) <= NAME_LIMIT or not weight.name.isprintable():
            raise FormatError(f"{what}: weights: {weight.name[:80]!r} is no tensor name")
        if len(weight.shape) > RANK_LIMIT or any(not 0 <= side <= DIMENSION_LIMIT for side in weight.shape):
            raise FormatError(f"{what}: weights: {weight.name} has the shape {list(weight.shape)[: RANK_LIMIT + 1]}")
        if weight.slices != 1 and (len(weight.shape) < 2 or weight.slices != weight.shape[0]):
            raise FormatError(f"{what}: weights: {weight.name} of {list(weight.shape)} in {weight.slices} slices")
        if weight.layer is not None and not 0 <= weight.layer < layers:
            raise FormatError(f"{what}: weights: {weight.name} is of layer {weight.layer}, the model has {layers}")
    total = sum(weight.size for weight in weights)
    if total != sketches:
        raise FormatError(f"{what}: sketches holds {sketches} values, the weights need {total}")
