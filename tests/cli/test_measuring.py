"""A measurement as people see it: how far it is, and that a broken one leaves nothing behind."""

import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from attesting import CREATED, FIXTURE
from commands import mbom
from rich.console import Console

from mbom import cli
from mbom.attest import attest
from mbom.cli.console import Display, duration
from mbom.engine import Measurement, MeasureProgress
from mbom.errors import EngineError, RefusedError
from mbom.source import FolderSource

GB = 1_000_000_000


def report(read: int, *, phase: str = "layer", done: int = 0, total: int = 36, rate: float = 0.25e9) -> MeasureProgress:
    return MeasureProgress.from_json(
        {
            "phase": phase, "done": done, "total": total, "experts_read": read * 4608 // (65 * GB), "experts": 4608,
            "bytes_read": read, "bytes_total": 65 * GB, "rate": rate,
        },
        "report",
    )  # fmt: skip


def test_without_a_terminal_every_tenth_of_the_bytes_has_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    with Display(quiet=False).measuring() as show:
        show(report(0, rate=0))
        for gigabyte in range(1, 65):
            show(report(gigabyte * GB, done=gigabyte // 2))
        show(report(65 * GB, phase="output head", done=1, total=1))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 10
    assert lines[0] == "  measuring  layer 3 of 36 · 496 of 4,608 experts · 7.00 GB of 65.0 GB · 250 MB/s · 4 min left"
    assert lines[-1] == "  measuring  output head · 4,608 of 4,608 experts · 65.0 GB of 65.0 GB · 250 MB/s"


def test_on_a_terminal_the_bar_has_experts_rate_and_time_left() -> None:
    display = Display(quiet=False)
    screen = io.StringIO()
    display.err = Console(file=screen, force_terminal=True, width=140, highlight=False)
    with display.measuring() as show:
        show(report(13 * GB, done=7))
    for words in ("measuring layer 7 of 36", "921 of 4,608 experts", "13.0 GB of 65.0 GB", "250 MB/s", "3 min left"):
        assert words in screen.getvalue()


def test_quiet_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    with Display(quiet=True).measuring() as show:
        show(report(65 * GB))
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "0 s"), (99.4, "99 s"), (99.6, "2 min"), (3600, "60 min"), (5969, "99 min"), (6000, "1 h 40 min"),
        (90_000, "25 h 0 min"),
    ],
)  # fmt: skip
def test_times_are_as_precise_as_an_estimate(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def cut_short(folder: Path) -> None:
    shard = max(folder.glob("*.safetensors"))
    os.truncate(shard, shard.stat().st_size - 100)


def change_last_byte(folder: Path) -> None:
    with max(folder.glob("*.safetensors")).open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last[0] ^ 1]))


def take_away(folder: Path) -> None:
    max(folder.glob("*.safetensors")).unlink()


@pytest.mark.parametrize(
    ("breaks", "kind", "message"),
    [
        (cut_short, RefusedError, "ends inside"),
        (change_last_byte, RefusedError, "is not the file that was hashed"),
        (take_away, EngineError, "No such file"),
    ],
)
def test_a_checkpoint_that_breaks_in_the_middle_leaves_no_bundle(
    breaks: Callable[[Path], None], kind: type[Exception], message: str, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    shutil.copytree(FIXTURE, model)
    (tmp_path / "out").mkdir()
    seen: list[MeasureProgress] = []
    with pytest.raises(kind, match=message):
        attest(
            FolderSource(model), tmp_path / "out" / "a.mbom", created=CREATED, signer=None,
            measure=Measurement(device="cpu", progress=seen.append), on_survey=lambda _survey: breaks(model),
        )  # fmt: skip
    assert seen
    assert not list((tmp_path / "out").iterdir())


def test_a_time_limit_ends_in_a_sentence_and_no_bundle(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    run = mbom("attest", FIXTURE, "-o", out / "a.mbom", "--unsigned", "--time-limit", "1", home=tmp_path)
    assert run.returncode == 3
    assert run.stdout == ""
    assert run.stderr.splitlines()[-1] == "mbom: the measure process took more than 1 s, its time limit"
    assert not list(out.iterdir())


@pytest.mark.parametrize("limit", ["0", "-1", "soon", "nan", "0.5"])
@pytest.mark.parametrize("command", ["attest", "verify"])
def test_a_time_limit_is_a_whole_number_of_seconds(
    command: str, limit: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run([command, "x", "--time-limit", limit]) == 2
    assert "--time-limit" in capsys.readouterr().err
