"""Keyless signatures hold for who made them, and for nobody and nothing else."""

import base64
import json
import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from signingkeyless import (
    ALICE,
    KIND,
    SHARD,
    STATEMENT,
    Edit,
    by_library,
    edited,
    entry,
    material,
    proof,
    root,
    signer,
    stamps,
    verifier,
)
from sigstore.models import Bundle
from sigstore.verify import Verifier as SigstoreVerifier
from sigstore.verify.policy import Identity
from sigstoreloop import Instance

from mbom.digest import sha256
from mbom.errors import FormatError, RefusedError, SignatureError
from mbom.signing import KeyVerifier, LocalSigner, oms, statement
from mbom.signing.keylessbundle import TIMESTAMPS_LIMIT
from mbom.signing.sigstorebundle import BUNDLE_LIMIT

REKORS = pytest.mark.parametrize("rekor", [1, 2])


@REKORS
def test_a_statement_is_returned_as_it_was_signed_with_who_signed_it_and_when(instance: Instance, rekor: int) -> None:
    own = signer(instance, rekor=rekor)
    found = verifier(instance).verify_statement(own.sign_statement(STATEMENT), predicate_type=KIND)
    assert (found.subjects[0].sha256, found.predicate) == (SHARD, {"x": 1})
    assert found.witness is not None
    assert (found.witness.identity, found.witness.issuer) == (ALICE, instance.issuer)
    assert found.witness.seen_by == {1: "logged", 2: "timestamped"}[rekor]
    assert found.seen.time == found.witness.time
    assert found.seen.detail == f"{found.witness.seen_by} {found.witness.time:%Y-%m-%dT%H:%M:%SZ}"
    assert own.identity == verifier(instance).identity == f"{ALICE} ({instance.issuer})"
    assert str(found.witness).startswith(f"{ALICE} ({instance.issuer}), {found.witness.seen_by} 20")


@REKORS
def test_a_shard_s_signature_holds_for_its_digest_alone(instance: Instance, rekor: int) -> None:
    bundle = signer(instance, rekor=rekor).sign_digest(SHARD)
    verifier(instance).verify_digest(bundle, SHARD)
    with pytest.raises(SignatureError, match="and the file's is"):
        verifier(instance).verify_digest(bundle, sha256(b"evil"))
    with pytest.raises(FormatError, match="not 64 lower-case hex digits"):
        verifier(instance).verify_digest(bundle, SHARD.upper())


def test_one_certificate_signs_a_whole_bundle(instance: Instance) -> None:
    before = instance.certificates
    own = signer(instance)
    bundles = [own.sign_statement(STATEMENT), own.sign_digest(SHARD), own.sign_digest(SHARD)]
    assert instance.certificates == before + 1
    assert len({json.loads(item)["verificationMaterial"]["certificate"]["rawBytes"] for item in bundles}) == 1


def test_model_sig_is_signed_and_read(instance: Instance) -> None:
    bundle = signer(instance).sign_statement(oms.build("m", [("a", SHARD)]))
    assert verifier(instance).verify_oms(bundle).model == "m"


def test_with_a_log_s_promise_and_a_timestamp_both_are_verified_and_the_earlier_time_counts(instance: Instance) -> None:
    bundle = by_library(instance, rekor=1, timestamps=True)
    instance.faults.clock = timedelta(minutes=-2)
    other = by_library(instance, rekor=1, timestamps=True)
    found = verifier(instance).verify_statement(bundle, predicate_type=KIND)
    assert found.witness is not None
    # The library is content with the log's promise, and does not tell that the timestamp is of another signature.
    mixed = edited(bundle, lambda value: stamps(value).__setitem__(0, stamps(json.loads(other))[0]))
    SigstoreVerifier(trusted_root=root(instance)).verify_dsse(Bundle.from_json(mixed), Identity(identity=ALICE))
    with pytest.raises(SignatureError, match="not enough sources of verified time"):
        verifier(instance).verify_statement(mixed, predicate_type=KIND)


# ---- another signer ----


