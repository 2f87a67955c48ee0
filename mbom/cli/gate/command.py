"""`mbom gate`."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import click
from rich.text import Text

from mbom import engine
from mbom.cli import clock, folders, options, output, trust
from mbom.cli.console import Display, json_text, plain, shown
from mbom.cli.gate.sides import Asked, Circumstances, Judged, of_commits, of_files
from mbom.cli.opening import opened
from mbom.cli.options import Command, gathered
from mbom.cli.summary import Announced
from mbom.diff.opening import kind
from mbom.errors import UsageError
from mbom.gate import FailOn, Review, gate_bundle, gate_checkpoint
from mbom.gate.outputs import Line, annotations, markdown, sarif, table
from mbom.lockfile import FILE_NAME
from mbom.policy import NAME

STYLES = {"plain": "", "good": "bold green", "bad": "bold red", "doubtful": "yellow", "dim": "dim"}

# What can be printed or written; nothing is made that nobody asked for.
DOCUMENTS: dict[str, Callable[[Review], str]] = {
    "json": lambda review: json_text(review.to_dict()),
    "markdown": markdown,
    "github": lambda review: "".join(f"{line}\n" for line in annotations(review)),
    "sarif": lambda review: json_text(sarif(review)),
}


@dataclass(frozen=True, kw_only=True)
class Files:
    """Where to write each document; None where one was not asked for."""

    json: Path | None
    markdown: Path | None
    github: Path | None
    sarif: Path | None

    def write(self, review: Review) -> None:
        """Write the documents, the one for other tools last, so that a wrong path of it costs no other."""
        for name, document in DOCUMENTS.items():
            path: Path | None = getattr(self, name)
            if path is not None:
                output.save(path, document(review).encode("utf-8", "backslashreplace"), force=True)


def _asked(command: Command) -> Command:
    """Add the options that say what is judged by what, which the command takes as one: ``asked``."""
    added = (
        click.option("--base", metavar="REF", help="Compare the lock file of HEAD with that of this commit."),
        click.option("--head", metavar="REF", help="The commit to judge. [default: HEAD]"),
        click.option("--lock", type=options.PATH, metavar="FILE", help=f"The lock file. [default: {FILE_NAME}]"),
        click.option(
            "--policy", type=options.PATH, metavar="FILE", help=f"The policy. [default: {NAME}, where there is one]"
        ),
        click.option("--model", metavar="NAME", help="What the policy calls a model that is given by itself."),
        click.option("--all", "everything", is_flag=True, help="Judge unchanged models too, and count old findings."),
        click.option(
            "--checkpoint",
            "checkpoints",
            multiple=True,
            metavar="NAME=PATH",
            help="Hold the files of this model against its bundle.",
        ),
        click.option(
            "--old-checkpoint",
            "old_checkpoints",
            multiple=True,
            metavar="NAME=PATH",
            help="With --checkpoint: compare the weights themselves with these.",
        ),
        click.option("--behaviour", is_flag=True, help="Measure those again, and compare with the record."),
    )
    return gathered(command, added, tuple(Asked.__dataclass_fields__), "asked", lambda told: Asked(**told))


def _files(command: Command) -> Command:
    """Add the options that name files to write, which the command takes as one: ``files``."""
    added = tuple(
        click.option(f"--{option}", name, type=options.PATH, metavar="FILE", help=f"Write {what} too.")
        for option, name, what in (
            ("json", "json", "JSON"),
            ("markdown", "markdown", "Markdown"),
            ("sarif", "sarif", "SARIF 2.1.0"),
            ("annotations", "github", "GitHub's workflow commands"),
        )
    )
    return gathered(command, added, tuple(Files.__dataclass_fields__), "files", lambda told: Files(**told))


@click.command()
@click.argument("models", nargs=-1)
@_asked
@trust.signers
@click.option(
    "--format",
    "form",
    type=click.Choice(("table", *DOCUMENTS)),
    default="table",
    show_default=True,
    help="What to print.",
)
@_files
@click.option(
    "--fail-on",
    type=click.Choice(get_args(FailOn)),
    default="any",
    show_default=True,
    help="What ends with a status other than 0: refused or could not be checked, refused alone, or neither.",
)
@options.quiet
@click.pass_context
def gate(
    context: click.Context,
    *,
    models: tuple[str, ...],
    asked: Asked,
    trusted: trust.Trusted,
    form: str,
    files: Files,
    fail_on: FailOn,
    quiet: bool,
) -> None:
    """Judge the models that a change adds or upgrades, by their evidence and by your policy.

    With --base, the lock files of two commits are compared. Policy and keys are read from the base, so that a change
    cannot loosen the gate that judges it; nothing of either commit is checked out or run. MODELS are two lock files,
    or an old and a new model, or one of either: bundles, checkpoints, or org/name@revision on the hub.

    Only what is new is judged: models that differ, and findings that they did not have before. --all judges the rest
    too. --checkpoint holds the files of a model against its bundle, which `behaviour: match` of a policy takes together
    with --behaviour. --key, or --identity and --issuer, are trusted for models that the policy names no signer for.

    Exit status: 0 allowed, 1 refused, 3 something could not be checked.

    \b
    Examples:
      mbom gate --base origin/main --head HEAD
      mbom gate old/mbom.lock mbom.lock --policy mbom.yaml --format json
      mbom gate gpt-oss-20b.mbom gpt-oss-20b-tuned.mbom --key release.pub
      mbom gate openai/gpt-oss-20b@<commit> --format markdown
      mbom gate --base main --checkpoint openai/gpt-oss-20b=./models/gpt-oss-20b --behaviour
    """
    display = Display(quiet=quiet)
    with tempfile.TemporaryDirectory(prefix="mbom-gate-") as scratch:
        review = _reviewed(display, models, asked, trusted, Path(scratch))
    files.write(review)
    if form == "table":
        _print(table(review), display)
    else:
        display.data(DOCUMENTS[form](review))
    context.exit(review.status(fail_on))


def _reviewed(display: Display, models: tuple[str, ...], asked: Asked, trusted: trust.Trusted, scratch: Path) -> Review:
    """Judge what the arguments name."""
    measure = Announced(display=display, what="the checkpoint", run=engine.Measurement(states=folders.states()))
    beside = asked.beside(lambda named: opened(named, display))
    around = Circumstances(now=clock.now(), at_hand=asked.at_hand(measure), beside=beside, everything=asked.everything)
    if asked.base is not None:
        if models:
            raise UsageError(f"--base compares two commits, so {models[0]} has no place; leave one of them out")
        return of_commits(scratch, around, asked, trusted)
    if asked.head is not None:
        raise UsageError("--head is compared with --base, which is not given")
    if not models:
        raise UsageError("what is to be judged? Give --base REF, or two lock files, or one or two models")
    if len(models) > 2:
        raise UsageError(f"{len(models)} models were given; at most an old and a new one can be")
    if len({_is_lock(named) for named in models}) > 1:
        raise UsageError(f"{models[0]} and {models[1]} are a lock file and a model, which cannot be compared")
    if asked.lock is not None:
        raise UsageError("--lock goes with --base; without it, lock files are named as they are")
    if _is_lock(models[0]):
        return of_files([Path(named) for named in models], around, asked, trusted)
    return _of_models(display, list(models), asked.model, Judged.on_disk(around, asked, trusted), around)


def _is_lock(named: str) -> bool:
    """Tell whether a lock file is meant: by its ending, because nothing is opened before it is clear what as."""
    return named.endswith(".lock")


def _of_models(display: Display, models: list[str], model: str | None, judged: Judged, around: Circumstances) -> Review:
    *before, after = models
    old = opened(before[0], display) if before else None
    if kind(after) == "bundle":
        item = gate_bundle(Path(after), label=after, old=old, judge=judged.judge, model=model)
    else:
        item = gate_checkpoint(opened(after, display), old=old, judge=judged.judge, model=model)
    return Review(
        gated=(item,),
        unchanged=0,
        lock=None,
        old=shown(Path(before[0])) if before else None,
        new=after,
        policy=judged.used,
        notes=(*judged.notes, *around.notes([item])),
        locked=False,
    )


def _print(lines: list[Line], display: Display) -> None:
    for line in lines:
        display.out.print(Text(plain(line.text).replace("\n", "\\n"), style=STYLES[line.tone]))
