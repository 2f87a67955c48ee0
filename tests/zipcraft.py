"""Zip archives written field by field, so that a test can make any of them lie."""

import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

STORED, DEFLATED = 0, 8
DESCRIBED, UTF8 = 1 << 3, 1 << 11
REGULAR = 0o100644 << 16
LINK = 0o120777 << 16


@dataclass(frozen=True, kw_only=True)
class Member:
    """One member as it is written; ``local`` and ``central`` replace fields in the one header or the other.

    The names of fields are those of APPNOTE.TXT in short: version, flags, method, time, date, crc, packed, size, name,
    extra, and in the directory also made, comment, disk, internal, external, offset.
    """

    name: bytes
    data: bytes = b""
    method: int = DEFLATED
    flags: int = 0
    body: bytes | None = None  # what is written in place of the packed data
    descriptor: bytes | None = None  # what is written behind the data
    before: bytes = b""  # what is written in front of the header
    local: Mapping[str, int | bytes] = field(default_factory=dict)
    central: Mapping[str, int | bytes] = field(default_factory=dict)


def deflated(data: bytes) -> bytes:
    """Return ``data`` as a raw deflate stream."""
    machine = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return machine.compress(data) + machine.flush()


def archive(
    members: Sequence[Member],
    *,
    front: bytes = b"",
    gap: bytes = b"",
    behind: bytes = b"",
    tail: bytes = b"",
    comment: bytes = b"",
    **end: int,
) -> bytes:
    """Return an archive of ``members``.

    Args:
        members: in the order in which they are written.
        front: bytes before the first member, which offsets do not count.
        gap: bytes between the last member and the directory.
        behind: bytes between the directory and the record that ends the archive.
        tail: bytes behind that record.
        comment: the comment of the archive.
        end: fields of the record that ends the archive, replaced: disk, first, here, number, length, start.
    """
    body, directory = bytearray(), bytearray()
    for member in members:
        body += member.before
        own = _fields(member) | {"offset": len(body)}
        body += _local(own | dict(member.local))
        body += _packed(member) + (member.descriptor or b"")
        directory += _central(own | dict(member.central))
    body += gap
    said = {"disk": 0, "first": 0, "here": len(members), "number": len(members), "length": len(directory),
            "start": len(body)} | end  # fmt: skip
    record = struct.pack("<4s4H2IH", b"PK\x05\x06", *said.values(), len(comment))
    return front + bytes(body) + bytes(directory) + behind + record + comment + tail


def _packed(member: Member) -> bytes:
    if member.body is not None:
        return member.body
    return deflated(member.data) if member.method == DEFLATED else member.data


def _fields(member: Member) -> dict[str, int | bytes]:
    return {
        "version": 20, "flags": member.flags, "method": member.method, "time": 0, "date": 33,
        "crc": zlib.crc32(member.data), "packed": len(_packed(member)), "size": len(member.data), "name": member.name,
        "extra": b"", "made": 0x0314, "comment": b"", "disk": 0, "internal": 0, "external": REGULAR, "offset": 0,
    }  # fmt: skip


def _local(said: Mapping[str, int | bytes]) -> bytes:
    name, extra = bytes(said["name"]), bytes(said["extra"])
    numbers = [said[key] for key in ("version", "flags", "method", "time", "date", "crc", "packed", "size")]
    return struct.pack("<4s5H3I2H", b"PK\x03\x04", *numbers, len(name), len(extra)) + name + extra


def _central(said: Mapping[str, int | bytes]) -> bytes:
    name, extra, comment = (bytes(said[key]) for key in ("name", "extra", "comment"))
    numbers = [said[key] for key in ("made", "version", "flags", "method", "time", "date", "crc", "packed", "size")]
    rest = [said[key] for key in ("disk", "internal", "external", "offset")]
    head = struct.pack("<4s6H3I5H2I", b"PK\x01\x02", *numbers, len(name), len(extra), len(comment), *rest)
    return head + name + extra + comment
