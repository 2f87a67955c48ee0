"""Keys of every kind and timestamps, as a user runs them."""

import json
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from attesting import FIXTURE
from authorities import TIME, Authority, OpensslAuthority, TimestampServer
from commands import environment, mbom
from tokens import PIN, Tokens, needs_softhsm

from mbom import bundle

EPOCH = {"SOURCE_DATE_EPOCH": str(int(TIME.timestamp()) - 60)}
HONEST = Authority.make()


def attest(*options: str | Path, home: Path, env: dict[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    return mbom("attest", FIXTURE, "--no-behaviour", *options, home=home, env=EPOCH | (env or {}))


def stamping(made: Path, server: TimestampServer, folder: Path) -> list[str | Path]:
    """Return the options that sign a bundle in ``folder`` and have it timestamped."""
    return ["--key", made / "release.pem", "--timestamp", server.url, "-o", folder / "b.mbom"]


def trusting(made: Path) -> list[str | Path]:
    """Return the options that trust the key and the honest authority."""
    return ["--key", made / "release.pub", "--timestamp-authority", made / "chain.pem"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a key and a bundle that the honest authority timestamped."""
    root = tmp_path_factory.mktemp("timestamped")
    (root / "home").mkdir()
    (root / "chain.pem").write_bytes(HONEST.chain)
    (root / "other.pem").write_bytes(Authority.make("other").chain)
    assert mbom("keygen", root / "release.pem", home=root).returncode == 0
    with TimestampServer(HONEST.respond) as server:
        run = attest("--key", root / "release.pem", "--timestamp", server.url, "-o", root / "a.mbom", home=root)
    assert run.returncode == 0, run.stderr
    assert re.search(r"signed +ECDSA P-256, SHA256:\S+, timestamped\n", run.stderr)
    signatures = [name for name in bundle.read(root / "a.mbom") if name.endswith((".sigstore.json", ".sig"))]
    assert len(server.requests) == len(signatures) + 1, "one of each signature, and one to see whether it answers"
    return root


def verify(made: Path, *options: str | Path) -> "subprocess.CompletedProcess[str]":
    return mbom("verify", made / "a.mbom", FIXTURE, "--key", made / "release.pub", *options, home=made)


def test_the_verdict_says_the_time_that_the_authority_vouches_for(made: Path) -> None:
    run = verify(made, "--timestamp-authority", made / "chain.pem")
    assert run.returncode == 0, run.stdout
    assert re.search(r" 2 signature +PASS  ECDSA P-256, SHA256:\S+; timestamp 2026-11-02T08:31:00Z under ", run.stdout)


def test_without_an_authority_the_verdict_says_that_timestamps_were_not_checked(made: Path) -> None:
    run = verify(made)
    assert run.returncode == 0, run.stdout
    assert "; its timestamp was not checked (--timestamp-authority)\n" in run.stdout


def test_the_timestamps_of_another_authority_are_refused_in_every_signature(made: Path) -> None:
    run = verify(made, "--timestamp-authority", made / "other.pem", "--json")
    assert run.returncode == 1
    failed = {check["id"]: check["detail"] for check in json.loads(run.stdout)["checks"] if check["outcome"] == "FAIL"}
    assert "the timestamp does not hold under the trusted authority" in failed["signature"]


def test_signatures_without_timestamps_are_refused_where_an_authority_is_trusted(made: Path, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    assert attest("--key", made / "release.pem", "-o", tmp_path / "b.mbom", home=tmp_path).returncode == 0
    run = mbom("verify", tmp_path / "b.mbom", FIXTURE, *trusting(made), home=tmp_path)
    assert run.returncode == 1
    assert "REFUSED: signature: attestation.sigstore.json: has no timestamp" in run.stdout


def test_a_claim_of_a_later_time_than_the_timestamp_s_is_refused(made: Path, tmp_path: Path) -> None:
    ahead = {"SOURCE_DATE_EPOCH": str(int(TIME.timestamp()) + 3600)}
    with TimestampServer(HONEST.respond) as server:
        assert attest(*stamping(made, server, tmp_path), home=tmp_path, env=ahead).returncode == 0
    run = mbom("verify", tmp_path / "b.mbom", FIXTURE, *trusting(made), "--min-time", "2026-11-02", home=tmp_path)
    assert run.returncode == 1
    assert (
        "REFUSED: signature: the statement claims 2026-11-02T09:31:00Z, and its signature was there at "
        "2026-11-02T08:31:00Z already" in run.stdout
    )


def test_openssl_as_the_authority_is_verified(made: Path, tmp_path: Path) -> None:
    with TimestampServer(OpensslAuthority(tmp_path / "tsa", HONEST).respond) as server:
        run = attest(*stamping(made, server, tmp_path), home=tmp_path)
    assert run.returncode == 0, run.stderr
    assert mbom("verify", tmp_path / "b.mbom", FIXTURE, *trusting(made), home=tmp_path).returncode == 0


def test_an_authority_that_does_not_answer_is_found_out_before_anything_is_hashed(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/tsr"
        mbom("keygen", tmp_path / "release.pem", home=tmp_path)
        run = attest("--key", tmp_path / "release.pem", "--timestamp", url, "-o", tmp_path / "b.mbom", home=tmp_path)
    assert run.returncode == 3
    assert run.stderr.startswith(f"mbom: {url}: cannot be asked: ")
    assert not (tmp_path / "b.mbom").exists()


def test_a_timestamp_of_nothing_is_wrong_usage(tmp_path: Path) -> None:
    run = attest("--unsigned", "--timestamp", "http://127.0.0.1/", home=tmp_path)
    assert (run.returncode, run.stderr) == (
        2,
        "mbom: --timestamp is over signatures by a key: --keyless has its own, --unsigned has none\n",
    )


def test_a_key_on_another_curve_signs_and_verifies(tmp_path: Path) -> None:
    run = mbom("keygen", tmp_path / "release.pem", "--curve", "P-521", "--encrypt", home=tmp_path, env=PASSWORD)
    assert run.returncode == 0, run.stderr
    assert "public key, ECDSA P-521; give it" in run.stderr
    run = attest("--key", tmp_path / "release.pem", "-o", tmp_path / "a.mbom", home=tmp_path, env=PASSWORD)
    assert run.returncode == 0, run.stderr
    run = mbom("verify", tmp_path / "a.mbom", FIXTURE, "--key", tmp_path / "release.pub", home=tmp_path)
    assert run.returncode == 0, run.stdout
    assert "ECDSA P-521, SHA256:" in run.stdout


PASSWORD = {"MBOM_KEY_PASSWORD": "canary-password-5d"}


def test_the_public_half_of_a_private_key_is_written_again(tmp_path: Path) -> None:
    mbom("keygen", tmp_path / "release.pem", home=tmp_path)
    run = mbom("keygen", "--from", tmp_path / "release.pem", tmp_path / "again.pub", home=tmp_path)
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "again.pub").read_bytes() == (tmp_path / "release.pub").read_bytes()
    run = mbom("keygen", "--from", tmp_path / "release.pem", tmp_path / "again.pub", home=tmp_path)
    assert run.returncode == 3
    assert "again.pub: exists, and a key is never overwritten" in run.stderr
    run = mbom("keygen", "--from", tmp_path / "release.pem", tmp_path / "x.pub", "--curve", "P-256", home=tmp_path)
    assert run.returncode == 2


@needs_softhsm
def test_a_key_on_a_token_signs_and_its_public_half_verifies(hsm: Tokens, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    env = hsm.environment | {"MBOM_PKCS11_PIN": PIN, "MBOM_PKCS11_MODULE": str(hsm.module)}
    uri = "pkcs11:token=release;object=P-384"
    run = mbom("keygen", "--from", uri, tmp_path / "release.pub", home=tmp_path, env=env)
    assert run.returncode == 0, run.stderr
    run = attest("--key", uri, "-o", tmp_path / "a.mbom", home=tmp_path, env=env)
    assert run.returncode == 0, run.stderr
    assert run.stderr.endswith("--key PUBLIC.pub\n")
    run = mbom("verify", tmp_path / "a.mbom", FIXTURE, "--key", tmp_path / "release.pub", home=tmp_path)
    assert run.returncode == 0, run.stdout
    assert "ECDSA P-384, SHA256:" in run.stdout


@needs_softhsm
def test_a_wrong_pin_is_an_authentication_failure(hsm: Tokens, tmp_path: Path) -> None:
    env = hsm.environment | {"MBOM_PKCS11_PIN": "canary-wrong"}
    run = attest("--key", hsm.uri("P-384"), "-o", tmp_path / "a.mbom", home=tmp_path, env=env)
    assert run.returncode == 4
    assert "the PIN is wrong" in run.stderr
    assert "canary" not in run.stderr


def test_a_key_on_a_token_without_the_extra_says_which_it_takes(tmp_path: Path) -> None:
    without = "import sys; sys.modules['pkcs11'] = None; from mbom.cli import run; sys.exit(run(sys.argv[1:]))"
    arguments = ["attest", str(FIXTURE), "--no-behaviour", "--key", "pkcs11:object=a", "-o", str(tmp_path / "a.mbom")]
    run = subprocess.run(
        [sys.executable, "-c", without, *arguments],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 3
    assert run.stderr == "mbom: keys on tokens take an extra: pip install 'mbom[pkcs11]'\n"
