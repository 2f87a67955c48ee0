"""`mbom bom export`."""

from pathlib import Path

import click

from mbom import strictjson
from mbom.bom.reading import read_document
from mbom.bom.spec16 import DROPPED, REWRITTEN, to_1_6
from mbom.cli import options
from mbom.cli.console import Display, shown
from mbom.errors import StorageError, UsageError


@click.command()
@click.argument("bom", type=options.PATH)
@click.option("-o", "--output", type=options.PATH, required=True, help="The file to write.")
@click.option("--spec", type=click.Choice(["1.6"]), help="Write CycloneDX of this version.")
@options.quiet
def export(*, bom: Path, output: Path, spec: str | None, quiet: bool) -> None:
    """Write a BOM in another form.

    BOM is a CycloneDX 1.7 file in JSON, or a bundle. What CycloneDX 1.6 has no place for is dropped, and properties of
    the document say what that was. A file that exists is replaced.

    \b
    Example:
      mbom bom export --spec 1.6 model.mbom -o model.1.6.cdx.json
    """
    display = Display(quiet=quiet)
    if spec is None:
        raise UsageError("nothing says in which form to export; give --spec 1.6")
    _, document = read_document(bom)
    converted = to_1_6(document)
    try:
        output.write_bytes(strictjson.pretty(converted))
    except OSError as error:
        raise StorageError(f"{output}: {error.strerror}") from error
    properties = converted["properties"]
    assert isinstance(properties, list)
    for item in properties:
        if isinstance(item, dict) and item.get("name") in (DROPPED, REWRITTEN):
            display.fact(str(item["name"]).rpartition(":")[2], str(item["value"]))
    display.data(shown(output))
