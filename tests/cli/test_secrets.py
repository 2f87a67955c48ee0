"""Canaries: no command prints, logs or writes a password, a PIN, a token or a private key, whatever goes wrong."""

import base64
import contextlib
import os
import pty
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from attesting import FIXTURE
from authorities import Authority, TimestampServer
from commands import environment, mbom
from hubserver import Fault, HubServer
from tokens import PIN, Tokens, needs_softhsm

from mbom import cli

PASSWORD = "canary-password-1c9e"
WRONG = "canary-wrong-7a21"
TOKEN = "hf_canaryCANARYcanaryCANARY42"
OTHER_TOKEN = "canary-token-of-another-form"
JOB_TOKEN = "canary-job-token-0b5d"
QUERY = "canary-query-66"

ENVIRONMENT = {
    "MBOM_KEY_PASSWORD": PASSWORD,
    "MBOM_PKCS11_PIN": PIN,
    "HF_TOKEN": TOKEN,
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN": JOB_TOKEN,
    "MBOM_DEBUG": "1",  # tracebacks too
}


@dataclass(kw_only=True)
class Victim:
    """A user with secrets, what was printed in front of them, and the files that hold secrets by right."""

    root: Path
    patch: pytest.MonkeyPatch
    capture: pytest.CaptureFixture[str]
    secrets: list[str] = field(default_factory=lambda: [PASSWORD, WRONG, TOKEN, OTHER_TOKEN, JOB_TOKEN, QUERY, PIN])
    own: list[Path] = field(default_factory=list)
    printed: list[str] = field(default_factory=list)

    def key(self, name: str, *options: str) -> Path:
        """Make a key, every line of which is a secret."""
        path = self.root / name
        self("keygen", path, *options)
        self.guard(path)
        return path

    def guard(self, path: Path) -> None:
        """Take a file for a secret."""
        self.own.append(path)
        self.secrets += [line for line in path.read_text().splitlines() if not line.startswith("-----")]

    def __call__(self, *arguments: str | Path, **env: str) -> int:
        """Run a command in the user's folder, and note what it says."""
        with self.patch.context() as patch:
            patch.chdir(self.root)
            for name, value in ({"HOME": str(self.root)} | ENVIRONMENT | env).items():
                patch.setenv(name, value)
            status = cli.run([str(argument) for argument in arguments])
        said = self.capture.readouterr()
        self.printed.append(said.out + said.err)
        return status

    def leaks(self) -> list[tuple[str, str]]:
        """Return every place where a secret is to be seen, and which."""
        places = {f"output {number}": text.encode() for number, text in enumerate(self.printed)}
        places |= {
            str(path): path.read_bytes() for path in self.root.rglob("*") if path.is_file() and path not in self.own
        }
        forms = {secret: spellings(secret) for secret in self.secrets if len(secret) > 8}
        return [
            (place, secret)
            for place, data in places.items()
            for secret, found in forms.items()
            if any(form in data for form in found)
        ]


def spellings(secret: str) -> set[bytes]:
    """A secret as it is, in hex, and in base64 from each of the three offsets."""
    raw = secret.encode()
    shifted = {base64.b64encode(b"\0" * shift + raw)[4:-4] for shift in range(3)}
    return {raw, raw.hex().encode(), raw[::-1], *shifted}


@pytest.fixture
def victim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Victim:
    for name in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    return Victim(root=tmp_path, patch=monkeypatch, capture=capfd)


def test_the_search_finds_what_it_should(victim: Victim) -> None:
    (victim.root / "log").write_bytes(b"..." + base64.b64encode(f"user:{PASSWORD}:x".encode()))
    victim.printed += [f"wrong password {WRONG}", TOKEN.encode().hex()]
    assert {secret for _, secret in victim.leaks()} == {PASSWORD, WRONG, TOKEN}


def test_attesting_and_verifying_with_an_encrypted_key_leaves_no_secret(victim: Victim) -> None:
    key = victim.key("release.pem", "--encrypt")
    authority = Authority.make()
    (victim.root / "chain.pem").write_bytes(authority.chain)
    with TimestampServer(authority.respond) as server:
        stamp = ("--timestamp", f"{server.url}?token={QUERY}")
        assert victim("attest", FIXTURE, "--no-behaviour", "--key", key, *stamp, "-o", "a.mbom") == 0
    trust = ("--key", "release.pub", "--timestamp-authority", "chain.pem")
    assert victim("verify", "a.mbom", FIXTURE, *trust, "--json") in (0, 1)  # the authority's clock is another
    assert victim("keygen", "--from", key, "again.pub") == 0
    assert victim("inspect", FIXTURE, "--json") == 0
    assert victim("bom", "validate", "a.mbom/bom.cdx.json") == 0
    assert victim.leaks() == []


