"""What anybody's ``model.sig`` says: OpenSSF Model Signing v1.0 in every form that the specification allows.

Source: https://github.com/ossf/model-signing-spec (spec/v1.0.md, algorithm-registry.md), and what PyPI
``model-signing`` writes where it differs: resources sorted by path component, ``shard_size`` as a fraction, an
``algorithm`` that names the size of the pieces, and ``.`` as the name of a model that is one file. ``mbom.signing.oms``
has the one form that mbom itself writes.

Stricter than the specification: a name occurs once, the subject's digest is computed again, an ignored path is a plain
one. Whether names are safe and which files are there is for the caller, who knows the rules of a checkpoint's names.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from mbom.errors import FormatError
from mbom.signing.oms import LEFT_OUT, PREDICATE_TYPE
from mbom.signing.statement import Statement
from mbom.strictjson import Fields

LEGACY_PREDICATE_TYPE = "https://model_signing/Digests/v0.1"  # what version 0.2 of the reference tool wrote

Algorithm = Literal["sha256", "blake2b", "blake3"]
DIGEST_DIGITS: Mapping[Algorithm, int] = {"sha256": 64, "blake2b": 128, "blake3": 64}

WHOLE_MODEL = "."  # what the reference tool names the file of a model that is one file

_PIECE = re.compile(r"(.+):(0|[1-9][0-9]{0,18}):([1-9][0-9]{0,18})", re.DOTALL)  # greedy: a path may hold colons
_HEX = re.compile(r"[0-9a-f]+")
_GLOB = frozenset("*?[")


@dataclass(frozen=True, kw_only=True)
class Hashing:
    """How files become digests: whole, or in pieces of ``piece`` bytes, the last of a file shorter."""

    algorithm: Algorithm
    piece: int | None = None

    def __str__(self) -> str:
        return self.algorithm if self.piece is None else f"{self.algorithm} of pieces of {self.piece:,} bytes"


@dataclass(frozen=True, kw_only=True)
class SignedFile:
    """One signed file: its digests in lower-case hex, one for each piece, and its size where the pieces tell it."""

    name: str
    digests: tuple[str, ...]
    size: int | None = None


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a signature says about a model.

    Attributes:
        model: what the signer called it; for people only. None in the deprecated format, which has no such name.
        digest: the subject's SHA-256 over the digests in listed order; it binds no names. None like ``model``.
        hashing: how the digests were made.
        files: the signed files, in listed order.
        ignored: paths that the signer left out, each standing for itself and everything below it.
        links: whether the signer followed symbolic links.
        legacy: whether it comes from the deprecated format.
    """

    model: str | None
    digest: str | None
    hashing: Hashing
    files: tuple[SignedFile, ...]
    ignored: tuple[str, ...]
    links: bool
    legacy: bool = False

    def is_ignored(self, name: str) -> bool:
        """Tell whether the signer left out the file ``name``; the tool's defaults count whether listed or not."""
        return not _paths(name.split("/")).isdisjoint((*self.ignored, *LEFT_OUT))


def _paths(parts: Sequence[str]) -> set[str]:
    """Return the path that ``parts`` spell, and those of the folders that it lies in."""
    return {"/".join(parts[:length]) for length in range(1, len(parts) + 1)}


@dataclass(frozen=True, kw_only=True)
class _Resource:
    name: str
    digest: str


def interpret(signed: Statement, *, what: str) -> Manifest:
    """Read the statement of a verified ``model.sig``, in v1.0 or in the deprecated format.

    Args:
        signed: the statement, whose signature has been verified; its predicate type is the one that was asked for.
        what: how error messages name the document.

    Raises:
        FormatError: on anything malformed, unknown, doubled or empty, and when the subject's digest does not follow
            from the resources.
    """
    if signed.predicate_type == LEGACY_PREDICATE_TYPE:
        return _legacy(signed)
    if signed.predicate_type != PREDICATE_TYPE:
        raise FormatError(f"{what}: {signed.predicate_type!r} is no predicate of OpenSSF Model Signing")
    if len(signed.subjects) != 1:
        raise FormatError(f"{what}: {len(signed.subjects)} subjects, exactly one is allowed")
    predicate = Fields(signed.predicate, f"{what}: predicate")
    serialization = predicate.object("serialization")
    hashing = _hashing(serialization)
    links = serialization.boolean("allow_symlinks")
    ignored = serialization.texts("ignore_paths") if serialization.has("ignore_paths") else ()
    serialization.end()
    for path in ignored:
        _check_ignored(path, what=what)
    resources = [_resource(item, hashing) for item in predicate.objects("resources")]
    predicate.end()
    if not resources:
        raise FormatError(f"{what}: names no file, so it says nothing")
    subject = signed.subjects[0]
    if subject.sha256 != hashlib.sha256(b"".join(bytes.fromhex(item.digest) for item in resources)).hexdigest():
        raise FormatError(f"{what}: the digest of the model does not follow from those of its files")
    return Manifest(
        model=subject.name,
        digest=subject.sha256,
        hashing=hashing,
        files=_whole(resources, what) if hashing.piece is None else _pieces(resources, hashing.piece, what),
        ignored=ignored,
        links=links,
    )


