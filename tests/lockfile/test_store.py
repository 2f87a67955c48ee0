"""The lock file on a disk: whole or as it was, by one run at a time, and never a link."""

import os
from pathlib import Path

import pytest
from lockfiles import FOLDER, PINNED, but, lock

from mbom.errors import BusyError, FormatError, RefusedError, StorageError
from mbom.lockfile import Lock, located, read, update
from mbom.storage import locks


def test_a_lock_file_is_made_changed_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "mbom.lock"
    assert read(path) is None
    assert update(path, lambda held: held.with_entry(PINNED)) == (Lock(), lock(PINNED))
    assert path.read_bytes() == lock(PINNED).to_bytes()
    path.chmod(0o640)
    assert update(path, lambda held: held.with_entry(FOLDER)) == (lock(PINNED), lock(PINNED, FOLDER))
    assert read(path) == lock(PINNED, FOLDER)
    assert path.stat().st_mode & 0o777 == 0o640
    before = path.stat().st_mtime_ns, path.stat().st_ino
    update(path, lambda held: held)
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_change_that_fails_leaves_the_file(tmp_path: Path) -> None:
    path = tmp_path / "mbom.lock"
    update(path, lambda held: held.with_entry(PINNED))

    def refuse(held: Lock) -> Lock:
        raise RefusedError(f"not among {len(held.entries)}")

    with pytest.raises(RefusedError, match="not among 1"):
        update(path, refuse)
    with pytest.raises(FormatError, match="'digest' is"):
        update(path, lambda held: held.with_entry(but(FOLDER, digest="x")))
    assert read(path) == lock(PINNED)
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_cannot_be_read_is_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "mbom.lock"
    path.write_bytes(b"mine\n")
    with pytest.raises(FormatError, match=r"mbom\.lock: line 1 is 'mine'"):
        update(path, lambda held: held.with_entry(PINNED))
    assert path.read_bytes() == b"mine\n"


def test_a_file_that_cannot_be_had_or_written_is_not_checked_rather_than_refused(tmp_path: Path) -> None:
    path = tmp_path / "mbom.lock"
    path.mkdir()
    with pytest.raises(FormatError, match="not a regular file"):
        read(path)
    with pytest.raises(StorageError, match="File name too long"):
        read(tmp_path / ("x" * 300))


def test_of_two_runs_the_second_is_told(tmp_path: Path) -> None:
    path = tmp_path / "mbom.lock"
    with locks.held(tmp_path / ".mbom.lock.lock", busy="busy"), pytest.raises(BusyError, match="another run"):
        update(path, lambda held: held)
    assert read(path) is None


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("token = 'hunter2'\n")
    (tmp_path / "mbom.lock").symlink_to("secret")
    for look in (read, lambda path: update(path, lambda held: held)):
        with pytest.raises(FormatError, match="a link") as caught:
            look(tmp_path / "mbom.lock")
        assert "hunter2" not in str(caught.value)


def test_what_is_no_file_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "mbom.lock")
    with pytest.raises(FormatError, match="not a regular file"):
        read(tmp_path / "mbom.lock")
    with pytest.raises(StorageError, match="does not exist"):
        update(tmp_path / "nowhere" / "mbom.lock", lambda held: held)


def test_a_bundle_is_found_below_the_folder(tmp_path: Path) -> None:
    (tmp_path / "evidence" / "gpt-oss-20b.mbom").mkdir(parents=True)
    assert located(PINNED, tmp_path) == tmp_path / "evidence" / "gpt-oss-20b.mbom"
    with pytest.raises(StorageError, match=r"mine: there is no bundle at mine\.mbom"):
        located(FOLDER, tmp_path)


@pytest.mark.parametrize("link", ["evidence", "evidence/gpt-oss-20b.mbom"])
def test_a_link_out_of_the_folder_is_refused(tmp_path: Path, link: str) -> None:
    outside = tmp_path / "outside"
    (outside / "gpt-oss-20b.mbom").mkdir(parents=True)
    folder = tmp_path / "repository"
    (folder / link).parent.mkdir(parents=True, exist_ok=True)
    (folder / link).symlink_to(outside if link == "evidence" else outside / "gpt-oss-20b.mbom")
    with pytest.raises(FormatError, match="is a link to outside"):
        located(PINNED, folder)


def test_a_circle_of_links_is_no_bundle(tmp_path: Path) -> None:
    (tmp_path / "mine.mbom").symlink_to("mine.mbom")
    with pytest.raises(StorageError, match="there is no bundle"):
        located(FOLDER, tmp_path)
