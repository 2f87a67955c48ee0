"""Sigstore bundles v0.3 signed with a plain key or under a certificate: an envelope, or a message signature.

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
BUNDLE_LIMIT = 64 << 20  # bytes; a statement about 100,000 files takes 20 MB, base64 included
CHAIN_LIMIT = 10  # certificates; code signing takes three, a cross-signed root one more


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


@dataclass(frozen=True, kw_only=True)
class ChainBundle:
    """A bundle signed under a certificate: the signer's, then those that lead towards a root, each in DER."""

    certificates: tuple[bytes, ...]
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
    content = _content(top, what)
    top.end()
    return KeyBundle(hint=hint, content=content)


def read_chain(data: bytes, *, what: str) -> ChainBundle:
    """Read a bundle signed under a certificate, as strictly as ``read``; whether to trust the chain is not asked here.

    Raises:
        FormatError: on anything malformed or unknown.
        SignatureError: when the bundle carries a key, or a keyless certificate, in place of a chain.
    """
    top = Fields(strictjson.loads(data, what=what, limit=BUNDLE_LIMIT, floats=False), what)
    top.constant("mediaType", MEDIA_TYPE)
    material = top.object("verificationMaterial")
    for name, signed_with in (("publicKey", "a plain key"), ("certificate", "a keyless certificate")):
        if material.has(name):
            raise SignatureError(f"{what}: signed with {signed_with}, and what is trusted here is a certificate chain")
    chain = material.object("x509CertificateChain")
    entries = chain.objects("certificates")
    chain.end()
    if not 1 <= len(entries) <= CHAIN_LIMIT:
        raise FormatError(f"{what}: a chain of {len(entries)} certificates, 1 to {CHAIN_LIMIT} are allowed")
    certificates = []
    for entry in entries:
        certificates.append(dsse.decode(entry.text("rawBytes"), what=f"{entry.what}: rawBytes"))
        entry.end()
    _nothing_else(material, "a certificate chain", what)
    content = _content(top, what)
    top.end()
    return ChainBundle(certificates=tuple(certificates), content=content)


def _content(top: Fields, what: str) -> Envelope | MessageSignature:
    if top.has("dsseEnvelope") == top.has("messageSignature"):
        raise FormatError(f"{what}: exactly one of 'dsseEnvelope' and 'messageSignature' belongs in a bundle")
    if top.has("dsseEnvelope"):
        return Envelope.from_fields(top.object("dsseEnvelope"))
    return _message(top.object("messageSignature"))


def _hint(material: Fields, what: str) -> str | None:
    for name in ("certificate", "x509CertificateChain"):
        if material.has(name):
            raise SignatureError(f"{what}: signed with a certificate, and what is trusted here is a key")
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
    _nothing_else(material, "a plain key", what)
    return hint or None  # protocol buffers do not tell an empty string from a missing one


def _nothing_else(material: Fields, signed_with: str, what: str) -> None:
    if material.has("tlogEntries") and material.array("tlogEntries"):
        raise FormatError(f"{what}: log entries beside {signed_with}, which are not checked and so not accepted")
    material.end()


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
