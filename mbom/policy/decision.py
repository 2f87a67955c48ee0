"""What a policy decides on one model, and why: reasons with the place in the policy file that they come from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mbom.strictjson import Json

SCHEMA = "urn:mbom:decision:v1"

# ``refuse``: the policy forbids it. ``missing``: what the policy asks for is not known, which refuses too.
# ``waived``: it would refuse, and a waiver in force covers it. ``note``: nothing is decided by it.
Outcome = Literal["refuse", "missing", "waived", "note"]


@dataclass(frozen=True, kw_only=True)
class Place:
    """A line of the policy file, from 1."""

    file: str
    line: int


@dataclass(frozen=True, kw_only=True)
class Reason:
    """One thing that a rule of the policy says of a model.

    Attributes:
        id: a public id, lower-case words with hyphens: of a rule (``licence-not-allowed``), or of a finding. Waivers
            name it.
        outcome: what follows.
        sentence: what was found and what is allowed, for people.
        action: what a person can do about it; empty where nothing.
        place: of the rule in the policy file; None for what no policy can allow.
        path: the file of the checkpoint or the lock file that it is about; None where it is about the model.
        is_new: whether the old model had it not; True where there is no old model.
        waiver: the reason of the waiver that covers it.
    """

    id: str
    outcome: Outcome
    sentence: str
    action: str = ""
    place: Place | None = None
    path: str | None = None
    is_new: bool = True
    waiver: str | None = None

    @property
    def refuses(self) -> bool:
        """Whether the model is refused because of it."""
        return self.outcome in ("refuse", "missing")

    def to_dict(self) -> dict[str, Json]:
        """Return the reason as JSON."""
        place: Json = None if self.place is None else {"file": self.place.file, "line": self.place.line}
        return {
            "id": self.id,
            "outcome": self.outcome,
            "sentence": self.sentence,
            "action": self.action,
            "place": place,
            "path": self.path,
            "is_new": self.is_new,
            "waiver": self.waiver,
        }


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What was decided on one model, with every reason, in the order of the policy.

    ``could_not_check`` says why where the question could not be answered at all, such as evidence that is not there or
    a bundle that cannot be read: exit status 3, unless something else refuses.
    """

    model: str
    reasons: tuple[Reason, ...]
    could_not_check: str | None = None

    @property
    def outcome(self) -> Literal["allowed", "refused", "incomplete"]:
        """``allowed`` only where no reason refuses and everything could be checked."""
        if any(reason.refuses for reason in self.reasons):
            return "refused"
        return "incomplete" if self.could_not_check is not None else "allowed"

    def to_dict(self) -> dict[str, Json]:
        """Return the decision as JSON."""
        return {
            "model": self.model,
            "outcome": self.outcome,
            "could_not_check": self.could_not_check,
            "reasons": [reason.to_dict() for reason in self.reasons],
        }


def exit_code(decisions: Sequence[Decision]) -> int:
    """Return the exit status for scripts: 1 where a model is refused, 3 where one could not be checked, else 0.

    Nothing to decide on is not 0.
    """
    outcomes = {decision.outcome for decision in decisions}
    if "refused" in outcomes:
        return 1
    return 3 if "incomplete" in outcomes or not decisions else 0
