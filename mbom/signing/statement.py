"""in-toto Statement v1: what is signed about which files.

Source: https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md. mbom writes RFC 8785 and reads any
strict JSON, because other tools that sign models indent theirs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from mbom import strictjson
from mbom.digest import is_sha256
from mbom.errors import FormatError
from mbom.signing.identity import Witness
from mbom.strictjson import Fields, Json

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
STATEMENT_LIMIT = 72 << 20  # bytes: what a bundle of the largest size can carry in base64


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Something named with its SHA-256 in lower-case hex."""

    name: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Seen:
    """When a signature was there.

    Attributes:
        time: by when it was, where somebody whom the caller trusts vouches for that; None where nobody does.
        detail: what is known of the time, in words for people; empty where nothing is.
    """

    time: datetime | None = None
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Statement:
    """A statement: its subjects, at least one and no two of one name, and its predicate.

    What a verifier found out about the signature comes with it: ``witness`` is who made it and when, as a certificate
    and a log say, None for a signature with a plain key; ``seen`` is when it was there.
    """

    subjects: tuple[Subject, ...]
    predicate_type: str
    predicate: dict[str, Json]
    witness: Witness | None = None
    seen: Seen = Seen()


def build(subjects: Sequence[tuple[str, str]], predicate_type: str, predicate: dict[str, Json]) -> bytes:
    """Return the statement about ``subjects``, pairs of a name and a SHA-256 in hex, as RFC 8785 JSON.

    Raises:
        FormatError: when a subject or the predicate cannot stand in a statement.
    """
    listed = [Subject(name=name, sha256=digest) for name, digest in subjects]
    check_subjects(listed, what="statement")
    return strictjson.canonical(
        {
            "_type": STATEMENT_TYPE,
            "subject": [{"name": subject.name, "digest": {"sha256": subject.sha256}} for subject in listed],
            "predicateType": predicate_type,
            "predicate": predicate,
        }
    )


def parse(data: bytes, *, predicate_type: str, what: str, legacy: bool = False) -> Statement:
    """Read a statement strictly.

    Args:
        data: the payload, after its signature has been verified.
        predicate_type: the only one that the caller takes; a signer signs many kinds of statement with one key.
        what: how error messages name the document.
        legacy: whether subjects may carry the annotation of version 0.2 of PyPI ``model-signing``, which says that the
            digest is over the whole file.

    Raises:
        FormatError: on anything malformed, unknown, doubled or of another type.
    """
    fields = Fields(strictjson.loads(data, what=what, limit=STATEMENT_LIMIT), what)
    fields.constant("_type", STATEMENT_TYPE)
    fields.constant("predicateType", predicate_type)
    subjects = []
    for item in fields.objects("subject"):
        digest = item.object("digest")
        subjects.append(Subject(name=item.text("name"), sha256=digest.sha256()))
        digest.end()
        if legacy and item.has("annotations"):
            annotations = item.object("annotations")
            annotations.constant("actual_hash_algorithm", "file-sha256")
            annotations.end()
        item.end()
    check_subjects(subjects, what=what)
    predicate = fields.raw("predicate")
    if not isinstance(predicate, dict):
        raise FormatError(f"{what}: the predicate is not an object")
    fields.end()
    return Statement(subjects=tuple(subjects), predicate_type=predicate_type, predicate=predicate)


def check_subjects(subjects: Sequence[Subject], *, what: str) -> None:
    """Refuse an empty list, an empty name, a name that occurs twice and a malformed digest.

    Raises:
        FormatError: naming the first fault.
    """
    if not subjects:
        raise FormatError(f"{what}: names no file, so it says nothing")
    seen: set[str] = set()
    for subject in subjects:
        if not subject.name:
            raise FormatError(f"{what}: an entry has an empty name")
        if subject.name in seen:
            raise FormatError(f"{what}: the name {subject.name!r} occurs twice")
        if not is_sha256(subject.sha256):
            raise FormatError(f"{what}: the SHA-256 of {subject.name!r} is not 64 lower-case hex digits")
        seen.add(subject.name)
