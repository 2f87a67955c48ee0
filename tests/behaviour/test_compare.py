import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import syntheticrecords as synthetic
from numpy.typing import NDArray
from syntheticrecords import edited, put

from mbom.behaviour import prompts
from mbom.behaviour.compare import Comparison, compare, invalid, not_measured
from mbom.behaviour.differences import row_errors
from mbom.behaviour.projection import challenge_key
from mbom.behaviour.prompts import Prompt
from mbom.behaviour.record import ACTIVATION_LIMIT, Record
from mbom.behaviour.sketches import Sketched

MOE = synthetic.moe_record()  # 8 prompts of 20 positions, routers in layers 1 and 3 of 4
DENSE = synthetic.dense_record()

Edit = Callable[[NDArray[Any]], None]


def scaled(index: int | tuple[int, ...], factor: float = 1 + 1e-7) -> Edit:
    def edit(array: NDArray[Any]) -> None:
        array[index] *= factor

    return edit


@pytest.mark.parametrize("record", [MOE, DENSE, synthetic.plain_record()], ids=["moe", "dense", "plain"])
def test_a_record_matches_itself(record: Record) -> None:
    found = compare(record, record)
    assert (found.verdict, found.worst, found.first_difference) == ("match", 0.0, None)
    assert found.passed
    assert found.layer_errors == (0.0,) * record.coverage.layers


@pytest.mark.parametrize("record", [MOE, DENSE], ids=["moe", "dense"])
def test_honest_noise_matches(record: Record) -> None:
    found = compare(record, synthetic.noisy(record))
    assert found.verdict == "match"
    assert found.worst is not None
    assert 0 < found.worst < 1e-13
    assert found.same_model


def test_noise_of_single_precision_does_not_match() -> None:
    assert compare(MOE, synthetic.noisy(MOE, 6e-8)).verdict == "mismatch"


# Each edit moves one number, or the one row that is judged whole, by 1e-7 of itself.
PERTURBED: dict[str, tuple[Record, str]] = {
    "residual of layer 0": (
        edited(MOE, residual_projection=scaled((0, 25))),
        "residual stream after layer 0, prompt chat-code position 5: relative error",
    ),
    "residual of layer 2": (
        edited(MOE, residual_projection=scaled((2, 159))),
        "residual stream after layer 2, prompt data-1 position 19: relative error",
    ),
    "residual of the last layer": (
        edited(MOE, residual_projection=scaled((3, 0))),
        "residual stream after layer 3, prompt chat-tools position 0: relative error",
    ),
    "logits": (edited(MOE, logits_projection=scaled(60)), "logits, prompt languages-1 position 0: relative error"),
    "log-sum-exp": (
        edited(MOE, logsumexp=scaled(100)),
        "log-sum-exp of the logits, prompt code-1 position 0: relative error",
    ),
    "a log-probability": (
        edited(MOE, top_logprobs=scaled((139, 31))),
        "top log-probabilities, prompt mathematics-1 position 19: relative error",
    ),
    "a margin": (
        edited(MOE, router_margin=scaled((1, 41), 1 + 1e-5)),
        "margin of the router of layer 3, prompt chat-languages position 1: relative error",
    ),
}


@pytest.mark.parametrize("case", PERTURBED)
def test_one_number_moved_is_a_mismatch_that_names_its_place(case: str) -> None:
    measured, message = PERTURBED[case]
    for found in (compare(MOE, measured), compare(measured, MOE)):
        assert found.verdict == "mismatch"
        assert not found.passed
        assert found.first_difference is not None
        assert found.first_difference.startswith(message)
        assert found.worst is not None
        assert ACTIVATION_LIMIT < found.worst < 1e-6


def test_the_first_difference_in_the_order_of_computation_is_named() -> None:
    measured = edited(
        MOE,
        residual_projection=scaled((2, 3)),
        logits_projection=scaled(0),
        router_margin=scaled((1, 0), 0.5),
    )
    found = compare(MOE, measured)
    error = row_errors(MOE.numbers.residual_projection[2], measured.numbers.residual_projection[2])[3]
    assert found.first_difference == (
        f"residual stream after layer 2, prompt chat-tools position 3: relative error {error:.1e}, allowed 1e-09"
    )
    assert found.worst == pytest.approx(0.5 * MOE.numbers.router_margin[1, 0], rel=1e-6)
    assert np.argmax(found.layer_errors) == 2


