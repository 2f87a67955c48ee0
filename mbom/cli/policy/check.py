"""`mbom policy check`."""

from pathlib import Path

import click
from rich.text import Text

from mbom.cli import clock, options
from mbom.cli.console import Display, plain
from mbom.cli.policy import judged
from mbom.errors import KeyFileError
from mbom.policy import NAME, Policy
from mbom.policy.decision import exit_code
from mbom.policy.policy import examine, read_file
from mbom.policy.reading import Problem
from mbom.strictjson import Json

SCHEMA = "urn:mbom:policy-check:v1"


@click.command()
@click.argument("file", type=options.PATH, default=NAME)
@click.argument("bundles", nargs=-1, type=options.PATH, metavar="[BUNDLE]...")
@options.as_json
@options.quiet
@click.pass_context
def check(context: click.Context, *, file: Path, bundles: tuple[Path, ...], as_json: bool, quiet: bool) -> None:
    """Say everything that is wrong with a policy, and what it decides on bundles.

    FILE is the policy, mbom.yaml unless named. Each BUNDLE is verified under whom the policy trusts, and decided on by
    itself, with nothing that it replaces: that is `mbom gate`. Exit status: 0 sound, and every bundle allowed; 1 a
    problem, or a bundle that is refused; 3 something could not be read or checked.

    \b
    Example:
      mbom policy check mbom.yaml gpt-oss-20b.mbom
    """
    display = Display(quiet=quiet)
    parts, problems = examine(read_file(file), file=str(file))
    policy = Policy(**vars(parts), file=str(file), folder=file.parent)
    problems = problems or _of_files(policy)
    decisions = [] if problems else [judged.judge(policy, bundle) for bundle in bundles]
    notes = [] if problems else _notes(policy)
    if as_json:
        told: dict[str, Json] = {
            "schema": SCHEMA,
            "file": str(file),
            "valid": not problems,
            "problems": [{"line": p.line, "column": p.column, "sentence": p.sentence} for p in problems],
            "notes": [{"line": p.line, "column": p.column, "sentence": p.sentence} for p in notes],
            "decisions": [decision.to_dict() for decision in decisions],
        }
        display.json(told)
    else:
        for style, kind, found in (("bold red", "problem", problems), ("yellow", "note", notes)):
            for problem in found:
                text = plain(f" {problem}").replace("\n", "\\n")
                display.out.print(Text.assemble((f"{kind:<8}", style), text))
        if not problems:
            display.line(f"{file}: {_summary(policy)}")
        judged.show(display, decisions)
    context.exit(1 if problems else exit_code(decisions) if bundles else 0)


def _of_files(policy: Policy) -> tuple[Problem, ...]:
    """Return what is wrong with the files that the policy names."""
    assert policy.folder is not None
    found = []
    for signer in policy.signers:
        try:
            signer.check_files(policy.folder)
        except KeyFileError as error:
            place = signer.place
            found.append(Problem(file=place.file, line=place.line, column=1, sentence=str(error)))
    return tuple(found)


def _notes(policy: Policy) -> list[Problem]:
    """Return what is worth knowing of a policy that is sound."""
    now = clock.now()
    return [
        Problem(
            file=waiver.place.file,
            line=waiver.place.line,
            column=1,
            sentence=f"the waiver of {waiver.id} for {waiver.pattern} expired with {waiver.expires.isoformat()}",
        )
        for waiver in policy.waivers
        if not waiver.counts(now)
    ]


def _summary(policy: Policy) -> str:
    counted = {
        "signer": policy.signers,
        "override": policy.overrides,
        "waiver": policy.waivers,
        "rule": policy.rules,
    }
    parts = [f"{len(items)} {name}{'' if len(items) == 1 else 's'}" for name, items in counted.items()]
    return f"sound; {', '.join(parts)}"
