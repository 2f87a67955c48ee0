"""A bundle that came as one ``.zip`` file: read as a hostile archive, in memory, with nothing unpacked to disk.

Readers of zip disagree on what a crooked archive holds: some believe the directory at the end, some the headers before
each member, some the last of two equal names. So only archives that can be read in one way are read at all: headers,
members and directory follow each other from the first byte to the last, and wherever something is said twice, it is
said alike. That is what ``zip -r``, Python's ``zipfile`` and the artifacts of GitHub Actions write.

Source: PKWARE's APPNOTE.TXT 6.3.10; sections are given beside the fields.
"""

import os
import stat
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import PurePosixPath

from mbom.errors import FormatError, RefusedError
from mbom.source.names import check_name, check_names

MAGIC = b"PK\x03\x04"  # how an archive with at least one member begins
ARCHIVE_LIMIT = 1 << 30  # bytes; a bundle of a 120B model has 8 MB
ENTRIES_LIMIT = 16_000  # members and the folders they lie in; a bundle has up to 10,000 members
DIRECTORY_LIMIT = 8 << 20  # bytes; an entry takes about 100, and twice that with times and owners
VERSION_LIMIT = 20  # 4.4.3: deflate and folders; encryption, other methods and 64-bit sizes need more

_STORED, _DEFLATED = 0, 8
_DESCRIBED = 1 << 3  # 4.4.4: check sum and sizes stand behind the data, because the writer could not go back
_UTF8 = 1 << 11
_FLAGS = _DESCRIBED | _UTF8 | 0b110  # bits 1 and 2 say how hard a deflating writer tried

# Fields that tell times and owners. Others may rename a member or give it other sizes (Unicode path, zip64).
_EXTRAS = {0x000A: "NTFS times", 0x5455: "times", 0x5855: "times and owner", 0x7855: "owner", 0x7875: "owner"}

