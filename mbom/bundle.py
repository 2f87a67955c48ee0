"""The evidence folder ``NAME.mbom/``: the names of its members, strict reading, all-or-nothing writing.

A record by itself, as ``mbom measure`` writes it, is a folder of two of the members, read and written by the same
rules. Either is also read where somebody packed it into one ``.zip`` file.
"""

import contextlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mbom import strictjson, zipbundle
from mbom.behaviour.numbers import SIZE_LIMIT as NUMBERS_LIMIT
from mbom.behaviour.record import JSON_LIMIT, Record
from mbom.digest import sha256
from mbom.errors import FormatError, RefusedError, StorageError, UsageError
from mbom.inventory.record import DOCUMENT_LIMIT
from mbom.signing.sigstorebundle import BUNDLE_LIMIT
from mbom.source.names import check_name
from mbom.storage import folders, locks
from mbom.strictjson import Json

ATTESTATION = "attestation.sigstore.json"
MODEL_SIGNATURE = "model.sig"
BOM = "bom.cdx.json"
BOM_SIGNATURE = "bom.sigstore.json"
INVENTORY = "inventory.json"
BEHAVIOUR = "behaviour.json"
BEHAVIOUR_NUMBERS = "behaviour.safetensors"
SHARD_FOLDER = "shards/"
SHARD_SUFFIX = ".sigstore.json"

SIGSTORE_BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"

# What each member may weigh, which is never more than its reader takes. A 120B checkpoint needs 7 MB for the numbers
# and under 1 MB for every other member; a 100,000-tensor one 25 MB for the inventory.
MEMBERS: Mapping[str, tuple[str, int]] = {
    ATTESTATION: (SIGSTORE_BUNDLE, 32 << 20),
    MODEL_SIGNATURE: (SIGSTORE_BUNDLE, 32 << 20),
    BOM: ("application/vnd.cyclonedx+json", 64 << 20),
    BOM_SIGNATURE: (SIGSTORE_BUNDLE, BUNDLE_LIMIT),
    INVENTORY: ("application/json", DOCUMENT_LIMIT),
    BEHAVIOUR: ("application/json", JSON_LIMIT),
    BEHAVIOUR_NUMBERS: ("application/octet-stream", NUMBERS_LIMIT),
}
RECORD = frozenset({BEHAVIOUR, BEHAVIOUR_NUMBERS})  # what a record by itself consists of
SHARD_LIMIT = 64 << 10
MEMBERS_LIMIT = 10_000  # the largest checkpoint seen has 163 shards
PATH_DEPTH_LIMIT = 16

Write = Callable[[Mapping[str, bytes]], None]


def shard_member(file: str) -> str:
    """Return the name of the member that holds the signature of the weight file ``file``."""
    return f"{SHARD_FOLDER}{file}{SHARD_SUFFIX}"


def media_type(member: str) -> str:
    """Return the media type of a member by its name."""
    return MEMBERS[member][0] if member in MEMBERS else SIGSTORE_BUNDLE


def is_media_type(member: str, text: str) -> bool:
    """Tell whether ``text`` is a member's media type; of parameters, such as a version, the document itself tells."""
    return text.partition(";")[0].rstrip() == media_type(member)


def _limit(member: str) -> int | None:
    """Return the largest size allowed for a member, or None for a name that no bundle holds."""
    if member in MEMBERS:
        return MEMBERS[member][1]
    if member.startswith(SHARD_FOLDER) and member.endswith(SHARD_SUFFIX):
        return SHARD_LIMIT
    return None


def digest(members: Mapping[str, bytes]) -> str:
    """Return the identity of a bundle: SHA-256 over RFC 8785 JSON of ``[{name, sha256, size}…]``, by name.

    It is the same for a folder and for a ``.zip`` of it, and computed as the model digest is.
    """
    listed: list[Json] = [
        {"name": name, "sha256": sha256(data), "size": len(data)} for name, data in sorted(members.items())
    ]
    return sha256(strictjson.canonical(listed))