def test_another_identity_is_refused_by_name(instance: Instance) -> None:
    bundle = signer(instance).sign_statement(STATEMENT)
    with pytest.raises(SignatureError, match=r"signed by 'alice@example\.com', trusted is 'alice@example\.co'"):
        verifier(instance, "alice@example.co").verify_statement(bundle, predicate_type=KIND)
    with pytest.raises(SignatureError, match="trusted is"):
        verifier(instance, ALICE.upper()).verify_statement(bundle, predicate_type=KIND)


def test_another_issuer_is_refused_by_name(instance: Instance) -> None:
    bundle = signer(instance).sign_statement(STATEMENT)
    with pytest.raises(
        SignatureError, match=r"issuer is 'https://token\.actions.*trusted is 'https://accounts\.google"
    ):
        verifier(instance, issuer="https://accounts.google.com").verify_statement(bundle, predicate_type=KIND)


@pytest.mark.parametrize("regexp", ["alice", "alice@example", ".*@example\\.co", "lice@example\\.com", "^alice"])
def test_a_regular_expression_that_matches_in_part_is_refused(instance: Instance, regexp: str) -> None:
    bundle = signer(instance).sign_statement(STATEMENT)
    with pytest.raises(SignatureError, match="does not match in full"):
        verifier(instance, identity=None, regexp=regexp).verify_statement(bundle, predicate_type=KIND)  # type: ignore[arg-type]


def test_a_regular_expression_that_matches_in_full_gives_way_to_whom_it_matched(instance: Instance) -> None:
    trusted = verifier(instance, identity=None, regexp="(alice|bob)@example\\.com")  # type: ignore[arg-type]
    found = trusted.verify_statement(signer(instance).sign_statement(STATEMENT), predicate_type=KIND)
    narrowed = trusted.narrowed(found)
    of_bob = by_library(instance, token=instance.token(email="bob@example.com"))
    assert trusted.verify_statement(of_bob, predicate_type=KIND).witness is not None
    with pytest.raises(SignatureError, match=r"signed by 'bob@example\.com', trusted is 'alice@example\.com'"):
        narrowed.verify_statement(of_bob, predicate_type=KIND)


def test_another_instance_s_trust_root_is_refused(instance: Instance) -> None:
    bundle = signer(instance).sign_statement(STATEMENT)
    with Instance() as other, pytest.raises(SignatureError, match=r"in the log .* which the trusted root does not"):
        verifier(other).verify_statement(bundle, predicate_type=KIND)


def test_another_authority_under_the_trusted_logs_is_refused(instance: Instance) -> None:
    with Instance() as other:
        other.rekor2, other.certificate_log = instance.rekor2, instance.certificate_log
        other.stamping_key, other.stamping = instance.stamping_key, instance.stamping
        bundle = by_library(other)
    with pytest.raises(SignatureError, match="comes from another Sigstore instance than the trusted one"):
        verifier(instance).verify_statement(bundle, predicate_type=KIND)


GITHUB: dict[str, str] = {
    "repository": "acme/models",
    "workflow": ".github/workflows/release.yml",
    "ref": "refs/tags/v1",
}


def test_github_s_claims_hold_when_all_of_them_do(instance: Instance) -> None:
    identity = "https://github.com/acme/models/.github/workflows/release.yml@refs/tags/v1"
    bundle = by_library(instance, token=instance.workflow_token())
    assert verifier(instance, identity, **GITHUB).verify_statement(bundle, predicate_type=KIND).witness is not None
    by_name = verifier(instance, identity, **{**GITHUB, "workflow": "Release"})
    assert by_name.verify_statement(bundle, predicate_type=KIND).witness is not None


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        ("repository", "acme/model"),
        ("repository", "acme/models2"),
        ("repository", "Acme/models"),
        ("repository", "https://github.com/acme/models"),
        ("workflow", "release"),
        ("workflow", "Release "),
        ("workflow", "release.yml"),
        ("workflow", ".github/workflows/release.yaml"),
        ("workflow", "workflows/release.yml"),
        ("ref", "refs/tags/v"),
        ("ref", "refs/tags/v1.0"),
        ("ref", "v1"),
    ],
)
def test_another_claim_of_github_is_refused(instance: Instance, claim: str, value: str) -> None:
    bundle = by_library(instance, token=instance.workflow_token())
    trusted = verifier(instance, identity=None, regexp="https://github.com/.*", **{**GITHUB, claim: value})  # type: ignore[arg-type]
    with pytest.raises(SignatureError, match=f"the certificate's {claim}.* trusted is"):
        trusted.verify_statement(bundle, predicate_type=KIND)


