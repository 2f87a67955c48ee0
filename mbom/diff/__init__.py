"""What changed between two models, from bundles alone, from checkpoints, or from a mix of both.

``facts`` compares what is recorded of them, ``values`` their weights, ``explanations`` names the reason of a change of
weights; ``changes`` is what all of them fill in, ``wording`` and ``markdown`` say it.
"""

from collections.abc import Sequence

from mbom.diff.changes import Changes, Explanation, Weights
from mbom.diff.facts.behaviour import behaviour
from mbom.diff.facts.fields import fields
from mbom.diff.facts.files import files, renamed
from mbom.diff.facts.findings import findings
from mbom.diff.facts.templates import templates
from mbom.diff.facts.tensors import tensors
from mbom.diff.facts.tokenizer import tokenizer
from mbom.diff.sides import side
from mbom.dossier import Dossier
from mbom.printable import printable

__all__ = ["Changes", "diff"]


def diff(
    old: Dossier,
    new: Dossier,
    *,
    weights: Weights | None = None,
    explanations: Sequence[Explanation] = (),
    notes: Sequence[str] = (),
) -> Changes:
    """Return everything that differs between two models; nothing is read or verified.

    Args:
        old: what was.
        new: what is.
        weights: what a comparison of the values came to, see ``mbom.diff.values.weights``; None where nobody made one.
        explanations: named reasons that hold.
        notes: why values could not be compared, before the notes on everything else.
    """
    moved = renamed(old.inventory, new.inventory)
    facts, unread = fields(old, new)
    vocabulary, unknown = tokenizer(old, new)
    prompts, unseen = templates(old, new)
    answers, unasked = behaviour(old, new)
    came, gone = findings(old.inventory, new.inventory, moved)
    return Changes(
        old=side(old),
        new=side(new),
        files=files(old.inventory, new.inventory),
        tensors=tensors(old.inventory, new.inventory, moved, weights),
        fields=facts,
        tokenizer=vocabulary,
        templates=prompts,
        findings_new=came,
        findings_gone=gone,
        weights=weights,
        explanations=tuple(explanations),
        behaviour=answers,
        notes=tuple(printable(note) for note in (*notes, *unread, *unknown, *unseen, *unasked)),
    )
