"""What a timestamp authority has to say before its time is believed, and the table of what is not believed."""

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest
from asn1crypto import cms, core, tsp
from authorities import (
    BEGIN,
    END,
    POLICY,
    STAMPING,
    TIME,
    Authority,
    OpensslAuthority,
    certificate,
    issue,
    tokenless,
    usage,
)
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from sigstore_models.bundle.v1 import Bundle

from mbom.errors import FormatError, KeyFileError, MbomError, SignatureError
from mbom.signing import KeyVerifier, LocalSigner, Seen, TimestampAuthority
from mbom.signing import statement as statements
from mbom.signing.timestamp import Timestamp

SIGNATURE = b"a signature in DER"
HONEST = Authority.make()


def imprint(data: bytes, algorithm: str = "sha256") -> tsp.MessageImprint:
    digest = hashlib.new(algorithm, data).digest()
    return tsp.MessageImprint({"hash_algorithm": {"algorithm": algorithm}, "hashed_message": digest})


def query(data: bytes = SIGNATURE, algorithm: str = "sha256") -> bytes:
    """What a client asks, here without a nonce."""
    asked = {"version": "v1", "message_imprint": imprint(data, algorithm), "cert_req": True}
    return bytes(tsp.TimeStampReq(asked).dump())


def trusted(authority: Authority, *more: x509.Certificate) -> TimestampAuthority:
    return TimestampAuthority([authority.root.certificate, *more], what="chain.pem")


def stated(time: str = "2026-11-02T08:31:00Z") -> str:
    return f"timestamp {time} under policy {POLICY}"


@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
def test_an_honest_timestamp_states_its_time_and_policy(algorithm: str) -> None:
    found = trusted(HONEST).check(HONEST.respond(query(algorithm=algorithm)), SIGNATURE, what="b")
    assert found == Timestamp(time=TIME, policy=POLICY)
    assert str(found) == stated()


def test_a_timestamp_of_openssl_holds_here(tmp_path: Path) -> None:
    response = OpensslAuthority(tmp_path / "tsa", HONEST).respond(query())
    assert trusted(HONEST).check(response, SIGNATURE, what="b").policy == POLICY


def between(*, ca: bool = True) -> Authority:
    """An authority whose certificate was issued by one below the root."""
    root = issue("root")
    middle = issue("middle", root, ca=ca)
    own = issue("tsa", middle, ca=False, extensions=[STAMPING, (usage(sign=True), True)])
    return Authority(root=root, own=own, between=[middle])


def test_what_lies_between_may_come_with_the_timestamp_or_with_the_trust() -> None:
    authority = between()
    with_it = authority.respond(query())
    without = replace(authority, between=[]).respond(query())
    assert trusted(authority).check(with_it, SIGNATURE, what="b").time == TIME
    assert trusted(authority, authority.between[0].certificate).check(without, SIGNATURE, what="b").time == TIME
    with pytest.raises(SignatureError, match="does not hold"):
        trusted(authority).check(without, SIGNATURE, what="b")


def test_a_response_without_certificates_holds_under_the_authority_s_own_alone() -> None:
    response = replace(HONEST, certificates=False).respond(query())
    pinned = trusted(HONEST, HONEST.own.certificate)
    assert pinned.check(response, SIGNATURE, what="b").time == TIME
    with pytest.raises(SignatureError, match="does not hold"):
        trusted(HONEST).check(response, SIGNATURE, what="b")


def test_a_certificate_that_has_expired_since_does_not_matter() -> None:
    own = issue("tsa", HONEST.root, ca=False, end=TIME + timedelta(minutes=1), extensions=[STAMPING])
    assert trusted(HONEST).check(replace(HONEST, own=own).respond(query()), SIGNATURE, what="b").time == TIME


def own(*extensions: tuple[x509.ExtensionType, bool], **changes: object) -> Authority:
    """The honest authority with a certificate of its own that has other extensions."""
    return replace(HONEST, own=issue("tsa", HONEST.root, ca=False, extensions=list(extensions), **changes))  # type: ignore[arg-type]


def purposes(*kinds: x509.ObjectIdentifier) -> x509.ExtendedKeyUsage:
    return x509.ExtendedKeyUsage(list(kinds))


def signed(change: Callable[[cms.SignedData], object]) -> Authority:
    return replace(HONEST, signed=change)