@pytest.mark.parametrize("claim", GITHUB)
def test_a_certificate_without_github_s_claims_is_refused(instance: Instance, claim: str) -> None:
    bundle = signer(instance).sign_statement(STATEMENT)
    with pytest.raises(SignatureError, match=r"does not say its|is 'missing'"):
        verifier(instance, **{claim: GITHUB[claim]}).verify_statement(bundle, predicate_type=KIND)


@pytest.mark.parametrize(("arc", "name"), [(1, "issuer"), (8, r"issuer \(version 2\)")])
def test_a_certificate_that_names_two_issuers_is_refused(instance: Instance, arc: int, name: str) -> None:
    instance.faults.claims = {arc: "https://evil.example"}
    with pytest.raises(SignatureError, match=f"the certificate's {name} is 'https://evil"):
        verifier(instance).verify_statement(by_library(instance), predicate_type=KIND)


# ---- an instance that misbehaves, or an attester who has stolen a key of ten minutes ----


@REKORS
@pytest.mark.parametrize("minutes", [-60, 60])
def test_a_signature_outside_the_certificate_s_ten_minutes_is_refused(
    instance: Instance, rekor: int, minutes: int
) -> None:
    instance.faults.clock = timedelta(minutes=minutes)
    with pytest.raises(SignatureError, match="was not valid at the time of signing"):
        verifier(instance).verify_statement(by_library(instance, rekor=rekor), predicate_type=KIND)


def other_name(text: str) -> x509.GeneralName:
    return x509.OtherName(x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.7"), b"\x0c" + bytes([len(text)]) + text.encode())


MISBEHAVIOUR: dict[str, tuple[dict[str, Any], str]] = {
    "a certificate for servers": ({"purpose": ExtendedKeyUsageOID.SERVER_AUTH}, "Extended usage"),
    "two identities": ({"names": [x509.RFC822Name("bob@example.com")]}, "names 2 identities"),
    "an identity of another kind besides": ({"names": [other_name("alice")]}, "names 2 identities"),
    "a log entry about other bytes": ({"substitute": True}, "inconsistent with other materials"),
}


@pytest.mark.parametrize("name", MISBEHAVIOUR)
def test_what_a_misbehaving_instance_certifies_is_refused(instance: Instance, name: str) -> None:
    faults, message = MISBEHAVIOUR[name]
    vars(instance.faults).update(faults)
    bundle = by_library(instance)
    with pytest.raises(SignatureError, match=message):
        verifier(instance).verify_statement(bundle, predicate_type=KIND)


def test_a_certificate_that_no_certificate_log_has_seen_is_refused(instance: Instance) -> None:
    # The library would not sign with one; so an honest bundle gets the other certificate for the same key.
    import sigstore.sign

    for fault, message in (("unlogged", "timestamp extension"), ("stranger", "SCT verify failed")):
        setattr(instance.faults, fault, True)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sigstore.sign, "verify_sct", lambda *_: None)
            bundle = by_library(instance)
        setattr(instance.faults, fault, False)
        with pytest.raises(SignatureError, match=message):
            verifier(instance).verify_statement(bundle, predicate_type=KIND)


# ---- a bundle that somebody changed ----


def flipped(text: str) -> str:
    """Flip the last bit of base64-encoded bytes."""
    data = bytearray(base64.b64decode(text))
    data[-1] ^= 1
    return base64.b64encode(data).decode()


def flip(container: Any, key: Any) -> None:
    container[key] = flipped(container[key])


def replace_text(container: dict[str, Any], key: str, old: str, new: str) -> None:
    assert old in container[key]
    container[key] = container[key].replace(old, new)


def evil(value: dict[str, Any]) -> None:
    payload = base64.b64decode(value["dsseEnvelope"]["payload"]).replace(SHARD.encode(), sha256(b"evil").encode())
    value["dsseEnvelope"]["payload"] = base64.b64encode(payload).decode()


