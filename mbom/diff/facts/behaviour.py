"""What became of the answers of a model, from two records on the same prompts, with neither model at hand.

A record holds the log-probabilities of the likeliest tokens at each position and of no others. The Kullback-Leibler
divergence from the old to the new, sum of p log(p/q) in nats, is therefore taken over a partition of the vocabulary:
each token that both records list stands for itself, and all others are one bucket whose probability is what is left of
one. By the data-processing inequality that is never more than the divergence over the whole vocabulary, so it is a
lower bound: tight where both list nearly all of the probability, and far off where neither does.
"""

import numpy as np
from numpy.typing import NDArray

from mbom.behaviour import compare
from mbom.behaviour.deployed import divergences
from mbom.behaviour.record import Record, Summary
from mbom.diff.changes import Answer, Behaviour, PromptChange
from mbom.dossier import Dossier
from mbom.printable import printable

Floats = NDArray[np.float64]


def behaviour(old: Dossier, new: Dossier) -> tuple[Behaviour | None, tuple[str, ...]]:
    """Compare the records of two models; None, and a note why, where that means nothing."""
    without = [side.label for side in (old, new) if side.record is None]
    if old.record is None or new.record is None:
        held = "holds no behaviour record" if len(without) == 1 else "hold no behaviour records"
        return None, (f"answers were not compared: {' and '.join(without)} {held}; `mbom attest` makes one",)
    reason = _incomparable(old.record, new.record)
    if reason is not None:
        return None, (f"answers were not compared: {reason}",)
    return compared(old.record, new.record), ()


def _incomparable(old: Record, new: Record) -> str | None:
    if old.challenge != new.challenge or old.key != new.key:
        return "the records answer different challenges; give bundles, whose records have fixed prompts"
    for before, after in zip(old.prompts, new.prompts, strict=False):
        if before != after:
            return (
                f"prompt {before.id} was rendered to other tokens; with another tokenizer or chat template, "
                "probabilities are not of the same question"
            )
    return None if len(old.prompts) == len(new.prompts) else "the records are on different prompts"


def compared(old: Record, new: Record) -> Behaviour:
    """Compare two records on equal prompts under one key."""
    divergence = _divergences(old, new)  # (N,)
    agrees = old.numbers.top_ids[:, 0] == new.numbers.top_ids[:, 0]  # (N,)
    prompts, start = [], 0
    for prompt, before, after in zip(old.prompts, old.summaries, new.summaries, strict=True):
        span = slice(start, start := start + len(prompt.token_ids))
        prompts.append(
            PromptChange(
                prompt=prompt.id,
                positions=len(prompt.token_ids),
                kl=float(divergence[span].mean()),
                top1_agreement=float(agrees[span].mean()),
                old=_answers(before),
                new=_answers(after),
            )
        )
    return Behaviour(
        same=compare.compare(old, new).passed,
        positions=old.positions,
        kl_mean=float(divergence.mean()),
        kl_largest=float(divergence.max()),
        top1_agreement=float(agrees.mean()),
        prompts=tuple(sorted(prompts, key=lambda change: -change.kl)),
    )


def _divergences(old: Record, new: Record) -> Floats:
    """Return the divergence at each position, (N,)."""
    before, after = old.numbers, new.numbers
    listed = before.top_ids[:, :, None] == after.top_ids[:, None, :]  # (N, T, T'): token i of the old is j of the new
    both = listed.any(axis=2)  # (N, T)
    places = listed.argmax(axis=2)  # (N, T)
    return divergences(before.top_logprobs, np.take_along_axis(after.top_logprobs, places, axis=1), both)


def _answers(summary: Summary) -> tuple[Answer, ...]:
    return tuple(
        Answer(id=token.id, text=None if token.text is None else printable(token.text), probability=token.probability)
        for token in summary.tokens
    )
