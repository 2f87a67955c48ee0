"""A known model beside the one at hand, and what is shown of it alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mbom.ancestry import Compared
from mbom.identify.chance import Nearness
from mbom.strictjson import Json

# How likely it may be, at most, that an unrelated model is called related, over all candidates together; and that the
# wrong one of two is called nearer.
CHANCE = 1e-6
# Of the similarity: what is below may be a structure that models share without descent, such as weights that are
# positive on average, however certain it is that it is no accident.
SIMILAR = 0.1
COMPARABLE = 0.1  # of the elements of all matrices: a part that many models take over says nothing of the rest
# Of the bytes of all tensors: unrelated models hold equal tensors too, such as masks, tables of rotations and zeros.
SHARED = 0.05

# ``identical``: the same files, or the same tensors. ``derived``: by the rule of ``mbom.ancestry``. ``related``: too
# far for that, and nearer than chance explains.
CandidateOutcome = Literal["identical", "derived", "related", "not shown"]
_RANKS: Sequence[CandidateOutcome] = ("identical", "derived", "related", "not shown")


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A known model, and how near it is.

    Attributes:
        label: what the user named its bundle by.
        name: what people call it.
        bundle_digest: the identity of the bundle.
        same_files: whether the model digests are equal.
        compared: what tensors and sketches show.
        nearness: what the sketches come to; None where one of both has none, or both were drawn differently.
    """

    label: str
    name: str
    bundle_digest: str
    same_files: bool
    compared: Compared
    nearness: Nearness | None

    @property
    def share(self) -> float:
        """The share of this model's bytes of tensors that the candidate holds."""
        return self.compared.shared / self.compared.size if self.compared.size else 0.0

    @property
    def outcome(self) -> CandidateOutcome:
        """What is shown of it alone."""
        if self.same_files:
            return "identical"
        if self.compared.outcome != "not shown":
            return self.compared.outcome
        return "related" if self._is_related else "not shown"

    @property
    def is_rival(self) -> bool:
        """Whether there is anything that chance does not explain."""
        found = self.nearness
        return self.share >= SHARED or (found is not None and found.chance <= CHANCE)

    @property
    def is_equal(self) -> bool:
        """Whether all matrices are in both, and every sketch of them is the same."""
        found, sketches = self.nearness, self.compared.sketches
        return found is not None and found.comparable == 1 and sketches is not None and sketches.distance == 0

    @property
    def _is_related(self) -> bool:
        found = self.nearness
        if found is None or found.comparable < COMPARABLE:
            return False
        return found.chance <= CHANCE and found.similarity >= SIMILAR

    @property
    def order(self) -> tuple[int, int, float, float, str]:
        """What candidates are ranked by: exact digests, the outcome, equal tensors, sketches, and the label."""
        similarity = self.nearness.similarity if self.nearness is not None else -1.0
        return (not self.same_files, _RANKS.index(self.outcome), -round(self.share, 2), -similarity, self.label)

    def to_dict(self) -> dict[str, Json]:
        """Return the candidate as JSON."""
        found, compared = self.nearness, self.compared
        sketches: Json = None
        if found is not None and compared.sketches is not None:
            sketches = {
                "comparable": found.comparable,
                "distance": compared.sketches.distance,
                "error": compared.sketches.error,
                "similarity": found.similarity,
                "score": found.score,
                "chance": found.chance,
            }
        return {
            "label": self.label,
            "name": self.name,
            "repo": compared.origin.repo,
            "revision": compared.origin.revision,
            "digest": compared.model_digest,
            "bundle_digest": self.bundle_digest,
            "outcome": self.outcome,
            "same_files": self.same_files,
            "tensors": {
                "share": float(f"{self.share:.4g}"),
                "equal": compared.equal,
                "moved": compared.moved,
                "of": compared.tensors,
                "known": compared.base_tensors,
            },
            "sketches": sketches,
        }
