"""`mbom verify`."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import click

from mbom import engine
from mbom import verify as verb
from mbom.cli import folders, options, trust
from mbom.cli.console import Display
from mbom.digest import GIT_HEX
from mbom.errors import UsageError
from mbom.source import open_source


@click.command()
@click.argument("bundle", type=options.PATH)
@click.argument("checkpoint", required=False)
@click.option("--key", type=options.PATH, help="The signer's public key in PEM. [default: your own]")
@click.option("--behaviour", is_flag=True, help="Run the behaviour pass again and compare.")
@click.option("--repo", metavar="ORG/NAME", help="Demand this repository.")
@click.option("--revision", metavar="HEX", help="Demand this commit, 40 hex digits.")
@click.option("--min-time", metavar="DATE", help="Demand an attestation made at this UTC date or later: 2026-11-02.")
@options.device
@options.resume
@options.time_limit
@options.as_json
@options.quiet
@click.pass_context
def verify(
    context: click.Context,
    *,
    bundle: Path,
    checkpoint: str | None,
    key: Path | None,
    behaviour: bool,
    repo: str | None,
    revision: str | None,
    min_time: str | None,
    device: engine.Device,
    resume: bool,
    time_limit: float | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Check a bundle, and a checkpoint against it.

    CHECKPOINT is a folder, a snapshot folder of the hub's cache, or org/name@revision. Without it, only the bundle
    itself is checked. Exit status: 0 verified, 1 refused, 3 something could not be checked.

    \b
    Example:
      mbom verify gpt-oss-20b.mbom ./models/gpt-oss-20b --key release.pub --behaviour
    """
    if behaviour and checkpoint is None:
        raise UsageError("--behaviour needs a CHECKPOINT to measure")
    expected = _expectation(repo, revision, min_time)
    display = Display(quiet=quiet)
    verifier = trust.verifier(key)
    with display.scanning() as on_scan, display.measuring() as on_measure:
        source = open_source(checkpoint, on_bytes=on_scan.fetched) if checkpoint is not None else None
        if source is not None and source.origin.kind == "hub":
            # Whoever names a repository means that one: the bundle must be about it, and about that commit.
            origin = source.origin
            expected = replace(
                expected, repo=expected.repo or origin.repo, revision=expected.revision or origin.revision
            )
        verdict = verb.verify(
            bundle,
            verifier=verifier,
            checkpoint=source,
            measure=engine.Measurement(
                device=device, states=folders.states(), resume=resume, progress=on_measure, time_limit=time_limit
            )
            if behaviour
            else None,
            expected=expected,
            on_scan=on_scan,
        )
    if as_json:
        display.data(json.dumps(verdict.to_dict(), indent=1, ensure_ascii=False))
    else:
        display.verdict(verdict)
    context.exit(verdict.exit_code)


def _expectation(repo: str | None, revision: str | None, min_time: str | None) -> verb.Expectation:
    """Return what the options demand.

    Raises:
        UsageError: for a revision that is no full commit, or a date in another form.
    """
    if revision is not None and GIT_HEX.fullmatch(revision) is None:
        raise UsageError(f"--revision is {revision!r}, it must be a full commit of 40 lower-case hex digits")
    earliest = None
    if min_time is not None:
        try:
            earliest = datetime.strptime(min_time, "%Y-%m-%d").replace(tzinfo=UTC)
        except ValueError as error:
            raise UsageError(f"--min-time is {min_time!r}, it must be a date such as 2026-11-02") from error
    return verb.Expectation(repo=repo, revision=revision, min_time=earliest)
