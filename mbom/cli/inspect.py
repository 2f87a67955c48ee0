"""`mbom inspect`."""

import json

import click

from mbom.cli import options
from mbom.cli.console import Display, count, plain, size
from mbom.facts import Facts, Survey, survey
from mbom.inventory.findings import listed
from mbom.source import open_source
from mbom.strictjson import Json


@click.command()
@click.argument("checkpoint")
@click.option("--all", "everything", is_flag=True, help="Take every copy of the weights, not only the loaded one.")
@options.as_json
@options.quiet
@click.pass_context
def inspect(context: click.Context, *, checkpoint: str, everything: bool, as_json: bool, quiet: bool) -> None:
    """Show what a checkpoint is and what is suspicious about it, and write nothing.

    CHECKPOINT is a folder or org/name[@revision]. Exit status: 0, or 1 when a finding is an error.

    \b
    Example:
      mbom inspect ./models/gpt-oss-20b --json
    """
    display = Display(quiet=quiet)
    with display.scanning() as on_scan:
        surveyed = survey(open_source(checkpoint, on_bytes=on_scan.fetched), everything=everything, progress=on_scan)
    findings = surveyed.inventory.findings
    if as_json:
        found: list[Json] = [finding.to_dict() for finding in findings]
        display.data(json.dumps({"model": model(surveyed), "findings": found}, indent=1, ensure_ascii=False))
    else:
        for label, value in model(surveyed).items():
            display.data(plain(f"{label:<20} {_cell(label, value)}"))
        display.findings(findings)
    context.exit(1 if any(finding.severity == "error" for finding in findings) else 0)


def model(surveyed: Survey) -> dict[str, Json]:
    """Return what a checkpoint is, as JSON: identity, facts as declared, counts as computed."""
    inventory, facts = surveyed.inventory, surveyed.facts
    architecture, parameters = facts.architecture, facts.parameters
    return {
        "name": inventory.origin.name,
        "source": inventory.origin.kind,
        "repo": inventory.origin.repo,
        "revision": inventory.origin.revision,
        "digest": inventory.digest,
        "licence": facts.licence.label if facts.licence else None,
        "base_models": list(facts.card.base_models),
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
        "code": [f"{name} ({kind})" for name, kind in code.files],
        "executables": [f"{name} ({kind})" for name, kind in code.executables],
        "pickles": [
            f"{pickle.file} ({pickle.harmless} harmless globals, {len(pickle.globals)} others"
            + ("" if pickle.whole else ", not followed to its end")
            + ")"
            for pickle in code.pickles
        ],
    }


def _cell(label: str, value: Json) -> str:
    """Return a value as people read it."""
    if value is None or value == []:
        return "-"
    if isinstance(value, list):
        return listed([str(item) for item in value])
    if isinstance(value, int):
        return {"bytes": size, "parameters": count, "parameters_active": count}.get(label, "{:,}".format)(value)
    return str(value)
