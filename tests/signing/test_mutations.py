"""Signatures and keys bent in the ways that have broken verifiers: their DER, their range, their encoding, their type.

Each row bends a good signature or key on every curve. The good ones are accepted, so that a row has one reason to fail.
"""

import base64
import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from mbom.errors import FormatError, KeyFileError, SignatureError
from mbom.signing import CURVES, KeyVerifier, LocalSigner, PublicKey, statement
from mbom.signing.dsse import pae

KIND = "urn:example:v1"
STATEMENT = statement.build([("a", "0" * 64)], KIND, {})
HASHES = {"P-256": hashes.SHA256(), "P-384": hashes.SHA384(), "P-521": hashes.SHA512()}

# Of the groups, from FIPS 186-5 and SP 800-186.
ORDERS = {
    "P-256": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    "P-384": (1 << 384) - 0x389CB27E0BC8D220A7E5F24DB74F58851313E695333AD68D,
    "P-521": (1 << 521) - 0x5AE79787C40D069948033FEB708F65A2FC44A36477663B851449048E16EC79BF7,
}
FIELDS = {
    "P-256": (1 << 256) - (1 << 224) + (1 << 192) + (1 << 96) - 1,
    "P-384": (1 << 384) - (1 << 128) - (1 << 96) + (1 << 32) - 1,
    "P-521": (1 << 521) - 1,
}
KEYS = {name: ec.generate_private_key(curve) for name, curve in CURVES.items()}
SIGNERS = {name: LocalSigner(key) for name, key in KEYS.items()}
VERIFIERS = {name: KeyVerifier(signer.public_key) for name, signer in SIGNERS.items()}
BUNDLES = {name: signer.sign_statement(STATEMENT) for name, signer in SIGNERS.items()}


def tlv(tag: int, content: bytes) -> bytes:
    """Return DER of a tag and a content of less than 64 KiB."""
    size = len(content)
    length = bytes([size]) if size < 128 else bytes([0x81, size]) if size < 256 else bytes([0x82, *size.to_bytes(2)])
    return bytes([tag]) + length + content


