"""Timestamp authorities (RFC 3161) on loopback: an honest one and, field by field, every dishonest one.

Certificates are made with ``cryptography``, responses with ``asn1crypto``; neither is what mbom reads them with.
``openssl ts`` is a second authority, which shares no code with the first.

    authority = Authority.make()
    with TimestampServer(authority.respond) as server:
        TimestampClient(server.url).stamp(signature)
"""

import hashlib
import secrets
import subprocess
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from asn1crypto import cms, core, tsp
from asn1crypto import x509 as asn1
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

BEGIN = datetime(2020, 1, 1, tzinfo=UTC)
END = datetime(2040, 1, 1, tzinfo=UTC)
POLICY = "1.3.6.1.4.1.57264.2"
TIME = datetime(2026, 11, 2, 8, 31, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Issued:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        """The certificate in PEM."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The key in PEM, not encrypted."""
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )


def issue(
    name: str,
    issuer: Issued | None = None,
    *,
    ca: bool = True,
    begin: datetime = BEGIN,
    end: datetime = END,
    extensions: list[tuple[x509.ExtensionType, bool]] | None = None,
    serial: int | None = None,
) -> Issued:
    """Make a certificate, signed by ``issuer`` or by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    for extension, critical in extensions or []:
        builder = builder.add_extension(extension, critical=critical)
    return Issued(certificate=builder.sign(issuer.key if issuer else key, hashes.SHA256()), key=key)


def usage(*, sign: bool) -> x509.KeyUsage:
    """Return a key usage that holds digital signatures alone, or key encipherment alone."""
    return x509.KeyUsage(
        digital_signature=sign,
        key_encipherment=not sign,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


STAMPING = (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), True)


def tokenless(**status: object) -> bytes:
    """Return a response with nothing but a status, which is what a refusal is."""
    content = bytes(tsp.PKIStatusInfo(status).dump())
    assert len(content) < 128
    return bytes([0x30, len(content)]) + content


@dataclass(kw_only=True)
class Authority:
    """Answers timestamp requests.

    ``info`` replaces members of what is signed, ``signed`` changes the signed data, ``status`` replaces the status.
    """

    root: Issued
    own: Issued
    between: list[Issued] = field(default_factory=list)
    time: datetime = TIME
    info: dict[str, object] = field(default_factory=dict)
    signed: Callable[[cms.SignedData], object] | None = None
    status: Mapping[str, object] = field(default_factory=lambda: {"status": "granted"})
    certificates: bool = True

    @classmethod
    def make(cls, name: str = "tsa", **changes: Any) -> Self:
        """Make an authority with a root of its own."""
        root = issue(f"{name} root")
        own = issue(name, root, ca=False, extensions=[STAMPING, (usage(sign=True), True)])
        return cls(**{"root": root, "own": own} | changes)

    @property
    def chain(self) -> bytes:
        """The root and what lies between in PEM."""
        return b"".join(item.pem for item in [self.root, *self.between])

    def stamp(self, signature: bytes) -> bytes:
        """Return the response over ``signature`` as if somebody had asked."""
        digest = hashlib.sha256(signature).digest()
        imprint = {"hash_algorithm": {"algorithm": "sha256"}, "hashed_message": digest}
        asked = tsp.TimeStampReq({"version": "v1", "message_imprint": imprint, "cert_req": True})
        return self.respond(asked.dump())

    def respond(self, request: bytes) -> bytes:
        """Return the response to a request, both in DER."""
        asked = tsp.TimeStampReq.load(request)
        info = {
            "version": "v1",
            "policy": POLICY,
            "message_imprint": asked["message_imprint"],
            "serial_number": secrets.randbits(63),
            "gen_time": self.time,
            "nonce": asked["nonce"].native,
        }
        content = tsp.TSTInfo({name: value for name, value in (info | self.info).items() if value is not None}).dump()
        data = self._signed_data(content)
        if self.signed is not None:
            self.signed(data)
        token = {"content_type": "signed_data", "content": data}
        return bytes(tsp.TimeStampResp({"status": self.status, "time_stamp_token": token}).dump())

    def _signed_data(self, content: bytes) -> cms.SignedData:
        mine = certificate(self.own)
        listed = [mine, *(certificate(item) for item in self.between)]
        return cms.SignedData(
            {
                "version": "v3",
                "digest_algorithms": [{"algorithm": "sha256"}],
                "encap_content_info": {"content_type": "tst_info", "content": core.ParsableOctetString(content)},
                "certificates": [cms.CertificateChoices({"certificate": item}) for item in listed]
                if self.certificates
                else None,
                "signer_infos": [self.signer(content)],
            }
        )

    def signer(self, content: bytes) -> cms.SignerInfo:
        """Return the signer's part over ``content``."""
        mine = certificate(self.own)
        digest = hashlib.sha256(mine.dump()).digest()
        identifier = tsp.SigningCertificateV2({"certs": [tsp.ESSCertIDv2({"cert_hash": digest})]})
        attributes = cms.CMSAttributes(
            [
                cms.CMSAttribute({"type": kind, "values": [value]})
                for kind, value in (
                    ("content_type", "tst_info"),
                    ("message_digest", hashlib.sha256(content).digest()),
                    ("signing_certificate_v2", identifier),
                )
            ]
        )
        name = cms.IssuerAndSerialNumber({"issuer": mine.issuer, "serial_number": mine.serial_number})
        return cms.SignerInfo(
            {
                "version": "v1",
                "sid": cms.SignerIdentifier({"issuer_and_serial_number": name}),
                "digest_algorithm": {"algorithm": "sha256"},
                "signed_attrs": attributes,
                "signature_algorithm": {"algorithm": "sha256_ecdsa"},
                "signature": self.own.key.sign(attributes.untag().dump(), ec.ECDSA(hashes.SHA256())),
            }
        )


