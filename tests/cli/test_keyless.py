"""Attesting and verifying keyless, as a user runs them, through a whole Sigstore on loopback."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from attesting import FIXTURE, reseal
from commands import environment, mbom, schema
from signingkeyless import ALICE, signer
from sigstoreloop import Instance

from mbom import bundle, cli
from mbom.inventory import Inventory

OFFLINE = Path(__file__).parent.parent.parent / ".ci" / "offline.py"


@dataclass(frozen=True, kw_only=True)
class Run:
    """How a command ended that ran in this process."""

    status: int
    out: str
    err: str


Command = Callable[..., Run]


@pytest.fixture
def run(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run ``mbom`` in this process, at home in ``home``."""
    monkeypatch.setenv("HOME", str(home))
    for name in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "GITHUB_ACTIONS", "SOURCE_DATE_EPOCH"):
        monkeypatch.delenv(name, raising=False)

    def command(*arguments: str | Path) -> Run:
        capsys.readouterr()
        status = cli.run([str(argument) for argument in arguments])
        told = capsys.readouterr()
        return Run(status=status, out=told.out, err=told.err)

    return command


class Keyless:
    """A bundle of the fixture that Alice signed, and what verifies it."""

    def __init__(self, instance: Instance, folder: Path, rekor: int) -> None:
        self.instance = instance
        self.home = folder / "home"
        self.home.mkdir()
        self.trust = instance.write_trust_config(folder / "trust.json", rekor=rekor)
        self.token = folder / "token"
        self.token.write_text(instance.token(email=ALICE))
        self.bundle = folder / "tiny.mbom"
        self.made = mbom(*self.attest, "-o", self.bundle, home=self.home)

    @property
    def attest(self) -> tuple[str | Path, ...]:
        signing = ("--keyless", "--identity-token-file", self.token, "--trust-config", self.trust)
        return ("attest", FIXTURE, "--no-behaviour", *signing)

    def trusted(self, **changes: str | Path) -> list[str | Path]:
        """Return the options that trust Alice; a change replaces one of them or adds another."""
        options: dict[str, str | Path] = {
            "identity": ALICE,
            "issuer": self.instance.issuer,
            "trust-config": self.trust,
            **changes,
        }
        return [part for name, value in options.items() for part in (f"--{name}", value)]

    @property
    def everybody(self) -> list[str | Path]:
        """The options that trust whoever is at example.com."""
        told = ("--issuer", self.instance.issuer, "--trust-config", self.trust)
        return ["--identity-regexp", r".*@example\.com", *told]


@pytest.fixture(scope="session")
def made(running_instance: Instance, tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Keyless]:
    """Bundles that are logged in Rekor v1 and v2, each made once."""
    return cache(lambda rekor: Keyless(running_instance, tmp_path_factory.mktemp("keyless"), rekor))


@pytest.fixture
def keyless(made: Callable[[int], Keyless]) -> Keyless:
    return made(2)


