"""Trusting a signer by certificate: a path to a root that the caller gave, and a name that the caller demands.

Sources: RFC 5280 section 6 for paths, which ``cryptography`` builds and checks (signatures, validity, path lengths,
name constraints, weak algorithms, unknown critical extensions); the CA/Browser Forum's code signing requirements for
what a signing certificate is for. What is not checked is revocation, which needs a network.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Self, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import Criticality, ExtensionPolicy, Policy, PolicyBuilder, Store, VerificationError

from mbom.digest import is_sha256
from mbom.errors import FormatError, KeyFileError, SignatureError
from mbom.signing import chainbundle, manifest, oms, statement, strictx509
from mbom.signing.dsse import Envelope
from mbom.signing.keys import PublicKey, supported
from mbom.signing.oms import OmsManifest
from mbom.signing.sigstorebundle import MessageSignature
from mbom.signing.statement import Statement
from mbom.signing.verifier import Seen

T = TypeVar("T", bound=x509.ExtensionType)

ROOTS_LIMIT = 4 << 20  # bytes of one file of roots; what systems trust altogether takes 250 kB
CERTIFICATE_LIMIT = 64 << 10  # bytes of one certificate in a bundle; they have one or two thousand

_LABEL = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----")

# What reading a hostile certificate raises, on loading it or on the first look at a part of it.
_MALFORMED = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)


class CertificateVerifier:
    """Trusts whoever is called ``identity`` by a certificate that leads to one of the roots.

    The name is compared whole: with the email addresses, DNS names and URIs of the subject's alternative name, or with
    the one common name where a certificate has no alternative name. Nothing passes merely because it leads to a root.
    """

    def __init__(
        self,
        certificates: Sequence[x509.Certificate],
        *,
        identity: str,
        at: datetime | None = None,
        legacy: bool = False,
    ) -> None:
        """Trust those of ``certificates`` that are their own issuers; the others may stand between.

        Args:
            certificates: what the caller trusts, at least one root among them.
            identity: the name that a signer's certificate must have.
            at: the moment at which certificates must be valid; None for that of each verification. Only a moment at
                which the signature is proven to have existed may stand in for the present.
            legacy: whether the deprecated format of PyPI ``model-signing`` 0.2 is taken too, where it is asked for.

        Raises:
            KeyFileError: when none of the certificates is a root.
        """
        self._roots: list[x509.Certificate] = []
        self._between: list[x509.Certificate] = []
        for item in certificates:
            (self._roots if _is_root(item) else self._between).append(item)
        if not self._roots:
            raise KeyFileError("none of the certificates to trust is a root, one that it is itself the issuer of")
        self._name = identity
        self._at = at
        self._legacy = legacy

    @classmethod
    def load(cls, paths: Sequence[Path], *, identity: str, legacy: bool = False) -> Self:
        """Read the certificates to trust from files in PEM.

        Raises:
            KeyFileError: when a file cannot be read, or is not made of certificates alone, or there is no root.
        """
        return cls([item for path in paths for item in load_certificates(path)], identity=identity, legacy=legacy)

    @property
    def name(self) -> str:
        """The name that a signer's certificate must have."""
        return self._name

    @property
    def identity(self) -> str:
        """The name and the roots, such as ``release@example.com, certified under CN=Example Root``."""
        roots = [_called(root) for root in self._roots]
        return f"{self._name}, certified under {' or '.join(roots) if len(roots) < 4 else f'one of {len(roots)} roots'}"

    def verify_statement(self, bundle: bytes, *, predicate_type: str, what: str = "bundle") -> Statement:
        """See ``Verifier``."""
        key, content = self._read(bundle, what)
        if not isinstance(content, Envelope):
            raise FormatError(f"{what}: signs a file's digest, where a signed statement belongs")
        legacy = self._legacy and predicate_type == manifest.LEGACY_PREDICATE_TYPE
        payload = content.open(key, what=what, legacy=legacy)
        return statement.parse(payload, predicate_type=predicate_type, what=f"{what}: statement", legacy=legacy)

    def verify_digest(self, bundle: bytes, sha256: str, *, what: str = "bundle") -> None:
        """See ``Verifier``."""
        if not is_sha256(sha256):
            raise FormatError(f"{what}: compared with {sha256[:80]!r}, which is not 64 lower-case hex digits")
        key, content = self._read(bundle, what)
        if not isinstance(content, MessageSignature):
            raise FormatError(f"{what}: signs a statement, where a signed file digest belongs")
        if content.digest.hex() != sha256:
            raise SignatureError(f"{what}: signs the SHA-256 {content.digest.hex()}, and the file's is {sha256}")
        key.verify_sha256(bytes.fromhex(sha256), content.signature, what=what)

    def verify_oms(self, bundle: bytes, *, what: str = "model.sig") -> OmsManifest:
        """See ``Verifier``."""
        return oms.interpret(self.verify_statement(bundle, predicate_type=oms.PREDICATE_TYPE, what=what), what=what)

    def seen(self, bundle: bytes, *, what: str = "bundle") -> Seen:
        """See ``Verifier``: certificates must be valid at the moment, so nobody is asked for another."""
        del bundle, what
        return Seen(time=None, detail="")

    def narrowed(self, signed: Statement) -> Self:
        """See ``Verifier``: a name is one signer."""
        del signed
        return self

    def _read(self, bundle: bytes, what: str) -> tuple[PublicKey, Envelope | MessageSignature]:
        read = chainbundle.read(bundle, what=what)
        try:
            with strictx509.warnings_refused():
                chain = [_loaded(data, what) for data in read.certificates]
                return self._signer(chain[0], chain[1:], what), read.content
        except _MALFORMED as error:
            raise FormatError(f"{what}: a certificate in it is malformed: {error}") from error

    def _signer(self, leaf: x509.Certificate, others: Sequence[x509.Certificate], what: str) -> PublicKey:
        """Return the key of the signer's certificate, once everything about it holds."""
        at = self._at or datetime.now(UTC)
        _check_use(leaf, at, what)
        path = self._path(leaf, others, at, what)
        names = _names(leaf)
        if self._name not in names:
            listed = ", ".join(repr(name) for name in names) or "no name that can be demanded"
            raise SignatureError(f"{what}: the certificate is for {listed}, demanded was {self._name!r}")
        if _alternative(leaf) is None and any(_extension(item, x509.NameConstraints) for item in path):
            raise SignatureError(
                f"{what}: an authority on the path may name some signers only, which binds no common name; "
                f"the certificate of {self._name!r} has no other"
            )
        try:
            return PublicKey(supported(leaf.public_key(), what=what))
        except KeyFileError as error:
            raise SignatureError(str(error)) from error

    def _path(
        self, leaf: x509.Certificate, others: Sequence[x509.Certificate], at: datetime, what: str
    ) -> list[x509.Certificate]:
        either = Criticality.AGNOSTIC
        authority = (
            ExtensionPolicy.permit_all()
            .require_present(x509.BasicConstraints, Criticality.CRITICAL, _is_authority)
            .require_present(x509.KeyUsage, either, _may_certify)
            .may_be_present(x509.ExtendedKeyUsage, either, _may_certify_code)
        )
        # The signer's own certificate has been looked at, in sentences that say what is wrong.
        policy = PolicyBuilder().store(Store(self._roots)).time(at)
        policy = policy.extension_policies(ca_policy=authority, ee_policy=ExtensionPolicy.permit_all())
        try:
            return policy.build_client_verifier().verify(leaf, [*others, *self._between]).chain
        except VerificationError as error:
            raise SignatureError(
                f"{what}: the certificate of {_called(leaf)} leads to no trusted root ({error})"
            ) from error


