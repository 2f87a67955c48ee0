import math
from collections.abc import Callable
from pathlib import Path

import pytest
import tinymodels
import torch
from streamed import stream

from mbom.behaviour.projection import FIXED, challenge_key, signs
from mbom.engine.taps import Taps, relative_margin
from mbom.errors import EngineError


def margin(scores: list[float], k: int) -> float:
    return float(relative_margin(torch.tensor([scores], dtype=torch.float64), k))


def test_the_margin_is_the_gap_over_the_largest_magnitude() -> None:
    assert margin([1.0, -8.0, 3.0, 2.0], 2) == 1 / 8


def test_the_order_among_the_chosen_is_no_decision() -> None:
    assert margin([5.0, 5.0, 1.0], 2) == 4 / 5


def test_a_tie_at_the_edge_has_no_margin() -> None:
    assert margin([5.0, 2.0, 2.0], 2) == 0


def test_equal_scores_of_zero_have_no_margin() -> None:
    assert margin([0.0, 0.0, 0.0], 1) == 0


def test_choosing_all_has_an_infinite_margin() -> None:
    assert margin([1.0, 2.0], 2) == math.inf


def test_groups_that_were_ruled_out_are_no_rivals() -> None:
    assert margin([1.0, 2.0, -math.inf, -math.inf], 2) == math.inf
    assert margin([1.0, 2.0, 4.0, -math.inf], 2) == 1 / 4


def test_a_choice_among_what_was_ruled_out_has_no_margin() -> None:
    assert margin([1.0, -math.inf, -math.inf], 2) == 0


def test_scores_that_are_not_numbers_are_an_error() -> None:
    with pytest.raises(EngineError, match="not numbers"):
        margin([1.0, math.nan], 1)


@pytest.mark.parametrize("key", [FIXED, challenge_key("5a" * 32, "a nonce")], ids=["fixed", "challenge"])
def test_the_residual_stream_is_projected_at_the_recorded_positions(key: bytes) -> None:
    hidden = torch.randn(2, 5, 24, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    taps = Taps(positions=torch.tensor([0, 1, 2, 5, 9]), key=key)
    for layer in (0, 1):
        taps.on_layer(layer, hidden)
        directions = torch.from_numpy(signs(f"residual/{layer}", (24, 4), key)).to(torch.float64)
        rows = torch.stack([hidden[0, 0], hidden[0, 1], hidden[0, 2], hidden[1, 0], hidden[1, 4]])
        assert torch.allclose(taps.residual[layer], rows @ directions / math.sqrt(24), rtol=0, atol=1e-14)
    assert not torch.allclose(taps.residual[0], taps.residual[1])


def test_a_residual_stream_that_is_not_finite_is_an_error() -> None:
    hidden = torch.zeros(1, 3, 8, dtype=torch.float64)
    hidden[0, 1, 3] = math.inf
    Taps(positions=torch.tensor([0, 2])).on_layer(4, hidden)
    with pytest.raises(EngineError, match="layer 4 computes values that are not finite"):
        Taps(positions=torch.tensor([0, 1])).on_layer(4, hidden)


IDS = torch.randint(3, 256, (1, 24), generator=torch.Generator().manual_seed(1))


def margins(model: tinymodels.TinyModel) -> dict[int, torch.Tensor]:
    return {choice.layer: choice.margin for choice in stream(model, IDS).taps.choices}


def flat(name: str) -> Callable[[dict[str, torch.Tensor]], None]:
    """Return what sets a tensor to zero, so that all scores that come of it are equal."""
    return lambda tensors: tensors.__setitem__(name, torch.zeros_like(tensors[name]))


def test_keys_that_are_chosen_by_chance_leave_the_next_router_no_margin(tmp_path: Path) -> None:
    # Layer 0 has no experts: what its indexer chose counts for the router of layer 1.
    alter = flat("model.layers.0.self_attn.indexer.weights_proj.weight")
    model = tinymodels.build("deepseek_v32", tmp_path, settings={"index_topk": 8}, alter=alter)
    found = margins(model)
    assert (found[1][:8] > 0).all()  # as many keys as may be chosen, or fewer
    assert (found[1][8:] == 0).all()
    assert (found[2] > 0).any()


def test_an_indexer_that_takes_every_key_costs_no_margin(tmp_path: Path) -> None:
    alter = flat("model.layers.0.self_attn.indexer.weights_proj.weight")
    model = tinymodels.build("deepseek_v32", tmp_path, settings={"index_topk": 24}, alter=alter)
    assert all((margin > 0).all() for margin in margins(model).values())


def test_keys_left_out_after_the_last_router_cannot_be_measured(tmp_path: Path) -> None:
    settings = {"index_topk": 8, "mlp_layer_types": ["dense", "sparse", "dense"]}
    model = tinymodels.build("deepseek_v32", tmp_path, settings=settings)
    with pytest.raises(EngineError, match="attention leaves keys out after the last router"):
        stream(model, IDS)


def test_experts_looked_up_by_token_have_an_infinite_margin(tmp_path: Path) -> None:
    model = tinymodels.build("deepseek_v4", tmp_path)
    choices = stream(model, IDS).taps.choices
    table = model.values["model.layers.0.ffn.gate.tid2eid"]
    assert torch.equal(choices[0].experts, table[IDS[0]].sort(dim=1).values)
    assert (choices[0].margin == math.inf).all()
    assert all(choice.margin.isfinite().all() for choice in choices[1:])
