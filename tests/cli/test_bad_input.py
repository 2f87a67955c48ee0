"""Bad input: one clear sentence on standard error, the right exit status, and no half-written bundle."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from attesting import FIXTURE
from commands import environment, mbom

from mbom.signing import generate


def assert_refused(run: subprocess.CompletedProcess[str], status: int, *words: str) -> None:
    assert run.returncode == status, run.stderr
    assert run.stdout == ""
    assert "Traceback" not in run.stderr
    sentence = run.stderr.strip().splitlines()[-1]
    for word in words:
        assert word in sentence


def nothing_but(folder: Path, *names: str) -> bool:
    return sorted(entry.name for entry in folder.iterdir()) == sorted(names)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def missing(folder: Path) -> None:
    del folder


def empty(folder: Path) -> None:
    folder.mkdir()


def only_pickles(folder: Path) -> None:
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "llama"}')
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04N.")


def truncated_shard(folder: Path) -> None:
    shutil.copytree(FIXTURE, folder)
    shard = folder / "model-00001-of-00003.safetensors"
    os.truncate(shard, shard.stat().st_size - 1)


def broken_config(folder: Path) -> None:
    shutil.copytree(FIXTURE, folder)
    (folder / "config.json").write_text('{"model_type": "gpt_oss", "model_type": "llama"}')


def link_out(folder: Path) -> None:
    shutil.copytree(FIXTURE, folder)
    (folder / "LICENSE").unlink()
    (folder / "LICENSE").symlink_to("/etc/hostname")


CHECKPOINTS: dict[str, tuple[Callable[[Path], None], int, tuple[str, ...]]] = {
    "a missing path": (missing, 3, ("org/name",)),
    "an empty folder": (empty, 3, ("checkpoint",)),
    "only pickles": (only_pickles, 1, ("safetensors", "weights-missing")),
    "a truncated shard": (truncated_shard, 1, ("model-00001-of-00003.safetensors", "safetensors-malformed")),
    "a configuration with a key twice": (broken_config, 1, ("config.json", "config-malformed", "twice")),
    "a link out of the folder": (link_out, 3, ("LICENSE",)),
}


@pytest.mark.parametrize("case", CHECKPOINTS)
def test_a_bad_checkpoint_leaves_no_bundle(tmp_path: Path, home: Path, out: Path, case: str) -> None:
    make, status, words = CHECKPOINTS[case]
    make(tmp_path / "model")
    run = mbom("attest", tmp_path / "model", "--unsigned", "--no-behaviour", "-o", out / "a.mbom", home=home)
    assert_refused(run, status, *words)
    assert nothing_but(out)


def garbage_key(path: Path) -> None:
    path.write_bytes(os.urandom(300))
    path.chmod(0o600)


def open_key(path: Path) -> None:
    generate(path)
    path.chmod(0o644)


def encrypted_key(path: Path) -> None:
    generate(path, password=b"correct horse battery staple")


KEYS: dict[str, tuple[Callable[[Path], None], int, tuple[str, ...]]] = {
    "a missing key": (missing, 3, ("release.pem",)),
    "a key that is none": (garbage_key, 3, ("release.pem",)),
    "a key that others can read": (open_key, 3, ("chmod 600",)),
    "a wrong password": (encrypted_key, 4, ("password",)),
}


@pytest.mark.parametrize("case", KEYS)
def test_a_bad_key_leaves_no_bundle(tmp_path: Path, home: Path, out: Path, case: str) -> None:
    make, status, words = KEYS[case]
    key = tmp_path / "release.pem"
    make(key)
    run = mbom(
        "attest", FIXTURE, "--key", key, "--no-behaviour", "-o", out / "a.mbom",
        home=home, env={"MBOM_KEY_PASSWORD": "canary-8f3a"},
    )  # fmt: skip
    assert_refused(run, status, *words)
    assert "canary-8f3a" not in run.stderr
    assert nothing_but(out)


def test_a_full_disk_leaves_no_bundle(home: Path, out: Path) -> None:
    """A limit on the size of a file stands for the disk: the write fails in the middle, as ENOSPC makes it fail."""
    limited = "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000)); "
    limited += "sys.argv = ['mbom', *sys.argv[1:]]; runpy.run_module('mbom', run_name='__main__')"
    run = subprocess.run(
        [sys.executable, "-c", limited, "attest", FIXTURE, "--unsigned", "--no-behaviour", "-o", out / "a.mbom"],
        env={name: value for name, value in environment(home).items() if not name.startswith("COVERAGE")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert_refused(run, 3, "nothing written", "a.mbom")
    assert nothing_but(out)


def test_a_disk_that_is_really_full_leaves_no_bundle(home: Path, tmp_path: Path) -> None:
    """The same on a file system of 64 kB, where this machine allows to mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    script = (
        'mount -t tmpfs -o size=64k tmpfs "$1" || exit 99; shift; '
        '"$@"; status=$?; ls -A "$DISK" | grep -q . && exit 98; exit $status'
    )
    private = ["unshare", "-m"] if os.getuid() == 0 else ["unshare", "-r", "-m"]
    command = [sys.executable, "-m", "mbom", "attest", FIXTURE, "--no-behaviour", "-o", disk / "a.mbom"]
    run = subprocess.run(
        [*private, "sh", "-c", script, "sh", *map(str, (disk, *command))],
        env=environment(home) | {"DISK": str(disk)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if run.returncode in (1, 99) and "mount" in run.stderr + "unshare" and "mbom:" not in run.stderr:
        pytest.skip("this machine allows no private mount")
    assert_refused(run, 3, "No space left on device", "nothing written")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_no_bundle(home: Path, out: Path, number: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "mbom", "attest", FIXTURE, "-o", out / "a.mbom"],
        env=environment(home) | {"TMPDIR": str(out)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    seen = ""
    while "measuring" not in seen and process.poll() is None:
        seen += process.stderr.readline()
    started = time.monotonic()
    process.send_signal(number)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert output == ""
    assert "interrupted; nothing is left half-written" in errors
    assert "Traceback" not in errors
    assert time.monotonic() - started < 20
    assert nothing_but(out), "a temporary folder was left behind"


def test_an_existing_bundle_is_kept_before_any_work(home: Path, out: Path) -> None:
    (out / "a.mbom").mkdir()
    run = mbom("attest", FIXTURE, "-o", out / "a.mbom", home=home)
    assert_refused(run, 2, "--force")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("attest", "x", "--key", "k", "--unsigned"), "exclude each other"),
        (("attest", "x", "--no-behaviour", "--base-key", "k"), "--base"),
        (("verify", "b", "--behaviour"), "CHECKPOINT"),
        (("verify", "b", "--revision", "main"), "40"),
        (("verify", "b", "--min-time", "yesterday"), "2026-11-02"),
        (("verify", "b"), "--key"),
        (("verify", "b", "c", "--challenge", "n"), "--reference"),
        (("verify", "b", "--challenge", "n", "--reference", "r"), "CHECKPOINT"),
        (("verify", "b", "c", "--reference", "r"), "--challenge"),
        (("verify", "b", "c", "--challenge", "a\nb", "--reference", "r"), "printable"),
        (("verify", "b", ".", "--challenge", "n", "--reference", "."), "second copy"),
    ],
)
def test_wrong_usage_ends_with_2(home: Path, tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    run = mbom(*arguments, home=home, cwd=tmp_path)
    assert_refused(run, 2, words)


def test_a_date_that_is_no_number_is_wrong_usage(home: Path, out: Path) -> None:
    run = mbom("attest", FIXTURE, "--no-behaviour", "-o", out / "a.mbom", home=home, env={"SOURCE_DATE_EPOCH": "today"})
    assert_refused(run, 2, "SOURCE_DATE_EPOCH")


def test_a_table_of_producers_that_is_none_is_wrong_usage(home: Path, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(
        "schema: urn:mbom:producers:v1\naccounts: [{account: a, entity: A, country: UK}]\n"
    )
    assert_refused(mbom("inspect", FIXTURE, "--origins", tmp_path / "own.yaml", home=home), 2, "own.yaml", "'source'")
    assert_refused(mbom("inspect", FIXTURE, "--origins", tmp_path / "no.yaml", home=home), 3, "no.yaml")


def test_a_base_that_cannot_be_read_stops_before_any_work(home: Path, out: Path) -> None:
    for base, status, word in ((out / "nothing", 3, "no such bundle"), (FIXTURE, 1, "not a member")):
        run = mbom("attest", FIXTURE, "--no-behaviour", "--base", base, "-o", out / "a.mbom", home=home)
        assert_refused(run, status, str(base), word)
    assert nothing_but(out)
