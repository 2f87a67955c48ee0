"""The two models of a diff: what each of them is, and what would have to be given where it is too little."""

from collections.abc import Sequence

from mbom.diff.changes import Side
from mbom.dossier import Dossier
from mbom.printable import printable


def side(dossier: Dossier) -> Side:
    """Return one of the two models."""
    origin, attestation = dossier.inventory.origin, dossier.attestation
    return Side(
        label=printable(dossier.label),
        kind=dossier.kind,
        name=printable(dossier.name),
        repo=origin.repo,
        revision=origin.revision,
        digest=dossier.inventory.digest,
        attested=None if attestation is None else f"{attestation.time:%Y-%m-%dT%H:%M:%SZ}",
        record=dossier.record is not None,
        files=dossier.holds_files,
    )


def instead(bundles: Sequence[Dossier]) -> str:
    """Say what would help where files are needed of models of which only the bundle was given."""
    names = " and ".join(bundle.label for bundle in bundles)
    if len(bundles) == 1:
        return f"{names} is a bundle; give the checkpoint instead of it or beside it"
    return f"{names} are bundles; give the checkpoints instead of them or beside them"
