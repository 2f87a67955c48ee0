"""`mbom inspect`."""

from pathlib import Path

import click

from mbom import bom
from mbom.bom.affidavit import NOT_COMPARED
from mbom.bom.sections.licensing import restriction_line
from mbom.bom.sections.lineage import NOT_DECLARED
from mbom.cli import options
from mbom.cli.console import Display, count, plain
from mbom.facts import Facts, outline, survey
from mbom.facts.cache import KINDS
from mbom.facts.licences import Licensing
from mbom.facts.lineage import Base
from mbom.facts.producers import Producers
from mbom.inventory import Inventory
from mbom.inventory.findings import listed
from mbom.quantities import size
from mbom.source import FolderSource, open_source
from mbom.strictjson import Json

# How people read the numbers that are not plain.
_UNITS = {
    **dict.fromkeys(("bytes", "cache_per_token", "cache_at_full_context"), size),
    **dict.fromkeys(("parameters", "parameters_active", "parameters_by_block", "parameters_by_type"), count),
}


@click.command()
@click.argument("checkpoint")
@click.option("--all", "everything", is_flag=True, help="Take every copy of the weights, not only the loaded one.")
@click.option("--headers", is_flag=True, help="Read headers and small files of a folder only, no weights: no digest.")
@options.origins
@options.as_json
@options.quiet
@click.pass_context
def inspect(
    context: click.Context,
    *,
    checkpoint: str,
    everything: bool,
    headers: bool,
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
    if headers:
        seen = outline(FolderSource(checkpoint))
        described, findings = model(seen.inventory, seen.facts, producers) | {"digest": None}, seen.findings
    else:
        with display.scanning() as on_scan:
            source = open_source(checkpoint, on_bytes=on_scan.fetched)
            surveyed = survey(source, everything=everything, progress=on_scan)
        described, findings = model(surveyed.inventory, surveyed.facts, producers), surveyed.inventory.findings
    if as_json:
        found: list[Json] = [finding.to_dict() for finding in findings]
        display.json({"model": described, "findings": found})
    else:
        for label, value in described.items():
            display.data(plain(f"{label:<21} {_cell(label, value)}"))
        display.findings(findings)
    context.exit(1 if any(finding.severity == "error" for finding in findings) else 0)


def model(inventory: Inventory, facts: Facts, producers: Producers) -> dict[str, Json]:
    """Return what a checkpoint is, as JSON: identity, facts as declared, counts as computed."""
    maker = producers.of(bom.accounts(inventory, facts.lineage)[0])
    architecture, parameters, memory = facts.architecture, facts.parameters, facts.footprint
    return {
        "name": inventory.origin.name,
        "source": inventory.origin.kind,
        "repo": inventory.origin.repo,
        "revision": inventory.origin.revision,
        "digest": inventory.digest,
        "licence": facts.licence.label if facts.licence else None,
        "licence_detected": _detected(facts.licensing),
        "restrictions": [restriction_line(item) for item in facts.licensing.restrictions],
        "producer": maker.entity if maker else None,
        "producer_country": maker.country if maker else None,
        "base_models": [_base(base) for base in facts.lineage.bases],
        "datasets": [dataset.name for dataset in facts.lineage.datasets],
        "model_type": facts.model_type,
        "architectures": list(architecture.architectures),
        "quantisation": architecture.quantisation.method if architecture.quantisation else None,
        "modalities": list(architecture.modalities),
        "layers": architecture.layers,
        "layer_kinds": {kind: architecture.cache.number(kind) for kind in KINDS if architecture.cache.number(kind)},
        "attention_heads": architecture.heads,
        "key_value_heads": architecture.kv_heads,
        "experts": architecture.experts,
        "experts_per_token": architecture.experts_per_token,
        "shared_experts": architecture.shared_experts,
        "context_length": architecture.context_length,
        "vocabulary": architecture.vocabulary,
        "sliding_window": architecture.sliding_window,
        "rope": [rope.type for rope in architecture.rope if rope.type is not None],
        "parameters": parameters.total,
        "parameters_active": parameters.active,
        "parameters_by_block": dict(parameters.blocks),
        "parameters_by_type": dict(parameters.logical),
        "cache_per_token": memory.token,
        "cache_at_full_context": memory.sequence,
        "smallest_accelerators": memory.smallest,
        "tensors_digest": facts.tensors.structure,
        "files": len(inventory.files),
        "bytes": sum(file.size for file in inventory.files),
        "tensors": len(inventory.tensors),
        "declared_files": len(inventory.declared),
        **programs(facts),
    }


def programs(facts: Facts) -> dict[str, Json]:
    """Return what works like a program: tokenizer, chat templates, code and pickles."""
    tokenizer, code = facts.tokenizer, facts.code
    size = f"{tokenizer.base:,} tokens and {tokenizer.added:,} added" if tokenizer.base is not None else None
    described = [part for part in (tokenizer.declared, tokenizer.kind, size) if part]
    return {
        "tokenizer": ", ".join(described) or None,
        "tokenizer_digest": tokenizer.vocabulary_sha256,
        "chat_templates": [
            f"{template.file} {template.name} sha256:{template.sha256}"
            + (f" [{', '.join(template.findings)}]" if template.findings else "")
            for template in facts.chat_templates
        ],
        "remote_code": list(facts.remote_code),
        "openness": facts.openness.label,
        "code": [f"{name} ({kind})" for name, kind in code.files],
        "executables": [f"{name} ({kind})" for name, kind in code.executables],
        "pickles": [
            f"{pickle.file} ({pickle.harmless} harmless globals, {len(pickle.globals)} others"
            + ("" if pickle.whole else ", not followed to its end")
            + ")"
            for pickle in code.pickles
        ],
    }


def _detected(licensing: Licensing) -> list[Json]:
    """Return what each licence or policy text is, and how faithfully."""
    known: list[Json] = [
        f"{match.key} ({match.how}, {text.file})" for text in licensing.texts for match in text.matches
    ]
    return known + [f"unknown ({text.file})" for text in licensing.texts if not text.matches]


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
    if value is None or value in ([], {}):
        return "-"
    if isinstance(value, list):
        return listed([_item(item) for item in value])
    if isinstance(value, dict):
        return ", ".join(f"{name} {_cell(label, item)}" for name, item in value.items())
    if isinstance(value, int):
        return _UNITS.get(label, "{:,}".format)(value)
    return str(value)


def _item(value: Json) -> str:
    """Return one item of a list as people read it: a base model by its name and what is known of the relation."""
    if not isinstance(value, dict):
        return str(value)
    relation = value["relation"]
    declared = " and ".join(str(item) for item in relation) if isinstance(relation, list) and relation else NOT_DECLARED
    return f"{value['name']} ({declared}, {value['verified']})"
