import hashlib
import json

import pytest
from sigstore.models import Bundle as StrictPeer
from sigstore.models import InvalidBundle
from sigstore_models.bundle.v1 import Bundle as Peer
from sigstore_models.common.v1 import HashAlgorithm

from mbom.signing import LocalSigner
from mbom.signing.dsse import seal
from mbom.signing.sigstorebundle import KeyBundle, MessageSignature, read, write

DIGEST = hashlib.sha256(b"shard").digest()


def test_an_envelope_is_read_back_as_it_was_written() -> None:
    envelope = seal(b"payload", lambda _: b"signature")
    assert read(write(envelope, hint="ab"), what="b") == KeyBundle(hint="ab", content=envelope)


def test_a_message_signature_is_read_back_as_it_was_written() -> None:
    message = MessageSignature(digest=DIGEST, signature=b"signature")
    assert read(write(message, hint="ab"), what="b") == KeyBundle(hint="ab", content=message)


def test_sigstore_s_models_read_the_envelope_as_we_do(signer: LocalSigner) -> None:
    data = signer.sign_statement(b"payload")
    peer = Peer.from_json(data)
    assert peer.dsse_envelope
    assert peer.dsse_envelope.payload == b"payload"
    assert peer.dsse_envelope.payload_type == "application/vnd.in-toto+json"
    assert peer.verification_material.public_key
    assert peer.verification_material.public_key.hint == hashlib.sha256(signer.public_key.pem).hexdigest()
    assert peer.verification_material.tlog_entries == []
    assert [item.sig for item in peer.dsse_envelope.signatures] == [read(data, what="b").content.signature]


def test_sigstore_s_models_read_the_message_signature_as_we_do(signer: LocalSigner) -> None:
    peer = Peer.from_json(signer.sign_digest(DIGEST.hex()))
    assert peer.message_signature
    assert peer.message_signature.message_digest
    assert peer.message_signature.message_digest.algorithm == HashAlgorithm.SHA2_256
    assert peer.message_signature.message_digest.digest == DIGEST


def test_what_sigstore_s_models_write_is_read(signer: LocalSigner) -> None:
    for data in (signer.sign_statement(b"payload"), signer.sign_digest(DIGEST.hex())):
        assert read(Peer.from_json(data).to_json().encode(), what="b") == read(data, what="b")


def test_the_sigstore_client_misses_nothing_but_the_certificate(signer: LocalSigner) -> None:
    # Its public reader takes keyless bundles only, and looks for the certificate after everything else has parsed.
    for data in (signer.sign_statement(b"payload"), signer.sign_digest(DIGEST.hex())):
        with pytest.raises(InvalidBundle, match="expected certificate in bundle"):
            StrictPeer.from_json(data)


@pytest.mark.parametrize(
    "material",
    [
        {"publicKey": {"hint": "ab"}},
        {"publicKey": {"hint": "ab"}, "tlogEntries": None},
        {"publicKey": {"hint": "ab"}, "tlogEntries": [], "certificate": None},
    ],
    ids=["absent", "null", "other kinds null"],
)
def test_members_that_protocol_buffers_leave_out_may_be_missing(material: object) -> None:
    value = json.loads(write(seal(b"", lambda _: b""), hint="ab")) | {"verificationMaterial": material}
    assert read(json.dumps(value).encode(), what="b").hint == "ab"


@pytest.mark.parametrize("key", [{}, {"hint": ""}, {"hint": None}], ids=["absent", "empty", "null"])
def test_a_hint_may_be_missing(key: object) -> None:
    value = json.loads(write(seal(b"", lambda _: b""), hint="ab")) | {"verificationMaterial": {"publicKey": key}}
    assert read(json.dumps(value).encode(), what="b").hint is None
