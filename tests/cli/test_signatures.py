"""`mbom verify --signature`, as a user runs it."""

import json
from pathlib import Path

import pytest
from attesting import FIXTURE
from commands import SCHEMAS, mbom, schema
from hubserver import HubServer
from pki import SIGNER, SIGNING, issue, signed_under

from mbom.cli import cli
from mbom.digest import sha256
from mbom.errors import SourceError, UsageError
from mbom.signing import LocalSigner, generate, oms
from mbom.verdict import SIGNATURE_STEPS

SHARD = "model-00001-of-00003.safetensors"
BUNDLE = FIXTURE.parent / "bundles" / "v3" / "tiny-gpt-oss.mbom"
KEY = BUNDLE.parent / "release.pub"


def statement(files: dict[str, bytes]) -> bytes:
    return oms.build("tiny", [(name, sha256(content)) for name, content in files.items()])


def test_the_steps_are_those_of_the_schema() -> None:
    document = json.loads((SCHEMAS / "signature-verdict.schema.json").read_text())
    assert tuple(document["properties"]["checks"]["items"]["properties"]["id"]["enum"]) == SIGNATURE_STEPS


def test_the_model_sig_of_a_bundle_verifies_by_itself(home: Path) -> None:
    run = mbom("verify", FIXTURE, "--signature", BUNDLE / "model.sig", "--key", KEY, home=home)
    assert (run.returncode, run.stderr) == (0, "")
    lines = run.stdout.splitlines()
    assert [line.split()[:2] for line in lines[:5]] == [[str(i), step] for i, step in enumerate(SIGNATURE_STEPS, 1)]
    assert lines[5:] == ["VERIFIED, except what the signature does not cover: .gitattributes"]


def test_a_shard_of_a_bundle_verifies_alone(home: Path) -> None:
    signature = BUNDLE / "shards" / f"{SHARD}.sigstore.json"
    run = mbom("verify", FIXTURE / SHARD, "--signature", signature, "--key", KEY, home=home)
    assert (run.returncode, run.stdout.splitlines()[-1]) == (0, "VERIFIED")
    other = FIXTURE / SHARD.replace("00001", "00002")
    run = mbom("verify", other, "--signature", signature, "--key", KEY, home=home)
    assert run.returncode == 1
    assert "REFUSED: signature: " in run.stdout
    run = mbom("verify", FIXTURE, "--signature", signature, "--key", KEY, home=home)
    assert "signs one file by itself" in run.stdout


def test_the_verdict_as_json_follows_its_schema(home: Path, tmp_path: Path) -> None:
    model = tmp_path / "tiny"
    model.mkdir()
    (model / "config.json").write_bytes(b"{}")
    (model / ".gitignore").write_bytes(b"x")
    root = issue("Root")
    holder = issue("Release", under=root, extensions=SIGNING)
    (model / "model.sig").write_bytes(signed_under(statement({"config.json": b"{}"}), holder))
    (tmp_path / "root.pem").write_bytes(root.pem)
    command = ["verify", str(model), "--signature", str(model / "model.sig"), "--json"]
    command += ["--certificate-chain", str(tmp_path / "root.pem"), "--certificate-identity"]
    run = mbom(*command, SIGNER, home=home)
    assert run.returncode == 0, run.stdout
    document = json.loads(run.stdout)
    schema("signature-verdict").validate(document)
    assert document["signer"] == f"{SIGNER}, certified under CN=Root"
    assert (document["files"], document["ignored"]) == (1, [".gitignore"])
    assert document["model"]["name"] == "tiny"
    (model / "config.json").write_bytes(b"[]")
    for identity, step in ((SIGNER, "files"), ("mallory@example.com", "signature")):
        run = mbom(*command, identity, home=home)
        assert run.returncode == 1
        document = json.loads(run.stdout)
        schema("signature-verdict").validate(document)
        assert next(check["id"] for check in document["checks"] if check["outcome"] == "FAIL") == step
    (model / "model.sig").unlink()
    run = mbom(*command, SIGNER, home=home)
    assert run.returncode == 3
    schema("signature-verdict").validate(json.loads(run.stdout))


def test_a_repository_of_the_hub_is_a_checkpoint(home: Path, tmp_path: Path) -> None:
    generate(tmp_path / "release.pem")
    signer = LocalSigner.load(tmp_path / "release.pem")
    files = {"config.json": b"{}", "model.safetensors": b"weights" * 1000}
    signature = signer.sign_statement(statement(files))
    (tmp_path / "model.sig").write_bytes(signature)
    command = ["--signature", str(tmp_path / "model.sig"), "--key", str(tmp_path / "release.pub")]
    with HubServer() as hub:
        env = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf")}
        first = hub.push("acme/tiny", files | {"model.sig": signature, ".gitattributes": b"x"})
        run = mbom("verify", f"acme/tiny@{first}", *command, home=home, env=env)
        assert run.returncode == 0, run.stdout + run.stderr
        assert run.stdout.splitlines()[-1] == "VERIFIED, except what the signature does not cover: .gitattributes"
        hub.push("acme/tiny", files | {"model.safetensors": b"weight5" * 1000})
        run = mbom("verify", "acme/tiny", *command, home=home, env=env)
        assert run.returncode == 1
        assert "REFUSED: files: model.safetensors: sha256" in run.stdout


USAGE: dict[str, tuple[list[str], str]] = {
    "a checkpoint beside": (["--signature", "s", "model"], "--signature takes the place of a bundle"),
    "a measurement": (["--signature", "s", "--behaviour"], "--behaviour is for bundles"),
    "a demanded revision": (["--signature", "s", "--revision", "ab" * 20], "--revision is for bundles"),
    "a demanded time": (["--signature", "s", "--min-time", "2026-11-02"], "--min-time is for bundles"),
    "a challenge": (["--signature", "s", "--challenge", "5f0c7a12e9"], "--challenge is for bundles"),
    "a key and a root": (["--signature", "s", "--key", "k.pub", "--certificate-chain", "r.pem"], "exclude each other"),
    "a root without a name": (["--signature", "s", "--certificate-chain", "r.pem"], "belong together"),
    "an empty name": (
        ["--certificate-chain", "r.pem", "--signature", "s", "--certificate-identity", ""],
        "belong together",
    ),
    "a name without a root": (["--signature", "s", "--certificate-identity", SIGNER], "belong together"),
    "a bundle in the deprecated format": (["--allow-legacy"], "--allow-legacy goes with --signature"),
    "nobody trusted": (["--signature", "s"], "whom do you trust"),
}


@pytest.mark.parametrize("case", USAGE)
def test_options_that_make_no_sense_are_said_so(case: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments, said = USAGE[case]
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    with pytest.raises(UsageError, match=said):
        cli.main(["verify", "tiny", *arguments], standalone_mode=False)


def test_a_mistake_in_the_options_is_one_sentence_and_status_2(home: Path) -> None:
    run = mbom("verify", "tiny", "--signature", "model.sig", "--behaviour", home=home)
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr == "mbom: --behaviour is for bundles; a signature by itself does not speak of that\n"


def test_a_checkpoint_that_is_not_there_is_said_so(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(home))
    with pytest.raises(SourceError, match="no folder here, and not org/name"):
        cli.main(["verify", str(home / "gone"), "--signature", "s", "--key", str(KEY)], standalone_mode=False)
