"""How much of a checkpoint a record speaks of."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mbom.behaviour.numbers import Numbers
from mbom.behaviour.prompts import Prompt
from mbom.errors import FormatError
from mbom.strictjson import Fields, Json
from mbom.tensorfile import NAME_LIMIT

COUNT_LIMIT = 2**31 - 1  # ids of tokens are stored as int32


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """How much of the checkpoint the prompts exercised. A record says nothing about the rest.

    Attributes:
        experts: experts of all routers together; every router has the same number.
        experts_reached: distinct pairs of router and expert that were chosen at least once.
        vocabulary: rows of the output head.
        vocabulary_reached: distinct token ids in the prompts.
        layers: decoder layers.
        tensors_read: stored tensors whose bytes were read.
        tensors_not_executed: those of them that the forward pass does not use.
    """

    experts: int
    experts_reached: int
    vocabulary: int
    vocabulary_reached: int
    layers: int
    tensors_read: int
    tensors_not_executed: tuple[str, ...]

    @classmethod
    def of(
        cls,
        prompts: Sequence[Prompt],
        numbers: Numbers,
        *,
        experts: int,
        vocabulary: int,
        tensors_read: int,
        tensors_not_executed: Sequence[str],
    ) -> "Coverage":
        """Count what ``prompts`` and ``numbers`` reached."""
        return cls(
            experts=experts,
            experts_reached=sum(len(np.unique(ids)) for ids in numbers.router_ids),
            vocabulary=vocabulary,
            vocabulary_reached=len({token for prompt in prompts for token in prompt.token_ids}),
            layers=numbers.layers,
            tensors_read=tensors_read,
            tensors_not_executed=tuple(sorted(tensors_not_executed)),
        )

    def to_dict(self) -> dict[str, Json]:
        """Return the coverage as JSON."""
        return {
            "experts": self.experts,
            "experts_reached": self.experts_reached,
            "vocabulary": self.vocabulary,
            "vocabulary_reached": self.vocabulary_reached,
            "layers": self.layers,
            "tensors_read": self.tensors_read,
            "tensors_not_executed": list(self.tensors_not_executed),
        }

    @classmethod
    def from_fields(cls, fields: Fields) -> "Coverage":
        """Read the coverage, without checking what it claims."""
        coverage = cls(
            experts=fields.integer("experts"),
            experts_reached=fields.integer("experts_reached"),
            vocabulary=fields.integer("vocabulary", minimum=1),
            vocabulary_reached=fields.integer("vocabulary_reached", minimum=1),
            layers=fields.integer("layers", minimum=1),
            tensors_read=fields.integer("tensors_read", minimum=1),
            tensors_not_executed=fields.texts("tensors_not_executed"),
        )
        fields.end()
        return coverage


def check_counts(coverage: Coverage, *, what: str) -> None:
    """Refuse counts that are absurd before anything is computed from them.

    Raises:
        FormatError: with ``what`` as the name of the document.
    """
    for name in ("experts", "vocabulary", "layers", "tensors_read"):
        value = getattr(coverage, name)
        if not (0 if name == "experts" else 1) <= value <= COUNT_LIMIT:
            raise FormatError(f"{what}: coverage: {name} is {value}, at most {COUNT_LIMIT} is allowed")
    names = coverage.tensors_not_executed
    if len(set(names)) != len(names):
        raise FormatError(f"{what}: coverage: tensors_not_executed names a tensor twice")
    if len(names) >= coverage.tensors_read:
        raise FormatError(
            f"{what}: coverage: {len(names)} tensors not executed of {coverage.tensors_read} that were read"
        )
    for name in names:
        if not 1 <= len(name) <= NAME_LIMIT or not name.isprintable():
            raise FormatError(f"{what}: coverage: {name[:80]!r} is no tensor name")
