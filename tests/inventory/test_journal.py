"""What an interrupted attestation hashed is relied on as long as nothing speaks against it, and not a moment longer."""

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from checkpoints import random_tensors, write_checkpoint
from hypothesis import given
from hypothesis import strategies as st

from mbom import __version__
from mbom.errors import FormatError
from mbom.inventory import Scan, ScanProgress, journal, scan
from mbom.inventory.identity import Identity
from mbom.inventory.journal import Entry, Journal
from mbom.inventory.reading import read
from mbom.source import Advertised, FolderSource, LocalFile, Origin

ORIGIN = Origin(kind="folder", name="model")
SHARDS = ("model-00000-of-00003.safetensors", "model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors")


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let files count that this test wrote a moment ago."""
    monkeypatch.setattr(journal, "SETTLED_NS", 0)
    time.sleep(0.02)  # several ticks of a file system's clock


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = write_checkpoint(tmp_path / "model", random_tensors(30), shards=3)
    time.sleep(0.02)
    return folder


def of(tmp_path: Path, *, origin: Origin = ORIGIN, output: str = "a.mbom", everything: bool = False) -> Journal:
    found = Journal.of(tmp_path / "cache" / "attest", origin=origin, output=tmp_path / output, everything=everything)
    assert found is not None
    return found


def file_of(tmp_path: Path) -> Path:
    (path,) = (tmp_path / "cache" / "attest").iterdir()
    return path


def interrupted(tmp_path: Path, model: Path) -> Scan:
    """Scan with a journal, and never get to delete it."""
    first = scan(FolderSource(model), journal=of(tmp_path))
    assert first.reused == ()
    return first


def again(tmp_path: Path, model: Path) -> Scan:
    return scan(FolderSource(model), journal=of(tmp_path))


def test_finished_weights_are_not_hashed_again_and_give_the_same_inventory(tmp_path: Path, model: Path) -> None:
    first = interrupted(tmp_path, model)
    second = again(tmp_path, model)
    assert second.reused == SHARDS
    assert second.inventory.to_bytes() == first.inventory.to_bytes()
    assert (second.paths, second.identities, second.contents) == (first.paths, first.identities, first.contents)


def test_a_reading_that_is_recalled_is_the_reading(tmp_path: Path, model: Path) -> None:
    path = model / SHARDS[0]
    local = LocalFile(name=path.name, path=path, advertised=Advertised(name=path.name, size=path.stat().st_size))
    fresh = read(local, tensors=True, keep=False, tick=lambda _count: None)
    of(tmp_path).note(fresh, opened_ns=time.time_ns())
    assert of(tmp_path).recall(local) == fresh


def test_progress_counts_what_is_reused(tmp_path: Path, model: Path) -> None:
    interrupted(tmp_path, model)
    reports: list[ScanProgress] = []
    scan(FolderSource(model), journal=of(tmp_path), progress=reports.append)
    last = reports[-1]
    assert (last.phase, last.files_done, last.bytes_done) == ("weights", 3, last.bytes_total)


def test_without_a_journal_everything_is_hashed(tmp_path: Path, model: Path) -> None:
    interrupted(tmp_path, model)
    assert scan(FolderSource(model)).reused == ()


def test_a_journal_that_is_deleted_is_gone(tmp_path: Path, model: Path) -> None:
    first = of(tmp_path)
    scan(FolderSource(model), journal=first)
    first.delete()
    assert list((tmp_path / "cache" / "attest").iterdir()) == []
    assert again(tmp_path, model).reused == ()


def test_only_its_owner_can_read_a_journal(tmp_path: Path, model: Path) -> None:
    interrupted(tmp_path, model)
    assert (tmp_path / "cache" / "attest").stat().st_mode & 0o777 == 0o700
    assert file_of(tmp_path).stat().st_mode & 0o777 == 0o600


# What makes another attestation of it.

OTHERS: dict[str, Callable[[Path], Journal]] = {
    "another output": lambda path: of(path, output="b.mbom"),
    "another commit": lambda path: of(path, origin=replace(ORIGIN, kind="hub", repo="o/m", revision="b" * 40)),
    "another name": lambda path: of(path, origin=replace(ORIGIN, name="other")),
    "all weight sets": lambda path: of(path, everything=True),
}


@pytest.mark.parametrize("other", OTHERS)
def test_another_attestation_has_another_journal(tmp_path: Path, model: Path, other: str) -> None:
    interrupted(tmp_path, model)
    assert scan(FolderSource(model), journal=OTHERS[other](tmp_path)).reused == ()


def test_another_version_and_another_start_of_the_machine_have_another_journal(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(tmp_path, model)
    with monkeypatch.context() as patch:
        patch.setattr(journal, "__version__", f"{__version__}.1")
        assert again(tmp_path, model).reused == ()
    (tmp_path / "boot").write_text("another start\n")
    monkeypatch.setattr(journal, "_BOOT", tmp_path / "boot")
    assert again(tmp_path, model).reused == ()


def test_where_the_start_of_the_machine_is_unknown_there_is_no_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "_BOOT", tmp_path / "no such file")
    assert Journal.of(tmp_path, origin=ORIGIN, output=tmp_path / "a.mbom", everything=False) is None


# What happens to a file between two runs: it is hashed again, and the others are not.


def written_to(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)[0]
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last ^ 1]))


def written_to_and_dated_back(path: Path) -> None:
    before = path.stat()
    written_to(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_mtime_ns == before.st_mtime_ns


def replaced_by_a_copy(path: Path) -> None:
    before = path.stat()
    copy = path.with_name("copy")
    copy.write_bytes(path.read_bytes())
    os.utime(copy, ns=(before.st_atime_ns, before.st_mtime_ns))
    copy.replace(path)


def touched(path: Path) -> None:
    path.touch()


@pytest.mark.parametrize("change", [written_to, written_to_and_dated_back, replaced_by_a_copy, touched])
def test_a_file_that_is_not_the_same_any_more_is_hashed_again(
    tmp_path: Path, model: Path, change: Callable[[Path], None]
) -> None:
    interrupted(tmp_path, model)
    time.sleep(0.02)
    change(model / SHARDS[1])
    second = again(tmp_path, model)
    assert second.reused == (SHARDS[0], SHARDS[2])
    assert second.inventory.to_bytes() == scan(FolderSource(model)).inventory.to_bytes()


def forged(tmp_path: Path, change: Callable[[Entry], Entry]) -> None:
    """Change the entry of the first shard, and give the line the digest that it should have."""
    path = file_of(tmp_path)
    entries = [Entry.from_line(line, "journal") for line in path.read_bytes().splitlines()]
    path.write_bytes(b"".join((change(entry) if entry.name == SHARDS[0] else entry).to_line() for entry in entries))


def rotten(entry: Entry) -> Entry:
    return replace(entry, blake3=("0" * 64,) * len(entry.blake3))


FORGERIES: dict[str, Callable[[Entry], Entry]] = {
    "bytes that rotted with every time the same": rotten,
    "another header": lambda entry: replace(entry, header="0" * 64),
    "a tensor less": lambda entry: replace(entry, blake3=entry.blake3[:-1]),
    "another inode": lambda entry: replace(entry, identity=replace(entry.identity, inode=1)),
    "another device": lambda entry: replace(entry, identity=replace(entry.identity, device=1)),
    "read too long ago": lambda entry: replace(entry, read=entry.read - journal.REUSE_SECONDS - 60),
    "read in the future": lambda entry: replace(entry, read=entry.read + 3600),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_note_that_does_not_fit_the_file_or_the_clock_is_not_relied_on(
    tmp_path: Path, model: Path, forgery: str
) -> None:
    first = interrupted(tmp_path, model)
    forged(tmp_path, FORGERIES[forgery])
    second = again(tmp_path, model)
    assert second.reused == SHARDS[1:]
    assert second.inventory.to_bytes() == first.inventory.to_bytes()


def flip(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


EXAMPLE = Entry(
    name="a.safetensors",
    identity=Identity(device=2**64 - 1, inode=2**63, size=0, mtime_ns=1, ctime_ns=2),
    read=1_790_000_000,
    sha256="1" * 64,
    header="2" * 64,
    blake3=("3" * 64,),
)

DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "one flipped bit": flip,
    "no digest": lambda data: data.partition(b" ")[2],
    "an empty line": lambda data: b"\n" + data,
    "another document": lambda data: Entry.to_line(EXAMPLE).replace(b'"read"', b'"reed"') + data,
    "nothing but zeros": lambda data: bytes(len(data)),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_journal_is_believed_in_no_line(tmp_path: Path, model: Path, damage: str) -> None:
    first = interrupted(tmp_path, model)
    path = file_of(tmp_path)
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    second = again(tmp_path, model)
    assert second.reused == ()
    assert second.inventory.to_bytes() == first.inventory.to_bytes()
    assert again(tmp_path, model).reused == SHARDS, "the next one begins a sound journal"


def test_a_line_that_was_not_finished_costs_itself_alone(tmp_path: Path, model: Path) -> None:
    interrupted(tmp_path, model)
    path = file_of(tmp_path)
    path.write_bytes(path.read_bytes()[:-10])
    assert len(again(tmp_path, model).reused) == 2
    assert again(tmp_path, model).reused == SHARDS


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o640])
def test_a_journal_that_others_can_reach_is_not_believed(tmp_path: Path, model: Path, mode: int) -> None:
    interrupted(tmp_path, model)
    file_of(tmp_path).chmod(mode)
    assert again(tmp_path, model).reused == ()


def test_a_link_in_the_place_of_a_journal_is_not_followed(tmp_path: Path, model: Path) -> None:
    interrupted(tmp_path, model)
    path = file_of(tmp_path)
    elsewhere = path.rename(tmp_path / "elsewhere")
    path.symlink_to(elsewhere)
    before = elsewhere.read_bytes()
    assert again(tmp_path, model).reused == ()
    assert elsewhere.read_bytes() == before


def test_a_file_that_was_written_a_moment_ago_is_not_noted(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "SETTLED_NS", 3600 * 10**9)
    interrupted(tmp_path, model)
    assert again(tmp_path, model).reused == ()


def test_only_sound_weights_are_noted(tmp_path: Path, model: Path) -> None:
    written_to(model / "config.json")
    os.truncate(model / SHARDS[2], 100)
    time.sleep(0.02)
    interrupted(tmp_path, model)
    second = again(tmp_path, model)
    assert second.reused == SHARDS[:2]
    assert "safetensors-malformed" in {finding.id for finding in second.inventory.findings}


def test_journals_that_nobody_came_back_for_are_deleted(tmp_path: Path, model: Path) -> None:
    interrupted(tmp_path, model)
    path = file_of(tmp_path)
    old = time.time() - journal.REUSE_SECONDS - 60
    os.utime(path, (old, old))
    of(tmp_path, output="b.mbom")
    assert not path.exists()


def test_a_cache_that_cannot_be_written_is_no_reason_to_fail(tmp_path: Path, model: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    assert (
        Journal.of(tmp_path / "cache" / "attest", origin=ORIGIN, output=tmp_path / "a.mbom", everything=False) is None
    )
    lost = Journal(tmp_path / "cache" / "x.journal")
    assert scan(FolderSource(model), journal=lost).reused == ()


def test_every_number_of_an_identity_survives(tmp_path: Path) -> None:
    del tmp_path
    assert Entry.from_line(EXAMPLE.to_line()[:-1], "journal") == EXAMPLE


@given(st.integers(min_value=0, max_value=8 * (len(EXAMPLE.to_line()) - 1) - 1))
def test_no_single_flipped_bit_of_a_line_is_believed(bit: int) -> None:
    line = bytearray(EXAMPLE.to_line()[:-1])
    line[bit // 8] ^= 1 << bit % 8
    with pytest.raises(FormatError):
        Entry.from_line(bytes(line), "journal")


@given(st.binary(max_size=300))
def test_noise_is_no_line(noise: bytes) -> None:
    with pytest.raises(FormatError):
        Entry.from_line(noise, "journal")
