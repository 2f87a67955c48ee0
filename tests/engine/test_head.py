import math

import pytest
import torch
from torch import Tensor

from mbom.behaviour.numbers import LOGIT_DIMENSIONS, TOP_TOKENS
from mbom.behaviour.projection import FIXED, challenge_key, signs
from mbom.engine.head import Logits, logits
from mbom.errors import EngineError

HIDDEN = torch.randn(5, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
MATRIX = torch.randn(300, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


KEY = challenge_key("5a" * 32, "a nonce")


def run(matrix: Tensor, rows: int, key: bytes = FIXED) -> Logits:
    return logits(HIDDEN, torch.split(matrix, rows), len(matrix), key=key)


@pytest.mark.parametrize("key", [FIXED, KEY], ids=["fixed", "challenge"])
@pytest.mark.parametrize("rows", [1, 7, 64, 299, 300])
def test_blocks_of_any_size_give_what_the_whole_matrix_gives(rows: int, key: bytes) -> None:
    expected = HIDDEN @ MATRIX.T
    found = run(MATRIX, rows, key)
    assert torch.equal(found.top_ids, expected.topk(TOP_TOKENS, dim=1).indices)
    assert torch.allclose(found.top, expected.topk(TOP_TOKENS, dim=1).values, rtol=1e-13, atol=1e-14)
    assert torch.allclose(found.logsumexp, expected.logsumexp(1), rtol=1e-14, atol=0)
    directions = torch.from_numpy(signs("logits", (300, LOGIT_DIMENSIONS), key)).to(torch.float64)
    projection = (expected - expected.mean(1, keepdim=True)) @ directions / math.sqrt(300)
    assert torch.allclose(found.projection, projection, rtol=0, atol=1e-13)


@pytest.mark.parametrize("rows", [7, 300])
def test_capped_logits_are_those_of_the_whole_row(rows: int) -> None:
    expected = 2.5 * torch.tanh(HIDDEN @ MATRIX.T / 2.5)
    found = logits(HIDDEN, torch.split(MATRIX, rows), 300, softcap=2.5)
    assert torch.allclose(found.top, expected.topk(TOP_TOKENS, dim=1).values, rtol=1e-13, atol=0)
    assert torch.allclose(found.logsumexp, expected.logsumexp(1), rtol=1e-14, atol=0)
    directions = torch.from_numpy(signs("logits", (300, LOGIT_DIMENSIONS))).to(torch.float64)
    projection = (expected - expected.mean(1, keepdim=True)) @ directions / math.sqrt(300)
    assert torch.allclose(found.projection, projection, rtol=0, atol=1e-13)


def test_a_large_common_offset_costs_no_precision_in_the_projection() -> None:
    shift = 1e6 * HIDDEN[0] / (HIDDEN[0] @ HIDDEN[0])  # adds 1e6 to every logit of the first position
    plain, shifted = run(MATRIX, 64), run(MATRIX + shift, 64)
    assert torch.allclose(plain.projection[0], shifted.projection[0], rtol=0, atol=1e-7)


def test_equal_logits_are_listed_by_ascending_id() -> None:
    # Small integers, so that blocks of different sizes cannot round differently.
    hidden, matrix = torch.ones(2, 4, dtype=torch.float64), torch.ones(30, 4, dtype=torch.float64)
    matrix[20:] = 2
    found = logits(hidden, torch.split(matrix, 7), 30)
    assert found.top_ids.tolist() == [[*range(20, 30), *range(20)]] * 2


def test_a_small_vocabulary_is_listed_whole() -> None:
    assert run(MATRIX[:10], 3).top_ids.shape == (5, 10)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_logit_that_is_no_finite_number_is_an_error(value: float) -> None:
    matrix = MATRIX.clone()
    matrix[200, 3] = value
    with pytest.raises(EngineError, match="not finite, at token 192 or after"):
        run(matrix, 64)
