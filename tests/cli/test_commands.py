"""The commands on good input, as a user runs them."""

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from attesting import FIXTURE, Scene
from commands import SCHEMAS, environment, mbom, schema

from mbom import bundle


def test_attest_then_verify_with_the_users_own_key(home: Path, tmp_path: Path) -> None:
    attested = mbom("attest", FIXTURE, "--no-behaviour", home=home, cwd=tmp_path)
    assert attested.returncode == 0, attested.stderr
    assert attested.stdout == "tiny-gpt-oss.mbom\n"
    assert "Made your signing key ~/.config/mbom/key.pem" in attested.stderr
    assert re.search(r"SHA256:[\w+/]{43}", attested.stderr)
    key = home / ".config" / "mbom" / "key.pem"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    again = mbom("attest", FIXTURE, "--no-behaviour", "--force", home=home, cwd=tmp_path)
    assert "Made your signing key" not in again.stderr
    verified = mbom("verify", "tiny-gpt-oss.mbom", FIXTURE, home=home, cwd=tmp_path)
    assert verified.returncode == 0, verified.stdout
    lines = verified.stdout.splitlines()
    assert [line.split()[1] for line in lines[:12]] == list(schema_steps())
    assert lines[12].startswith("VERIFIED")
    assert "\x1b" not in verified.stdout + attested.stderr


def schema_steps() -> tuple[str, ...]:
    document = json.loads((SCHEMAS / "verdict.schema.json").read_text())
    return tuple(document["properties"]["checks"]["items"]["properties"]["id"]["enum"])


def test_a_bom_of_1_6_is_attested_and_verified_in_every_field(home: Path, tmp_path: Path) -> None:
    attested = mbom("attest", FIXTURE, "--no-behaviour", "--spec", "1.6", home=home, cwd=tmp_path)
    assert attested.returncode == 0, attested.stderr
    document = json.loads((tmp_path / "tiny-gpt-oss.mbom" / bundle.BOM).read_bytes())
    assert (document["specVersion"], "citations" in document) == ("1.6", False)
    verified = mbom("verify", "tiny-gpt-oss.mbom", FIXTURE, home=home, cwd=tmp_path)
    assert verified.returncode == 0, verified.stdout
    assert "CycloneDX 1.6, agrees with the inventory and with the checkpoint in every field" in verified.stdout


def test_verify_trusts_nobody_elses_key_by_default(home: Path, attested: Scene, tmp_path: Path) -> None:
    mbom("attest", FIXTURE, "--no-behaviour", "-o", tmp_path / "own.mbom", home=home)
    run = mbom("verify", attested.bundle, attested.checkpoint, home=home)
    assert run.returncode == 1
    assert re.search(r"2 signature +FAIL", run.stdout)


def test_verify_prints_json_that_follows_its_schema(home: Path, attested: Scene) -> None:
    key = attested.root / "release.pub"
    run = mbom("verify", attested.bundle, attested.checkpoint, "--key", key, "--json", home=home)
    assert run.returncode == 0, run.stderr
    document = json.loads(run.stdout)
    schema("verdict").validate(document)
    assert document["outcome"] == "verified"
    assert document["model"]["name"] == "tiny-gpt-oss"


def test_verify_of_a_bundle_alone_does_not_speak_of_files(home: Path, attested: Scene) -> None:
    run = mbom("verify", attested.bundle, "--key", attested.root / "release.pub", home=home)
    assert run.returncode == 0
    assert "VERIFIED, except what was not asked for: files, tensors, behaviour, expectation, challenge" in run.stdout


def test_a_demanded_repository_must_be_the_signed_one(home: Path, attested: Scene) -> None:
    key = attested.root / "release.pub"
    run = mbom("verify", attested.bundle, "--key", key, "--repo", "openai/gpt-oss-20b", home=home)
    assert run.returncode == 1
    assert re.search(r"11 expectation +FAIL", run.stdout)


