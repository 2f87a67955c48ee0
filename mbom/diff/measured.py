"""The values of weights on both sides: read where both checkpoints are at hand, estimated from records where not."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mbom.diff.changes import Explanation, Weights
from mbom.dossier import Dossier


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
    progress: Callable[..., None] | None = None,
) -> Measured:
    """Compare the values of two models as well as can be.

    Args:
        old: what was.
        new: what is.
        others: checkpoints that may be further parents of a merge.
        progress: handed on to the comparison of weights.

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
            note = f"the values of weights were not read: {error.name} is missing, `pip install mbom[engine]` brings it"
            return _estimated(old, new, note)
    bundles = [side.label for side in (old, new) if not side.holds_files]
    return _estimated(old, new, f"the values of weights were not read: {_instead(bundles)}")


def _weights(old: Dossier, new: Dossier, others: Sequence[Dossier], progress: Callable[..., None] | None) -> Measured:
    # Torch takes seconds to import, and whoever compares bundles needs none.
    from mbom.diff.explain import explain  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415
    from mbom.diff.weights import compare  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415
    from mbom.engine.values import open_values  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415

    before, after, *rest = (open_values(side.files, side.inventory) for side in (old, new, *others))
    weights = compare(before, after, progress=progress)
    return Measured(
        weights=weights, explanations=tuple(explain(before, after, weights, others=rest, progress=progress))
    )


def _estimated(old: Dossier, new: Dossier, note: str) -> Measured:
    """Estimate from sketches what was not read; ``note`` says why it was not."""
    without = [side.label for side in (old, new) if side.record is None]
    if old.record is None or new.record is None:
        return Measured(notes=(f"{note}; and not estimated, because {' and '.join(without)} has no behaviour record",))
    from mbom.diff.weights import estimate  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415

    found = estimate(old.record, new.record)
    if found is None:
        return Measured(notes=(f"{note}; and not estimated, because the records hold sketches that differ in kind",))
    return Measured(weights=found, notes=(f"{note}; they are estimated from sketches",))


def _instead(bundles: Sequence[str]) -> str:
    if len(bundles) == 1:
        return f"{bundles[0]} is a bundle; give the checkpoint instead of it or beside it"
    return f"{' and '.join(bundles)} are bundles; give the checkpoints instead of them or beside them"
