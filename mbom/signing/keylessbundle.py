"""Sigstore bundles v0.3 signed with a short-lived certificate, read strictly before any library sees them.

The sigstore library takes the last of two equal members and base64 in several spellings, and ignores timestamps that
do not hold as long as one does. What passes here has one reading, and all of it is checked later, except for what
witnesses of the log write under its checkpoint: nobody has told us their keys.

Source: https://github.com/sigstore/protobuf-specs (sigstore_bundle.proto, sigstore_rekor.proto), in the JSON form of
protocol buffers; https://c2sp.org/tlog-checkpoint.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from mbom import strictjson
from mbom.errors import FormatError, SignatureError
from mbom.signing import dsse
from mbom.signing.dsse import Envelope
from mbom.signing.sigstorebundle import BUNDLE_LIMIT, MEDIA_TYPE, MessageSignature, read_content
from mbom.strictjson import Fields, Json

TIMESTAMPS_LIMIT = 4  # a client asks one authority, or one of each operator that its configuration lists
TIMESTAMP_LIMIT = 32 << 10  # bytes; with its certificates a response has 1,000 to 5,000
BODY_LIMIT = 64 << 10  # bytes; a log entry holds digests, a signature and a certificate
CHECKPOINT_LIMIT = 32 << 10  # characters; one line for each witness
PROOF_LIMIT = 64  # hashes; more than any tree of fewer than 2**64 leaves needs

_UINT64 = re.compile(r"0|[1-9][0-9]{0,19}")
_NOTE_SIGNATURE = re.compile(r"— ([^\s+]+) ([A-Za-z0-9+/=]+)")


@dataclass(frozen=True, kw_only=True)
class KeylessBundle:
    """A bundle as it was read; nothing in it is verified.

    Attributes:
        certificate: the signing certificate in DER.
        log: the id of the log that the entry is said to be in, a SHA-256.
        content: the envelope or message signature.
        integrated: the time in the log entry, in seconds since 1970, which the log's promise covers; None where there
            is no promise, as in Rekor v2.
        timestamps: how many RFC 3161 timestamps the bundle carries.
        document: the bundle as JSON.
    """

    certificate: bytes
    log: bytes
    content: Envelope | MessageSignature
    integrated: int | None
    timestamps: int
    document: dict[str, Json]

    def by_source(self) -> Iterator[bytes]:
        """Yield the bundle as JSON once for each source of time in it, with that source alone."""
        if self.integrated is not None:
            yield self._with_only(promise=True, timestamp=None)
        for index in range(self.timestamps):
            yield self._with_only(promise=False, timestamp=index)

    def _with_only(self, *, promise: bool, timestamp: int | None) -> bytes:
        material = self.document["verificationMaterial"]
        assert isinstance(material, dict)
        entries, stamps = material["tlogEntries"], material.get("timestampVerificationData")
        assert isinstance(entries, list)
        assert isinstance(entries[0], dict)
        entry = dict(entries[0])
        if not promise:
            entry.pop("inclusionPromise", None)
        kept: list[Json] = []
        if timestamp is not None:
            assert isinstance(stamps, dict)
            listed = stamps["rfc3161Timestamps"]
            assert isinstance(listed, list)
            kept = [listed[timestamp]]
        changed: dict[str, Json] = {"tlogEntries": [entry], "timestampVerificationData": {"rfc3161Timestamps": kept}}
        return strictjson.pretty(self.document | {"verificationMaterial": material | changed})


def read(data: bytes, *, what: str) -> KeylessBundle:
    """Read a bundle strictly: known members only, one certificate, one log entry, one signature, canonical base64.

    Raises:
        FormatError: on anything malformed, unknown, doubled or over a limit.
        SignatureError: when the bundle was made with a plain key.
    """
    document = strictjson.loads(data, what=what, limit=BUNDLE_LIMIT, floats=False)
    top = Fields(document, what)
    assert isinstance(document, dict)
    top.constant("mediaType", MEDIA_TYPE)
    material = top.object("verificationMaterial")
    certificate = _certificate(material)
    entries = material.objects("tlogEntries")
    if len(entries) != 1:
        raise FormatError(f"{what}: {len(entries)} log entries, exactly one is allowed")
    log, integrated = _entry(entries[0])
    timestamps = _timestamps(material)
    material.end()
    content = read_content(top)
    top.end()
    if integrated is None and not timestamps:
        raise FormatError(f"{what}: neither the log's promise nor a timestamp says when it was signed")
    return KeylessBundle(
        certificate=certificate,
        log=log,
        content=content,
        integrated=integrated,
        timestamps=timestamps,
        document=document,
    )


def _certificate(material: Fields) -> bytes:
    if material.has("publicKey"):
        raise SignatureError(
            f"{material.what}: signed with a key, and what is trusted here is an identity; to trust a key, give --key"
        )
    if material.has("x509CertificateChain"):
        raise FormatError(f"{material.what}: a chain of certificates, exactly one certificate is allowed")
    fields = material.object("certificate")
    der = _bytes(fields, "rawBytes")
    fields.end()
    return der


def _entry(entry: Fields) -> tuple[bytes, int | None]:
    """Check the form of a log entry, and return the log's id and the time that its promise covers."""
    index = _number(entry, "logIndex")
    identifier = entry.object("logId")
    log = _bytes(identifier, "keyId", size=32)
    identifier.end()
    kind = entry.object("kindVersion")
    version = (kind.text("kind"), kind.text("version"))
    kind.end()
    integrated = _number(entry, "integratedTime") if entry.has("integratedTime") else 0
    promised = entry.has("inclusionPromise")
    if promised:
        promise = entry.object("inclusionPromise")
        _bytes(promise, "signedEntryTimestamp")
        promise.end()
    leaf = _proof(entry.object("inclusionProof"), log)
    _bytes(entry, "canonicalizedBody", limit=BODY_LIMIT)
    entry.end()
    if promised != bool(integrated):
        raise FormatError(f"{entry.what}: 'integratedTime' and 'inclusionPromise', which covers it, belong together")
    # Rekor v1 numbers entries across its shards, so that there the promise covers another index than the proof.
    if version[1] != "0.0.1" and (promised or index != leaf):
        raise FormatError(f"{entry.what}: an entry {'/'.join(version)[:80]} with a promise, or of another index")
    return log, integrated or None


