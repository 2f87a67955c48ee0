"""Weights that are arrays in memory, and numbers rounded to stored types by torch, which is nobody's own arithmetic."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from mbom.behaviour.sketches import layer, role
from mbom.behaviour.values import Floats, Weight

TORCH = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def stored(values: NDArray[np.floating], dtype: str = "bfloat16") -> Floats:
    """Return values as a type holds them."""
    wide = torch.from_numpy(np.ascontiguousarray(values))
    found: Floats = wide.to(TORCH[dtype]).to(torch.float64).numpy()
    return found


@dataclass(kw_only=True)
class Arrays:
    """Values of arrays; ``reads`` counts what was read, ``pieces`` yields matrices by so many rows."""

    arrays: Mapping[str, Floats]
    dtypes: Mapping[str, str] = field(default_factory=dict)
    experts: frozenset[str] = frozenset()
    unreadable: frozenset[str] = frozenset()
    digests: bool = False
    reads: list[tuple[str, int | None]] = field(default_factory=list)

    def weights(self) -> Mapping[str, Weight]:
        return {
            name: Weight(
                name=name,
                layer=layer(name),
                role=role(name),
                shape=values.shape,
                slices=len(values) if name in self.experts else 1,
                dtype=self.dtypes.get(name, "bfloat16"),
                digest=hashlib.sha256(values.tobytes()).hexdigest() if self.digests else "",
                readable=name not in self.unreadable,
            )
            for name, values in self.arrays.items()
        }

    def read(self, name: str, part: int | None = None) -> Floats:
        self.reads.append((name, part))
        values = self.arrays[name]
        return values if part is None else values[part]


@dataclass(kw_only=True)
class Rows(Arrays):
    """Arrays that are read by so many rows at once."""

    step: int

    def blocks(self, name: str, limit: int) -> Iterator[Floats]:  # noqa: ARG002 - as the protocol has it
        values = self.arrays[name]
        for start in range(0, len(values), self.step):
            self.reads.append((name, start))
            yield values[start : start + self.step]