def flip_signature(data: cms.SignedData) -> None:
    signer = data["signer_infos"][0]
    signer["signature"] = bytes([*signer["signature"].native[:-1], signer["signature"].native[-1] ^ 1])


def other_content(data: cms.SignedData) -> None:
    """Date the timestamp an hour earlier, under the signature over the true one."""
    info = tsp.TSTInfo.load(data["encap_content_info"]["content"].contents)
    info["gen_time"] = TIME - timedelta(hours=1)
    data["encap_content_info"]["content"] = core.ParsableOctetString(info.dump())


def second_signer(data: cms.SignedData) -> None:
    other = replace(HONEST, own=issue("tsa", HONEST.root, ca=False, extensions=[STAMPING]))
    content = data["encap_content_info"]["content"].contents
    data["signer_infos"] = [data["signer_infos"][0], other.signer(content)]


OTHER = Authority.make("other")
CODE = ExtendedKeyUsageOID.CODE_SIGNING
STAMP = ExtendedKeyUsageOID.TIME_STAMPING
SIGN = (usage(sign=True), True)

REFUSED: dict[str, tuple[Authority, str]] = {
    "another authority": (OTHER, "unable to get local issuer certificate"),
    "another authority of the same name": (
        replace(HONEST, root=issue("tsa root"), own=issue("tsa")),
        "self-signed certificate",
    ),
    "a certificate that signs for itself": (
        replace(HONEST, own=issue("tsa", ca=False, extensions=[STAMPING, SIGN])),
        "self-signed certificate",
    ),
    "a certificate that has expired": (own(STAMPING, SIGN, end=TIME - timedelta(seconds=1)), "certificate has expired"),
    "a certificate that is not valid yet": (
        own(STAMPING, SIGN, begin=TIME + timedelta(seconds=1)),
        "certificate is not yet valid",
    ),
    "a time before the root": (replace(HONEST, time=BEGIN - timedelta(seconds=1)), "certificate is not yet valid"),
    "a time after the root": (replace(HONEST, time=END + timedelta(seconds=1)), "certificate has expired"),
    "no extended key usage": (own(SIGN), "unsuitable certificate purpose"),
    "an extended key usage that is not critical": (
        own((purposes(STAMP), False), SIGN),
        "unsuitable certificate purpose",
    ),
    "an extended key usage of code signing": (own((purposes(CODE), True), SIGN), "unsuitable certificate purpose"),
    "an extended key usage of more than time stamping": (
        own((purposes(STAMP, CODE), True), SIGN),
        "unsuitable certificate purpose",
    ),
    "any extended key usage": (
        own((purposes(ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE), True), SIGN),
        "unsuitable certificate purpose",
    ),
    "a key usage without signatures": (own(STAMPING, (usage(sign=False), True)), "unsuitable certificate purpose"),
    "an issuer that is none": (between(ca=False), "invalid CA certificate"),
    "a status that refuses": (replace(HONEST, status={"status": "rejection"}), "PKIStatus is not GRANTED"),
    "a status that changed the request": (
        replace(HONEST, status={"status": "granted_with_mods"}),
        "PKIStatus is not GRANTED",
    ),
    "a status that warns of a revocation": (
        replace(HONEST, status={"status": "revocation_warning"}),
        "PKIStatus is not GRANTED",
    ),
    "a flipped signature": (signed(flip_signature), "signature failure"),
    "another time below the signature": (signed(other_content), "digest failure"),
    "two signers": (signed(second_signer), "2 signers, exactly one"),
    "no signer": (signed(lambda data: data.__setitem__("signer_infos", [])), "0 signers, exactly one"),
    "an imprint of other data": (replace(HONEST, info={"message_imprint": imprint(b"x")}), "Mismatch between messages"),
    "an imprint with SHA-1": (
        replace(HONEST, info={"message_imprint": imprint(SIGNATURE, "sha1")}),
        "Unsupported hash algorithm",
    ),
    "an imprint with MD5": (
        replace(HONEST, info={"message_imprint": imprint(SIGNATURE, "md5")}),
        "Unsupported hash algorithm",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_timestamp_that_is_not_what_rfc_3161_asks_is_refused(case: str) -> None:
    authority, said = REFUSED[case]
    roots = [authority.root.certificate] if case == "an issuer that is none" else [HONEST.root.certificate]
    with pytest.raises(SignatureError, match=f"^b: the timestamp .*{said}") as caught:
        TimestampAuthority(roots, what="chain.pem").check(authority.respond(query()), SIGNATURE, what="b")
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    "response",
    [
        b"",
        b"\x30\x00",
        b"<html>",
        HONEST.respond(query()) + b"\0",
        HONEST.respond(query())[:-1],
        tsp.TimeStampResp.load(HONEST.respond(query()))["time_stamp_token"].dump(),
    ],
    ids=["nothing", "an empty sequence", "a page", "a byte more", "a byte less", "the token alone"],
)
def test_bytes_that_are_no_response_are_malformed(response: bytes) -> None:
    with pytest.raises(FormatError, match=r"^b: the timestamp is no response of RFC 3161 in DER$"):
        trusted(HONEST).check(response, SIGNATURE, what="b")


def test_a_refusal_without_a_token_is_no_timestamp() -> None:
    with pytest.raises(SignatureError, match="does not hold"):
        trusted(HONEST).check(tokenless(status="rejection"), SIGNATURE, what="b")


def test_the_authority_s_own_certificate_excludes_another_one_of_the_same_root() -> None:
    sister = own(STAMPING, SIGN)
    response = sister.respond(query())
    assert trusted(HONEST).check(response, SIGNATURE, what="b").time == TIME
    with pytest.raises(SignatureError, match="does not hold"):
        trusted(HONEST, HONEST.own.certificate).check(response, SIGNATURE, what="b")


def test_a_certificate_put_beside_the_true_one_changes_nothing_about_who_signed() -> None:
    # The leaf was once picked by place among the certificates, which nobody signs.
    sister = own(STAMPING, SIGN)

    def add(data: cms.SignedData) -> None:
        data["certificates"] = [*data["certificates"], cms.CertificateChoices({"certificate": certificate(HONEST.own)})]

    with pytest.raises(SignatureError, match="does not hold"):
        trusted(HONEST, HONEST.own.certificate).check(replace(sister, signed=add).respond(query()), SIGNATURE, what="b")


def test_random_damage_is_refused_or_changes_nothing_that_is_stated(tmp_path: Path) -> None:
    random = Random(3)
    good = [HONEST.respond(query()), OpensslAuthority(tmp_path / "tsa", HONEST).respond(query())]
    authority = trusted(HONEST)
    expected = [authority.check(response, SIGNATURE, what="b") for response in good]
    refused = 0
    for _ in range(3000):
        which = random.randrange(2)
        damaged = bytearray(good[which])
        damaged[random.randrange(len(damaged))] ^= 1 << random.randrange(8)
        try:
            assert authority.check(bytes(damaged), SIGNATURE, what="b") == expected[which]
        except MbomError:
            refused += 1
    assert refused > 2900, "what nobody signs is about the version of the signed data"


def chain(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_a_chain_is_read_with_text_around_its_certificates(tmp_path: Path) -> None:
    authority = between()
    path = chain(tmp_path / "chain.pem", b"the authority\n" + authority.own.pem + b"\n# root\n" + authority.chain)
    assert TimestampAuthority.load(path).check(authority.respond(query()), SIGNATURE, what="b").time == TIME


CHAINS: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "holds no certificate"),
    "a damaged certificate": (HONEST.root.pem.replace(b"MII", b"MIJ"), "holds no certificate"),
    "the authority's own alone": (HONEST.own.pem, "holds no self-signed root certificate"),
    "a key too": (HONEST.root.pem + HONEST.own.key_pem, "holds a PEM block 'PRIVATE KEY'"),
    "a public key": (LocalSigner(HONEST.own.key).public_key.pem, "holds a PEM block 'PUBLIC KEY'"),
    "two authorities": (HONEST.root.pem + HONEST.own.pem + OTHER.own.pem, "2 certificates that are no issuer's"),
    "too many": (HONEST.root.pem * 17, "17 certificates, the limit is 16"),
    "a huge file": (HONEST.root.pem + b"\n" * 65_536, "larger than 65536 bytes"),
}


