import contextlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import tinymodels
import torch
from tinymodels import TinyModel

from mbom import engine
from mbom.behaviour.prompts import Prompt, seeded
from mbom.behaviour.record import Record
from mbom.engine import run, stock
from mbom.engine.state import JSON_NAME, State
from mbom.errors import BusyError, EngineError
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


def interrupted(tmp_path: Path) -> tuple[TinyModel, State]:
    (tmp_path / "model").mkdir()
    (tmp_path / "state").mkdir()
    model = tinymodels.build("qwen3_moe", tmp_path / "model")
    state = State(folder=tmp_path / "state", interval=0.0)
    with pytest.raises(Interrupted):
        measured(model, state, stop_after(1))
    return model, state


def change_numbers(folder: Path) -> None:
    path = next(folder.glob("*.safetensors"))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def no_json(folder: Path) -> None:
    (folder / JSON_NAME).write_text("{")


def edit(old: str, new: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        text = (folder / JSON_NAME).read_text()
        assert old in text
        (folder / JSON_NAME).write_text(text.replace(old, new, 1))

    return damage


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "one bit of the numbers": (change_numbers, "its SHA-256 is not the one"),
    "numbers that are gone": (lambda folder: next(folder.glob("*.safetensors")).unlink(), "cannot be read"),
    "no JSON": (no_json, "JSON"),
    "another format": (edit("measure-state:v1", "measure-state:v9"), "only 'urn:mbom:measure-state:v1' is known"),
    "a member more": (edit('"schema"', '"note": 1, "schema"'), "unknown member 'note'"),
    "a member less": (edit('"rows"', '"row"'), "'rows'"),
    "a pass over a stranger": (edit('"passes": {', '"passes": {"stranger": 1, '), "unknown member 'stranger'"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_state_is_refused_with_what_to_do(damage: str, tmp_path: Path) -> None:
    model, state = interrupted(tmp_path)
    change, message = DAMAGES[damage]
    change(state.folder)
    with pytest.raises(EngineError, match=message):
        measured(model, state)


def test_a_state_waits_for_its_time(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "state").mkdir()
    model = tinymodels.build("llama", tmp_path / "model")
    measured(model, State(folder=tmp_path / "state", interval=1e6))
    assert list((tmp_path / "state").iterdir()) == []


def test_only_the_last_state_is_kept(tmp_path: Path) -> None:
    _, state = interrupted(tmp_path)
    assert sorted(path.name for path in state.folder.iterdir()) == ["1.safetensors", JSON_NAME]


def through_processes(
    model: TinyModel, states: Path, *, resume: bool, stop: int | None = None
) -> tuple[Record, list[engine.MeasureProgress]]:
    reports: list[engine.MeasureProgress] = []

    def progress(report: engine.MeasureProgress) -> None:
        reports.append(report)
        if stop is not None and (report.phase, report.done) == ("layer", stop):
            raise Interrupted

    record = engine.run_prompts(
        model.files, model.inventory(), seeded(256), device="cpu", states=states, resume=resume, interval=0.0,
        progress=progress,
    )  # fmt: skip
    return record, reports


def begun(model: TinyModel, states: Path, *, resume: bool) -> int:
    """Return after how many layers a measurement begins, and go no further."""
    reports: list[engine.MeasureProgress] = []

    def progress(report: engine.MeasureProgress) -> None:
        reports.append(report)
        raise Interrupted

    with pytest.raises(Interrupted):
        engine.run_prompts(
            model.files, model.inventory(), seeded(256), device="cpu", states=states, resume=resume, interval=0.0,
            progress=progress,
        )  # fmt: skip
    return reports[0].done


def test_an_interrupted_measurement_is_gone_on_with_when_that_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    states = tmp_path / "states"
    model = tinymodels.quantise_mxfp4(tinymodels.build("gpt_oss", tmp_path / "model"))
    with pytest.raises(Interrupted):
        through_processes(model, states, resume=False, stop=3)
    assert len(list(states.iterdir())) == 1
    resumed, reports = through_processes(model, states, resume=True)
    assert reports[0].done in (2, 3)  # the last layer's state may not have been written when its report arrived
    assert reports[0].bytes_read > 0
    assert reports[-1].bytes_read == reports[-1].bytes_total
    assert list(states.iterdir()) == []
    whole, reports = through_processes(model, states, resume=False)
    assert reports[0].done == 0
    assert resumed == whole


def test_a_state_is_not_taken_up_unless_that_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    model = tinymodels.build("llama", tmp_path / "model")
    with pytest.raises(Interrupted):
        through_processes(model, tmp_path / "states", resume=False, stop=2)
    assert begun(model, tmp_path / "states", resume=False) == 0


def test_of_two_runs_that_measure_the_same_one_keeps_the_state_and_the_other_can_wait_or_do_without(
    tmp_path: Path,
) -> None:
    (tmp_path / "model").mkdir()
    states = tmp_path / "states"
    model = tinymodels.build("llama", tmp_path / "model")
    seen: list[Record] = []

    def meanwhile(report: engine.MeasureProgress) -> None:
        if (report.phase, report.done) == ("layer", 2) and not seen:
            with pytest.raises(BusyError, match="another run is measuring the same"):
                through_processes(model, states, resume=True)
            held = sorted(states.iterdir())
            seen.append(through_processes(model, states, resume=False)[0])
            assert sorted(states.iterdir()) == held, "the second run touched the state of the first"

    first = engine.run_prompts(
        model.files, model.inventory(), seeded(256), device="cpu", states=states, interval=0.0, progress=meanwhile
    )
    assert seen == [first]
    assert list(states.iterdir()) == []


def test_what_was_measured_is_kept_until_the_record_is_where_it_belongs(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    states = tmp_path / "states"
    model = tinymodels.build("llama", tmp_path / "model")
    reports: list[engine.MeasureProgress] = []

    def run(until: contextlib.ExitStack, *, resume: bool) -> Record:
        return engine.run_prompts(
            model.files, model.inventory(), seeded(256), device="cpu", states=states, resume=resume, interval=0.0,
            progress=reports.append, until=until,
        )  # fmt: skip

    records: list[Record] = []

    def fail() -> None:
        with contextlib.ExitStack() as until:
            records.append(run(until, resume=False))
            raise OSError("the disk is full when the bundle is written")

    with pytest.raises(OSError, match="full"):
        fail()
    assert [path.suffix for path in states.iterdir()] == [""], "the state, and no lock on it"
    reports.clear()
    with contextlib.ExitStack() as until:
        assert run(until, resume=True) == records[0]
    assert reports[0].done > 0
    assert list(states.iterdir()) == []


def test_a_state_of_other_weights_is_another_state(tmp_path: Path) -> None:
    for seed in (1, 2):
        (tmp_path / str(seed)).mkdir()
    first, second = (tinymodels.build("llama", tmp_path / str(seed), seed=seed) for seed in (1, 2))
    with pytest.raises(Interrupted):
        through_processes(first, tmp_path / "states", resume=False, stop=2)
    assert begun(second, tmp_path / "states", resume=True) == 0
