"""Checking keyless signatures: a verifier that trusts an identity, by means of the sigstore library and no network.

Importing this module imports sigstore; do so where a keyless signature is checked.
"""

import struct
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from sigstore.errors import CertValidationError
from sigstore.errors import Error as SigstoreError
from sigstore.hashes import Hashed
from sigstore.models import Bundle, TrustedRoot
from sigstore.verify import Verifier as SigstoreVerifier

from mbom.digest import is_sha256
from mbom.errors import FormatError, KeyFileError, SignatureError
from mbom.signing import dsse, keylessbundle, oms, sigstoretrust, statement, strictx509
from mbom.signing.dsse import Envelope
from mbom.signing.identity import Claims, TrustedIdentity, Witness, load_certificate
from mbom.signing.keylessbundle import KeylessBundle
from mbom.signing.oms import OmsManifest
from mbom.signing.sigstorebundle import MessageSignature
from mbom.signing.sigstoretrust import brief
from mbom.signing.statement import Seen, Statement

# What the library lets through of what hostile bundles make its parts raise, besides its own errors.
_FOREIGN = (
    SigstoreError,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    OverflowError,
    OSError,
    struct.error,
    InvalidSignature,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.ExtensionNotFound,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)


class KeylessVerifier:
    """Trusts whoever an OpenID issuer vouches for, through the authorities and logs of one Sigstore instance.

    The procedure, of which the library does steps 2, 4 and 5:

    1. The bundle is read strictly (``keylessbundle``); it has one certificate, one log entry, one signature.
    2. The certificate chains to the trusted root and was valid at the time of signing, is for signing code, and has a
       timestamp of the certificate log.
    3. That certificate's identity, issuer and GitHub claims are the trusted ones.
    4. The log entry is in the log by its inclusion proof, signed checkpoint and, in Rekor v1, signed promise, and it is
       about this signature.
    5. The signature holds under the certificate's key.
    6. Each source of time in the bundle is verified by itself: the library takes one that holds and ignores the others.
    7. Payload type, statement type and predicate type are the expected ones.
    """

    def __init__(self, trusted: TrustedIdentity, root: TrustedRoot) -> None:
        """Trust ``trusted`` where the instance with the trusted root ``root`` says so.

        Raises:
            KeyFileError: when the root names no authority or no log.
        """
        self._trusted = trusted
        self._root = root
        self._logs = sigstoretrust.log_ids(root)
        try:
            self._library = SigstoreVerifier(trusted_root=root)
        except SigstoreError as error:
            raise KeyFileError(f"the trusted root of Sigstore cannot be used: {brief(error)}") from error

    @classmethod
    def load(cls, trusted: TrustedIdentity, trust_config: Path | None = None) -> Self:
        """Return a verifier for the instance that ``trust_config`` describes, or for Sigstore's public one.

        Raises:
            KeyFileError: when the configuration cannot be used.
            UnavailableError: when there is no trust root of the public instance on this machine.
        """
        if trust_config is not None:
            return cls(trusted, sigstoretrust.load(trust_config).trusted_root)
        return cls(trusted, sigstoretrust.public_instance(offline=True).trusted_root)

    @property
    def identity(self) -> str:
        """The trusted identity and its issuer."""
        return str(self._trusted)

    def verify_statement(self, bundle: bytes, *, predicate_type: str, what: str = "bundle") -> Statement:
        """See ``Verifier``: a log or a timestamp authority has seen the statement."""
        payload, witness = self.verify_payload(bundle, what=what)
        parsed = statement.parse(payload, predicate_type=predicate_type, what=f"{what}: statement")
        seen = Seen(time=witness.time, detail=f"{witness.seen_by} {witness.time:%Y-%m-%dT%H:%M:%SZ}")
        return replace(parsed, witness=witness, seen=seen)

    def verify_payload(self, bundle: bytes, *, what: str = "bundle") -> tuple[bytes, Witness]:
        """Return the in-toto statement of a bundle as it was signed, whatever its predicate is, and who signed it."""
        read = keylessbundle.read(bundle, what=what)
        if not isinstance(read.content, Envelope):
            raise FormatError(f"{what}: signs a file's digest, where a signed statement belongs")
        payloads: set[bytes] = set()

        def check(source: Bundle, policy: _Policy) -> None:
            kind, payload = self._library.verify_dsse(source, policy)
            if kind != dsse.PAYLOAD_TYPE:
                raise FormatError(f"{what}: a payload of type {kind[:80]!r}, only {dsse.PAYLOAD_TYPE!r} is known")
            payloads.add(payload)

        witness = self._verify(read, check, what)
        (payload,) = payloads  # what the library verified; each source of time comes with the same envelope
        return payload, witness

    def verify_digest(self, bundle: bytes, sha256: str, *, what: str = "bundle") -> None:
        """See ``Verifier``."""
        self.witness_of_digest(bundle, sha256, what=what)

    def witness_of_digest(self, bundle: bytes, sha256: str, *, what: str = "bundle") -> Witness:
        """Check what ``verify_digest`` checks, and return who signed it."""
        if not is_sha256(sha256):
            raise FormatError(f"{what}: compared with {sha256[:80]!r}, which is not 64 lower-case hex digits")
        read = keylessbundle.read(bundle, what=what)
        if not isinstance(read.content, MessageSignature):
            raise FormatError(f"{what}: signs a statement, where a signed file digest belongs")
        if read.content.digest.hex() != sha256:
            raise SignatureError(f"{what}: signs the SHA-256 {read.content.digest.hex()}, and the file's is {sha256}")
        digest = hashed(sha256)
        return self._verify(read, partial(self._library.verify_artifact, digest), what)

    def verify_oms(self, bundle: bytes, *, what: str = "model.sig") -> OmsManifest:
        """See ``Verifier``."""
        return oms.interpret(self.verify_statement(bundle, predicate_type=oms.PREDICATE_TYPE, what=what), what=what)

    def narrowed(self, signed: Statement) -> "KeylessVerifier":
        """See ``Verifier``: a regular expression gives way to the identity that it matched."""
        if signed.witness is None:
            raise SignatureError("the statement was not signed keyless")
        return KeylessVerifier(replace(self._trusted, identity=signed.witness.identity, regexp=None), self._root)

    def _verify(self, read: KeylessBundle, check: "_Check", what: str) -> Witness:
        """Run steps 2 to 6 on a bundle that was read strictly; ``check`` is the library's verification."""
        load_certificate(read.certificate, what=what)
        if read.log not in self._logs:
            raise SignatureError(f"{what}: entered in the log {read.log.hex()}, which the trusted root does not name")
        policy = _Policy(self._trusted, what)
        seen: list[tuple[datetime, str]] = []
        try:
            for alone in read.by_source():
                bundle = Bundle.from_json(alone)
                with strictx509.warnings_refused():
                    check(bundle, policy)
                seen.append(_time(bundle, read.integrated))
        except CertValidationError as error:
            raise SignatureError(
                f"{what}: the certificate was not valid at the time of signing, or comes from another Sigstore "
                f"instance than the trusted one, which --trust-config names ({brief(error)})"
            ) from error
        except _FOREIGN as error:
            raise SignatureError(f"{what}: the keyless signature does not hold: {brief(error)}") from error
        (identity,) = policy.identities
        time, seen_by = min(seen)
        return Witness(identity=identity, issuer=self._trusted.issuer, time=time, seen_by=seen_by)


class _Policy:
    """Step 3, which the library asks for on the certificate that it has just verified."""

    def __init__(self, trusted: TrustedIdentity, what: str) -> None:
        self.trusted = trusted
        self.what = what
        self.identities: set[str] = set()

    def verify(self, cert: x509.Certificate) -> None:
        """Refuse a certificate whose claims are not the trusted ones.

        Raises:
            SignatureError: when they are not.
        """
        claims = Claims.of(cert, what=self.what)
        self.trusted.check(claims, what=self.what)
        self.identities.add(claims.identity)


_Check = Callable[[Bundle, _Policy], None]


def hashed(sha256: str) -> Hashed:
    """Return a SHA-256 in hex as the library takes it."""
    return Hashed.model_validate({"algorithm": "SHA2_256", "digest": bytes.fromhex(sha256)})


def _time(bundle: Bundle, integrated: int | None) -> tuple[datetime, str]:
    """Return the time of a bundle with one source of time: its timestamp's, or else that of its log entry."""
    data = bundle.verification_material.timestamp_verification_data
    if data is not None:
        (response,) = data.rfc3161_timestamps
        return response.tst_info.gen_time, "timestamped"
    assert integrated is not None
    return datetime.fromtimestamp(integrated, UTC), "logged"
