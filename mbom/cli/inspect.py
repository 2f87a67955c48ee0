"""`mbom inspect`."""

import json

import click

from mbom.cli import options
from mbom.cli.console import Display, count, size
from mbom.inventory import Survey, survey
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
        surveyed = survey(open_source(checkpoint), everything=everything, progress=on_scan)
    findings = surveyed.inventory.findings
    if as_json:
        found: list[Json] = [finding.to_dict() for finding in findings]
        display.data(json.dumps({"model": model(surveyed), "findings": found}, indent=1, ensure_ascii=False))
    else:
        for label, value in model(surveyed).items():
            display.data(f"{label:<22} {_cell(label, value)}")
        display.findings(findings)
    context.exit(1 if any(finding.severity == "error" for finding in findings) else 0)