def with_choice(record: Record, router: int, position: int) -> tuple[Record, list[int]]:
    """Replace the last chosen expert of one router at one position by one that was not chosen."""
    before = record.numbers.router_ids[router, position].tolist()
    after = [before[0], next(expert for expert in range(before[0] + 1, 99) if expert not in before)]
    if after[1] > 7:
        after = [next(expert for expert in range(8) if expert not in before), before[1]]
    after.sort()

    def edit(array: NDArray[Any]) -> None:
        array[router, position] = after

    return edited(record, router_ids=edit), after


def test_another_expert_is_a_mismatch() -> None:
    measured, after = with_choice(MOE, 1, 44)
    before = ", ".join(map(str, MOE.numbers.router_ids[1, 44].tolist()))
    assert compare(MOE, measured).first_difference == (
        f"router of layer 3, prompt chat-languages position 4: experts {after[0]}, {after[1]}, "
        f"the reference chose {before}"
    )


def near_tie(router: int, position: int) -> Record:
    return edited(MOE, router_margin=put((router, position), 4e-7))


def test_a_near_tie_that_goes_the_same_way_masks_nothing() -> None:
    record = near_tie(0, 57)
    found = compare(record, record)
    assert (found.verdict, found.near_ties, found.masked_positions) == ("match", 1, 0)
    changed = edited(record, residual_projection=scaled((1, 57)))
    assert compare(record, changed).verdict == "mismatch"


def shaken(record: Record, *, layers: slice, positions: slice, output: bool) -> Record:
    """What a different choice of experts does to later layers: other numbers altogether."""
    rng = np.random.default_rng(5)

    def residual(array: NDArray[Any]) -> None:
        array[layers, positions] = rng.normal(size=array[layers, positions].shape)

    def logits(array: NDArray[Any]) -> None:
        array[positions] = rng.normal(size=array[positions].shape)

    if not output:
        return edited(record, residual_projection=residual)
    return edited(record, residual_projection=residual, logits_projection=logits, logsumexp=logits)


def test_a_near_tie_that_goes_the_other_way_masks_what_follows() -> None:
    reference = near_tie(0, 57)  # layer 1, the prompt chat-languages has positions 40 to 59
    turned, _ = with_choice(reference, 0, 57)
    measured = shaken(turned, layers=slice(1, 4), positions=slice(57, 60), output=True)
    found = compare(reference, measured)
    assert (found.verdict, found.near_ties, found.masked_positions) == ("match", 1, 3)


LEAKS: dict[str, tuple[slice, slice]] = {
    "the layer before": (slice(0, 4), slice(57, 60)),
    "the position before": (slice(1, 4), slice(56, 60)),
    "the next prompt": (slice(1, 4), slice(57, 61)),
}


@pytest.mark.parametrize("leak", LEAKS)
def test_a_near_tie_masks_neither(leak: str) -> None:
    layers, positions = LEAKS[leak]
    reference = near_tie(0, 57)
    turned, _ = with_choice(reference, 0, 57)
    measured = shaken(turned, layers=layers, positions=positions, output=False)
    assert compare(reference, measured).verdict == "mismatch"


def test_a_turned_choice_masks_later_routers_of_its_prompt() -> None:
    reference = near_tie(0, 57)
    turned, _ = with_choice(reference, 0, 57)
    measured, _ = with_choice(edited(turned, router_margin=put((1, 59), 0.7)), 1, 59)
    assert compare(reference, measured).verdict == "match"
    measured, _ = with_choice(turned, 1, 56)
    assert compare(reference, measured).verdict == "mismatch"


