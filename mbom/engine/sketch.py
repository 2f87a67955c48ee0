"""Sketches of weights as they pass by: what ``mbom.behaviour.sketches`` defines, computed in float64 on the device."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from mbom.behaviour import sketches
from mbom.behaviour.differences import row_errors
from mbom.behaviour.projection import FIXED
from mbom.behaviour.sketches import Flip, Sketched
from mbom.engine.weights import Moved
from mbom.errors import EngineError

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Change:
    """What moving one stored element changes: ``sketch`` (values,) of a slice, and ``row`` where rows are projected."""

    weight: str
    slice: int
    stored: str
    element: int
    sketch: Floats
    row: tuple[int, float] | None = None


def change(weight: Sketched, index: int, moved: Moved, sketch: Floats, row: tuple[int, float] | None = None) -> Change:
    """Return what a trial changes in slice ``index`` of a weight."""
    return Change(
        weight=weight.name, slice=index, stored=moved.trial.stored, element=moved.element, sketch=sketch, row=row
    )


@dataclass(kw_only=True)
class Sketches:
    """Collects the sketches of one pass.

    Attributes:
        key: what signs are drawn under.
        weights: what is sketched, by name.
        values: for each of them (slices, values), NaN until its slice was there.
        rows: for the embedding and the output head the projection of each row, by name.
        changes: what the trials of the sensitivity test would have changed.
    """

    key: bytes = FIXED
    weights: dict[str, Sketched] = field(default_factory=dict)
    values: dict[str, Floats] = field(default_factory=dict)
    rows: dict[str, Floats] = field(default_factory=dict)
    changes: list["Change"] = field(default_factory=list)
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
        """Sketch a weight that is there as a whole; tables of indices count as numbers."""
        self.begin(weight)
        values = values.to(torch.float64)
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

    def tried(self, weight: Sketched, index: int, moved: Iterable[Moved]) -> None:
        """Note what moving elements of a weight, or of its slice ``index``, changes; take its sketch before."""
        for each in moved:
            difference, at = each.difference, index
            if weight.slices > 1 and difference.ndim == 2 and len(weight.shape) == 2:
                at = int(difference.abs().amax(1).argmax())
                difference = difference[at]
            sketch = self.of(weight, difference).cpu().numpy()
            self.changes.append(change(weight, at, each, sketch))

    def flips(self) -> tuple[Flip, ...]:
        """Return how far above the noise each trial would have shown, after the whole pass."""
        found = []
        for each in self.changes:
            before = self.values[each.weight]
            after = before.copy()
            after[each.slice] += each.sketch
            error = row_errors(before, after)[each.slice]
            if each.row is not None:
                row, amount = each.row
                projected = self.rows[each.weight][:, None]
                turned = projected.copy()
                turned[row] += amount
                error = max(error, row_errors(projected, turned)[row])
            found.append(
                Flip(weight=each.weight, slice=each.slice, stored=each.stored, element=each.element, error=float(error))
            )
        return tuple(found)

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
        if values.numel() == 0:  # a sum of nothing, for which no signs are drawn however long the other sides are
            return values.new_zeros(weight.values)
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

    def tried(self, moved: Iterable[Moved]) -> None:
        """Note what moving elements of the next rows changes; to be called before ``add``."""
        for each in moved:
            difference = each.difference.flatten(0, -2)
            end = self._position + difference.shape[0]
            summed = float64(self._left[self._position : end], difference.device).T @ difference
            row = None
            if self._signs is not None:
                at = int(difference.abs().amax(1).argmax())
                amount = difference[at] @ float64(torch.from_numpy(self._signs), difference.device)
                row = (self._position + at, float(amount))
            sketch = self._collection.closed(self._weight, summed).cpu().numpy()
            self._collection.changes.append(change(self._weight, 0, each, sketch, row))

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
