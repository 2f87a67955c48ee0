"""Opening the models that arguments name, with what is read shown as it is read."""

from mbom.cli import clock
from mbom.cli.console import Display
from mbom.diff.opening import open_dossier
from mbom.dossier import Dossier
from mbom.facts.producers import Producers


def opened(named: str, display: Display, producers: Producers | None = None) -> Dossier:
    """Return a model: a bundle, a folder that holds a checkpoint, or a repository on the hub.

    Raises:
        MbomError: as ``mbom.diff.opening.open_dossier``.
    """
    with display.scanning() as on_scan:
        return open_dossier(
            named, created=clock.created(), producers=producers, on_scan=on_scan, on_bytes=on_scan.fetched
        )
