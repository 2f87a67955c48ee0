"""`mbom bom export`."""

from pathlib import Path

import click

from mbom import strictjson
from mbom.bom.format.reading import read_document
from mbom.bom.format.spec16 import DROPPED, REWRITTEN, to_1_6
from mbom.bom.spdx import export_spdx
from mbom.cli import options
from mbom.cli.console import Display, shown
from mbom.cli.output import save
from mbom.errors import UsageError
from mbom.strictjson import Json


@click.command()
@click.argument("bom", type=options.PATH)
@click.option("-o", "--output", type=options.PATH, required=True, help="The file to write.")
@click.option("--spec", type=click.Choice(["1.6"]), help="Write CycloneDX of this version.")
@click.option("--spdx", is_flag=True, help="Write SPDX 3.0.1 in JSON-LD, with its AI and dataset profiles.")
@click.option("--force", is_flag=True, help="Replace the file that is there.")
@options.quiet
def export(*, bom: Path, output: Path, spec: str | None, spdx: bool, force: bool, quiet: bool) -> None:
    """Write a BOM in another form.

    BOM is a bundle or a CycloneDX 1.7 file in JSON; --spdx takes an ML-BOM of any version and make. What CycloneDX 1.6
    has no place for is dropped, and properties of the document say what that was. SPDX keeps the properties of models
    as annotations and has no place for declarations and citations.

    \b
    Examples:
      mbom bom export --spec 1.6 model.mbom -o model.1.6.cdx.json
      mbom bom export --spdx model.mbom -o model.spdx.json
    """
    display = Display(quiet=quiet)
    if (spec is None) is not spdx:
        raise UsageError("one form is exported at a time, and none was named or two; give --spec 1.6 or --spdx")
    data, document = read_document(bom)
    converted = None if spdx else to_1_6(document)
    save(output, export_spdx(document, data) if converted is None else strictjson.pretty(converted), force=force)
    if converted is not None:
        _tell_losses(display, converted)
    display.data(shown(output))


def _tell_losses(display: Display, converted: dict[str, Json]) -> None:
    """Say what the conversion dropped or wrote in another way."""
    properties = converted["properties"]
    assert isinstance(properties, list)
    for item in properties:
        if isinstance(item, dict) and item.get("name") in (DROPPED, REWRITTEN):
            display.fact(str(item["name"]).rpartition(":")[2], str(item["value"]))
