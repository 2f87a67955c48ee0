"""Signing keyless: a short-lived certificate for an identity, and an entry in a public log for each signature.

Importing this module imports sigstore; do so where something is signed keyless.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

# The library names these errors nowhere public, and lets them through from its public methods.
from sigstore._internal.fulcio.client import ExpiredCertificate, FulcioClientError
from sigstore._internal.rekor import RekorClientError
from sigstore.dsse import Statement as SigstoreStatement
from sigstore.errors import Error as SigstoreError
from sigstore.errors import VerificationError
from sigstore.models import Bundle, ClientTrustConfig
from sigstore.oidc import ExpiredIdentity, IdentityToken
from sigstore.sign import Signer as SigstoreSigner
from sigstore.sign import SigningContext

from mbom.digest import is_sha256
from mbom.errors import AccessError, FormatError, KeyFileError, RefusedError, UnavailableError
from mbom.signing import sigstoretrust
from mbom.signing.credentials import Credentials
from mbom.signing.identity import Claims, TrustedIdentity, Witness
from mbom.signing.keyless import KeylessVerifier, hashed
from mbom.signing.sigstoretrust import brief

SPARE = timedelta(seconds=30)  # a certificate this close to its end is not used: a log may take that long to answer


class KeylessSigner:
    """Signs as whoever an identity token stands for, with one certificate for as long as that lasts (ten minutes).

    The token is fetched when something is signed for the first time, because a measurement outlives it; and once more
    when a bundle with many shards outlives the certificate. Each signature is verified before it is returned: a log or
    authority that answers with something its own trust root does not cover is noticed while it can be mended.
    """

    def __init__(self, config: ClientTrustConfig, token: Callable[[], IdentityToken]) -> None:
        """Sign with the services of ``config``, as whoever the token stands for that ``token`` returns.

        Raises:
            KeyFileError: when the configuration names no usable services.
        """
        try:
            self._context = SigningContext.from_trust_config(config)
        except (SigstoreError, ValueError, IndexError) as error:
            raise KeyFileError(f"the signing configuration of Sigstore cannot be used: {brief(error)}") from error
        self._config = config
        self._token = token
        self._signer: SigstoreSigner | None = None
        self._until: datetime | None = None  # when the certificate in use ends, once one has been seen
        self._own: KeylessVerifier | None = None
        self._witness: Witness | None = None

    @classmethod
    def load(cls, credentials: Credentials, trust_config: Path | None = None) -> Self:
        """Return a signer for the instance that ``trust_config`` describes, or for Sigstore's public one.

        Raises:
            KeyFileError: when the configuration or the token file cannot be used.
            AccessError: when there is no way to a token.
            UnavailableError: when the public instance's trust root cannot be refreshed.
        """
        config = (
            sigstoretrust.load(trust_config)
            if trust_config is not None
            else sigstoretrust.public_instance(offline=False)
        )
        credentials.look()
        return cls(config, lambda: credentials.token(config))

    @property
    def witness(self) -> Witness | None:
        """Who signed, and when the first signature was seen; None before there is one."""
        return self._witness

    @property
    def identity(self) -> str:
        """The identity and its issuer, as the certificate has them."""
        return "keyless" if self._witness is None else f"{self._witness.identity} ({self._witness.issuer})"

    def sign_statement(self, statement: bytes) -> bytes:
        """See ``Signer``.

        Raises:
            AccessError: when the identity token is missing, expired or refused.
            UnavailableError: when a service does not answer, or not with what its trust root covers.
        """
        try:
            content = SigstoreStatement(statement)
        except SigstoreError as error:
            raise FormatError(f"not an in-toto statement: {brief(error)}") from error
        bundle = self._sign(lambda signer: signer.sign_dsse(content))

        def check(own: KeylessVerifier, data: bytes) -> Witness:
            payload, witness = own.verify_payload(data)
            if payload != statement:
                raise FormatError("the library signed other bytes than the statement")
            return witness

        return self._checked(bundle, check)

    def sign_digest(self, sha256: str) -> bytes:
        """See ``Signer``.

        Raises:
            FormatError: when ``sha256`` is not 64 lower-case hex digits.
            AccessError: when the identity token is missing, expired or refused.
            UnavailableError: when a service does not answer, or not with what its trust root covers.
        """
        if not is_sha256(sha256):
            raise FormatError(f"signing a file: {sha256[:80]!r} is not 64 lower-case hex digits")
        digest = hashed(sha256)
        bundle = self._sign(lambda signer: signer.sign_artifact(digest))
        return self._checked(bundle, lambda own, data: own.witness_of_digest(data, sha256))

    def _sign(self, sign: Callable[[SigstoreSigner], Bundle]) -> Bundle:
        if self._signer is None or (self._until is not None and self._until - SPARE < datetime.now(UTC)):
            self._signer = self._certified()
        try:
            bundle = sign(self._signer)
        except ExpiredCertificate:
            raise AccessError(
                "the signing certificate expired while it was in use; is this machine's clock right?"
            ) from None
        except RekorClientError as error:
            raise UnavailableError(f"the transparency log took no entry: {brief(error)}; try again later") from error
        except OSError as error:
            raise UnavailableError(f"the transparency log cannot be reached: {brief(error)}") from error
        except (SigstoreError, ValueError, KeyError, TypeError) as error:
            # A timestamp authority that does not answer shows as a bundle that has no time.
            raise UnavailableError(f"the transparency log or timestamp authority failed: {brief(error)}") from error
        self._until = bundle.signing_certificate.not_valid_after_utc
        return bundle

    def _certified(self) -> SigstoreSigner:
        """Fetch a token, and a certificate for it."""
        token = self._token()
        try:
            return SigstoreSigner(token, self._context)
        except ExpiredIdentity:
            raise AccessError("the identity token expired before it was used; fetch one right before signing") from None
        except FulcioClientError as error:
            status = getattr(getattr(error.__cause__, "response", None), "status_code", None)
            if status is not None and 400 <= status < 500:
                raise AccessError(
                    f"the certificate authority refused the identity token (HTTP {status}); it takes tokens of the "
                    "issuers that its instance trusts"
                ) from None
            told = f"HTTP {status}" if status is not None else brief(error)
            raise UnavailableError(
                f"the certificate authority issued no certificate: {told}; try again later"
            ) from None
        except VerificationError as error:
            raise UnavailableError(
                f"the certificate authority's certificate is in no log that the trust root names: {brief(error)}"
            ) from error
        except OSError as error:
            raise UnavailableError(f"the certificate authority cannot be reached: {brief(error)}") from None
        except (SigstoreError, ValueError, KeyError, TypeError) as error:
            raise UnavailableError(f"the certificate authority's answer is none: {brief(error)}") from None

    def _checked(self, bundle: Bundle, check: Callable[[KeylessVerifier, bytes], Witness]) -> bytes:
        """Return a fresh bundle as JSON, once it verifies as it will for others."""
        data = bundle.to_json().encode()
        try:
            if self._own is None:
                claims = Claims.of(bundle.signing_certificate, what="the certificate")
                own = TrustedIdentity(issuer=claims.issuer or "none", identity=claims.identity)
                self._own = KeylessVerifier(own, self._config.trusted_root)
            witness = check(self._own, data)
        except RefusedError as error:
            raise UnavailableError(f"the instance's services answered with what nobody will verify: {error}") from error
        self._witness = self._witness or witness
        return data