def test_behaviour_that_nobody_recorded_is_no_pass(home: Path, tmp_path: Path) -> None:
    mbom("attest", FIXTURE, "--no-behaviour", "-o", tmp_path / "a.mbom", home=home)
    run = mbom("verify", tmp_path / "a.mbom", FIXTURE, "--behaviour", home=home)
    assert run.returncode == 3
    assert "INCOMPLETE: behaviour-record: the attester recorded no behaviour" in run.stdout


def test_an_unsigned_bundle_is_refused(home: Path, tmp_path: Path) -> None:
    run = mbom("attest", FIXTURE, "--no-behaviour", "--unsigned", "-o", tmp_path / "a.mbom", home=home)
    assert run.returncode == 0
    assert not (home / ".config").exists(), "an unsigned run needs no key"
    mbom("keygen", tmp_path / "release.pem", home=home)
    run = mbom("verify", tmp_path / "a.mbom", "--key", tmp_path / "release.pub", home=home)
    assert run.returncode == 1
    assert "REFUSED: signature: the bundle is not signed" in run.stdout


def test_quiet_prints_data_alone(home: Path, tmp_path: Path) -> None:
    run = mbom("attest", FIXTURE, "--no-behaviour", "-q", "-o", tmp_path / "a.mbom", home=home)
    assert (run.stdout, run.stderr) == (f"{tmp_path / 'a.mbom'}\n", "")


def test_inspect_prints_model_and_findings(home: Path, tmp_path: Path) -> None:
    run = mbom("inspect", FIXTURE, "--json", home=home)
    assert run.returncode == 0, run.stderr
    document = json.loads(run.stdout)
    assert document["model"]["model_type"] == "gpt_oss"
    assert document["model"]["parameters"] == 847_904
    assert document["model"]["tokenizer"] == "PreTrainedTokenizerFast, BPE, 616 tokens and 10 added"
    assert document["model"]["chat_templates"][0].endswith(" [template-clock]")
    assert document["model"]["pickles"] == []
    assert all(set(finding) == {"id", "severity", "path", "detail"} for finding in document["findings"])
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "pytorch_model.bin").write_bytes(b"\x80\x04N.")
    run = mbom("inspect", broken, "--json", home=home)
    assert run.returncode == 1
    found = {finding["id"]: finding["severity"] for finding in json.loads(run.stdout)["findings"]}
    assert found["weights-missing"] == "error"
    assert json.loads(run.stdout)["model"]["pickles"] == ["pytorch_model.bin (0 harmless globals, 0 others)"]


def test_inspect_of_headers_gives_the_same_facts_without_a_digest(home: Path, tmp_path: Path) -> None:
    whole = json.loads(mbom("inspect", FIXTURE, "--json", home=home).stdout)
    shutil.copytree(FIXTURE, tmp_path / "model")
    for shard in (tmp_path / "model").glob("*.safetensors"):
        size, header = shard.stat().st_size, int.from_bytes(shard.read_bytes()[:8], "little")
        os.truncate(shard, 8 + header)
        os.truncate(shard, size)  # as long as before, and nothing but a header in it
    run = mbom("inspect", tmp_path / "model", "--headers", "--json", home=home)
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["model"] == whole["model"] | {"digest": None, "name": "model"}
    remote = mbom("inspect", "org/model", "--headers", home=home)
    assert (remote.returncode, remote.stderr) == (3, "mbom: org/model: no such folder\n")


def test_inspect_shows_people_what_the_checkpoint_is(home: Path, tmp_path: Path) -> None:
    shutil.copytree(FIXTURE, tmp_path / "model")
    (tmp_path / "model" / "helper.py").write_text("print()\n")
    run = mbom("inspect", tmp_path / "model", home=home)
    assert run.returncode == 0, run.stderr
    assert re.search(r"^model_type +gpt_oss$", run.stdout, re.MULTILINE)
    assert re.search(r"^parameters +848 K$", run.stdout, re.MULTILINE)
    assert re.search(r"^parameters_by_type +bfloat16 258 K, mxfp4 590 K$", run.stdout, re.MULTILINE)
    assert re.search(r"^layer_kinds +full 2, windowed 2$", run.stdout, re.MULTILINE)
    assert re.search(r"^cache_per_token +512 B$", run.stdout, re.MULTILINE)
    assert re.search(r"^repo +-$", run.stdout, re.MULTILINE)
    assert re.search(r"^openness +none \(Class III lacks Model architecture: only linked; ", run.stdout, re.MULTILINE)
    assert re.search(r"^warning +helper\.py: .*\[code-present\]$", run.stdout, re.MULTILINE)


