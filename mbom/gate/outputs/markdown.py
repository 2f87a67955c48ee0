"""The review as GitHub's Markdown: for the summary of a job and for a comment, short enough for either.

No name of a model acts in it: see ``mbom.markdown``.
"""

from collections.abc import Iterator, Sequence

from mbom.diff.changes import Changes
from mbom.diff.wording import Group, groups, headline
from mbom.gate.gated import Gated, Review
from mbom.gate.outputs import telling
from mbom.markdown import fenced, prose
from mbom.markdown import span as code
from mbom.policy.decision import Outcome, Reason

# Bytes; a comment has at most 65,536 characters, and its marker needs some. The summary of a step, which has room for
# 1 MiB, is the same text: nobody reads more.
LIMIT = 60_000
REASONS_LIMIT = 40  # of one model; more are counted
LINES_LIMIT = 12  # of each section of the differences of one model; more are counted

_MARKS = {"refused": "❌", "incomplete": "⚠️", "allowed": "✅"}
_HEADS: dict[Outcome, str] = {
    "refuse": "Refused because",
    "missing": "Refused because something is not known",
    "waived": "Waived",
    "note": "To know",
}


def markdown(review: Review, *, limit: int = LIMIT, heading: str = "##") -> str:
    """Return the review, of at most ``limit`` bytes of UTF-8; models that have no room are counted."""
    parts = [f"{heading} {_MARKS[review.outcome]} {prose(review.sentence)}", *_preface(review)]
    closing = _closing(review)
    room = limit - 400 - sum(len(part.encode()) + 2 for part in (*parts, *closing))
    for number, item in enumerate(review.gated):
        section = _section(item, f"{heading}#")
        if len(section.encode()) + 2 > room:
            section = _short(item, f"{heading}#")
        if len(section.encode()) + 2 > room:
            left = len(review.gated) - number
            parts.append(
                f"**{left} more {'model has' if left == 1 else 'models have'} no room here;** `mbom gate` lists all."
            )
            break
        room -= len(section.encode()) + 2
        parts.append(section)
    return "\n\n".join((*parts, *closing)) + "\n"


def _preface(review: Review) -> Iterator[str]:
    compared = f"{prose(review.old)} → {prose(review.new)}" if review.old is not None else prose(review.new)
    yield f"{compared} · {prose(telling.judged(review))}"
    for note in review.notes:
        yield f"> {prose(note)}"


def _closing(review: Review) -> list[str]:
    return [f"{review.unchanged} unchanged, not judged again."] if review.unchanged else []


def _short(item: Gated, heading: str) -> str:
    return (
        f"{heading} {_MARKS[item.decision.outcome]} {code(item.model)} {telling.kinds(item)}: {item.decision.outcome}"
    )


def _section(item: Gated, heading: str) -> str:
    blocks = [_short(item, heading), prose(telling.revisions(item))]
    if item.case is not None and item.case.signer is not None:
        blocks.append(f"Signed by {code(item.case.signer)}. {telling.on_whose_word(item.case)}".rstrip())
    if item.decision.could_not_check is not None:
        blocks.append(f"**Could not be checked:** {prose(item.decision.could_not_check)}")
    reasons = telling.told(item)
    for outcome in telling.ORDER:
        listed = [reason for reason in reasons if reason.outcome == outcome]
        if listed:
            blocks.append(f"**{_HEADS[outcome]}:**")
            blocks.append("\n".join(_items(listed)))
    if telling.untold(item):
        blocks.append(f"{telling.untold(item)} that the model before had too.")
    if item.changes is not None:
        blocks.append(_differences(item.changes))
    return "\n\n".join(blocks)


def _items(reasons: Sequence[Reason]) -> Iterator[str]:
    shown = reasons[:REASONS_LIMIT]
    for reason, action in zip(shown, telling.actions(shown), strict=True):
        rule = f", {code(telling.where(reason))}" if reason.place is not None else ""
        yield f"- {prose(reason.sentence + telling.waived(reason))} ({code(reason.id)}{rule})"
        if telling.in_words(reason):
            yield f"  - {prose(telling.in_words(reason))}"
        if action:
            yield f"  - **What to do:** {prose(action)}"
    if len(reasons) > REASONS_LIMIT:
        yield f"- and {len(reasons) - REASONS_LIMIT} more"


def _differences(found: Changes) -> str:
    blocks = [f"**{prose(headline(found))}**", *(_group(group) for group in groups(found, shown=LINES_LIMIT))]
    return "\n\n".join(("<details open><summary>What changed</summary>", *blocks, "</details>"))


def _group(group: Group) -> str:
    lines = [f"- {prose(line)}" for line in group.lines]
    if group.more:
        lines.append(f"- and {group.more:,} more")
    text = (*group.text, *([f"… {group.text_more:,} more lines"] if group.text_more else []))
    return "\n\n".join((f"{group.title}:", "\n".join(lines), *([fenced(text)] if text else [])))