def integer(value: int) -> bytes:
    return tlv(2, value.to_bytes(value.bit_length() // 8 + 1, signed=True))


@dataclass(frozen=True, kw_only=True)
class Good:
    """A good signature taken apart."""

    curve: str
    der: bytes
    r: int
    s: int

    @property
    def n(self) -> int:
        return ORDERS[self.curve]

    @property
    def size(self) -> int:
        return (self.n.bit_length() + 7) // 8

    @property
    def body(self) -> bytes:
        return integer(self.r) + integer(self.s)


def good(curve: str) -> Good:
    der = KEYS[curve].sign(pae(STATEMENT), ec.ECDSA(HASHES[curve]))
    r, s = decode_dss_signature(der)
    return Good(curve=curve, der=der, r=r, s=s)


def pair(r: Callable[[Good], int], s: Callable[[Good], int]) -> Callable[[Good], bytes]:
    return lambda item: tlv(0x30, integer(r(item)) + integer(s(item)))


def of_r(item: Good) -> int:
    return item.r


def of_s(item: Good) -> int:
    return item.s


def number(value: int) -> Callable[[Good], int]:
    return lambda _: value


def inside(change: Callable[[Good], bytes]) -> Callable[[Good], bytes]:
    """Put another body into the sequence."""
    return lambda item: tlv(0x30, change(item))


def foreign(item: Good) -> bytes:
    """A signature by another key of the same curve."""
    return ec.generate_private_key(CURVES[item.curve]).sign(pae(STATEMENT), ec.ECDSA(HASHES[item.curve]))


def hashed(algorithm: hashes.HashAlgorithm) -> Callable[[Good], bytes]:
    """A signature by the right key with a hash that is not the curve's."""
    others = {name: algorithm if algorithm.name != own.name else hashes.SHA224() for name, own in HASHES.items()}
    return lambda item: KEYS[item.curve].sign(pae(STATEMENT), ec.ECDSA(others[item.curve]))


def over(data: bytes) -> Callable[[Good], bytes]:
    """A signature by the right key over something else."""
    return lambda item: KEYS[item.curve].sign(data, ec.ECDSA(HASHES[item.curve]))


def longer(content: bytes) -> bytes:
    """Return a length and its content, the length in one byte more than it takes."""
    size = len(content)
    return (
        (b"\x81" if size < 128 else b"\x82\0" if size < 256 else b"\x83\0") + size.to_bytes(1 + (size > 255)) + content
    )


def contents(value: int) -> bytes:
    return integer(value)[2:]


SIGNATURES: dict[str, Callable[[Good], bytes]] = {
    # Range. A check of 0 < r, s < n that is left out accepts forgeries or one signature in many spellings.
    "r is zero": pair(number(0), of_s),
    "s is zero": pair(of_r, number(0)),
    "both are zero": pair(number(0), number(0)),
    "both are one": pair(number(1), number(1)),
    "r is zero, s is one": pair(number(0), number(1)),
    "r is one, s is zero": pair(number(1), number(0)),
    "r is the order": pair(lambda item: item.n, of_s),
    "s is the order": pair(of_r, lambda item: item.n),
    "both are the order": pair(lambda item: item.n, lambda item: item.n),
    "r is the order, s is zero": pair(lambda item: item.n, number(0)),
    "r is zero, s is the order": pair(number(0), lambda item: item.n),
    "r is one below the order": pair(lambda item: item.n - 1, of_s),
    "s is one below the order": pair(of_r, lambda item: item.n - 1),
    "r is one above the order": pair(lambda item: item.n + 1, of_s),
    "r and the order": pair(lambda item: item.r + item.n, of_s),
    "s and the order": pair(of_r, lambda item: item.s + item.n),
    "r less the order": pair(lambda item: item.r - item.n, of_s),
    "s less the order": pair(of_r, lambda item: item.s - item.n),
    "the mirror of r": pair(lambda item: item.n - item.r, of_s),
    "the mirror of both": pair(lambda item: item.n - item.r, lambda item: item.n - item.s),
    "r negative": pair(lambda item: -item.r, of_s),
    "s negative": pair(of_r, lambda item: -item.s),
    "both negative": pair(lambda item: -item.r, lambda item: -item.s),
    "r is minus one": pair(number(-1), of_s),
    "r is the field's prime": pair(lambda item: FIELDS[item.curve], of_s),
    "r is above the field's prime": pair(lambda item: FIELDS[item.curve] + 1, of_s),
    "r exchanged with s": pair(of_s, of_r),
    "r twice": pair(of_r, of_r),
    "s twice": pair(of_s, of_s),
    "r one more": pair(lambda item: item.r + 1, of_s),
    "s one less": pair(of_r, lambda item: item.s - 1),
    "r of 66 bytes of ones": pair(lambda _: (1 << 528) - 1, of_s),
    # DER. Every other spelling of the same numbers is refused, or a signature could be changed without its key.
    "nothing": lambda _: b"",
    "a sequence of nothing": lambda _: b"\x30\x00",
    "zeros": lambda item: bytes(len(item.der)),
    "the longest length": lambda _: b"\x30\x84\xff\xff\xff\xff",
    "a length in a longer form": lambda item: b"\x30" + longer(item.body),
    "a length with leading zeros": lambda item: b"\x30\x84\0\0\0" + bytes([len(item.body)]) + item.body,
    "a length that is indefinite": lambda item: b"\x30\x80" + item.body + b"\0\0",
    "a length without its end": lambda item: b"\x30\x80" + item.body,
    "a length too short": lambda item: item.der[: -len(item.body) - 1] + bytes([len(item.body) - 1]) + item.body,
    "a length too long": lambda item: item.der[: -len(item.body) - 1] + bytes([len(item.body) + 1]) + item.body,
    "r in the long form": inside(lambda i: b"\x02\x81" + integer(i.r)[1:] + integer(i.s)),
    "r with a leading zero": inside(lambda i: tlv(2, b"\0" + contents(i.r)) + integer(i.s)),
    "s with a leading zero": inside(lambda i: integer(i.r) + tlv(2, b"\0" + contents(i.s))),
    "r with many leading zeros": inside(lambda i: tlv(2, bytes(20) + contents(i.r)) + integer(i.s)),
    "r of no bytes": inside(lambda i: b"\x02\x00" + integer(i.s)),
    "s of no bytes": inside(lambda i: integer(i.r) + b"\x02\x00"),
    "r of a zero too many": inside(lambda i: tlv(2, b"\0\0") + integer(i.s)),
    "r as a bit string": inside(lambda i: tlv(3, contents(i.r)) + integer(i.s)),
    "r as an octet string": inside(lambda i: tlv(4, contents(i.r)) + integer(i.s)),
    "r as an enumeration": inside(lambda i: tlv(10, contents(i.r)) + integer(i.s)),
    "r as a boolean": inside(lambda i: b"\x01\x01\xff" + integer(i.s)),
    "r as null": inside(lambda i: b"\x05\x00" + integer(i.s)),
    "r as a real number": inside(lambda i: b"\x09\x01\x42" + integer(i.s)),
    "r in a sequence": inside(lambda i: tlv(0x30, integer(i.r)) + integer(i.s)),
    "r with a context tag": inside(lambda i: tlv(0x80, contents(i.r)) + integer(i.s)),
    "r with a tag of two bytes": inside(lambda i: b"\x1f\x02" + integer(i.r)[1:] + integer(i.s)),
    "r without its last byte": inside(lambda i: tlv(2, contents(i.r)[:-1]) + integer(i.s)),
    "s with a byte more": inside(lambda i: integer(i.r) + tlv(2, contents(i.s) + b"\0")),
    "no s": inside(lambda i: integer(i.r)),
    "no r": inside(lambda i: integer(i.s)),
    "a third number": inside(lambda i: i.body + integer(1)),
    "a third number of zero": inside(lambda i: i.body + integer(0)),
    "null after s": inside(lambda i: i.body + b"\x05\x00"),
    "null before r": inside(lambda i: b"\x05\x00" + i.body),
    "zeros inside, after s": inside(lambda i: i.body + b"\0\0"),
    "a byte after it": lambda item: item.der + b"\0",
    "null after it": lambda item: item.der + b"\x05\x00",
    "a byte before it": lambda item: b"\0" + item.der,
    "itself after it": lambda item: item.der + item.der,
    "a set in place of the sequence": lambda item: b"\x31" + item.der[1:],
    "a primitive sequence": lambda item: b"\x10" + item.der[1:],
    "a sequence around it": lambda item: tlv(0x30, item.der),
    "a bit string around it": lambda item: tlv(3, b"\0" + item.der),
    "an octet string around it": lambda item: tlv(4, item.der),
    "the numbers without a sequence": lambda item: item.body,
    "the numbers side by side": lambda item: item.r.to_bytes(item.size) + item.s.to_bytes(item.size),
    "PEM": lambda item: b"-----BEGIN SIGNATURE-----\n" + base64.b64encode(item.der) + b"\n-----END SIGNATURE-----\n",
    "hex": lambda item: item.der.hex().encode()[:139],
    "base64 once more": lambda item: base64.b64encode(item.der)[:139],
    "a hundred and forty bytes": lambda item: item.der.ljust(140, b"\0"),
    # The right form, made otherwise.
    "another key's": foreign,
    "with SHA-1": hashed(hashes.SHA1()),  # noqa: S303
    "with SHA-224": hashed(hashes.SHA224()),
    "with SHA-256 or SHA-224": hashed(hashes.SHA256()),
    "with SHA-384 or SHA-224": hashed(hashes.SHA384()),
    "with SHA-512 or SHA-224": hashed(hashes.SHA512()),
    "with SHA3-256": hashed(hashes.SHA3_256()),
    "over the bare statement": over(STATEMENT),
    "over nothing": over(b""),
    "over another payload type": over(pae(STATEMENT, "application/json")),
    "over the statement and a byte": over(pae(STATEMENT + b"\0")),
}


def refused(curve: str, signature: bytes) -> bool:
    """Tell whether the verifier refuses a bundle that is good but for its signature."""
    value = json.loads(BUNDLES[curve])
    value["dsseEnvelope"]["signatures"][0]["sig"] = base64.b64encode(signature).decode()
    try:
        VERIFIERS[curve].verify_statement(json.dumps(value).encode(), predicate_type=KIND)
    except SignatureError:
        return True
    return False


@pytest.mark.parametrize("curve", CURVES)
def test_no_bent_signature_is_accepted(curve: str) -> None:
    assert not refused(curve, good(curve).der)
    accepted = [case for case, bend in SIGNATURES.items() if not refused(curve, bend(good(curve)))]
    assert accepted == []


def test_the_table_of_signatures_is_whole() -> None:
    assert len(SIGNATURES) == 93


@pytest.mark.parametrize("curve", CURVES)
def test_a_signature_and_its_mirror_hold_as_ecdsa_has_it(curve: str) -> None:
    # SP 800-186 and the peers take both. So nothing may take a signature's bytes for an identity.
    item = good(curve)
    assert not refused(curve, encode_dss_signature(item.r, item.n - item.s))


@pytest.mark.parametrize("curve", CURVES)
def test_every_flipped_bit_and_every_cut_of_a_signature_is_refused(curve: str) -> None:
    der = good(curve).der
    flipped = [bytes([*der[:at], der[at] ^ 1 << bit, *der[at + 1 :]]) for at in range(len(der)) for bit in range(8)]
    cut = [der[:size] for size in range(len(der))]
    assert [signature for signature in (*flipped, *cut) if not refused(curve, signature)] == []


@pytest.mark.parametrize(("made", "trusted"), [(a, b) for a in CURVES for b in CURVES if a != b])
def test_a_key_of_another_curve_is_no_way_around_the_trusted_one(made: str, trusted: str) -> None:
    # The bundle says which key it means, and that says nothing: what is trusted decides type, curve and hash.
    signer = SIGNERS[made]
    value = json.loads(signer.sign_statement(STATEMENT))
    for hint in ({"hint": SIGNERS[trusted].public_key.hint}, {}):
        value["verificationMaterial"]["publicKey"] = hint
        with pytest.raises(SignatureError, match="does not hold under the trusted key"):
            KeyVerifier(SIGNERS[trusted].public_key).verify_statement(json.dumps(value).encode(), predicate_type=KIND)


CLAIMS: dict[str, Callable[[dict[str, dict[str, object]]], object]] = {
    "the details of another key": lambda v: v["verificationMaterial"].update(
        publicKey={"hint": SIGNERS["P-256"].public_key.hint, "keyDetails": "PKIX_ED25519"}
    ),
    "an algorithm beside the payload": lambda v: v["dsseEnvelope"].update(algorithm="none"),
    "an algorithm beside the signatures": lambda v: v["dsseEnvelope"].update(alg="HS256"),
    "an algorithm beside the material": lambda v: v["verificationMaterial"].update(algorithm="none"),
    "an algorithm at the top": lambda v: v.update(algorithm={"name": "none"}),
}


@pytest.mark.parametrize("case", CLAIMS)
def test_a_bundle_that_claims_an_algorithm_is_refused_whatever_it_claims(case: str) -> None:
    value = json.loads(SIGNERS["P-256"].sign_statement(STATEMENT))
    CLAIMS[case](value)
    with pytest.raises(FormatError, match="unknown member"):
        KeyVerifier(SIGNERS["P-256"].public_key).verify_statement(json.dumps(value).encode(), predicate_type=KIND)


def test_a_bundle_that_brings_a_key_of_its_own_is_of_another_key() -> None:
    value = json.loads(SIGNERS["P-256"].sign_statement(STATEMENT))
    value["verificationMaterial"]["publicKey"] = {"rawBytes": "AAAA"}
    with pytest.raises(SignatureError, match="signed with another key"):
        KeyVerifier(SIGNERS["P-256"].public_key).verify_statement(json.dumps(value).encode(), predicate_type=KIND)


# ---- keys ----

EC = bytes.fromhex("06072a8648ce3d0201")
OIDS = {
    "P-256": bytes.fromhex("06082a8648ce3d030107"),
    "P-384": bytes.fromhex("06052b81040022"),
    "P-521": bytes.fromhex("06052b81040023"),
}


def point(curve: str, form: serialization.PublicFormat = serialization.PublicFormat.UncompressedPoint) -> bytes:
    return KEYS[curve].public_key().public_bytes(serialization.Encoding.X962, form)


def spki(algorithm: bytes, key: bytes, unused: int = 0) -> bytes:
    return tlv(0x30, tlv(0x30, algorithm) + tlv(3, bytes([unused]) + key))


def named(curve: str, key: bytes) -> bytes:
    return spki(EC + OIDS[curve], key)


def armour(der: bytes) -> bytes:
    return b"-----BEGIN PUBLIC KEY-----\n" + base64.encodebytes(der) + b"-----END PUBLIC KEY-----\n"


def other(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def off_curve(curve: str) -> bytes:
    raw = point(curve)
    return raw[:-1] + bytes([raw[-1] ^ 1])


def hybrid(curve: str) -> bytes:
    raw = point(curve)
    return bytes([6 + (raw[-1] & 1)]) + raw[1:]


def explicit(curve: str, *, generator: bytes | None = None) -> bytes:
    """The same curve by its parameters; with a generator of one's own, whoever has the public key has a private one."""
    p, n = FIELDS[curve], ORDERS[curve]
    size = (p.bit_length() + 7) // 8
    b = {
        "P-256": "5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B",
        "P-384": "B3312FA7E23EE7E4988E056BE3F82D19181D9C6EFE8141120314088F5013875AC656398D8A2ED19D2A85C8EDD3EC2AEF",
        "P-521": "051953EB9618E1C9A1F929A21A0B68540EEA2DA725B99B315F3B8B489918EF10"
        "9E156193951EC7E937B1652C0BD3BB1BF073573DF883D2C34F1EF451FD46B503F00",
    }[curve]
    base = generator or ec.derive_private_key(1, CURVES[curve]).public_key().public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )
    field = tlv(0x30, bytes.fromhex("06072a8648ce3d0101") + integer(p))
    coefficients = tlv(0x30, tlv(4, (p - 3).to_bytes(size)) + tlv(4, int(b, 16).to_bytes(size)))
    return tlv(0x30, integer(1) + field + coefficients + tlv(4, base) + integer(n) + integer(1))


def edwards(raw: bytes) -> bytes:
    return spki(bytes.fromhex("06032b6570"), raw)


RSA = other(rsa.generate_private_key(65537, 2048).public_key())
EIGHT = bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")

DERS: dict[str, Callable[[str], bytes]] = {
    "the point at infinity": lambda c: named(c, b"\0"),
    "infinity as zeros": lambda c: named(c, bytes(len(point(c)))),
    "the coordinates zero": lambda c: named(c, b"\x04" + bytes(len(point(c)) - 1)),
    "no point": lambda c: named(c, b""),
    "a point off the curve": lambda c: named(c, off_curve(c)),
    "a point with x beyond the field": lambda c: named(c, b"\x04" + b"\xff" * (len(point(c)) - 1)),
    "a point of another curve": lambda c: named(c, point("P-384" if c == "P-256" else "P-256")),
    "another curve's name on the point": lambda c: spki(EC + OIDS["P-384" if c == "P-256" else "P-256"], point(c)),
    "a compressed point": lambda c: named(c, point(c, serialization.PublicFormat.CompressedPoint)),
    "a hybrid point": lambda c: named(c, hybrid(c)),
    "a hybrid point of the wrong sign": lambda c: named(c, bytes([hybrid(c)[0] ^ 1]) + hybrid(c)[1:]),
    "a point without its first byte": lambda c: named(c, point(c)[1:]),
    "a point without its last byte": lambda c: named(c, point(c)[:-1]),
    "a point and a byte": lambda c: named(c, point(c) + b"\0"),
    "a point in an octet string": lambda c: named(c, tlv(4, point(c))),
    "a point with unused bits": lambda c: spki(EC + OIDS[c], point(c), unused=1),
    "the curve by its parameters": lambda c: spki(EC + explicit(c), point(c)),
    "the curve with a generator of one's own": lambda c: spki(EC + explicit(c, generator=point(c)), point(c)),
    "no curve": lambda c: spki(EC, point(c)),
    "a curve that is implied": lambda c: spki(EC + b"\x05\x00", point(c)),
    "the curve twice": lambda c: spki(EC + OIDS[c] * 2, point(c)),
    "null after the curve": lambda c: spki(EC + OIDS[c] + b"\x05\x00", point(c)),
    "a curve that nobody knows": lambda c: spki(EC + bytes.fromhex("06052b810400ff"), point(c)),
    "the algorithm of ECDH": lambda c: spki(bytes.fromhex("06052b8104010c") + OIDS[c], point(c)),
    "the algorithm of ECMQV": lambda c: spki(bytes.fromhex("06052b8104010d") + OIDS[c], point(c)),
    "the algorithm of a signature": lambda c: spki(bytes.fromhex("06082a8648ce3d040302") + OIDS[c], point(c)),
    "the algorithm of RSA": lambda c: spki(bytes.fromhex("06092a864886f70d0101010500"), point(c)),
    "the algorithm of Ed25519": lambda c: spki(bytes.fromhex("06032b6570"), point(c)),
    "the algorithm of X25519": lambda c: spki(bytes.fromhex("06032b656e"), point(c)),
    "the point alone": point,
    "a length in a longer form": lambda c: b"\x30" + longer(tlv(0x30, EC + OIDS[c]) + tlv(3, b"\0" + point(c))),
    "a length that is indefinite": lambda c: b"\x30\x80" + tlv(0x30, EC + OIDS[c]) + tlv(3, b"\0" + point(c)) + b"\0\0",
    "a byte after it": lambda c: named(c, point(c)) + b"\0",
    "a byte less": lambda c: named(c, point(c))[:-1],
    "a member after the key": lambda c: tlv(0x30, tlv(0x30, EC + OIDS[c]) + tlv(3, b"\0" + point(c)) + b"\x05\x00"),
    "a set in place of the sequence": lambda c: b"\x31" + named(c, point(c))[1:],
    "itself twice": lambda c: named(c, point(c)) * 2,
    "nothing": lambda _: b"",
    "its private key": lambda c: KEYS[c].private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ),
    "secp224r1": lambda _: other(ec.generate_private_key(ec.SECP224R1()).public_key()),
    "secp256k1": lambda _: other(ec.generate_private_key(ec.SECP256K1()).public_key()),
    "brainpoolP256r1": lambda _: other(ec.generate_private_key(ec.BrainpoolP256R1()).public_key()),
    "brainpoolP384r1": lambda _: other(ec.generate_private_key(ec.BrainpoolP384R1()).public_key()),
    "sect283k1, which is binary": lambda _: spki(EC + bytes.fromhex("06052b81040010"), bytes(73)),
    "RSA": lambda _: RSA,
    "Ed25519": lambda _: other(ed25519.Ed25519PrivateKey.generate().public_key()),
    "Ed448": lambda _: other(ed448.Ed448PrivateKey.generate().public_key()),
    "X25519": lambda _: other(x25519.X25519PrivateKey.generate().public_key()),
    # Under these one constant signature verifies every message. Canonical and other encodings of the orders 1, 2, 4, 8.
    "Ed25519 of order one": lambda _: edwards(b"\x01" + bytes(31)),
    "Ed25519 of order one, signed": lambda _: edwards(b"\x01" + bytes(30) + b"\x80"),
    "Ed25519 of order two": lambda _: edwards(b"\xec" + b"\xff" * 30 + b"\x7f"),
    "Ed25519 of order four": lambda _: edwards(bytes(32)),
    "Ed25519 of order four, signed": lambda _: edwards(bytes(31) + b"\x80"),
    "Ed25519 of order eight": lambda _: edwards(EIGHT),
    "Ed25519 of order eight, signed": lambda _: edwards(EIGHT[:31] + bytes([EIGHT[31] | 0x80])),
    "Ed25519 of order one beyond the field": lambda _: edwards(b"\xee" + b"\xff" * 30 + b"\x7f"),
    "Ed25519 of order four beyond the field": lambda _: edwards(b"\xed" + b"\xff" * 30 + b"\x7f"),
}


@pytest.mark.parametrize("curve", CURVES)
def test_no_bent_key_is_taken(curve: str) -> None:
    assert PublicKey.from_pem(armour(named(curve, point(curve))), what="key").pem == SIGNERS[curve].public_key.pem
    taken = []
    for case, bend in DERS.items():
        try:
            PublicKey.from_pem(armour(bend(curve)), what="key")
        except KeyFileError:
            continue
        taken.append(case)
    assert taken == []


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("case", ["the curve by its parameters", "the curve with a generator of one's own"])
def test_a_curve_by_its_parameters_is_a_key_to_others(curve: str, case: str) -> None:
    # So that those rows are refused for what they are: CVE-2020-0601 was a verifier that took them.
    arguments = ["openssl", "pkey", "-pubin", "-inform", "DER", "-noout", "-text"]
    read = subprocess.run(arguments, input=DERS[case](curve), capture_output=True, check=False)
    assert b"Field Type: prime-field" in read.stdout


def test_the_table_of_keys_is_whole() -> None:
    assert len(DERS) == 57


PEMS: dict[str, Callable[[bytes], bytes]] = {
    "a label of RSA": lambda pem: pem.replace(b"PUBLIC KEY", b"RSA PUBLIC KEY"),
    "a label of EC": lambda pem: pem.replace(b"PUBLIC KEY", b"EC PUBLIC KEY"),
    "a label of a certificate": lambda pem: pem.replace(b"PUBLIC KEY", b"CERTIFICATE"),
    "a label in small letters": lambda pem: pem.replace(b"PUBLIC KEY", b"public key"),
    "an end of another label": lambda pem: pem.replace(b"END PUBLIC", b"END PRIVATE"),
    "no end": lambda pem: pem.partition(b"-----END")[0],
    "no begin": lambda pem: pem.partition(b"-----\n")[2],
    "a short dash": lambda pem: pem.replace(b"-----BEGIN", b"----BEGIN"),
    "two keys": lambda pem: pem + pem,
    "a key behind another": lambda pem: pem + SIGNERS["P-384"].public_key.pem,
    "a key inside another": lambda pem: pem[:40] + SIGNERS["P-384"].public_key.pem + pem[40:],
    "a certificate behind it": lambda pem: pem + b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    "headers": lambda pem: pem.replace(b"-----\n", b"-----\nProc-Type: 4,ENCRYPTED\n\n", 1),
    "a comment inside": lambda pem: pem.replace(b"-----\n", b"-----\n# mine\n", 1),
    "text before it": lambda pem: b"ssh-rsa AAAA\n" + pem,
    "text after it": lambda pem: pem + b"x",
    "a byte order mark": lambda pem: b"\xef\xbb\xbf" + pem,
    "UTF-16": lambda pem: pem.decode().encode("utf-16-le"),
    "a zero byte": lambda pem: pem.replace(b"\n", b"\0\n", 1),
    "a zero byte inside": lambda pem: pem[:60] + b"\0" + pem[60:],
    "spaces inside": lambda pem: pem[:60] + b" " + pem[60:],
    "tabs inside": lambda pem: pem[:60] + b"\t" + pem[60:],
    "a line end of an old Macintosh": lambda pem: pem.replace(b"\n", b"\r"),
    "base64 for URLs": lambda pem: pem.replace(pem[40:41], b"_"),
    "base64 with padding inside": lambda pem: pem[:60] + b"==" + pem[62:],
    "base64 without its last character": lambda pem: (
        pem.replace(b"\n-----END", b"")[:-20] + b"\n-----END PUBLIC KEY-----\n"
    ),
    "base64 of base64": lambda pem: armour(base64.b64encode(b"".join(pem.split(b"\n")[1:-2]))),
    "hex": lambda pem: (
        b"-----BEGIN PUBLIC KEY-----\n"
        + base64.b64decode(b"".join(pem.split(b"\n")[1:-2])).hex().encode()
        + b"\n-----END PUBLIC KEY-----\n"
    ),
    "DER": lambda pem: base64.b64decode(b"".join(pem.split(b"\n")[1:-2])),
    "OpenSSH": lambda _: (
        KEYS["P-256"].public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    ),
    "JWK": lambda _: b'{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}',
}


def test_no_bent_pem_is_taken() -> None:
    pem = SIGNERS["P-256"].public_key.pem
    taken = []
    for case, bend in PEMS.items():
        assert bend(pem) != pem, case
        try:
            PublicKey.from_pem(bend(pem), what="key")
        except KeyFileError:
            continue
        taken.append(case)
    assert taken == []


def test_the_table_of_pem_is_whole() -> None:
    assert len(PEMS) == 31


def flips(data: bytes) -> Iterator[bytes]:
    for at in range(len(data)):
        for bit in range(8):
            yield bytes([*data[:at], data[at] ^ 1 << bit, *data[at + 1 :]])


def test_every_flipped_bit_of_a_key_is_refused() -> None:
    # On a curve, a flipped coordinate is another point in about one of many; none of these verifies the signature.
    key = SIGNERS["P-256"].public_key
    der = base64.b64decode(b"".join(key.pem.split(b"\n")[1:-2]))
    signature = good("P-256").der
    for damaged in flips(der):
        try:
            found = PublicKey.from_pem(armour(damaged), what="key")
        except KeyFileError:
            continue
        with pytest.raises(SignatureError):
            found.verify(pae(STATEMENT), signature, what="x")
