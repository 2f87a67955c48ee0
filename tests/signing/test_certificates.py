"""Trust by certificate: what leads to a root and may sign, and every way in which it may not."""

import base64
import json
import os
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID
from pki import (
    AUTHORITY,
    CODE_SIGNING,
    SIGNER,
    SIGNING,
    Holder,
    alternative,
    constraints,
    digest_under,
    fixed_chain,
    issue,
    purposes,
    repeatably,
    signed_under,
    usage,
)

from mbom.digest import sha256
from mbom.errors import FormatError, KeyFileError, RefusedError, SignatureError
from mbom.signing import CertificateVerifier, KeyVerifier, LocalSigner, oms
from mbom.signing.certificates import load_certificates
from mbom.signing.dsse import decode, encode

STATEMENT = oms.build("tiny", [("a", "00" * 32)])

ROOT = issue("Example Root")
BETWEEN = issue("Example Signing CA", under=ROOT)
STRANGER = issue("Example Root")  # of the same name, with another key


def leaf(under: Holder = BETWEEN, *, name: str = "Release", **changes: Any) -> Holder:
    given: dict[str, Any] = {"under": under, "extensions": SIGNING} | changes
    return issue(name, **given)


def verifier(*roots: Holder, identity: str = SIGNER, at: datetime | None = None) -> CertificateVerifier:
    return CertificateVerifier([root.certificate for root in roots or (ROOT,)], identity=identity, at=at)


def verify(holder: Holder, by: CertificateVerifier | None = None) -> None:
    bundle = signed_under(STATEMENT, holder)
    (by or verifier()).verify_statement(bundle, predicate_type=oms.PREDICATE_TYPE, what="model.sig")


def between(*extensions: tuple[x509.ExtensionType, bool], **changes: Any) -> Holder:
    return issue("Example Signing CA", under=ROOT, extensions=extensions or AUTHORITY, **changes)


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()], ids=lambda curve: curve.name)
def test_a_signer_under_a_root_verifies_on_every_curve(curve: ec.EllipticCurve) -> None:
    holder = leaf(key=ec.generate_private_key(curve))
    manifest = verifier().verify_oms(signed_under(STATEMENT, holder))
    assert [item.name for item in manifest.resources] == ["a"]
    verifier().verify_digest(digest_under(sha256(b"shard"), holder), sha256(b"shard"))


ACCEPTED: dict[str, Callable[[], tuple[Holder, CertificateVerifier]]] = {
    "directly under the root": lambda: (leaf(ROOT), verifier()),
    "two authorities between": lambda: (leaf(issue("Second", under=BETWEEN)), verifier()),
    "as many authorities as the path length allows": lambda: (
        leaf(issue("Second", under=between(constraints(ca=True, length=1), usage("key_cert_sign")))),
        verifier(),
    ),
    "one of several roots": lambda: (leaf(), verifier(STRANGER, ROOT)),
    "an authority with the caller instead of in the bundle": lambda: (
        replace(leaf(), above=(ROOT,)),
        verifier(ROOT, BETWEEN),
    ),
    "an authority of RSA": lambda: (
        leaf(between(key=rsa.generate_private_key(public_exponent=65537, key_size=2048))),
        verifier(),
    ),
    "an authority for code signing": lambda: (leaf(between(*AUTHORITY, CODE_SIGNING)), verifier()),
    "a URI as name": lambda: (
        leaf(extensions=(*SIGNING[:2], alternative(x509.UniformResourceIdentifier("https://ci.example.com/release")))),
        verifier(identity="https://ci.example.com/release"),
    ),
    "one of several names": lambda: (
        leaf(extensions=(*SIGNING[:2], alternative(x509.DNSName("example.com"), x509.RFC822Name(SIGNER)))),
        verifier(identity="example.com"),
    ),
    "a common name where there is no other": lambda: (leaf(extensions=SIGNING[:2]), verifier(identity="Release")),
    "a name that an authority may give": lambda: (
        leaf(between(*AUTHORITY, (x509.NameConstraints([x509.RFC822Name("example.com")], None), True))),
        verifier(),
    ),
    # As in the specification's own test vectors: called an authority, and may certify nobody.
    "an authority that may not certify": lambda: (leaf(extensions=(*SIGNING, constraints(ca=True))), verifier()),
    "expired by now, valid at a moment that is proven": lambda: (
        leaf(days=(-30, -1)),
        verifier(at=datetime.now(UTC) - timedelta(days=2)),
    ),
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_a_certificate_that_may_sign_is_accepted(case: str) -> None:
    holder, by = ACCEPTED[case]()
    verify(holder, by)


def renamed(*names: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name) for name in names])


