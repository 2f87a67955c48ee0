"""A bundle whose every signature is timestamped, and what becomes of one that lacks a timestamp or has another's."""

import json
from typing import Any

import pytest
from attesting import Scene, failed
from authorities import POLICY, Authority

from mbom import bundle
from mbom.inventory import Inventory
from mbom.signing import KeyVerifier, LocalSigner, TimestampAuthority
from mbom.source import FolderSource
from mbom.verdict import Verdict
from mbom.verify import verify

HONEST = Authority.make()
SHARD = bundle.shard_member("model-00001-of-00003.safetensors")
STEPS = {
    bundle.ATTESTATION: "signature",
    bundle.MODEL_SIGNATURE: "model-sig",
    bundle.BOM_SIGNATURE: "bom",
    SHARD: "shards",
}
DATA = "timestampVerificationData"


@pytest.fixture
def stamped(scene: Scene) -> LocalSigner:
    """The scene's signer with timestamps; the scene's bundle is made anew with it."""
    signer = LocalSigner(scene.signer._key, stamp=HONEST.stamp)
    scene.attest_again(signer=signer)
    return signer


def look(scene: Scene) -> Verdict:
    authority = TimestampAuthority([HONEST.root.certificate], what="chain.pem")
    verifier = KeyVerifier(scene.signer.public_key, authority)
    return verify(scene.bundle, verifier=verifier, checkpoint=FolderSource(scene.checkpoint))


def material(scene: Scene, member: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(scene.member(member).read_bytes())["verificationMaterial"]
    return value


def put(scene: Scene, member: str, data: object, signer: LocalSigner) -> None:
    """Give a member other timestamps, or none, and sign the bundle anew so that every digest is right."""
    value = json.loads(scene.member(member).read_bytes())
    value["verificationMaterial"].pop(DATA)
    if data is not None:
        value["verificationMaterial"][DATA] = data
    scene.member(member).write_text(json.dumps(value))
    if member != bundle.ATTESTATION:
        scene.reseal(Inventory.from_bytes(scene.member(bundle.INVENTORY).read_bytes()), signer)


def detail(verdict: Verdict) -> str:
    (found,) = (check.detail for check in verdict.checks if check.outcome == "FAIL")
    return found


def test_a_bundle_with_all_its_timestamps_is_verified(scene: Scene, stamped: LocalSigner) -> None:
    verdict = look(scene)
    assert verdict.outcome == "verified"
    assert verdict.checks[1].detail == f"{stamped.identity}; timestamp 2026-11-02T08:31:00Z under policy {POLICY}"


@pytest.mark.parametrize("member", STEPS)
def test_every_signature_needs_its_timestamp(scene: Scene, stamped: LocalSigner, member: str) -> None:
    put(scene, member, None, stamped)
    verdict = look(scene)
    assert failed(verdict) == {STEPS[member]}
    assert detail(verdict) == f"{member}: has no timestamp, and one of the trusted authority was demanded"


@pytest.mark.parametrize("member", STEPS)
def test_the_timestamp_of_another_signature_is_none(scene: Scene, stamped: LocalSigner, member: str) -> None:
    other = bundle.shard_member("model-00002-of-00003.safetensors")
    put(scene, member, material(scene, other)[DATA], stamped)
    verdict = look(scene)
    assert failed(verdict) == {STEPS[member]}
    assert detail(verdict).startswith(f"{member}: the timestamp does not hold under the trusted authority: ")