_LOCAL = struct.Struct("<4s5H3I2H")  # 4.3.7
_ENTRY = struct.Struct("<4s6H3I5H2I")  # 4.3.12
_DESCRIPTOR = struct.Struct("<4s3I")  # 4.3.9
_END = struct.Struct("<4s4H2IH")  # 4.3.16
_FOLDER = 0x10  # an MS-DOS attribute
_CHUNK = 1 << 16  # bytes of packed data that are inflated at once


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A member, or a folder that members lie in.

    Attributes:
        name: with forward slashes, that of a folder without the last one, below the one folder that holds everything
            where there is such a folder.
        folder: whether it is a folder.
        method: how the data is packed, ``_STORED`` or ``_DEFLATED``.
        crc: the CRC-32 of the unpacked data.
        packed: bytes in the archive.
        size: bytes when unpacked.
        offset: where the header before the data begins.
        start: where the data begins.
    """

    name: str
    folder: bool
    method: int
    crc: int
    packed: int
    size: int
    offset: int
    start: int = 0


def entries(descriptor: int, *, what: str) -> tuple[Entry, ...]:
    """Return the members of an open archive, sorted by name, once its whole structure has been checked.

    Where everything lies in one folder, as ``zip -r model.mbom.zip model.mbom`` writes it, that folder is left out of
    the names.

    Args:
        descriptor: a regular file.
        what: how error messages name the archive.

    Raises:
        FormatError: on an archive that is no zip, that readers could read differently, or that is over a limit.
    """
    size = os.fstat(descriptor).st_size
    if size > ARCHIVE_LIMIT:
        raise FormatError(f"{what}: an archive of {size} bytes, the limit is {ARCHIVE_LIMIT}")
    start, length, number = _directory(descriptor, size, what)
    found = []
    end = 0
    listed = _listed(_exactly(descriptor, start, length, what), number, what)
    for entry, record in sorted(listed, key=lambda item: item[0].offset):
        if entry.offset != end:
            fault = "overlaps the one before it" if entry.offset < end else "leaves bytes before it to no member"
            raise FormatError(f"{what}: the member {entry.name!r} {fault}, at byte {entry.offset} and not {end}")
        placed, end = _placed(descriptor, entry, record, start, what)
        found.append(placed)
    if end != start:
        raise FormatError(f"{what}: {start - end} bytes before the directory of the archive belong to no member")
    return _named(found, what)


def content(descriptor: int, entry: Entry, *, limit: int, what: str) -> bytes:
    """Return the data of a member, of which not a byte more than ``limit`` is unpacked.

    Raises:
        FormatError: when it is larger, or not what its header says.
    """
    if entry.size > limit:
        raise FormatError(f"{what}: {entry.name} has {entry.size} bytes, the limit for this member is {limit}")
    if entry.method == _STORED:
        data = _exactly(descriptor, entry.start, entry.packed, what)
    else:
        data = _inflated(descriptor, entry, what)
    if len(data) != entry.size or zlib.crc32(data) != entry.crc:
        raise FormatError(f"{what}: {entry.name} is not what its header says: the archive is damaged or forged")
    return data


def _inflated(descriptor: int, entry: Entry, what: str) -> bytes:
    """Return what a deflated member holds, at most one byte more than it says."""
    machine = zlib.decompressobj(-zlib.MAX_WBITS)
    found = bytearray()
    position, end = entry.start, entry.start + entry.packed
    try:
        while not machine.eof and len(found) <= entry.size:
            data = machine.unconsumed_tail
            if not data:
                data = _exactly(descriptor, position, min(_CHUNK, end - position), what)
                position += len(data)
            if not data:
                break
            found += machine.decompress(data, entry.size + 1 - len(found))
    except zlib.error as error:
        raise FormatError(f"{what}: {entry.name} cannot be inflated: {error}") from error
    if len(found) > entry.size:
        raise FormatError(f"{what}: {entry.name} inflates to more than the {entry.size} bytes that it says")
    if not machine.eof or machine.unused_data or position != end:
        raise FormatError(f"{what}: the deflated data of {entry.name} does not end where its header says")
    return bytes(found)


def _exactly(descriptor: int, start: int, count: int, what: str) -> bytes:
    found = bytearray()
    while len(found) < count and (data := os.pread(descriptor, count - len(found), start + len(found))):
        found += data
    if len(found) != count:
        raise FormatError(f"{what}: the archive ends at byte {start + len(found)}, amid what it says it holds")
    return bytes(found)


def _directory(descriptor: int, size: int, what: str) -> tuple[int, int, int]:
    """Return where the directory begins, its length, and the number of its entries."""
    if size < _END.size:
        raise FormatError(f"{what}: {size} bytes, which is no zip archive")
    magic, disk, first, here, number, length, start, comment = _END.unpack(
        _exactly(descriptor, size - _END.size, _END.size, what)
    )
    if magic != b"PK\x05\x06" or comment:
        raise FormatError(
            f"{what}: does not end with the directory of a zip archive; one with a comment or anything else behind it "
            "is not read"
        )
    if disk or first or here != number:
        raise FormatError(f"{what}: a zip archive in several parts")
    if not 0 < number <= ENTRIES_LIMIT:
        raise FormatError(f"{what}: an archive of {number} entries, 1 to {ENTRIES_LIMIT} are allowed")
    if length > DIRECTORY_LIMIT:
        raise FormatError(f"{what}: a directory of {length} bytes in the archive, the limit is {DIRECTORY_LIMIT}")
    if start + length != size - _END.size:
        raise FormatError(
            f"{what}: the directory of the archive does not lie where its end says: something stands before the "
            "archive, or it is one with 64-bit sizes"
        )
    return start, length, number


def _listed(data: bytes, number: int, what: str) -> Iterator[tuple[Entry, bytes]]:
    """Yield each entry of the directory with its own bytes as far as the name."""
    at = 0
    for _ in range(number):
        if len(data) - at < _ENTRY.size or not data.startswith(b"PK\x01\x02", at):
            raise FormatError(f"{what}: the directory of the archive is broken at its byte {at}")
        fields = _ENTRY.unpack_from(data, at)
        _, _, version, flags, method, _, _, crc, packed, size, name, extra, comment, disk, _, mode, offset = fields
        end = at + _ENTRY.size + name
        record = data[at:end]
        text = _text(record[_ENTRY.size :], flags, what)
        _check_form(text, version, flags, method, what)
        if comment or disk or len(record) != _ENTRY.size + name:
            raise FormatError(f"{what}: {text!r} has a comment, or lies in another part of the archive")
        _check_extra(data[end : end + extra], extra, text, what)
        folder = text.endswith("/")
        _check_kind(text, mode, folder=folder, empty=packed == size == crc == method == 0, what=what)
        if method == _STORED and packed != size:
            raise FormatError(f"{what}: {text!r} is stored with {packed} bytes and said to have {size}")
        yield (
            Entry(name=text, folder=folder, method=method, crc=crc, packed=packed, size=size, offset=offset),
            record,
        )
        at = end + extra
    if at != len(data):
        raise FormatError(f"{what}: {len(data) - at} bytes behind the last entry of the archive's directory")


def _text(name: bytes, flags: int, what: str) -> str:
    try:
        return name.decode("utf-8" if flags & _UTF8 else "ascii", errors="strict")
    except UnicodeDecodeError as error:
        raise FormatError(f"{what}: the name {name[:80]!r} in the archive is in no known encoding") from error


def _check_form(name: str, version: int, flags: int, method: int, what: str) -> None:
    """Refuse what needs more than the plainest reader, or what plain readers would read otherwise."""
    if flags & 0x2041:  # bits 0, 6 and 13: 4.4.4
        raise FormatError(f"{what}: {name!r} is encrypted")
    if flags & ~_FLAGS or version > VERSION_LIMIT:
        raise FormatError(f"{what}: {name!r} needs a reader of version {version / 10} with flags {flags:#06x}")
    if method not in (_STORED, _DEFLATED):
        raise FormatError(f"{what}: {name!r} is packed by method {method}, only stored and deflated are allowed")


def _check_extra(data: bytes, length: int, name: str, what: str) -> None:
    """Refuse extra fields that could say anything else than a time or an owner (4.5)."""
    at = 0
    while at < len(data):
        kind = int.from_bytes(data[at : at + 2], "little")
        at += 4 + int.from_bytes(data[at + 2 : at + 4], "little")
        if kind not in _EXTRAS:
            raise FormatError(f"{what}: {name!r} has the extra field {kind:#06x}, only times and owners are allowed")
    if at != length or len(data) != length:
        raise FormatError(f"{what}: the extra fields of {name!r} are broken")


def _check_kind(name: str, attributes: int, *, folder: bool, empty: bool, what: str) -> None:
    """Refuse links and special files, and folders with content."""
    kind = stat.S_IFMT(attributes >> 16)
    if kind not in (0, stat.S_IFDIR if folder else stat.S_IFREG) or (attributes & _FOLDER and not folder):
        raise FormatError(f"{what}: {name!r} is a link or a special file, only regular files are allowed")
    if folder and not empty:
        raise FormatError(f"{what}: {name!r} is called like a folder and has content")


def _placed(descriptor: int, entry: Entry, record: bytes, limit: int, what: str) -> tuple[Entry, int]:
    """Return an entry with where its data begins, and where it ends, once its own header says the same of it."""
    length = len(record) - _ENTRY.size
    header = _exactly(descriptor, entry.offset, _LOCAL.size + length, what)
    described = int.from_bytes(record[8:10], "little") & _DESCRIBED
    if described and entry.method == _STORED and entry.packed:
        # Only the directory tells where such data ends; who reads from the front would have to guess.
        raise FormatError(f"{what}: {entry.name!r} is stored without its size in front of it")
    # Version, flags, method, time and date; length of the name; the name. Then check sum and sizes.
    alike = header[4:14] == record[6:16] and header[26:28] == record[28:30] and header[30:] == record[_ENTRY.size :]
    for at in (14, 18, 22):
        number = header[at : at + 4]
        alike &= number == record[at + 2 : at + 6] or bool(described and number == bytes(4))
    if not header.startswith(MAGIC) or not alike:
        raise FormatError(f"{what}: the header of {entry.name!r} differs from what the archive's directory says")
    extra = int.from_bytes(header[28:30], "little")
    start = entry.offset + _LOCAL.size + length + extra
    end = start + entry.packed
    if end + (_DESCRIPTOR.size if described else 0) > limit:
        raise FormatError(f"{what}: {entry.name!r} reaches into the directory of the archive")
    _check_extra(_exactly(descriptor, start - extra, extra, what), extra, entry.name, what)
    if described:
        expected = _DESCRIPTOR.pack(b"PK\x07\x08", entry.crc, entry.packed, entry.size)
        if _exactly(descriptor, end, _DESCRIPTOR.size, what) != expected:
            raise FormatError(f"{what}: what stands behind {entry.name!r} differs from the archive's directory")
        end += _DESCRIPTOR.size
    return replace(entry, start=start), end


def _named(found: Sequence[Entry], what: str) -> tuple[Entry, ...]:
    """Return the members under their names in the bundle, none of which could mean another file elsewhere."""
    plain = [replace(entry, name=entry.name.removesuffix("/")) for entry in found]
    members = [entry for entry in plain if not entry.folder]
    for name, following in pairwise(sorted(entry.name for entry in plain)):
        if name == following:
            raise FormatError(f"{what}: the archive holds {name!r} twice")
    try:
        for entry in plain:
            check_name(entry.name, what=what)
        check_names((entry.name for entry in members), what=what)
    except RefusedError as error:
        raise FormatError(str(error)) from error
    above = {str(folder) for entry in members for folder in PurePosixPath(entry.name).parents}
    for entry in plain:
        if entry.folder and entry.name not in above:
            raise FormatError(f"{what}: the archive holds the empty folder {entry.name!r}, which no bundle has")
    tops = {entry.name.partition("/")[0] for entry in members}
    if len(tops) == 1 and all("/" in entry.name for entry in members):
        members = [replace(entry, name=entry.name.partition("/")[2]) for entry in members]
    return tuple(sorted(members, key=lambda entry: entry.name))
