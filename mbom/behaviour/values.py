"""Reading the weights of a checkpoint one at a time, in the values that a model computes with.

Comparisons of weights are written against this, so that they do not ask how a checkpoint is encoded, which library
decodes it, or whether it is one at all: tests give arrays. What can be read in smaller portions, or under the names of
the checkpoint, says so by having the methods of ``InBlocks`` and ``Encoded``; ``blocks`` and ``stored`` make do
without.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Weight:
    """One weight of a model.

    Attributes:
        name: the parameter's name in the stock class where there is one, as in behaviour records; else the tensor's.
        layer: the decoder layer that it belongs to, None outside of those.
        role: the name without the numbers of layers and experts.
        shape: of its values.
        slices: 1, or the length of the first dimension where each expert's slice can be read by itself.
        dtype: the type that the values are stored in, as people call it, such as ``bfloat16`` or ``mxfp4``.
        digest: of everything that its values depend on: equal digests are equal values, under whatever names. It is
            a SHA-256 over the BLAKE3 of the stored tensors, their types, shapes and encoding; empty where nobody knows.
        readable: whether it stands for numbers that can be read; of others the digest alone says whether they are
            equal.
    """

    name: str
    layer: int | None
    role: str
    shape: tuple[int, ...]
    slices: int
    dtype: str
    digest: str
    readable: bool = True


class Values(Protocol):
    """The weights of one checkpoint; no values are kept between two calls of ``read``."""

    def weights(self) -> Mapping[str, Weight]:
        """Return every weight by name."""

    def read(self, name: str, part: int | None = None) -> Floats:
        """Return the values of a weight, or of one of its slices, in C order.

        Raises:
            UnavailableError: when a file cannot be read.
            RefusedError: when it is not what the inventory says.
        """


@runtime_checkable
class InBlocks(Values, Protocol):
    """Values of which large matrices can be read in portions."""

    def blocks(self, name: str, limit: int) -> Iterator[Floats]:
        """Yield the values of a weight by neighbouring rows of its first dimension, in order.

        Args:
            name: of the weight.
            limit: how many values a block should have at most; one row is the least, and some encodings come whole.

        Raises:
            UnavailableError: as ``read``.
            RefusedError: as ``read``.
        """


@runtime_checkable
class Encoded(Values, Protocol):
    """Values of which it is known how they are stored."""

    def stored(self) -> Values:
        """Return the same weights under the checkpoint's names, before experts are stacked and matrices merged.

        Names lack the suffixes of quantisation, so that they are the same before and after it.
        """

    @property
    def notes(self) -> tuple[str, ...]:
        """What could not be read as numbers or under the names of a stock class, and why, in sentences."""


def blocks(values: Values, name: str, limit: int) -> Iterator[Floats]:
    """Yield a weight by blocks of rows as ``InBlocks.blocks`` does, or whole where that is the only way."""
    if isinstance(values, InBlocks):
        yield from values.blocks(name, limit)
    else:
        yield values.read(name)


def stored(values: Values) -> Values:
    """Return the weights as the checkpoint stores them, or the given ones where nothing else is known."""
    return values.stored() if isinstance(values, Encoded) else values


def notes(values: Values) -> tuple[str, ...]:
    """Return what could not be read as it should be."""
    return values.notes if isinstance(values, Encoded) else ()
