import pytest
import torch
from torch import nn

from mbom.engine.float64 import Float64, Skeleton, placeholder
from mbom.errors import EngineError


def test_requests_for_narrower_floats_give_float64() -> None:
    x = torch.randn(4, 4, dtype=torch.float64)
    with Float64():
        for narrow in (
            x.to(torch.float32), x.float(), x.half(), x.bfloat16(), x.type(torch.float32),
            torch.softmax(x, dim=-1, dtype=torch.float32), torch.zeros(3, dtype=torch.bfloat16),
            torch.arange(0, 8, 2, dtype=torch.float), torch.arange(4).float(), x.sum(dtype=torch.float32),
            torch.zeros_like(x, dtype=torch.float16), x.new_empty(2, dtype=torch.float32),
        ):  # fmt: skip
            assert narrow.dtype == torch.float64


def test_a_round_trip_through_a_narrow_type_loses_nothing() -> None:
    x = torch.tensor([1 / 3], dtype=torch.float64)
    with Float64():
        assert torch.equal(x.to(torch.bfloat16).to(torch.float64), x)


def test_integers_and_booleans_are_left_alone() -> None:
    with Float64():
        assert torch.arange(3).dtype == torch.int64
        assert (torch.arange(3) > 1).dtype == torch.bool
        assert torch.zeros(2, dtype=torch.uint8).dtype == torch.uint8


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_an_operation_that_computes_in_a_narrow_type_is_an_error(dtype: torch.dtype) -> None:
    narrow = torch.ones(2, dtype=dtype)
    with Float64(), pytest.raises(EngineError, match="computed in torch"):
        narrow + narrow


def test_complex_numbers_are_pairs_of_float64() -> None:
    with Float64():
        assert torch.zeros(2, dtype=torch.complex64).dtype == torch.complex128
    narrow = torch.ones(2, dtype=torch.complex64)
    with Float64(), pytest.raises(EngineError, match="complex64"):
        narrow * narrow


def test_what_names_no_type_is_float64_and_only_inside() -> None:
    with Float64():
        assert (torch.arange(3) / 2).dtype == torch.float64
        assert torch.tensor(0.5).dtype == torch.float64
    assert torch.get_default_dtype() == torch.float32


def test_a_paused_mode_leaves_operations_alone() -> None:
    mode = Float64()
    with mode:
        with mode.paused():
            assert torch.zeros(2, dtype=torch.bfloat16).dtype == torch.bfloat16
        assert torch.zeros(2, dtype=torch.bfloat16).dtype == torch.float64


def test_selections_are_reported_with_their_scores() -> None:
    mode, seen = Float64(), []
    mode.on_topk = lambda scores, k: seen.append((scores.tolist(), k))
    with mode:
        torch.tensor([3.0, 1.0, 2.0], dtype=torch.float64).topk(2)
    assert seen == [([3.0, 1.0, 2.0], 2)]


def test_a_skeleton_takes_no_memory_for_parameters_and_computes_constants() -> None:
    class Block(nn.Module):
        frequencies: torch.Tensor

        def __init__(self) -> None:
            super().__init__()
            self.matrix = nn.Linear(1 << 20, 1 << 20)  # four terabytes in float32
            self.embedding = nn.Embedding(1 << 20, 1 << 20, padding_idx=7)
            self.register_buffer("frequencies", 1.0 / (10000.0 ** (torch.arange(0, 8, 2, dtype=torch.float) / 8)))

    with Skeleton(), torch.no_grad():
        block = Block()
    assert block.matrix.weight.untyped_storage().nbytes() == 8
    assert block.embedding.weight[0, 0].isnan()
    exact = [10000.0 ** (-i / 8) for i in range(0, 8, 2)]
    assert block.frequencies.tolist() == pytest.approx(exact, rel=1e-15)


def test_a_placeholder_shows_in_every_result() -> None:
    weight = placeholder((3, 3), torch.device("cpu"))
    assert (torch.ones(3, dtype=torch.float64) @ weight).isnan().all()
