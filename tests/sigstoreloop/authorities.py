"""The keys and certificates of an instance: Fulcio's, those of the certificate log and of the timestamp authority."""

import base64
import hashlib
import struct
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from asn1crypto import core
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Key = ec.EllipticCurvePrivateKey

FULCIO = "1.3.6.1.4.1.57264.1."
SCT_LIST = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
FIRST_DER = 8  # Fulcio's extensions from this arc on hold a DER UTF8String, those before bare text


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def now() -> datetime:
    return datetime.now(UTC)


def new_key() -> Key:
    return ec.generate_private_key(ec.SECP256R1())


def sign(key: Key, data: bytes) -> bytes:
    return key.sign(data, ec.ECDSA(hashes.SHA256()))


def spki(key: Key) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def key_id(key: Key) -> bytes:
    return hashlib.sha256(spki(key)).digest()


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


def pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def usage(*, signature: bool, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def root(name: str) -> tuple[Key, x509.Certificate]:
    """Make a self-signed authority."""
    key = new_key()
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "mbom-test"),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now() - timedelta(days=1))
        .not_valid_after(now() + timedelta(days=3650))
        .add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
        .add_extension(usage(signature=False, authority=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return key, certificate


def timestamping(authority: Key, issuer: x509.Certificate) -> tuple[Key, x509.Certificate]:
    """Make the certificate of a timestamp authority below ``issuer``."""
    key = new_key()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tsa")]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now() - timedelta(days=1))
        .not_valid_after(now() + timedelta(days=3000))
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), critical=True)
        .add_extension(usage(signature=True, authority=False), critical=True)
        .sign(authority, hashes.SHA256())
    )
    return key, certificate


def unsigned_leaf(
    *,
    public: ec.EllipticCurvePublicKey,
    authority: Key,
    issuer: x509.Certificate,
    names: Sequence[x509.GeneralName],
    claims: Mapping[int, str],
    purpose: x509.ObjectIdentifier,
) -> x509.CertificateBuilder:
    """Return a signing certificate as Fulcio makes it, for ten minutes, before the certificate log has seen it."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(issuer.subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now() - timedelta(seconds=5))
        .not_valid_after(now() + timedelta(minutes=10))
        .add_extension(usage(signature=True, authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=True)
    )
    for arc, text in claims.items():
        value = core.UTF8String(text).dump() if arc >= FIRST_DER else text.encode()
        extension = x509.UnrecognizedExtension(x509.ObjectIdentifier(f"{FULCIO}{arc}"), value)
        builder = builder.add_extension(extension, critical=False)
    return builder


def logged_leaf(builder: x509.CertificateBuilder, authority: Key, log: Key) -> x509.Certificate:
    """Sign a certificate with the timestamp of the certificate log inside (RFC 6962, sections 3.2 and 3.3)."""
    precertificate = builder.sign(authority, hashes.SHA256()).tbs_certificate_bytes
    milliseconds = int(now().timestamp() * 1000)
    entry = key_id(authority) + len(precertificate).to_bytes(3, "big") + precertificate
    signature = sign(log, struct.pack("!BBQH", 0, 0, milliseconds, 1) + entry + b"\0\0")
    timestamp = struct.pack("!B32sQH", 0, key_id(log), milliseconds, 0)
    timestamp += struct.pack("!BBH", 4, 3, len(signature)) + signature
    listed = struct.pack("!HH", len(timestamp) + 2, len(timestamp)) + timestamp
    extension = x509.UnrecognizedExtension(SCT_LIST, core.OctetString(listed).dump())
    return builder.add_extension(extension, critical=False).sign(authority, hashes.SHA256())
