"""Interrupted, killed and refused by the system: what is said, what is left, and how the next run goes on."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import refusing
from attesting import FIXTURE
from checkpoints import files_below
from commands import environment, mbom
from hubserver import Fault, HubServer

from mbom import bundle
from mbom.signing import generate

EPOCH = {"SOURCE_DATE_EPOCH": "1790000000"}
SHARD = "model-00002-of-00003.safetensors"
REUSED = "files hashed by the interrupted run"

filtered = pytest.mark.skipif(not refusing.possible(), reason="no filter of system calls for this machine")


def attest(*arguments: str | Path, home: Path) -> subprocess.CompletedProcess[str]:
    return mbom("attest", FIXTURE, "--no-behaviour", "--unsigned", *arguments, home=home, env=EPOCH)


def refused(calls: str, *arguments: str | Path, home: Path) -> subprocess.CompletedProcess[str]:
    """Run the command line where the kernel refuses some calls."""
    env = {name: value for name, value in environment(home, EPOCH).items() if not name.startswith("COVERAGE")}
    return subprocess.run(
        [sys.executable, refusing.__file__, *calls.split(), "--", *map(str, arguments)],
        env=env | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def content(output: Path) -> dict[str, bytes]:
    return {name: path.read_bytes() for name, path in files_below(output).items()}


def interrupt(home: Path, output: Path) -> None:
    """Leave what a run leaves that hashed everything and came to no bundle: here, because a flush fails."""
    run = refused("fsync=EIO", "attest", FIXTURE, "--no-behaviour", "--unsigned", "-o", output, home=home)
    assert run.returncode == 3
    assert run.stderr.splitlines()[-1].endswith("a.mbom: nothing written: Input/output error")
    assert list(output.parent.iterdir()) == []


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


@filtered
def test_the_next_run_goes_on_with_what_was_hashed_says_so_and_gives_the_same_bytes(home: Path, out: Path) -> None:
    interrupt(home, out / "a.mbom")
    again = attest("-o", out / "a.mbom", home=home)
    assert again.returncode == 0, again.stderr
    assert f"838 kB   3 {REUSED}" in again.stderr
    assert "--no-cache hashes them again" in again.stderr
    first = content(out / "a.mbom")
    assert list((home / ".cache" / "mbom" / "attest").iterdir()) == [], "the journal of a finished attestation"
    anew = attest("-o", out / "a.mbom", "--force", home=home)
    assert REUSED not in anew.stderr
    assert content(out / "a.mbom") == first


@filtered
def test_whoever_refuses_the_cache_hashes_everything(home: Path, out: Path) -> None:
    interrupt(home, out / "a.mbom")
    run = attest("-o", out / "a.mbom", "--no-cache", home=home)
    assert (run.returncode, REUSED in run.stderr) == (0, False)


@filtered
def test_only_the_same_attestation_goes_on_and_nobody_who_checks(home: Path, out: Path) -> None:
    interrupt(home, out / "a.mbom")
    other = mbom("attest", FIXTURE, "--no-behaviour", "-o", out / "b.mbom", home=home, env=EPOCH)
    assert (other.returncode, REUSED in other.stderr) == (0, False)
    for command in (("verify", out / "b.mbom", FIXTURE), ("inspect", FIXTURE)):
        run = mbom(*command, home=home)
        assert (run.returncode, REUSED in run.stdout + run.stderr) == (0, False), run.stderr


@filtered
def test_a_disk_that_cannot_be_read_is_an_error_that_names_the_file(home: Path, out: Path) -> None:
    run = refused("readv=EIO", "attest", FIXTURE, "--no-behaviour", "--unsigned", "-o", out / "a.mbom", home=home)
    assert run.returncode == 3
    assert "cannot be read: Input/output error" in run.stderr.splitlines()[-1]
    assert any(name in run.stderr.splitlines()[-1] for name in os.listdir(FIXTURE))  # noqa: PTH208 - names only
    assert list(out.iterdir()) == []


@pytest.mark.skipif(os.getuid() == 0, reason="root reads every file")
def test_a_file_that_may_not_be_read_is_named(home: Path, out: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(FIXTURE, model)
    (model / SHARD).chmod(0)
    run = mbom("attest", model, "--no-behaviour", "--unsigned", "-o", out / "a.mbom", home=home)
    assert run.returncode == 3
    assert f"{SHARD}: cannot be opened: Permission denied" in run.stderr


def test_a_file_that_changes_after_it_was_hashed_is_not_signed(tmp_path: Path) -> None:
    from attesting import CREATED, new_signer

    from mbom.attest import attest as verb
    from mbom.errors import ChangedError
    from mbom.facts import Survey
    from mbom.source import FolderSource

    model = tmp_path / "model"
    shutil.copytree(FIXTURE, model)

    def change(survey: Survey) -> None:
        """Come between hashing and signing, which are hours apart when behaviour is measured."""
        del survey
        with (model / SHARD).open("r+b") as file:
            file.seek(-1, os.SEEK_END)
            file.write(b"\xa5")

    with pytest.raises(ChangedError, match=rf"{SHARD}: written to.* since it was read"):
        verb(
            FolderSource(model), tmp_path / "a.mbom", created=CREATED, signer=new_signer(tmp_path), measure=None,
            on_survey=change,
        )  # fmt: skip
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "release.pem", "release.pub"]


def test_the_second_of_two_runs_is_told_and_the_first_finishes(home: Path, out: Path) -> None:
    with bundle.reserved(out / "a.mbom", force=False) as write:
        second = attest("-o", out / "a.mbom", home=home)
        assert second.returncode == 3
        assert second.stdout == ""
        assert "a.mbom: another run of mbom is writing it; wait" in second.stderr.splitlines()[-1]
        assert "hashed" not in second.stderr, "it is told before any work"
        write({bundle.BOM: b"{}"})
    assert bundle.read(out / "a.mbom") == {bundle.BOM: b"{}"}


def test_a_hangup_ends_a_run_like_an_interrupt(home: Path, out: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "mbom", "attest", FIXTURE, "-o", out / "a.mbom"],
        env=environment(home) | {"TMPDIR": str(out)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    while "hashed" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGHUP)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.splitlines()[-1] == "mbom: interrupted; nothing is left half-written"
    assert list(out.iterdir()) == []


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer() as server:
        server.push("acme/tiny", {path.name: path.read_bytes() for path in FIXTURE.iterdir()})
        yield server


def user(hub: HubServer, home: Path) -> dict[str, str]:
    return {"HF_ENDPOINT": hub.url, "HF_HOME": str(home / "hf")} | EPOCH


def test_a_run_that_is_killed_while_it_downloads_is_finished_by_the_next(home: Path, out: Path, hub: HubServer) -> None:
    hub.fail("file", SHARD, Fault(stall=30))
    generate(out.parent / "release.pem")
    key, output = out.parent / "release.pem", out / "a.mbom"
    command = ["attest", "acme/tiny", "--no-behaviour", "--key", str(key), "-o", str(output)]
    process = subprocess.Popen(
        [sys.executable, "-m", "mbom", *command], env=environment(home, user(hub, home)),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while SHARD not in hub.fetched():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not output.exists()
    again = mbom(*command, home=home, env=user(hub, home))
    assert again.returncode == 0, again.stderr
    assert [entry.name for entry in out.iterdir()] == ["a.mbom"]
    verified = mbom("verify", output, "acme/tiny", "--key", key.with_suffix(".pub"), home=home, env=user(hub, home))
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_a_mirror_that_stops_in_the_middle_is_left_after_a_while_and_asked_again(
    home: Path, out: Path, hub: HubServer
) -> None:
    hub.fail("file", SHARD, Fault(stall=20))
    impatient = user(hub, home) | {"HF_HUB_DOWNLOAD_TIMEOUT": "1"}
    run = mbom("attest", "acme/tiny", "--no-behaviour", "--unsigned", "-o", out / "a.mbom", home=home, env=impatient)
    assert run.returncode == 0, run.stderr
    assert hub.fetched().count(SHARD) >= 2


@filtered
@pytest.mark.parametrize("form", ["export", "form"])
def test_a_document_that_cannot_be_flushed_leaves_the_old_one(home: Path, out: Path, form: str) -> None:
    assert attest("-o", out / "a.mbom", home=home).returncode == 0
    old = out / "old.txt"
    old.write_text("what was there")
    options = {"export": ["--spec", "1.6"], "form": ["--gpai", "--force"]}[form]
    run = refused("fsync=EIO", "bom", form, *options, out / "a.mbom", "-o", old, home=home)
    assert run.returncode == 3
    assert run.stderr.splitlines()[-1].endswith(f"old.txt: nothing written: {os.strerror(errno.EIO)}")
    assert old.read_text() == "what was there"
    assert sorted(entry.name for entry in out.iterdir()) == ["a.mbom", "old.txt"]