_GARBLED = x509.UnrecognizedExtension(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, b"\x30\x05")
_UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")

REFUSED: dict[str, tuple[Callable[[], Holder], str]] = {
    "expired": (lambda: leaf(days=(-30, -1)), r"expired on 20\d\d-\d\d-\d\d, and no timestamp shows"),
    "not yet valid": (lambda: leaf(days=(1, 30)), "is not valid before"),
    "an authority expired": (lambda: leaf(between(days=(-30, -1))), "not valid at validation time"),
    "no key usage": (lambda: leaf(extensions=SIGNING[1:]), "not for digital signatures"),
    "a key for encryption": (lambda: leaf(extensions=(usage("key_encipherment"), *SIGNING[1:])), "digital signatures"),
    "no extended key usage": (lambda: leaf(extensions=SIGNING[:1]), "not for code signing"),
    "a certificate for servers": (
        lambda: leaf(extensions=(SIGNING[0], purposes(ExtendedKeyUsageOID.SERVER_AUTH), SIGNING[2])),
        "not for code signing",
    ),
    "a certificate for anything": (
        lambda: leaf(extensions=(SIGNING[0], purposes(ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE), SIGNING[2])),
        "not for code signing",
    ),
    "an authority itself": (
        lambda: leaf(extensions=(usage("digital_signature", "key_cert_sign"), *SIGNING[1:], constraints(ca=True))),
        "is an authority's",
    ),
    "another email": (
        lambda: leaf(extensions=(*SIGNING[:2], alternative(x509.RFC822Name("release@example.com.evil.org")))),
        "is for 'release@example.com.evil.org', demanded was 'release@example.com'",
    ),
    "the name in another case": (
        lambda: leaf(extensions=(*SIGNING[:2], alternative(x509.RFC822Name("Release@example.com")))),
        "demanded was",
    ),
    "the demanded name as the common name beside another email": (
        lambda: leaf(name=SIGNER, extensions=(*SIGNING[:2], alternative(x509.RFC822Name("mallory@example.com")))),
        "is for 'mallory@example.com'",
    ),
    "two common names": (
        lambda: leaf(subject=renamed("Mallory", SIGNER), extensions=SIGNING[:2]),
        "no name that can be demanded",
    ),
    "no name at all": (lambda: leaf(subject=x509.Name([]), extensions=SIGNING[:2]), "no name that can be demanded"),
    "a root of the same name": (lambda: leaf(issue("Example Signing CA", under=STRANGER)), "no trusted root"),
    "nobody above": (lambda: issue("Release", extensions=SIGNING), "no trusted root"),
    "issued with another key": (lambda: leaf(issuer_key=STRANGER.key), "signature does not match"),
    "a signer as authority": (lambda: leaf(leaf()), "no trusted root"),
    "an authority without the word": (
        lambda: leaf(between(constraints(ca=False), usage("key_cert_sign"))),
        "no trusted root",
    ),
    "an authority that may not certify": (
        lambda: leaf(between(constraints(ca=True), usage("digital_signature"))),
        "no trusted root",
    ),
    "an authority without a key usage": (lambda: leaf(between(constraints(ca=True))), "no trusted root"),
    "an authority for servers": (
        lambda: leaf(between(*AUTHORITY, purposes(ExtendedKeyUsageOID.SERVER_AUTH))),
        "no trusted root",
    ),
    "one authority more than the path length allows": (
        lambda: leaf(issue("Second", under=between(constraints(ca=True, length=0), usage("key_cert_sign")))),
        "path length constraint",
    ),
    "a weak authority": (
        lambda: leaf(between(key=rsa.generate_private_key(public_exponent=65537, key_size=1024))),  # noqa: S505
        "too weak",
    ),
    "an unknown critical extension": (lambda: leaf(extensions=(*SIGNING, (_UNKNOWN, True))), "critical extensions"),
    "a name that an authority may not give": (
        lambda: leaf(between(*AUTHORITY, (x509.NameConstraints([x509.RFC822Name("example.org")], None), True))),
        "no permitted name constraints",
    ),
    "a name that is excluded": (
        lambda: leaf(between(*AUTHORITY, (x509.NameConstraints(None, [x509.RFC822Name("example.com")]), True))),
        "excluded name constraint",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_certificate_that_may_not_sign_is_refused(case: str) -> None:
    make, said = REFUSED[case]
    with pytest.raises(SignatureError, match=said) as caught:
        verify(make())
    assert str(caught.value).startswith("model.sig: ")
    assert "\n" not in str(caught.value)


def test_a_common_name_is_no_name_where_an_authority_may_name_some_signers_only() -> None:
    limited = between(*AUTHORITY, (x509.NameConstraints([x509.RFC822Name("example.org")], None), True))
    with pytest.raises(SignatureError, match="binds no common name"):
        verify(leaf(limited, name="Release", extensions=SIGNING[:2]), verifier(identity="Release"))


def test_a_key_that_is_no_ecdsa_key_is_refused() -> None:
    holder = leaf(key=rsa.generate_private_key(public_exponent=65537, key_size=2048))
    bundle = signed_under(STATEMENT, leaf(), chain=[holder.certificate, BETWEEN.certificate])
    with pytest.raises(SignatureError, match="the key is RSA"):
        verifier().verify_statement(bundle, predicate_type=oms.PREDICATE_TYPE)


def test_the_signature_must_be_that_of_the_first_certificate() -> None:
    one, other = leaf(), leaf()
    for chain in ([other.certificate, BETWEEN.certificate], [other.certificate, one.certificate, BETWEEN.certificate]):
        bundle = signed_under(STATEMENT, one, chain=chain)
        with pytest.raises(SignatureError, match="does not hold"):
            verifier().verify_statement(bundle, predicate_type=oms.PREDICATE_TYPE)


def test_a_root_in_the_bundle_is_no_trusted_one() -> None:
    foreign = leaf(issue("Example Signing CA", under=STRANGER))
    chain = [foreign.certificate, *(item.certificate for item in foreign.above)]
    with pytest.raises(SignatureError, match="no trusted root"):
        verifier().verify_statement(
            signed_under(STATEMENT, foreign, chain=chain), predicate_type=oms.PREDICATE_TYPE, what="model.sig"
        )


def test_another_file_than_the_signed_one_is_refused() -> None:
    bundle = digest_under(sha256(b"shard"), leaf())
    with pytest.raises(SignatureError, match="and the file's is"):
        verifier().verify_digest(bundle, sha256(b"shark"))
    with pytest.raises(FormatError, match="not 64 lower-case hex digits"):
        verifier().verify_digest(bundle, "00")
    with pytest.raises(FormatError, match="signs a file's digest"):
        verifier().verify_statement(bundle, predicate_type=oms.PREDICATE_TYPE)
    with pytest.raises(FormatError, match="signs a statement"):
        verifier().verify_digest(signed_under(STATEMENT, leaf()), sha256(b"shard"))


def test_whoever_trusts_a_key_takes_no_certificate_and_the_reverse() -> None:
    signer = LocalSigner(ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(SignatureError, match="what is trusted here is a key"):
        KeyVerifier(signer.public_key).verify_oms(signed_under(STATEMENT, leaf()))
    with pytest.raises(SignatureError, match="with a plain key, and what is trusted here is a certificate chain"):
        verifier().verify_oms(signer.sign_statement(STATEMENT))


def edited(change: Callable[[dict[str, Any]], object]) -> bytes:
    value = json.loads(signed_under(STATEMENT, leaf()))
    change(value["verificationMaterial"])
    return json.dumps(value).encode()


MALFORMED: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "no certificate": (lambda m: m["x509CertificateChain"].update(certificates=[]), "a chain of 0 certificates"),
    "a flood of certificates": (
        lambda m: m["x509CertificateChain"].update(certificates=m["x509CertificateChain"]["certificates"] * 6),
        "a chain of 12 certificates, 1 to 10",
    ),
    "a certificate that is none": (
        lambda m: m["x509CertificateChain"]["certificates"][0].update(rawBytes="AAAA"),
        "malformed",
    ),
    "bytes after a certificate": (
        lambda m: m["x509CertificateChain"]["certificates"][0].update(
            rawBytes=encode(decode(m["x509CertificateChain"]["certificates"][0]["rawBytes"], what="") + b"\0")
        ),
        "malformed",
    ),
    "a certificate with a malformed name": (
        lambda m: m["x509CertificateChain"]["certificates"][0].update(
            rawBytes=encode(leaf(extensions=(*SIGNING[:2], (_GARBLED, False))).certificate.public_bytes(Encoding.DER))
        ),
        "malformed",
    ),
    "a huge certificate": (
        lambda m: m["x509CertificateChain"]["certificates"][1].update(rawBytes="AAAA" * 30_000),
        "a certificate of 90000 bytes",
    ),
    "base64 with line breaks": (
        lambda m: m["x509CertificateChain"]["certificates"][0].update(
            rawBytes=m["x509CertificateChain"]["certificates"][0]["rawBytes"] + "\n"
        ),
        "base64",
    ),
    "a member more in a certificate": (
        lambda m: m["x509CertificateChain"]["certificates"][0].update(trusted=True),
        "unknown member 'trusted'",
    ),
    "a member more in the chain": (lambda m: m["x509CertificateChain"].update(roots=[]), "unknown member 'roots'"),
    "log entries": (lambda m: m.update(tlogEntries=[{}]), "log entries beside a certificate chain"),
    "timestamps": (
        lambda m: m.update(timestampVerificationData={"rfc3161Timestamps": [{"signedTimestamp": "AAAA"}]}),
        "timestamps beside a certificate chain",
    ),
    "a member more": (lambda m: m.update(publicKeys=[]), "unknown member 'publicKeys'"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_chain_is_refused(case: str) -> None:
    change, said = MALFORMED[case]
    with pytest.raises(FormatError, match=said):
        verifier().verify_oms(edited(change))


def test_roots_are_read_from_several_files(tmp_path: Path) -> None:
    (tmp_path / "a.pem").write_bytes(STRANGER.pem)
    (tmp_path / "b.pem").write_bytes(b"Example's roots\n" + ROOT.pem + BETWEEN.pem)
    by = CertificateVerifier.load([tmp_path / "a.pem", tmp_path / "b.pem"], identity=SIGNER)
    verify(replace(leaf(), above=(ROOT,)), by)
    assert by.identity == f"{SIGNER}, certified under CN=Example Root or CN=Example Root"


UNUSABLE: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "no certificates in PEM"),
    "a private key beside": (ROOT.pem + ROOT.key_pem, "holds a PEM block 'PRIVATE KEY'"),
    "a damaged certificate": (ROOT.pem.replace(b"MII", b"AAA", 1), "no certificates in PEM"),
    "a flood": (b"#" * (5 << 20), "larger than"),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_a_file_that_is_not_made_of_certificates_is_not_used(case: str, tmp_path: Path) -> None:
    data, said = UNUSABLE[case]
    (tmp_path / "roots.pem").write_bytes(data)
    with pytest.raises(KeyFileError, match=said):
        load_certificates(tmp_path / "roots.pem")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "roots.pem")
    with pytest.raises(KeyFileError, match="not a regular file"):
        load_certificates(tmp_path / "roots.pem")


def test_roots_that_are_not_there_or_none_are_said_so(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="cannot be read"):
        load_certificates(tmp_path / "roots.pem")
    with pytest.raises(KeyFileError, match="is a root"):
        CertificateVerifier([BETWEEN.certificate], identity=SIGNER)


def test_a_root_s_own_signature_is_checked() -> None:
    forged = issue("Example Root", issuer_key=STRANGER.key)
    with pytest.raises(KeyFileError, match="is a root"):
        CertificateVerifier([forged.certificate], identity=SIGNER)


def fixed() -> tuple[bytes, CertificateVerifier]:
    """Return a bundle that is the same in every run, and who trusts its signer."""
    start = datetime(2026, 11, 2, tzinfo=UTC)
    signer = fixed_chain("Example Root", "Example Signing CA", "Release", start=start)
    return signed_under(STATEMENT, signer, sign=repeatably), verifier(signer.above[-1], at=start)


def test_no_flipped_bit_of_a_bundle_goes_unnoticed() -> None:
    (sound, by), choose = fixed(), random.Random(11)
    assert sound == fixed()[0]
    by.verify_oms(sound)
    for _ in range(600):
        bent = bytearray(sound)
        bent[choose.randrange(len(bent))] ^= 1 << choose.randrange(8)
        with pytest.raises(RefusedError):
            by.verify_oms(bytes(bent))


def test_no_flipped_bit_of_a_certificate_goes_unnoticed() -> None:
    bundle, by = fixed()
    sound = json.loads(bundle)
    held = sound["verificationMaterial"]["x509CertificateChain"]["certificates"][0]
    der = base64.b64decode(held["rawBytes"])
    for bit in range(8 * len(der)):
        bent = bytearray(der)
        bent[bit // 8] ^= 1 << bit % 8
        held["rawBytes"] = base64.b64encode(bent).decode()
        with pytest.raises(RefusedError):
            by.verify_oms(json.dumps(sound).encode())


def negative_serial(certificate: x509.Certificate) -> bytes:
    der = bytearray(certificate.public_bytes(Encoding.DER))
    number = certificate.serial_number
    der[der.index(number.to_bytes(number.bit_length() // 8 + 1, "big"))] |= 0x80
    return bytes(der)


def test_a_serial_number_below_zero_is_refused(tmp_path: Path) -> None:
    def bend(material: dict[str, Any]) -> None:
        der = negative_serial(signer.certificate)
        material["x509CertificateChain"]["certificates"][0]["rawBytes"] = base64.b64encode(der).decode()

    signer = leaf(serial=1 << 150)  # which stays in the shortest form, so that the sign is all that is wrong
    with pytest.raises(FormatError, match="serial number"):
        verifier().verify_oms(edited(bend))
    body = base64.encodebytes(negative_serial(ROOT.certificate)).decode()
    (tmp_path / "roots.pem").write_text(f"-----BEGIN CERTIFICATE-----\n{body}-----END CERTIFICATE-----\n")
    with pytest.raises(KeyFileError, match="no certificates in PEM that can be read"):
        load_certificates(tmp_path / "roots.pem")


def test_many_roots_are_counted() -> None:
    by = verifier(ROOT, STRANGER, issue("Third"), issue("Fourth"))
    assert by.identity == f"{SIGNER}, certified under one of 4 roots"
