"""Making signatures: what mbom asks of a signer, those that sign with a key, and the one that holds it in memory."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, Self

from cryptography.hazmat.primitives.asymmetric import ec

from mbom.digest import is_sha256
from mbom.errors import FormatError
from mbom.signing import dsse, keys, sigstorebundle
from mbom.signing.dsse import Envelope
from mbom.signing.keyfiles import load_private
from mbom.signing.keys import PublicKey, supported
from mbom.signing.sigstorebundle import MessageSignature

Stamp = Callable[[bytes], bytes]


class Signer(Protocol):
    """Whoever signs for the author. Each signature comes back as a complete Sigstore bundle."""

    @property
    def identity(self) -> str:
        """The signer in words for people: the algorithm and the key's fingerprint, for instance."""

    def sign_statement(self, statement: bytes) -> bytes:
        """Return a bundle whose DSSE envelope carries the in-toto statement ``statement``."""

    def sign_digest(self, sha256: str) -> bytes:
        """Return a bundle with a message signature over the file whose SHA-256 is ``sha256`` in hex.

        The caller must know that the file is no DSSE pre-authentication encoding (``DSSEv1 …``). With one key for both,
        a signature over such a file *is* a signature of the statement inside it, which whoever supplied the file wrote.
        A file that has been read as safetensors cannot be one: its first eight bytes would claim a header of exabytes.
        """


class KeySigner(ABC):
    """Signs with an ECDSA key, wherever that is.

    Statements are hashed as belongs to the curve (P-256 with SHA-256, P-384 with SHA-384, P-521 with SHA-512). Message
    signatures take SHA-256 on every curve, because a checkpoint is read once and that is its digest; beyond P-256
    Sigstore's registry lists this pairing as a deprecated one, and ``cosign verify-blob --key`` expects it.

    Args:
        public: the public half.
        stamp: maps a signature to an RFC 3161 response over it, which the bundle carries; None for no timestamps.
    """

    def __init__(self, public: PublicKey, stamp: Stamp | None = None) -> None:
        self._public = public
        self._stamp = stamp

    @property
    def public_key(self) -> PublicKey:
        """The public half."""
        return self._public

    @property
    def identity(self) -> str:
        """The algorithm and the fingerprint, such as ``ECDSA P-256, SHA256:…``."""
        return f"{self._public.algorithm}, {self._public.fingerprint}"

    def sign_statement(self, statement: bytes) -> bytes:
        """See ``Signer``."""
        envelope = dsse.seal(statement, self._sign)
        return self._bundle(envelope)

    def sign_digest(self, sha256: str) -> bytes:
        """See ``Signer``.

        Raises:
            FormatError: when ``sha256`` is not 64 lower-case hex digits.
        """
        if not is_sha256(sha256):
            raise FormatError(f"signing a file: {sha256[:80]!r} is not 64 lower-case hex digits")
        digest = bytes.fromhex(sha256)
        return self._bundle(MessageSignature(digest=digest, signature=self._sign_sha256(digest)))

    def _bundle(self, content: Envelope | MessageSignature) -> bytes:
        timestamp = self._stamp(content.signature) if self._stamp is not None else None
        return sigstorebundle.write(content, hint=self._public.hint, timestamp=timestamp)

    @abstractmethod
    def _sign(self, data: bytes) -> bytes:
        """Return the signature in DER over ``data``, with the hash that belongs to the curve."""

    @abstractmethod
    def _sign_sha256(self, digest: bytes) -> bytes:
        """Return the signature in DER over data whose SHA-256 is ``digest`` (32 raw bytes)."""


class LocalSigner(KeySigner):
    """Signs with a key in memory."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, stamp: Stamp | None = None) -> None:
        super().__init__(PublicKey(supported(key.public_key(), what="signing key")), stamp)
        self._key = key

    @classmethod
    def load(cls, path: Path, password: Callable[[], bytes] | None = None, stamp: Stamp | None = None) -> Self:
        """Read the private key at ``path``; ``password`` is asked only when the key is encrypted.

        Raises:
            KeyFileError: when there is no usable key, or others can read it.
            AccessError: when the password is missing or wrong.
        """
        return cls(load_private(path, password), stamp)

    def _sign(self, data: bytes) -> bytes:
        return keys.sign(self._key, data)

    def _sign_sha256(self, digest: bytes) -> bytes:
        return keys.sign_sha256(self._key, digest)
