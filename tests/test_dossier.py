"""A dossier is the same whether it comes from a bundle or from the checkpoint, as far as both can tell."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mbom import bundle
from mbom.dossier import Dossier, read_bundle, read_checkpoint
from mbom.errors import FormatError, StorageError
from mbom.source import FolderSource

FIXTURES = Path(__file__).parent.parent / "fixtures"
BUNDLE = FIXTURES / "bundles" / "v3" / "tiny-gpt-oss.mbom"
CHECKPOINT = FIXTURES / "tiny-gpt-oss"


@pytest.fixture(scope="module")
def checkpoint() -> Dossier:
    return read_checkpoint(FolderSource(CHECKPOINT), label="here", created=datetime(2026, 11, 2, 8, 30, tzinfo=UTC))


def test_bundle_and_checkpoint_tell_the_same(checkpoint: Dossier) -> None:
    held = read_bundle(BUNDLE)
    assert held.inventory == checkpoint.inventory
    assert held.attestation is not None
    assert held.attestation.model_digest == held.inventory.digest
    assert held.record is not None
    ours, theirs = held.described, checkpoint.described
    assert (ours.licences_detected, ours.restrictions, ours.templates) == (
        theirs.licences_detected,
        theirs.restrictions,
        theirs.templates,
    )
    assert (ours.architecture, ours.tokenizer) == (theirs.architecture, theirs.tokenizer)


def test_only_a_checkpoint_has_files(checkpoint: Dossier) -> None:
    held = read_bundle(BUNDLE)
    assert not held.holds_files
    assert not held.side
    assert checkpoint.holds_files
    assert checkpoint.side["config.json"] == (CHECKPOINT / "config.json").read_bytes()
    assert checkpoint.files.keys() == {file.name for file in checkpoint.inventory.files}
    assert checkpoint.bundle_digest is None


def test_the_digest_of_a_bundle_is_of_its_members_and_not_of_its_form(tmp_path: Path) -> None:
    packed = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", BUNDLE))
    assert read_bundle(packed).bundle_digest == read_bundle(BUNDLE).bundle_digest
    members = bundle.read(BUNDLE)
    assert bundle.digest(members | {"model.sig": b"{}"}) != bundle.digest(members)
    renamed = {name.replace("model.sig", "bom.sig"): data for name, data in members.items()}
    assert bundle.digest(renamed) != bundle.digest(members)


def copied(tmp_path: Path) -> Path:
    return Path(shutil.copytree(BUNDLE, tmp_path / "bent.mbom"))


def edit(path: Path, change: Any) -> None:
    value = json.loads(path.read_bytes())
    change(value)
    path.write_text(json.dumps(value))


def test_members_of_different_models_are_refused(tmp_path: Path) -> None:
    held = copied(tmp_path)

    def other(document: Any) -> None:
        for item in document["components"][0]["properties"]:
            if item["name"] == "mbom:model:digest":
                item["value"] = "0" * 64

    edit(held / "bom.cdx.json", other)
    with pytest.raises(FormatError, match=r"bent\.mbom: bom\.cdx\.json is of model 0000"):
        read_bundle(held)


@pytest.mark.parametrize("name", ["inventory.json", "bom.cdx.json", "behaviour.safetensors", "behaviour.json"])
def test_a_bundle_with_a_member_missing_is_refused(name: str, tmp_path: Path) -> None:
    held = copied(tmp_path)
    (held / name).unlink()
    with pytest.raises(FormatError, match="missing"):
        read_bundle(held)


def test_an_unsigned_bundle_has_no_attestation(tmp_path: Path) -> None:
    held = copied(tmp_path)
    (held / "attestation.sigstore.json").unlink()
    assert read_bundle(held).attestation is None


def test_a_garbled_attestation_is_refused(tmp_path: Path) -> None:
    held = copied(tmp_path)
    (held / "attestation.sigstore.json").write_bytes(b"{}")
    with pytest.raises(FormatError, match="attestation"):
        read_bundle(held)


def test_no_bundle_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no such bundle"):
        read_bundle(tmp_path / "none.mbom")
