"""Who signed a statement, as data: what can be written down, compared with another, and trusted later."""

from dataclasses import dataclass
from typing import Self

from mbom.signing.certificates import CertificateVerifier
from mbom.signing.statement import Statement
from mbom.signing.verifier import KeyVerifier, Verifier
from mbom.strictjson import Json


@dataclass(frozen=True, kw_only=True)
class Signatory:
    """A signer: a key, a keyless identity with its issuer, or a name under certificates; the other members are None.

    Attributes:
        key: the fingerprint of the public key, ``SHA256:`` and base64.
        identity: the address or URI that ``issuer`` vouched for.
        issuer: the URL of the OpenID issuer.
        certificate: the name that a certificate under the trusted roots is for.
    """

    key: str | None = None
    identity: str | None = None
    issuer: str | None = None
    certificate: str | None = None

    def __post_init__(self) -> None:
        """Hold that it is exactly one kind of signer, whole."""
        assert (self.identity is None) == (self.issuer is None)
        assert sum(item is not None for item in (self.key, self.identity, self.certificate)) == 1

    def __str__(self) -> str:
        """Return the signer in words for people."""
        if self.identity is not None:
            return f"{self.identity} ({self.issuer})"
        return self.key if self.key is not None else f"{self.certificate}, under a certificate"

    def to_dict(self) -> dict[str, Json]:
        """Return the signer as JSON, with the members that it has."""
        return {name: value for name, value in vars(self).items() if value is not None}

    @classmethod
    def of(cls, signed: Statement, verifier: Verifier) -> Self | None:
        """Return who signed a statement that ``verifier`` has verified; None for a verifier that names nobody."""
        if signed.witness is not None:
            return cls(identity=signed.witness.identity, issuer=signed.witness.issuer)
        if isinstance(verifier, KeyVerifier):
            return cls(key=verifier.public_key.fingerprint)
        return cls(certificate=verifier.name) if isinstance(verifier, CertificateVerifier) else None
