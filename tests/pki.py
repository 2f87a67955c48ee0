"""Certificates for tests, made with ``cryptography``, and bundles signed under them as peers write them."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mbom.signing import keys
from mbom.signing.dsse import encode, seal
from mbom.signing.sigstorebundle import MEDIA_TYPE

SIGNER = "release@example.com"

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
Extensions = Sequence[tuple[x509.ExtensionType, bool]]  # with whether each is critical

_USES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


def usage(*allowed: str) -> tuple[x509.KeyUsage, bool]:
    return x509.KeyUsage(**{use: use in allowed for use in _USES}), True


def purposes(*allowed: x509.ObjectIdentifier) -> tuple[x509.ExtendedKeyUsage, bool]:
    return x509.ExtendedKeyUsage(allowed), False


def constraints(*, ca: bool, length: int | None = None) -> tuple[x509.BasicConstraints, bool]:
    return x509.BasicConstraints(ca=ca, path_length=length), True


def alternative(*names: x509.GeneralName) -> tuple[x509.SubjectAlternativeName, bool]:
    return x509.SubjectAlternativeName(names), False


CODE_SIGNING = purposes(ExtendedKeyUsageOID.CODE_SIGNING)
AUTHORITY: Extensions = (constraints(ca=True), usage("key_cert_sign"))
SIGNING: Extensions = (usage("digital_signature"), CODE_SIGNING, alternative(x509.RFC822Name(SIGNER)))


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Somebody with a key and a certificate; the root is its own issuer."""

    certificate: x509.Certificate
    key: PrivateKey
    above: "tuple[Holder, ...]" = field(default=())

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    @property
    def chain(self) -> list[x509.Certificate]:
        """The holder's certificate and those above it but the root, as a signer sends them."""
        return [item.certificate for item in (self, *self.above) if item.above] or [self.certificate]

    def write(self, folder: Path) -> None:
        """Write ``key.pem``, ``leaf.pem``, ``between.pem`` and ``root.pem``."""
        (folder / "key.pem").write_bytes(self.key_pem)
        (folder / "leaf.pem").write_bytes(self.pem)
        (folder / "between.pem").write_bytes(b"".join(item.pem for item in self.above if item.above))
        (folder / "root.pem").write_bytes(self.above[-1].pem if self.above else self.pem)


def issue(
    name: str,
    *,
    under: Holder | None = None,
    extensions: Extensions = AUTHORITY,
    key: PrivateKey | None = None,
    days: tuple[float, float] = (-30, 30),
    start: datetime | None = None,
    serial: int | None = None,
    issuer_key: PrivateKey | None = None,
    subject: x509.Name | None = None,
) -> Holder:
    """Issue a certificate, valid between ``days`` from ``start`` or this moment; a root where nobody is above.

    Given keys, a start and a serial number, it is the same in every run.
    """
    key = key or ec.generate_private_key(ec.SECP256R1())
    called = subject if subject is not None else x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    start = start or datetime.now(UTC).replace(microsecond=0)
    signing_key = issuer_key or (under.key if under else key)
    builder = (
        x509.CertificateBuilder()
        .subject_name(called)
        .issuer_name(under.certificate.subject if under else called)
        .public_key(key.public_key())
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(start + timedelta(days=days[0]))
        .not_valid_after(start + timedelta(days=days[1]))
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    repeatable = True if isinstance(signing_key, ec.EllipticCurvePrivateKey) else None
    certificate = builder.sign(signing_key, hashes.SHA256(), ecdsa_deterministic=repeatable)
    return Holder(certificate=certificate, key=key, above=(under, *under.above) if under else ())


def fixed_chain(*names: str, start: datetime) -> Holder:
    """Return a signer with the last of ``names``, under the others; every certificate is the same in every run."""
    holder = None
    for number, name in enumerate(names, 1):
        key = ec.derive_private_key(number, ec.SECP256R1())
        extensions = SIGNING if number == len(names) else AUTHORITY
        holder = issue(name, under=holder, extensions=extensions, key=key, start=start, serial=1000 + number)
    assert holder is not None
    return holder


def repeatably(key: ec.EllipticCurvePrivateKey, data: bytes) -> bytes:
    """Sign with a key on P-256 so that the signature is the same in every run (RFC 6979)."""
    return key.sign(data, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))


def signed_under(
    statement: bytes,
    holder: Holder,
    *,
    chain: Sequence[x509.Certificate] | None = None,
    sign: Callable[[ec.EllipticCurvePrivateKey, bytes], bytes] = keys.sign,
) -> bytes:
    """Return the bundle over a statement that ``holder`` signs, with ``chain`` in place of the holder's own."""
    assert isinstance(holder.key, ec.EllipticCurvePrivateKey)
    signing_key = holder.key
    envelope = seal(statement, lambda data: sign(signing_key, data))
    return chain_bundle({"dsseEnvelope": envelope.to_dict()}, chain if chain is not None else holder.chain)


def digest_under(sha256: str, holder: Holder) -> bytes:
    """Return the bundle over a file's digest that ``holder`` signs."""
    assert isinstance(holder.key, ec.EllipticCurvePrivateKey)
    digest = bytes.fromhex(sha256)
    message = {
        "messageDigest": {"algorithm": "SHA2_256", "digest": encode(digest)},
        "signature": encode(keys.sign_sha256(holder.key, digest)),
    }
    return chain_bundle({"messageSignature": message}, holder.chain)


def chain_bundle(content: dict[str, object], chain: Sequence[x509.Certificate]) -> bytes:
    certificates = [{"rawBytes": encode(item.public_bytes(serialization.Encoding.DER))} for item in chain]
    material = {"x509CertificateChain": {"certificates": certificates}, "tlogEntries": []}
    return json.dumps({"mediaType": MEDIA_TYPE, "verificationMaterial": material, **content}).encode()
