"""`mbom verify --challenge`: the auditor's second copy and the checkpoint, both run under the auditor's nonce."""

import json
import re
from pathlib import Path

from attesting import FIXTURE
from commands import mbom, schema
from measuring import NONCE, Records


def test_two_copies_are_measured_and_compared(home: Path, records: Records) -> None:
    run = mbom(
        "verify", records.bundle, records.checkpoint, "--key", records.key,
        "--challenge", "auditor 2026-11-02", "--reference", FIXTURE,
        home=home,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    assert re.search(r"^10 behaviour +SKIP +not asked for", run.stdout, re.MULTILINE)
    assert re.search(r"^12 challenge +PASS +under 'auditor 2026-11-02', match: 2,048 pos", run.stdout, re.MULTILINE)
    measured = re.findall(
        r"^  measuring  the (\w+) under the challenge 'auditor 2026-11-02'$", run.stderr, re.MULTILINE
    )
    assert sorted(measured) == ["checkpoint", "reference"]


def test_an_answer_that_somebody_sent_is_compared(home: Path, records: Records) -> None:
    run = mbom(
        "verify", records.bundle, records.checkpoint, "--key", records.key,
        "--challenge", NONCE, "--reference", records.answered, "--json",
        home=home,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    document = json.loads(run.stdout)
    schema("verdict").validate(document)
    compared = {check["id"]: check.get("comparison") for check in document["checks"]}
    assert compared.pop("challenge")["verdict"] == "match"
    assert set(compared.values()) == {None}


def test_a_bent_reference_is_refused(home: Path, records: Records) -> None:
    run = mbom(
        "verify", records.bundle, records.checkpoint, "--key", records.key,
        "--challenge", NONCE, "--reference", records.bent,
        home=home,
    )  # fmt: skip
    assert run.returncode == 1
    assert re.search(
        r"^REFUSED: challenge: model-00001-of-00003\.safetensors: .* in the reference", run.stdout, re.MULTILINE
    )
    assert "measuring" not in run.stderr


def test_a_reference_that_is_nowhere_is_named(home: Path, records: Records) -> None:
    run = mbom(
        "verify", records.bundle, records.checkpoint, "--key", records.key,
        "--challenge", NONCE, "--reference", home / "nowhere",
        home=home,
    )  # fmt: skip
    assert (run.returncode, run.stdout) == (3, "")
    assert "nowhere" in run.stderr