def _proof(proof: Fields, log: bytes) -> int:
    """Check the form of an inclusion proof and that its checkpoint is of the same tree; return the leaf's index."""
    index = _number(proof, "logIndex")
    size = _number(proof, "treeSize")
    root = _bytes(proof, "rootHash", size=32)
    hashes = proof.texts("hashes") if proof.has("hashes") else ()
    if len(hashes) > PROOF_LIMIT:
        raise FormatError(f"{proof.what}: {len(hashes)} hashes, the limit is {PROOF_LIMIT}")
    for text in hashes:
        if len(dsse.decode(text, what=f"{proof.what}: hashes")) != 32:
            raise FormatError(f"{proof.what}: a hash that is no SHA-256")
    checkpoint = proof.object("checkpoint")
    _check_note(checkpoint.text("envelope"), size, root, log, checkpoint.what)
    checkpoint.end()
    proof.end()
    return index


def _check_note(note: str, size: int, root: bytes, log: bytes, what: str) -> None:
    """Refuse a checkpoint of another tree, or one that the log has not signed in its own name exactly once."""
    if len(note) > CHECKPOINT_LIMIT:
        raise FormatError(f"{what}: {len(note)} characters, the limit is {CHECKPOINT_LIMIT}")
    text, _, block = note.partition("\n\n")
    lines = text.split("\n")
    # The library compares the root alone.
    if lines[1:3] != [str(size), dsse.encode(root)]:
        raise FormatError(f"{what}: of another tree than the proof")
    own = []
    for line in block.removesuffix("\n").split("\n"):
        match = _NOTE_SIGNATURE.fullmatch(line)
        if match is None:
            raise FormatError(f"{what}: a line under it that is no signature")
        if dsse.decode(match[2], what=what)[:4] == log[:4]:
            own.append(match[1])
    # Rekor v1 writes the id of the tree behind its name: "rekor.sigstore.dev - 1193050959916656506".
    if own != [lines[0].partition(" - ")[0]]:
        raise FormatError(f"{what}: signed {len(own)} times by the log, or in another name than its own")


def _timestamps(material: Fields) -> int:
    if not material.has("timestampVerificationData"):
        return 0
    data = material.object("timestampVerificationData")
    listed = data.objects("rfc3161Timestamps") if data.has("rfc3161Timestamps") else []
    data.end()
    if len(listed) > TIMESTAMPS_LIMIT:
        raise FormatError(f"{data.what}: {len(listed)} timestamps, the limit is {TIMESTAMPS_LIMIT}")
    for item in listed:
        _bytes(item, "signedTimestamp", limit=TIMESTAMP_LIMIT)
        item.end()
    return len(listed)


def _bytes(fields: Fields, name: str, *, size: int | None = None, limit: int = BODY_LIMIT) -> bytes:
    """Take canonical base64 of ``size`` bytes, or of at least one and at most ``limit``."""
    data = dsse.decode(fields.text(name), what=f"{fields.what}: {name}")
    if not data or len(data) > limit:
        raise FormatError(f"{fields.what}: {name!r} has {len(data)} bytes, 1 to {limit} are allowed")
    if size is not None and len(data) != size:
        raise FormatError(f"{fields.what}: {name!r} has {len(data)} bytes instead of {size}")
    return data


def _number(fields: Fields, name: str) -> int:
    """Take an unsigned integer of 63 bits, which JSON of protocol buffers writes as a string."""
    text = fields.text(name)
    if _UINT64.fullmatch(text) is None or int(text) >= 1 << 63:
        raise FormatError(f"{fields.what}: {name!r} is {text[:40]!r}, not an integer in canonical form")
    return int(text)
