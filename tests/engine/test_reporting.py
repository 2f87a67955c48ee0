"""Reports of progress: how often, what they say, and how strictly they are read."""

import json
from typing import Any

import pytest

from mbom import engine
from mbom.engine.reporting import MeasureProgress, Reporter
from mbom.errors import EngineError, FormatError
from mbom.strictjson import Json


class Scene:
    """A reporter with a clock and counts that the test moves."""

    def __init__(self, *, before: int = 0, total: int = 1000) -> None:
        self.now = 100.0
        self.read = 0
        self.experts = 0
        self.heard: list[MeasureProgress] = []
        self.reporter = Reporter(
            lambda report: self.heard.append(MeasureProgress.from_json(json.loads(json.dumps(report)), "report")),
            counts=lambda: (self.read, self.experts),
            experts=8,
            bytes_total=total,
            bytes_before=before,
            clock=lambda: self.now,
        )

    def work(self, seconds: float, read: int) -> None:
        self.now += seconds
        self.read += read
        self.reporter.tick()


def test_steps_are_always_reported_and_the_work_between_them_twice_a_second() -> None:
    scene = Scene()
    for layer in range(3):
        scene.reporter.step("layer", layer, 3)
    assert [report.done for report in scene.heard] == [0, 1, 2]
    for _ in range(1000):
        scene.work(0.01, 1)  # ten seconds
    assert 18 <= len(scene.heard) - 3 <= 20


def test_the_rate_counts_bytes_of_everything_and_gives_the_time_left() -> None:
    scene = Scene()
    scene.reporter.step("layer", 0, 2)
    assert (scene.heard[-1].rate, scene.heard[-1].seconds_left) == (0.0, None)
    scene.work(2.0, 100)
    assert (scene.heard[-1].rate, scene.heard[-1].seconds_left) == (50.0, 18.0)
    scene.work(2.0, 500)
    scene.reporter.step("output head", 0, 1)
    assert scene.heard[-1].rate == 150.0
    assert scene.heard[-1].seconds_left == pytest.approx(400 / 150)
    scene.work(4.0, 400)
    assert scene.heard[-1].seconds_left == 0.0


def test_a_resumed_run_counts_what_was_read_before_but_not_in_its_rate() -> None:
    scene = Scene(before=600)
    scene.work(4.0, 200)
    assert scene.heard[-1].bytes_read == 800
    assert scene.heard[-1].rate == 50.0
    assert scene.heard[-1].seconds_left == 4.0


def test_counts_never_pass_their_totals() -> None:
    scene = Scene(total=10)
    scene.experts = 9
    scene.work(2.0, 30)
    assert (scene.heard[-1].bytes_read, scene.heard[-1].experts_read) == (10, 8)


GOOD: dict[str, Any] = {
    "phase": "layer", "done": 1, "total": 3, "experts_read": 4, "experts": 8, "bytes_read": 5, "bytes_total": 9,
    "rate": 2.5,
}  # fmt: skip


def test_a_report_is_read_as_it_was_written() -> None:
    assert MeasureProgress.from_json(dict(GOOD), "report").to_dict() == GOOD


@pytest.mark.parametrize(
    "change",
    [
        {"phase": "\x1b[2J"}, {"phase": "layers"}, {"done": 4}, {"done": -1}, {"done": True}, {"done": 1.0},
        {"experts_read": 9}, {"bytes_read": 10}, {"bytes_total": "9"}, {"rate": -1}, {"rate": "fast"}, {"more": 1},
        {"rate": None},
    ],
)  # fmt: skip
def test_a_report_that_makes_no_sense_breaks_the_protocol(change: dict[str, Json]) -> None:
    with pytest.raises(FormatError):
        MeasureProgress.from_json({**GOOD, **change}, "report")
    with pytest.raises(EngineError, match="broken protocol: the measure process"):
        engine._hear({**GOOD, **change}, None)


@pytest.mark.parametrize("report", [[], "layer", None, {}, {name: GOOD[name] for name in GOOD if name != "rate"}])
def test_a_report_that_is_none_breaks_the_protocol(report: Json) -> None:
    with pytest.raises(EngineError, match="broken protocol"):
        engine._hear(report, None)
