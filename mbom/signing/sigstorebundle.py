"""Sigstore bundles v0.3 whose signature was made with a plain key: an envelope, or a message signature.

Source: https://github.com/sigstore/protobuf-specs (sigstore_bundle.proto, sigstore_common.proto), in the JSON form
of protocol buffers.
"""

from dataclasses import dataclass

from mbom import strictjson
from mbom.errors import FormatError, SignatureError
from mbom.signing import dsse
from mbom.signing.dsse import Envelope
from mbom.strictjson import Fields, Json

MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
BUNDLE_LIMIT = 96 << 20  # bytes; the largest carries a BOM of up to 64 MB in base64, beside 100,000 subjects


@dataclass(frozen=True, kw_only=True)
class MessageSignature:
    """A signature over a file, which the bundle identifies by its raw SHA-256 (32 bytes)."""

    digest: bytes
    signature: bytes


@dataclass(frozen=True, kw_only=True)
class KeyBundle:
    """A bundle signed with a key. ``hint`` names that key, is not authenticated, and may be missing."""

    hint: str | None
    content: Envelope | MessageSignature


def write(content: Envelope | MessageSignature, *, hint: str) -> bytes:
    """Return the bundle that carries ``content``, as JSON."""
    bundle: dict[str, Json] = {
        "mediaType": MEDIA_TYPE,
        "verificationMaterial": {"publicKey": {"hint": hint}, "tlogEntries": []},
    }
    if isinstance(content, Envelope):
        bundle["dsseEnvelope"] = content.to_dict()
    else:
        bundle["messageSignature"] = {
            "messageDigest": {"algorithm": "SHA2_256", "digest": dsse.encode(content.digest)},
            "signature": dsse.encode(content.signature),
        }
    return strictjson.pretty(bundle)


def read(data: bytes, *, what: str) -> KeyBundle:
    """Read a bundle strictly: known members only, exactly one signature, no log entries.

    Log entries and timestamps are refused rather than ignored: next to a plain key nothing here checks them, and what
    is not checked must not look as if it were.

    Raises:
        FormatError: on anything malformed or unknown.
        SignatureError: when the bundle carries a certificate in place of a key.
    """
    top = Fields(strictjson.loads(data, what=what, limit=BUNDLE_LIMIT, floats=False), what)
    top.constant("mediaType", MEDIA_TYPE)
    hint = _hint(top.object("verificationMaterial"), what)
    if top.has("dsseEnvelope") == top.has("messageSignature"):
        raise FormatError(f"{what}: exactly one of 'dsseEnvelope' and 'messageSignature' belongs in a bundle")
    content: Envelope | MessageSignature
    if top.has("dsseEnvelope"):
        content = Envelope.from_fields(top.object("dsseEnvelope"))
    else:
        content = _message(top.object("messageSignature"))
    top.end()
    return KeyBundle(hint=hint, content=content)


def _hint(material: Fields, what: str) -> str | None:
    for name in ("certificate", "x509CertificateChain"):
        if material.has(name):
            raise SignatureError(f"{what}: signed with a certificate, and what is trusted here is a key")
    key = material.object("publicKey")
    hint = key.optional_text("hint")
    key.end()
    if material.has("tlogEntries") and material.array("tlogEntries"):
        raise FormatError(f"{what}: log entries beside a plain key, which are not checked and so not accepted")
    material.end()
    return hint or None  # protocol buffers do not tell an empty string from a missing one


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
