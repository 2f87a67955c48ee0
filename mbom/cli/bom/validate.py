"""`mbom bom validate`."""

import json
from datetime import UTC, datetime
from pathlib import Path

import click

from mbom.bom.format.validate import PROBLEMS_LIMIT, validate_file
from mbom.cli import options
from mbom.cli.console import Display


@click.command()
@click.argument("bom", type=options.PATH)
@options.as_json
@options.quiet
@click.pass_context
def validate(context: click.Context, *, bom: Path, as_json: bool, quiet: bool) -> None:
    """Check anybody's BOM: strict JSON, the schema of its version, and what schemas cannot check.

    BOM is a bundle or a CycloneDX file of any make in JSON: 1.5, 1.6 or 1.7. Every problem is printed with its JSON
    pointer. Nothing is compared with a checkpoint; that is `mbom verify`. Exit status: 0, or 1 when the BOM is wrong;
    advice does not change it.

    \b
    Example:
      mbom bom validate model.cdx.json
    """
    display = Display(quiet=quiet)
    report = validate_file(bom, datetime.now(UTC))
    if as_json:
        display.data(json.dumps(report.to_dict(), indent=1))
    else:
        display.problems(report.problems)
        if report.cut:
            display.line(f"more than {PROBLEMS_LIMIT} problems, the rest is not shown")
        if report.valid:
            display.line(f"valid CycloneDX {report.version}")
    context.exit(0 if report.valid else 1)
