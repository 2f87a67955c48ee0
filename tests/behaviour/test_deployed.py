from dataclasses import replace

import numpy as np
import pytest
import syntheticrecords as synthetic
from numpy.typing import NDArray

from mbom.behaviour.compare import compare
from mbom.behaviour.deployed import Deployed, Distance, check, distance
from mbom.errors import FormatError
from mbom.strictjson import Fields

RNG = np.random.default_rng(5)


def log_softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted: NDArray[np.float64] = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return shifted


def test_a_distribution_is_no_distance_from_itself() -> None:
    logprobs = log_softmax(RNG.normal(size=(7, 50)))
    top = np.argsort(-logprobs, axis=1)[:, :8]
    values = np.take_along_axis(logprobs, top, axis=1)
    found = distance(top, values, values, top[:, 0])
    assert found.kl_mean == pytest.approx(0, abs=1e-15)
    assert (found.top1_agreement, found.largest_difference) == (1.0, 0.0)
    check(Deployed(dtype="bfloat16", device="cpu", distance=found), what="here")


def test_the_divergence_is_that_over_the_top_tokens_and_one_bucket_for_the_rest() -> None:
    before, after = log_softmax(RNG.normal(size=(5, 40))), log_softmax(RNG.normal(size=(5, 40)))
    top = np.argsort(-before, axis=1)[:, :6]
    found = distance(
        top, np.take_along_axis(before, top, axis=1), np.take_along_axis(after, top, axis=1), after.argmax(axis=1)
    )
    expected = []
    for row in range(5):
        p = [float(np.exp(before[row, token])) for token in top[row]]
        q = [float(np.exp(after[row, token])) for token in top[row]]
        p, q = [*p, 1 - sum(p)], [*q, 1 - sum(q)]
        expected.append(sum(a * np.log(a / b) for a, b in zip(p, q, strict=True)))
    assert found.kl_mean == pytest.approx(np.mean(expected), rel=1e-12)
    assert found.kl_largest == pytest.approx(max(expected), rel=1e-12)
    assert found.top1_agreement == np.mean(before.argmax(axis=1) == after.argmax(axis=1))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.5, 1e9])
def test_numbers_that_no_run_comes_to_are_refused(value: float) -> None:
    for name in ("kl_mean", "kl_largest", "top1_agreement", "largest_difference"):
        figures = {"kl_mean": 0.1, "kl_largest": 0.5, "top1_agreement": 0.9, "largest_difference": 2.0, name: value}
        with pytest.raises(FormatError, match="is possible"):
            check(Deployed(dtype="bfloat16", device="cpu", distance=Distance(**figures)), what="here")


def test_a_reason_reads_back_in_place_of_a_distance() -> None:
    told = Deployed(dtype="float16", device="auto", reason="it does not fit")
    assert Deployed.from_fields(Fields(told.to_dict(), "here")) == told


def test_the_deployed_tier_is_no_part_of_a_comparison() -> None:
    record = synthetic.moe_record()
    told = Deployed(dtype="bfloat16", device="cpu", reason="it does not fit")
    assert compare(record, replace(record, deployed=told)).verdict == "match"
