"""One file: what was there, or all of what was meant."""

import os
import resource
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mbom.storage import files


def left(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_a_regular_file_is_read_up_to_its_limit_and_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"four")
    (tmp_path / "link").symlink_to("a")
    data, status = files.read(tmp_path / "link", limit=4)
    assert (data, status.st_ino) == (b"four", (tmp_path / "a").stat().st_ino)
    with pytest.raises(files.UnfitError, match="larger than 3 bytes"):
        files.read(tmp_path / "link", limit=3)
    with pytest.raises(FileNotFoundError):
        files.read(tmp_path / "gone", limit=3)


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir])
def test_what_is_no_regular_file_is_neither_read_nor_left_open(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "a")
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(files.UnfitError, match="not a regular file"):
        files.read(tmp_path / "a", limit=4)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_file_is_written_and_nothing_beside_it(tmp_path: Path) -> None:
    files.write(tmp_path / "a", b"one", replace=False)
    files.write(tmp_path / "a", b"two", replace=True)
    assert (tmp_path / "a").read_bytes() == b"two"
    assert left(tmp_path) == ["a"]


def test_a_file_that_is_there_stays_when_it_may_not_be_replaced(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        files.write(tmp_path / "a", b"new", replace=False)
    assert (tmp_path / "a").read_bytes() == b"mine"
    assert left(tmp_path) == ["a"]


def test_a_replaced_file_keeps_its_permissions_and_a_new_one_has_those_of_the_umask(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"secret")
    (tmp_path / "a").chmod(0o600)
    files.write(tmp_path / "a", b"new", replace=True)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600
    before = os.umask(0o027)
    try:
        files.write(tmp_path / "b", b"new", replace=True)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "b").stat().st_mode) == 0o640


def test_a_link_stays_and_the_file_that_it_means_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    files.write(tmp_path / "link", b"new", replace=True)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    script = "import sys; from pathlib import Path; from mbom.storage import files\n"
    script += "files.write(Path('/dev/stdout'), b'through the pipe', replace=True)"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.check_output([sys.executable, "-c", script], env=environment, cwd=tmp_path) == b"through the pipe"


def test_a_file_that_cannot_grow_leaves_the_old_one_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            files.write(tmp_path / "a", b"x" * 2000, replace=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (tmp_path / "a").read_bytes() == b"old"
    assert left(tmp_path) == ["a"]