def test_a_tie_declared_by_one_side_alone_is_a_mismatch() -> None:
    turned, _ = with_choice(near_tie(0, 57), 0, 57)
    for found in (compare(MOE, turned), compare(turned, MOE)):
        assert found.verdict == "mismatch"
        assert str(found.first_difference).startswith("margin of the router of layer 1, prompt chat-languages")


def test_more_than_a_twentieth_masked_is_inconclusive() -> None:
    reference = near_tie(0, 51)
    measured, _ = with_choice(reference, 0, 51)
    found = compare(reference, measured)
    assert (found.masked_positions, found.positions) == (9, 160)
    assert found.verdict == "inconclusive"
    assert "9 of 160 positions" in found.detail
    reference = near_tie(0, 52)
    measured, _ = with_choice(reference, 0, 52)
    assert compare(reference, measured).masked_positions == 8
    assert compare(reference, measured).verdict == "match"


def test_records_full_of_near_ties_never_match() -> None:
    record = edited(MOE, router_margin=put(slice(None), 1e-9))
    found = compare(record, record)
    assert (found.verdict, found.near_ties) == ("inconclusive", 160)
    assert not found.passed


def test_near_ties_on_the_measured_side_alone_never_match() -> None:
    measured = edited(MOE, router_margin=put(slice(None), 0.0))
    assert compare(MOE, measured).verdict == "mismatch"


def test_a_record_with_nothing_left_to_compare_never_matches() -> None:
    reference = edited(MOE, router_margin=put(slice(None), 0.0))
    measured = reference
    for start in range(0, 160, 20):
        measured, _ = with_choice(measured, 0, start)
    found = compare(reference, measured)
    assert (found.verdict, found.masked_positions) == ("inconclusive", 160)


def test_a_difference_beside_many_near_ties_is_still_named() -> None:
    reference = edited(MOE, router_margin=put(slice(None), 0.0))
    measured = edited(reference, residual_projection=scaled((0, 8)))
    assert compare(reference, measured).verdict == "mismatch"


def test_an_infinite_margin_equals_only_an_infinite_one() -> None:
    reference = edited(MOE, router_margin=put((0, 5), np.inf))
    assert compare(reference, synthetic.noisy(reference)).verdict == "match"
    assert "margin of the router of layer 1" in str(compare(reference, MOE).first_difference)


def swapped(first: int, second: int) -> Edit:
    def edit(array: NDArray[Any]) -> None:
        array[33, [first, second]] = array[33, [second, first]]

    return edit


def equal_logprobs(first: int, second: int) -> Edit:
    def edit(array: NDArray[Any]) -> None:
        array[33, first : second + 1] = array[33, first]

    return edit


def test_tokens_that_tie_may_come_in_any_order() -> None:
    reference = edited(MOE, top_logprobs=equal_logprobs(10, 12))
    measured = edited(reference, top_ids=swapped(10, 12))
    assert compare(reference, measured).verdict == "match"
    measured = edited(reference, top_ids=swapped(10, 14))
    found = compare(reference, measured)
    assert found.verdict == "mismatch"
    assert str(found.first_difference).startswith("top tokens, prompt chat-code position 13: token ")


def absent_token(position: int) -> int:
    return next(token for token in range(200) if token not in MOE.numbers.top_ids[position])


def test_tokens_that_tie_at_the_end_of_the_list_may_be_left_out() -> None:
    reference = edited(MOE, top_logprobs=equal_logprobs(29, 31))
    measured = edited(reference, top_ids=put((33, 30), absent_token(33)))
    assert compare(reference, measured).verdict == "match"
    assert compare(measured, reference).verdict == "match"


@pytest.mark.parametrize("rank", [0, 15, 30])
def test_another_token_that_does_not_tie_is_a_mismatch(rank: int) -> None:
    measured = edited(MOE, top_ids=put((33, rank), absent_token(33)))
    for found in (compare(MOE, measured), compare(measured, MOE)):
        assert found.verdict == "mismatch"
        assert str(found.first_difference).startswith("top tokens, prompt chat-code position 13: token ")


