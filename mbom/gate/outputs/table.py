"""The review for a terminal: a line for each model, its reasons below it, and the outcome last."""

from dataclasses import dataclass
from typing import Literal

from mbom.gate.gated import Gated, Review
from mbom.gate.outputs import telling

Tone = Literal["plain", "good", "bad", "doubtful", "dim"]

_TONES: dict[str, Tone] = {
    "allowed": "good",
    "refused": "bad",
    "incomplete": "doubtful",
    "refuse": "bad",
    "missing": "bad",
    "waived": "doubtful",
    "note": "dim",
}


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line and the tone it is said in; its text still holds what was read, for the terminal's writer to escape."""

    text: str
    tone: Tone = "plain"


def table(review: Review) -> list[Line]:
    """Return the review line by line."""
    lines = [Line(text=f"{review.old} → {review.new}" if review.old is not None else review.new)]
    lines.extend(Line(text=note, tone="doubtful") for note in review.notes)
    lines.append(Line(text=telling.judged(review), tone="doubtful" if review.policy.source == "none" else "plain"))
    for item in review.gated:
        lines.extend([Line(text=""), *_model(item)])
    lines.append(Line(text=""))
    if review.unchanged:
        number = review.unchanged
        lines.append(
            Line(text=f"{number} unchanged, not judged again (--all judges {'it' if number == 1 else 'them'})")
        )
    lines.append(Line(text=review.sentence, tone=_TONES[review.outcome]))
    return lines


def _model(item: Gated) -> list[Line]:
    outcome = item.decision.outcome
    head = f"{outcome.upper():<10}  {item.model}   {telling.revisions(item)}   {telling.kinds(item)}"
    lines = [Line(text=head, tone=_TONES[outcome])]
    if item.case is not None and item.case.signer is not None:
        lines.append(Line(text=f"  signed    {item.case.signer}"))
    reasons = telling.told(item)
    for reason, action in zip(reasons, telling.actions(reasons), strict=True):
        rule = f" [{reason.id}{' ' + telling.where(reason) if reason.place is not None else ''}]"
        sentence = f"  {reason.outcome:<8}  {reason.sentence}{telling.waived(reason)}{rule}"
        lines.append(Line(text=sentence, tone=_TONES[reason.outcome]))
        if action:
            lines.append(Line(text=f"            {action}"))
    if item.decision.could_not_check is not None:
        lines.append(Line(text=f"  open      {item.decision.could_not_check}", tone="doubtful"))
    if telling.untold(item):
        number = telling.untold(item)
        lines.append(Line(text=f"  {number} that the model before had too, not told (--all)", tone="dim"))
    return lines
