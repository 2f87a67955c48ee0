"""Checking signatures: what mbom asks of a verifier, and the one that trusts a key.

A verifier returns what was signed, parsed from the verified bytes. Nothing else in mbom reads a bundle, so that
nothing can use a payload that was not verified.
"""

from dataclasses import replace
from pathlib import Path
from typing import Protocol, Self

from mbom.digest import is_sha256
from mbom.errors import FormatError, SignatureError
from mbom.signing import manifest, oms, sigstorebundle, statement
from mbom.signing.dsse import Envelope
from mbom.signing.keyfiles import load_public
from mbom.signing.keys import PublicKey
from mbom.signing.oms import OmsManifest
from mbom.signing.sigstorebundle import KeyBundle, MessageSignature
from mbom.signing.statement import Seen, Statement
from mbom.signing.timestamp import TimestampAuthority


class Verifier(Protocol):
    """Whoever the caller trusts. ``what`` is how error messages name the bundle, usually its file name.

    Every method raises SignatureError when the signature does not hold under that trust, and FormatError when the
    bundle or what it carries is not what it should be.
    """

    @property
    def identity(self) -> str:
        """The trusted signer in words for people."""

    def verify_statement(self, bundle: bytes, *, predicate_type: str, what: str = "bundle") -> Statement:
        """Return the signed statement, which has the predicate type ``predicate_type``.

        What is known of the signature comes with it: who made it, and when it was there.
        """

    def verify_digest(self, bundle: bytes, sha256: str, *, what: str = "bundle") -> None:
        """Check that the file whose SHA-256 the caller computed is the one that was signed."""

    def verify_oms(self, bundle: bytes, *, what: str = "model.sig") -> OmsManifest:
        """Return the signed OpenSSF Model Signing manifest."""

    def narrowed(self, signed: Statement) -> "Verifier":
        """Return a verifier that trusts nobody but who signed ``signed``, which this one has verified."""


class KeyVerifier:
    """Trusts one public key, and for the time of signatures an authority or nobody.

    The algorithm is the key's; a bundle cannot choose it. A bundle's hint is compared when there is one: it proves
    nothing, but it tells a bundle of another signer from a damaged one. With an authority, every signature needs a
    timestamp that holds under it; without one, timestamps prove nothing and are not looked at.
    """

    def __init__(self, key: PublicKey, authority: TimestampAuthority | None = None, *, legacy: bool = False) -> None:
        """Trust ``key``; ``legacy`` takes the deprecated format of PyPI ``model-signing`` 0.2 where it is asked for."""
        self._key = key
        self._authority = authority
        self._legacy = legacy

    @classmethod
    def load(cls, path: Path, authority: TimestampAuthority | None = None, *, legacy: bool = False) -> Self:
        """Read the trusted public key at ``path``.

        Raises:
            KeyFileError: when there is no usable public key.
        """
        return cls(load_public(path), authority, legacy=legacy)

    @property
    def public_key(self) -> PublicKey:
        """The trusted key."""
        return self._key

    @property
    def identity(self) -> str:
        """The algorithm and the fingerprint, such as ``ECDSA P-256, SHA256:…``."""
        return f"{self._key.algorithm}, {self._key.fingerprint}"

    def verify_statement(self, bundle: bytes, *, predicate_type: str, what: str = "bundle") -> Statement:
        """See ``Verifier``."""
        read = self._read(bundle, what)
        if not isinstance(read.content, Envelope):
            raise FormatError(f"{what}: signs a file's digest, where a signed statement belongs")
        legacy = self._legacy and predicate_type == manifest.LEGACY_PREDICATE_TYPE
        payload = read.content.open(self._key, what=what, legacy=legacy)
        seen = self._seen(read, what)
        parsed = statement.parse(payload, predicate_type=predicate_type, what=f"{what}: statement", legacy=legacy)
        return replace(parsed, seen=seen)

    def verify_digest(self, bundle: bytes, sha256: str, *, what: str = "bundle") -> None:
        """See ``Verifier``.

        What is verified is the caller's digest. The one in the bundle has no authority; it must be the same because
        people and other tools identify the file by it.
        """
        if not is_sha256(sha256):
            raise FormatError(f"{what}: compared with {sha256[:80]!r}, which is not 64 lower-case hex digits")
        read = self._read(bundle, what)
        content = read.content
        if not isinstance(content, MessageSignature):
            raise FormatError(f"{what}: signs a statement, where a signed file digest belongs")
        if content.digest.hex() != sha256:
            raise SignatureError(f"{what}: signs the SHA-256 {content.digest.hex()}, and the file's is {sha256}")
        self._key.verify_sha256(bytes.fromhex(sha256), content.signature, what=what)
        self._seen(read, what)

    def verify_oms(self, bundle: bytes, *, what: str = "model.sig") -> OmsManifest:
        """See ``Verifier``."""
        return oms.interpret(self.verify_statement(bundle, predicate_type=oms.PREDICATE_TYPE, what=what), what=what)

    def narrowed(self, signed: Statement) -> Self:
        """See ``Verifier``: a key is one signer."""
        del signed
        return self

    def _read(self, bundle: bytes, what: str) -> KeyBundle:
        read = sigstorebundle.read(bundle, what=what)
        if read.hint is not None and read.hint != self._key.hint:
            raise SignatureError(
                f"{what}: signed with another key, the trusted one is {self._key.fingerprint} "
                f"(hint {read.hint[:80]!r}, the trusted key's is {self._key.hint})"
            )
        return read

    def _seen(self, read: KeyBundle, what: str) -> Seen:
        if self._authority is None:
            unchecked = "its timestamp was not checked (--timestamp-authority)"
            return Seen(time=None, detail=unchecked if read.timestamp is not None else "")
        if read.timestamp is None:
            raise SignatureError(f"{what}: has no timestamp, and one of the trusted authority was demanded")
        timestamp = self._authority.check(read.timestamp, read.content.signature, what=what)
        return Seen(time=timestamp.time, detail=str(timestamp))
