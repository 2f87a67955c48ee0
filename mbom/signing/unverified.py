"""What a bundle claims to be, before anything in it is verified.

Claims choose which question to ask and give better sentences. No claim is ever an answer: whatever is asked for on the
ground of a claim, a ``Verifier`` then demands of the verified bytes.
"""

from dataclasses import dataclass
from typing import Literal

from mbom import strictjson
from mbom.errors import FormatError
from mbom.signing import statement
from mbom.signing.dsse import Envelope
from mbom.signing.sigstorebundle import BUNDLE_LIMIT
from mbom.signing.statement import Statement
from mbom.strictjson import Fields

Material = Literal["public key", "certificate chain", "keyless certificate"]
_MATERIALS: dict[str, Material] = {
    "publicKey": "public key",
    "x509CertificateChain": "certificate chain",
    "certificate": "keyless certificate",
}


@dataclass(frozen=True, kw_only=True)
class Claimed:
    """What a bundle says that it is signed with, and its statement's predicate type; None for a file's signature."""

    material: Material
    predicate_type: str | None


def claimed(data: bytes, *, what: str) -> Claimed:
    """Look into a bundle without verifying it.

    Raises:
        FormatError: when it is no strict JSON, signs both or neither of a statement and a file, has not exactly one
            signature, or does not say what it is signed with.
    """
    top = Fields(strictjson.loads(data, what=what, limit=BUNDLE_LIMIT, floats=False), what)
    material = top.object("verificationMaterial")
    named = [words for member, words in _MATERIALS.items() if material.has(member)]
    if len(named) != 1:
        raise FormatError(f"{what}: names {len(named)} ways of signing, exactly one of {', '.join(_MATERIALS)} belongs")
    if top.has("dsseEnvelope") == top.has("messageSignature"):
        raise FormatError(f"{what}: exactly one of 'dsseEnvelope' and 'messageSignature' belongs in a bundle")
    if top.has("messageSignature"):
        return Claimed(material=named[0], predicate_type=None)
    envelope = Envelope.from_fields(top.object("dsseEnvelope"))
    payload = Fields(strictjson.loads(envelope.unverified_payload, what=f"{what}: statement"), f"{what}: statement")
    return Claimed(material=named[0], predicate_type=payload.text("predicateType"))


def claimed_statement(data: bytes, *, predicate_type: str, what: str) -> Statement:
    """Read the statement in a bundle without verifying it: what its author claims, if it is the author's.

    Raises:
        FormatError: when there is none, or it is malformed or of another type.
    """
    top = Fields(strictjson.loads(data, what=what, limit=BUNDLE_LIMIT, floats=False), what)
    envelope = Envelope.from_fields(top.object("dsseEnvelope"))
    return statement.parse(envelope.unverified_payload, predicate_type=predicate_type, what=f"{what}: statement")
