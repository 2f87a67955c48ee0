"""Judging what one lock file says in place of another."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from mbom.dossier import Dossier, read_bundle
from mbom.errors import FormatError, UnavailableError
from mbom.gate.evidence import Evidence, locked
from mbom.gate.gated import Gated, Kind, Pin, ordered
from mbom.gate.judging import Judge, case_of, decide, in_place
from mbom.gate.reasons import reason
from mbom.lockfile import Entry, Lock, LockChange, changes
from mbom.policy import Case, Decision, Reason

# Where the bundle of an entry lies on this machine; None where it is not at hand. Raises FormatError where it is
# hostile, and UnavailableError where it cannot be had.
Find = Callable[[Entry], Path | None]


@dataclass(frozen=True, kw_only=True)
class Side:
    """A lock file, and where the bundles that it names are."""

    lock: Lock
    find: Find


def gate(old: Side | None, new: Side, *, judge: Judge, tampered: frozenset[str] = frozenset()) -> tuple[Gated, ...]:
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
    gated = [
        _removed(change) if change.new is None else _judged(change, change.kinds, old, new, judge)
        for change in found.values()
    ]
    for entry in new.lock.entries:
        if entry.name not in found and (judge.everything or entry.name in tampered):
            kind: Kind = "tampered" if entry.name in tampered else "unchanged"
            was = entry if kind == "tampered" else None  # to compare with what the bundle was
            change = LockChange(name=entry.name, kinds=(), old=was, new=entry)
            gated.append(_judged(change, (kind,), old, new, judge))
    return ordered(tuple(gated))


def _removed(change: LockChange) -> Gated:
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


def _judged(change: LockChange, kinds: tuple[Kind, ...], old: Side | None, new: Side, judge: Judge) -> Gated:
    entry, before = change.new, change.old
    assert entry is not None, change.name
    was, pin = Pin.of_entry(before) if before is not None else None, Pin.of_entry(entry)
    own = [in_place(entry.name, was, pin)] if "changed-in-place" in kinds and was is not None else []
    if "tampered" in kinds:
        own.append(_tampered(entry))
    found = _found(entry, new, judge)
    case = None
    if found.dossier is not None:
        case = case_of(entry.name, found, _previous(before, old), judge)
        own.extend(_not_compared(before, case, judge))
    return Gated(
        model=entry.name,
        kinds=kinds,
        old=was,
        new=pin,
        line=new.lock.line_of(entry.name),
        case=case,
        decision=decide(entry.name, own, found, case, judge),
    )


def _found(entry: Entry, side: Side, judge: Judge) -> Evidence:
    try:
        path = side.find(entry)
    except FormatError as error:
        return Evidence(reasons=(reason("bundle-malformed", str(error)),))
    except UnavailableError as error:
        return Evidence(could_not_check=str(error))
    if path is None:
        return Evidence(could_not_check=f"there is no bundle at {entry.bundle}; put it there, or lock it where it lies")
    return locked(entry, path, trusted=judge.trusted(entry.name), at_hand=judge.at_hand.get(entry.name))


def _previous(entry: Entry | None, side: Side | None) -> Dossier | None:
    """Return the model that is replaced, where exactly the bundle that was locked is at hand."""
    if entry is None or side is None:
        return None
    try:
        path = side.find(entry)
        dossier = read_bundle(path) if path is not None else None
    except (FormatError, UnavailableError):
        return None
    if dossier is None or dossier.bundle_digest != entry.bundle_digest or dossier.inventory.digest != entry.digest:
        return None
    return replace(dossier, label=f"{entry.bundle} as it was")


def _tampered(entry: Entry) -> Reason:
    return reason(
        "bundle-tampered",
        f"the entry of {entry.name} is as it was, and the bundle at {entry.bundle} is not",
        f"Put the bundle back, or lock the other one: `mbom lock update {entry.name} BUNDLE`.",
        path=entry.bundle,
    )


def _not_compared(before: Entry | None, case: Case, judge: Judge) -> list[Reason]:
    """Say that nothing was compared, which refuses where the policy limits what may change."""
    if before is None or case.changes is not None:
        return []
    where = f"the bundle of what is replaced, {before.bundle} with the digest {before.bundle_digest[:12]}…,"
    action = "Keep bundles in the repository, or put the old one where its lock file says."
    place = judge.limiting(case)
    if place is None:
        return [reason("old-not-at-hand", f"{where} is not at hand, so nothing was compared", action, outcome="note")]
    sentence = f"the policy limits what may change, and {where} is not at hand, so that nobody can tell what did"
    return [replace(reason("change-unknown", sentence, action, outcome="missing"), place=place)]