def test_failures_around_a_key_leave_no_secret(victim: Victim) -> None:
    key = victim.key("release.pem", "--encrypt")
    plain = victim.key("plain.pem")
    attest = ("attest", FIXTURE, "--no-behaviour", "-o", "a.mbom", "--key")
    assert victim(*attest, key, MBOM_KEY_PASSWORD=WRONG) == 4
    assert victim(*attest, key, MBOM_KEY_PASSWORD="") == 4
    assert victim(*attest, key, MBOM_KEY_PASSWORD=f"{WRONG}\udcff") == 4
    assert victim("keygen", "new.pem", "--encrypt", MBOM_KEY_PASSWORD=WRONG * 80) == 2
    damaged = victim.root / "damaged.pem"
    damaged.write_text(plain.read_text().replace("MIGH", "MIGG", 1))
    damaged.chmod(0o600)
    cut = victim.root / "cut.pem"
    cut.write_text("\n".join(plain.read_text().splitlines()[:2]))
    cut.chmod(0o600)
    loose = victim.root / "loose.pem"
    shutil.copy(plain, loose)
    loose.chmod(0o644)
    victim.own += [damaged, cut, loose]
    for path in (damaged, cut, loose):
        assert victim(*attest, path) == 3
    assert "run: chmod 600 " in victim.printed[-1]
    assert victim.leaks() == []


def test_a_private_key_in_the_wrong_place_is_not_quoted(victim: Victim) -> None:
    key = victim.key("plain.pem")
    victim.key("release.pem")
    assert victim("attest", FIXTURE, "--no-behaviour", "--key", "release.pem", "-o", "a.mbom") == 0
    wrong: list[tuple[str | Path, ...]] = [
        ("verify", "a.mbom", FIXTURE, "--key", key),
        ("verify", "a.mbom", FIXTURE, "--key", "release.pub", "--timestamp-authority", key),
        ("verify", key, FIXTURE, "--key", "release.pub"),
        ("verify", "a.mbom", key, "--key", "release.pub"),
        ("attest", FIXTURE, "--no-behaviour", "--origins", key, "-o", "b.mbom"),
        ("attest", FIXTURE, "--no-behaviour", "--base", "a.mbom", "--base-key", key, "-o", "b.mbom"),
        ("attest", FIXTURE, "--no-behaviour", "--base", key, "--base-key", "release.pub", "-o", "b.mbom"),
        ("attest", key, "--no-behaviour", "-o", "b.mbom"),
        ("compare", key, key),
        ("bom", "validate", key),
        ("keygen", key),
        ("inspect", key),
    ]
    for arguments in wrong:
        assert victim(*arguments) not in (0, 130), arguments
    assert victim.leaks() == []


def test_a_file_of_secrets_in_place_of_a_member_is_not_quoted(victim: Victim) -> None:
    key = victim.key("plain.pem")
    assert victim("attest", FIXTURE, "--no-behaviour", "--key", key, "-o", "a.mbom") == 0
    for member in sorted((victim.root / "a.mbom").iterdir()):
        if member.is_file():
            before = member.read_bytes()
            shutil.copy(key, member)
            assert victim("verify", "a.mbom", "--key", "plain.pub", "--json") == 1
            member.write_bytes(before)
    assert victim.leaks() == []


@pytest.mark.parametrize(("status", "token"), [(401, TOKEN), (403, OTHER_TOKEN), (404, TOKEN)])
def test_a_hub_that_repeats_the_token_does_not_get_it_printed(victim: Victim, status: int, token: str) -> None:
    with HubServer() as hub:
        hub.push("acme/model", {"config.json": b"{}"})
        hub.fail("info", "", Fault(status=status, headers=echo(token), sticky=True))
        env = {"HF_ENDPOINT": hub.url, "HF_HOME": str(victim.root / "hf"), "HF_TOKEN": token}
        arguments: list[str | Path] = [
            "attest",
            "acme/model",
            "--no-behaviour",
            "--unsigned",
            "-o",
            victim.root / "a.mbom",
        ]
        # A process of its own, because the hub's client reads the environment when it is imported.
        run = mbom(*arguments, home=victim.root, env=ENVIRONMENT | env)
        assert run.returncode in (3, 4)
        assert "no luck with Bearer [secret], [secret]" in run.stderr
        assert hub.requests[-1].token == token, "the token went where it belongs"
    victim.printed.append(run.stdout + run.stderr)
    assert victim.leaks() == []


