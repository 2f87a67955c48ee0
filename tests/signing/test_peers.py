"""Peers' verdicts: the reference tool for ``model.sig`` and openssl, on what we sign; ours on what they sign."""

import base64
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from authorities import Authority

from mbom.digest import sha256
from mbom.errors import SignatureError
from mbom.signing import KeyVerifier, LocalSigner, generate, oms
from mbom.signing.dsse import pae

FILES = {
    ".gitattributes": b"*.safetensors filter=lfs\n",
    ".gitignore": b"*.tmp\n",
    "config.json": b"{}",
    "d-x/c": b"sorts before d/b by code point and behind it by component",
    "d/.gitignore": b"covered, because it is not at the top",
    "d/b": b"",
    "model.safetensors": b"weights",
    "模型.txt": b"name beyond ASCII",
}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "tiny-model"
    for name, content in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


@pytest.fixture
def key(tmp_path: Path) -> Path:
    generate(tmp_path / "release.pem")
    return tmp_path / "release.pem"


def reference(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the reference tool with default options."""
    command = [sys.executable, "-m", "model_signing", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def sign_with_mbom(model: Path, key: Path) -> Path:
    statement = oms.build(model.name, [(name, sha256(content)) for name, content in FILES.items()])
    signature = model / "model.sig"
    signature.write_bytes(LocalSigner.load(key).sign_statement(statement))
    return signature


def check(model: Path, public: Path) -> subprocess.CompletedProcess[str]:
    return reference("verify", "key", model, "--public_key", public, "--signature", model / "model.sig")


def test_the_reference_tool_verifies_our_signature_and_refuses_a_changed_model(model: Path, key: Path) -> None:
    sign_with_mbom(model, key)
    verdict = check(model, key.with_suffix(".pub"))
    assert (verdict.returncode, verdict.stdout) == (0, "Verification succeeded\n"), verdict.stderr

    (model / ".gitattributes").write_bytes(b"left out, as by the tool itself\n")
    assert check(model, key.with_suffix(".pub")).returncode == 0

    (model / "model.safetensors").write_bytes(b"weightz")
    verdict = check(model, key.with_suffix(".pub"))
    assert verdict.returncode == 1
    assert "Hash mismatch for 'model.safetensors'" in verdict.stderr


def test_the_reference_tool_refuses_an_extra_file(model: Path, key: Path) -> None:
    sign_with_mbom(model, key)
    (model / "pytorch_model.bin").write_bytes(b"pickle")
    assert "Extra files found" in check(model, key.with_suffix(".pub")).stderr


def test_the_reference_tool_refuses_another_key(model: Path, key: Path, tmp_path: Path) -> None:
    sign_with_mbom(model, key)
    generate(tmp_path / "other.pem")
    verdict = check(model, tmp_path / "other.pub")
    assert verdict.returncode == 1
    assert "Key mismatch" in verdict.stderr


def test_the_reference_tool_refuses_a_changed_payload(model: Path, key: Path) -> None:
    signature = sign_with_mbom(model, key)
    value = json.loads(signature.read_bytes())
    payload = base64.b64decode(value["dsseEnvelope"]["payload"]).replace(sha256(b"").encode(), sha256(b"x").encode())
    value["dsseEnvelope"]["payload"] = base64.b64encode(payload).decode()
    signature.write_text(json.dumps(value))
    assert check(model, key.with_suffix(".pub")).returncode == 1
    with pytest.raises(SignatureError, match="does not hold"):
        KeyVerifier.load(key.with_suffix(".pub")).verify_oms(signature.read_bytes())


@pytest.mark.parametrize("curve", ["prime256v1", "secp384r1", "secp521r1"])
def test_the_reference_tool_verifies_our_signature_on_every_curve(model: Path, tmp_path: Path, curve: str) -> None:
    key = tmp_path / "key.pem"
    subprocess.run(["openssl", "ecparam", "-name", curve, "-genkey", "-noout", "-out", key], check=True)
    (tmp_path / "key.pub").write_bytes(LocalSigner.load(key).public_key.pem)
    sign_with_mbom(model, key)
    assert check(model, tmp_path / "key.pub").returncode == 0


def test_the_reference_tool_verifies_a_signature_that_carries_a_timestamp(model: Path, key: Path) -> None:
    statement = oms.build(model.name, [(name, sha256(content)) for name, content in FILES.items()])
    stamped = LocalSigner.load(key, stamp=Authority.make().stamp).sign_statement(statement)
    assert b"rfc3161Timestamps" in stamped
    (model / "model.sig").write_bytes(stamped)
    verdict = check(model, key.with_suffix(".pub"))
    assert (verdict.returncode, verdict.stdout) == (0, "Verification succeeded\n"), verdict.stderr


def test_we_verify_what_the_reference_tool_signed(model: Path, key: Path) -> None:
    signature = model / "model.sig"
    assert reference("sign", "key", model, "--private_key", key, "--signature", signature).returncode == 0
    verifier = KeyVerifier.load(key.with_suffix(".pub"))
    manifest = verifier.verify_oms(signature.read_bytes())
    assert manifest.model == "tiny-model"
    assert {item.name: item.sha256 for item in manifest.resources} == {
        name: sha256(content) for name, content in FILES.items() if not oms.is_left_out(name)
    }
    assert [item.name for item in manifest.resources] != sorted(item.name for item in manifest.resources)
    assert set(manifest.ignored) == {*oms.LEFT_OUT, "model.sig"}

    changed = json.loads(signature.read_bytes())
    payload = base64.b64decode(changed["dsseEnvelope"]["payload"]).replace(b"config.json", b"config.jsom")
    changed["dsseEnvelope"]["payload"] = base64.b64encode(payload).decode()
    with pytest.raises(SignatureError, match="does not hold"):
        verifier.verify_oms(json.dumps(changed).encode())


def openssl(digest: str, public: bytes, signature: bytes, data: bytes, folder: Path) -> bool:
    (folder / "key.pub").write_bytes(public)
    (folder / "signature").write_bytes(signature)
    command: list[str | Path] = [
        "openssl",
        "dgst",
        f"-{digest}",
        "-verify",
        folder / "key.pub",
        "-signature",
        folder / "signature",
    ]
    return subprocess.run(command, input=data, capture_output=True, check=False).stdout == b"Verified OK\n"


def test_openssl_verifies_an_envelope_over_its_encoding(any_signer: LocalSigner, tmp_path: Path) -> None:
    envelope = json.loads(any_signer.sign_statement("statement é".encode()))["dsseEnvelope"]
    signature = base64.b64decode(envelope["signatures"][0]["sig"])
    signed = b"DSSEv1 28 application/vnd.in-toto+json 12 " + base64.b64decode(envelope["payload"])
    digest = {"P-256": "sha256", "P-384": "sha384", "P-521": "sha512"}[any_signer.public_key.curve]
    assert openssl(digest, any_signer.public_key.pem, signature, signed, tmp_path)
    assert not openssl(digest, any_signer.public_key.pem, signature, signed[:-1] + b"?", tmp_path)


def test_openssl_verifies_a_shard_s_signature_over_the_shard(any_signer: LocalSigner, tmp_path: Path) -> None:
    shard = bytes(range(256)) * 9
    message = json.loads(any_signer.sign_digest(sha256(shard)))["messageSignature"]
    assert base64.b64decode(message["messageDigest"]["digest"]) == hashlib.sha256(shard).digest()
    signature = base64.b64decode(message["signature"])
    assert openssl("sha256", any_signer.public_key.pem, signature, shard, tmp_path)
    assert not openssl("sha256", any_signer.public_key.pem, signature, shard + b"?", tmp_path)


def test_a_file_that_is_an_encoded_statement_would_be_signed_as_that_statement(
    signer: LocalSigner, verifier: KeyVerifier
) -> None:
    # The reason for the warning in Signer.sign_digest. It holds for every tool that signs files and envelopes with one
    # P-256 key; a file that has been read as safetensors cannot be such a file.
    forged = oms.build("forged", [("model.safetensors", "00" * 32)])
    file = pae(forged)
    bundle = json.loads(signer.sign_digest(sha256(file)))
    envelope = {
        "payload": base64.b64encode(forged).decode(),
        "payloadType": "application/vnd.in-toto+json",
        "signatures": [{"sig": bundle.pop("messageSignature")["signature"]}],
    }
    assert verifier.verify_oms(json.dumps(bundle | {"dsseEnvelope": envelope}).encode()).model == "forged"
    header = int.from_bytes(file[:8], "little")
    assert header > 100_000_000, "safetensors allows a header of 100 MB"
