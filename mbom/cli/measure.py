"""`mbom measure`."""

from contextlib import ExitStack
from pathlib import Path

import click

from mbom import engine
from mbom import measure as verb
from mbom.cli import folders, options
from mbom.cli.console import Display, shown
from mbom.cli.summary import Announced, headline, outcome
from mbom.errors import EngineError
from mbom.inventory.record import model_object
from mbom.quantities import size
from mbom.source import open_source
from mbom.strictjson import Json


@click.command()
@click.argument("checkpoint")
@click.option("--challenge", metavar="NONCE", help="Measure under a nonce: what another person made up just now.")
@click.option("-o", "--output", type=options.PATH, help="The record to write, a folder. [default: NAME.record]")
@click.option("--force", is_flag=True, help="Replace a record that exists.")
@options.sensitivity
@options.deployed
@options.device
@options.resume
@options.time_limit
@options.as_json
@options.quiet
def measure(
    *,
    checkpoint: str,
    challenge: str | None,
    output: Path | None,
    force: bool,
    sensitivity: int,
    deployed: str | None,
    device: engine.Device,
    resume: bool,
    time_limit: float | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Measure what a checkpoint computes and write the record, unsigned.

    CHECKPOINT is a folder, a snapshot folder of the hub's cache, or org/name@revision. The record is a folder with
    behaviour.json and behaviour.safetensors; `mbom compare` holds two of them against each other.

    Under a challenge, the ends of the prompts and all projections depend on the nonce and on the checkpoint, so that
    nobody can have prepared the answer. Only records of one challenge, of the same files, can be compared.

    \b
    Examples:
      mbom measure ./models/mine
      mbom measure ./models/mine --challenge 5f0c7a12e9 -o answer.record
    """
    nonce = options.nonce(challenge)
    if (missing := engine.available()) is not None:
        raise EngineError(missing)
    display = Display(quiet=quiet)
    what = "the checkpoint on the fixed prompts" if nonce is None else f"the checkpoint under the challenge {nonce!r}"
    with display.scanning() as on_scan, ExitStack() as until:
        run = engine.Measurement(
            device=device,
            challenge=nonce,
            sensitivity=sensitivity,
            deployed=deployed,
            states=folders.states(),
            resume=resume,
            time_limit=time_limit,
            until=until,
        )
        source = open_source(checkpoint, on_bytes=on_scan.fetched)
        folder = output or Path(f"{source.origin.name}.record")
        done = verb.measure(
            source,
            folder,
            run=Announced(display=display, what=what, run=run),
            force=force,
            on_scan=on_scan,
            on_survey=lambda survey: headline(display, survey),
        )
    outcome(display, done.record)
    display.line(f"{shown(folder)}   {size(done.size)}, of model {done.inventory.digest}")
    display.line(f"next: mbom compare {shown(folder)} OTHER_RECORD")
    if as_json:
        display.json(_written(folder, done))
    else:
        display.data(str(folder))


def _written(folder: Path, done: verb.Measured) -> dict[str, Json]:
    record = done.record
    return {
        "record": str(folder),
        "model": model_object(done.inventory.origin, done.inventory.digest),
        "challenge": record.challenge,
        "positions": record.positions,
        "coverage": record.coverage.to_dict(),
        "runtime": record.runtime.to_dict(),
    }