def echo(token: str) -> dict[str, str]:
    return {"X-Error-Message": f"no luck with Bearer {token}, {token}", "X-Error-Code": token}


def test_a_timestamp_authority_with_a_password_in_its_url_is_refused_without_it(victim: Victim) -> None:
    victim.key("release.pem")
    attest = ("attest", FIXTURE, "--no-behaviour", "--key", "release.pem", "-o", "a.mbom", "--timestamp")
    assert victim(*attest, f"http://user:{WRONG}@127.0.0.1:9/tsr") == 2
    assert victim(*attest, f"http://127.0.0.1:9/tsr?token={QUERY}") == 3
    assert victim.leaks() == []


@needs_softhsm
def test_the_pin_of_a_token_is_nowhere(victim: Victim, hsm: Tokens) -> None:
    victim.guard(hsm.folder / "release-P-256.pem")
    attest = ("attest", FIXTURE, "--no-behaviour", "-o", "a.mbom", "--key")
    assert victim(*attest, hsm.uri("P-256"), **hsm.environment) == 0
    assert victim(*attest, hsm.uri("P-256"), **hsm.environment, MBOM_PKCS11_PIN=WRONG) == 4
    assert victim(*attest, hsm.uri("nothing"), **hsm.environment) == 3
    assert victim(*attest, f"pkcs11:object=a?pin-value={WRONG}", **hsm.environment) == 2
    assert victim.leaks() == []


def test_a_password_that_is_typed_is_not_shown(victim: Victim) -> None:
    key = victim.key("release.pem", "--encrypt")
    process, terminal = pty.fork()
    if process == 0:
        arguments = ["attest", str(FIXTURE), "--no-behaviour", "--key", str(key), "-o", str(victim.root / "a.mbom")]
        os.execve(sys.executable, [sys.executable, "-m", "mbom", *arguments], environment(victim.root))  # noqa: S606
    shown = b""
    with contextlib.suppress(OSError):  # the end of a terminal
        while part := os.read(terminal, 4096):
            shown += part
            if shown.endswith(b"Password of the key: "):
                os.write(terminal, f"{WRONG}\n".encode())
    _, status = os.waitpid(process, 0)
    victim.printed.append(shown.decode())
    assert os.waitstatus_to_exitcode(status) == 4
    assert "the password does not open the key" in victim.printed[-1]
    assert victim.leaks() == []


def children(process: int) -> Iterator[Path]:
    """Yield the processes below ``process`` that run another program than it, as folders of /proc."""
    pending = [process]
    while pending:
        for task in Path(f"/proc/{pending.pop()}/task").glob("*"):
            with contextlib.suppress(OSError):
                for child in (task / "children").read_text().split():
                    pending.append(int(child))
                    yield Path("/proc") / child


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks at processes through /proc")
def test_no_child_of_a_command_sees_a_secret(victim: Victim) -> None:
    key = victim.key("release.pem", "--encrypt")
    arguments = ["attest", str(FIXTURE), "--key", str(key), "-o", str(victim.root / "a.mbom"), "--device", "cpu"]
    run = subprocess.Popen(
        [sys.executable, "-m", "mbom", *arguments],
        env=environment(victim.root, ENVIRONMENT),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    parent = Path(f"/proc/{run.pid}/cmdline").read_bytes()
    seen: dict[str, bytes] = {}
    while run.poll() is None:
        for child in children(run.pid):
            with contextlib.suppress(OSError):
                command = (child / "cmdline").read_bytes()
                if command not in (parent, b""):  # between fork and exec a child is still its parent
                    seen[child.name] = command + (child / "environ").read_bytes()
        time.sleep(0.02)
    assert run.stdout is not None
    victim.printed.append(run.stdout.read())
    run.stdout.close()
    assert run.returncode == 0, victim.printed[-1]
    assert seen, "the behaviour pass runs in a child"
    victim.printed += [data.decode(errors="replace") for data in seen.values()]
    assert victim.leaks() == []
