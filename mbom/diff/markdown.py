"""A diff in Markdown, fit for the summary of a pull request: whatever models are called, it stays a list of text."""

from mbom.diff.changes import Changes
from mbom.diff.wording import Group, groups, headline, side
from mbom.markdown import fenced, sentence

SHOWN = 12  # lines of each section; a comment on a pull request has room for some 65,000 characters
NOT_CHECKED = "Signatures were not checked; `mbom verify` does that."


def markdown(changes: Changes, *, shown: int = SHOWN, heading: str = "##") -> str:
    """Return the changes as Markdown.

    Args:
        changes: what differs.
        shown: how many lines of each section are written.
        heading: what the title begins with.
    """
    told = [
        f"{heading} {headline(changes)}",
        f"- before: {sentence(side(changes.old))}\n- after: {sentence(side(changes.new))}",
        *(_group(group, f"{heading}#") for group in groups(changes, shown=shown)),
        NOT_CHECKED,
    ]
    return "\n\n".join(told) + "\n"


def _group(group: Group, heading: str) -> str:
    lines = [f"- {sentence(line)}" for line in group.lines]
    if group.more:
        lines.append(f"- and {group.more:,} more")
    text_lines = (*group.text, *([f"… {group.text_more:,} more lines"] if group.text_more else []))
    block = f"\n\n{fenced(text_lines)}" if text_lines else ""
    return f"{heading} {group.title}\n\n" + "\n".join(lines) + block
