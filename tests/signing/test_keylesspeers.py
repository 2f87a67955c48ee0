"""Peers' verdicts on keyless signatures: sigstore's command, the reference tool for ``model.sig``, sigstore-js.

And ours on what the public staging instance has logged.
"""

import base64
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from signingkeyless import ALICE, by_library, edited, signer
from sigstore.models import TrustedRoot
from sigstoreloop import Instance

from mbom.digest import sha256
from mbom.errors import SignatureError
from mbom.signing import TrustedIdentity, oms
from mbom.signing.keyless import KeylessVerifier

FILES = {"config.json": b"{}", "model.safetensors": b"weights", "模型.txt": b"name beyond ASCII"}
NODE = Path(__file__).parent.parent / "node"
STAGING = Path(__file__).parent / "sigstore-staging"


@dataclass(frozen=True, kw_only=True)
class Signed:
    """A model in a folder with a model.sig that Alice signed, a shard's signature, and the trust in her instance."""

    folder: Path
    signature: Path
    shard: Path
    trust: Path
    issuer: str


@pytest.fixture
def rekor() -> int:
    """The version of Rekor that a test uses that does not ask for each."""
    return 2


@pytest.fixture
def signed(rekor: int, instance: Instance, tmp_path: Path) -> Signed:
    folder = tmp_path / "tiny-model"
    folder.mkdir()
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    alice = signer(instance, rekor=rekor)
    statement = oms.build("tiny-model", [(name, sha256(content)) for name, content in FILES.items()])
    signature, shard = folder / "model.sig", tmp_path / "model.safetensors.sigstore.json"
    signature.write_bytes(alice.sign_statement(statement))
    shard.write_bytes(alice.sign_digest(sha256(FILES["model.safetensors"])))
    trust = instance.write_trust_config(tmp_path / "trust.json", rekor=rekor)
    return Signed(folder=folder, signature=signature, shard=shard, trust=trust, issuer=instance.issuer)


def peer(module: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", module, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


EACH = pytest.mark.parametrize("rekor", [1, 2])


def by_sigstore(signed: Signed) -> subprocess.CompletedProcess[str]:
    verify = ("--trust-config", signed.trust, "verify", "identity", "--bundle", signed.shard, "--offline")
    trusted = ("--cert-identity", ALICE, "--cert-oidc-issuer", signed.issuer)
    return peer("sigstore", *verify, *trusted, signed.folder / "model.safetensors")


def by_reference(signed: Signed, identity: str) -> subprocess.CompletedProcess[str]:
    verify = ("verify", "sigstore", signed.folder, "--signature", signed.signature, "--trust_config", signed.trust)
    return peer("model_signing", *verify, "--identity_provider", signed.issuer, "--identity", identity)


@EACH
def test_sigstore_s_command_verifies_a_shard(signed: Signed) -> None:
    done = by_sigstore(signed)
    assert (done.returncode, "OK:" in done.stdout + done.stderr) == (0, True), done.stderr


def test_sigstore_s_command_refuses_another_shard(signed: Signed) -> None:
    (signed.folder / "model.safetensors").write_bytes(b"weightz")
    done = by_sigstore(signed)
    assert (done.returncode, "FAIL:" in done.stdout + done.stderr) == (1, True), done.stderr


@EACH
def test_the_reference_tool_verifies_model_sig(signed: Signed) -> None:
    done = by_reference(signed, ALICE)
    assert (done.returncode, done.stdout) == (0, "Verification succeeded\n"), done.stderr


def test_the_reference_tool_refuses_another_signer(signed: Signed) -> None:
    done = by_reference(signed, "bob@example.com")
    assert done.returncode == 1
    assert "SANs do not match bob@example.com" in done.stderr


def test_we_verify_what_the_reference_tool_signed(instance: Instance, signed: Signed) -> None:
    sign = ("sign", "sigstore", signed.folder, "--signature", signed.signature, "--trust_config", signed.trust)
    done = peer("model_signing", *sign, "--identity_token", instance.token(email=ALICE))
    assert done.returncode == 0, done.stderr
    trusted = KeylessVerifier.load(TrustedIdentity(issuer=signed.issuer, identity=ALICE), signed.trust)
    manifest = trusted.verify_oms(signed.signature.read_bytes())
    assert {item.name for item in manifest.resources} == set(FILES)


def test_sigstore_js_verifies_what_we_sign_and_refuses_what_was_changed(instance: Instance) -> None:
    if shutil.which("node") is None or not (NODE / "node_modules" / "@sigstore" / "verify").is_dir():
        pytest.skip("tests/node/node_modules/@sigstore/verify is missing: `make test` installs it where npm can")
    cases = []
    for rekor in (1, 2):
        good = by_library(instance, rekor=rekor)
        shard = signer(instance, rekor=rekor).sign_digest(sha256(b"shard"))
        changed = edited(good, lambda value: value["dsseEnvelope"].update(payload=base64.b64encode(b"{}").decode()))
        cases += [(good, None, ALICE, True), (shard, "shard", ALICE, True), (shard, "chard", ALICE, False)]
        cases += [(changed, None, ALICE, False), (good, None, "bob@example.com", False)]
    asked = {
        "trustedRoot": instance.trust_config()["trustedRoot"],
        "issuer": instance.issuer,
        "cases": [{"bundle": json.loads(data), "artifact": file, "identity": who} for data, file, who, _ in cases],
    }
    done = subprocess.run(
        ["node", NODE / "sigstore.mjs"],
        input=json.dumps(asked),
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert [item == "verified" for item in told] == [holds for *_, holds in cases], told


BEACON = "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon"
FILE = ".github/workflows/extremely-dangerous-oidc-beacon.yml"
GITHUB = "https://token.actions.githubusercontent.com"


def of_staging(**trusted: str) -> KeylessVerifier:
    claims = {
        "identity": f"{BEACON}/{FILE}@refs/heads/main",
        "repository": BEACON.removeprefix("https://github.com/"),
        "workflow": FILE,
        "ref": "refs/heads/main",
        **trusted,
    }
    root = TrustedRoot.from_file(str(STAGING / "trusted_root.json"))
    return KeylessVerifier(TrustedIdentity(issuer=GITHUB, **claims), root)


def test_a_bundle_of_the_public_staging_instance_is_verified_with_every_claim_of_github() -> None:
    bundle = (STAGING / "statement.sigstore.json").read_bytes()
    payload, witness = of_staging().verify_payload(bundle)
    assert json.loads(payload)["predicateType"] == "https://slsa.dev/provenance/v1"
    assert f"{witness.time:%Y-%m-%d} {witness.seen_by}" == "2026-05-13 timestamped"
    assert of_staging(workflow="Extremely dangerous OIDC beacon").verify_payload(bundle)[0] == payload
    with pytest.raises(SignatureError, match="trusted is 'refs/heads/other'"):
        of_staging(ref="refs/heads/other").verify_payload(bundle)
