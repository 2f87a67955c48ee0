"""What all outputs say alike: how a change is called, which reasons are told, and in which order."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from mbom.facts.licences.vocabulary import RESTRICTIONS
from mbom.gate.gated import Gated, Kind, Review
from mbom.policy.case import Case
from mbom.policy.decision import Outcome, Reason

# What became of a model, in words after its name.
WORDS: Mapping[Kind, str] = MappingProxyType(
    {
        "changed-in-place": "changed in place",
        "re-sourced": "taken from elsewhere",
        "re-signed": "signed by somebody else",
        "added": "added",
        "upgraded": "upgraded",
        "removed": "removed",
        "re-attested": "attested again",
        "moved": "evidence moved",
        "edited": "entry edited",
        "tampered": "bundle tampered with",
        "given": "given",
        "unchanged": "unchanged",
    }
)

# What a reason comes to, from what must be mended to what is only said.
ORDER: tuple[Outcome, ...] = ("refuse", "missing", "waived", "note")

COULD_NOT_CHECK = "could-not-check"


def told(gated: Gated) -> list[Reason]:
    """Return the reasons that are told: all but notes on what the model before had too; the gate's own stay first."""
    return sorted(
        (reason for reason in gated.decision.reasons if reason.is_new or reason.outcome != "note"),
        key=lambda reason: ORDER.index(reason.outcome),
    )


def actions(reasons: Sequence[Reason]) -> list[str]:
    """Return what to do about each reason, behind the last of those in a row that it is the same for; else empty."""
    # One more than there are reasons where there are none.
    following = [*(reason.action for reason in reasons[1:]), ""]
    return [
        reason.action if reason.refuses and reason.action != after else ""
        for reason, after in zip(reasons, following, strict=False)
    ]


def untold(gated: Gated) -> int:
    """Return how many reasons ``told`` leaves out."""
    return len(gated.decision.reasons) - len(told(gated))


def kinds(gated: Gated) -> str:
    """Return what became of a model."""
    return ", ".join(WORDS[kind] for kind in gated.kinds)


def revisions(gated: Gated) -> str:
    """Return what it was and is: ``6cee5e81ee83 → 9f31…``."""
    ends = [pin.short for pin in (gated.old, gated.new) if pin is not None]
    if "changed-in-place" in gated.kinds and gated.old is not None and gated.new is not None:
        return f"{ends[0]}, sha256:{gated.old.digest[:12]} → sha256:{gated.new.digest[:12]}"
    return " → ".join(ends)


def waived(reason: Reason) -> str:
    """Return what the waiver says, to stand behind the sentence; empty where there is none."""
    return f" (waived: {reason.waiver})" if reason.waiver is not None else ""


def in_words(reason: Reason) -> str:
    """Return what a restriction that a reason begins with means; empty for any other reason."""
    if reason.id != "restriction-not-allowed":
        return ""
    return RESTRICTIONS.get(reason.sentence.partition(" ")[0].rstrip(","), "")


def where(reason: Reason) -> str:
    """Return the rule's place, such as ``mbom.yaml:3``; empty where no rule says it."""
    return f"{reason.place.file}:{reason.place.line}" if reason.place is not None else ""


def judged(review: Review) -> str:
    """Return by which policy it was judged, in a sentence."""
    used = review.policy
    sources = {
        "base": f"Judged by the policy of the base, {used.file}.",
        "head": f"Judged by {used.file} as the change itself brings it: the base has none.",
        "disk": f"Judged by {used.file}.",
        "none": "Judged without a policy: only lock file, evidence and signature were checked.",
    }
    return sources[used.source]


def on_whose_word(case: Case) -> str:
    """Return what of the evidence nobody has looked at but who signed it, in a sentence; empty where all was."""
    checks = case.verdict.checks if case.verdict is not None else ()
    passed = {check.id for check in checks if check.outcome == "PASS"}
    if not passed >= {"files", "tensors"}:
        return "Files, findings and behaviour are as the signer says: the checkpoint was not at hand."
    if case.dossier.record is not None and "behaviour" not in passed:
        return "Behaviour and sketches are as the signer says: they were not measured again."
    return ""
