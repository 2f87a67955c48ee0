"""What a verifier accepts, and the table of what it refuses."""

import base64
import json
import time
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from mbom.digest import sha256
from mbom.errors import FormatError, MbomError, SignatureError
from mbom.signing import KeyVerifier, LocalSigner, PublicKey, Statement, Subject, oms, statement
from mbom.signing.sigstorebundle import BUNDLE_LIMIT

KIND = "urn:example:v1"
SHARD = sha256(b"shard")
OTHER = LocalSigner(ec.generate_private_key(ec.SECP256R1()))
P384 = LocalSigner(ec.generate_private_key(ec.SECP384R1()))


def signed(signer: LocalSigner, **changes: object) -> bytes:
    """A bundle with a statement about one file, some of whose members were changed before it was signed."""
    payload = json.loads(statement.build([("a", SHARD)], KIND, {"x": 1})) | changes
    return signer.sign_statement(json.dumps(payload).encode())


def test_a_statement_is_returned_as_it_was_signed(any_signer: LocalSigner) -> None:
    found = KeyVerifier(any_signer.public_key).verify_statement(signed(any_signer), predicate_type=KIND)
    assert found == Statement(subjects=(Subject(name="a", sha256=SHARD),), predicate_type=KIND, predicate={"x": 1})


def test_a_shard_s_signature_holds_for_its_digest(any_signer: LocalSigner) -> None:
    KeyVerifier(any_signer.public_key).verify_digest(any_signer.sign_digest(SHARD), SHARD)


def test_signer_and_verifier_name_the_same_identity(any_signer: LocalSigner) -> None:
    verifier = KeyVerifier(any_signer.public_key)
    assert verifier.identity == any_signer.identity
    assert verifier.public_key is any_signer.public_key
    assert any_signer.identity == f"{any_signer.public_key.algorithm}, {any_signer.public_key.fingerprint}"


def test_a_bundle_without_a_hint_is_verified_by_its_signature_alone(signer: LocalSigner, verifier: KeyVerifier) -> None:
    value = json.loads(signed(signer))
    value["verificationMaterial"]["publicKey"] = {}
    data = json.dumps(value).encode()
    assert verifier.verify_statement(data, predicate_type=KIND).predicate == {"x": 1}
    with pytest.raises(SignatureError, match="does not hold"):
        KeyVerifier(OTHER.public_key).verify_statement(data, predicate_type=KIND)


@pytest.mark.parametrize("digest", ["", SHARD.upper(), SHARD[:-1], f"{SHARD}\n", "٠" * 64])
def test_a_malformed_digest_is_neither_signed_nor_compared(
    signer: LocalSigner, verifier: KeyVerifier, digest: str
) -> None:
    with pytest.raises(FormatError, match="not 64 lower-case hex digits"):
        signer.sign_digest(digest)
    with pytest.raises(FormatError, match="not 64 lower-case hex digits"):
        verifier.verify_digest(signer.sign_digest(SHARD), digest)


Change = Callable[[LocalSigner], bytes]


def edited(edit: Callable[[dict[str, Any]], object]) -> Change:
    """Change the JSON of a good statement bundle."""

    def make(signer: LocalSigner) -> bytes:
        value = json.loads(signed(signer))
        edit(value)
        return json.dumps(value).encode()

    return make


def envelope(**members: object) -> Change:
    return edited(lambda value: value["dsseEnvelope"].update(members))


def material(**members: object) -> Change:
    return edited(lambda value: value["verificationMaterial"].update(members))


def times(listed: list[object]) -> Change:
    return material(timestampVerificationData={"rfc3161Timestamps": listed})


def signature(change: Callable[[str], object]) -> Change:
    """Change the text of the signature."""

    def edit(value: dict[str, Any]) -> None:
        first = value["dsseEnvelope"]["signatures"][0]
        first["sig"] = change(first["sig"])

    return edited(edit)