def load_certificates(path: Path) -> list[x509.Certificate]:
    """Read the certificates of a PEM file, at least one.

    Raises:
        KeyFileError: when it cannot be read, or holds anything but certificates.
    """
    try:
        with path.open("rb") as file:
            data = file.read(ROOTS_LIMIT + 1)
    except OSError as error:
        raise KeyFileError(f"{path}: cannot be read: {error.strerror}") from error
    if len(data) > ROOTS_LIMIT:
        raise KeyFileError(f"{path}: larger than {ROOTS_LIMIT} bytes, which no file of roots is")
    for label in _LABEL.findall(data):
        if label != b"CERTIFICATE":
            raise KeyFileError(f"{path}: holds a PEM block {label.decode()!r}, only certificates belong there")
    try:
        with strictx509.warnings_refused():
            return x509.load_pem_x509_certificates(data)
    except _MALFORMED as error:
        raise KeyFileError(f"{path}: holds no certificates in PEM that can be read") from error


def _loaded(data: bytes, what: str) -> x509.Certificate:
    if len(data) > CERTIFICATE_LIMIT:
        raise FormatError(f"{what}: a certificate of {len(data)} bytes, the limit is {CERTIFICATE_LIMIT}")
    return strictx509.load_der(data)


def _check_use(leaf: x509.Certificate, at: datetime, what: str) -> None:
    """Refuse a certificate that is not valid, or is not for signing code, or may make certificates itself."""
    start, end = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    if not start <= at <= end:
        when = f"expired on {end:%Y-%m-%d}" if at > end else f"is not valid before {start:%Y-%m-%d}"
        raise SignatureError(
            f"{what}: the certificate of {_called(leaf)} {when}, and no timestamp shows when the signature was made"
        )
    usage = _extension(leaf, x509.KeyUsage)
    if usage is None or not usage.digital_signature:
        raise SignatureError(f"{what}: the certificate of {_called(leaf)} is not for digital signatures (key usage)")
    if usage.key_cert_sign:
        raise SignatureError(f"{what}: the certificate of {_called(leaf)} is an authority's, which signs certificates")
    purposes = _extension(leaf, x509.ExtendedKeyUsage)
    if purposes is None or ExtendedKeyUsageOID.CODE_SIGNING not in purposes:
        raise SignatureError(f"{what}: the certificate of {_called(leaf)} is not for code signing (extended key usage)")


