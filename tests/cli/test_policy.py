"""`mbom policy` as people use it: a file to start from, what is wrong with it, and what it says for a model."""

import json
import shutil
from dataclasses import replace
from datetime import datetime, tzinfo
from pathlib import Path

import pytest
from attesting import new_signer, reseal
from commands import schema
from policies import BUNDLE, FOLDER

from mbom import bundle
from mbom.cli import clock, run
from mbom.dossier import read_bundle
from mbom.inventory.findings import finding
from mbom.policy import load
from mbom.policy.keys import KEYS
from mbom.policy.starting import starting

SOUND = """\
version: 1
signers: [{model: "tiny*", key: release.pub}]
licences: {allow: [Apache-2.0]}
models:
  tiny-gpt-oss: {licences: {allow: [MIT, Apache-2.0]}}
waivers:
- {model: tiny-gpt-oss, id: licence-unknown, path: USAGE_POLICY, reason: read by counsel, expires: 2999-12-31}
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    shutil.copy(FOLDER / "release.pub", tmp_path)
    (tmp_path / "mbom.yaml").write_text(SOUND)
    return tmp_path


def printed(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


# ---- init ----


def test_the_policy_to_start_from_is_sound_and_trusts_nobody(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "mbom.yaml").unlink()
    assert run(["policy", "init"]) == 0
    assert run(["policy", "check"]) == 0
    assert run(["policy", "check", "mbom.yaml", str(BUNDLE)]) == 1
    assert any("no signer of the policy is trusted for tiny-gpt-oss" in line for line in printed(capsys))
    assert load(here / "mbom.yaml").signers == ()


def test_init_replaces_a_file_only_when_it_is_told_to(here: Path) -> None:
    assert run(["policy", "init"]) == 2
    assert (here / "mbom.yaml").read_text() == SOUND
    assert run(["policy", "init", "--force", "-q"]) == 0
    assert (here / "mbom.yaml").read_text() == starting()


def test_init_notes_what_a_bundle_says_of_itself(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["policy", "init", "-o", "other.yaml", "--for", str(BUNDLE), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"file": "other.yaml"}
    text = (here / "other.yaml").read_text()
    assert '#  - {model: "tiny-gpt-oss", key: keys/release.pub}\n' in text
    assert "#   licences: declared Apache-2.0; as texts Apache-2.0\n" in text
    assert "#   restrictions: attribution, patent-termination\n" in text
    assert load(here / "other.yaml").settings("x").words("changes.forbid") == ("few-weights-edit",)


def test_nothing_in_a_bundle_leaves_its_comment() -> None:
    held = read_bundle(BUNDLE)
    hostile = replace(
        held,
        inventory=replace(held.inventory, origin=replace(held.inventory.origin, name='a"\nversion: 2\u2028x: {')),
    )
    described = replace(
        held.described, licences_declared=("MIT\nlicences: {}", "x" * 5000), country="\x1b[2J\u0085y: 1"
    )
    hostile.__dict__["described"] = described
    text = starting([(hostile, 'identity: "a\\n"')])
    plain = [line for line in text.splitlines() if not line.startswith("#")]
    assert plain == [line for line in starting().splitlines() if not line.startswith("#")]
    assert max(map(len, text.splitlines())) <= 310
    assert "\x1b" not in text


# ---- check ----


@pytest.mark.usefixtures("here")
def test_a_sound_policy_decides_on_a_bundle_that_it_verifies(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["policy", "check"]) == 0
    assert "1 signer, 1 override, 1 waiver, 0 rules" in capsys.readouterr().err
    assert run(["policy", "check", "mbom.yaml", str(BUNDLE)]) == 0
    told = "USAGE_POLICY is no licence or policy that mbom knows (waived: read by counsel) [licence-unknown]"
    assert printed(capsys) == [f"waived   {told} mbom.yaml:5", "ALLOWED  tiny-gpt-oss"]


def test_every_problem_is_told_with_its_place(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "mbom.yaml").write_text("version: 1\nlicenses: {}\nrequire: {signature: yes}\n")
    assert run(["policy", "check", "mbom.yaml", str(BUNDLE)]) == 1
    lines = printed(capsys)
    assert len(lines) == 2
    assert lines[0].startswith("problem  mbom.yaml:2:1: the policy has the unknown key 'licenses'; allowed are version")
    assert lines[1] == "problem  mbom.yaml:3:22: `require.signature` is 'yes'; it is true or false"


def test_a_key_that_is_not_there_is_a_problem_of_its_line(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "release.pub").unlink()
    assert run(["policy", "check"]) == 1
    assert printed(capsys)[0].startswith("problem  mbom.yaml:2:1: release.pub")


def test_an_expired_waiver_is_a_note_of_a_sound_policy(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "mbom.yaml").write_text(SOUND.replace("2999-12-31", "2020-12-31"))
    assert run(["policy", "check"]) == 0
    assert printed(capsys) == [
        "note     mbom.yaml:7:1: the waiver of licence-unknown for tiny-gpt-oss expired with 2020-12-31"
    ]
    assert run(["policy", "check", "mbom.yaml", str(BUNDLE)]) == 1


def test_a_bundle_by_another_signer_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new_signer(here, "other.pem")
    (here / "mbom.yaml").write_text(SOUND.replace("release.pub", "other.pub"))
    assert run(["policy", "check", "mbom.yaml", str(BUNDLE)]) == 1
    lines = printed(capsys)
    assert any("[verification-failed]" in line and "signed with another key" in line for line in lines)
    assert lines[-1] == "REFUSED  tiny-gpt-oss"


def test_of_two_trusted_signers_the_one_that_signed_counts(here: Path) -> None:
    new_signer(here, "other.pem")
    both = SOUND.replace("signers: [", "signers: [{model: '*', key: other.pub}, ")
    (here / "mbom.yaml").write_text(both)
    assert run(["policy", "check", "mbom.yaml", str(BUNDLE)]) == 0


def test_statuses_tell_a_refusal_from_what_cannot_be_read(here: Path) -> None:
    assert run(["policy", "check", "nowhere.yaml"]) == 3
    assert run(["policy", "check", "mbom.yaml", "nowhere.mbom"]) == 3
    assert run(["policy", "explain", "mbom.yaml", "a/*"]) == 2
    (here / "mbom.yaml").write_text("version: 2")
    assert run(["policy", "explain", "mbom.yaml", "a/b"]) == 1


def test_a_clock_that_nobody_set_lets_no_waiver_count(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Unset(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "Unset":
            return cls(1970, 1, 1, tzinfo=tz)

    monkeypatch.setattr(clock, "datetime", Unset)
    assert run(["policy", "check", str(here / "mbom.yaml"), str(BUNDLE)]) == 3


def test_hostile_names_and_findings_are_printed_escaped(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = here / "hostile.mbom"
    shutil.copytree(BUNDLE, copy)
    signer = new_signer(here, "own.pem")
    inventory = read_bundle(copy).inventory
    bent = replace(inventory, findings=(finding("lfs-pointer", "a\x1b]0;owned\x07\u202eb\nALLOWED  x", "seen"),))
    (copy / bundle.INVENTORY).write_bytes(bent.to_bytes())
    reseal(copy, bent, signer)
    (here / "mbom.yaml").write_text(SOUND.replace("release.pub", "own.pub"))
    assert run(["policy", "check", "mbom.yaml", str(copy)]) == 1
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert not any(line.startswith("ALLOWED") for line in out.splitlines())


def test_check_prints_json_that_follows_its_schema(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for text, status in ((SOUND, 0), ("version: 2", 1), (SOUND.replace("2999", "2020"), 1)):
        (here / "mbom.yaml").write_text(text)
        assert run(["policy", "check", "mbom.yaml", str(BUNDLE), "--json"]) == status
        document = json.loads(capsys.readouterr().out)
        schema("policy-check").validate(document)
        assert document["valid"] == (text != "version: 2")
        assert len(document["decisions"]) == document["valid"]


# ---- explain ----


@pytest.mark.usefixtures("here")
def test_explain_shows_every_key_with_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["policy", "explain", "mbom.yaml", "tiny-gpt-oss"]) == 0
    lines = printed(capsys)
    assert [line.split()[0] for line in lines[: len(KEYS)]] == list(KEYS)
    shown = {line.split()[0]: " ".join(line.split()[1:]) for line in lines}
    assert shown["licences.allow"] == "MIT, Apache-2.0 mbom.yaml:5 (models: tiny-gpt-oss)"
    assert shown["require.signature"] == "true default"
    assert shown["max_age"] == "nothing is asked"
    assert shown["signers"] == "the key release.pub mbom.yaml:2 (for tiny*)"
    assert shown["waivers"].startswith("licence-unknown of USAGE_POLICY, until 2999-12-31: read by counsel mbom.yaml:7")
    assert run(["policy", "explain", "mbom.yaml", "other"]) == 0
    shown = {line.split()[0]: " ".join(line.split()[1:]) for line in printed(capsys)}
    assert shown["licences.allow"] == "Apache-2.0 mbom.yaml:3"
    assert shown["signers"] == "nobody is trusted for it"


def test_explain_decides_on_a_bundle_and_prints_json(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["policy", "explain", "mbom.yaml", "tiny-gpt-oss", str(BUNDLE)]) == 0
    assert printed(capsys)[-1] == "ALLOWED  tiny-gpt-oss"
    (here / "mbom.yaml").write_text(SOUND + "rules: [{name: x, cel: 'false'}]\n")
    assert run(["policy", "explain", "mbom.yaml", "tiny-gpt-oss", str(BUNDLE), "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    schema("policy-explanation").validate(document)
    assert document["settings"]["licences.allow"] == {
        "value": ["MIT", "Apache-2.0"], "line": 5, "pattern": "tiny-gpt-oss",
    }  # fmt: skip
    assert document["decision"]["outcome"] == "refused"
