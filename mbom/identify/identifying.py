"""Which of the known models is this, or which is it made from? Nobody is asked who made it.

Known models are bundles. Each is held against the model at hand by the witnesses of ``mbom.ancestry``: the model
digest, the bytes of tensors, and sketches of the values, whose nearness is weighed against chance (``chance``).

Of two known models that are both near, the squared distances are compared value by value, and where neither is shown to
be nearer, there is no answer. Not seen: weights under other names, for signs depend on names; layers or experts in
another order.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mbom.ancestry import Base, compare
from mbom.behaviour.record import Record
from mbom.dossier import Dossier, read_bundle
from mbom.errors import ChangedError, FormatError
from mbom.identify.candidate import CHANCE, COMPARABLE, SHARED, SIMILAR, Candidate
from mbom.identify.chance import nearness, separation
from mbom.inventory import Inventory
from mbom.strictjson import Json

SCHEMA = "urn:mbom:identify:v1"

Outcome = Literal["identical", "derived", "related", "not enough evidence"]


@dataclass(frozen=True, kw_only=True)
class Identification:
    """What became of the question.

    Attributes:
        label: what the user named the model by.
        digest: its model digest.
        record: whether its values are sketched, so that more than equal bytes can be seen.
        outcome: the answer, which is that of the first candidate or that there is none.
        reason: why, in a sentence for people.
        candidates: the known models, the nearest first.
    """

    label: str
    digest: str
    record: bool
    outcome: Outcome
    reason: str
    candidates: tuple[Candidate, ...]

    @property
    def exit_code(self) -> int:
        """The exit status for scripts: 0 where there is an answer, else 3."""
        return 3 if self.outcome == "not enough evidence" else 0

    def to_dict(self) -> dict[str, Json]:
        """Return the answer as JSON, as ``schemas/identify.schema.json`` describes it."""
        return {
            "schema": SCHEMA,
            "label": self.label,
            "digest": self.digest,
            "record": self.record,
            "outcome": self.outcome,
            "exit_code": self.exit_code,
            "reason": self.reason,
            "candidates": [candidate.to_dict() for candidate in self.candidates],
        }


Known = Callable[[Path], Dossier]


def identify(
    label: str, inventory: Inventory, record: Record | None, against: Sequence[Path], *, read: Known = read_bundle
) -> Identification:
    """Hold a model against known ones. Nothing is verified: who lies in a bundle lies here.

    Known models are read one at a time, and rivals of the nearest a second time.

    Args:
        label: what the user named the model by.
        inventory: its files and tensors.
        record: its behaviour; None where none was recorded.
        against: bundles of known models.
        read: reads one.

    Raises:
        StorageError: when a bundle cannot be read.
        FormatError: when one is none, or two records are of different kinds.
        ChangedError: when one changed between two looks.
    """
    if record is not None and record.model_digest != inventory.digest:
        raise FormatError(f"{label}: the record is of model {record.model_digest}, the files are {inventory.digest}")
    found = [_candidate(inventory, record, path, read(path), len(against)) for path in against]
    ranked = sorted(found, key=lambda item: item[0].order)
    candidates = tuple(candidate for candidate, _ in ranked)
    outcome, reason = _answer(record, ranked, read)
    return Identification(
        label=label,
        digest=inventory.digest,
        record=record is not None,
        outcome=outcome,
        reason=reason,
        candidates=candidates,
    )


def _candidate(
    inventory: Inventory, record: Record | None, path: Path, known: Dossier, candidates: int
) -> tuple[Candidate, Path]:
    assert known.bundle_digest is not None
    found = None
    if record is not None and known.record is not None:
        found = nearness(record, known.record, candidates)
    compared = compare(inventory, record, Base(inventory=known.inventory, record=known.record))
    told = Candidate(
        label=known.label,
        name=known.name,
        bundle_digest=known.bundle_digest,
        same_files=known.inventory.digest == inventory.digest,
        compared=compared,
        nearness=found,
    )
    return told, path


_Ranked = Sequence[tuple[Candidate, Path]]


def _answer(record: Record | None, ranked: _Ranked, read: Known) -> tuple[Outcome, str]:
    """Return the answer that the candidates amount to, and why."""
    if not ranked:
        return "not enough evidence", "there is no known model to hold it against"
    best, place = ranked[0]
    if best.outcome == "identical":
        what = "the same files" if best.same_files else "the same tensors; other files differ"
        return "identical", f"{best.label}: {what}"
    if best.outcome == "not shown":
        return "not enough evidence", _nothing(record, [candidate for candidate, _ in ranked])
    rival = _rival(record, best, _again(best, place, read), ranked[1:], read)
    if rival is not None:
        return "not enough evidence", (
            f"{best.label} and {rival.label} are both {best.outcome if best.outcome == rival.outcome else 'near'}, and "
            "neither is shown to be nearer: it can be made from either, or from what both are made from"
        )
    return best.outcome, f"{best.label}: {_shown(best)}"


def _again(candidate: Candidate, path: Path, read: Known) -> Dossier:
    known = read(path)
    if known.bundle_digest != candidate.bundle_digest:
        raise ChangedError(f"{path}: changed while it was compared; stop whatever writes there")
    return known


def _rival(record: Record | None, best: Candidate, nearest: Dossier, others: _Ranked, read: Known) -> Candidate | None:
    """Return the first of the others that may be as near as the best; None where it is nearer than all of them."""
    rivals = [(candidate, path) for candidate, path in others if candidate.is_rival]
    for candidate, path in rivals:
        if best.share >= candidate.share + SHARED:
            continue
        known = _again(candidate, path, read)
        base = Base(inventory=known.inventory)
        if compare(nearest.inventory, None, base).outcome == "identical":
            continue  # another bundle of the same weights
        if best.is_equal and not candidate.is_equal:
            continue  # every value is the best one's own, in whatever encoding
        if record is None or nearest.record is None or known.record is None:
            return candidate
        if separation(record, nearest.record, known.record) * len(rivals) > CHANCE:
            return candidate
    return None


def _shown(best: Candidate) -> str:
    share = f"{best.share:.1%} of the bytes are its own"
    if best.nearness is None or best.compared.sketches is None:
        return share
    sketches = best.compared.sketches
    return f"{share}, distance {sketches.distance:.2g} ± {sketches.error:.1g} (unrelated: about 1)"


def _nothing(record: Record | None, candidates: Sequence[Candidate]) -> str:
    """Say why no candidate is shown to be the model's base."""
    best = candidates[0]
    share = f"no known model holds more than {max(item.share for item in candidates):.1%} of its bytes"
    if record is None:
        return (
            f"{share}, and without a behaviour record its values cannot be compared: --measure computes one, "
            "`mbom measure` writes one for --record, and a bundle holds one"
        )
    compared = [item.nearness for item in candidates if item.nearness is not None]
    if not compared:
        return f"{share}, and no known model has a behaviour record that its own can be compared with"
    widest = max(item.comparable for item in compared)
    if widest < COMPARABLE:
        return f"{share}, and at most {widest:.1%} of its weights are in a known model under their names and shapes"
    least = min(item.chance for item in compared)
    if least > CHANCE:
        score = max(item.score for item in compared)
        return f"{share}, and the nearest is no nearer than an unrelated model may be by chance (score {score:.1f})"
    return (
        f"{share}, and {best.label} is nearer than chance explains, but only by a similarity of "
        f"{max(item.similarity for item in compared):.2g}; {SIMILAR} is what a common origin takes"
    )
