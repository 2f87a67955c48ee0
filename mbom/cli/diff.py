"""`mbom diff`."""

from pathlib import Path

import click

from mbom.cli import options
from mbom.cli.console import Display, plain
from mbom.cli.opening import opened
from mbom.diff import diff as without_weights
from mbom.diff import wording
from mbom.diff.changes import Changes
from mbom.diff.markdown import markdown as in_markdown
from mbom.diff.measured import compared
from mbom.diff.opening import joined, kind
from mbom.dossier import Dossier
from mbom.errors import UsageError

SHOWN = 4  # lines of each section; --json has them all
COLUMN = 1 + max(len(title) for title in wording.TITLES.values())  # where the lines begin
DIFFERENT = 1
LEFT_ALONE = "the values of weights were left alone, as --no-weights asks"
_KINDS = {"bundle": "a bundle", "checkpoint": "a checkpoint in a folder", "hub": "a repository on the hub"}


@click.command()
@click.argument("old")
@click.argument("new")
@click.option("--old-checkpoint", metavar="PATH", help="The checkpoint that the bundle OLD describes.")
@click.option("--new-checkpoint", metavar="PATH", help="The checkpoint that the bundle NEW describes.")
@click.option(
    "--with", "others", multiple=True, metavar="OTHER", help="A checkpoint that may be a second parent of a merge."
)
@click.option("--no-weights", is_flag=True, help="Leave the values of weights alone, read or estimated.")
@click.option("--exit-code", is_flag=True, help="Exit with 1 where something differs, as git diff does.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print Markdown on standard output.")
@options.origins
@options.as_json
@options.quiet
@click.pass_context
def diff(
    context: click.Context,
    *,
    old: str,
    new: str,
    old_checkpoint: str | None,
    new_checkpoint: str | None,
    others: tuple[str, ...],
    no_weights: bool,
    exit_code: bool,
    as_markdown: bool,
    origins: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Show what changed between two models, in files, facts, weights and answers.

    OLD and NEW are each a bundle, a folder that holds a checkpoint, or org/name[@revision] on the hub. Of two
    checkpoints the values of weights are read; of bundles they are estimated from the sketches of their records.
    --old-checkpoint and --new-checkpoint give bundles their checkpoints, which must be those that they describe.

    Signatures are not checked here: that is `mbom verify`. Exit status: 0, whether or not something differs.

    \b
    Examples:
      mbom diff gpt-oss-20b.mbom ./models/gpt-oss-20b-tuned
      mbom diff openai/gpt-oss-20b@<commit> openai/gpt-oss-20b --no-weights --markdown
      mbom diff base.mbom merged.mbom --old-checkpoint ./base --new-checkpoint ./merged --with ./other
    """
    if as_json and as_markdown:
        raise UsageError("--json and --markdown are two forms of one output; give one of them")
    if others and no_weights:
        raise UsageError("--with is about the values of weights, which --no-weights leaves alone")
    display = Display(quiet=quiet)
    opener = _Opener(display, origins)
    before, after = opener.side("old", old, old_checkpoint), opener.side("new", new, new_checkpoint)
    parents = [opener.parent(other) for other in others]
    if no_weights:
        changes = without_weights(before, after, notes=(LEFT_ALONE,))
    else:
        with display.comparing() as on_weight:
            changes = compared(before, after, others=parents, progress=on_weight)
    display.fact("", "signatures are not checked here: `mbom verify` does that")
    if as_json:
        display.json(changes.to_dict())
    elif as_markdown:
        display.data(in_markdown(changes))
    else:
        _print(changes, display)
    context.exit(DIFFERENT if exit_code and changes.differs else 0)


class _Opener:
    """Opens what the arguments name, and says what each is taken as."""

    def __init__(self, display: Display, origins: Path | None) -> None:
        self.display = display
        self.producers = options.producers(origins)

    def side(self, label: str, named: str, checkpoint: str | None) -> Dossier:
        """Return one of the two models."""
        meant = kind(named)
        if checkpoint is not None and meant != "bundle":
            raise UsageError(f"--{label}-checkpoint goes beside a bundle, and {named} is {_KINDS[meant]}")
        self.display.fact(label, f"{named}   {_KINDS[meant]}{f' with {checkpoint}' if checkpoint else ''}")
        found = self._open(named)
        return found if checkpoint is None else joined(found, self._open(checkpoint, wanted="--" + label))

    def parent(self, named: str) -> Dossier:
        """Return a checkpoint that may be a parent."""
        return self._open(named, wanted="--with")

    def _open(self, named: str, *, wanted: str | None = None) -> Dossier:
        """Return a model; where an option wants a checkpoint, a bundle is none."""
        if wanted is not None and kind(named) == "bundle":
            option = wanted if wanted == "--with" else f"{wanted}-checkpoint"
            raise UsageError(f"{option} wants a checkpoint, and {named} is a bundle, which holds no weights")
        return opened(named, self.display, self.producers)


def _print(changes: Changes, display: Display) -> None:
    """Print one screen of text: a section in each block of lines, its name beside the first of them."""
    rows = [("before", wording.side(changes.old)), ("after", wording.side(changes.new))]
    for group in wording.groups(changes, shown=SHOWN):
        lines = [*group.lines]
        if group.more:
            lines.append(f"and {group.more:,} more; --json lists them all")
        lines += [f"  {line}" for line in group.text]
        if group.text_more:
            lines.append(f"  … {group.text_more:,} more lines; --json has them all")
        rows += [(group.title if number == 0 else "", line) for number, line in enumerate(lines)]
    for title, line in rows:
        display.data(plain(f"{title:<{COLUMN}}{line}").rstrip())
    display.data(plain(wording.headline(changes)))
