"""`mbom measure`: a checkpoint in, the record of what it computes out; nothing is signed."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mbom import bundle
from mbom.behaviour.record import Record
from mbom.engine import Measure
from mbom.facts import Survey, survey
from mbom.inventory import Inventory, ScanProgress, refuse_errors
from mbom.source import Source


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What was written, and the inventory that its numbers are bound to."""

    record: Record
    inventory: Inventory
    size: int  # bytes of the record's files together


def measure(
    source: Source,
    folder: Path,
    *,
    run: Measure,
    force: bool = False,
    on_scan: Callable[[ScanProgress], None] | None = None,
    on_survey: Callable[[Survey], None] | None = None,
) -> Measured:
    """Hash and measure a checkpoint, and write its behaviour record to ``folder``.

    Args:
        source: where the checkpoint comes from.
        folder: the record to write; it is there whole afterwards, or not at all.
        run: the behaviour pass, with its device and its nonce chosen.
        force: replace a record that is at ``folder``; never a bundle.
        on_scan: called while files are fetched and hashed.
        on_survey: called once when the checkpoint is known, before the long part begins.

    Raises:
        UsageError: when something is at ``folder`` that may not be replaced.
        BusyError: when another run writes ``folder``.
        RefusedError: when the checkpoint contradicts itself, or is not what its source advertised.
        UnavailableError: when something cannot be read, measured or written.
    """
    with bundle.reserved(folder, force=force, record=True) as write:
        surveyed = survey(source, progress=on_scan)
        if on_survey is not None:
            on_survey(surveyed)
        refuse_errors(surveyed.inventory.findings)
        record = run(surveyed.paths, surveyed.inventory)
        members = {bundle.BEHAVIOUR: record.to_json(), bundle.BEHAVIOUR_NUMBERS: record.to_safetensors()}
        write(members)
    return Measured(record=record, inventory=surveyed.inventory, size=sum(len(content) for content in members.values()))