def text(change: Callable[[str], str]) -> Change:
    """Change the bundle as text."""
    return lambda signer: change(signed(signer).decode()).encode()


def swap_payload(value: dict[str, Any]) -> None:
    payload = base64.b64decode(value["dsseEnvelope"]["payload"]).replace(SHARD.encode(), sha256(b"evil").encode())
    value["dsseEnvelope"]["payload"] = base64.b64encode(payload).decode()


def truncated(text: str) -> str:
    return base64.b64encode(base64.b64decode(text)[:-1]).decode()


def relabelled(signer: LocalSigner) -> bytes:
    """A bundle of another key whose hint names the trusted one."""
    value = json.loads(signed(OTHER))
    value["verificationMaterial"]["publicKey"]["hint"] = signer.public_key.hint
    return json.dumps(value).encode()


def p384_under_the_hint_of_p256(signer: LocalSigner) -> bytes:
    value = json.loads(signed(P384))
    value["verificationMaterial"]["publicKey"]["hint"] = signer.public_key.hint
    return json.dumps(value).encode()


def both_contents(signer: LocalSigner) -> bytes:
    message = json.loads(signer.sign_digest(SHARD))["messageSignature"]
    return json.dumps(json.loads(signed(signer)) | {"messageSignature": message}).encode()


def two_payloads(text: str) -> str:
    evil = base64.b64encode(statement.build([("a", sha256(b"evil"))], KIND, {})).decode()
    return text.replace('"payload":', f'"payload": "{evil}", "payload":')


def duplicate_in_payload(signer: LocalSigner) -> bytes:
    payload = statement.build([("a", SHARD)], KIND, {})
    return signer.sign_statement(payload.replace(b'"predicate":{}', b'"predicate":{},"predicate":{"safe":true}'))


CERTIFICATE = {"rawBytes": base64.b64encode(b"certificate").decode()}
ENTRY = {"logIndex": "1"}

