"""Reading the weights of a checkpoint one at a time, in the values that a model computes with.

Comparisons of weights are written against this, so that they do not ask how a checkpoint is encoded, which library
decodes it, or whether it is one at all: tests give arrays.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

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
        digest: of everything that its bytes depend on: equal digests under equal names are equal values. It is the
            BLAKE3 of the stored tensor, or a SHA-256 over those of several; empty where nobody knows.
    """

    name: str
    layer: int | None
    role: str
    shape: tuple[int, ...]
    slices: int
    dtype: str
    digest: str


class Values(Protocol):
    """The weights of one checkpoint; nothing is kept between two calls of ``read``."""

    def weights(self) -> Mapping[str, Weight]:
        """Return every weight by name."""

    def read(self, name: str, part: int | None = None) -> Floats:
        """Return the values of a weight, or of one of its slices, in C order.

        Raises:
            UnavailableError: when a file cannot be read.
            RefusedError: when it is not what the inventory says.
        """
