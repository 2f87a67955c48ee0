"""Step 12 of the procedure: what a challenge accepts as an answer, and what it refuses before anything is measured."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from attesting import FIXTURE, Scene, change_tensor, failed
from commands import schema
from measuring import BENT, NONCE, Records

from mbom import bundle
from mbom.behaviour.record import Record
from mbom.cli.console import conclusion
from mbom.engine import Measure
from mbom.errors import EngineError
from mbom.inventory import Inventory
from mbom.signing import KeyVerifier
from mbom.source import FolderSource, Source
from mbom.verdict import Check, Verdict
from mbom.verify import Challenge, verify


class Answer:
    """A measurement whose outcome is known already, because the real engine made it; counts how often it is asked."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.asked = 0

    def __call__(self, files: Mapping[str, Path], inventory: Inventory) -> Record:
        assert files
        assert self.record.model_digest == inventory.digest
        self.asked += 1
        return self.record


def answer(records: Records) -> Answer:
    return Answer(bundle.read_record(records.answered).record)


def challenge(
    scene: Scene, measure: Measure, reference: Source | Path, *, nonce: str = NONCE, other: Measure | None = None
) -> tuple[Verdict, Check]:
    verdict = verify(
        scene.bundle,
        verifier=KeyVerifier(scene.signer.public_key),
        checkpoint=FolderSource(scene.checkpoint),
        asked=Challenge(nonce=nonce, measure=measure, reference=reference, measure_reference=other or measure),
    )
    return verdict, verdict.checks[11]


def test_a_record_that_answers_alike_verifies(scene: Scene, records: Records) -> None:
    measure = answer(records)
    verdict, check = challenge(scene, measure, records.answered)
    assert verdict.outcome == "verified"
    assert check.detail.startswith(f"under '{NONCE}', match: 2,048 positions")
    assert measure.asked == 1
    assert verdict.checks[9].detail == "not asked for (--behaviour)"


def test_a_second_copy_is_measured_too(scene: Scene, records: Records) -> None:
    first, second = answer(records), answer(records)
    verdict, _ = challenge(scene, first, FolderSource(FIXTURE), other=second)
    assert verdict.outcome == "verified"
    assert first.asked == second.asked == 1


def bent_expert(record: Record) -> Record:
    """Return what an auditor's record says when one expert of layer 1 is another one there."""
    names = [weight.name for weight in record.weights]
    at = names.index("model.layers.1.mlp.experts.gate_up_proj")
    start = sum(weight.size for weight in record.weights[:at])
    sketches = record.numbers.sketches.copy()
    values = record.weights[at].values
    sketches[start + 3 * values : start + 4 * values] *= 1.001
    return replace(record, numbers=replace(record.numbers, sketches=sketches))


def write(record: Record, folder: Path) -> Path:
    members = {bundle.BEHAVIOUR: record.to_json(), bundle.BEHAVIOUR_NUMBERS: record.to_safetensors()}
    bundle.write(folder, members, force=False)
    return folder


def test_another_answer_is_refused_and_names_the_expert(scene: Scene, records: Records, tmp_path: Path) -> None:
    measure = answer(records)
    verdict, check = challenge(scene, measure, write(bent_expert(measure.record), tmp_path / "theirs.record"))
    assert (verdict.exit_code, failed(verdict)) == (1, {"challenge"})
    assert "layer 1: model.layers.1.mlp.experts.gate_up_proj, expert 3 of 8, changed by " in check.detail
    assert "1 of 71 weights changed" in check.detail
    assert check.comparison is not None
    assert check.comparison.weights[0].indices == (3,)
    assert conclusion(verdict) == f"REFUSED: challenge: {check.detail}"
    schema("verdict").validate(json.loads(json.dumps(verdict.to_dict())))


@pytest.mark.parametrize(
    ("record", "nonce", "words"),
    [
        ("answered", "another", f"the reference answers the challenge '{NONCE}', asked was 'another'"),
        ("measured", NONCE, "the reference answers no challenge"),
        ("of_bent", NONCE, "the reference is of model "),
        ("bundle", NONCE, "the reference answers no challenge"),
    ],
)
def test_an_answer_to_something_else_is_refused_before_anything_is_measured(
    scene: Scene, records: Records, record: str, nonce: str, words: str
) -> None:
    measure = answer(records)
    verdict, check = challenge(scene, measure, getattr(records, record), nonce=nonce)
    assert (verdict.exit_code, failed(verdict)) == (1, {"challenge"})
    assert words in check.detail
    assert not measure.asked


