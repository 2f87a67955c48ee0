"""Everything that one read of a checkpoint tells: the inventory, the facts, and all findings in one place."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from mbom.facts.reading import Facts, read_facts
from mbom.inventory.findings import ordered
from mbom.inventory.identity import Identity
from mbom.inventory.journal import Journal
from mbom.inventory.metering import ScanProgress
from mbom.inventory.record import Inventory
from mbom.inventory.scanning import scan
from mbom.source import Source


@dataclass(frozen=True, kw_only=True)
class Survey:
    """A checkpoint as it was read; the inventory's findings include those of the facts.

    ``identities`` and ``reused`` are those of the scan.
    """

    inventory: Inventory
    facts: Facts
    paths: Mapping[str, Path]
    identities: Mapping[str, Identity] = field(default_factory=dict)
    reused: tuple[str, ...] = ()


def survey(
    source: Source,
    *,
    everything: bool = False,
    progress: Callable[[ScanProgress], None] | None = None,
    journal: Journal | None = None,
) -> Survey:
    """Fetch a checkpoint, read every byte of it once, and tell what it is.

    Args:
        source: where the checkpoint is.
        everything: fetch other weight sets from the hub too.
        progress: called after every chunk, from one thread at a time, though not always the same.
        journal: what an interrupted run has read already, and where this one notes what it reads.

    Raises:
        RefusedError: when a file is not what the source advertised, twice, or its name cannot be recorded.
        ChangedError: when a file changes while it is read.
        UnavailableError: when the source or the system does not give the bytes.
    """
    scanned = scan(source, everything=everything, progress=progress, journal=journal)
    facts, findings = read_facts(scanned.inventory, scanned.side, scanned.contents)
    inventory = replace(scanned.inventory, findings=ordered((*scanned.inventory.findings, *findings)))
    return Survey(
        inventory=inventory,
        facts=facts,
        paths=scanned.paths,
        identities=scanned.identities,
        reused=scanned.reused,
    )
