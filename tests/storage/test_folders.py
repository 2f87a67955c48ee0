"""A folder of files is there whole or not at all, whatever ends the process and whatever the system refuses."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import refusing
from refusing import NO_EXCHANGE, Refusal

from mbom import bundle
from mbom.errors import StorageError

HERE = Path(__file__).parent
OLD = {bundle.BOM: b"old", bundle.shard_member("a.safetensors"): b"old"}
NEW = {bundle.BOM: b"new"}

filtered = pytest.mark.skipif(not refusing.possible(), reason="no filter of system calls for this machine")


def left(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


@pytest.mark.parametrize("how", ["new", "replace", "replace no-exchange"])
def test_a_kill_before_any_step_leaves_no_bundle_or_a_whole_one_and_a_second_run_finishes(
    tmp_path: Path, how: str
) -> None:
    if "no-exchange" in how and not refusing.possible():
        pytest.skip("no filter of system calls for this machine")
    root = tmp_path / "out"
    root.mkdir()
    done = subprocess.run(
        [sys.executable, HERE / "everykill.py", root, *how.split()],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    steps = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(steps) > 12
    assert "os.rename" in {step["event"] for step in steps} or how == "replace"  # the exchange is no event of Python's
    before = "old" if "replace" in how else "none"
    assert {step["after"] for step in steps} <= {before, "new", "none"}
    # Between the two renames of a system that cannot exchange, the old bundle waits beside for the next run.
    assert sum(step["after"] == "none" for step in steps) == (how == "replace no-exchange") or before == "none"
    assert {step["recovered"] for step in steps} == {before, "new"}
    assert {step["again"] for step in steps} == {"new"}
    assert all(step["beside"] == ["a.mbom"] for step in steps)


def in_child(refusals: list[Refusal], folder: Path) -> str:
    """Replace a bundle where the kernel refuses calls; return the error, if there is one."""
    script = (
        "import sys; from pathlib import Path; from refusing import Refusal, refuse; from mbom import bundle\n"
        "from mbom.errors import MbomError\n"
        f"refuse([{', '.join(map(repr, refusals))}])\n"
        f"try: bundle.write(Path(sys.argv[1]), {NEW!r}, force=True)\n"
        "except MbomError as error: print(f'{type(error).__name__}: {error}')\n"
    )
    return subprocess.run(
        [sys.executable, "-c", script, folder],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout


@filtered
@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOSYS, errno.EPERM, errno.EOPNOTSUPP])
def test_a_bundle_is_replaced_where_names_cannot_be_exchanged(tmp_path: Path, code: int) -> None:
    bundle.write(tmp_path / "a.mbom", OLD, force=False)
    refusal = Refusal(call="renameat2", code=code, argument=NO_EXCHANGE.argument, value=NO_EXCHANGE.value)
    assert in_child([refusal], tmp_path / "a.mbom") == ""
    assert bundle.read(tmp_path / "a.mbom") == NEW
    assert left(tmp_path) == ["a.mbom"]


@filtered
def test_an_exchange_that_fails_for_another_reason_leaves_the_old_bundle(tmp_path: Path) -> None:
    bundle.write(tmp_path / "a.mbom", OLD, force=False)
    refusal = Refusal(call="renameat2", code=errno.EROFS, argument=NO_EXCHANGE.argument, value=NO_EXCHANGE.value)
    assert "nothing written: Read-only file system" in in_child([refusal], tmp_path / "a.mbom")
    assert bundle.read(tmp_path / "a.mbom") == OLD
    assert left(tmp_path) == ["a.mbom"]


@filtered
def test_what_cannot_be_flushed_is_not_written(tmp_path: Path) -> None:
    bundle.write(tmp_path / "a.mbom", OLD, force=False)
    assert "nothing written: Input/output error" in in_child(
        [Refusal(call="fsync", code=errno.EIO)], tmp_path / "a.mbom"
    )
    assert bundle.read(tmp_path / "a.mbom") == OLD
    assert left(tmp_path) == ["a.mbom"]


@filtered
def test_a_file_system_without_locks_is_told(tmp_path: Path) -> None:
    words = in_child([Refusal(call="flock", code=errno.EOPNOTSUPP)], tmp_path / "a.mbom")
    assert words.startswith("StorageError: ")
    assert "has no locks" in words


def test_a_second_rename_that_fails_brings_the_old_bundle_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first rename of the fallback succeeds and the second does not; no real file system does that on demand."""
    from mbom.storage import folders

    bundle.write(tmp_path / "a.mbom", OLD, force=False)
    rename = Path.rename

    def failing(path: Path, target: Path) -> Path:
        if path.name.endswith(".mbom-new"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return rename(path, target)

    monkeypatch.setattr(folders, "_exchanged", lambda *_: False)
    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(StorageError, match="nothing written"):
        bundle.write(tmp_path / "a.mbom", NEW, force=True)
    assert bundle.read(tmp_path / "a.mbom") == OLD
    assert left(tmp_path) == ["a.mbom"]


def test_a_folder_that_is_not_flushed_to_its_parent_is_there_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mbom.storage import files

    flush = files.sync_folder

    def failing(folder: Path) -> None:
        if folder == tmp_path:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        flush(folder)

    monkeypatch.setattr(files, "sync_folder", failing)
    with pytest.raises(StorageError, match=r"written, but .* reached the disk"):
        bundle.write(tmp_path / "a.mbom", NEW, force=False)
    assert bundle.read(tmp_path / "a.mbom") == NEW


@pytest.mark.parametrize("what", ["new", "old"])
def test_what_no_run_of_mbom_left_is_in_the_way_and_stays(tmp_path: Path, what: str) -> None:
    strange = tmp_path / f".a.mbom.mbom-{what}"
    strange.mkdir()
    (strange / "cat.jpg").write_bytes(b"precious")
    with pytest.raises(StorageError, match="in the way"):
        bundle.write(tmp_path / "a.mbom", NEW, force=False)
    assert (strange / "cat.jpg").read_bytes() == b"precious"


def test_a_link_in_the_place_of_a_leftover_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / ".a.mbom.mbom-new").symlink_to(tmp_path / "kept")
    with pytest.raises(StorageError, match="in the way"):
        bundle.write(tmp_path / "a.mbom", NEW, force=False)
    assert (tmp_path / "kept").is_dir()
