from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import tinymodels
import torch
from tinymodels import TinyModel

from mbom.behaviour.prompts import Prompt, seeded
from mbom.behaviour.record import Record
from mbom.engine import run, stock
from mbom.engine.state import State
from mbom.strictjson import Json

NOT_RESUMED = {"gemma4", "gemma4_text", "glm_moe_dsa"}  # layers share keys and values, or the choice of keys


class Interrupted(Exception):  # noqa: N818  # it stands for the end of the process
    pass


def stop_after(layers: int) -> Callable[[Json], None]:
    """End the measurement when the layer after the first ``layers`` is done."""

    def emit(report: Json) -> None:
        assert isinstance(report, dict)
        if report["phase"] == "layer" and report["done"] == layers + 1:
            raise Interrupted

    return emit


def short() -> tuple[Prompt, ...]:
    """Prompts too short for a valid record, whose numbers show as much."""
    return tuple(replace(prompt, token_ids=prompt.token_ids[:24]) for prompt in seeded(256)[:2])


def measured(
    model: TinyModel,
    state: State | None,
    emit: Callable[[Json], None] = lambda _report: None,
    prompts: tuple[Prompt, ...] | None = None,
) -> Record:
    return run.measured(
        model.files,
        model.inventory(),
        short() if prompts is None else prompts,
        sensitivity=30,
        state=state,
        device=torch.device("cpu"),
        isolation=("none",),
        emit=emit,
    )


@pytest.mark.parametrize("family", sorted(stock.FAMILIES))
def test_a_measurement_goes_on_where_it_was_interrupted(family: str, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "state").mkdir()
    model = tinymodels.build(family, tmp_path / "model")
    state = State(folder=tmp_path / "state", interval=0.0)
    with pytest.raises(Interrupted):
        measured(model, state, stop_after(2))
    reports: list[Json] = []
    resumed = measured(model, state, reports.append)
    assert isinstance(reports[0], dict)
    begun = 0 if family in NOT_RESUMED else 2
    assert (reports[0]["phase"], reports[0]["done"]) == ("layer", begun)
    assert resumed == measured(model, None)
