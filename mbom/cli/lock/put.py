"""`mbom lock add` and `mbom lock update`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import click

from mbom import engine
from mbom import verify as verb
from mbom.cli import clock, folders, options, trust
from mbom.cli.console import Display
from mbom.cli.lock import printing
from mbom.cli.options import Command, gathered
from mbom.cli.summary import Announced
from mbom.errors import UsageError
from mbom.lockfile import Lock, changes, read
from mbom.lockfile import update as update_file
from mbom.lockfile.locking import entry_of, put
from mbom.source import open_source
from mbom.verdict import Verdict


@dataclass(frozen=True, kw_only=True)
class _Candidate:
    """A bundle that somebody wants to lock, and how it is to be verified."""

    bundle: Path
    checkpoint: str | None
    behaviour: bool
    trusted: trust.Trusted
    lock_file: Path
    force: bool
    run: engine.Measurement

    def verify(self, display: Display) -> Verdict:
        """Verify it as `mbom verify` does."""
        if self.behaviour and self.checkpoint is None:
            raise UsageError("--behaviour needs a CHECKPOINT to measure")
        verifier = self.trusted.verifier()
        measure = Announced(display=display, what="the checkpoint", run=self.run) if self.behaviour else None
        with display.scanning() as on_scan:
            source = open_source(self.checkpoint, on_bytes=on_scan.fetched) if self.checkpoint is not None else None
            expected = verb.Expectation()
            if source is not None and source.origin.kind == "hub":  # whoever names a repository means that one
                expected = verb.Expectation(repo=source.origin.repo, revision=source.origin.revision)
            return verb.verify(
                self.bundle, verifier=verifier, checkpoint=source, measure=measure, expected=expected, on_scan=on_scan
            )


def _candidate(command: Command) -> Command:
    """Add what says which bundle it is and how it is verified, which the command takes as one: ``candidate``."""
    added = (
        click.argument("bundle", type=options.PATH),
        click.argument("checkpoint", required=False),
        printing.lock_file,
        trust.signers,
        click.option("--behaviour", is_flag=True, help="Run the behaviour pass on CHECKPOINT, and compare."),
        options.device,
        options.resume,
        options.time_limit,
        click.option(
            "--force-same-revision",
            "force",
            is_flag=True,
            help="Lock a commit that is locked with other files already.",
        ),
    )

    def told(values: dict[str, Any]) -> _Candidate:
        run = {name: values.pop(name) for name in ("device", "resume", "time_limit")}
        return _Candidate(run=engine.Measurement(states=folders.states(), **run), **values)

    names = ("bundle", "checkpoint", "lock_file", "trusted", "behaviour", "device", "resume", "time_limit", "force")
    return gathered(command, added, names, "candidate", told)


@click.command()
@_candidate
@click.option("--as", "name", metavar="NAME", help="What to call the model. [default: its repository]")
@options.as_json
@options.quiet
@click.pass_context
def add(context: click.Context, *, candidate: _Candidate, name: str | None, as_json: bool, quiet: bool) -> None:
    """Verify a bundle, and lock the model that it is of.

    BUNDLE lies in the folder of the lock file or below. CHECKPOINT is held against it as `mbom verify` does. Nothing is
    locked unless everything that was asked for could be checked, and holds. Exit status: 0 locked, 1 refused, 3
    something could not be checked.

    \b
    Examples:
      mbom lock add evidence/gpt-oss-20b.mbom --key release.pub
      mbom lock add mine.mbom ./mine --as mine --identity me@example.org --issuer https://accounts.google.com
    """

    def check(lock: Lock, told: str) -> None:
        if lock.get(told) is not None:
            raise UsageError(f"{told} is locked already; `mbom lock update {told} BUNDLE` replaces it")

    context.exit(_put(candidate, name, check, Display(quiet=quiet), as_json=as_json))


@click.command()
@click.argument("name")
@_candidate
@options.as_json
@options.quiet
@click.pass_context
def update(context: click.Context, *, name: str, candidate: _Candidate, as_json: bool, quiet: bool) -> None:
    """Verify a bundle, and lock it in place of the one that NAME has.

    As `mbom lock add` for a model that is locked; what changes is printed. The same commit with other files is refused:
    commits do not change, so one of both bundles is wrong about it.

    \b
    Example:
      mbom lock update openai/gpt-oss-20b evidence/gpt-oss-20b.mbom --key release.pub
    """

    def check(lock: Lock, told: str) -> None:
        if lock.get(told) is None:
            raise UsageError(f"{ascii(told)[1:-1]} is not locked; `mbom lock add` does that")

    context.exit(_put(candidate, name, check, Display(quiet=quiet), as_json=as_json))


class _Check(Protocol):
    def __call__(self, lock: Lock, told: str) -> None:
        """Refuse a name that is, or is not, in the lock file."""


def _put(candidate: _Candidate, name: str | None, check: _Check, display: Display, *, as_json: bool) -> int:
    path = candidate.lock_file
    if name is not None:
        check(read(path) or Lock(), name)  # before the long part
    verdict = candidate.verify(display)
    if verdict.outcome != "verified":
        printing.show(display, path, (), verdict=verdict, as_json=as_json)
        return verdict.exit_code
    today = clock.created().date()
    entry = entry_of(candidate.bundle, verdict, name=name, folder=path.absolute().parent, today=today)

    def change(lock: Lock) -> Lock:
        check(lock, entry.name)
        return put(lock, entry, force_same_revision=candidate.force)

    old, new = update_file(path, change)
    printing.show(display, path, changes(old, new), verdict=verdict, as_json=as_json)
    return 0
