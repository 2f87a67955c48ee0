"""Reading the bundle of a base: unchecked, or held against a key that the caller trusts."""

import json
from pathlib import Path

import pytest
from attesting import Scene, new_signer

from mbom import bundle
from mbom.bases import read_base
from mbom.digest import sha256
from mbom.errors import FormatError, MbomError, RefusedError, SignatureError, StorageError
from mbom.signing import KeyVerifier


def trusted(scene: Scene) -> KeyVerifier:
    return KeyVerifier(scene.signer.public_key)


def test_a_bundle_gives_inventory_record_and_the_digest_of_its_attestation(scene: Scene) -> None:
    base = read_base(scene.bundle)
    assert base.inventory.digest == scene.record.model_digest
    assert base.record == scene.record
    assert base.attestation == sha256(scene.member(bundle.ATTESTATION).read_bytes())
    assert base.signer is None


def test_with_a_key_the_signer_is_known(scene: Scene) -> None:
    assert read_base(scene.bundle, trusted(scene)).signer == scene.signer.identity


def test_an_unsigned_bundle_is_read_and_says_so(scene: Scene) -> None:
    scene.member(bundle.ATTESTATION).unlink()
    assert read_base(scene.bundle).attestation is None
    with pytest.raises(SignatureError, match="not signed"):
        read_base(scene.bundle, trusted(scene))


def test_a_bundle_without_behaviour_is_compared_by_its_tensors(scene: Scene) -> None:
    for name in (bundle.BEHAVIOUR, bundle.BEHAVIOUR_NUMBERS):
        scene.member(name).unlink()
    assert read_base(scene.bundle).record is None
    with pytest.raises(RefusedError, match=r"behaviour\.json is not the signed one"):
        read_base(scene.bundle, trusted(scene))


def test_another_key_is_refused(scene: Scene, tmp_path: Path) -> None:
    with pytest.raises(SignatureError, match=scene.bundle.name):
        read_base(scene.bundle, KeyVerifier(new_signer(tmp_path, "other.pem").public_key))


def test_an_inventory_that_was_not_signed_is_refused(scene: Scene) -> None:
    scene.edit_member(bundle.INVENTORY, lambda data: data.replace(b'"note"', b'"warning"', 1) + b"\n")
    with pytest.raises(RefusedError, match=r"inventory\.json is not the signed one"):
        read_base(scene.bundle, trusted(scene))


def test_a_record_of_another_model_is_refused(scene: Scene) -> None:
    digest = scene.record.model_digest.encode()
    scene.edit_member(bundle.BEHAVIOUR, lambda data: data.replace(digest, b"0" * 64))
    with pytest.raises(FormatError, match=f"{scene.bundle.name}: the record is of model 0000"):
        read_base(scene.bundle)


def test_a_base_from_no_repository_is_refused(scene: Scene) -> None:
    document = json.loads(scene.member(bundle.INVENTORY).read_bytes())
    document["model"] |= {"source": "hub", "repo": "../a@b", "revision": "0" * 40}
    scene.member(bundle.INVENTORY).write_text(json.dumps(document))
    with pytest.raises(FormatError, match="not the name of a repository"):
        read_base(scene.bundle)


def test_what_is_no_bundle_is_named(scene: Scene, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no such bundle"):
        read_base(tmp_path / "nothing")
    with pytest.raises(FormatError, match="not a member that a bundle holds"):
        read_base(scene.checkpoint)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FormatError, match=r"empty: inventory\.json is missing"):
        read_base(tmp_path / "empty")


@pytest.mark.parametrize("member", [bundle.INVENTORY, bundle.BEHAVIOUR, bundle.BEHAVIOUR_NUMBERS, bundle.ATTESTATION])
def test_a_broken_member_ends_in_an_error_of_ours(scene: Scene, member: str) -> None:
    scene.edit_member(member, lambda data: data[: len(data) // 2])
    with pytest.raises(MbomError):
        read_base(scene.bundle, trusted(scene))
