"""What became of the answers, held against divergences of whole distributions."""

from dataclasses import replace

import numpy as np
import pytest
import syntheticrecords as synthetic
from diffing import HOSTILE, listed
from numpy.typing import NDArray

from mbom.behaviour.numbers import TOP_TOKENS
from mbom.behaviour.record import Record, Summary, TopToken
from mbom.diff.facts.behaviour import behaviour, compared
from mbom.dossier import Dossier

Floats = NDArray[np.float64]
VOCABULARY = 200


def holding(record: Record | None, label: str = "it") -> Dossier:
    return replace(listed(), record=record, label=label)


def recording(logprobs: Floats) -> Record:
    """Return a record whose likeliest tokens are those of a distribution, (positions, VOCABULARY)."""
    record = synthetic.moe_record()
    top = np.argsort(-logprobs, axis=1, kind="stable")[:, :TOP_TOKENS]
    numbers = replace(
        record.numbers, top_ids=top.astype(np.int32), top_logprobs=np.take_along_axis(logprobs, top, axis=1)
    )
    return synthetic.with_numbers(record, numbers)


def distribution(rng: np.random.Generator, sharpness: float) -> Floats:
    logits = rng.normal(size=(160, VOCABULARY)) * sharpness
    found: Floats = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return found


def full(old: Floats, new: Floats) -> Floats:
    """Return the divergence over the whole vocabulary, by its definition."""
    found: Floats = (np.exp(old) * (old - new)).sum(axis=1)
    return found


@pytest.mark.parametrize("sharpness", [0.1, 1.0, 3.0, 6.0])
@pytest.mark.parametrize("noise", [1e-6, 0.1, 2.0])
def test_the_divergence_is_a_lower_bound_of_that_over_the_vocabulary(sharpness: float, noise: float) -> None:
    rng = np.random.default_rng(5)
    old = distribution(rng, sharpness)
    logits = old + noise * rng.normal(size=old.shape)
    new = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    found = compared(recording(old), recording(new))
    true = full(old, new)
    assert 0 <= found.kl_mean <= true.mean() + 1e-12
    assert found.kl_largest <= true.max() + 1e-12
    assert found.top1_agreement == (old.argmax(axis=1) == new.argmax(axis=1)).mean()
    if sharpness == 6.0:  # where the likeliest tokens hold nearly everything, the bound is tight
        assert found.kl_mean > 0.8 * true.mean()


def test_the_divergence_of_each_prompt_is_by_the_definition_over_merged_tokens() -> None:
    """The slow way: for each position, a dictionary of what both list, and one bucket for all others."""
    rng = np.random.default_rng(7)
    old, new = recording(distribution(rng, 2.0)), recording(distribution(rng, 2.0))
    each = []
    for position in range(160):
        before = dict(zip(old.numbers.top_ids[position].tolist(), old.numbers.top_logprobs[position], strict=True))
        after = dict(zip(new.numbers.top_ids[position].tolist(), new.numbers.top_logprobs[position], strict=True))
        both = before.keys() & after.keys()
        p, q = (1 - sum(np.exp(side[token]) for token in both) for side in (before, after))
        each.append(sum(np.exp(before[t]) * (before[t] - after[t]) for t in both) + p * np.log(p / q))
    found = compared(old, new)
    assert found.kl_mean == pytest.approx(np.mean(each))
    assert found.kl_largest == pytest.approx(max(each))
    by_prompt = {item.prompt: item.kl for item in found.prompts}
    for number, prompt in enumerate(old.prompts):
        assert by_prompt[prompt.id] == pytest.approx(np.mean(each[20 * number : 20 * number + 20]))
    assert [item.kl for item in found.prompts] == sorted(by_prompt.values(), reverse=True)


def test_nothing_changed_where_the_records_are_the_same() -> None:
    record = synthetic.moe_record()
    found = compared(record, synthetic.noisy(record))
    assert found.same
    assert found.kl_largest < 1e-9
    assert found.top1_agreement == 1
    assert found.positions == 160


def test_disjoint_tokens_leave_a_bound_that_is_finite() -> None:
    old, new = np.full((160, VOCABULARY), -60.0), np.full((160, VOCABULARY), -60.0)
    old[:, :40], new[:, 160:] = np.log(1 / 40), np.log(1 / 40)
    found = compared(recording(old), recording(new))
    assert np.isfinite(found.kl_largest)
    assert found.top1_agreement == 0


def test_a_small_vocabulary_is_listed_whole() -> None:
    record = synthetic.plain_record()
    rolled = record.numbers.top_ids[:, ::-1].copy()
    other = synthetic.with_numbers(record, replace(record.numbers, top_ids=rolled))
    p = np.exp(record.numbers.top_logprobs[0])
    p = p / p.sum()
    found = compared(record, other)
    assert found.kl_mean > 0
    assert found.top1_agreement == 0


def test_answers_are_told_in_words() -> None:
    record = synthetic.moe_record()
    texts = tuple(
        Summary(prompt=item.prompt, tokens=(TopToken(id=1, text=HOSTILE[0], probability=0.5),))
        for item in record.summaries
    )
    found = compared(record, replace(record, summaries=texts))
    for prompt in found.prompts:
        assert prompt.old[0].text is not None
        assert prompt.new[0].text is not None
        assert prompt.new[0].text.isprintable()


def without_record() -> tuple[Record | None, Record | None]:
    return synthetic.moe_record(), None


def other_tokens() -> tuple[Record, Record]:
    record = synthetic.moe_record()
    first = replace(record.prompts[2], token_ids=(5, *record.prompts[2].token_ids[1:]))
    return record, replace(record, prompts=(*record.prompts[:2], first, *record.prompts[3:]))


def one_prompt_less() -> tuple[Record, Record]:
    record = synthetic.moe_record()
    return record, replace(record, prompts=record.prompts[:-1])


def other_challenge() -> tuple[Record, Record]:
    record = synthetic.moe_record()
    return record, replace(record, challenge="5f0c7a12e9")


def challenge_of_other_models() -> tuple[Record, Record]:
    record = replace(synthetic.moe_record(), challenge="5f0c7a12e9")
    return record, replace(record, model_digest="6b" * 32)


NOTES = {
    "no record": (without_record, "right holds no behaviour record"),
    "prompts of other tokens": (other_tokens, "was rendered to other tokens"),
    "other prompts": (one_prompt_less, "on different prompts"),
    "another challenge": (other_challenge, "different challenges"),
    "a challenge of another model": (challenge_of_other_models, "different challenges"),
}


@pytest.mark.parametrize("case", NOTES)
def test_what_means_nothing_is_not_computed(case: str) -> None:
    sides, words = NOTES[case]
    old, new = sides()
    found, (note,) = behaviour(holding(old, "left"), holding(new, "right"))
    assert found is None
    assert words in note