def _is_authority(policy: Policy, certificate: x509.Certificate, constraints: x509.BasicConstraints) -> None:
    del policy
    if not constraints.ca:
        raise ValueError(f"{_called(certificate)} is no authority")


def _may_certify(policy: Policy, certificate: x509.Certificate, usage: x509.KeyUsage) -> None:
    del policy
    if not usage.key_cert_sign:
        raise ValueError(f"{_called(certificate)} may not sign certificates")


def _may_certify_code(policy: Policy, certificate: x509.Certificate, purposes: x509.ExtendedKeyUsage | None) -> None:
    del policy
    allowed = {ExtendedKeyUsageOID.CODE_SIGNING, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
    if purposes is not None and not allowed & set(purposes):
        raise ValueError(f"{_called(certificate)} may not certify code signers")


def _is_root(certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(certificate)
    except (InvalidSignature, *_MALFORMED):
        return False
    return True


def _names(certificate: x509.Certificate) -> list[str]:
    alternative = _alternative(certificate)
    if alternative is None:
        common = [str(item.value) for item in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
        return common if len(common) == 1 else []
    kinds = (x509.RFC822Name, x509.DNSName, x509.UniformResourceIdentifier)
    return [name.value for name in alternative if isinstance(name, kinds)]


def _alternative(certificate: x509.Certificate) -> x509.SubjectAlternativeName | None:
    return _extension(certificate, x509.SubjectAlternativeName)


def _extension(certificate: x509.Certificate, kind: type[T]) -> T | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _called(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string()[:200] or "nobody (an empty subject)"