def test_texts_that_mislead_readers_are_a_mismatch() -> None:
    tokens = MOE.summaries[2].tokens
    lie = replace(MOE.summaries[2], tokens=(replace(tokens[0], text=" safe"), *tokens[1:]))
    reference = replace(MOE, summaries=(*MOE.summaries[:2], lie, *MOE.summaries[3:]))
    assert compare(reference, MOE).first_difference == (
        f"text of token {tokens[0].id} after prompt chat-languages: '<{tokens[0].id}>', the reference says ' safe'"
    )


def with_prompt(record: Record, index: int, **changes: Any) -> Record:  # fields of any type
    changed = replace(record.prompts[index], **changes)
    found: tuple[Prompt, ...] = (*record.prompts[:index], changed, *record.prompts[index + 1 :])
    return synthetic.with_numbers(replace(record, prompts=found), record.numbers)


def seeded_record() -> Record:
    numbers = synthetic.random_numbers(2048, layers=4, router_layers=(1, 3), chosen=2, experts=8, vocabulary=200)
    return synthetic.record_of(prompts.seeded(200), numbers, experts=16, vocabulary=200)


def rebuilt(
    *,
    layers: int = 4,
    router_layers: tuple[int, ...] = (1, 3),
    chosen: int = 2,
    experts: int = 8,
    vocabulary: int = 200,
) -> Record:
    numbers = synthetic.random_numbers(
        160, layers=layers, router_layers=router_layers, chosen=chosen, experts=experts, vocabulary=vocabulary
    )
    return synthetic.record_of(MOE.prompts, numbers, experts=experts * len(router_layers), vocabulary=vocabulary)


def with_weights(change: Callable[[list[Sketched]], list[Sketched]]) -> Record:
    """Return a record of another list of weights, with as many sketches as it needs."""
    weights = tuple(sorted(change(list(MOE.weights)), key=lambda weight: weight.name))
    sketches = np.random.default_rng(6).normal(size=sum(weight.size for weight in weights))
    return replace(MOE, weights=weights, numbers=replace(MOE.numbers, sketches=sketches))


def everything_executed() -> Record:
    record = with_weights(lambda listed: [replace(weight, executed=True) for weight in listed])
    return replace(record, coverage=replace(record.coverage, tensors_not_executed=()))


ids = MOE.prompts[5].token_ids
OUTLINES: dict[str, tuple[Record, str]] = {
    "one token id": (
        with_prompt(MOE, 5, token_ids=(*ids[:7], (ids[7] + 1) % 200, *ids[8:])),
        f"token ids of prompt code-1: {(ids[7] + 1) % 200} at position 7, the reference has {ids[7]}",
    ),
    "a template that refuses tools": (
        with_prompt(MOE, 0, variant="no-tools"),
        "prompt chat-tools: rendered as no-tools, the reference as full",
    ),
    "no tokenizer": (seeded_record(), "prompts: seeded-1 where the reference has chat-tools"),
    "shorter prompts": (
        synthetic.record_of(
            tuple(replace(prompt, token_ids=prompt.token_ids[:5]) for prompt in MOE.prompts),
            synthetic.random_numbers(40, layers=4, router_layers=(1, 3), chosen=2, experts=8, vocabulary=200),
            experts=16,
            vocabulary=200,
        ),
        "token ids of prompt chat-tools: 5 ids, the reference has 20",
    ),
    "a layer more": (rebuilt(layers=5), "coverage: layers is 5, the reference has 4"),
    "a larger vocabulary": (rebuilt(vocabulary=208), "coverage: vocabulary is 208, the reference has 200"),
    "more experts": (rebuilt(experts=16), "coverage: experts is 32, the reference has 16"),
    "another router": (rebuilt(router_layers=(2, 3)), "routers: in the layers [2, 3], the reference has [1, 3]"),
    "more experts a token": (rebuilt(chosen=4), "routers: 4 experts per token, the reference has 2"),
    "a weight that is missing": (
        with_weights(lambda listed: [weight for weight in listed if weight.name != "model.norm.weight"]),
        "weights: model.norm.weight of the reference is missing",
    ),
    "a weight that was never there": (
        with_weights(lambda listed: [*listed, Sketched(name="visual.w", layer=None, shape=(3,), slices=1)]),
        "weights: visual.w is not in the reference",
    ),
    "a weight of another shape": (
        with_weights(
            lambda listed: [replace(each, shape=each.shape[::-1]) if "mtp" in each.name else each for each in listed]
        ),
        "weights: model.layers.4.mtp.weight [64, 32] in 1 slices, not executed, the reference has",
    ),
    "a weight that is used now": (
        everything_executed(),
        "weights: model.layers.4.mtp.weight [32, 64] in 1 slices, the reference has",
    ),
    "experts in one piece": (
        with_weights(lambda listed: [replace(each, slices=1) if "experts" in each.name else each for each in listed]),
        "weights: model.layers.1.mlp.experts [8, 32, 16] in 1 slices, the reference has",
    ),
    "embedding and output head trade places": (
        replace(MOE, embedding=synthetic.HEAD, head=synthetic.EMBEDDING),
        "weights: another one is the embedding or the output head than in the reference",
    ),
    "a tied output head": (
        replace(MOE, head=None, numbers=replace(MOE.numbers, head_rows=np.zeros(0))),
        "weights: another one is the embedding or the output head than in the reference",
    ),
}


