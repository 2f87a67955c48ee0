"""The gate: of each model that a change adds, upgrades or touches, whether the policy lets it in, and why.

What makes a model pass is in this order: the lock file and the bundle say the same; the bundle verifies under a signer
that the policy trusts for this model; and the policy allows what it is and what changed. The first two are nobody's to
waive. A finding that the model before had too is accepted history: it is told on request and refuses nothing.
Everything else counts as if the model were a first one: its licence, its signature, its age.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from mbom.diff.changes import Changes
from mbom.dossier import Dossier, read_bundle
from mbom.errors import FormatError, StorageError
from mbom.gate.evidence import Evidence, examine, locked
from mbom.gate.gated import FailOn, Gated, Kind, Pin, PolicyUsed, Review, ordered
from mbom.gate.reasons import reason
from mbom.lockfile import Entry, Lock, LockChange, changes
from mbom.policy.case import Case
from mbom.policy.decision import Decision, Reason
from mbom.signing import Verifier

__all__ = ["FailOn", "Gated", "Judge", "Pin", "PolicyUsed", "Review", "Side", "gate", "judge_one", "ordered"]

# Where the bundle of an entry lies on this machine; None where it is not at hand. Raises FormatError and StorageError.
Find = Callable[[Entry], Path | None]


@dataclass(frozen=True, kw_only=True)
class Judge:
    """Whose word counts.

    Attributes:
        decide: the policy.
        trusted: who may sign a model, by its name.
        compare: what differs between two models.
        limits_changes: whether the policy's word on a model depends on what changed.
        now: the time at which waivers and ages are counted.
        everything: judge unchanged models too, and count findings that the model before had.
    """

    decide: Callable[[Case], Decision]
    trusted: Callable[[str], Sequence[Verifier]]
    compare: Callable[[Dossier, Dossier], Changes]
    limits_changes: Callable[[str], bool]
    now: datetime
    everything: bool = False


@dataclass(frozen=True, kw_only=True)
class Side:
    """A lock file, and where the bundles that it names are."""

    lock: Lock
    find: Find


def gate(
    old: Side | None, new: Side, *, judge: Judge, tampered: frozenset[str] = frozenset()
) -> tuple[Gated, ...]:
    """Judge every model that one lock file adds to another or changes in it.

    Args:
        old: what was; None where there was no lock file.
        new: what is proposed.
        judge: whose word counts.
        tampered: models whose entry is the same, and whose bundle is known to be another one.

    Returns:
        The models that differ, and with ``judge.everything`` all, the worst first.
    """
    found = {change.name: change for change in changes(old.lock if old is not None else None, new.lock)}
    gated = [_judge_change(change, old, new, judge) for change in found.values()]
    for entry in new.lock.entries:
        if entry.name in found or not (judge.everything or entry.name in tampered):
            continue
        kind: Kind = "tampered" if entry.name in tampered else "unchanged"
        gated.append(_judge_entry(entry, None, (kind,), old, new, judge))
    return ordered(tuple(gated))


def _judge_change(change: LockChange, old: Side | None, new: Side, judge: Judge) -> Gated:
    if change.new is not None:
        return _judge_entry(change.new, change.old, change.kinds, old, new, judge)
    assert change.old is not None, change.name
    gone = reason("removed", f"{change.name} is no longer pinned", outcome="note")
    return Gated(
        model=change.name,
        kinds=change.kinds,
        old=Pin.of_entry(change.old),
        new=None,
        line=None,
        case=None,
        decision=Decision(model=change.name, reasons=(gone,)),
    )


def _judge_entry(
    entry: Entry, before: Entry | None, kinds: tuple[Kind, ...], old: Side | None, new: Side, judge: Judge
) -> Gated:
    first = [*_in_place(entry, before, kinds), *_tampered(entry, kinds)]
    found = _found(entry, new, judge)
    previous = _previous(before, old) if before is not None and found.dossier is not None else None
    case = None
    if found.dossier is not None:
        case = _case(entry.name, found, previous, judge)
        first.extend(_not_compared(entry.name, before, case, judge))
    return Gated(
        model=entry.name,
        kinds=kinds,
        old=Pin.of_entry(before) if before is not None else None,
        new=Pin.of_entry(entry),
        line=new.lock.line_of(entry.name),
        case=case,
        decision=_decision(entry.name, first, found, case, judge),
    )


def judge_one(
    path: Path, *, label: str, old: Dossier | None, judge: Judge, model: str | None = None
) -> Gated:
    """Judge a bundle that is named by itself, in place of another model or as a first one.

    Args:
        path: the bundle.
        label: how reports name it.
        old: what it replaces.
        judge: whose word counts.
        model: what policies call it; None for the name in the bundle.
    """
    found = examine(path, label=label, trusted=())
    name = model or (found.dossier.name if found.dossier is not None else label)
    if found.dossier is not None:
        found = examine(path, label=label, trusted=judge.trusted(name))
    return _given(name, found, old, judge)


def judge_dossier(dossier: Dossier, *, old: Dossier | None, judge: Judge, model: str | None = None) -> Gated:
    """Judge a checkpoint that has no bundle, and so no signer either; see ``judge_one``."""
    return _given(model or dossier.name, Evidence(dossier=dossier), old, judge)


def _given(name: str, found: Evidence, old: Dossier | None, judge: Judge) -> Gated:
    case = _case(name, found, old, judge) if found.dossier is not None else None
    was = Pin.of_dossier(old) if old is not None else None
    pin = Pin.of_dossier(found.dossier) if found.dossier is not None else None
    kinds: tuple[Kind, ...] = ("given",)
    first: list[Reason] = []
    if pin is not None and was is not None and _same_commit(was, pin) and was.digest != pin.digest:
        kinds = ("changed-in-place", *kinds)
        first = [_in_place_reason(name, was, pin)]
    decision = _decision(name, first, found, case, judge)
    return Gated(model=name, kinds=kinds, old=was, new=pin, line=None, case=case, decision=decision)


def _same_commit(old: Pin, new: Pin) -> bool:
    return (
        old.revision is not None
        and old.revision == new.revision
        and old.source.casefold() == new.source.casefold()
    )


def _found(entry: Entry, side: Side, judge: Judge) -> Evidence:
    try:
        path = side.find(entry)
    except FormatError as error:
        return Evidence(reasons=(reason("bundle-malformed", str(error)),))
    except StorageError as error:
        return Evidence(could_not_check=str(error))
    if path is None:
        return Evidence(could_not_check=f"there is no bundle at {entry.bundle}; put it there, or lock it where it lies")
    return locked(entry, path, trusted=judge.trusted(entry.name))


def _previous(entry: Entry, side: Side | None) -> Dossier | None:
    """Return the model that is replaced, where exactly the bundle that was locked is at hand."""
    if side is None:
        return None
    try:
        path = side.find(entry)
        dossier = read_bundle(path) if path is not None else None
    except (FormatError, StorageError):
        return None
    if dossier is None or dossier.bundle_digest != entry.bundle_digest or dossier.inventory.digest != entry.digest:
        return None
    return replace(dossier, label=entry.bundle)


def _case(name: str, found: Evidence, previous: Dossier | None, judge: Judge) -> Case:
    assert found.dossier is not None, name
    return Case(
        model=name,
        dossier=found.dossier,
        verdict=found.verdict,
        signer=found.signer,
        changes=judge.compare(previous, found.dossier) if previous is not None else None,
        previous=previous,
        now=judge.now,
    )


def _in_place(entry: Entry, before: Entry | None, kinds: tuple[Kind, ...]) -> list[Reason]:
    if "changed-in-place" not in kinds:
        return []
    assert before is not None, entry.name
    return [_in_place_reason(entry.name, Pin.of_entry(before), Pin.of_entry(entry))]


def _in_place_reason(name: str, old: Pin, new: Pin) -> Reason:
    return reason(
        "changed-in-place",
        f"CHANGED IN PLACE: {name} at the same commit {new.revision} has the model digest {new.digest}, and had "
        f"{old.digest}. A commit cannot change, so somebody replaced files, or other files were fetched",
        "Do not merge. Find out with `mbom diff` which files differ and who served them, and pin what the publisher "
        "confirms. If another selection of its files was attested on purpose, remove the model in one change and add "
        "it in the next.",
    )


def _tampered(entry: Entry, kinds: tuple[Kind, ...]) -> list[Reason]:
    if "tampered" not in kinds:
        return []
    return [
        reason(
            "bundle-tampered",
            f"the entry of {entry.name} is as it was, and the bundle at {entry.bundle} is not",
            f"Put the bundle back, or lock the other one: `mbom lock update {entry.name}`.",
            path=entry.bundle,
        )
    ]


def _not_compared(name: str, before: Entry | None, case: Case, judge: Judge) -> list[Reason]:
    """Say that nothing was compared, which refuses where the policy limits what may change."""
    if before is None or case.changes is not None:
        return []
    where = f"the bundle of what is replaced, {before.bundle} with the digest {before.bundle_digest[:12]}…,"
    action = "Keep bundles in the repository, or put the old one where its lock file says."
    if judge.limits_changes(name):
        sentence = f"the policy limits what may change, and {where} is not at hand, so that nobody can tell what did"
        return [reason("changes-unknown", sentence, action, outcome="missing")]
    return [reason("old-not-at-hand", f"{where} is not at hand, so nothing was compared", action, outcome="note")]


def _decision(name: str, first: Sequence[Reason], found: Evidence, case: Case | None, judge: Judge) -> Decision:
    own = [*first, *found.reasons]
    if case is None:
        return Decision(model=name, reasons=tuple(own), could_not_check=found.could_not_check)
    decided = judge.decide(case)
    # A policy speaks of both too, in general words. It alone can waive that a commit changed.
    waived = {item.id: item for item in decided.reasons if item.id == "changed-in-place" and item.outcome == "waived"}
    said = {item.id for item in own}
    own = [
        replace(item, outcome="waived", waiver=waived[item.id].waiver, place=waived[item.id].place)
        if item.id in waived
        else item
        for item in own
    ]
    rest = [_history(item, case, judge) for item in decided.reasons if item.id not in said]
    return Decision(model=name, reasons=(*own, *rest), could_not_check=found.could_not_check or decided.could_not_check)


def _history(item: Reason, case: Case, judge: Judge) -> Reason:
    """Return a reason, as a note where it is a finding that the model before had at the same place."""
    if judge.everything or item.is_new or not item.refuses or case.previous is None:
        return item
    had = {(finding.id, finding.path) for finding in case.previous.inventory.findings}
    return replace(item, outcome="note") if (item.id, item.path) in had else item