@pytest.mark.parametrize("case", CHAINS)
def test_a_file_that_is_no_chain_is_refused(case: str, tmp_path: Path) -> None:
    data, said = CHAINS[case]
    path = chain(tmp_path / "chain.pem", data)
    with pytest.raises(KeyFileError, match=said) as caught:
        TimestampAuthority.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert HONEST.own.key_pem.split(b"\n")[1].decode() not in str(caught.value)


# ---- in bundles ----

KIND = "urn:example:v1"


def stamping(signer: LocalSigner, authority: Authority) -> LocalSigner:
    return LocalSigner(signer._key, stamp=authority.stamp)


def statement() -> bytes:
    return statements.build([("a", "0" * 64)], KIND, {})


@pytest.mark.parametrize("kind", ["statement", "digest"])
def test_a_signature_with_its_timestamp_holds_and_says_when_it_was_there(any_signer: LocalSigner, kind: str) -> None:
    signer = stamping(any_signer, HONEST)
    verifier = KeyVerifier(signer.public_key, trusted(HONEST))
    if kind == "statement":
        seen = verifier.verify_statement(signer.sign_statement(statement()), predicate_type=KIND).seen
        assert (seen.time, seen.detail) == (TIME, stated())
    else:
        verifier.verify_digest(signer.sign_digest("0" * 64), "0" * 64)


