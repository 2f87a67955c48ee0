"""Sigstore bundles v0.3 signed under a certificate of a private authority, which they carry with its chain."""

from dataclasses import dataclass

from mbom import strictjson
from mbom.errors import FormatError, SignatureError
from mbom.signing import dsse
from mbom.signing.dsse import Envelope
from mbom.signing.sigstorebundle import BUNDLE_LIMIT, MEDIA_TYPE, MessageSignature, read_content
from mbom.strictjson import Fields

CHAIN_LIMIT = 10  # certificates; code signing takes three, a cross-signed root one more


@dataclass(frozen=True, kw_only=True)
class ChainBundle:
    """The signer's certificate, then those that lead towards a root, each in DER, and what was signed."""

    certificates: tuple[bytes, ...]
    content: Envelope | MessageSignature


def read(data: bytes, *, what: str) -> ChainBundle:
    """Read a bundle strictly: known members only, exactly one signature, no log entries or timestamps.

    Whether to trust the chain is not asked here. Log entries and timestamps are refused rather than ignored: nothing
    checks them, and what is not checked must not look as if it were.

    Raises:
        FormatError: on anything malformed or unknown.
        SignatureError: when the bundle carries a key, or a keyless certificate, in place of a chain.
    """
    top = Fields(strictjson.loads(data, what=what, limit=BUNDLE_LIMIT, floats=False), what)
    top.constant("mediaType", MEDIA_TYPE)
    certificates = _chain(top.object("verificationMaterial"), what)
    content = read_content(top)
    top.end()
    return ChainBundle(certificates=certificates, content=content)


def _chain(material: Fields, what: str) -> tuple[bytes, ...]:
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
    for name, words in (("tlogEntries", "log entries"), ("timestampVerificationData", "timestamps")):
        if material.has(name) and material.raw(name):
            raise FormatError(f"{what}: {words} beside a certificate chain, which are not checked and so not accepted")
    material.end()
    return tuple(certificates)
