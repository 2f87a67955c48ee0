"""Checkpoints that are arrays: what comparisons of weights are tested with, and a plain comparison of two of them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from blake3 import blake3

from mbom.behaviour.sketches import role
from mbom.diff.changes import WeightChange, Weights
from mbom.diff.rounding import equal_bits, rounded
from mbom.diff.values import Floats, Weight

_LAYER = re.compile(r"model\.layers\.(\d+)\.")


@dataclass(frozen=True)
class Arrays:
    """Weights by name, all stored in one type; stacked experts are those of three dimensions.

    Attributes:
        digests: whether they are known, as they are where the inventory has them.
        reads: names, in the order in which they were read.
    """

    arrays: Mapping[str, Floats]
    dtype: str = "bfloat16"
    digests: bool = True
    reads: list[str] = field(default_factory=list)

    def weights(self) -> Mapping[str, Weight]:
        """Describe every weight."""
        return {name: self._weight(name, values) for name, values in self.arrays.items()}

    def read(self, name: str, part: int | None = None) -> Floats:
        """Return a copy, so that nobody can change a checkpoint."""
        self.reads.append(name)
        values = self.arrays[name]
        return np.array(values if part is None else values[part], dtype=np.float64, order="C")

    def _weight(self, name: str, values: Floats) -> Weight:
        layer = _LAYER.match(name)
        return Weight(
            name=name,
            layer=int(layer[1]) if layer else None,
            role=role(name),
            shape=values.shape,
            slices=len(values) if ".experts." in name and values.ndim == 3 else 1,
            dtype=self.dtype,
            digest=blake3(np.ascontiguousarray(values).tobytes()).hexdigest() if self.digests else "",
        )


def stored(arrays: Mapping[str, Floats], dtype: str) -> Arrays:
    """Round everything to a stored type."""
    return Arrays({name: rounded(np.asarray(values, np.float64), dtype) for name, values in arrays.items()}, dtype)


def compared(old: Arrays, new: Arrays) -> Weights:
    """Compare all weights of the same shape: the slow and obvious way."""
    both = [n for n in old.arrays if n in new.arrays and old.arrays[n].shape == new.arrays[n].shape]
    changed = tuple(_change(old, new, n) for n in both if not equal_bits(old.arrays[n], new.arrays[n]))
    return Weights(
        basis="weights",
        compared=len(both),
        equal=len(both) - len(changed),
        changed=changed,
        by_role=(),
        by_layer=(),
        only_old=tuple(n for n in old.arrays if n not in new.arrays),
        only_new=tuple(n for n in new.arrays if n not in old.arrays),
    )


def _change(old: Arrays, new: Arrays, name: str) -> WeightChange:
    one, other = old.arrays[name], new.arrays[name]
    weight = old.weights()[name]
    norm = float(np.linalg.norm(one))
    return WeightChange(
        name=name,
        layer=weight.layer,
        role=weight.role,
        elements=one.size,
        basis="weights",
        relative=float(np.linalg.norm(other - one)) / norm if norm else float("inf"),
        error=0.0,
        unchanged=float(np.mean(one == other)),
        largest=float(np.max(np.abs(other - one))),
    )
