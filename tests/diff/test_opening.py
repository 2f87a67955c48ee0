"""What people name models by: never is one thing taken for another."""

import shutil
from pathlib import Path

import pytest
from diffing import BUNDLE, CHECKPOINT, CREATED, edited, read

from mbom.diff import diff
from mbom.diff.opening import joined, kind, open_dossier
from mbom.dossier import read_bundle
from mbom.errors import FormatError, RefusedError, SourceError, StorageError, UsageError


def test_what_is_there_decides(tmp_path: Path) -> None:
    packed = shutil.make_archive(str(tmp_path / "packed"), "zip", BUNDLE)
    assert kind(str(BUNDLE)) == "bundle"
    assert kind(packed) == "bundle"
    assert kind(str(CHECKPOINT)) == "checkpoint"
    assert kind("openai/gpt-oss-20b") == "hub"
    assert kind("openai/gpt-oss-20b@" + "a" * 40) == "hub"
    assert kind("release/gone.mbom") == "bundle"
    assert kind("release/gone.zip") == "bundle"


def test_a_folder_is_preferred_to_a_repository_of_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(CHECKPOINT, tmp_path / "org" / "model")
    monkeypatch.chdir(tmp_path)
    assert kind("org/model") == "checkpoint"


def test_a_checkpoint_with_a_bundle_below_is_a_checkpoint(tmp_path: Path) -> None:
    copy = edited(tmp_path)
    shutil.copytree(BUNDLE, copy / "tiny.mbom")
    assert kind(str(copy)) == "checkpoint"


@pytest.mark.parametrize("member", ["inventory.json", "bom.cdx.json", "attestation.sigstore.json"])
def test_a_folder_of_both_is_neither(member: str, tmp_path: Path) -> None:
    copy = edited(tmp_path)
    shutil.copy(BUNDLE / member, copy)
    with pytest.raises(UsageError, match=r"of a bundle and \.gitattributes of something else"):
        kind(str(copy))


def test_hostile_names_in_a_folder_of_both_are_printable(tmp_path: Path) -> None:
    (tmp_path / "inventory.json").write_text("{}")
    (tmp_path / "\x1b[2J").write_text("")
    with pytest.raises(UsageError) as caught:
        kind(str(tmp_path))
    assert str(caught.value).isprintable()


def test_half_a_bundle_is_a_bundle_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "inventory.json").write_text("{}")
    assert kind(str(tmp_path)) == "bundle"
    with pytest.raises(FormatError, match=r"bom\.cdx\.json is missing"):
        open_dossier(str(tmp_path), created=CREATED)


@pytest.mark.parametrize(
    ("named", "error"),
    [("gone.mbom", StorageError), ("", SourceError), ("no such folder", SourceError), ("a/b/c", SourceError)],
)
def test_what_is_not_there_is_said_so(named: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        open_dossier(named, created=CREATED)


def test_a_file_is_a_bundle_or_nothing() -> None:
    with pytest.raises(FormatError, match="a bundle is a folder"):
        open_dossier(str(CHECKPOINT / "config.json"), created=CREATED)


def test_a_bundle_is_joined_with_its_checkpoint(tmp_path: Path) -> None:
    both = joined(read_bundle(BUNDLE), read(CHECKPOINT))
    assert (both.kind, both.holds_files, both.record is not None) == ("bundle", True, True)
    new = read(edited(tmp_path, chat_template__jinja=lambda data: b"x" + data))
    (change,) = diff(both, new).templates
    assert change.lines


def test_another_checkpoint_is_refused(tmp_path: Path) -> None:
    other = read(edited(tmp_path, config__json=lambda data: data + b"\n"), label="other")
    with pytest.raises(RefusedError, match=r"^other is not the checkpoint that this bundle describes: "):
        joined(read_bundle(BUNDLE), other)
    with pytest.raises(UsageError, match="beside a bundle only"):
        joined(other, other)
