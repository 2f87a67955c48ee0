"""A diff in Markdown, fit for the summary of a pull request: whatever models are called, it stays a list of text."""

import re

from mbom.diff.changes import Changes
from mbom.diff.wording import Group, groups, headline, side
from mbom.markdown import fenced, span

SHOWN = 12  # lines of each section; a comment on a pull request has room for some 65,000 characters
NOT_CHECKED = "Signatures were not checked; `mbom verify` does that."

# What no reader of Markdown takes for anything but words; addresses and mentions need a dot, an @ or a slash. GitHub
# takes GH-1 for the number of an issue.
_WORDS = re.compile(r"(?!\d+[.)])(?!.*[Gg][Hh]-\d)[A-Za-z0-9](?:[A-Za-z0-9 ,;:%()“”…±→-]|\.(?![A-Za-z]))*")


def markdown(changes: Changes, *, shown: int = SHOWN, heading: str = "##") -> str:
    """Return the changes as Markdown.

    Args:
        changes: what differs.
        shown: how many lines of each section are written.
        heading: what the title begins with.
    """
    told = [
        f"{heading} {headline(changes)}",
        f"- before: {text(side(changes.old))}\n- after: {text(side(changes.new))}",
        *(_group(group, f"{heading}#") for group in groups(changes, shown=shown)),
        NOT_CHECKED,
    ]
    return "\n\n".join(told) + "\n"


def text(line: str) -> str:
    """Return a sentence as it is where it holds nothing but words, else as a code span."""
    return line if _WORDS.fullmatch(line) else span(line)


def _group(group: Group, heading: str) -> str:
    lines = [f"- {text(line)}" for line in group.lines]
    if group.more:
        lines.append(f"- and {group.more:,} more")
    text_lines = (*group.text, *([f"… {group.text_more:,} more lines"] if group.text_more else []))
    block = f"\n\n{fenced(text_lines)}" if text_lines else ""
    return f"{heading} {group.title}\n\n" + "\n".join(lines) + block