def _legacy(signed: Statement) -> Manifest:
    """Read the deprecated format: the subjects are the files, and nothing says how the folder was walked."""
    return Manifest(
        model=None,
        digest=None,
        hashing=Hashing(algorithm="sha256"),
        files=tuple(SignedFile(name=subject.name, digests=(subject.sha256,)) for subject in signed.subjects),
        ignored=(),
        links=False,
        legacy=True,
    )


def _hashing(fields: Fields) -> Hashing:
    method, name = fields.text("method"), fields.text("hash_type")
    algorithm = next((known for known in DIGEST_DIGITS if known == name), None)
    if algorithm is None:
        raise FormatError(f"{fields.what}: the hash is {name[:80]!r}, known are {', '.join(DIGEST_DIGITS)}")
    if method == "files":
        return Hashing(algorithm=algorithm)
    if method != "shards":
        raise FormatError(f"{fields.what}: the method is {method[:80]!r}, known are 'files' and 'shards'")
    # Protocol buffers have no integers in free-form members, so the reference tool writes 1000000000.0.
    size = fields.number("shard_size")
    if not (size.is_integer() and 1 <= size <= 1 << 53):
        raise FormatError(f"{fields.what}: 'shard_size' is {size}, where a positive whole number belongs")
    return Hashing(algorithm=algorithm, piece=int(size))


def _resource(fields: Fields, hashing: Hashing) -> _Resource:
    """Read one resource.

    Members beyond the three are in-toto's optional ones. The specification says to ignore them; nothing rests on them.
    """
    algorithm = fields.text("algorithm")
    allowed = {hashing.algorithm} | ({f"{hashing.algorithm}-sharded-{hashing.piece}"} if hashing.piece else set())
    if algorithm not in allowed:
        raise FormatError(f"{fields.what}: the algorithm is {algorithm[:80]!r}, the manifest says {hashing.algorithm}")
    name, digest = fields.text("name"), fields.text("digest")
    digits = DIGEST_DIGITS[hashing.algorithm]
    if len(digest) != digits or not _HEX.fullmatch(digest):
        raise FormatError(f"{fields.what}: the digest of {name[:80]!r} is not {digits} lower-case hex digits")
    return _Resource(name=name, digest=digest)


def _whole(resources: Sequence[_Resource], what: str) -> tuple[SignedFile, ...]:
    seen: set[str] = set()
    for item in resources:
        if item.name in seen:
            raise FormatError(f"{what}: the name {item.name!r} occurs twice")
        seen.add(item.name)
    return tuple(SignedFile(name=item.name, digests=(item.digest,)) for item in resources)


def _pieces(resources: Sequence[_Resource], size: int, what: str) -> tuple[SignedFile, ...]:
    """Put the pieces of each file together, which must tile it.

    The order that they are listed in is not that of the bytes, because ``w:1000:…`` sorts before ``w:200:…``.
    """
    found: dict[str, dict[int, tuple[int, str]]] = {}
    for item in resources:
        match = _PIECE.fullmatch(item.name)
        if match is None:
            raise FormatError(f"{what}: the name {item.name[:80]!r} has not the form 'path:start:end' of a piece")
        name, start, end = match[1], int(match[2]), int(match[3])
        if start % size or not start < end <= start + size:
            raise FormatError(f"{what}: {item.name[:80]!r} is no piece of {size} bytes")
        if start in found.setdefault(name, {}):
            raise FormatError(f"{what}: the piece of {name!r} at {start} occurs twice")
        found[name][start] = (end, item.digest)
    return tuple(_tiled(name, pieces, what) for name, pieces in found.items())


def _tiled(name: str, pieces: Mapping[int, tuple[int, str]], what: str) -> SignedFile:
    covered = 0
    digests = []
    for start, (end, digest) in sorted(pieces.items()):
        if start != covered:
            raise FormatError(f"{what}: nothing is signed of {name!r} from byte {covered} to {start}")
        covered = end
        digests.append(digest)
    return SignedFile(name=name, digests=tuple(digests), size=covered)


def _check_ignored(path: str, *, what: str) -> None:
    """Refuse what the specification forbids in an ignored path, and ``.``, which would leave out everything."""
    if any(part in ("", ".", "..") for part in path.split("/")) or _GLOB & set(path) or "\\" in path:
        raise FormatError(
            f"{what}: the ignored path {path[:80]!r} is not a plain one below the model's folder, without patterns"
        )
