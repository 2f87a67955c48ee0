"""`mbom identify`: the fixture against bundles, by its files, by its tensors and by what it computes with."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attesting import Scene
from commands import schema
from measuring import Records

from mbom import bundle
from mbom.cli import run

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def identify(capsys: pytest.CaptureFixture[str], home: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs the command in this process: exit status, standard output, standard error."""
    monkeypatch.setenv("HOME", str(home))

    def called(*arguments: str | Path) -> tuple[int, str, str]:
        capsys.readouterr()
        status = run(["identify", *map(str, arguments)])
        told = capsys.readouterr()
        return status, told.out, told.err

    return called


def document(identify: Command, *arguments: str | Path) -> dict[str, Any]:
    status, out, err = identify(*arguments, "--json")
    assert out, err
    found: dict[str, Any] = json.loads(out)
    schema("identify").validate(found)
    assert found["exit_code"] == status
    return found


def test_a_checkpoint_is_its_bundle(identify: Command, records: Records) -> None:
    status, out, err = identify(records.checkpoint, "--against", records.bundle)
    header, row, answer = out.splitlines()
    assert status == 0
    assert header.split()[:3] == ["outcome", "bytes", "tensors"]
    assert row.startswith("identical  100.0%  79 of 79  -         -          ")
    assert answer == f"IDENTICAL: {records.bundle}: the same files"
    assert "comparing  with 1 known model" in err


def test_a_copy_with_one_weight_moved_is_derived_and_as_near_as_that(identify: Command, records: Records) -> None:
    found = document(identify, records.bent, "--against", records.bundle, "--record", records.of_bent)
    (known,) = found["candidates"]
    assert (found["outcome"], known["outcome"], known["same_files"]) == ("derived", "derived", False)
    assert (known["tensors"]["equal"], known["tensors"]["of"]) == (78, 79)
    assert 0 < known["sketches"]["distance"] < 0.01
    assert known["sketches"]["comparable"] == 1.0
    assert known["sketches"]["chance"] < 1e-6
    without = document(identify, records.bent, "--against", records.bundle)
    assert without["outcome"] == "derived"
    assert (without["record"], without["candidates"][0]["sketches"]) == (False, None)


def test_what_is_measured_is_what_was_recorded(identify: Command, records: Records) -> None:
    measured = document(identify, records.bent, "--against", records.bundle, "--measure", "--device", "cpu")
    recorded = document(identify, records.bent, "--against", records.bundle, "--record", records.of_bent)
    assert measured == recorded


def test_a_bundle_in_the_folder_of_known_ones_is_not_held_against_itself(
    identify: Command, attested: Scene, tmp_path: Path
) -> None:
    folder = tmp_path / "known"
    shutil.copytree(attested.bundle, folder / "mine.mbom")
    status, out, _ = identify(folder / "mine.mbom", "--against", folder)
    assert (status, out.splitlines()[-1]) == (
        3, "NOT ENOUGH EVIDENCE: there is no known model to hold it against",
    )  # fmt: skip
    shutil.make_archive(str(folder / "copy"), "zip", attested.bundle)
    found = document(identify, folder / "mine.mbom", "--against", folder)
    assert (found["outcome"], found["candidates"][0]["label"]) == ("identical", str(folder / "copy.zip"))


def test_wrong_usage_says_what_is_right(identify: Command, records: Records, tmp_path: Path) -> None:
    against = ("--against", records.bundle)
    for arguments, status, sentence in (
        ((records.checkpoint,), 2, "Missing option '--against'"),
        ((records.checkpoint, "--against", tmp_path / "nowhere"), 3, "nowhere"),
        ((records.checkpoint, "--against", records.checkpoint), 2, "neither a bundle nor a folder that holds one"),
        ((records.bundle, *against, "--measure"), 2, "a bundle holds its own record"),
        ((records.bent, *against, "--measure", "--record", records.of_bent), 2, "exclude each other"),
        ((records.bent, *against, "--record", records.measured), 1, "the record is of model"),
        ((records.bent, *against, "--record", tmp_path / "none"), 3, "no such record"),
    ):
        told = identify(*arguments)
        assert (told[0], sentence in told[2]) == (status, True), told
        assert told[1] == ""


def test_a_known_bundle_that_is_broken_is_named_and_nothing_is_answered(identify: Command, scene: Scene) -> None:
    scene.edit_member(bundle.INVENTORY, lambda data: data[:-20])
    status, out, err = identify(scene.checkpoint, "--against", scene.bundle)
    assert (status, out) == (1, "")
    assert scene.bundle.name in err


def test_hostile_names_move_no_cursor(identify: Command, attested: Scene, tmp_path: Path) -> None:
    hostile = tmp_path / "gpt\x1b[2J\u202e.mbom"
    shutil.copytree(attested.bundle, hostile)
    _, out, err = identify(attested.checkpoint, "--against", hostile)
    assert (out + err).replace("\n", "").isprintable()
    assert "gpt\\x1b[2J" in out
