"""`mbom identify`."""

from collections.abc import Callable
from pathlib import Path

import click

from mbom import bundle, engine
from mbom.behaviour.record import Record
from mbom.cli import folders, options
from mbom.cli.console import Display, plain
from mbom.cli.summary import Announced
from mbom.dossier import read_bundle
from mbom.errors import EngineError, UsageError
from mbom.identify import Candidate, Identification
from mbom.identify import identify as verb
from mbom.identify.known import is_bundle, known_bundles
from mbom.inventory import Inventory, scan
from mbom.source import open_source

SHOWN = 20  # candidates that the table has a line for; --json lists them all


@click.command()
@click.argument("model")
@click.option(
    "--against",
    type=options.PATH,
    multiple=True,
    required=True,
    metavar="BUNDLE",
    help="A bundle of a known model, or a folder of bundles; can be given again.",
)
@click.option("--record", type=options.PATH, metavar="FOLDER", help="The record that `mbom measure` wrote of MODEL.")
@click.option("--measure", is_flag=True, help="Run the behaviour pass on MODEL for its sketches.")
@options.device
@options.resume
@options.time_limit
@options.as_json
@options.quiet
@click.pass_context
def identify(
    context: click.Context,
    *,
    model: str,
    against: tuple[Path, ...],
    record: Path | None,
    measure: bool,
    device: engine.Device,
    resume: bool,
    time_limit: int | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Tell which known model MODEL is or is made from, whatever it is called and whoever publishes it.

    MODEL is a bundle, or a checkpoint: a folder, a snapshot folder of the hub's cache, or org/name@revision. Known
    models are bundles, whose signatures are not checked here: `mbom verify` does that. They are ranked by equal files,
    then by equal tensors, then by the sketches of the values that both compute with; how near sketches are is held
    against how near those of unrelated models would be. A checkpoint has sketches with --record or --measure only.

    Exit status: 0 identified, 3 not enough evidence: nothing is near, or two known models are equally near.

    \b
    Examples:
      mbom identify ./downloads/surely-original --against bundles/
      mbom identify suspicious.mbom --against llama.mbom --against gpt-oss-20b.mbom --json
    """
    display = Display(quiet=quiet)
    known = known_bundles(against)
    run = engine.Measurement(device=device, states=folders.states(), resume=resume, time_limit=time_limit)
    if is_bundle(Path(model)):
        if record is not None or measure:
            raise UsageError("--record and --measure are for a checkpoint; a bundle holds its own record")
        known = tuple(path for path in known if path.resolve() != Path(model).resolve())
        dossier = read_bundle(Path(model))
        inventory, measured = dossier.inventory, dossier.record
    else:
        inventory, measured = _checkpoint(model, record, run if measure else None, display)
    display.fact("comparing", f"with {len(known):,} known {'model' if len(known) == 1 else 'models'}")
    found = verb(model, inventory, measured, known)
    if as_json:
        display.json(found.to_dict())
    else:
        for line in _lines(found):
            display.data(plain(line))
    context.exit(found.exit_code)


def _checkpoint(
    model: str, record: Path | None, run: engine.Measurement | None, display: Display
) -> tuple[Inventory, Record | None]:
    """Hash a checkpoint, and read or compute its behaviour record where that is asked for."""
    if record is not None and run is not None:
        raise UsageError("--record and --measure exclude each other: one record is enough")
    if run is not None and (missing := engine.available()) is not None:
        raise EngineError(missing)
    held = bundle.read_record(record).record if record is not None else None
    with display.scanning() as on_scan:
        scanned = scan(open_source(model, on_bytes=on_scan.fetched), progress=on_scan)
        if run is not None:
            held = Announced(display=display, what="the checkpoint", run=run)(scanned.paths, scanned.inventory)
    return scanned.inventory, held


def _lines(found: Identification) -> list[str]:
    rows = [tuple(name for name, _ in _COLUMNS)]
    rows += [tuple(cell(candidate) for _, cell in _COLUMNS) for candidate in found.candidates[:SHOWN]]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    lines = ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    if len(found.candidates) > SHOWN:
        lines.append(f"and {len(found.candidates) - SHOWN:,} more; --json lists them all")
    return [*lines, f"{found.outcome.upper()}: {found.reason}"]


def _tensors(candidate: Candidate) -> str:
    compared = candidate.compared
    renamed = f" + {compared.moved:,} renamed" if compared.moved else ""
    return f"{compared.equal:,}{renamed} of {compared.tensors:,}"


def _distance(candidate: Candidate) -> str:
    sketches = candidate.compared.sketches
    if sketches is None or not sketches.compared:
        return "-"
    return f"{sketches.distance:.2g} ± {sketches.error:.1g}"


def _chance(candidate: Candidate) -> str:
    found = candidate.nearness
    if found is None:
        return "-"
    # What is beyond is a matter of how the last bits are rounded.
    return "below 1e-99" if found.chance < 1e-99 else f"{found.chance:.1g}"


_COLUMNS: tuple[tuple[str, Callable[[Candidate], str]], ...] = (
    ("outcome", lambda candidate: candidate.outcome),
    ("bytes", lambda candidate: f"{candidate.share:.1%}"),
    ("tensors", _tensors),
    ("distance", _distance),
    ("by chance", _chance),
    ("known model", lambda candidate: f"{candidate.label} ({candidate.name})"),
)
