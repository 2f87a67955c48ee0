"""`mbom bom coverage`."""

from pathlib import Path

import click

from mbom.bom.coverage import KEYS, Answer, Coverage, coverage
from mbom.bom.format.reading import read_document
from mbom.cli import options
from mbom.cli.console import Display, plain
from mbom.digest import sha256
from mbom.strictjson import Json

NAME_WIDTH = 44  # columns; longer names push their values to the right
SHOWN = 6  # values of one element; --json has them all


@click.command("coverage")
@click.argument("bom", type=options.PATH)
@click.option("--standard", "key", type=click.Choice(KEYS), help="One list only. [default: all]")
@options.as_json
@options.quiet
def coverage_command(*, bom: Path, key: str | None, as_json: bool, quiet: bool) -> None:
    """Show what a BOM says of each thing that regulators ask for.

    BOM is a bundle or a CycloneDX file of any make in JSON. The lists are the G7's for AI (g7), those of CISA (cisa)
    and NTIA (ntia), and the EU's Model Documentation Form (gpai). Each element is verified (mbom computed it, or the
    BOM shows it), declared (somebody's word), not disclosed, or not applicable. Exit status 0, whatever is missing.

    \b
    Example:
      mbom bom coverage gpt-oss-20b.mbom --standard g7
    """
    display = Display(quiet=quiet)
    data, document = read_document(bom)
    found = coverage(document, (key,) if key else KEYS)
    if as_json:
        about: dict[str, Json] = {"sha256": sha256(data), "specVersion": document["specVersion"]}
        told: Json = {"bom": about, "standards": [item.to_dict() for item in found]}
        display.json(told)
    else:
        for number, item in enumerate(found):
            show(display, item, first=number == 0)
    display.line("The BOM's signature is not checked here: `mbom verify` does that for a bundle.", "dim")


def show(display: Display, item: Coverage, *, first: bool) -> None:
    """Print a list: an element a line, and the totals."""
    held = item.standard
    if not first:
        display.data("")
    display.data(f"{held.name}, {held.version} ({held.key})")
    width = max(len(covered.element.name) for covered in item.elements)
    group = ""
    for covered in item.elements:
        element, answer = covered.element, covered.answer
        if element.group != group:
            group = element.group
            display.data(f" {group}")
        told = " - ".join(part for part in (_values(answer), answer.reason) if part)
        display.data(_one_line(f"  {answer.status:<14}  {element.name:<{min(width, NAME_WIDTH)}}  {told}"))
    display.data(f" {item.total}")


def _values(answer: Answer) -> str:
    values = [datum.value for datum in answer.data[:SHOWN]] if answer.disclosed else []
    if answer.disclosed and len(answer.data) > SHOWN:
        values.append(f"and {len(answer.data) - SHOWN:,} more")
    return "; ".join(values)


def _one_line(text: str) -> str:
    """Return a line that quotes a document, without anything that could break out of it."""
    return plain(text.replace("\r", r"\r").replace("\n", r"\n")).rstrip()
