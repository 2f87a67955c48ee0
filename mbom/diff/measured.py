"""Two models compared with the values of weights: read where both checkpoints are at hand, estimated where not."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from mbom import engine
from mbom.diff import diff
from mbom.diff.changes import Changes, Explanation, Weights
from mbom.diff.sides import instead
from mbom.dossier import Dossier
from mbom.inventory import Inventory
from mbom.inventory.roles import CONFIG

Progress = Callable[[str, str], None]  # told what is done, and the weight that it is done with


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What came of comparing values: the figures, the reasons that hold, and notes on what was not done and why."""

    weights: Weights | None = None
    explanations: tuple[Explanation, ...] = ()
    notes: tuple[str, ...] = ()


def measured(
    old: Dossier,
    new: Dossier,
    *,
    others: Sequence[Dossier] = (),
    progress: Progress | None = None,
) -> Measured:
    """Compare the values of two models as well as can be.

    Args:
        old: what was.
        new: what is.
        others: checkpoints that may be further parents of a merge.
        progress: called before each weight that is looked at, as often as it is.

    Raises:
        UnavailableError: when a file cannot be read, or the process that reads it breaks.
        RefusedError: when it is not what the inventory says.
    """
    if old.inventory.digest == new.inventory.digest or _stored_alike(old.inventory, new.inventory):
        return Measured()
    bundles = [side for side in (old, new) if not side.holds_files]
    lack = instead(bundles) if bundles else engine.available()
    if lack is not None:
        found = _estimated(old, new, f"the values of weights were not read: {lack}")
        unseen = tuple(f"{other.label} was not looked at as a parent: that takes the values" for other in others)
        return replace(found, notes=found.notes + unseen)
    return _weights(old, new, others, progress)


def compared(
    old: Dossier, new: Dossier, *, others: Sequence[Dossier] = (), progress: Progress | None = None
) -> Changes:
    """Return everything that differs between two models, with their values compared as well as can be.

    Args and errors are those of ``measured``.
    """
    found = measured(old, new, others=others, progress=progress)
    return diff(old, new, weights=found.weights, explanations=found.explanations, notes=found.notes)


def _stored_alike(old: Inventory, new: Inventory) -> bool:
    """Tell whether the same tensors are stored, and whatever says how they are decoded is the same too."""
    configs = [{file.sha256 for file in side.files if file.role == CONFIG} for side in (old, new)]
    tensors = [{(t.name, t.dtype, t.shape, t.blake3) for t in side.tensors} for side in (old, new)]
    return configs[0] == configs[1] and tensors[0] == tensors[1]


def _weights(old: Dossier, new: Dossier, others: Sequence[Dossier], progress: Progress | None) -> Measured:
    from mbom.diff.values.process import compare  # noqa: PLC0415

    before, after, *rest = ((side.files, side.inventory) for side in (old, new, *others))
    weights, explanations = compare(before, after, others=rest, progress=progress)
    return Measured(weights=weights, explanations=explanations, notes=weights.notes)


def _estimated(old: Dossier, new: Dossier, note: str) -> Measured:
    """Estimate from sketches what was not read; ``note`` says why it was not."""
    without = [side.label for side in (old, new) if side.record is None]
    if old.record is None or new.record is None:
        held = "has no behaviour record" if len(without) == 1 else "have no behaviour records"
        return Measured(notes=(f"{note}; and not estimated, because {' and '.join(without)} {held}",))
    from mbom.diff.values.weights import estimate  # noqa: PLC0415

    found = estimate(old.record, new.record)
    if found is None:
        return Measured(notes=(f"{note}; and not estimated, because the records hold sketches that differ in kind",))
    told = "they are estimated from sketches, on the word of whoever recorded them, and sketches prove no explanation"
    return Measured(weights=found, notes=(f"{note}; {told}",))