@pytest.mark.parametrize("rekor", [1, 2])
def test_attest_then_verify_without_a_network(made: Callable[[int], Keyless], rekor: int) -> None:
    keyless = made(rekor)
    assert keyless.made.returncode == 0, keyless.made.stderr
    assert f"signed     {ALICE} ({keyless.instance.issuer})" in keyless.made.stderr
    assert not (keyless.home / ".config").exists(), "no key was needed"
    # Where a namespace can be cut off, not even the instance on loopback can be reached from in there.
    verify = [sys.executable, "-m", "mbom", "verify", keyless.bundle, FIXTURE, *keyless.trusted()]
    done = subprocess.run(
        [sys.executable, OFFLINE, *verify], env=environment(keyless.home), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told = re.escape(f"{ALICE} ({keyless.instance.issuer})")
    assert re.search(rf" 2 signature +PASS +{told}, (logged|timestamped) 20\d\d-\d\d-\d\dT[\d:]+Z\n", done.stdout)
    assert "VERIFIED" in done.stdout
    assert done.stderr == "", "the library keeps its warnings to itself"


def test_a_signature_by_itself_is_verified_keyless_too(keyless: Keyless, run: Command, tmp_path: Path) -> None:
    done = run("verify", FIXTURE, "--signature", keyless.bundle / bundle.MODEL_SIGNATURE, *keyless.trusted())
    assert done.status == 0, done.out + done.err
    assert ALICE in done.out
    shard = next(keyless.bundle.rglob("*.safetensors.sigstore.json"))
    alone = FIXTURE / shard.name.removesuffix(".sigstore.json")
    assert run("verify", alone, "--signature", shard, *keyless.trusted()).status == 0
    other = run("verify", alone, "--signature", shard, *keyless.trusted(identity="mallory@example.com"))
    assert other.status == 1
    run("keygen", tmp_path / "release.pem")
    assert run("verify", alone, "--signature", shard, "--key", tmp_path / "release.pub").status == 1


def test_the_command_that_attest_shows_next_verifies(keyless: Keyless, run: Command) -> None:
    (line,) = [line for line in keyless.made.stderr.splitlines() if line.startswith("next: mbom verify ")]
    shown = line.removeprefix("next: mbom ").replace("~", str(keyless.home)).split()
    assert run(*shown).status == 0


def test_every_signature_of_the_bundle_has_one_certificate(keyless: Keyless) -> None:
    members = bundle.read(keyless.bundle)
    signed = [name for name in members if name.endswith(".sigstore.json") or name == bundle.MODEL_SIGNATURE]
    assert len(signed) >= 4
    assert len({certificate(members[name]) for name in signed}) == 1


def certificate(data: bytes) -> str:
    found: str = json.loads(data)["verificationMaterial"]["certificate"]["rawBytes"]
    return found


def test_the_verdict_as_json_follows_its_schema(keyless: Keyless, run: Command) -> None:
    document = json.loads(run("verify", keyless.bundle, *keyless.trusted(), "--json").out)
    schema("verdict").validate(document)
    assert ALICE in document["checks"][1]["detail"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"identity": "bob@example.com"}, "signed by 'alice@example.com', trusted is 'bob@example.com'"),
        ({"issuer": "https://accounts.google.com"}, "trusted is 'https://accounts.google.com'"),
        ({"github-repository": "acme/models"}, "does not say its repository"),
        ({"github-workflow": "Release"}, "does not say its workflow"),
        ({"github-ref": "refs/heads/main"}, "does not say its ref"),
    ],
)
def test_another_signer_is_refused(keyless: Keyless, run: Command, changes: dict[str, str], words: str) -> None:
    done = run("verify", keyless.bundle, *keyless.trusted(**changes))
    assert done.status == 1
    assert re.search(rf" 2 signature +FAIL +attestation\.sigstore\.json: .*{re.escape(words)}", done.out)


def test_an_expression_must_match_in_full(keyless: Keyless, run: Command) -> None:
    assert run("verify", keyless.bundle, *keyless.everybody).status == 0
    done = run("verify", keyless.bundle, "--identity-regexp", "alice", *keyless.everybody[2:])
    assert done.status == 1
    assert "does not match in full" in done.out


def test_members_of_two_signers_whom_one_expression_matches_do_not_mix(
    keyless: Keyless, run: Command, tmp_path: Path
) -> None:
    # Bob, whom the expression matches too, lists Alice's signatures of the same files as his evidence.
    mixed = tmp_path / "tiny.mbom"
    shutil.copytree(keyless.bundle, mixed)
    reseal(
        mixed,
        Inventory.from_bytes((mixed / bundle.INVENTORY).read_bytes()),
        signer(keyless.instance, who="bob@example.com"),
    )
    done = run("verify", mixed, *keyless.everybody)
    assert done.status == 1
    assert re.search(r" 2 signature +PASS +bob@example\.com", done.out)
    for step in ("6 model-sig", "7 shards"):
        assert re.search(rf" {step} +FAIL .*signed by 'alice@example\.com', trusted is 'bob@example\.com'", done.out)


def test_a_demanded_age_is_held_against_the_time_that_the_log_saw(
    keyless: Keyless, run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An attester who sets the clock forward does not make the signature younger.
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "4102444800")
    assert run(*keyless.attest, "-o", tmp_path / "late.mbom").status == 0
    done = run("verify", tmp_path / "late.mbom", *keyless.trusted(), "--min-time", "2099-01-01")
    assert done.status == 1
    assert re.search(
        r" 2 signature +FAIL +the statement claims 2100-01-01T00:00:00Z, and its signature was there at 20\d\d-",
        done.out,
    )
    assert run("verify", keyless.bundle, *keyless.trusted(), "--min-time", "2020-01-01").status == 0