def read(path: Path) -> dict[str, bytes]:
    """Read every member of a bundle, a folder or a ``.zip`` of one, into memory, by name.

    Raises:
        StorageError: when there is no bundle, or it is unreadable.
        FormatError: on a member that no bundle holds, a link, a special file, or a size over its limit.
    """
    try:
        root = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise StorageError(f"{path}: no such bundle; `mbom attest` writes one") from error
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from error
    members: dict[str, bytes] = {}
    try:
        mode = os.fstat(root).st_mode
        if stat.S_ISDIR(mode):
            _read_folder(root, "", members, 0)
        elif stat.S_ISREG(mode) and os.pread(root, 4, 0) == zipbundle.MAGIC:
            _read_archive(root, members)
        else:
            raise FormatError(f"bundle: {path.name!r} is none: a bundle is a folder, or a .zip of one")
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror} while reading {error.filename or 'a member'}") from error
    finally:
        os.close(root)
    return members


def _read_folder(folder: int, prefix: str, members: dict[str, bytes], depth: int) -> None:
    if depth > PATH_DEPTH_LIMIT:
        raise FormatError(f"bundle: {prefix} is nested deeper than {PATH_DEPTH_LIMIT} folders")
    with os.scandir(folder) as entries:
        listed = sorted(entries, key=lambda entry: entry.name)
    for entry in listed:
        name = prefix + entry.name
        mode = entry.stat(follow_symlinks=False).st_mode
        if stat.S_ISDIR(mode) and f"{name}/".startswith(SHARD_FOLDER):
            inner = os.open(entry.name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            try:
                _read_folder(inner, f"{name}/", members, depth + 1)
            finally:
                os.close(inner)
            continue
        limit = _allowed(name, members)
        if not stat.S_ISREG(mode):
            raise FormatError(f"bundle: {name} is a link or a special file, only regular files are allowed")
        members[name] = _read_member(folder, entry.name, name, limit)


def _read_archive(archive: int, members: dict[str, bytes]) -> None:
    for entry in zipbundle.entries(archive, what="bundle"):
        limit = _allowed(entry.name, members)
        members[entry.name] = zipbundle.content(archive, entry, limit=limit, what="bundle")


def member_limit(name: str) -> int:
    """Return how large the member of this name may be.

    Raises:
        FormatError: when no bundle holds a member of this name.
    """
    try:
        check_name(name, what="bundle")
    except RefusedError as error:
        raise FormatError(str(error)) from error
    limit = _limit(name)
    if limit is None:
        raise FormatError(f"bundle: {name!r} is not a member that a bundle holds; remove it or refuse the bundle")
    return limit


def _allowed(name: str, members: Mapping[str, bytes]) -> int:
    """Return how large a further member may be, or refuse it."""
    limit = member_limit(name)
    if len(members) >= MEMBERS_LIMIT:
        raise FormatError(f"bundle: more than {MEMBERS_LIMIT} members")
    return limit


def _read_member(folder: int, entry: str, name: str, limit: int) -> bytes:
    handle = os.open(entry, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise FormatError(f"bundle: {name} is a special file, only regular files are allowed")
        data = file.read(limit + 1)
    if len(data) > limit:
        raise FormatError(f"bundle: {name} is larger than {limit} bytes, the limit for this member")
    return data


@dataclass(frozen=True, kw_only=True)
class Held:
    """A behaviour record as it lay in a folder; ``alone`` where the folder holds no other member of a bundle.

    Nobody has checked the signatures of a bundle that it comes from.
    """

    record: Record
    alone: bool


def holds_record(path: Path) -> bool:
    """Tell whether a folder or file claims to hold a record; whether it does is for ``read_record`` to find out."""
    return path.is_file() or os.path.lexists(path / BEHAVIOUR)


def read_record(path: Path) -> Held:
    """Read the behaviour record of a folder that `mbom measure` wrote, or of a bundle, or of a ``.zip`` of either.

    Raises:
        StorageError: when there is nothing, or nothing readable, or no record in it.
        FormatError: as ``read`` and ``Record.from_bytes``, naming the path.
    """
    if not os.path.lexists(path):
        raise StorageError(f"{path}: no such record; `mbom measure` writes one")
    if not path.is_dir() and not path.is_file():
        raise FormatError(f"{path}: not a record: a record is a folder, or a .zip of one")
    try:
        members = read(path)
        return Held(record=_record(members, path), alone=members.keys() == RECORD)
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from error


def _record(members: Mapping[str, bytes], folder: Path) -> Record:
    found = members.keys() & RECORD
    if not found:
        raise StorageError(f"{folder}: holds no behaviour record; `mbom measure` writes one")
    if found != RECORD:
        raise FormatError(f"{BEHAVIOUR} and {BEHAVIOUR_NUMBERS} belong together, one is missing")
    return Record.from_bytes(members[BEHAVIOUR], members[BEHAVIOUR_NUMBERS])


@contextlib.contextmanager
def reserved(folder: Path, *, force: bool, record: bool = False) -> Iterator[Write]:
    """Hold ``folder`` as the output of this run and of no other, from before the work until it is written.

    What a killed run left beside it is cleaned up first. The function that is yielded writes the members: they are
    there whole or not at all, and with ``force`` a bundle that is there is replaced in one step where that is possible.

    Args:
        folder: the bundle to write, or the record by itself.
        force: whether one that is there gives way.
        record: what is to be written is a record by itself: it may replace one, and never a signed bundle.

    Raises:
        UsageError: when something is there that may not be replaced.
        BusyError: when another run holds it.
        FormatError: from the function, when a member is larger than anybody would read it.
        StorageError: when the parent folder is missing, cannot be written or has no locks; from the function, when the
            disk is full or does not allow it, and nothing is left behind.
    """
    place = folder.absolute()
    if not place.parent.is_dir():
        raise StorageError(f"{folder}: the folder {place.parent} does not exist")
    busy = f"{folder}: another run of mbom is writing it; wait for that run to end, or give another path with -o"
    with locks.held(place.with_name(f".{place.name}.lock") if place.name else place / ".lock", busy=busy):
        folders.recover(folder, ours=lambda path: not _strangers(path, record=False))
        check_target(folder, force=force, record=record)

        def write_members(members: Mapping[str, bytes]) -> None:
            check_target(folder, force=force, record=record)  # others than mbom write too, in the hours since
            _check_sizes(members)
            folders.write(folder, members)

        yield write_members


def write(folder: Path, members: Mapping[str, bytes], *, force: bool) -> None:
    """Write a bundle, or a record by itself, that is ready: ``reserved``, and its function called at once.

    Raises:
        MbomError: as ``reserved``.
    """
    with reserved(folder, force=force, record=members.keys() == RECORD) as write_members:
        write_members(members)


def check_target(folder: Path, *, force: bool, record: bool = False) -> None:
    """Refuse an output path before hours of work go into it.

    With ``record``, what is to be written is a record by itself: it may replace one, and never a signed bundle.

    Raises:
        UsageError: when something is there that may not be replaced.
        StorageError: when the parent folder is missing.
    """
    if not folder.absolute().parent.is_dir():
        raise StorageError(f"{folder}: the folder {folder.absolute().parent} does not exist")
    if not os.path.lexists(folder):
        return
    noun = "record" if record else "bundle"
    if not force:
        raise UsageError(f"{folder} exists; give another path with -o, or --force to replace it")
    if folder.is_symlink() or not folder.is_dir():
        raise UsageError(f"{folder} is not a {noun} folder; --force replaces {noun}s only")
    strangers = _strangers(folder, record=record)
    if strangers:
        raise UsageError(f"{folder} holds {min(strangers)!r}, so it is not a {noun}; --force replaces {noun}s only")


def _check_sizes(members: Mapping[str, bytes]) -> None:
    """Refuse to write what ``read`` would refuse."""
    if len(members) > MEMBERS_LIMIT:
        raise FormatError(f"bundle: {len(members)} members, and a bundle has at most {MEMBERS_LIMIT}: too many shards")
    for name, data in members.items():
        limit = _limit(name)
        assert limit is not None, name
        if len(data) > limit:
            raise FormatError(
                f"bundle: {name} would have {len(data)} bytes, and no reader takes more than {limit}: "
                "the checkpoint has too many files or tensors"
            )


def _strangers(folder: Path, *, record: bool) -> set[str]:
    """Return the names in a folder that no bundle has, or no record by itself."""
    names = {entry.name for entry in folder.iterdir()}
    return names - RECORD if record else {name for name in names if _limit(name) is None and name != "shards"}