def test_a_prepared_record_relabelled_for_the_challenge_is_refused(
    scene: Scene, records: Records, tmp_path: Path
) -> None:
    document = json.loads((records.measured / bundle.BEHAVIOUR).read_bytes())
    document["challenge"] = NONCE
    numbers = (records.measured / bundle.BEHAVIOUR_NUMBERS).read_bytes()
    members = {bundle.BEHAVIOUR: json.dumps(document).encode(), bundle.BEHAVIOUR_NUMBERS: numbers}
    bundle.write(tmp_path / "a.record", members, force=False)
    verdict, check = challenge(scene, answer(records), tmp_path / "a.record")
    assert failed(verdict) == {"challenge"}
    assert "its last 64 token ids are not those of the challenge" in check.detail


def test_a_record_that_covers_less_is_refused(scene: Scene, records: Records, tmp_path: Path) -> None:
    record = answer(records).record
    part = replace(record, coverage=replace(record.coverage, tensors_read=78))
    verdict, check = challenge(scene, answer(records), write(part, tmp_path / "a.record"))
    assert failed(verdict) == {"challenge"}
    assert check.detail == "the reference covers 78 tensors, the inventory has 79"


def test_a_reference_copy_must_be_the_signed_one(scene: Scene, records: Records) -> None:
    measure = answer(records)
    verdict, check = challenge(scene, measure, FolderSource(records.bent))
    assert (verdict.exit_code, failed(verdict)) == (1, {"challenge"})
    assert "in the reference, signed" in check.detail
    assert not measure.asked


def test_a_checkpoint_that_is_not_the_signed_one_is_not_measured(scene: Scene, records: Records) -> None:
    change_tensor(scene, f"{BENT}_blocks", lambda data: data[:-1] + bytes([data[-1] ^ 1]))
    measure = answer(records)
    verdict, check = challenge(scene, measure, records.answered)
    assert failed(verdict) == {"files", "tensors", "challenge"}
    assert "--behaviour tells what they compute instead" in check.detail
    assert not measure.asked


def test_an_unreadable_reference_is_no_pass_and_no_refusal(scene: Scene, records: Records, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for reference in (FolderSource(tmp_path / "empty"), tmp_path / "none.record"):
        verdict, check = challenge(scene, answer(records), reference)
        assert (verdict.exit_code, verdict.outcome) == (3, "incomplete")
        assert check.detail.startswith("could not be checked: ")


def test_a_malformed_reference_leaves_the_other_checks_standing(scene: Scene, records: Records, tmp_path: Path) -> None:
    folder = write(answer(records).record, tmp_path / "a.record")
    (folder / bundle.BEHAVIOUR).write_bytes(b"{}")
    verdict, check = challenge(scene, answer(records), folder)
    assert failed(verdict) == {"challenge"}
    assert check.detail.startswith(f"{folder}: behaviour.json: ")
    assert [found.outcome for found in verdict.checks[:9]] == ["PASS"] * 9


def test_an_engine_that_cannot_run_is_no_pass(scene: Scene, records: Records) -> None:
    def broken(files: Mapping[str, Path], inventory: Inventory) -> Record:
        raise EngineError(f"{len(files)} files of {inventory.digest}: out of memory")

    verdict, check = challenge(scene, broken, records.answered)
    assert verdict.exit_code == 3
    assert "out of memory" in check.detail


def test_a_challenge_under_a_key_that_nobody_trusts_is_not_taken(scene: Scene, records: Records) -> None:
    scene.edit_member(bundle.ATTESTATION, lambda data: data[:500] + bytes([data[500] ^ 1]) + data[501:])
    measure = answer(records)
    verdict, check = challenge(scene, measure, records.answered)
    assert "signature" in failed(verdict)
    assert (check.outcome, check.asked) == ("SKIP", True)
    assert not measure.asked


def test_what_was_bent_is_in_the_last_line_when_digests_differ_too(scene: Scene, records: Records) -> None:
    verdict = verify(
        scene.bundle,
        verifier=KeyVerifier(scene.signer.public_key),
        checkpoint=FolderSource(records.bent),
        measure=Answer(bundle.read_record(records.of_bent).record),
    )
    assert failed(verdict) == {"files", "tensors", "behaviour"}
    line = conclusion(verdict)
    assert line.startswith("REFUSED: files: model-00001-of-00003.safetensors: sha256 ")
    assert f"; behaviour: mismatch: first difference: weights of layer 2: {BENT}, expert 4 of 8, changed by " in line
    assert "1 of 71 weights changed" in line
    assert "\n" not in line
