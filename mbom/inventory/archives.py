"""Archives, looked into without being unpacked: zip, tar and compressed streams, as hostile files.

Sizes, names and check sums that an archive states are not trusted. Where readers of a format disagree on what a broken
archive holds, everything that any of them might find is looked at.
"""

import bz2
import lzma
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mbom.errors import FormatError
from mbom.inventory.views import Part, View

DIRECTORY_LIMIT = 32 << 20  # bytes of a zip's directory; that of 100,000 members takes 10 MB
ENDS_LIMIT = 4  # records that may end a zip archive; an archive whose last member is one has two
LZMA_LIMIT = 64 << 20  # bytes of a decompressor's own memory
DEFLATED = 8
STORED = 0

_END = b"PK\x05\x06"
_CENTRAL = b"PK\x01\x02"
_ENTRY = struct.Struct("<4s6H3I5H2I")  # of a zip's directory: APPNOTE.TXT 4.3.12
_LOCAL = struct.Struct("<4s5H3I2H")  # before a member's bytes: 4.3.7

_MACHINES: dict[str, Callable[[], "zlib._Decompress | bz2.BZ2Decompressor | lzma.LZMADecompressor"]] = {
    "gzip": lambda: zlib.decompressobj(31),
    "zlib": lambda: zlib.decompressobj(15),
    "deflate": lambda: zlib.decompressobj(-15),
    "bzip2": bz2.BZ2Decompressor,
    "xz": lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=LZMA_LIMIT),
    "lzma": lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=LZMA_LIMIT),
}
COMPRESSED = frozenset(_MACHINES) - {"deflate"}


@dataclass(frozen=True, kw_only=True)
class ZipMember:
    """A member of a zip archive.

    Attributes:
        name: as the directory spells it.
        method: how it is packed: ``STORED``, ``DEFLATED`` or another.
        data: its packed bytes; of a deflated one everything that follows, because it says itself where it ends.
    """

    name: str
    method: int
    data: View


def unpack(view: View, kind: str, limit: int) -> tuple[bytes, bool]:
    """Decompress up to ``limit`` bytes, and tell whether that is all that the view holds.

    Raises:
        FormatError: when not a byte of it can be decompressed.
    """
    machine, found, position = _MACHINES[kind](), bytearray(), 0
    try:
        while not machine.eof and len(found) < limit:
            data = getattr(machine, "unconsumed_tail", b"")  # zlib's way to wait; the others keep what they were given
            if not data and getattr(machine, "needs_input", True):
                data = view.read(position, 1 << 16)
                position += len(data)
                if not data:
                    break
            found += machine.decompress(data, limit - len(found))
    except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError) as error:
        if not found:
            raise FormatError(f"no {kind} stream") from error
        return bytes(found), False
    # A second stream behind the first is read by some and not by others; a member of a zip has others behind it.
    alone = kind == "deflate" or (not machine.unused_data.strip(b"\0") and position >= view.size)
    return bytes(found), machine.eof and alone


def zip_members(view: View) -> Iterator[ZipMember]:
    """Yield the members of a zip archive, by every directory that a reader might take for its own.

    Raises:
        FormatError: when there is no directory, one is too large, or it names a member that is not there.
    """
    places = sorted({place for end in _ends(view) for place in _directories(view, end)})
    if not places:
        raise FormatError("a zip archive without a directory")
    wrong = []
    for start, size, shift in places:
        for name, method, packed, offset in _entries(view.read(start, min(size, DIRECTORY_LIMIT))):
            member = _member(view, name, method, packed, offset + shift)
            if member is None:
                wrong.append(name)
            else:
                yield member
    if any(size > DIRECTORY_LIMIT for _, size, _ in places):
        raise FormatError(f"a zip archive whose directory is larger than {DIRECTORY_LIMIT} bytes")
    if wrong:
        raise FormatError(f"a zip archive whose directory names {len(wrong)} members that are not there: {wrong[0]!r}")