def unpadded(container: Any, key: Any) -> None:
    container[key] = container[key].rstrip("=") + "\n" + "=" * (len(container[key]) - len(container[key].rstrip("=")))


def of_log(value: dict[str, Any]) -> str:
    found: str = proof(value)["checkpoint"]["envelope"]
    return found


def note(old: str, new: str) -> Edit:
    return lambda value: replace_text(proof(value)["checkpoint"], "envelope", old, new)


def other_root(value: dict[str, Any]) -> None:
    old = proof(value)["rootHash"]
    flip(proof(value), "rootHash")
    note(old, proof(value)["rootHash"])(value)


CHANGES: dict[str, tuple[Edit, str]] = {
    "another payload": (evil, "does not hold"),
    "another payload type": (lambda v: v["dsseEnvelope"].update(payloadType="text/plain"), "'payloadType' is"),
    "another signature": (lambda v: flip(v["dsseEnvelope"]["signatures"][0], "sig"), "does not hold"),
    "no signature": (lambda v: v["dsseEnvelope"].update(signatures=[]), "0 signatures, exactly one"),
    "two signatures": (lambda v: v["dsseEnvelope"]["signatures"].append({"sig": "AA=="}), "2 signatures, exactly one"),
    "a signature that names a key": (
        lambda v: v["dsseEnvelope"]["signatures"][0].update(keyid="mine"),
        "only '' is known",
    ),
    "both kinds of content": (lambda v: v.update(messageSignature={}), "exactly one of"),
    "no content": (lambda v: v.pop("dsseEnvelope"), "exactly one of"),
    "a payload in base64 of another spelling": (lambda v: unpadded(v["dsseEnvelope"], "payload"), "not base64"),
    "a certificate in base64 of another spelling": (
        lambda v: unpadded(material(v)["certificate"], "rawBytes"),
        "rawBytes: not base64",
    ),
    "an older media type": (
        lambda v: v.update(mediaType="application/vnd.dev.sigstore.bundle+json;version=0.2"),
        "'mediaType' is",
    ),
    "a member of nobody": (lambda v: v.update(extra=1), "unknown member 'extra'"),
    "material of nobody": (lambda v: material(v).update(extra=1), "unknown member 'extra'"),
    "no certificate": (lambda v: material(v).pop("certificate"), "'certificate' is missing"),
    "a changed certificate": (lambda v: flip(material(v)["certificate"], "rawBytes"), "does not hold|not valid"),
    "a chain beside the certificate": (
        lambda v: material(v).update(x509CertificateChain={"certificates": [material(v)["certificate"]]}),
        "a chain of certificates",
    ),
    "a key beside the certificate": (lambda v: material(v).update(publicKey={"hint": "x"}), "signed with a key"),
    "a certificate that is none": (lambda v: material(v)["certificate"].update(rawBytes="AAAA"), "cannot be read"),
    "an empty certificate": (lambda v: material(v)["certificate"].update(rawBytes=""), "has 0 bytes"),
    "no log entry": (lambda v: material(v).update(tlogEntries=[]), "0 log entries, exactly one"),
    "two log entries": (lambda v: material(v)["tlogEntries"].append(entry(v)), "2 log entries, exactly one"),
    "an entry of another kind": (lambda v: entry(v)["kindVersion"].update(kind="intoto"), "does not hold"),
    "an entry of another version": (lambda v: entry(v)["kindVersion"].update(version="0.0.3"), "does not hold|entry"),
    "no inclusion proof": (lambda v: entry(v).pop("inclusionProof"), "'inclusionProof' is missing"),
    "no checkpoint": (lambda v: proof(v).pop("checkpoint"), "'checkpoint' is missing"),
    "a changed proof": (lambda v: flip(proof(v)["hashes"], 0), "root hash"),
    "a proof with one hash less": (lambda v: proof(v)["hashes"].pop(), "does not hold"),
    "a proof of 65 hashes": (lambda v: proof(v).update(hashes=["A" * 43 + "="] * 65), "the limit is 64"),
    "a hash of 31 bytes": (lambda v: proof(v).update(hashes=["A" * 40 + "AA=="]), "no SHA-256"),
    "another root": (lambda v: flip(proof(v), "rootHash"), "of another tree"),
    "another root in the checkpoint too": (other_root, "does not hold"),
    "another size of the tree": (lambda v: proof(v).update(treeSize="1000000"), "of another tree"),
    "another index in the tree": (lambda v: proof(v).update(logIndex="0"), "does not hold|another index"),
    "an index with a leading zero": (lambda v: proof(v).update(logIndex="01"), "canonical form"),
    "an index as a number": (lambda v: entry(v).update(logIndex=1), "a string belongs"),
    "a negative index": (lambda v: entry(v).update(logIndex="-1"), "canonical form"),
    "an index of 64 bits": (lambda v: entry(v).update(logIndex=str(1 << 63)), "canonical form"),
    "another log": (lambda v: flip(entry(v)["logId"], "keyId"), "the trusted root does not name"),
    "a checkpoint in another name": (note("— 127.0.0.1", "— 127.0.0.2"), "in another name"),
    "a checkpoint of another origin": (note("127.0.0.1\n", "127.0.0.2\n"), "in another name|does not hold"),
    "a checkpoint with a line that is no signature": (note("\n\n—", "\n\nfree text\n—"), "no signature"),
    "a checkpoint nobody signed": (
        lambda v: proof(v)["checkpoint"].update(envelope=of_log(v).partition("\n\n")[0] + "\n\n"),
        "no signature",
    ),
    "another entry": (lambda v: flip(entry(v), "canonicalizedBody"), "root hash"),
    "an entry of 65 KiB": (
        lambda v: entry(v).update(canonicalizedBody=base64.b64encode(bytes(65 << 10)).decode()),
        "1 to 65536 are allowed",
    ),
}  # fmt: skip
OF_REKOR_1: dict[str, tuple[Edit, str]] = {
    "no promise": (lambda v: entry(v).pop("inclusionPromise"), "belong together"),
    "no promise and no time": (
        lambda v: (entry(v).pop("inclusionPromise"), entry(v).pop("integratedTime")),
        "says when it was signed",
    ),
    "no time": (lambda v: entry(v).pop("integratedTime"), "belong together"),
    "another promise": (lambda v: flip(entry(v)["inclusionPromise"], "signedEntryTimestamp"), "does not hold"),
    "another time": (
        lambda v: entry(v).update(integratedTime=str(int(entry(v)["integratedTime"]) - 1)),
        "inclusion promise",
    ),
    "another index in the log": (lambda v: entry(v).update(logIndex="7777"), "inclusion promise"),
}
OF_REKOR_2: dict[str, tuple[Edit, str]] = {
    "no timestamp": (lambda v: material(v).pop("timestampVerificationData"), "says when it was signed"),
    "an empty list of timestamps": (lambda v: stamps(v).clear(), "says when it was signed"),
    "a changed timestamp": (lambda v: flip(stamps(v)[0], "signedTimestamp"), "verified time"),
    "a timestamp that is none": (lambda v: stamps(v)[0].update(signedTimestamp="AAAA"), "does not hold"),
    "a second timestamp that does not hold": (
        lambda v: stamps(v).append({"signedTimestamp": flipped(stamps(v)[0]["signedTimestamp"])}),
        "verified time",
    ),
    "five timestamps": (lambda v: stamps(v).extend(stamps(v) * TIMESTAMPS_LIMIT), "the limit is 4"),
    "a promise": (
        lambda v: entry(v).update(inclusionPromise={"signedEntryTimestamp": "AA=="}, integratedTime="1"),
        "with a promise",
    ),
    "a time that nothing covers": (lambda v: entry(v).update(integratedTime="1"), "belong together"),
    "another index in the log": (lambda v: entry(v).update(logIndex="7777"), "of another index"),
}
ALL = {f"1 {name}": (1, *change) for name, change in (CHANGES | OF_REKOR_1).items()}
ALL |= {f"2 {name}": (2, *change) for name, change in (CHANGES | OF_REKOR_2).items()}


