"""Judging one model that is named by itself, in place of another or as a first one."""

from pathlib import Path

from mbom.dossier import Dossier
from mbom.gate.evidence import Evidence, examine
from mbom.gate.gated import Gated, Kind, Pin
from mbom.gate.judging import Judge, case_of, decide, in_place
from mbom.policy import Reason


def gate_bundle(path: Path, *, label: str, old: Dossier | None, judge: Judge, model: str | None = None) -> Gated:
    """Judge a bundle.

    Args:
        path: where it lies.
        label: how reports name it.
        old: the model that it replaces.
        judge: whose word counts.
        model: what policies call it; None for the name in the bundle.
    """
    found = examine(path, label=label, trusted=())
    name = model or (found.dossier.name if found.dossier is not None else label)
    if found.dossier is not None:
        found = examine(path, label=label, trusted=judge.trusted(name), at_hand=judge.at_hand.get(name))
    return _given(name, found, old, judge)


def gate_checkpoint(dossier: Dossier, *, old: Dossier | None, judge: Judge, model: str | None = None) -> Gated:
    """Judge a checkpoint that has no bundle, and so no signer either; see ``gate_bundle``."""
    return _given(model or dossier.name, Evidence(dossier=dossier), old, judge)


def _given(name: str, found: Evidence, old: Dossier | None, judge: Judge) -> Gated:
    case = case_of(name, found, old, judge) if found.dossier is not None else None
    was = Pin.of_dossier(old) if old is not None else None
    pin = Pin.of_dossier(found.dossier) if found.dossier is not None else None
    kinds: tuple[Kind, ...] = ("given",)
    own: list[Reason] = []
    if pin is not None and was is not None and _same_commit(was, pin) and was.digest != pin.digest:
        kinds = ("changed-in-place", *kinds)
        own = [in_place(name, was, pin)]
    decision = decide(name, own, found, case, judge)
    return Gated(model=name, kinds=kinds, old=was, new=pin, line=None, case=case, decision=decision)


def _same_commit(old: Pin, new: Pin) -> bool:
    return old.revision is not None and old.revision == new.revision and old.source.casefold() == new.source.casefold()
