from collections.abc import Callable
from pathlib import Path

import pytest
import tinymodels
import torch
from streamed import stream

from mbom.errors import EngineError, FormatError, MbomError

IDS = torch.tensor([[5, 6, 7]])
TABLE = "model.layers.0.ffn.gate.tid2eid"
QUERIES = "model.layers.0.self_attn.q_conv1d.weight"


def changed(name: str, change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[dict[str, torch.Tensor]], None]:
    return lambda tensors: tensors.__setitem__(name, change(tensors[name]).contiguous())


def removed(name: str) -> Callable[[dict[str, torch.Tensor]], None]:
    return lambda tensors: tensors.__delitem__(name)


UNUSABLE: dict[str, tuple[str, Callable[[dict[str, torch.Tensor]], None], type[MbomError], str]] = {
    "a table that names an expert too many": (
        "deepseek_v4", changed(TABLE, lambda table: table + 1), FormatError, f"{TABLE}: names experts from 1 to 8",
    ),
    "a table that names an expert before the first": (
        "deepseek_v4", changed(TABLE, lambda table: table - 1), FormatError, f"{TABLE}: names experts from -1 to 6",
    ),
    "a table of fractions": (
        "deepseek_v4", changed(TABLE, torch.Tensor.float), EngineError, f"{TABLE}: a table of experts holds F32",
    ),
    "a table for fewer tokens": (
        "deepseek_v4", changed(TABLE, lambda table: table[:255]), FormatError, rf"{TABLE}: has the shape \[255, 2\]",
    ),
    "a part of a merged tensor is missing": (
        "kimi_linear", removed(QUERIES), FormatError, "self_attn.conv1d.weight: made up of 2 tensors",
    ),
    "a part of a merged tensor is too small": (
        "kimi_linear", changed(QUERIES, lambda value: value[:32]), FormatError,
        r"self_attn.conv1d.weight: its tensors make \[160, 1, 4\], config.json asks for \[192, 1, 4\]",
    ),
    "a merged tensor is there twice": (
        "kimi_linear",
        lambda tensors: tensors.update({"model.layers.0.self_attn.conv1d.weight": torch.zeros(192, 1, 4)}), FormatError,
        "self_attn.conv1d.weight: made up of 4 tensors",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", UNUSABLE)
def test_tensors_that_do_not_make_up_a_parameter_are_named(case: str, tmp_path: Path) -> None:
    family, alter, error, message = UNUSABLE[case]
    model = tinymodels.build(family, tmp_path, alter=alter)
    with pytest.raises(error, match=message):
        stream(model, IDS)
