"""Deciding on one model: the gate's own reasons and the policy's, and what accepted history takes from them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from mbom.diff.changes import Changes
from mbom.diff.measured import compared
from mbom.diff.opening import joined
from mbom.dossier import Dossier
from mbom.gate.evidence import AtHand, Evidence, Trusted
from mbom.gate.gated import Pin
from mbom.gate.reasons import reason
from mbom.policy import Case, Decision, Place, Policy, Reason
from mbom.policy.policy import names


@dataclass(frozen=True, kw_only=True)
class Judge:
    """Whose word counts.

    Attributes:
        policy: what is allowed; None where there is none, and only lock file and evidence count.
        trusted: who may sign a model, by its name.
        now: the time at which waivers and ages are counted, in UTC.
        everything: judge unchanged models too, and count findings that the model before had.
        at_hand: the files of models that are on this machine, by the name of the model.
        beside: the checkpoints of the model before and of the new one, where both are to be read, by the name.
    """

    policy: Policy | None
    trusted: Callable[[str], Sequence[Trusted]]
    now: datetime
    everything: bool = False
    at_hand: Mapping[str, AtHand] = field(default_factory=dict)
    beside: Mapping[str, tuple[Dossier, Dossier]] = field(default_factory=dict)

    def limiting(self, case: Case) -> Place | None:
        """Return the rule that limits what may change in a model; None where the policy asks nothing of a change."""
        return self.policy.limits_changes(*names(case)) if self.policy is not None else None


def case_of(model: str, found: Evidence, previous: Dossier | None, judge: Judge) -> Case:
    """Return everything that the policy looks at."""
    assert found.dossier is not None, model
    verdict = found.verdict
    return Case(
        model=model,
        dossier=found.dossier,
        verdict=verdict,
        signer=str(verdict.signer) if verdict is not None and verdict.signer is not None else None,
        changes=_compared(previous, found.dossier, judge.beside.get(model)) if previous is not None else None,
        previous=previous,
        now=judge.now,
        logged=found.by.logged if found.by is not None else None,
        stamped=found.by.timed if found.by is not None else None,
        seen=found.seen,
    )


def _compared(old: Dossier, new: Dossier, beside: tuple[Dossier, Dossier] | None) -> Changes:
    """Return what differs: of weights themselves where both checkpoints are at hand, else what sketches tell.

    Raises:
        RefusedError: when the old checkpoint is another one; that the new one is, the verification tells.
    """
    if beside is not None and beside[1].inventory.digest == new.inventory.digest:
        old, new = joined(old, beside[0]), joined(new, beside[1])
    return compared(old, new)


def decide(model: str, own: Sequence[Reason], found: Evidence, case: Case | None, judge: Judge) -> Decision:
    """Return the decision on a model.

    Args:
        model: its name.
        own: reasons of the gate, the worst first.
        found: what its bundle came to.
        case: what the policy looks at; None where nothing could be read.
        judge: whose word counts.
    """
    reasons = [*own, *found.reasons]
    if case is None or judge.policy is None:
        return Decision(model=model, reasons=tuple(reasons), could_not_check=found.could_not_check)
    said = {item.id for item in reasons}
    # The policy speaks of some of them too, in more general words.
    reasons += [item for item in judge.policy.reasons(case) if item.id not in said]
    settled = judge.policy.settle(reasons, case)
    return replace(
        settled,
        reasons=tuple(_history(item, case, judge) for item in settled.reasons),
        could_not_check=found.could_not_check or settled.could_not_check,
    )


def _history(item: Reason, case: Case, judge: Judge) -> Reason:
    """Return a reason, as a note where it is a finding that the model before had in the same file."""
    if judge.everything or item.is_new or not item.refuses or case.previous is None:
        return item
    found = _places(case.dossier)
    here = {content for name, path, content in found if (name, path) == (item.id, item.path)}
    if not here:  # no finding
        return item
    is_held = {(item.id, item.path, content) for content in here} <= _places(case.previous)
    return replace(item, outcome="note") if is_held else replace(item, is_new=True)


def _places(dossier: Dossier) -> frozenset[tuple[str, str, str | None]]:
    """Return the findings of a model: what, at which path, and in what content; None where no file has that path.

    What was accepted is a program or a pickle that somebody looked at, and not whatever takes its place.
    """
    content = {file.name: file.sha256 for file in dossier.inventory.files}
    return frozenset((item.id, item.path, content.get(item.path)) for item in dossier.inventory.findings)


def in_place(model: str, old: Pin, new: Pin) -> Reason:
    """Return the reddest reason: the same commit, and other files."""
    return reason(
        "changed-in-place",
        f"CHANGED IN PLACE: {model} at the same commit {new.revision} has the model digest {new.digest}, and had "
        f"{old.digest}. A commit cannot change, so somebody replaced files, or other files were fetched",
        "Do not merge. Find out with `mbom diff` which files differ and who served them, and pin what the publisher "
        "confirms. If another selection of its files was attested on purpose, the base's policy can waive it.",
    )