@pytest.mark.parametrize("case", OUTLINES)
def test_records_of_another_outline_are_a_mismatch(case: str) -> None:
    measured, message = OUTLINES[case]
    found = compare(MOE, measured)
    assert found.verdict == "mismatch"
    assert str(found.first_difference).startswith(message)
    assert found.worst is None
    assert compare(measured, MOE).verdict == "mismatch"


BROKEN: dict[str, Record] = {
    "a logit that is not a number": edited(MOE, logits_projection=put((3, 3), np.nan)),
    "a residual that is infinite": edited(MOE, residual_projection=put((0, 3, 3), np.inf)),
    "a margin that is not a number": edited(MOE, router_margin=put((0, 3), np.nan)),
    "claims more coverage": replace(MOE, coverage=replace(MOE.coverage, experts_reached=3)),
    "no prompts": replace(MOE, prompts=(), summaries=()),
    "single precision": replace(MOE, numbers=replace(MOE.numbers, logsumexp=MOE.numbers.logsumexp.astype(np.float32))),
    "no summaries": replace(MOE, summaries=()),
    "a sketch that is not a number": edited(MOE, sketches=put(9, np.nan)),
    "a row of the embedding that is infinite": edited(MOE, embedding_rows=put(9, -np.inf)),
    "a row of the output head that is not a number": edited(MOE, head_rows=put(9, np.nan)),
    "weights without sketches": replace(MOE, numbers=replace(MOE.numbers, sketches=np.zeros(0))),
    "no weights": replace(MOE, weights=()),
    "an embedding that is not there": replace(MOE, embedding="model.embed.weight"),
    "nothing measured": replace(
        MOE, numbers=replace(MOE.numbers, **{name: a[:0] for name, a in MOE.numbers.arrays().items()})
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_record_that_contradicts_itself_is_invalid_on_either_side(case: str) -> None:
    broken = BROKEN[case]
    found = compare(MOE, broken)
    assert (found.verdict, found.worst) == ("invalid", None)
    assert found.detail.startswith("the measurement contradicts itself: behaviour.")
    assert compare(broken, MOE).detail.startswith("the reference contradicts itself: ")
    assert compare(broken, broken).verdict == "invalid"


STORED_OTHERWISE: dict[str, Record] = {
    "in fewer tensors": replace(MOE, coverage=replace(MOE.coverage, tensors_read=39)),
    "under other names": replace(MOE, coverage=replace(MOE.coverage, tensors_not_executed=("mtp_packed", "mtp_scale"))),
}


@pytest.mark.parametrize("case", STORED_OTHERWISE)
def test_the_same_values_stored_otherwise_are_the_same_model(case: str) -> None:
    assert compare(MOE, STORED_OTHERWISE[case]).verdict == "match"
    assert compare(STORED_OTHERWISE[case], MOE).verdict == "match"


def challenged(nonce: str | None, digest: str = MOE.model_digest, noise: float = 0.0) -> Record:
    """Return what might answer a challenge; the numbers are the same for all, which is why keys are compared first."""
    key = challenge_key(digest, nonce) if nonce is not None else b""
    asked = prompts.challenged(prompts.seeded(200), 200, key)
    numbers = synthetic.random_numbers(2048, layers=4, router_layers=(1, 3), chosen=2, experts=8, vocabulary=200)
    record = synthetic.record_of(asked, numbers, experts=16, vocabulary=200)
    record = replace(record, model_digest=digest, challenge=nonce)
    return synthetic.noisy(record, noise) if noise else record


def test_two_answers_to_one_challenge_are_compared() -> None:
    assert compare(challenged("a"), challenged("a", noise=1e-15)).verdict == "match"


CHALLENGES: dict[str, tuple[Record, Record, str]] = {
    "another nonce": (
        challenged("a"), challenged("b"), "the reference answers the challenge 'a', the measurement 'b': only",
    ),
    "no challenge": (challenged("a"), challenged(None), "the reference answers the challenge 'a', the measurement"),
    "another checkpoint": (
        challenged("a"), challenged("a", digest="6b" * 32),
        f"a challenge is drawn for one checkpoint: the reference is of {'5a' * 32}, the measurement of {'6b' * 32}",
    ),
    "a nonce with blanks": (
        replace(challenged("a"), challenge="a "), replace(challenged("a"), challenge="a "), "the reference contradicts",
    ),
    "the fixed record under a nonce": (
        challenged("a"), replace(challenged(None), challenge="a"), "the measurement contradicts itself: behaviour.json",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CHALLENGES)
def test_records_of_different_challenges_are_never_compared(case: str) -> None:
    reference, measured, message = CHALLENGES[case]
    found = compare(reference, measured)
    assert (found.verdict, found.worst) == ("invalid", None)
    assert found.detail.startswith(message)
    assert compare(measured, reference).verdict == "invalid"


def test_another_model_digest_is_recorded_for_the_caller() -> None:
    found = compare(MOE, replace(MOE, model_digest="6b" * 32))
    assert (found.verdict, found.same_model) == ("match", False)


def test_small_rows_are_judged_by_the_usual_size_of_their_layer() -> None:
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(101, 4))
    rows[7] = 1e-13
    moved = rows.copy()
    moved[7] += 1e-15
    assert row_errors(rows, moved)[7] < 1e-14
    rows[0] *= 1e6  # one position with massive activations must not blind the rule to the others
    moved = rows.copy()
    moved[50] *= 1 + 1e-8
    assert row_errors(rows, moved)[50] > ACTIVATION_LIMIT


def test_row_errors_are_bounded_and_zero_only_for_equal_rows() -> None:
    zeros = np.zeros((5, 4))
    ones = np.ones((5, 4))
    assert row_errors(zeros, zeros).tolist() == [0.0] * 5
    assert row_errors(zeros, ones).tolist() == [1.0] * 5
    assert row_errors(ones, -ones).tolist() == [2.0] * 5


def test_an_outcome_is_json() -> None:
    found = compare(MOE, MOE)
    document = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert document == {
        "verdict": "match",
        "first_difference": None,
        "first_layer": None,
        "weights": [],
        "detail": (
            "160 positions through 4 layers agree within 0.0e+00, allowed 1e-09, 12 weights within 0.0e+00, "
            "allowed 1e-12; 0 positions masked"
        ),
        "worst": 0.0,
        "worst_sketch": 0.0,
        "layer_errors": [0.0] * 4,
        "positions": 160,
        "near_ties": 0,
        "masked_positions": 0,
        "same_model": True,
    }


@pytest.mark.parametrize("found", [not_measured("not asked for"), invalid("behaviour.json is missing")])
def test_outcomes_without_a_comparison_do_not_pass(found: Comparison) -> None:
    assert not found.passed
    assert found.to_dict()["verdict"] in ("not measured", "invalid")
