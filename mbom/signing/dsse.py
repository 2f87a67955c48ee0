"""Dead Simple Signing Envelope, with one signature over one in-toto payload.

Source: https://github.com/secure-systems-lab/dsse (v1.0.2, protocol.md and envelope.md).
"""

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from mbom.errors import FormatError, SignatureError
from mbom.signing.keys import PublicKey
from mbom.strictjson import Fields, Json

PAYLOAD_TYPE = "application/vnd.in-toto+json"


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """An envelope as it was read or made. The payload of one that was read means nothing before ``open``."""

    unverified_payload: bytes
    signature: bytes

    def open(self, key: PublicKey, *, what: str, legacy: bool = False) -> bytes:
        """Return the payload once its signature holds under ``key``; ``legacy`` allows that of ``legacy_pae`` too.

        Raises:
            SignatureError: when it does not.
        """
        try:
            key.verify(pae(self.unverified_payload), self.signature, what=what)
        except SignatureError:
            if not legacy:
                raise
            digest = hashlib.sha256(legacy_pae(self.unverified_payload)).digest()
            key.verify_sha256(digest, self.signature, what=what)
        return self.unverified_payload

    def to_dict(self) -> dict[str, Json]:
        """Return the envelope as JSON."""
        return {
            "payload": encode(self.unverified_payload),
            "payloadType": PAYLOAD_TYPE,
            # The key is named once, by the bundle's hint; an empty keyid is what peers write in its place.
            "signatures": [{"sig": encode(self.signature), "keyid": ""}],
        }

    @classmethod
    def from_fields(cls, fields: Fields) -> "Envelope":
        """Read an envelope strictly.

        A second signature is refused rather than tried, because a verifier that takes any one of several lets
        whoever adds one choose which counts.

        Raises:
            FormatError: on anything malformed, and on another payload type or number of signatures.
        """
        fields.constant("payloadType", PAYLOAD_TYPE)
        payload = decode(fields.text("payload"), what=f"{fields.what}: payload")
        signatures = fields.objects("signatures")
        if len(signatures) != 1:
            raise FormatError(f"{fields.what}: {len(signatures)} signatures, exactly one is allowed")
        signature = decode(signatures[0].text("sig"), what=f"{fields.what}: sig")
        if signatures[0].has("keyid"):
            signatures[0].constant("keyid", "")
        signatures[0].end()
        fields.end()
        return cls(unverified_payload=payload, signature=signature)


def seal(payload: bytes, sign: Callable[[bytes], bytes]) -> Envelope:
    """Return ``payload`` in an envelope; ``sign`` maps bytes to the signature over them."""
    return Envelope(unverified_payload=payload, signature=sign(pae(payload)))


def pae(payload: bytes, payload_type: str = PAYLOAD_TYPE) -> bytes:
    """Return the pre-authentication encoding, which is what is signed. Both lengths count bytes."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def legacy_pae(payload: bytes) -> bytes:
    """Return what version 0.2 of PyPI ``model-signing`` signed in place of ``pae``, always with SHA-256.

    The payload stands in it as Python's literal of the bytes. That is still one to one, and the first word, which is
    in capitals, keeps it apart from every real encoding.
    """
    return f"DSSEV1 {len(PAYLOAD_TYPE)} {PAYLOAD_TYPE} {len(payload)} {payload!r}".encode()


def encode(data: bytes) -> str:
    """Return ``data`` in standard base64 with padding."""
    return base64.b64encode(data).decode()


def decode(text: str, *, what: str) -> bytes:
    """Return the bytes of ``text``, which must be the one base64 spelling that ``encode`` gives them.

    Raises:
        FormatError: for white space, another alphabet, missing padding, or bits set beyond the last byte.
    """
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise FormatError(f"{what}: not base64") from error
    if encode(data) != text:
        raise FormatError(f"{what}: not the canonical base64 of its bytes")
    return data
