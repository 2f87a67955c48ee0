"""`mbom bom form`."""

from pathlib import Path

import click

from mbom.bom.coverage.form import gpai_form
from mbom.bom.format.reading import read_document
from mbom.cli import options
from mbom.cli.console import Display, shown
from mbom.cli.output import save
from mbom.errors import UsageError


@click.command("form")
@click.argument("bom", type=options.PATH)
@click.option("--gpai", is_flag=True, help="The EU's Model Documentation Form for general-purpose AI models.")
@click.option("-o", "--output", type=options.PATH, help="Where to write it. [default: standard output]")
@click.option("--force", is_flag=True, help="Replace the file that is there.")
@options.quiet
def form_command(*, bom: Path, gpai: bool, output: Path | None, force: bool, quiet: bool) -> None:
    """Write a regulator's form as Markdown, filled in as far as a BOM goes.

    BOM is a bundle or a CycloneDX file of any make in JSON. What the BOM does not say is "not disclosed"; the
    provider completes and signs the form.

    \b
    Example:
      mbom bom form --gpai gpt-oss-20b.mbom -o model-documentation.md
    """
    if not gpai:
        raise UsageError("which form? --gpai is the one that mbom knows")
    display = Display(quiet=quiet)
    text = gpai_form(*read_document(bom))
    if output is None:
        display.data(text)
        return
    save(output, text.encode(), force=force)
    display.line(f"{shown(output)}: to be completed and signed by the provider")
