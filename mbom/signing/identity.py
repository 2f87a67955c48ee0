"""Whom a keyless signature is trusted from: an identity that an OpenID issuer vouches for, and GitHub's claims.

Fulcio writes what the issuer said into the signing certificate: the identity as its one subject alternative name, the
rest as extensions. Source: https://github.com/sigstore/fulcio/blob/main/docs/oid-info.md.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Self

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat import asn1

from mbom.errors import KeyFileError, SignatureError, UsageError
from mbom.signing import strictx509
from mbom.signing.keys import supported

CERTIFICATE_LIMIT = 16 << 10  # bytes; Fulcio's have about 1,000, most of them GitHub's claims
CLAIM_LIMIT = 2048  # characters; identities are addresses and URLs
GITHUB = "https://github.com/"

_FULCIO = "1.3.6.1.4.1.57264.1."
# Names of the extensions here -> their last arc. Those before 8 hold bare text, the later ones a DER UTF8String.
_ISSUERS = {"issuer": 1, "issuer (version 2)": 8}
_REPOSITORIES = {"repository": 5, "source repository": 12}
_REFS = {"ref": 6, "source repository ref": 14}
_WORKFLOW_NAME = {"workflow": 4}
_WORKFLOW_FILE = {"build configuration": 18}
_ARCS = _ISSUERS | _REPOSITORIES | _REFS | _WORKFLOW_NAME | _WORKFLOW_FILE
_FIRST_DER = 8


@dataclass(frozen=True, kw_only=True)
class Witness:
    """Who made a keyless signature, and the earliest time at which a log or a timestamp authority had seen it."""

    identity: str
    issuer: str
    time: datetime
    seen_by: str

    def __str__(self) -> str:
        """Return the signer and the time, in words for people."""
        return f"{self.identity} ({self.issuer}), {self.seen_by} {self.time:%Y-%m-%dT%H:%M:%SZ}"


@dataclass(frozen=True, kw_only=True)
class Claims:
    """What a certificate says of the signer: the identity, and by the names above the claims that it carries."""

    identity: str
    claimed: Mapping[str, str]

    @classmethod
    def of(cls, certificate: x509.Certificate, *, what: str) -> Self:
        """Read the claims of a certificate, which nothing has vouched for yet.

        Raises:
            SignatureError: unless it has exactly one subject alternative name, an address or a URI, and its claims
                are text.
        """
        try:
            extensions = certificate.extensions
            names = list(extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
            claimed = {name: text for name, arc in _ARCS.items() if (text := _claim(extensions, arc)) is not None}
        except (ValueError, x509.DuplicateExtension, x509.ExtensionNotFound, x509.UnsupportedGeneralNameType) as error:
            raise SignatureError(f"{what}: the certificate's extensions cannot be read: {error}") from error
        if len(names) != 1:
            raise SignatureError(f"{what}: the certificate names {len(names)} identities, exactly one is allowed")
        if not isinstance(names[0], x509.RFC822Name | x509.UniformResourceIdentifier):
            raise SignatureError(f"{what}: the certificate's identity is neither an address nor a URI")
        if any(not text or len(text) > CLAIM_LIMIT for text in (names[0].value, *claimed.values())):
            raise SignatureError(f"{what}: an empty claim in the certificate, or one over {CLAIM_LIMIT} characters")
        return cls(identity=names[0].value, claimed=MappingProxyType(claimed))

    @property
    def issuer(self) -> str | None:
        """The issuer that vouched for the identity, None where the certificate names none."""
        return next((self.claimed[name] for name in _ISSUERS if name in self.claimed), None)


@dataclass(frozen=True, kw_only=True)
class TrustedIdentity:
    """Whom the caller trusts. Everything given must hold, and matches exactly, the regular expression in full.

    Attributes:
        issuer: the URL of the OpenID issuer, without which an identity means nothing.
        identity: the address or URI that the issuer vouches for.
        regexp: what the identity must match from its first character to its last, in place of ``identity``.
        repository: ``owner/name`` of the repository on GitHub whose workflow signed.
        workflow: the workflow's name, or its file in the repository, such as ``.github/workflows/release.yml``.
        ref: the git ref that the workflow ran on, such as ``refs/tags/v1.0``.
    """

    issuer: str
    identity: str | None = None
    regexp: str | None = None
    repository: str | None = None
    workflow: str | None = None
    ref: str | None = None

    def __post_init__(self) -> None:
        """Refuse what would trust nobody, or everybody by mistake.

        Raises:
            UsageError: unless there is an issuer and either an identity or a valid expression, and nothing is empty.
        """
        given = (self.issuer, self.identity, self.regexp, self.repository, self.workflow, self.ref)
        if any(text is not None and not text.strip() for text in given):
            raise UsageError("an empty identity, issuer or GitHub claim would match nobody")
        if (self.identity is None) == (self.regexp is None):
            raise UsageError("exactly one of an identity and a regular expression for it says whom you trust")
        if self.regexp is not None:
            try:
                re.compile(self.regexp)
            except re.error as error:
                raise UsageError(f"{self.regexp!r} is no regular expression: {error}") from error

    def __str__(self) -> str:
        """Return the trusted identity in words for people."""
        who = self.identity if self.identity is not None else f"whoever matches {self.regexp!r} in full"
        return f"{who} ({self.issuer})"

    def check(self, claims: Claims, *, what: str) -> None:
        """Hold the claims of a certificate against what is trusted.

        Raises:
            SignatureError: naming the first claim that is missing or another.
        """
        _demand(claims, dict.fromkeys(_ISSUERS, self.issuer), what)
        if self.identity is not None and claims.identity != self.identity:
            raise SignatureError(f"{what}: signed by {claims.identity!r}, trusted is {self.identity!r}")
        if self.regexp is not None and re.fullmatch(self.regexp, claims.identity) is None:
            raise SignatureError(f"{what}: signed by {claims.identity!r}, which {self.regexp!r} does not match in full")
        if self.repository is not None:
            _demand(claims, {"repository": self.repository, "source repository": GITHUB + self.repository}, what)
        if self.ref is not None:
            _demand(claims, dict.fromkeys(_REFS, self.ref), what)
        if self.workflow is not None:
            self._check_workflow(self.workflow, claims, what)

    def _check_workflow(self, workflow: str, claims: Claims, what: str) -> None:
        if not workflow.endswith((".yml", ".yaml")):
            _demand(claims, dict.fromkeys(_WORKFLOW_NAME, workflow), what)
            return
        # GitHub writes REPOSITORY/FILE@REF. Neither can FILE hold another slash than those given, nor can a ref that
        # begins with refs/ be the rest of a file's name.
        found = claims.claimed.get("build configuration", "")
        expected = f"{claims.claimed.get('source repository', GITHUB)}/{workflow}@refs/"
        if not found.startswith(expected):
            raise SignatureError(
                f"{what}: the certificate's workflow is {found or 'missing'!r}, trusted is {workflow!r}"
            )


def load_certificate(der: bytes, *, what: str) -> x509.Certificate:
    """Parse a signing certificate, which nothing has vouched for yet; its key must be one that mbom takes.

    Raises:
        SignatureError: when it cannot be read, or its key is of another kind.
    """
    if len(der) > CERTIFICATE_LIMIT:
        raise SignatureError(f"{what}: a certificate of {len(der)} bytes, the limit is {CERTIFICATE_LIMIT}")
    try:
        certificate = strictx509.load_der(der)
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion) as error:
        raise SignatureError(f"{what}: the certificate cannot be read") from error
    try:
        supported(key, what=f"{what}: certificate")
    except KeyFileError as error:
        raise SignatureError(str(error)) from error
    return certificate


def _demand(claims: Claims, allowed: Mapping[str, str], what: str) -> None:
    """Refuse unless a certificate carries at least one of these claims, and each that it carries has this value.

    Fulcio writes most claims twice, in an older form and in a newer one; they must not say different things.
    """
    present = [name for name in allowed if name in claims.claimed]
    if not present:
        raise SignatureError(f"{what}: the certificate does not say its {next(iter(allowed))}, which is demanded")
    for name in present:
        if claims.claimed[name] != allowed[name]:
            raise SignatureError(
                f"{what}: the certificate's {name} is {claims.claimed[name]!r}, trusted is {allowed[name]!r}"
            )


def _claim(extensions: x509.Extensions, arc: int) -> str | None:
    try:
        value = extensions.get_extension_for_oid(x509.ObjectIdentifier(f"{_FULCIO}{arc}")).value
    except x509.ExtensionNotFound:
        return None
    assert isinstance(value, x509.UnrecognizedExtension)
    return asn1.decode_der(str, value.value) if arc >= _FIRST_DER else value.value.decode()
