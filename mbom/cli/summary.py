"""What commands say of a checkpoint and of a measurement, in a line each; and measurements that say what they are."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from mbom import engine
from mbom.ancestry import Compared
from mbom.behaviour.deployed import Deployed
from mbom.behaviour.record import SKETCH_LIMIT, Record
from mbom.cli.console import Display, count
from mbom.facts import Survey
from mbom.inventory import Inventory
from mbom.quantities import size


@dataclass(frozen=True, kw_only=True)
class Announced:
    """The behaviour pass with its progress on a display, below a line that says what is measured."""

    display: Display
    what: str
    run: engine.Measurement

    def __call__(self, files: Mapping[str, Path], inventory: Inventory) -> Record:
        """Measure a checkpoint."""
        self.display.fact("measuring", self.what)
        with self.display.measuring() as progress:
            return replace(self.run, progress=progress)(files, inventory)


def headline(display: Display, survey: Survey) -> None:
    """Say what the checkpoint is, before the long part begins."""
    inventory, facts = survey.inventory, survey.facts
    origin = inventory.origin
    parameters = f"{count(facts.parameters.total)} parameters"
    if facts.parameters.active not in (None, facts.parameters.total):
        parameters += f", {count(facts.parameters.active)} active"
    name = f"{origin.repo} @ {origin.revision}" if origin.repo else origin.name
    licence = facts.licence.label if facts.licence else "no licence declared"
    display.line(" · ".join((name, licence, facts.model_type or "unknown architecture", parameters)), style="bold")
    weight = size(sum(file.size for file in inventory.files))
    left_out = f"   {len(inventory.declared)} files of other weight sets left out" if inventory.declared else ""
    if origin.kind == "hub":
        display.fact("fetched", f"{weight}   {len(inventory.files)} files, every digest as advertised{left_out}")
    display.fact("hashed", f"{weight}   {len(inventory.files)} files, {len(inventory.tensors)} tensors")
    if survey.reused:
        again = size(sum(file.size for file in inventory.files if file.name in survey.reused))
        display.fact(
            "reused",
            f"{again}   {len(survey.reused)} files hashed by the interrupted run, their size, times and inode the same "
            "since; --no-cache hashes them again",
        )
    for finding in inventory.findings:
        display.fact(finding.severity, f"{finding.path}: {finding.detail} [{finding.id}]")


def outcome(display: Display, record: Record) -> None:
    """Say what a measurement came to, in a line for each thing that was asked for."""
    display.fact("measured", measured(record))
    if record.sensitivity:
        display.fact("trials", trials(record))
    if record.deployed is not None:
        display.fact("deployed", ordinary(record.deployed))


def measured(record: Record) -> str:
    """Say with what a record was measured, and how much of the checkpoint it reached."""
    coverage = record.coverage
    reached = f" · {coverage.experts_reached} of {coverage.experts} experts reached" if coverage.experts else ""
    return (
        f"{record.runtime.precision} · {record.runtime.device} · {record.positions:,} positions · "
        f"{coverage.layers} layers{reached}"
    )


def trials(record: Record) -> str:
    """Say how sharp a record is by its trials of single weights; it has at least one."""
    factors = [flip.error / SKETCH_LIMIT for flip in record.sensitivity]
    seen = sum(factor > 1 for factor in factors)
    return (
        f"{seen} of {len(factors)} single weights moved by one unit in the last place show, "
        f"the least of them {min(factors):.1e} times above the limit"
    )


def ordinary(deployed: Deployed) -> str:
    """Say how far the ordinary path in a narrow type is from the record, or why nobody knows."""
    where = f"{deployed.dtype} on {deployed.device}"
    if deployed.distance is None:
        return f"{where}: left out, {deployed.reason}"
    found = deployed.distance
    return (
        f"{where}: KL {found.kl_mean:.1e} mean, {found.kl_largest:.1e} at most; same likeliest token at "
        f"{found.top1_agreement:.1%} of positions; log-probabilities differ by up to {found.largest_difference:.1e}"
    )


def comparison(item: Compared) -> str:
    """Say what a comparison with a base showed, and from which numbers."""
    name = f"{item.origin.repo}@{item.origin.revision}" if item.origin.repo else item.origin.name
    told = f"{name}: {item.outcome} · {item.shared / max(item.size, 1):.1%} of the bytes are its own"
    if item.sketches is None:
        return f"{told} · no sketches to compare"
    near = item.sketches.near / max(item.sketches.elements, 1)
    return f"{told} · {near:.1%} of the weights near, distance {item.sketches.distance:.2g} ± {item.sketches.error:.1g}"