@pytest.fixture(scope="session")
def signed(running_instance: Instance) -> dict[int, bytes]:
    """A good bundle of each Rekor, with neighbours in the log so that the proof has hashes."""
    for rekor in (1, 2):
        for _ in range(3):
            by_library(running_instance, SHARD, rekor=rekor)
    return {rekor: by_library(running_instance, rekor=rekor) for rekor in (1, 2)}


@pytest.mark.parametrize(("rekor", "edit", "message"), ALL.values(), ids=ALL)
def test_a_changed_bundle_is_refused(
    instance: Instance, signed: dict[int, bytes], rekor: int, edit: Edit, message: str
) -> None:
    assert verifier(instance).verify_statement(signed[rekor], predicate_type=KIND).witness is not None
    with pytest.raises((SignatureError, FormatError), match=message):
        verifier(instance).verify_statement(edited(signed[rekor], edit), predicate_type=KIND)


def swapped(path: Callable[[dict[str, Any]], dict[str, Any]], member: str) -> Callable[[bytes, bytes], bytes]:
    """Take one part of a bundle from another bundle of the same signer."""
    return lambda bundle, other: edited(bundle, lambda v: path(v).__setitem__(member, path(json.loads(other))[member]))


SWAPS: dict[str, Callable[[bytes, bytes], bytes]] = {
    "envelope": swapped(lambda v: v, "dsseEnvelope"),
    "payload": swapped(lambda v: v["dsseEnvelope"], "payload"),
    "signature": swapped(lambda v: v["dsseEnvelope"], "signatures"),
    "certificate": swapped(material, "certificate"),
    "log entry": swapped(material, "tlogEntries"),
    "inclusion proof": swapped(entry, "inclusionProof"),
    "body of the log entry": swapped(entry, "canonicalizedBody"),
}


