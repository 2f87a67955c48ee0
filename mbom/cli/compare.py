"""`mbom compare`."""

from itertools import groupby
from pathlib import Path

import click

from mbom import bundle
from mbom.behaviour.compare import Comparison, Verdict
from mbom.behaviour.compare import compare as compared
from mbom.behaviour.differences import WeightDifference
from mbom.behaviour.record import Record
from mbom.cli import options
from mbom.cli.console import Display, plain, shown

SHOWN = 20  # weights that the table has a line for; --json lists them all
NAMED = 4  # experts or tokens that a line of the table spells out

EXIT: dict[Verdict, int] = {"match": 0, "mismatch": 1, "invalid": 1, "inconclusive": 3, "not measured": 3}


@click.command()
@click.argument("reference", type=options.PATH)
@click.argument("measured", type=options.PATH)
@options.as_json
@options.quiet
@click.pass_context
def compare(context: click.Context, *, reference: Path, measured: Path, as_json: bool, quiet: bool) -> None:
    """Compare two behaviour records, and say which weights differ and by how much.

    REFERENCE and MEASURED are records that `mbom measure` wrote, or bundles that hold one, or .zip files of either.
    Signatures are not checked here, not even those of a bundle: that is `mbom verify`. Exit status: 0 match, 1 mismatch
    or invalid, 3 inconclusive.

    \b
    Examples:
      mbom compare mine.record theirs.record
      mbom compare gpt-oss-20b.mbom suspicious.record --json
    """
    display = Display(quiet=quiet)
    held = [(folder, bundle.read_record(folder)) for folder in (reference, measured)]
    for label, (folder, found) in zip(("reference", "measured"), held, strict=True):
        display.fact(label, f"{shown(folder)}   {_origin(found.record)}")
        if not found.alone:
            display.fact("", "a bundle, whose signatures are not checked here: `mbom verify` does that")
    outcome = compared(*(found.record for _, found in held))
    if as_json:
        display.json(outcome.to_dict())
    else:
        for line in _lines(outcome):
            display.data(plain(line))
    context.exit(EXIT[outcome.verdict])


def _origin(record: Record) -> str:
    asked = "fixed prompts" if record.challenge is None else f"challenge {record.challenge!r}"
    runtime = record.runtime
    return (
        f"model {record.model_digest[:12]}… · {asked} · {runtime.precision} · {runtime.device} · torch {runtime.torch}"
    )


def _lines(outcome: Comparison) -> list[str]:
    lines = _table(outcome.weights)
    if outcome.layer_errors:
        lines.append(f"residual stream, relative error by layer: {_by_layer(outcome.layer_errors)}")
    return [*lines, f"{outcome.verdict.upper()}: {outcome.detail}"]


def _table(weights: tuple[WeightDifference, ...]) -> list[str]:
    """Return a line for each weight that differs, in columns as wide as they need to be."""
    if not weights:
        return []
    rows = [("layer", "weight", "differs", "distance, relative to its norm")]
    for found in weights[:SHOWN]:
        layer = "-" if found.weight.layer is None else str(found.weight.layer)
        name = found.weight.name if found.weight.executed else f"{found.weight.name} (not executed)"
        rows.append((layer, name, _part(found), _distance(found)))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [f"{row[0]:>{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]:<{widths[2]}}  {row[3]}" for row in rows]
    if len(weights) > SHOWN:
        lines.append(f"and {len(weights) - SHOWN:,} more weights; --json lists them all")
    return lines


def _part(found: WeightDifference) -> str:
    if found.part is None:
        return "all of it" if found.of > 1 and found.count == found.of else "-"
    if found.count == found.of:
        return f"all {found.of:,} {found.part}s"
    named = ", ".join(str(index) for index in found.indices[:NAMED])
    more = f" and {found.count - NAMED:,} more" if found.count > NAMED else ""
    return f"{found.part}{'s' if found.count > 1 else ''} {named}{more} of {found.of:,}"


def _distance(found: WeightDifference) -> str:
    told = found.to_dict()  # where what is infinite is None
    if told["distance"] is None:
        return "more than can be told"
    return f"{found.distance.relative:.1e} ± {found.distance.error:.0e}"


def _by_layer(errors: tuple[float, ...]) -> str:
    """Join layers whose errors are of one order of magnitude: ``0-1: 0.0e+00, 2: 3.1e-07, 3-35: 9.4e-06``."""
    parts = []
    for _, group in groupby(enumerate(errors), key=lambda item: f"{item[1]:.0e}".partition("e")[2] if item[1] else ""):
        layers = list(group)
        first, last = layers[0][0], layers[-1][0]
        worst = max(error for _, error in layers)
        parts.append(f"{first}{f'-{last}' if last > first else ''}: {worst:.1e}")
    return ", ".join(parts)
