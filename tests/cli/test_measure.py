"""`mbom measure`: a record that is there whole or not at all, under a nonce or without one."""

import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from attesting import FIXTURE
from commands import environment, mbom
from measuring import NONCE, Records

from mbom import bundle


def names(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()}


def test_a_record_is_what_attest_puts_into_a_bundle(records: Records) -> None:
    assert names(records.measured) == {"behaviour.json", "behaviour.safetensors"}
    numbers = bundle.BEHAVIOUR_NUMBERS
    assert (records.measured / numbers).read_bytes() == (records.bundle / numbers).read_bytes()
    held = bundle.read_record(records.measured)
    assert held.alone
    assert held.record.challenge is None
    assert not bundle.read_record(records.bundle).alone


def test_a_challenge_is_in_the_record_and_changes_its_numbers(records: Records) -> None:
    answered, fixed = (bundle.read_record(folder).record for folder in (records.answered, records.measured))
    assert answered.challenge == NONCE
    assert answered.model_digest == fixed.model_digest
    assert answered.prompts != fixed.prompts
    assert (answered.numbers.sketches != fixed.numbers.sketches).mean() > 0.9


def test_people_and_machines_are_told_what_was_measured(home: Path, tmp_path: Path) -> None:
    run = mbom("measure", FIXTURE, "--challenge", NONCE, "--json", home=home, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout)
    assert told["record"] == "tiny-gpt-oss.record"
    assert told["challenge"] == NONCE
    assert told["positions"] == 2048
    assert told["coverage"]["experts_reached"] == 32
    record = bundle.read_record(tmp_path / "tiny-gpt-oss.record").record
    assert told["model"]["digest"] == record.model_digest
    assert f"measuring  the checkpoint under the challenge '{NONCE}'" in run.stderr
    assert re.search(r"measured +float64 · \w+ · 2,048 positions · 4 layers · 32 of 32 experts reached", run.stderr)
    assert "next: mbom compare tiny-gpt-oss.record" in run.stderr


def test_an_existing_record_is_kept_before_any_work(home: Path, tmp_path: Path) -> None:
    run = mbom("measure", tmp_path / "no-such-checkpoint", "-o", home, home=home)
    assert run.returncode == 3, "the checkpoint is named first"
    run = mbom("measure", FIXTURE, "-o", home, home=home)
    assert (run.returncode, run.stdout) == (2, "")
    assert "--force" in run.stderr
    assert "hashed" not in run.stderr


def test_force_replaces_a_record_and_never_a_bundle(home: Path, tmp_path: Path, records: Records) -> None:
    kept = shutil.copytree(records.bundle, tmp_path / "a.mbom")
    run = mbom("measure", FIXTURE, "-o", kept, "--force", home=home)
    assert run.returncode == 2
    assert "--force replaces records only" in run.stderr
    assert bundle.read(kept) == bundle.read(records.bundle)
    replaced = shutil.copytree(records.of_bent, tmp_path / "a.record")
    run = mbom("measure", FIXTURE, "-o", replaced, "--force", "-q", home=home)
    assert (run.returncode, run.stdout, run.stderr) == (0, f"{replaced}\n", "")
    numbers = bundle.BEHAVIOUR_NUMBERS
    assert (replaced / numbers).read_bytes() == (records.measured / numbers).read_bytes()
    assert names(tmp_path) == {"a.mbom", "a.record", "home"}


@pytest.mark.parametrize(
    "nonce",
    ["", " ", "two\nlines", "bell\a", " around ", "x" * 201, "right\u202eleft", "\udcff"],
    ids=["nothing", "a blank", "a new line", "a bell", "blanks around", "too long", "reordered", "no text"],
)
def test_a_nonce_that_nobody_could_repeat_is_wrong_usage(home: Path, tmp_path: Path, nonce: str) -> None:
    run = mbom("measure", FIXTURE, "--challenge", nonce, home=home, cwd=tmp_path)
    assert (run.returncode, run.stdout) == (2, "")
    (sentence,) = run.stderr.splitlines()
    assert sentence.startswith("mbom: --challenge: the nonce ")
    assert sentence.isprintable()
    assert names(tmp_path) == {"home"}


def test_a_checkpoint_that_contradicts_itself_leaves_no_record(home: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(FIXTURE, tmp_path / "broken")
    shutil.copy(broken / "model-00000-of-00003.safetensors", broken / "model.safetensors")
    run = mbom("measure", broken, home=home, cwd=tmp_path)
    assert (run.returncode, run.stdout) == (1, "")
    assert "[weights-shadowed]" in run.stderr
    assert names(tmp_path) == {"broken", "home"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_measurement_leaves_nothing(home: Path, tmp_path: Path, number: signal.Signals) -> None:
    out = tmp_path / "out"
    out.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "mbom", "measure", FIXTURE, "-o", out / "a.record"],
        env=environment(home) | {"TMPDIR": str(out)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    seen = ""
    while "measuring" not in seen and process.poll() is None:
        seen += process.stderr.readline()
    process.send_signal(number)
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, output) == (130, ""), errors
    assert "interrupted; nothing is left half-written" in errors
    assert not names(out), "something was left behind"