def check_both(verifier: KeyVerifier, signer: LocalSigner, said: str) -> None:
    with pytest.raises(SignatureError, match=said):
        verifier.verify_statement(signer.sign_statement(statement()), predicate_type=KIND)
    with pytest.raises(SignatureError, match=said):
        verifier.verify_digest(signer.sign_digest("0" * 64), "0" * 64)


def test_a_missing_timestamp_fails_where_an_authority_is_trusted(signer: LocalSigner) -> None:
    check_both(KeyVerifier(signer.public_key, trusted(HONEST)), signer, "bundle: has no timestamp")


def test_a_timestamp_of_another_authority_fails(signer: LocalSigner) -> None:
    check_both(KeyVerifier(signer.public_key, trusted(HONEST)), stamping(signer, OTHER), "does not hold under the trus")


def test_a_timestamp_of_another_signature_fails(signer: LocalSigner) -> None:
    earlier = HONEST.stamp(b"another signature")
    moved = LocalSigner(signer._key, stamp=lambda _: earlier)
    check_both(KeyVerifier(signer.public_key, trusted(HONEST)), moved, "Mismatch between messages")


def test_without_an_authority_a_timestamp_is_said_not_to_be_checked(signer: LocalSigner) -> None:
    verifier = KeyVerifier(signer.public_key)
    stamped = LocalSigner(signer._key, stamp=lambda _: b"nonsense").sign_statement(statement())
    seen = verifier.verify_statement(stamped, predicate_type=KIND).seen
    assert seen == Seen(time=None, detail="its timestamp was not checked (--timestamp-authority)")
    unstamped = verifier.verify_statement(signer.sign_statement(statement()), predicate_type=KIND).seen
    assert unstamped == Seen(time=None, detail="")


def test_a_timestamp_does_not_help_a_signature_that_does_not_hold(signer: LocalSigner) -> None:
    value = json.loads(stamping(signer, HONEST).sign_statement(statement()))
    value["dsseEnvelope"]["payload"] = base64.b64encode(b"{}").decode()
    with pytest.raises(SignatureError, match="the signature does not hold"):
        KeyVerifier(signer.public_key, trusted(HONEST)).verify_statement(
            json.dumps(value).encode(), predicate_type=KIND
        )


def test_the_sigstore_models_find_the_timestamp_where_we_put_it(signer: LocalSigner) -> None:
    material = Bundle.from_json(stamping(signer, HONEST).sign_statement(statement())).verification_material
    assert material.timestamp_verification_data
    (found,) = material.timestamp_verification_data.rfc3161_timestamps
    assert tsp.TimeStampResp.load(found.signed_timestamp)["status"]["status"].native == "granted"


def test_openssl_confirms_the_timestamp_in_a_bundle(signer: LocalSigner, tmp_path: Path) -> None:
    value = json.loads(stamping(signer, HONEST).sign_digest("0" * 64))
    (entry,) = value["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"]
    response = base64.b64decode(entry["signedTimestamp"])
    signature = base64.b64decode(value["messageSignature"]["signature"])
    openssl = OpensslAuthority(tmp_path / "tsa", HONEST)
    assert openssl.verify(response, signature).stdout == "Verification: OK\n"
    assert openssl.verify(response, signature + b"\0").returncode == 1
