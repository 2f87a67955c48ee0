import hashlib
import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors
from blake3 import blake3
from checkpoints import Tensors, random_tensors
from safetensors.numpy import load_file

from mbom.errors import ChangedError, MbomError, RefusedError, StorageError
from mbom.inventory import reading
from mbom.inventory.reading import CHUNK, Reading, read
from mbom.source import Advertised, LocalFile
from mbom.tensorfile import dump


def quiet(count: int) -> None:
    assert count >= 0


def at(path: Path, *, git_blob: str | None = None) -> LocalFile:
    size = path.lstat().st_size
    return LocalFile(name=path.name, path=path, advertised=Advertised(name=path.name, size=size, git_blob=git_blob))


def taken(path: Path, *, tensors: bool = True, keep: bool = False, git_blob: str | None = None) -> Reading:
    return read(at(path, git_blob=git_blob), tensors=tensors, keep=keep, tick=quiet)


def written(folder: Path, tensors: Tensors) -> Path:
    path = folder / "model.safetensors"
    path.write_bytes(dump(tensors, {"format": "pt"}))
    return path


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK])
def test_the_digest_is_that_of_sha256sum_at_every_boundary_of_a_chunk(tmp_path: Path, size: int) -> None:
    path = tmp_path / "data.bin"
    path.write_bytes(os.urandom(size))
    found = taken(path, tensors=False)
    assert found.sha256 == subprocess.check_output(["sha256sum", path], text=True).split()[0]
    assert (found.size, found.content, found.git_blob, found.header) == (size, None, None, None)


def test_the_git_blob_id_is_that_of_git(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(b'{"a": 1}\n' * 200_000)
    found = taken(path, tensors=False, git_blob="0" * 40)
    assert found.git_blob == subprocess.check_output(["git", "hash-object", "--no-filters", path], text=True).strip()


def test_what_is_kept_is_what_was_hashed(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    content = os.urandom(CHUNK + 77)
    path.write_bytes(content)
    found = taken(path, tensors=False, keep=True)
    assert found.content == content
    assert found.head == content[:512]


def test_every_tensor_has_the_digest_of_the_bytes_that_the_library_loads(tmp_path: Path) -> None:
    tensors = random_tensors(40, dtypes=("F32", "F16", "I64", "U8"))
    tensors["empty"] = ("F32", (0, 3), b"")
    tensors["z.large"] = ("F32", (3, CHUNK // 4), os.urandom(3 * CHUNK))
    tensors["exact"] = ("U8", (CHUNK,), os.urandom(CHUNK))
    path = written(tmp_path, tensors)
    found = taken(path)
    assert found.header is not None
    digests = dict(zip([tensor.name for tensor in found.header.tensors], found.blake3, strict=True))
    assert digests == {name: blake3(array.tobytes()).hexdigest() for name, array in load_file(path).items()}
    assert (found.malformed, found.disagreement) == (None, None)
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("offset", range(-3, 4))
def test_digests_are_right_wherever_a_chunk_ends(tmp_path: Path, offset: int, monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = random_tensors(12, seed=5)
    path = written(tmp_path, tensors)
    monkeypatch.setattr(reading, "CHUNK", 64 + offset)
    found = taken(path)
    assert found.header is not None
    for tensor, digest in zip(found.header.tensors, found.blake3, strict=True):
        assert digest == blake3(tensors[tensor.name][2]).hexdigest()
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_empty_tensors_at_the_end_have_the_digest_of_nothing(tmp_path: Path) -> None:
    path = written(tmp_path, {"a": ("U8", (0,), b""), "b": ("U8", (0, 2), b"")})
    assert taken(path).blake3 == (blake3().hexdigest(),) * 2


def test_a_malformed_file_is_still_hashed_to_its_end(tmp_path: Path) -> None:
    path = written(tmp_path, random_tensors(5))
    path.write_bytes(path.read_bytes()[:-1])
    found = taken(path)
    assert found.malformed is not None
    assert "truncated" in found.malformed
    assert (found.header, found.blake3) == (None, ())
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_another_table_from_the_library_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, random_tensors(3))
    other = tmp_path / "other.safetensors"
    other.write_bytes(dump({**random_tensors(2), "model.layers.2.weight": ("U8", (7,), b"1234567")}))
    opened = safetensors.safe_open
    monkeypatch.setattr(reading, "safe_open", lambda _, **options: opened(other, **options))
    disagreement = taken(path).disagreement
    assert disagreement is not None
    assert disagreement.startswith("model.layers.2.weight is (")
    other.write_bytes(b"nothing")
    disagreement = taken(path).disagreement
    assert disagreement is not None
    assert "refuses" in disagreement


def touched_with_another_time(path: Path) -> None:
    os.utime(path, ns=(1, 1))


def grown(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"x")


def truncated(path: Path) -> None:
    os.truncate(path, CHUNK)


def rewritten_in_place(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(2 * CHUNK)
        file.write(b"evil")


def rewritten_and_dated_back(path: Path) -> None:
    before = path.stat()
    rewritten_in_place(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replaced_by_an_equal_file(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    os.utime(other, ns=(5, 5))
    other.replace(path)


def replaced_by_a_link(path: Path) -> None:
    path.symlink_to(path.rename(path.with_name("other")))


def removed(path: Path) -> None:
    path.unlink()


def closed_to_everybody(path: Path) -> None:
    path.chmod(0)


CHANGES: dict[Callable[[Path], None], str] = {
    touched_with_another_time: "written to",
    grown: "extended from",
    truncated: f"truncated from .* to {CHUNK} bytes",
    rewritten_in_place: "written to",
    rewritten_and_dated_back: "written to",
    replaced_by_an_equal_file: "replaced by another file",
    replaced_by_a_link: "replaced by another file",
    removed: "removed",
    closed_to_everybody: "written to, or given other properties,",
}


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_file_that_changes_while_it_is_read_is_an_error(tmp_path: Path, change: Callable[[Path], None]) -> None:
    path = written(tmp_path, {"w": ("U8", (5 * CHUNK,), bytes(5 * CHUNK))})
    os.utime(path, ns=(5, 5))  # so that a change within one tick of the clock shows
    ticks = []

    def tick(count: int) -> None:
        ticks.append(count)
        if len(ticks) == 3:
            change(path)

    with pytest.raises(ChangedError, match=rf"model\.safetensors: {CHANGES[change]}.* while it was read"):
        read(at(path), tensors=True, keep=False, tick=tick)


def a_link(path: Path) -> None:
    target = path.with_name("target")
    target.write_bytes(b"x")
    path.symlink_to(target)


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_folder(path: Path) -> None:
    path.mkdir()


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


@pytest.mark.parametrize("make", [a_link, a_pipe, a_folder, a_socket])
def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path: Path, make: Callable[[Path], None]) -> None:
    path = tmp_path / "x"
    make(path)
    with pytest.raises(MbomError, match="x: ") as refusal:
        taken(path)
    assert isinstance(refusal.value, RefusedError | StorageError)


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    path = tmp_path / "gone"
    advertised = Advertised(name="gone", size=1)
    with pytest.raises(StorageError, match="gone: cannot be opened"):
        read(LocalFile(name="gone", path=path, advertised=advertised), tensors=False, keep=False, tick=quiet)


def test_no_descriptor_is_left_open_after_an_error(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    path = tmp_path / "x"
    path.mkdir()
    for _ in range(20):
        with pytest.raises(RefusedError):
            taken(path)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