def _ends(view: View) -> list[int]:
    """Return where a zip archive may end: in front of the last 64 KiB there is no such record."""
    start = max(0, view.size - (64 << 10) - 22)
    tail = view.read(start, (64 << 10) + 22)
    found, at = list[int](), tail.rfind(_END)
    while at >= 0 and len(found) < ENDS_LIMIT:
        found.append(start + at)
        at = tail.rfind(_END, 0, at)
    return found


def _directories(view: View, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield where the directory may stand: its start, its size, and how much its offsets are short of.

    The record says where, from the archive's own beginning; where something stands in front, readers reckon back from
    the record. Both places are looked at, by the 64-bit record where there is one (4.3.14) and without it.
    """
    record = view.read(end, 22)
    if len(record) < 22:
        return
    said = [(end, *struct.unpack("<2I", record[12:20]))]
    wide = view.read(end - 76, 56) if end >= 76 else b""
    if wide.startswith(b"PK\x06\x06"):
        said.append((end - 76, *struct.unpack("<2Q", wide[40:56])))
    for limit, size, offset in said:
        for start in (offset, limit - size):
            if 0 <= start < limit and view.read(start, 4) == _CENTRAL:
                yield start, limit - start, start - offset


def _entries(data: bytes) -> Iterator[tuple[str, int, int, int]]:
    """Yield name, method, packed size and offset of every entry of a directory."""
    at = 0
    while data.startswith(_CENTRAL, at) and len(data) - at >= _ENTRY.size:
        fields = _ENTRY.unpack_from(data, at)
        name, extra = fields[10], fields[11]
        text = data[at + _ENTRY.size : at + _ENTRY.size + name]
        further = data[at + _ENTRY.size + name : at + _ENTRY.size + name + extra]
        packed, offset = _wide(further, [fields[9], fields[8], fields[16]])
        yield text.decode("utf-8", errors="replace"), fields[4], packed, offset
        at += _ENTRY.size + name + extra + fields[12]


def _wide(extra: bytes, values: list[int]) -> tuple[int, int]:
    """Return packed size and offset, with those that do not fit 32 bits taken from the extra field (4.5.3)."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        if kind == 1:
            wide = [int.from_bytes(extra[i : i + 8], "little") for i in range(at + 4, at + 4 + length - 7, 8)]
            values = [wide.pop(0) if value == 0xFFFFFFFF and wide else value for value in values]
            break
        at += 4 + length
    return values[1], values[2]


def _member(view: View, name: str, method: int, packed: int, offset: int) -> ZipMember | None:
    local = view.read(offset, _LOCAL.size) if offset >= 0 else b""
    if len(local) < _LOCAL.size or not local.startswith(b"PK\x03\x04"):
        return None
    fields = _LOCAL.unpack(local)
    start = offset + _LOCAL.size + fields[9] + fields[10]
    # Where the directory and the member's own header disagree on the method, a packed one is unpacked.
    method = method or fields[3]
    size = packed if method == STORED else view.size - start
    return ZipMember(name=name, method=method, data=Part(view, start, size))


def tar_members(view: View) -> Iterator[tuple[str, Part]]:
    """Yield name and bytes of the members of a tar archive.

    Raises:
        FormatError: when something else than a header stands where one belongs.
    """
    at, blank = 0, 0
    while at < view.size and blank < 2:
        header = view.read(at, 512)
        at += 512
        if not header.strip(b"\0"):
            blank += 1
            continue
        size = _tar_size(header[124:136])
        if size is None or len(header) < 512:
            raise FormatError(f"a tar archive without a header at byte {at - 512}")
        name = header[:100].split(b"\0")[0].decode("utf-8", errors="replace")
        yield name, Part(view, at, size)
        at += (size + 511) // 512 * 512


def _tar_size(digits: bytes) -> int | None:
    if digits[:1] == b"\x80":  # GNU's form for sizes beyond eight gigabytes
        return int.from_bytes(digits[1:], "big")
    text = digits.strip(b"\0 ")
    return int(text or b"0", 8) if re.fullmatch(rb"[0-7]*", text) else None
