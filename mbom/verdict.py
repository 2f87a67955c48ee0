"""The outcome of a verification: one check per step, and what they amount to."""

from dataclasses import dataclass
from typing import Literal

from mbom.behaviour.compare import Comparison
from mbom.strictjson import Json

SCHEMA = "urn:mbom:verdict:v1"

# The steps of the procedure, in order. The ids are public: reports, policies, tests and scripts quote them.
STEPS = (
    "bundle",
    "signature",
    "evidence",
    "files",
    "tensors",
    "model-sig",
    "shards",
    "bom",
    "behaviour-record",
    "behaviour",
    "expectation",
    "challenge",
)

Outcome = Literal["PASS", "FAIL", "SKIP"]


@dataclass(frozen=True, kw_only=True)
class Check:
    """What one step found.

    Attributes:
        id: the step.
        outcome: what became of it.
        detail: one line for people.
        asked: whether the caller's question depends on it, so that a SKIP is no answer.
        comparison: of two records, where the step came to one.
    """

    id: str
    outcome: Outcome
    detail: str
    asked: bool = True
    comparison: Comparison | None = None

    def to_dict(self) -> dict[str, Json]:
        """Return the check as JSON; ``comparison`` is there where there is one."""
        told: dict[str, Json] = {
            "id": self.id,
            "outcome": self.outcome,
            "detail": self.detail,
            "asked": self.asked,
        }
        return told if self.comparison is None else told | {"comparison": self.comparison.to_dict()}


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Every check in the order of ``STEPS``, and the model that the signed statement names, where one was verified."""

    checks: tuple[Check, ...]
    model: dict[str, Json] | None

    @property
    def outcome(self) -> Literal["verified", "refused", "incomplete"]:
        """``refused`` on any FAIL, ``incomplete`` when something that was asked for could not be checked."""
        if any(check.outcome == "FAIL" for check in self.checks):
            return "refused"
        if not self.checks or any(check.outcome == "SKIP" and check.asked for check in self.checks):
            return "incomplete"
        return "verified"

    @property
    def exit_code(self) -> int:
        """The exit status for scripts: 0 verified, 1 refused, 3 incomplete."""
        return {"verified": 0, "refused": 1, "incomplete": 3}[self.outcome]

    def to_dict(self) -> dict[str, Json]:
        """Return the verdict as JSON, as ``schemas/verdict.schema.json`` describes it."""
        return {
            "schema": SCHEMA,
            "outcome": self.outcome,
            "exit_code": self.exit_code,
            "model": self.model,
            "checks": [check.to_dict() for check in self.checks],
        }
