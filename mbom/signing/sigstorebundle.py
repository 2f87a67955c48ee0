"""Sigstore bundles v0.3 whose signature was made with a plain key: an envelope, or a message signature.

Source: https://github.com/sigstore/protobuf-specs (sigstore_bundle.proto, sigstore_common.proto), in the JSON form
of protocol buffers.
"""

from dataclasses import dataclass

from mbom import strictjson
from mbom.digest import sha256
from mbom.errors import FormatError, SignatureError
from mbom.signing import dsse
from mbom.signing.dsse import Envelope
from mbom.strictjson import Fields, Json

MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
BUNDLE_LIMIT = 96 << 20  # bytes; the largest carries a BOM of up to 64 MB in base64, beside 100,000 subjects
TIMESTAMP_LIMIT = 32 << 10  # bytes; with its certificates an RFC 3161 response has 1,000 to 6,000

_TIMES = "timestampVerificationData"


@dataclass(frozen=True, kw_only=True)
class MessageSignature:
    """A signature over a file, which the bundle identifies by its raw SHA-256 (32 bytes)."""

    digest: bytes
    signature: bytes


@dataclass(frozen=True, kw_only=True)
class KeyBundle:
    """A bundle signed with a key.

    Attributes:
        hint: names that key, is not authenticated, and may be missing.
        content: what was signed.
        timestamp: an RFC 3161 response over the signature in DER, where there is one; nothing in it is verified.
    """

    hint: str | None
    content: Envelope | MessageSignature
    timestamp: bytes | None = None


def write(content: Envelope | MessageSignature, *, hint: str, timestamp: bytes | None = None) -> bytes:
    """Return the bundle that carries ``content``, as JSON."""
    material: dict[str, Json] = {"publicKey": {"hint": hint}, "tlogEntries": []}
    if timestamp is not None:
        material[_TIMES] = {"rfc3161Timestamps": [{"signedTimestamp": dsse.encode(timestamp)}]}
    bundle: dict[str, Json] = {"mediaType": MEDIA_TYPE, "verificationMaterial": material}
    if isinstance(content, Envelope):
        bundle["dsseEnvelope"] = content.to_dict()
    else:
        bundle["messageSignature"] = {
            "messageDigest": {"algorithm": "SHA2_256", "digest": dsse.encode(content.digest)},
            "signature": dsse.encode(content.signature),
        }
    return strictjson.pretty(bundle)


def read(data: bytes, *, what: str) -> KeyBundle:
    """Read a bundle strictly: known members only, exactly one signature, at most one timestamp, no log entries.

    Log entries are refused rather than ignored: next to a plain key nothing here checks them, and what is not checked
    must not look as if it were. A second timestamp is refused because a verifier that takes any one of several lets
    whoever adds one choose the time.

    Raises:
        FormatError: on anything malformed or unknown.
        SignatureError: when the bundle carries a certificate in place of a key.
    """
    top = Fields(strictjson.loads(data, what=what, limit=BUNDLE_LIMIT, floats=False), what)
    top.constant("mediaType", MEDIA_TYPE)
    hint, timestamp = _material(top.object("verificationMaterial"), what)
    content = read_content(top)
    top.end()
    return KeyBundle(hint=hint, content=content, timestamp=timestamp)


def read_content(top: Fields) -> Envelope | MessageSignature:
    """Take what is signed from a bundle: exactly one of an envelope and a message signature.

    Raises:
        FormatError: when there is none, or both, or it is malformed.
    """
    if top.has("dsseEnvelope") == top.has("messageSignature"):
        raise FormatError(f"{top.what}: exactly one of 'dsseEnvelope' and 'messageSignature' belongs in a bundle")
    if top.has("dsseEnvelope"):
        return Envelope.from_fields(top.object("dsseEnvelope"))
    return _message(top.object("messageSignature"))


def _material(material: Fields, what: str) -> tuple[str | None, bytes | None]:
    """Take the key's hint and the timestamp, which may both be missing."""
    for name in ("certificate", "x509CertificateChain"):
        if material.has(name):
            raise SignatureError(
                f"{what}: signed with a certificate (keyless), and what is trusted here is a key; "
                "to trust an identity, give --identity and --issuer"
            )
    key = material.object("publicKey")
    hint = key.optional_text("hint")
    if key.has("rawBytes"):
        # Before version 1.1 the reference tool wrote the whole key, in PEM, and a hint is the digest of just that.
        stated = sha256(dsse.decode(key.text("rawBytes"), what=f"{key.what}: rawBytes"))
        if hint and hint != stated:
            raise FormatError(f"{what}: the hint names another key than the one beside it")
        hint = stated
        key.optional_text("keyDetails")  # the algorithm in words; the trusted key decides on that
    key.end()
    if material.has("tlogEntries") and material.array("tlogEntries"):
        raise FormatError(f"{what}: log entries beside a plain key, which are not checked and so not accepted")
    timestamp = _timestamp(material.object(_TIMES)) if material.has(_TIMES) else None
    material.end()
    return hint or None, timestamp  # protocol buffers do not tell an empty string from a missing one


def _timestamp(data: Fields) -> bytes | None:
    listed = data.objects("rfc3161Timestamps") if data.has("rfc3161Timestamps") else []
    data.end()
    if not listed:
        return None
    if len(listed) > 1:
        raise FormatError(f"{data.what}: {len(listed)} timestamps, at most one is allowed")
    response = dsse.decode(listed[0].text("signedTimestamp"), what=f"{listed[0].what}: signedTimestamp")
    listed[0].end()
    if not 0 < len(response) <= TIMESTAMP_LIMIT:
        raise FormatError(f"{data.what}: a timestamp of {len(response)} bytes, 1 to {TIMESTAMP_LIMIT} are allowed")
    return response


def _message(fields: Fields) -> MessageSignature:
    stated = fields.object("messageDigest")
    stated.constant("algorithm", "SHA2_256")
    digest = dsse.decode(stated.text("digest"), what=f"{stated.what}: digest")
    stated.end()
    if len(digest) != 32:
        raise FormatError(f"{stated.what}: a SHA-256 of {len(digest)} bytes instead of 32")
    signature = dsse.decode(fields.text("signature"), what=f"{fields.what}: signature")
    fields.end()
    return MessageSignature(digest=digest, signature=signature)