REFUSED: dict[str, tuple[Change, type[MbomError], str]] = {
    # Bytes and JSON.
    "an empty file": (lambda _: b"", FormatError, "not JSON"),
    "a truncated bundle": (lambda signer: signed(signer)[:-3], FormatError, "not JSON"),
    "a second document": (lambda signer: signed(signer) * 2, FormatError, "not JSON"),
    "a byte order mark": (lambda signer: b"\xef\xbb\xbf" + signed(signer), FormatError, "byte order mark"),
    "UTF-16": (lambda signer: signed(signer).decode().encode("utf-16"), FormatError, "not UTF-8"),
    "deep nesting": (lambda _: b'{"mediaType":' + b"[" * 100_000, FormatError, "nested deeper"),
    "a huge bundle": (lambda _: b" " * (BUNDLE_LIMIT + 1), FormatError, "the limit is"),
    "an array": (lambda _: b"[]", FormatError, "an array where an object belongs"),
    "two envelopes": (
        text(lambda text: text.replace('"dsseEnvelope":', '"dsseEnvelope": {}, "dsseEnvelope":')),
        FormatError,
        "'dsseEnvelope' occurs twice",
    ),
    "two payloads": (text(two_payloads), FormatError, "'payload' occurs twice"),
    "a key in another case": (text(lambda text: text.replace("payloadType", "PayloadType")), FormatError, "missing"),
    "an unknown member": (edited(lambda value: value.update(extra=1)), FormatError, "unknown member 'extra'"),
    # The bundle.
    "an older media type": (
        edited(lambda value: value.update(mediaType="application/vnd.dev.sigstore.bundle+json;version=0.2")),
        FormatError,
        "'mediaType' is",
    ),
    "no media type": (edited(lambda value: value.pop("mediaType")), FormatError, "'mediaType' is missing"),
    "no content": (edited(lambda value: value.pop("dsseEnvelope")), FormatError, "exactly one of"),
    "both contents": (both_contents, FormatError, "exactly one of"),
    "a file's signature": (lambda signer: signer.sign_digest(SHARD), FormatError, "where a signed statement belongs"),
    # The material.
    "no material": (edited(lambda value: value.pop("verificationMaterial")), FormatError, "is missing"),
    "no key": (material(publicKey=None), FormatError, "'publicKey' is null"),
    "a certificate beside the key": (material(certificate=CERTIFICATE), SignatureError, "signed with a certificate"),
    "a certificate in place of the key": (
        edited(lambda value: value.update(verificationMaterial={"certificate": CERTIFICATE, "tlogEntries": []})),
        SignatureError,
        "signed with a certificate",
    ),
    "a chain in place of the key": (
        edited(lambda value: value.update(verificationMaterial={"x509CertificateChain": {"certificates": []}})),
        SignatureError,
        "signed with a certificate",
    ),
    "a log entry": (material(tlogEntries=[ENTRY]), FormatError, "log entries beside a plain key"),
    "two timestamps": (times([{"signedTimestamp": "QQ=="}] * 2), FormatError, "2 timestamps, at most one"),
    "a timestamp of another kind": (
        material(timestampVerificationData={"rfc9162Timestamps": []}),
        FormatError,
        "unknown member 'rfc9162Timestamps'",
    ),
    "an empty timestamp": (times([{"signedTimestamp": ""}]), FormatError, "a timestamp of 0 bytes"),
    "a huge timestamp": (times([{"signedTimestamp": "QQ" * 65_536}]), FormatError, "bytes, 1 to 32768 are allowed"),
    "a timestamp in base64 for URLs": (times([{"signedTimestamp": "_-8="}]), FormatError, "not base64"),
    "a timestamp that is no object": (times(["QQ=="]), FormatError, "a string where an object belongs"),
    "a timestamp with a time beside it": (
        times([{"signedTimestamp": "QQ==", "time": "now"}]),
        FormatError,
        "unknown member 'time'",
    ),
    "a key inside the bundle": (
        material(publicKey={"rawBytes": base64.b64encode(OTHER.public_key.pem).decode()}),
        SignatureError,
        "signed with another key",
    ),
    "a hint that is a number": (material(publicKey={"hint": 1}), FormatError, "'hint' is an integer"),
    # The envelope.
    "no signature": (envelope(signatures=[]), FormatError, "0 signatures"),
    "the signature twice": (
        edited(lambda value: value["dsseEnvelope"].update(signatures=value["dsseEnvelope"]["signatures"] * 2)),
        FormatError,
        "2 signatures",
    ),
    "a second signature of nonsense": (
        edited(lambda value: value["dsseEnvelope"]["signatures"].append({"sig": "QQ==", "keyid": ""})),
        FormatError,
        "2 signatures",
    ),
    "a key id": (
        edited(lambda value: value["dsseEnvelope"]["signatures"][0].update(keyid="mine")),
        FormatError,
        "'keyid' is 'mine'",
    ),
    "a certificate in the signature": (
        edited(lambda value: value["dsseEnvelope"]["signatures"][0].update(cert="x")),
        FormatError,
        "unknown member 'cert'",
    ),
    "another payload type": (envelope(payloadType="application/json"), FormatError, "'payloadType' is"),
    "base64 for URLs": (signature(lambda _: "_-8="), FormatError, "not base64"),
    "base64 without padding": (signature(lambda _: "QUI"), FormatError, "not base64"),
    "base64 with white space": (signature(lambda text: text + "\n"), FormatError, "not base64"),
    "base64 with stray bits": (envelope(payload="QR=="), FormatError, "not the canonical base64"),
    "a signature that is a list": (signature(lambda text: [text]), FormatError, "'sig' is an array"),
    # The signature.
    "an empty signature": (signature(lambda _: ""), SignatureError, "not an ECDSA signature in DER"),
    "a truncated signature": (signature(truncated), SignatureError, "not an ECDSA signature in DER"),
    "a changed payload": (edited(swap_payload), SignatureError, "does not hold"),
    "an empty payload": (envelope(payload=""), SignatureError, "does not hold"),
    "another key": (lambda _: signed(OTHER), SignatureError, "signed with another key"),
    "another key under our hint": (relabelled, SignatureError, "does not hold"),
    "a P-384 key": (lambda _: signed(P384), SignatureError, "signed with another key"),
    "a P-384 key under our hint": (p384_under_the_hint_of_p256, SignatureError, "does not hold"),
    # The statement, signed by the trusted key.
    "another predicate type": (lambda signer: signed(signer, predicateType="urn:x"), FormatError, "'predicateType'"),
    "another statement type": (lambda signer: signed(signer, _type="urn:x"), FormatError, "'_type' is"),
    "a statement about nothing": (lambda signer: signed(signer, subject=[]), FormatError, "names no file"),
    "a doubled member in the statement": (duplicate_in_payload, FormatError, "'predicate' occurs twice"),
    "a payload that is no JSON": (lambda signer: signer.sign_statement(b"\x80"), FormatError, "not UTF-8"),
    "a payload nested deeply": (
        lambda signer: signer.sign_statement(b'{"a":' * 99_999 + b"1" + b"}" * 99_999),
        FormatError,
        "nested deeper",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_hostile_statement_bundle_is_refused(case: str, signer: LocalSigner, verifier: KeyVerifier) -> None:
    change, kind, said = REFUSED[case]
    data = change(signer)
    begun = time.monotonic()
    with pytest.raises(kind, match=said) as caught:
        verifier.verify_statement(data, predicate_type=KIND, what="attestation.sigstore.json")
    assert time.monotonic() - begun < 5
    assert type(caught.value) is kind
    assert str(caught.value).startswith("attestation.sigstore.json: ")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def message(**members: object) -> Change:
    def make(signer: LocalSigner) -> bytes:
        value = json.loads(signer.sign_digest(SHARD))
        value["messageSignature"].update(members)
        return json.dumps(value).encode()

    return make


def digest(raw: bytes, algorithm: str = "SHA2_256") -> dict[str, str]:
    return {"algorithm": algorithm, "digest": base64.b64encode(raw).decode()}


def grafted(signer: LocalSigner) -> bytes:
    """The signature of another shard of the same signer, under the digest of this one."""
    value = json.loads(signer.sign_digest(sha256(b"other shard")))
    value["messageSignature"]["messageDigest"] = digest(bytes.fromhex(SHARD))
    return json.dumps(value).encode()


REFUSED_SHARDS: dict[str, tuple[Change, type[MbomError], str]] = {
    "another shard": (lambda signer: signer.sign_digest(sha256(b"x")), SignatureError, "signs the SHA-256"),
    "another shard's signature": (grafted, SignatureError, "does not hold"),
    "a statement": (signed, FormatError, "where a signed file digest belongs"),
    "another key": (lambda _: OTHER.sign_digest(SHARD), SignatureError, "signed with another key"),
    "no digest": (message(messageDigest=None), FormatError, "'messageDigest' is null"),
    "another digest": (message(messageDigest=digest(bytes(32))), SignatureError, "signs the SHA-256"),
    "a short digest": (message(messageDigest=digest(bytes(31))), FormatError, "31 bytes"),
    "another algorithm": (message(messageDigest=digest(bytes(32), "SHA2_512")), FormatError, "'algorithm' is"),
    "an algorithm by number": (
        message(messageDigest={"algorithm": 1, "digest": digest(bytes(32))["digest"]}),
        FormatError,
        "'algorithm' is an integer",
    ),
    "a digest in hex": (message(messageDigest={"algorithm": "SHA2_256", "digest": SHARD}), FormatError, "48 bytes"),
    "no signature": (message(signature=""), SignatureError, "not an ECDSA signature in DER"),
    "an unknown member": (message(keyid=""), FormatError, "unknown member 'keyid'"),
}


@pytest.mark.parametrize("case", REFUSED_SHARDS)
def test_a_hostile_shard_bundle_is_refused(case: str, signer: LocalSigner, verifier: KeyVerifier) -> None:
    change, kind, said = REFUSED_SHARDS[case]
    with pytest.raises(kind, match=said) as caught:
        verifier.verify_digest(change(signer), SHARD, what="shards/a.sigstore.json")
    assert type(caught.value) is kind
    assert str(caught.value).startswith("shards/a.sigstore.json: ")


def oms_statement(**changes: object) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(oms.build("model", [("a", SHARD)]))
    return value | changes


REFUSED_MANIFESTS: dict[str, tuple[dict[str, Any], str]] = {
    "the deprecated predicate": (
        oms_statement(predicateType="https://model_signing/Digests/v0.1"),
        "only 'https://model_signing/signature/v1.0' is known",
    ),
    "a later predicate": (oms_statement(predicateType="https://model_signing/signature/v1.1"), "'predicateType' is"),
    "our own attestation": (oms_statement(predicateType=KIND), "'predicateType' is"),
    "a root digest of other files": (
        oms_statement(subject=[{"name": "model", "digest": {"sha256": SHARD}}]),
        "does not follow",
    ),
    "an empty manifest": (
        oms_statement(predicate=oms_statement()["predicate"] | {"resources": []}),
        "names no file",
    ),
}


@pytest.mark.parametrize("case", REFUSED_MANIFESTS)
def test_a_signed_statement_that_is_no_manifest_is_refused(
    case: str, signer: LocalSigner, verifier: KeyVerifier
) -> None:
    value, said = REFUSED_MANIFESTS[case]
    with pytest.raises(FormatError, match=said):
        verifier.verify_oms(signer.sign_statement(json.dumps(value).encode()))


def test_a_manifest_of_the_reference_tool_s_kind_is_no_attestation(signer: LocalSigner, verifier: KeyVerifier) -> None:
    bundle = signer.sign_statement(oms.build("model", [("a", SHARD)]))
    assert verifier.verify_oms(bundle).model == "model"
    with pytest.raises(FormatError, match="'predicateType' is"):
        verifier.verify_statement(bundle, predicate_type=KIND)


def test_a_message_with_control_characters_does_not_reach_the_terminal(signer: LocalSigner) -> None:
    value = json.loads(signed(signer))
    value["verificationMaterial"]["publicKey"]["hint"] = "\x1b[2Jverified\n"
    with pytest.raises(SignatureError) as caught:
        KeyVerifier(signer.public_key).verify_statement(json.dumps(value).encode(), predicate_type=KIND)
    assert str(caught.value).isprintable()


def mutated(data: bytes, random: Random) -> bytes:
    """Flip, delete, double or overwrite a few bytes."""
    changed = bytearray(data)
    for _ in range(random.randint(1, 3)):
        start = random.randrange(len(changed))
        end = min(len(changed), start + random.choice([1, 1, 1, 8, 60]))
        part = bytes(changed[start:end])
        changed[start:end] = random.choice([b"", part * 2, bytes([part[0] ^ 1 << random.randrange(8)]) + part[1:]])
    return bytes(changed)


def test_random_damage_is_refused_or_changes_nothing_that_was_signed(signer: LocalSigner) -> None:
    random = Random(1)
    verifier = KeyVerifier(signer.public_key)
    bundle = signed(signer)
    expected = verifier.verify_statement(bundle, predicate_type=KIND)
    refused = 0
    for _ in range(2000):
        try:
            assert verifier.verify_statement(mutated(bundle, random), predicate_type=KIND) == expected
        except MbomError:
            refused += 1
    assert refused > 1900, "white space between members is about all that may change"


def test_a_randomly_damaged_public_key_is_refused_or_another_key(signer: LocalSigner) -> None:
    random = Random(2)
    for _ in range(1000):
        try:
            key = PublicKey.from_pem(mutated(signer.public_key.pem, random), what="release.pub")
        except MbomError:
            continue
        assert key.curve == "P-256"
