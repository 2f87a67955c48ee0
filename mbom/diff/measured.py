"""The values of weights on both sides: read where both checkpoints are at hand, estimated from records where not."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from mbom.diff.changes import Explanation, Weights
from mbom.diff.sides import instead
from mbom.dossier import Dossier

Progress = Callable[[str], None]  # told the weight that is looked at


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
        progress: called with the name of each weight that is looked at, as often as it is.

    Raises:
        UnavailableError: when a file cannot be read.
        RefusedError: when it is not what the inventory says.
    """
    if old.inventory.digest == new.inventory.digest:
        return Measured()
    if old.holds_files and new.holds_files:
        try:
            return _weights(old, new, others, progress)
        except ModuleNotFoundError as error:
            if error.name is None or error.name.partition(".")[0] == "mbom":
                raise
            note = f"the values of weights were not read: {error.name} is missing, `pip install mbom[engine]` brings it"
            return _estimated(old, new, note)
    bundles = [side for side in (old, new) if not side.holds_files]
    return _estimated(old, new, f"the values of weights were not read: {instead(bundles)}")


def _weights(old: Dossier, new: Dossier, others: Sequence[Dossier], progress: Progress | None) -> Measured:
    # Torch takes seconds to import, and whoever compares bundles needs none.
    from mbom.diff.explain import explain  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415
    from mbom.diff.weights import compare  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415
    from mbom.engine.values import open_values  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415

    sides = (old, new, *others)
    with ExitStack() as stack:  # what was read is bound to the inventories when it has been left
        opened = [stack.enter_context(open_values(side.files, side.inventory)) for side in sides]
        before, after, *rest = opened
        weights = compare(before, after, progress=progress)
        found = explain(before, after, weights, others=rest, progress=progress)
    notes = [f"{side.label}: {note}" for side, values in zip(sides, opened, strict=True) for note in values.notes]
    return Measured(weights=weights, explanations=tuple(found), notes=tuple(notes))


def _estimated(old: Dossier, new: Dossier, note: str) -> Measured:
    """Estimate from sketches what was not read; ``note`` says why it was not."""
    without = [side.label for side in (old, new) if side.record is None]
    if old.record is None or new.record is None:
        held = "has no behaviour record" if len(without) == 1 else "have no behaviour records"
        return Measured(notes=(f"{note}; and not estimated, because {' and '.join(without)} {held}",))
    from mbom.diff.weights import estimate  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415

    found = estimate(old.record, new.record)
    if found is None:
        return Measured(notes=(f"{note}; and not estimated, because the records hold sketches that differ in kind",))
    return Measured(weights=found, notes=(f"{note}; they are estimated from sketches",))
