"""`mbom lock check`."""

from collections.abc import Sequence
from pathlib import Path

import click
from rich.text import Text

from mbom.cli import options, trust
from mbom.cli.console import COLOURS, Display, plain
from mbom.cli.lock import printing
from mbom.errors import StorageError, UnavailableError, UsageError
from mbom.lockfile import Entry, Lock, read
from mbom.lockfile.checking import SCHEMA, Checkup, exit_code
from mbom.lockfile.checking import check as check_entries
from mbom.source import Source, open_source

_OUTCOMES = {0: "as locked", 1: "refused", 3: "incomplete"}
_STYLES = {0: "bold green", 1: "bold red", 3: "bold yellow"}


@click.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
@printing.lock_file
@click.option(
    "--checkpoint",
    "checkpoints",
    multiple=True,
    metavar="NAME=PATH",
    help="Hold these files against the bundle of NAME too: a folder, or org/name@revision.",
)
@trust.named_signers
@options.as_json
@options.quiet
@click.pass_context
def check(
    context: click.Context,
    *,
    names: tuple[str, ...],
    lock_file: Path,
    checkpoints: tuple[str, ...],
    trusted: trust.Trusted,
    as_json: bool,
    quiet: bool,
) -> None:
    """Check that every bundle is there and is the locked one; with a signer, that it verifies.

    Without a --key or an --identity no signature is checked: digests tell that a bundle is the one that was verified
    when it was locked, which is worth as much as the lock file is. With them, every model that is checked must be
    signed so; NAME picks those that are. Exit status: 0 as locked, 1 not, 3 something could not be checked, or there
    is nothing to check.

    \b
    Examples:
      mbom lock check
      mbom lock check openai/gpt-oss-20b --key release.pub --checkpoint openai/gpt-oss-20b=./models/gpt-oss-20b
    """
    display = Display(quiet=quiet)
    entries = _picked(_read(lock_file), names, lock_file)
    verifier = trusted.verifier() if trusted.given else None
    with display.scanning() as on_scan:
        checkups = check_entries(
            entries,
            lock_file.absolute().parent,
            verifier=verifier,
            checkpoints=_sources(checkpoints, entries),
            on_scan=on_scan,
        )
    status = exit_code(checkups)
    if as_json:
        document = {
            "schema": SCHEMA,
            "lock": str(lock_file),
            "outcome": _OUTCOMES[status],
            "exit_code": status,
            "signatures": verifier is not None,
            "models": [checkup.to_dict() for checkup in checkups],
        }
        display.json(document)
    else:
        _show(display, checkups, signatures=verifier is not None)
    context.exit(status)


def _read(path: Path) -> Lock:
    lock = read(path)
    if lock is None:
        raise StorageError(f"{path}: no such lock file; `mbom lock add BUNDLE` makes one, --lock names another")
    if not lock.entries:
        raise UnavailableError(f"{path}: no model is locked, so there is nothing to check; `mbom lock add BUNDLE`")
    return lock


def _picked(lock: Lock, names: Sequence[str], path: Path) -> tuple[Entry, ...]:
    if not names:
        return lock.entries
    for name in names:
        if lock.get(name) is None:
            raise UsageError(f"{ascii(name)[1:-1]} is not locked in {path}")
    return tuple(entry for entry in lock.entries if entry.name in names)


def _sources(given: Sequence[str], entries: Sequence[Entry]) -> dict[str, Source]:
    found: dict[str, Source] = {}
    for text in given:
        name, is_pair, path = text.partition("=")
        if not is_pair or not path:
            raise UsageError(f"--checkpoint is {ascii(text)[:120]}, it must be NAME=PATH")
        if name not in {entry.name for entry in entries}:
            raise UsageError(f"--checkpoint is for {ascii(name)[1:-1][:120]}, which is not among the models to check")
        if name in found:
            raise UsageError(f"--checkpoint is given twice for {name}")
        found[name] = open_source(path)
    return found


def _show(display: Display, checkups: Sequence[Checkup], *, signatures: bool) -> None:
    for checkup in checkups:
        display.out.print(Text(plain(f"{checkup.entry.name}   {checkup.entry.source}"), style="bold"))
        for item in checkup.checks:
            line = (f"  {item.id:<10}", (item.outcome, COLOURS[item.outcome]), f"  {plain(item.detail)}")
            display.out.print(Text.assemble(*line))
    status = exit_code(checkups)
    wrong = sum(checkup.outcome != "verified" for checkup in checkups)
    models = f"{wrong} of " * bool(wrong) + ("1 model" if len(checkups) == 1 else f"{len(checkups):,} models")
    how = "signatures checked" if signatures else "by digest; no signature was checked, --key or --identity does that"
    display.out.print(Text(f"{_OUTCOMES[status].upper()}: {models}, {how}", style=_STYLES[status]))