@REKORS
@pytest.mark.parametrize("part", SWAPS)
def test_parts_of_two_good_bundles_do_not_mix(instance: Instance, part: str, rekor: int) -> None:
    bundle = by_library(instance, rekor=rekor)
    other = by_library(instance, statement.build([("a", SHARD)], KIND, {"x": 2}), rekor=rekor)
    with pytest.raises((SignatureError, FormatError), match=r"does not hold|of another index"):
        verifier(instance).verify_statement(SWAPS[part](bundle, other), predicate_type=KIND)


def test_a_timestamp_of_another_signature_is_refused(instance: Instance) -> None:
    bundle, other = by_library(instance), by_library(instance)
    mixed = swapped(material, "timestampVerificationData")(bundle, other)
    with pytest.raises(SignatureError, match="not enough sources of verified time"):
        verifier(instance).verify_statement(mixed, predicate_type=KIND)


def test_the_library_takes_the_last_of_two_envelopes_and_we_take_neither(
    instance: Instance, signed: dict[int, bytes]
) -> None:
    text = signed[2].decode()
    first = json.dumps(json.loads(edited(signed[2], evil))["dsseEnvelope"])
    doubled = text.replace('"dsseEnvelope":', f'"dsseEnvelope":{first},"dsseEnvelope":', 1).encode()
    SigstoreVerifier(trusted_root=root(instance)).verify_dsse(Bundle.from_json(doubled), Identity(identity=ALICE))
    with pytest.raises(FormatError, match="'dsseEnvelope' occurs twice"):
        verifier(instance).verify_statement(doubled, predicate_type=KIND)


def test_the_library_takes_base64_of_several_spellings_and_we_take_one(
    instance: Instance, signed: dict[int, bytes]
) -> None:
    spelt = edited(signed[2], lambda v: unpadded(v["dsseEnvelope"], "payload"))
    SigstoreVerifier(trusted_root=root(instance)).verify_dsse(Bundle.from_json(spelt), Identity(identity=ALICE))
    with pytest.raises(FormatError, match="payload: not base64"):
        verifier(instance).verify_statement(spelt, predicate_type=KIND)


def test_a_statement_of_another_type_is_refused(instance: Instance, signed: dict[int, bytes]) -> None:
    with pytest.raises(FormatError, match="predicateType"):
        verifier(instance).verify_statement(signed[2], predicate_type="urn:example:v2")


