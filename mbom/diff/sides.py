"""The two models of a diff: what they are, and which facts tell them apart before anything in them is looked at."""

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
