"""Digests over whole files and pieces, against the plain functions over the plain bytes."""

import hashlib
import os
import random
from collections.abc import Callable
from pathlib import Path

import blake3
import pytest

from mbom.errors import ChangedError, RefusedError, SourceError, StorageError
from mbom.inventory import ScanProgress
from mbom.inventory.metering import Meter
from mbom.inventory.reading import CHUNK
from mbom.signing.manifest import Algorithm, Hashing
from mbom.source import FolderSource
from mbom.verify import hashing
from mbom.verify.hashing import FileDigests, digests_of, digests_of_bytes, digests_of_file

PLAIN: dict[Algorithm, Callable[[bytes], str]] = {
    "sha256": lambda data: hashlib.sha256(data).hexdigest(),
    "blake2b": lambda data: hashlib.blake2b(data).hexdigest(),
    "blake3": lambda data: str(blake3.blake3(data).hexdigest()),
}
SIZES = (0, 1, 999, 1000, 1001, 3000, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 7)
PIECES = (None, 1000, CHUNK - 1, CHUNK, CHUNK + 1, 1_000_000_000)


def expected(data: bytes, hashing: Hashing) -> FileDigests:
    plain = PLAIN[hashing.algorithm]
    if hashing.piece is None:
        return FileDigests(size=len(data), digests=(plain(data),))
    cuts = range(0, len(data), hashing.piece)
    return FileDigests(size=len(data), digests=tuple(plain(data[cut : cut + hashing.piece]) for cut in cuts))


@pytest.mark.parametrize("piece", PIECES)
@pytest.mark.parametrize("algorithm", PLAIN)
def test_every_size_at_every_cut_gives_the_plain_digests(
    algorithm: Algorithm, piece: int | None, tmp_path: Path
) -> None:
    hashing = Hashing(algorithm=algorithm, piece=piece)
    random_bytes = random.Random(7)  # test data
    wanted = {}
    for size in SIZES:
        data = random_bytes.randbytes(size)
        (tmp_path / str(size)).write_bytes(data)
        wanted[str(size)] = expected(data, hashing)
        assert digests_of_bytes(data, hashing=hashing) == wanted[str(size)]
    assert digests_of(FolderSource(tmp_path), wanted, hashing=hashing, progress=None) == wanted


def test_one_file_is_read_through_links_and_a_missing_or_special_one_is_not(tmp_path: Path) -> None:
    whole = Hashing(algorithm="sha256")
    (tmp_path / "blob").write_bytes(b"x")
    (tmp_path / "link").symlink_to("blob")
    assert digests_of_file(tmp_path / "link", hashing=whole) == digests_of_bytes(b"x", hashing=whole)
    (tmp_path / "loop").symlink_to("loop")
    for name in ("gone", "loop"):
        with pytest.raises(SourceError, match="no such file"):
            digests_of_file(tmp_path / name, hashing=whole)
    with pytest.raises(RefusedError, match="not a regular file"):
        digests_of_file(Path("/dev/null"), hashing=whole)


def test_a_file_that_becomes_a_link_or_goes_is_not_read(tmp_path: Path) -> None:
    whole = Hashing(algorithm="sha256")
    meter = Meter("files", files=1, size=1, progress=None)
    (tmp_path / "a").write_bytes(b"x")
    (tmp_path / "link").symlink_to("a")
    with pytest.raises(RefusedError, match="a symbolic link"):
        hashing._one(tmp_path / "link", "a", whole, meter)
    with pytest.raises(StorageError, match="cannot be opened"):
        hashing._one(tmp_path / "gone", "a", whole, meter)


def rewritten_and_dated_back(path: Path) -> None:
    before = path.stat()
    with path.open("r+b") as file:
        file.write(b"y")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replaced_by_a_copy(path: Path) -> None:
    path.with_name("other").write_bytes(path.read_bytes())
    path.with_name("other").replace(path)


CHANGES: dict[Callable[[Path], None], str] = {
    rewritten_and_dated_back: "written to",
    replaced_by_a_copy: "replaced by another file",
    Path.unlink: "removed",
}


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_file_that_changes_while_it_is_hashed_is_refused(tmp_path: Path, change: Callable[[Path], None]) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    path = folder / "a"
    path.write_bytes(bytes(2 * CHUNK))
    os.utime(path, ns=(5, 5))  # so that a change within one tick of the clock shows

    def tick(report: ScanProgress) -> None:
        if report.bytes_done == CHUNK:
            change(path)

    with pytest.raises(ChangedError, match=rf"a: {CHANGES[change]}.* while it was read"):
        digests_of(FolderSource(folder), {"a"}, hashing=Hashing(algorithm="sha256"), progress=tick)
