"""The outcome of a verification: one check per step, and what they amount to."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from mbom.behaviour.compare import Comparison
from mbom.signing import Signatory
from mbom.strictjson import Json

SCHEMA = "urn:mbom:verdict:v1"
SIGNATURE_SCHEMA = "urn:mbom:signature-verdict:v1"

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

# The steps for a signature that is no part of a bundle; as public as the others.
SIGNATURE_STEPS = ("bundle", "signature", "manifest", "files", "ignored")

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
class Checked:
    """Checks in order, and what they amount to."""

    checks: tuple[Check, ...]

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

    @property
    def reservation(self) -> str:
        """What a ``verified`` does not speak of, in words after "except"; empty when there is nothing."""
        unchecked = [check.id for check in self.checks if check.outcome == "SKIP"]
        return f"what was not asked for: {', '.join(unchecked)}" if unchecked else ""


@dataclass(frozen=True, kw_only=True)
class Verdict(Checked):
    """Every check in the order of ``STEPS``, and what they are about.

    Attributes:
        model: the model that the signed statement names, where one was verified.
        bundle_digest: of exactly the bytes that were checked, see ``mbom.bundle.digest``, so that who reads the bundle
            for another purpose can tell whether it was these; None where it could not be read.
        signer: who signed the statement; None where no signature was verified.
        seen: by when the signature was there, as a witness says; None where nobody vouches for that.
    """

    model: dict[str, Json] | None
    bundle_digest: str | None = None
    signer: Signatory | None = None
    seen: datetime | None = None

    @property
    def passed(self) -> tuple[str, ...]:
        """The steps that passed, in order."""
        return tuple(check.id for check in self.checks if check.outcome == "PASS")

    def to_dict(self) -> dict[str, Json]:
        """Return the verdict as JSON, as ``schemas/verdict.schema.json`` describes it."""
        return {
            "schema": SCHEMA,
            "outcome": self.outcome,
            "exit_code": self.exit_code,
            "model": self.model,
            "checks": [check.to_dict() for check in self.checks],
        }


@dataclass(frozen=True, kw_only=True)
class SignatureVerdict(Checked):
    """Every check in the order of ``SIGNATURE_STEPS``, and what was verified of the signature.

    Attributes:
        signer: whose signature holds; None where none does.
        model: the name and digest in the verified statement; the name is the signer's, and binds nothing.
        files: how many files are the signed ones.
        ignored: the files at hand that the signature does not cover, all of them.
    """

    signer: str | None
    model: dict[str, Json] | None
    files: int
    ignored: tuple[str, ...]

    @property
    def reservation(self) -> str:
        """See ``Checked``: the files that the signature does not cover."""
        if not self.ignored:
            return ""
        more = f" and {len(self.ignored) - 1} more" if len(self.ignored) > 1 else ""
        return f"what the signature does not cover: {self.ignored[0]}{more}"

    def to_dict(self) -> dict[str, Json]:
        """Return the verdict as JSON, as ``schemas/signature-verdict.schema.json`` describes it."""
        return {
            "schema": SIGNATURE_SCHEMA,
            "outcome": self.outcome,
            "exit_code": self.exit_code,
            "signer": self.signer,
            "model": self.model,
            "files": self.files,
            "ignored": list(self.ignored),
            "checks": [check.to_dict() for check in self.checks],
        }