def certificate(issued: Issued) -> asn1.Certificate:
    """Return a certificate as asn1crypto has it."""
    return asn1.Certificate.load(issued.certificate.public_bytes(serialization.Encoding.DER))


class OpensslAuthority:
    """``openssl ts -reply``, below ``folder``, with the certificates of another authority."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        folder.mkdir()
        self.folder = folder
        (folder / "own.pem").write_bytes(authority.own.pem)
        (folder / "own.key").write_bytes(authority.own.key_pem)
        (folder / "root.pem").write_bytes(authority.root.pem)
        (folder / "serial").write_text("01\n")
        (folder / "ts.cnf").write_text(
            f"[tsa]\ndefault_tsa = own\n[own]\nserial = {folder}/serial\nsigner_cert = {folder}/own.pem\n"
            f"signer_key = {folder}/own.key\nsigner_digest = sha256\ndefault_policy = {POLICY}\n"
            "digests = sha256, sha384, sha512\naccuracy = secs:1\ness_cert_id_chain = no\ness_cert_id_alg = sha256\n"
        )

    def respond(self, request: bytes) -> bytes:
        """Return the response to a request, both in DER."""
        (self.folder / "query").write_bytes(request)
        subprocess.run(
            ["openssl", "ts", "-reply", "-config", "ts.cnf", "-queryfile", "query", "-out", "reply"],
            cwd=self.folder,
            check=True,
            capture_output=True,
        )
        return (self.folder / "reply").read_bytes()

    def verify(self, response: bytes, data: bytes) -> subprocess.CompletedProcess[str]:
        """Have ``openssl ts -verify`` judge a response over ``data``."""
        (self.folder / "reply").write_bytes(response)
        (self.folder / "data").write_bytes(data)
        arguments = ["-verify", "-data", "data", "-in", "reply", "-CAfile", "root.pem"]
        return subprocess.run(
            ["openssl", "ts", *arguments], cwd=self.folder, check=False, capture_output=True, text=True
        )


class TimestampServer:
    """Answers every POST with what ``respond`` returns: the body, or the status with headers and body."""

    def __init__(self, respond: Callable[[bytes], bytes | tuple[int, Mapping[str, str], bytes]]) -> None:
        self.requests: list[bytes] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                """Answer."""
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.requests.append(body)
                answered = respond(body)
                status, headers, data = (200, {}, answered) if isinstance(answered, bytes) else answered
                self.send_response(status)
                for name, value in ({"Content-Type": "application/timestamp-reply"} | dict(headers)).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name that the base has
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_port}/tsr"

    def __enter__(self) -> Self:
        """Begin to answer."""
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End."""
        self._server.shutdown()
        self._server.server_close()