def test_a_key_does_not_verify_a_keyless_bundle(keyless: Keyless, run: Command, tmp_path: Path) -> None:
    run("keygen", tmp_path / "release.pem")
    done = run("verify", keyless.bundle, "--key", tmp_path / "release.pub")
    assert done.status == 1
    assert "signed with a certificate (keyless), and what is trusted here is a key" in done.out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--identity", ALICE], "--issuer is missing"),
        (["--issuer", "https://i"], "--issuer narrows an identity: name it with --identity"),
        (["--github-ref", "x", "--issuer", "https://i"], "narrows an identity"),
        (["--trust-config", "x"], "--trust-config narrows an identity"),
        (["--identity", "a", "--identity-regexp", "a", "--issuer", "https://i"], "exclude each other"),
        (["--identity", "a", "--issuer", "https://i", "--key", "k.pub"], "--key and --identity exclude each other"),
        (["--identity", "", "--issuer", "https://i"], "would match nobody"),
        (["--identity-regexp", "(", "--issuer", "https://i"], "no regular expression"),
    ],
)
def test_trust_that_makes_no_sense_is_wrong_usage(run: Command, options: list[str], words: str) -> None:
    done = run("verify", "none.mbom", *options)
    assert done.status == 2
    assert words in done.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--keyless", "--key", "k.pem"], "exclude each other"),
        (["--keyless", "--unsigned"], "exclude each other"),
        (["--trust-config", "x"], "go with --keyless"),
        (["--identity-token-file", "x"], "go with --keyless"),
    ],
)
def test_signing_that_makes_no_sense_is_wrong_usage(run: Command, options: list[str], words: str) -> None:
    done = run("attest", FIXTURE, "--no-behaviour", *options)
    assert done.status == 2
    assert words in done.err


def signing(instance: Instance, home: Path, **claims: int) -> tuple[str, list[str | Path]]:
    """Return a token, and the options that sign with it."""
    raw = instance.token(email=ALICE, **claims)
    (home / "token").write_text(raw)
    trust = instance.write_trust_config(home / "trust.json")
    return raw, ["--keyless", "--identity-token-file", home / "token", "--trust-config", trust]


def test_an_expired_token_ends_the_run_before_anything_is_read(
    running_instance: Instance, run: Command, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MBOM_DEBUG", "1")
    raw, options = signing(running_instance, home, lifetime=-60)
    done = run("attest", home / "no-such-folder", "--no-behaviour", "-o", home / "a.mbom", *options)
    assert done.status == 4
    assert done.err.splitlines()[-1].startswith(f"mbom: the identity token in {home / 'token'} expired at 20")
    assert not any(part in done.err for part in raw.split("."))


@pytest.mark.parametrize(("service", "words"), [("fulcio", "certificate authority"), ("rekor", "transparency log")])
def test_a_service_out_of_order_leaves_no_bundle(
    instance: Instance, run: Command, home: Path, service: str, words: str
) -> None:
    raw, options = signing(instance, home)
    instance.faults.down = {service}
    done = run("attest", FIXTURE, "--no-behaviour", "-o", home / "a.mbom", *options)
    assert done.status == 3
    assert done.err.splitlines()[-1].startswith(f"mbom: the {words}")
    assert not any(part in done.err for part in raw.split("."))
    assert not (home / "a.mbom").exists()


def test_whoever_an_expression_matched_is_locked_by_name(
    keyless: Keyless, run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(keyless.bundle, "tiny.mbom")
    assert run("lock", "add", "tiny.mbom", "--as", "tiny", *keyless.everybody).status == 0
    signer_line = f'signer = {{ identity = "{ALICE}", issuer = "{keyless.instance.issuer}" }}'
    assert signer_line in (tmp_path / "mbom.lock").read_text().splitlines()
    assert run("lock", "check", *keyless.trusted()).status == 0
    other = run("lock", "check", *keyless.trusted(identity="bob@example.com"))
    assert (other.status, "trusted is 'bob@example.com'" in other.out) == (1, True)


def test_without_a_terminal_or_a_token_nobody_is_asked(keyless: Keyless, run: Command) -> None:
    done = run("attest", FIXTURE, "--no-behaviour", "--keyless", "--trust-config", keyless.trust)
    assert done.status == 4
    assert "--identity-token-file" in done.err


def test_a_checkpoint_that_is_refused_makes_no_key(run: Command, home: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(FIXTURE, broken)
    shard = next(broken.glob("*.safetensors"))
    shard.write_bytes(shard.read_bytes()[:-1])
    assert run("attest", broken, "--no-behaviour", "-o", tmp_path / "a.mbom").status == 1
    assert not (home / ".config").exists()


def test_help_does_not_import_sigstore(home: Path) -> None:
    program = "import sys; from mbom import cli; print(cli.run(['verify', '--help']), 'sigstore' in sys.modules)"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=environment(home), capture_output=True, text=True, check=True)
    assert done.stdout.endswith("0 False\n")
