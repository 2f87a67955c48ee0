"""The public half of a signing key: what a verifier trusts, how it is named, and the one way it checks a signature.

ECDSA over P-256, P-384 and P-521 is what OpenSSF Model Signing and Sigstore's registry of algorithms have in common.
Ed25519 is left out: ``cryptography`` loads small-order Ed25519 keys, under which one constant signature verifies any
message, and the reference tool for ``model.sig`` does not take such keys.
"""

import base64
import hashlib
import re
from typing import Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature

from mbom.digest import sha256
from mbom.errors import KeyFileError, SignatureError

SIGNATURE_LIMIT = 139  # bytes: the DER form of two 521-bit integers
KEY_FILE_LIMIT = 16 << 10  # bytes; an encrypted P-521 key in PEM has about 500

# Curve as X9.62 spells it -> (its NIST name, the hash that Sigstore's registry of algorithms pairs with it).
_CURVES: dict[str, tuple[str, hashes.HashAlgorithm]] = {
    "secp256r1": ("P-256", hashes.SHA256()),
    "secp384r1": ("P-384", hashes.SHA384()),
    "secp521r1": ("P-521", hashes.SHA512()),
}
# What ``keygen`` makes, by its NIST name.
CURVES: dict[str, ec.EllipticCurve] = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}
_PREHASHED = Prehashed(hashes.SHA256())

_LABEL = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----")
_PUBLIC_PEM = re.compile(
    rb"\s*-----BEGIN PUBLIC KEY-----\r?\n([A-Za-z0-9+/=\r\n]+)-----END PUBLIC KEY-----\s*",
)


class PublicKey:
    """An ECDSA public key. Its type and curve decide how signatures are checked; a bundle has no say in that."""

    def __init__(self, key: ec.EllipticCurvePublicKey) -> None:
        self._key = key
        self._curve, self._hash = _CURVES[key.curve.name]

    @classmethod
    def from_pem(cls, data: bytes, *, what: str) -> Self:
        """Read exactly one SubjectPublicKeyInfo in PEM (RFC 7468, ``PUBLIC KEY``), and nothing else.

        Args:
            data: the bytes of the file.
            what: how error messages name the file.

        Raises:
            KeyFileError: for anything else: a private key, a certificate, two keys, another algorithm or curve.
        """
        if len(data) > KEY_FILE_LIMIT:
            raise KeyFileError(f"{what}: larger than {KEY_FILE_LIMIT} bytes, which no public key is")
        match = _PUBLIC_PEM.fullmatch(data)
        if match is None:
            raise KeyFileError(f"{what}: {_what_it_is(data)}, where one PEM public key belongs")
        try:
            der = base64.b64decode(b"".join(match[1].split()), validate=True)
            key = serialization.load_der_public_key(der)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise KeyFileError(f"{what}: the public key in it is malformed or of an unknown kind") from error
        public = cls(supported(key, what=what))
        # One key has one spelling. Explicit curve parameters, compressed points and BER are others, and hide attacks.
        if public._der != der:
            raise KeyFileError(f"{what}: the public key is not in DER with a named curve and an uncompressed point")
        return public

    @property
    def curve(self) -> str:
        """The curve's NIST name: ``P-256``, ``P-384`` or ``P-521``."""
        return self._curve

    @property
    def algorithm(self) -> str:
        """The algorithm for people, such as ``ECDSA P-256``."""
        return f"ECDSA {self._curve}"

    @property
    def pem(self) -> bytes:
        """The key as SubjectPublicKeyInfo in PEM, with a final newline."""
        return self._key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    @property
    def fingerprint(self) -> str:
        """``SHA256:`` and the unpadded base64 of the SHA-256 of the DER SubjectPublicKeyInfo, in the manner of ssh."""
        return "SHA256:" + base64.b64encode(hashlib.sha256(self._der).digest()).decode().rstrip("=")

    @property
    def _der(self) -> bytes:
        return self._key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)

    @property
    def hint(self) -> str:
        """What bundles carry to name the key: the SHA-256 of ``pem`` in hex, as OpenSSF Model Signing defines it."""
        return sha256(self.pem)

    def digest(self, data: bytes) -> bytes:
        """Return the digest of ``data`` that ``verify`` takes the signature to be over."""
        return hashlib.new(self._hash.name, data).digest()

    def verify(self, data: bytes, signature: bytes, *, what: str) -> None:
        """Check an ECDSA signature in DER over ``data``, with the hash that belongs to the curve.

        A signature and its mirror (r, n - s) both hold, as ECDSA has it; nothing may take signature bytes for an
        identity.

        Raises:
            SignatureError: when it does not hold or is not DER.
        """
        self._verify(data, signature, ec.ECDSA(self._hash), what)

    def verify_sha256(self, digest: bytes, signature: bytes, *, what: str) -> None:
        """Check an ECDSA signature in DER over data whose SHA-256 is ``digest`` (32 raw bytes), whatever the curve.

        Raises:
            SignatureError: when it does not hold or is not DER.
        """
        self._verify(digest, signature, ec.ECDSA(_PREHASHED), what)

    def _verify(self, data: bytes, signature: bytes, scheme: ec.ECDSA, what: str) -> None:
        if len(signature) > SIGNATURE_LIMIT:
            raise SignatureError(f"{what}: a signature of {len(signature)} bytes, the limit is {SIGNATURE_LIMIT}")
        try:
            decode_dss_signature(signature)
        except ValueError as error:
            raise SignatureError(f"{what}: the signature is not an ECDSA signature in DER") from error
        try:
            self._key.verify(signature, data, scheme)
        except InvalidSignature as error:
            raise SignatureError(
                f"{what}: the signature does not hold under the trusted key ({self.algorithm}, {self.fingerprint})"
            ) from error


def supported(key: object, *, what: str) -> ec.EllipticCurvePublicKey:
    """Return the public key ``key`` when it is ECDSA on a supported curve.

    Raises:
        KeyFileError: for every other algorithm and curve.
    """
    if not isinstance(key, ec.EllipticCurvePublicKey):
        kind = type(key).__name__.removesuffix("PublicKey")
        raise KeyFileError(f"{what}: the key is {kind}; mbom takes ECDSA on P-256, P-384 or P-521")
    if key.curve.name not in _CURVES:
        raise KeyFileError(f"{what}: the curve is {key.curve.name}; mbom takes P-256, P-384 and P-521")
    return key


def sign(key: ec.EllipticCurvePrivateKey, data: bytes) -> bytes:
    """Return the ECDSA signature in DER over ``data``, with the hash that belongs to the curve of ``key``."""
    return key.sign(data, ec.ECDSA(_CURVES[key.curve.name][1]))


def sign_sha256(key: ec.EllipticCurvePrivateKey, digest: bytes) -> bytes:
    """Return the ECDSA signature in DER over data whose SHA-256 is ``digest`` (32 raw bytes)."""
    return key.sign(digest, ec.ECDSA(_PREHASHED))


def _what_it_is(data: bytes) -> str:
    """Name the content of a file that is not one public key, by its PEM labels and never by its content."""
    labels = [label.decode() for label in _LABEL.findall(data)]
    if any(label.endswith("PRIVATE KEY") for label in labels):
        return "holds a private key, which stays with the signer"
    if len(labels) > 1:
        return f"holds {len(labels)} PEM blocks"
    if labels and labels != ["PUBLIC KEY"]:
        return f"holds a PEM block {labels[0]!r}"
    return "is damaged or has text around its key" if labels else "is not PEM"
