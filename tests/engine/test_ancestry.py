"""Descent as real records show it: unrelated weights, edited ones, and the same ones in fewer bits."""

from collections.abc import Callable
from pathlib import Path

import pytest
import quantisers
import syntheticrecords as synthetic
import tinymodels
import torch
from tinymodels import TinyModel
from torch import Tensor

from mbom.ancestry import Base, Compared, compare
from mbom.behaviour.record import Record
from mbom.engine import run

PROMPTS = synthetic.fixed_prompts(256, length=3)


def measured(model: TinyModel) -> Record:
    return run.measured(
        model.files, model.inventory(), PROMPTS,
        challenge=None, device=torch.device("cpu"), isolation=("none",), emit=lambda _report: None,
    )  # fmt: skip


def held_against(model: TinyModel, base: TinyModel) -> Compared:
    return compare(model.inventory(), measured(model), Base(inventory=base.inventory(), record=measured(base)))


def noise(share: float) -> Callable[[dict[str, Tensor]], None]:
    """Return an edit that moves every matrix by a share of its norm."""

    def alter(tensors: dict[str, Tensor]) -> None:
        torch.manual_seed(99)
        for name, tensor in tensors.items():
            if tensor.ndim > 1:
                moved = tensor.float() + share * tensor.float().std() * torch.randn(tensor.shape)
                tensors[name] = moved.to(tensor.dtype)

    return alter


def test_two_random_models_of_one_family_are_not_shown_to_be_related(tmp_path: Path) -> None:
    first, second = (tinymodels.build("gpt_oss", tmp_path / str(seed), seed=seed) for seed in (1, 2))
    found = held_against(first, second)
    assert found.outcome == "not shown"
    assert found.sketches is not None
    assert found.sketches.compared == found.sketches.elements
    assert found.sketches.near == 0
    assert abs(found.sketches.distance - 1) < 5 * found.sketches.error


def test_a_copy_that_was_trained_further_is_derived(tmp_path: Path) -> None:
    share = 0.3
    base = tinymodels.build("llama", tmp_path / "base")
    found = held_against(tinymodels.build("llama", tmp_path / "copy", alter=noise(share)), base)
    assert found.outcome == "derived"
    assert found.sketches is not None
    assert found.shared < 0.1 * found.size  # norms and biases alone are the same bytes
    assert found.sketches.distance == pytest.approx(share / 2**0.5, rel=0.15)


@pytest.mark.parametrize("case", ["qwen3 in int8", "llama in int4"])
def test_a_quantised_copy_is_derived_by_its_values(case: str, tmp_path: Path) -> None:
    family, encode, description = quantisers.FORMATS[case]
    base = tinymodels.build(family, tmp_path / "base")
    copy = quantisers.quantise(tinymodels.build(family, tmp_path / "copy"), encode, description)
    found = held_against(copy, base)
    assert found.outcome == "derived"
    assert found.sketches is not None
    assert found.sketches.near == found.sketches.elements
    assert 0 < found.sketches.distance < 0.15
