import base64
import hashlib
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from mbom.errors import KeyFileError, SignatureError
from mbom.signing import PublicKey
from mbom.signing.keys import KEY_FILE_LIMIT, sign, sign_sha256

KEY = ec.generate_private_key(ec.SECP256R1())
PUBLIC = PublicKey(KEY.public_key())
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of P-256, FIPS 186-5


def pem(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def private_pem(key: PrivateKeyTypes) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def ed25519_pem(raw: bytes) -> bytes:
    der = bytes.fromhex("302a300506032b6570032100") + raw
    return b"-----BEGIN PUBLIC KEY-----\n" + base64.b64encode(der) + b"\n-----END PUBLIC KEY-----\n"


def armour(der: bytes) -> bytes:
    return b"-----BEGIN PUBLIC KEY-----\n" + base64.b64encode(der) + b"\n-----END PUBLIC KEY-----\n"


def off_curve() -> bytes:
    der = bytearray(
        KEY.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    der[-1] ^= 1
    return armour(bytes(der))


def test_a_public_key_in_pem_is_read_back_as_the_same_key() -> None:
    assert PublicKey.from_pem(PUBLIC.pem, what="release.pub").pem == PUBLIC.pem


def test_line_ends_of_windows_do_not_matter() -> None:
    assert PublicKey.from_pem(PUBLIC.pem.replace(b"\n", b"\r\n"), what="release.pub").fingerprint == PUBLIC.fingerprint


def test_the_fingerprint_is_that_of_the_der_key_according_to_openssl(tmp_path: Path) -> None:
    (tmp_path / "key.pub").write_bytes(PUBLIC.pem)
    der = subprocess.run(
        ["openssl", "pkey", "-pubin", "-in", tmp_path / "key.pub", "-outform", "DER"], capture_output=True, check=True
    ).stdout
    expected = base64.b64encode(hashlib.sha256(der).digest()).decode().rstrip("=")
    assert f"SHA256:{expected}" == PUBLIC.fingerprint
    assert len(PUBLIC.fingerprint) == len("SHA256:") + 43


def test_the_hint_is_the_digest_of_the_pem_with_its_final_newline() -> None:
    assert PUBLIC.pem.endswith(b"-----END PUBLIC KEY-----\n")
    assert hashlib.sha256(PUBLIC.pem).hexdigest() == PUBLIC.hint


REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "an empty file": (lambda: b"", "is not PEM"),
    "text": (lambda: b"ssh-ed25519 AAAA", "is not PEM"),
    "a private key": (lambda: private_pem(KEY), "holds a private key"),
    "a private key behind the public one": (lambda: PUBLIC.pem + private_pem(KEY), "holds a private key"),
    "two public keys": (lambda: PUBLIC.pem * 2, "holds 2 PEM blocks"),
    "a certificate's label": (lambda: PUBLIC.pem.replace(b"PUBLIC KEY", b"CERTIFICATE"), "block 'CERTIFICATE'"),
    "text before the key": (lambda: b"trust me\n" + PUBLIC.pem, "has text around its key"),
    "text after the key": (lambda: PUBLIC.pem + b"trust me\n", "has text around its key"),
    "a byte order mark": (lambda: b"\xef\xbb\xbf" + PUBLIC.pem, "has text around its key"),
    "UTF-16": (lambda: PUBLIC.pem.decode().encode("utf-16"), "is not PEM"),
    "a truncated file": (lambda: PUBLIC.pem[:60], "is damaged"),
    "a truncated key": (lambda: armour(b"\x30\x59"), "malformed"),
    "bytes after the DER": (lambda: armour(base64.b64decode(PUBLIC.pem.split(b"-----")[2]) + b"\0"), "malformed"),
    "padding inside the base64": (lambda: PUBLIC.pem.replace(b"MFkw", b"MF=w"), "malformed"),
    "a point that is not on its curve": (off_curve, "malformed"),
    "a key of Ed25519": (lambda: pem(ed25519.Ed25519PrivateKey.generate().public_key()), "the key is Ed25519"),
    "the identity point of Ed25519": (lambda: ed25519_pem(b"\x01" + bytes(31)), "the key is Ed25519"),
    "a point of order four of Ed25519": (lambda: ed25519_pem(bytes(32)), "the key is Ed25519"),
    "a key of RSA": (lambda: pem(rsa.generate_private_key(65537, 2048).public_key()), "the key is RSA"),
    "a key of DSA": (lambda: pem(dsa_key().public_key()), "the key is DSA"),
    "the curve secp256k1": (lambda: pem(ec.generate_private_key(ec.SECP256K1()).public_key()), "secp256k1"),
    "the curve P-224": (lambda: pem(ec.generate_private_key(ec.SECP224R1()).public_key()), "secp224r1"),
    "a huge file": (lambda: PUBLIC.pem + b"\n" * KEY_FILE_LIMIT, "larger than 16384 bytes"),
}


def dsa_key() -> dsa.DSAPrivateKey:
    """A DSA key over the 1,024-bit group of RFC 5114; finding primes of one's own takes seconds."""
    p = int(
        "B10B8F96A080E01DDE92DE5EAE5D54EC52C99FBCFB06A3C69A6A9DCA52D23B616073E28675A23D189838EF1E2EE652C0"
        "13ECB4AEA906112324975C3CD49B83BFACCBDD7D90C4BD7098488E9C219A73724EFFD6FAE5644738FAA31A4FF55BCCC0"
        "A151AF5F0DC8B4BD45BF37DF365C1A65E68CFDA76D4DA708DF1FB2BC2E4A4371",
        16,
    )
    g = int(
        "A4D1CBD5C3FD34126765A442EFB99905F8104DD258AC507FD6406CFF14266D31266FEA1E5C41564B777E690F5504F213"
        "160217B4B01B886A5E91547F9E2749F4D7FBD7D3B9A92EE1909D0D2263F80A76A6A24C087A091F531DBF0A0169B6A28A"
        "D662A4D18E73AFA32D779D5918D08BC8858F4DCEF97C2A24855E6EEB22B3B2E5",
        16,
    )
    q = int("F518AA8781A8DF278ABA4E7D64B7CB9D49462353", 16)
    numbers = dsa.DSAPublicNumbers(pow(g, 7, p), dsa.DSAParameterNumbers(p, q, g))
    return dsa.DSAPrivateNumbers(7, numbers).private_key()


@pytest.mark.parametrize("case", REFUSED)
def test_whatever_is_not_one_public_key_of_ours_is_refused(case: str) -> None:
    data, said = REFUSED[case]
    with pytest.raises(KeyFileError, match=said) as caught:
        PublicKey.from_pem(data(), what="release.pub")
    assert str(caught.value).startswith("release.pub: ")


def test_a_constant_signature_verifies_any_message_under_a_small_order_ed25519_key() -> None:
    # Why that algorithm is not taken: the library loads the identity point and believes it.
    key = serialization.load_pem_public_key(ed25519_pem(b"\x01" + bytes(31)))
    assert isinstance(key, ed25519.Ed25519PublicKey)
    constant = b"\x01" + bytes(63)
    key.verify(constant, b"one message")
    key.verify(constant, b"another")


def test_a_private_key_in_the_wrong_place_is_not_quoted() -> None:
    secret = private_pem(KEY)
    with pytest.raises(KeyFileError) as caught:
        PublicKey.from_pem(secret, what="release.pub")
    assert secret.split(b"\n")[1].decode() not in str(caught.value)


@pytest.mark.parametrize(
    ("curve", "digest"),
    [(ec.SECP256R1(), "sha256"), (ec.SECP384R1(), "sha384"), (ec.SECP521R1(), "sha512")],
    ids=lambda value: getattr(value, "name", value),
)
def test_openssl_verifies_a_signature_with_the_hash_of_the_curve(
    curve: ec.EllipticCurve, digest: str, tmp_path: Path
) -> None:
    key = ec.generate_private_key(curve)
    (tmp_path / "key.pub").write_bytes(PublicKey(key.public_key()).pem)
    (tmp_path / "sig").write_bytes(sign(key, b"data"))
    check: list[str | Path] = [
        "openssl",
        "dgst",
        f"-{digest}",
        "-verify",
        tmp_path / "key.pub",
        "-signature",
        tmp_path / "sig",
    ]
    assert subprocess.run(check, input=b"data", capture_output=True, check=False).stdout == b"Verified OK\n"
    assert subprocess.run(check, input=b"date", capture_output=True, check=False).returncode == 1


def test_a_signature_over_other_data_is_refused_with_the_name_of_the_trusted_key() -> None:
    with pytest.raises(SignatureError, match="does not hold under the trusted key") as caught:
        PUBLIC.verify(b"date", sign(KEY, b"data"), what="x.json")
    assert str(caught.value).startswith("x.json: ")
    assert PUBLIC.fingerprint in str(caught.value)


def test_a_signature_over_a_digest_is_not_one_over_the_digest_as_data() -> None:
    digest = hashlib.sha256(b"data").digest()
    PUBLIC.verify_sha256(digest, sign_sha256(KEY, digest), what="x")
    with pytest.raises(SignatureError):
        PUBLIC.verify(digest, sign_sha256(KEY, digest), what="x")


def long_length(signature: bytes) -> bytes:
    """The same integers, the outer length in the long form that BER allows and DER does not."""
    return b"\x30\x81" + signature[1:]


def ones(_: bytes) -> bytes:
    return encode_dss_signature(1, 1)


NOT_SIGNATURES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda _: b"", "not an ECDSA signature in DER"),
    "truncated": (lambda good: good[:-1], "not an ECDSA signature in DER"),
    "with a byte after it": (lambda good: good + b"\0", "not an ECDSA signature in DER"),
    "in BER": (long_length, "not an ECDSA signature in DER"),
    "r and s side by side": (lambda _: bytes(range(64)), "not an ECDSA signature in DER"),
    "huge": (lambda _: b"\x30\x83\x0f\xff\xff" + bytes(1 << 20), "the limit is 139"),
    "zeros": (lambda _: encode_dss_signature(0, 0), "does not hold"),
    "ones": (ones, "does not hold"),
    "r of the order": (lambda good: encode_dss_signature(ORDER, decode_dss_signature(good)[1]), "does not hold"),
    "s beyond the order": (
        lambda good: encode_dss_signature(decode_dss_signature(good)[0], decode_dss_signature(good)[1] + ORDER),
        "does not hold",
    ),
    "r and s exchanged": (lambda good: encode_dss_signature(*decode_dss_signature(good)[::-1]), "does not hold"),
}


@pytest.mark.parametrize("case", NOT_SIGNATURES)
def test_what_is_no_signature_in_der_is_refused(case: str) -> None:
    change, said = NOT_SIGNATURES[case]
    with pytest.raises(SignatureError, match=said):
        PUBLIC.verify(b"data", change(sign(KEY, b"data")), what="x")


def test_the_mirror_of_a_signature_holds_too_as_ecdsa_has_it() -> None:
    # Peers accept both, so refusing one would refuse half of their signatures.
    r, s = decode_dss_signature(sign(KEY, b"data"))
    mirror = encode_dss_signature(r, ORDER - s)
    PUBLIC.verify(b"data", mirror, what="x")
    KEY.public_key().verify(mirror, b"data", ec.ECDSA(hashes.SHA256()))