def test_a_checkpoint_that_cannot_be_read_leaves_the_other_checks_standing(
    home: Path, attested: Scene, tmp_path: Path
) -> None:
    shutil.copytree(attested.checkpoint, tmp_path / "model")
    (tmp_path / "model" / "LICENSE").unlink()
    (tmp_path / "model" / "LICENSE").symlink_to("/etc/hostname")
    run = mbom("verify", attested.bundle, tmp_path / "model", "--key", attested.root / "release.pub", home=home)
    assert run.returncode == 3
    assert re.search(r"4 files +SKIP +could not be checked: .*LICENSE", run.stdout)
    assert re.search(r"5 tensors +SKIP +the checkpoint was not read", run.stdout)
    assert re.search(r"7 shards +PASS", run.stdout)
    assert "INCOMPLETE: files" in run.stdout


def test_an_encrypted_key_signs_with_its_password(home: Path, tmp_path: Path) -> None:
    password = {"MBOM_KEY_PASSWORD": "correct horse battery staple"}
    made = mbom("keygen", tmp_path / "release.pem", "--encrypt", home=home, env=password)
    assert made.returncode == 0, made.stderr
    assert b"ENCRYPTED" in (tmp_path / "release.pem").read_bytes()
    run = mbom(
        "attest", FIXTURE, "--no-behaviour", "--key", tmp_path / "release.pem", "-o", tmp_path / "a.mbom",
        home=home, env=password,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert password["MBOM_KEY_PASSWORD"] not in made.stderr + run.stderr
    verified = mbom("verify", tmp_path / "a.mbom", FIXTURE, "--key", tmp_path / "release.pub", home=home)
    assert verified.returncode == 0


def test_a_second_run_writes_the_same_bytes(home: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        run = mbom(
            "attest", FIXTURE, "--no-behaviour", "-o", tmp_path / f"{name}.mbom",
            home=home, env={"SOURCE_DATE_EPOCH": "1793608200"},
        )  # fmt: skip
        assert run.returncode == 0, run.stderr
    for member in (bundle.INVENTORY, bundle.BOM):
        assert (tmp_path / "a.mbom" / member).read_bytes() == (tmp_path / "b.mbom" / member).read_bytes()
    assert b"2026-11-02T" in (tmp_path / "a.mbom" / bundle.BOM).read_bytes()


def test_every_command_has_help_with_an_example(home: Path) -> None:
    for command in ("attest", "verify", "measure", "compare", "inspect", "keygen"):
        run = mbom(command, "--help", home=home)
        assert run.returncode == 0
        assert f"mbom {command}" in run.stdout.partition("Example")[2]


def test_the_version_is_the_packages(home: Path) -> None:
    assert mbom("--version", home=home).stdout.strip().endswith(version("mbom"))


def test_output_cut_off_by_its_reader_is_no_traceback(home: Path, attested: Scene) -> None:
    script = 'python -m mbom verify "$1" --key "$2" --json | true'
    run = subprocess.run(
        ["sh", "-c", script, "sh", attested.bundle, attested.root / "release.pub"],
        env=environment(home) | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.stderr == ""


def test_the_reference_tool_accepts_model_sig_with_its_defaults(attested: Scene, tmp_path: Path) -> None:
    def reference(folder: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                sys.executable, "-m", "model_signing", "verify", "key", folder,
                "--signature", attested.member(bundle.MODEL_SIGNATURE), "--public_key", attested.root / "release.pub",
            ],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    assert reference(attested.checkpoint).returncode == 0
    shutil.copytree(attested.checkpoint, tmp_path / "copy")
    (tmp_path / "copy" / "config.json").write_bytes(b"{}")
    assert reference(tmp_path / "copy").returncode != 0