def test_a_digest_is_no_statement_and_a_statement_no_digest(instance: Instance, signed: dict[int, bytes]) -> None:
    with pytest.raises(FormatError, match="where a signed file digest belongs"):
        verifier(instance).verify_digest(signed[2], SHARD)
    with pytest.raises(FormatError, match="where a signed statement belongs"):
        verifier(instance).verify_statement(by_library(instance, SHARD), predicate_type=KIND)


def test_a_bundle_over_the_limit_is_not_parsed(instance: Instance) -> None:
    with pytest.raises(FormatError, match="the limit is"):
        verifier(instance).verify_statement(b" " * (BUNDLE_LIMIT + 1), predicate_type=KIND)


def test_keys_and_identities_refuse_each_other_s_bundles_by_name(
    instance: Instance, signed: dict[int, bytes], signer: LocalSigner, verifier: KeyVerifier
) -> None:
    from signingkeyless import verifier as keyless

    with pytest.raises(SignatureError, match=r"\(keyless\), and what is trusted here is a key.*--identity"):
        verifier.verify_statement(signed[2], predicate_type=KIND)
    with pytest.raises(SignatureError, match=r"signed with a key, and what is trusted here is an identity.*--key"):
        keyless(instance).verify_statement(signer.sign_statement(STATEMENT), predicate_type=KIND)


@REKORS
def test_every_flipped_bit_is_noticed(instance: Instance, signed: dict[int, bytes], rekor: int) -> None:
    seeded = random.Random(rekor)
    trusted = verifier(instance)
    good = trusted.verify_statement(signed[rekor], predicate_type=KIND)
    for _ in range(500):
        changed = bytearray(signed[rekor])
        changed[seeded.randrange(len(changed))] ^= 1 << seeded.randrange(8)
        try:
            found = trusted.verify_statement(bytes(changed), predicate_type=KIND)
        except RefusedError:
            continue
        # A timestamp names its authority and algorithms once more outside what the authority signed (RFC 5652,
        # section 5.3). Nobody relies on those, and the library does not look at them.
        assert found == good
        assert edited(bytes(changed), lambda v: stamps(v).clear()) == edited(signed[rekor], lambda v: stamps(v).clear())


@REKORS
def test_hostile_bytes_inside_the_base64_end_in_a_refusal(
    instance: Instance, signed: dict[int, bytes], rekor: int
) -> None:
    """Well-formed JSON around a mutated certificate, entry, proof or signature: what reaches the library's parsers."""
    seeded = random.Random(10 + rekor)
    trusted = verifier(instance)
    places: list[Callable[[dict[str, Any]], tuple[Any, Any]]] = [
        lambda v: (material(v)["certificate"], "rawBytes"),
        lambda v: (entry(v), "canonicalizedBody"),
        lambda v: (proof(v)["hashes"], 0),
        lambda v: (v["dsseEnvelope"]["signatures"][0], "sig"),
    ]
    for number in range(300):
        value = json.loads(signed[rekor])
        container, key = places[number % len(places)](value)
        data = bytearray(base64.b64decode(container[key]))
        data[seeded.randrange(len(data))] ^= seeded.randrange(1, 256)
        if number % 5 == 0:
            del data[seeded.randrange(len(data)) :]
        container[key] = base64.b64encode(data).decode()
        with pytest.raises(RefusedError):
            trusted.verify_statement(json.dumps(value).encode(), predicate_type=KIND)


def test_a_timestamp_of_hostile_bytes_ends_in_a_refusal_or_changes_nothing(
    instance: Instance, signed: dict[int, bytes]
) -> None:
    seeded = random.Random(20)
    trusted = verifier(instance)
    good = trusted.verify_statement(signed[2], predicate_type=KIND)
    for _ in range(300):
        value = json.loads(signed[2])
        data = bytearray(base64.b64decode(stamps(value)[0]["signedTimestamp"]))
        data[seeded.randrange(len(data))] ^= seeded.randrange(1, 256)
        stamps(value)[0]["signedTimestamp"] = base64.b64encode(data).decode()
        try:
            assert trusted.verify_statement(json.dumps(value).encode(), predicate_type=KIND) == good
        except RefusedError:
            continue
