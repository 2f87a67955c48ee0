"""`mbom inspect`."""

import json
from pathlib import Path

import click

from mbom import bom
from mbom.bom.affidavit import NOT_COMPARED
from mbom.bom.lineage import NOT_DECLARED
from mbom.cli import options
from mbom.cli.console import Display, count, plain, size
from mbom.facts import Survey, survey
from mbom.facts.lineage import Base
from mbom.facts.producers import Producers
from mbom.source import open_source
from mbom.strictjson import Json


@click.command()
@click.argument("checkpoint")
@click.option("--all", "everything", is_flag=True, help="Take every copy of the weights, not only the loaded one.")
@options.origins
@options.as_json
@options.quiet
@click.pass_context
def inspect(
    context: click.Context,
    *,
    checkpoint: str,
    everything: bool,
    origins: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Show what a checkpoint is and what is suspicious about it, and write nothing.

    CHECKPOINT is a folder or org/name[@revision]. Exit status: 0, or 1 when a finding is an error.

    \b
    Example:
      mbom inspect ./models/gpt-oss-20b --json
    """
    display = Display(quiet=quiet)
    producers = options.producers(origins)
    with display.scanning() as on_scan:
        surveyed = survey(open_source(checkpoint, on_bytes=on_scan.fetched), everything=everything, progress=on_scan)
    findings = surveyed.inventory.findings
    if as_json:
        found: list[Json] = [finding.to_dict() for finding in findings]
        display.data(json.dumps({"model": model(surveyed, producers), "findings": found}, indent=1, ensure_ascii=False))
    else:
        for label, value in model(surveyed, producers).items():
            display.data(plain(f"{label:<20} {_cell(label, value)}"))
        display.findings(findings)
    context.exit(1 if any(finding.severity == "error" for finding in findings) else 0)


def model(surveyed: Survey, producers: Producers) -> dict[str, Json]:
    """Return what a checkpoint is, as JSON: identity, facts as declared, counts as computed."""
    inventory, facts = surveyed.inventory, surveyed.facts
    maker = producers.of(bom.accounts(inventory, facts.lineage)[0])
    architecture, parameters = facts.architecture, facts.parameters
    return {
        "name": inventory.origin.name,
        "source": inventory.origin.kind,
        "repo": inventory.origin.repo,
        "revision": inventory.origin.revision,
        "digest": inventory.digest,
        "licence": facts.licence.label if facts.licence else None,
        "producer": maker.entity if maker else None,
        "producer_country": maker.country if maker else None,
        "base_models": [_base(base) for base in facts.lineage.bases],
        "datasets": [dataset.name for dataset in facts.lineage.datasets],
        "model_type": facts.model_type,
        "architectures": list(architecture.architectures),
        "quantisation": architecture.quantisation.method if architecture.quantisation else None,
        "layers": architecture.layers,
        "experts": architecture.experts,
        "experts_per_token": architecture.experts_per_token,
        "context_length": architecture.context_length,
        "vocabulary": architecture.vocabulary,
        "parameters": parameters.total,
        "parameters_active": parameters.active,
        "files": len(inventory.files),
        "bytes": sum(file.size for file in inventory.files),
        "tensors": len(inventory.tensors),
        "declared_files": len(inventory.declared),
        "remote_code": list(facts.remote_code),
    }


def _base(base: Base) -> Json:
    """Return a base model as it is declared; nothing has compared it."""
    return {
        "name": base.name,
        "relation": list(base.relations),
        "declared_in": [str(place) for place in base.places],
        "verified": NOT_COMPARED,
    }


def _cell(label: str, value: Json) -> str:
    """Return a value as people read it."""
    if value is None or value == []:
        return "-"
    if isinstance(value, list):
        return ", ".join(_item(item) for item in value)
    if isinstance(value, int):
        return {"bytes": size, "parameters": count, "parameters_active": count}.get(label, "{:,}".format)(value)
    return str(value)


def _item(value: Json) -> str:
    """Return one item of a list as people read it: a base model by its name and what is known of the relation."""
    if not isinstance(value, dict):
        return str(value)
    relation = value["relation"]
    declared = " and ".join(str(item) for item in relation) if isinstance(relation, list) and relation else NOT_DECLARED
    return f"{value['name']} ({declared}, {value['verified']})"
