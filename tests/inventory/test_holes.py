import os
from pathlib import Path

import pytest

from mbom.errors import RefusedError
from mbom.inventory import holes
from mbom.inventory.holes import HOLES_LIMIT, check_holes


def checked(path: Path) -> int:
    """Check a file, and return where its descriptor stands afterwards."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        check_holes(descriptor, os.fstat(descriptor), path.name)
        return os.lseek(descriptor, 0, os.SEEK_CUR)
    finally:
        os.close(descriptor)


def sparse(path: Path, size: int, *data: int) -> Path:
    """Write a file of ``size`` bytes that has a block of data at each of some offsets."""
    with path.open("wb") as file:
        for offset in data:
            file.seek(offset)
            file.write(b"x" * 4096)
        file.truncate(size)
    return path


@pytest.mark.parametrize("data", [(), (0,), (0, 1 << 30), (1 << 40,)], ids=["none", "first", "two", "late"])
def test_a_file_that_is_mostly_holes_is_refused(tmp_path: Path, data: tuple[int, ...]) -> None:
    with pytest.raises(RefusedError, match=r"giant: \d+ bytes of which \d+ are holes"):
        checked(sparse(tmp_path / "giant", 1 << 41, *data))


def test_holes_up_to_the_limit_are_read_like_zeros(tmp_path: Path) -> None:
    assert checked(sparse(tmp_path / "file", HOLES_LIMIT)) == 0
    assert checked(sparse(tmp_path / "more", HOLES_LIMIT + 4096, 0)) == 0
    with pytest.raises(RefusedError):
        checked(sparse(tmp_path / "most", HOLES_LIMIT + 1))


def test_fewer_blocks_without_holes_are_a_file_system_that_compresses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * (1 << 20))
    monkeypatch.setattr(holes, "HOLES_LIMIT", 4096)
    few = os.stat_result(list(path.stat()), {"st_blocks": 1})
    descriptor = os.open(path, os.O_RDONLY)
    try:
        assert few.st_blocks == 1
        check_holes(descriptor, few, "file")
    finally:
        os.close(descriptor)
