"""`mbom gate`."""

import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import click

from mbom.cli import clock, options, output, trust
from mbom.cli.console import Display, plain, shown
from mbom.cli.gatesides import Judged, of_commits, of_files
from mbom.diff.opening import kind, open_dossier
from mbom.dossier import Dossier
from mbom.errors import UsageError
from mbom.gate import FailOn, Review, gate_bundle, gate_checkpoint
from mbom.gate.outputs import Line, annotations, markdown, sarif, table
from mbom.lockfile import FILE_NAME
from mbom.policy import NAME

FORMATS = ("table", "json", "markdown", "sarif", "github")
STYLES = {"plain": "", "good": "bold green", "bad": "bold red", "doubtful": "yellow", "dim": "dim"}


@click.command()
@click.argument("models", nargs=-1)
@click.option("--base", metavar="REF", help="Compare the lock file of HEAD with that of this commit.")
@click.option("--head", metavar="REF", help="The commit to judge. [default: HEAD]")
@click.option("--lock", type=options.PATH, metavar="FILE", help=f"The lock file. [default: {FILE_NAME}]")
@click.option("--policy", type=options.PATH, metavar="FILE", help=f"The policy. [default: {NAME}, where it is]")
@click.option("--model", metavar="NAME", help="What the policy calls a model that is given by itself.")
@trust.signers
@click.option("--all", "everything", is_flag=True, help="Judge unchanged models too, and count old findings.")
@click.option("--format", "form", type=click.Choice(FORMATS), default="table", show_default=True, help="What to print.")
@click.option("--json", "json_file", type=options.PATH, metavar="FILE", help="Write JSON too.")
@click.option("--markdown", "markdown_file", type=options.PATH, metavar="FILE", help="Write Markdown too.")
@click.option("--sarif", "sarif_file", type=options.PATH, metavar="FILE", help="Write SARIF 2.1.0 too.")
@click.option("--annotations", type=options.PATH, metavar="FILE", help="Write GitHub's workflow commands too.")
@click.option(
    "--fail-on",
    type=click.Choice(get_args(FailOn)),
    default="any",
    show_default=True,
    help="What ends with a status other than 0: refused or could not be checked, refused alone, or neither.",
)
@options.quiet
@click.pass_context
def gate(context: click.Context, *, form: str, fail_on: FailOn, quiet: bool, **given: Any) -> None:  # noqa: ANN401
    """Judge the models that a change adds or upgrades, by their evidence and by your policy.

    With --base, the lock files of two commits are compared. Policy and keys are read from the base, so that a change
    cannot loosen the gate that judges it; nothing of either commit is checked out or run. MODELS are two lock files,
    or an old and a new model, or one of either: bundles, checkpoints, or org/name@revision on the hub.

    Only what is new is judged: models that differ, and findings that they did not have before. --all judges the rest
    too. --key, or --identity and --issuer, are trusted for models that the policy names no signer for.

    Exit status: 0 allowed, 1 refused, 3 something could not be checked.

    \b
    Examples:
      mbom gate --base origin/main --head HEAD
      mbom gate old/mbom.lock mbom.lock --policy mbom.yaml --format json
      mbom gate gpt-oss-20b.mbom gpt-oss-20b-tuned.mbom --key release.pub
      mbom gate openai/gpt-oss-20b@<commit> --format markdown
    """
    display = Display(quiet=quiet)
    with tempfile.TemporaryDirectory(prefix="mbom-gate-") as scratch:
        review = _reviewed(display, Path(scratch), **given)
    documents = {
        "json": lambda: f"{json.dumps(review.to_dict(), indent=1, ensure_ascii=False)}\n",
        "markdown": lambda: markdown(review),
        "sarif": lambda: f"{json.dumps(sarif(review), indent=1, ensure_ascii=False)}\n",
        "github": lambda: "".join(f"{line}\n" for line in annotations(review)),
    }
    files = {"json": "json_file", "markdown": "markdown_file", "github": "annotations", "sarif": "sarif_file"}
    for name, parameter in files.items():
        if given[parameter] is not None:
            output.save(given[parameter], documents[name]().encode("utf-8", "backslashreplace"), force=True)
    if form == "table":
        _print(table(review), display)
    else:
        display.data(documents[form]())
    context.exit(review.status(fail_on))


def _reviewed(display: Display, scratch: Path, *, models: tuple[str, ...], **given: Any) -> Review:  # noqa: ANN401
    """Judge what the arguments name."""
    if given["base"] is None and given["head"] is not None:
        raise UsageError("--head is compared with --base, which is not given")
    if given["base"] is not None and models:
        raise UsageError(f"--base compares two commits, so {models[0]} has no place; leave one of them out")
    if given["base"] is None and not models:
        raise UsageError("what is to be judged? Give --base REF, or two lock files, or one or two models")
    if len(models) > 2:
        raise UsageError(f"{len(models)} models were given; at most an old and a new one can be")
    now = datetime.now(UTC)
    if given["base"] is not None:
        return of_commits(scratch, now, given)
    are_locks = [_is_lock(named) for named in models]
    if len(set(are_locks)) > 1:
        raise UsageError(f"{models[0]} and {models[1]} are a lock file and a model, which cannot be compared")
    if are_locks[0]:
        if given["lock"] is not None:
            raise UsageError(f"--lock goes with --base; {models[0]} is a lock file already")
        return of_files([Path(named) for named in models], now, given)
    return _of_models(display, list(models), Judged.on_disk(now, given), given)


def _is_lock(named: str) -> bool:
    """Tell whether a lock file is meant: by its ending, because nothing is opened before it is clear what as."""
    return named.endswith(".lock")


def _of_models(display: Display, models: list[str], judged: Judged, given: dict[str, Any]) -> Review:
    *before, after = models
    with display.scanning() as on_scan:

        def opened(named: str) -> Dossier:
            return open_dossier(named, created=clock.created(), on_scan=on_scan, on_bytes=on_scan.fetched)

        old = opened(before[0]) if before else None
        if kind(after) == "bundle":
            item = gate_bundle(Path(after), label=after, old=old, judge=judged.judge, model=given["model"])
        else:
            item = gate_checkpoint(opened(after), old=old, judge=judged.judge, model=given["model"])
    return Review(
        gated=(item,),
        unchanged=0,
        lock=None,
        old=shown(Path(before[0])) if before else None,
        new=after,
        policy=judged.used,
        notes=judged.notes,
        locked=False,
    )


def _print(lines: list[Line], display: Display) -> None:
    from rich.text import Text  # noqa: PLC0415

    for line in lines:
        display.out.print(Text(plain(line.text).replace("\n", "\\n"), style=STYLES[line.tone]))
