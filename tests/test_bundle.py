"""The evidence folder: strict reading, and writing that leaves a whole bundle or none."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mbom import bundle
from mbom.behaviour.numbers import SIZE_LIMIT
from mbom.behaviour.record import JSON_LIMIT
from mbom.bom.check import BOM_LIMIT
from mbom.errors import FormatError, StorageError, UsageError
from mbom.inventory.record import DOCUMENT_LIMIT
from mbom.signing.sigstorebundle import BUNDLE_LIMIT
from mbom.signing.statement import STATEMENT_LIMIT

MEMBERS = {
    bundle.INVENTORY: b"{}",
    bundle.BOM: b"{}",
    bundle.shard_member("model-00000-of-00002.safetensors"): b"one",
    bundle.shard_member("part/model.safetensors"): b"two",
}


def leftovers(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_what_is_written_is_read(tmp_path: Path) -> None:
    bundle.write(tmp_path / "a.mbom", MEMBERS, force=False)
    assert bundle.read(tmp_path / "a.mbom") == MEMBERS
    assert leftovers(tmp_path) == ["a.mbom"]


def test_an_existing_bundle_stays_without_force(tmp_path: Path) -> None:
    bundle.write(tmp_path / "a.mbom", MEMBERS, force=False)
    with pytest.raises(UsageError, match="--force"):
        bundle.write(tmp_path / "a.mbom", {bundle.BOM: b"new"}, force=False)
    assert bundle.read(tmp_path / "a.mbom") == MEMBERS


def test_force_swaps_the_whole_bundle(tmp_path: Path) -> None:
    bundle.write(tmp_path / "a.mbom", MEMBERS, force=False)
    bundle.write(tmp_path / "a.mbom", {bundle.BOM: b"new"}, force=True)
    assert bundle.read(tmp_path / "a.mbom") == {bundle.BOM: b"new"}
    assert leftovers(tmp_path) == ["a.mbom"]


def test_force_replaces_nothing_but_a_bundle(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "cat.jpg").write_bytes(b"precious")
    with pytest.raises(UsageError, match=r"cat\.jpg"):
        bundle.write(folder, MEMBERS, force=True)
    assert (folder / "cat.jpg").read_bytes() == b"precious"


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("extra.txt", lambda path: path.write_text("x")),
        ("Bom.cdx.json", lambda path: path.write_text("{}")),
        ("shards/readme", lambda path: path.write_text("x")),
        ("behaviour.json", lambda path: path.symlink_to("inventory.json")),
        ("behaviour.json", os.mkfifo),
        ("behaviour.json", lambda path: path.mkdir()),
        ("sub", lambda path: path.mkdir()),
    ],
    ids=["a stranger", "other case", "stranger among shards", "a link", "a pipe", "a folder as member", "a folder"],
)
def test_a_member_that_no_bundle_holds_is_refused(tmp_path: Path, name: str, make: Callable[[Path], object]) -> None:
    bundle.write(tmp_path / "a.mbom", MEMBERS, force=False)
    make(tmp_path / "a.mbom" / name)
    with pytest.raises(FormatError, match=r"bundle: "):
        bundle.read(tmp_path / "a.mbom")


def test_a_member_over_its_limit_is_refused(tmp_path: Path) -> None:
    bundle.write(tmp_path / "a.mbom", MEMBERS, force=False)
    with (tmp_path / "a.mbom" / bundle.BEHAVIOUR).open("wb") as file:
        file.truncate(bundle.MEMBERS[bundle.BEHAVIOUR][1] + 1)
    with pytest.raises(FormatError, match="larger than"):
        bundle.read(tmp_path / "a.mbom")


def test_what_nobody_would_read_is_not_written(tmp_path: Path) -> None:
    large = {bundle.shard_member("model.safetensors"): bytes(bundle.SHARD_LIMIT + 1)}
    with pytest.raises(FormatError, match=f"no reader takes more than {bundle.SHARD_LIMIT}"):
        bundle.write(tmp_path / "a.mbom", large, force=False)
    many = {bundle.shard_member(f"{number}.safetensors"): b"" for number in range(bundle.MEMBERS_LIMIT + 1)}
    with pytest.raises(FormatError, match="too many shards"):
        bundle.write(tmp_path / "a.mbom", many, force=False)
    assert leftovers(tmp_path) == []


def test_no_member_may_be_larger_than_its_own_reader_takes() -> None:
    readers = {bundle.INVENTORY: DOCUMENT_LIMIT, bundle.BEHAVIOUR: JSON_LIMIT, bundle.BEHAVIOUR_NUMBERS: SIZE_LIMIT}
    signed = (bundle.ATTESTATION, bundle.MODEL_SIGNATURE, bundle.BOM_SIGNATURE)
    for name, (_, limit) in bundle.MEMBERS.items():
        assert limit <= readers.get(name, BUNDLE_LIMIT if name in signed else BOM_LIMIT), name
    # The statement of the largest BOM fits into what carries it.
    assert BOM_LIMIT < STATEMENT_LIMIT <= BUNDLE_LIMIT * 3 // 4


def test_shards_nested_without_end_are_refused(tmp_path: Path) -> None:
    deep = tmp_path / "a.mbom" / "shards" / "/".join(["d"] * (bundle.PATH_DEPTH_LIMIT + 1))
    deep.mkdir(parents=True)
    with pytest.raises(FormatError, match="nested deeper"):
        bundle.read(tmp_path / "a.mbom")


def test_a_missing_bundle_names_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="mbom attest"):
        bundle.read(tmp_path / "none.mbom")


def test_a_file_in_place_of_a_bundle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.mbom").write_bytes(b"")
    with pytest.raises(FormatError, match="a bundle is a folder"):
        bundle.read(tmp_path / "a.mbom")


def test_a_missing_parent_is_named_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="does not exist"):
        bundle.check_target(tmp_path / "no" / "a.mbom", force=False)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")], ids=["stop", "full"])
@pytest.mark.parametrize("force", [False, True], ids=["new", "replacing"])
def test_a_write_that_ends_in_the_middle_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, *, force: bool
) -> None:
    record = {bundle.BEHAVIOUR: b"{}", bundle.BEHAVIOUR_NUMBERS: b"numbers"}
    if force:
        bundle.write(tmp_path / "a.record", record, force=False)
    flushed = []

    def fsync(descriptor: int) -> None:
        flushed.append(descriptor)
        if len(flushed) == 2:  # the second file is written, its content may not have reached the disk
            raise error

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises((KeyboardInterrupt, StorageError)):
        bundle.write(tmp_path / "a.record", record | {bundle.BEHAVIOUR: b"new"}, force=force)
    assert leftovers(tmp_path) == (["a.record"] if force else [])
    if force:
        assert bundle.read(tmp_path / "a.record") == record
