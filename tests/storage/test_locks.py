"""Of two that want one thing, one has it and the other is told; nothing that a killed one left stands in the way."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mbom import bundle
from mbom.errors import BusyError, StorageError
from mbom.storage import locks

MEMBERS = {bundle.BOM: b"{}"}

HOLDER = """
import sys, time
from pathlib import Path
from mbom.storage import locks
with locks.held(Path(sys.argv[1]), busy="busy"):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, path],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_the_second_is_told_and_the_first_goes_on(tmp_path: Path) -> None:
    with locks.held(tmp_path / "lock", busy="a.mbom: another run"):
        with (
            pytest.raises(BusyError, match=r"a\.mbom: another run"),
            locks.held(tmp_path / "lock", busy="a.mbom: another run"),
        ):
            pass
        assert (tmp_path / "lock").exists(), "the second took the first one's lock away"
    assert not (tmp_path / "lock").exists()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_process_holds_nothing(tmp_path: Path, number: signal.Signals) -> None:
    with holder(tmp_path / "lock") as process:
        with pytest.raises(BusyError), locks.held(tmp_path / "lock", busy="busy"):
            pass
        process.send_signal(number)
        process.wait(30)
    assert (tmp_path / "lock").exists(), "nobody was there to remove it"
    with locks.held(tmp_path / "lock", busy="busy"):
        pass
    assert not (tmp_path / "lock").exists()


def test_a_child_of_the_holder_does_not_keep_the_lock(tmp_path: Path) -> None:
    with locks.held(tmp_path / "lock", busy="busy"):
        child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    with child, locks.held(tmp_path / "lock", busy="busy"):
        assert child.stdin is not None
        child.stdin.close()


def test_a_lock_whose_file_was_removed_does_not_count_for_the_next(tmp_path: Path) -> None:
    with locks.held(tmp_path / "lock", busy="busy"):
        (tmp_path / "lock").unlink()
        with locks.held(tmp_path / "lock", busy="busy"):
            inode = (tmp_path / "lock").stat().st_ino
            assert inode
    assert not (tmp_path / "lock").exists()


def test_a_file_with_content_is_nobody_s_lock_to_remove(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("mine")
    with locks.held(tmp_path / "lock", busy="busy"):
        pass
    assert (tmp_path / "lock").read_text() == "mine"


@pytest.mark.parametrize("make", ["link", "folder"])
def test_what_is_no_lock_file_is_refused(tmp_path: Path, make: str) -> None:
    if make == "link":
        (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    else:
        (tmp_path / "lock").mkdir()
    with pytest.raises(StorageError, match="cannot write there"), locks.held(tmp_path / "lock", busy="busy"):
        pass
    assert not (tmp_path / "elsewhere").exists()


def test_a_bundle_that_another_run_writes_is_left_to_it(tmp_path: Path) -> None:
    with bundle.reserved(tmp_path / "a.mbom", force=False) as write:
        with pytest.raises(BusyError, match=r"a\.mbom: another run of mbom is writing it.*-o"):
            bundle.write(tmp_path / "a.mbom", {bundle.BOM: b"other"}, force=True)
        write(MEMBERS)
    assert bundle.read(tmp_path / "a.mbom") == MEMBERS


def test_two_names_of_one_folder_are_one_output(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "out")
    with (
        bundle.reserved(tmp_path / "out" / "a.mbom", force=False),
        pytest.raises(BusyError),
        bundle.reserved(tmp_path / "link" / "a.mbom", force=False),
    ):
        pass


def test_another_output_beside_it_is_free(tmp_path: Path) -> None:
    with bundle.reserved(tmp_path / "a.mbom", force=False):
        bundle.write(tmp_path / "b.mbom", MEMBERS, force=False)


def test_what_appears_during_the_work_is_not_replaced_unasked(tmp_path: Path) -> None:
    from mbom.errors import UsageError

    with bundle.reserved(tmp_path / "a.mbom", force=False) as write:
        (tmp_path / "a.mbom").mkdir()
        with pytest.raises(UsageError, match="exists"):
            write(MEMBERS)
    assert list((tmp_path / "a.mbom").iterdir()) == []
