"""Sketches of weights as they pass by: what ``mbom.behaviour.sketches`` defines, computed in float64 on the device."""

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from mbom.behaviour import sketches
from mbom.behaviour.projection import FIXED
from mbom.behaviour.sketches import Sketched
from mbom.errors import EngineError

Floats = NDArray[np.float64]


@dataclass(kw_only=True)
class Sketches:
    """Collects the sketches of one pass.

    Attributes:
        key: what signs are drawn under.
        weights: what is sketched, by name.
        values: for each of them (slices, values), NaN until its slice was there.
        rows: for the embedding and the output head the projection of each row, by name.
    """

    key: bytes = FIXED
    weights: dict[str, Sketched] = field(default_factory=dict)
    values: dict[str, Floats] = field(default_factory=dict)
    rows: dict[str, Floats] = field(default_factory=dict)
    _drawn: dict[tuple[str, str, int, int], torch.Tensor] = field(default_factory=dict)

    def begin(self, weight: Sketched) -> None:
        """Make room for a weight whose slices follow."""
        assert weight.name not in self.weights, f"{weight.name} is sketched twice"
        self.weights[weight.name] = weight
        self.values[weight.name] = np.full((weight.slices, weight.values), math.nan)

    def slice(self, weight: Sketched, index: int, values: torch.Tensor) -> None:
        """Sketch one slice: a matrix or a vector in float64."""
        self._put(weight, index, self.of(weight, values))

    def whole(self, weight: Sketched, values: torch.Tensor) -> None:
        """Sketch a weight that is there as a whole."""
        self.begin(weight)
        if weight.slices == 1:
            self.slice(weight, 0, values)
        elif values.ndim == 2:  # each row is a vector of its own
            sketch = values @ float64(self.left(weight, values.shape[1]), values.device)  # (slices, values)
            for index in range(weight.slices):
                self._put(weight, index, sketch[index])
        else:
            for index in range(weight.slices):
                self.slice(weight, index, values[index])

    def by_rows(self, weight: Sketched, *, rows: bool) -> "RowSketch":
        """Return what sketches a matrix that comes in blocks; ``rows`` keeps a projection of each row too."""
        self.begin(weight)
        return RowSketch(weight, self, rows=rows)

    def collected(self) -> tuple[tuple[Sketched, ...], Floats]:
        """Return all weights by ascending name, and their sketches one after the other.

        Raises:
            EngineError: when a slice was never there.
        """
        names = sorted(self.weights)
        for name in names:
            if np.isnan(self.values[name]).any():
                raise EngineError(f"{name}: not every slice of it was read")
        flat = np.concatenate([self.values[name].ravel() for name in names])
        return tuple(self.weights[name] for name in names), flat

    def of(self, weight: Sketched, values: torch.Tensor) -> torch.Tensor:
        """Return the sketch of a matrix or a vector: of a whole weight, or of one slice of it."""
        if values.ndim < 2:
            flat = values.reshape(-1)
            return flat @ float64(self.left(weight, flat.shape[0]), flat.device)
        matrix = values.flatten(0, -2)
        return self.closed(weight, float64(self.left(weight, matrix.shape[0]), matrix.device).T @ matrix)

    def closed(self, weight: Sketched, summed: torch.Tensor) -> torch.Tensor:
        """Sum over its columns a matrix whose rows have been summed to (values, columns)."""
        return (summed * float64(self._signs(weight, "right", summed.shape[1]), summed.device).T).sum(1)

    def left(self, weight: Sketched, rows: int) -> torch.Tensor:
        """Return the signs for rows, (rows, values) int8."""
        return self._signs(weight, "left", rows)

    def _put(self, weight: Sketched, index: int, sketch: torch.Tensor) -> None:
        found = sketch.cpu().numpy()
        if not np.isfinite(found).all():
            raise EngineError(f"{weight.name}: holds a value that is not finite, or sums beyond the range of float64")
        self.values[weight.name][index] = found

    def _signs(self, weight: Sketched, side: str, length: int) -> torch.Tensor:
        """Return signs as int8, drawn once for each role."""
        key = (side, weight.role, length, weight.values)
        if key not in self._drawn:
            draw = sketches.left if side == "left" else sketches.right
            self._drawn[key] = torch.from_numpy(draw(weight.role, length, weight.values, self.key))
        return self._drawn[key]


class RowSketch:
    """Sketches one matrix from blocks of its first dimension, in order."""

    def __init__(self, weight: Sketched, collection: Sketches, *, rows: bool) -> None:
        self._weight = weight
        self._collection = collection
        self._left = collection.left(weight, math.prod(weight.shape[:-1]))
        self._position = 0
        self._summed: torch.Tensor | None = None  # (values, columns)
        self._signs = sketches.row_signs(weight.role, weight.shape[-1], collection.key) if rows else None
        self._projections: list[torch.Tensor] = []

    def add(self, block: torch.Tensor) -> None:
        """Take in the next rows in float64."""
        matrix = block.flatten(0, -2)
        end = self._position + matrix.shape[0]
        summed = float64(self._left[self._position : end], matrix.device).T @ matrix
        self._summed = summed if self._summed is None else self._summed + summed
        if self._signs is not None:
            self._projections.append((matrix @ float64(torch.from_numpy(self._signs), matrix.device)).cpu())
        self._position = end

    def finish(self) -> None:
        """Put the sketch into the collection, after the last row."""
        weight, collection = self._weight, self._collection
        assert self._position == self._left.shape[0], f"{weight.name}: {self._position} rows of {self._left.shape[0]}"
        summed = self._summed if self._summed is not None else torch.zeros(weight.values, weight.shape[-1])
        collection._put(weight, 0, collection.closed(weight, summed.to(torch.float64)))  # noqa: SLF001 - one module
        if self._signs is not None:
            collection.rows[weight.name] = torch.cat(self._projections).numpy()


def float64(signs: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Return int8 signs as float64 on a device."""
    return signs.to(device).to(torch.float64)
