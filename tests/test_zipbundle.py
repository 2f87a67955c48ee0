"""A bundle as one file: what packers write is read as it was, and what can be read in two ways is refused."""

import os
import random
import shutil
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from zipcraft import DESCRIBED, LINK, STORED, UTF8, Member, archive, deflated

from fixtures import bundling
from mbom import bundle, zipbundle
from mbom.bom.format.reading import read_document
from mbom.errors import FormatError, StorageError

FOLDER = bundling.BUNDLES / "v3" / "tiny-gpt-oss.mbom"
BOM = Member(name=b"bom.cdx.json", data=b'{"bomFormat": "CycloneDX"}' * 20)
INVENTORY = Member(name=b"inventory.json", data=b"{}", method=STORED)
SHARD = Member(name=b"shards/model.safetensors.sigstore.json", data=b"{}")
HONEST = (BOM, INVENTORY, SHARD)


def read(tmp_path: Path, data: bytes) -> dict[str, bytes]:
    path = tmp_path / "a.mbom.zip"
    path.write_bytes(data)
    return bundle.read(path)


# ---- what honest packers write ----


def by_python(target: Path, *, compression: int = zipfile.ZIP_DEFLATED) -> None:
    with zipfile.ZipFile(target, "w", compression) as packed:
        for path in sorted(FOLDER.rglob("*")):
            packed.write(path, path.relative_to(FOLDER))


def by_make_archive(target: Path) -> None:
    shutil.make_archive(str(target.with_suffix("")), "zip", FOLDER.parent, FOLDER.name)


def by_python_to_a_pipe(target: Path) -> None:
    """Write without going back, as servers do: check sums and sizes follow the data."""
    with target.open("wb") as file:
        unseekable = os.fdopen(os.dup(file.fileno()), "ab", buffering=0)
        unseekable.seekable = lambda: False  # type: ignore[method-assign]
        with unseekable, zipfile.ZipFile(unseekable, "w", zipfile.ZIP_DEFLATED) as packed:
            for path in sorted(FOLDER.rglob("*")):
                if path.is_file():
                    packed.writestr(str(path.relative_to(FOLDER)), path.read_bytes())


def by_zip(*arguments: str, inside: bool) -> Callable[[Path], None]:
    def pack(target: Path) -> None:
        if shutil.which("zip") is None:
            pytest.skip("there is no zip on this machine")
        what, where = (".", FOLDER) if inside else (FOLDER.name, FOLDER.parent)
        subprocess.run(["zip", "-qr", *arguments, target, what], cwd=where, check=True)

    return pack


def by_zip_to_a_pipe(target: Path) -> None:
    if shutil.which("zip") is None:
        pytest.skip("there is no zip on this machine")
    run = subprocess.run(["zip", "-qr", "-", FOLDER.name], cwd=FOLDER.parent, check=True, stdout=subprocess.PIPE)
    target.write_bytes(run.stdout)


PACKERS: dict[str, Callable[[Path], None]] = {
    "Python": by_python,
    "Python, stored": lambda target: by_python(target, compression=zipfile.ZIP_STORED),
    "Python, to a pipe": by_python_to_a_pipe,
    "Python's make_archive": by_make_archive,
    "zip, of the folder": by_zip(inside=False),
    "zip, in the folder": by_zip(inside=True),
    "zip, without times and owners": by_zip("-X", "-0", inside=True),
    "zip, to a pipe": by_zip_to_a_pipe,
}


@pytest.mark.parametrize("packer", PACKERS)
def test_what_a_packer_writes_is_read_as_the_folder_is(tmp_path: Path, packer: str) -> None:
    PACKERS[packer](tmp_path / "a.zip")
    assert bundle.read(tmp_path / "a.zip") == bundle.read(FOLDER)
    with zipfile.ZipFile(tmp_path / "a.zip") as packed:
        assert packed.testzip() is None


def test_what_is_crafted_here_is_an_archive_to_python_too(tmp_path: Path) -> None:
    expected = {member.name.decode(): member.data for member in HONEST}
    assert read(tmp_path, archive(HONEST)) == expected
    with zipfile.ZipFile(tmp_path / "a.mbom.zip") as packed:
        assert {name: packed.read(name) for name in packed.namelist()} == expected


def described(member: Member, **changes: int) -> Member:
    """Return a deflated member whose check sum and sizes stand behind it."""
    data = deflated(member.data)
    values = {"crc": zlib.crc32(member.data), "packed": len(data), "size": len(member.data)} | changes
    return replace(
        member,
        flags=DESCRIBED,
        local={"crc": 0, "packed": 0, "size": 0},
        descriptor=struct.pack("<4s3I", b"PK\x07\x08", *values.values()),
    )


def test_sizes_behind_the_data_are_read(tmp_path: Path) -> None:
    assert read(tmp_path, archive([described(BOM), INVENTORY]))["bom.cdx.json"] == BOM.data


def test_members_may_be_written_in_another_order_than_they_are_listed(tmp_path: Path) -> None:
    data = archive(HONEST)
    end = len(data) - 22
    start = struct.unpack_from("<I", data, end + 16)[0]
    first = 46 + len(BOM.name)
    turned = data[:start] + data[start + first : end] + data[start : start + first] + data[end:]
    assert read(tmp_path, turned) == read(tmp_path, data)


# ---- what could be read in two ways, or costs more than it may ----


def beside(*members: Member, **changes: bytes | int) -> bytes:
    return archive([*HONEST, *members], **changes)  # type: ignore[arg-type]


def changed(**central: int | bytes) -> bytes:
    return archive([replace(BOM, central=central), INVENTORY])


def in_both(**values: int | bytes) -> bytes:
    return archive([replace(BOM, central=values, local=values), INVENTORY])


ZIP64 = struct.pack("<2HQ", 1, 8, 5)
UNICODE_PATH = struct.pack("<2HBI", 0x7075, 17, 1, zlib.crc32(BOM.name)) + b"behaviour.js"
SHARDS = Member(name=b"shards/", method=STORED, central={"external": 0o040755 << 16 | 0x10})


@cache
def bomb() -> bytes:
    """Return 70 MB of zeros, packed to 70 kB: more than a BOM may have."""
    return deflated(bytes(70 << 20))


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "a name with traversal": (lambda: beside(Member(name=b"shards/../../x.sigstore.json")), "steps through"),
    "an absolute name": (lambda: beside(Member(name=b"/etc/inventory.json")), "absolute"),
    "a drive": (lambda: beside(Member(name=b"C:/inventory.json")), "not a member"),
    "a backslash": (lambda: beside(Member(name=b"shards\\..\\x.sigstore.json")), "backslash"),
    "a NUL in a name": (lambda: beside(Member(name=b"behaviour.json\0.txt")), "control"),
    "a line break in a name": (lambda: beside(Member(name=b"shards/a\nb.sigstore.json")), "control"),
    "text turned round in a name": (
        lambda: beside(Member(name="shards/\u202ex.sigstore.json".encode(), flags=UTF8)), "formatting"),
    "an empty name": (lambda: beside(Member(name=b"")), "plain relative path"),
    "a name in the alphabet of DOS": (lambda: beside(Member(name=b"shards/\x8e.sigstore.json")), "encoding"),
    "a name that is not UTF-8": (lambda: beside(Member(name=b"shards/\xff.sigstore.json", flags=UTF8)), "encoding"),
    "a name not in normal form": (
        lambda: beside(Member(name="shards/u\u0308.sigstore.json".encode(), flags=UTF8)), "normal form"),
    "a stranger": (lambda: beside(Member(name=b"notes.txt")), "not a member"),
    "a member in another case": (lambda: beside(Member(name=b"BOM.cdx.json")), "fold case"),
    "a member in the folder of another": (
        lambda: archive([SHARD, Member(name=SHARD.name + b"/x.sigstore.json")]), "also the folder"),
    "a member twice": (lambda: beside(BOM), "twice"),
    "a member twice with two contents": (lambda: beside(replace(BOM, data=b"{}")), "twice"),
    "two folders": (
        lambda: archive([replace(BOM, name=b"a/bom.cdx.json"), replace(INVENTORY, name=b"b/inventory.json")]),
        "not a member"),
    "two folders around everything": (lambda: archive([replace(BOM, name=b"a/b/bom.cdx.json")]), "not a member"),
    "a folder that holds nothing": (lambda: beside(replace(SHARDS, name=b"original/")), "empty folder"),
    "a folder with content": (lambda: beside(replace(SHARDS, data=b"x")), "has content"),
    "a member that is also a folder": (
        lambda: archive([SHARD, SHARDS, Member(name=b"shards", method=STORED)]), "twice"),
    "a symbolic link": (lambda: changed(external=LINK), "link"),
    "a FIFO": (lambda: changed(external=0o010644 << 16), "special file"),
    "a device": (lambda: changed(external=0o020644 << 16), "special file"),
    "a folder's mark on a member": (lambda: changed(external=0x10), "special file"),
    "a folder's mode on a member": (lambda: changed(external=0o040755 << 16), "special file"),
    "a member that is encrypted": (lambda: in_both(flags=1), "encrypted"),
    "strong encryption": (lambda: in_both(flags=1 << 6), "encrypted"),
    "masked headers": (lambda: in_both(flags=1 << 13), "encrypted"),
    "patched data": (lambda: in_both(flags=1 << 5), "flags 0x0020"),
    "bzip2": (lambda: in_both(method=12), "method 12"),
    "lzma": (lambda: in_both(method=14), "method 14"),
    "zstandard": (lambda: in_both(method=93), "method 93"),
    "a version for 64-bit sizes": (lambda: in_both(version=45), "version 4.5"),
    "a 64-bit size": (lambda: in_both(extra=ZIP64), "extra field 0x0001"),
    "another name in an extra field": (lambda: in_both(extra=UNICODE_PATH), "extra field 0x7075"),
    "another name in the member's extra field only": (
        lambda: archive([replace(BOM, local={"extra": UNICODE_PATH}), INVENTORY]), "extra field 0x7075"),
    "an extra field that breaks off": (lambda: in_both(extra=b"UT\xff\x00x"), "extra fields"),
    "half an extra field": (lambda: in_both(extra=b"UT\x00"), "extra fields"),
    "a comment on a member": (lambda: changed(comment=b"PK\x05\x06"), "comment"),
    "a member on another disk": (lambda: changed(disk=1), "another part"),
    "another name in front of the member": (
        lambda: archive([replace(BOM, local={"name": b"bom.cdx.jsom"}), INVENTORY]), "differs from"),
    "a longer name in front of the member": (
        lambda: archive([replace(BOM, local={"name": b"bom.cdx.json2"}), INVENTORY]), "differs from"),
    "another size in front of the member": (lambda: archive([replace(BOM, local={"size": 3}), INVENTORY]), "differs"),
    "another packed size in front": (lambda: archive([replace(BOM, local={"packed": 3}), INVENTORY]), "differs from"),
    "another check sum in front": (lambda: archive([replace(BOM, local={"crc": 3}), INVENTORY]), "differs from"),
    "another method in front": (lambda: archive([replace(BOM, local={"method": 0}), INVENTORY]), "differs from"),
    "other flags in front": (lambda: archive([replace(BOM, local={"flags": 8}), INVENTORY]), "differs from"),
    "another time in front": (lambda: archive([replace(BOM, local={"date": 34}), INVENTORY]), "differs from"),
    "no sizes in front, and none behind": (
        lambda: archive([replace(BOM, local={"crc": 0, "packed": 0, "size": 0}), INVENTORY]), "differs from"),
    "other sizes behind the member": (lambda: archive([described(BOM, size=1), INVENTORY]), "behind 'bom.cdx.json'"),
    "another check sum behind the member": (lambda: archive([described(BOM, crc=1), INVENTORY]), "behind"),
    "no sizes behind the member": (
        lambda: archive([replace(described(BOM), descriptor=None), INVENTORY]), "behind"),
    "nothing behind the last member": (
        lambda: archive([replace(described(BOM), descriptor=None)]), "into the directory"),
    "stored data whose end nobody tells": (
        lambda: archive([replace(described(replace(BOM, method=STORED)), central={"packed": len(BOM.data)},
                                 descriptor=b"x" * 16)]), "without its size"),
    "a wrong check sum": (lambda: in_both(crc=7), "not what its header says"),
    "stored with two sizes": (lambda: archive([replace(INVENTORY, central={"size": 3}, local={"size": 3})]), "stored"),
    "a packer's script in front": (lambda: beside(front=b"#!/bin/sh\n"), "is a folder"),
    "an archive in front": (lambda: beside(front=archive([INVENTORY])), "does not lie where"),
    "an archive behind": (lambda: beside(tail=archive([INVENTORY])), "does not lie where"),
    "bytes behind": (lambda: beside(tail=b"\0"), "does not end with"),
    "a comment": (lambda: beside(comment=b"hello"), "comment"),
    "an archive in the comment": (lambda: beside(comment=archive([INVENTORY])), "does not lie where"),
    "bytes between members": (lambda: archive([BOM, replace(INVENTORY, before=b"hidden")]), "leaves bytes"),
    "bytes before the directory": (lambda: beside(gap=b"hidden"), "belong to no member"),
    "a member that the directory does not list": (
        lambda: beside(gap=archive([INVENTORY])[:50]), "belong to no member"),
    "bytes behind the directory": (lambda: beside(behind=b"PK\x06\x06" + bytes(52)), "does not lie where"),
    "two members at one place": (
        lambda: archive([BOM, replace(BOM, name=b"inventory.json", central={"offset": 0})]), "overlaps"),
    "a member within another": (
        lambda: archive([replace(BOM, method=STORED, data=archive([INVENTORY])),
                         replace(INVENTORY, central={"offset": 30 + len(BOM.name)})]), "overlaps"),
    "a member behind the end": (lambda: changed(offset=1 << 31), "leaves bytes"),
    "a member larger than the archive": (lambda: in_both(packed=1 << 30), "into the directory"),
    "several parts": (lambda: beside(disk=1), "several parts"),
    "a directory that lists fewer": (lambda: beside(here=2, number=2), "behind the last entry"),
    "a directory that lists more": (lambda: beside(here=4, number=4), "broken"),
    "a directory that lists none": (lambda: archive([]), "is a folder"),
    "a directory of a million": (lambda: beside(here=65535, number=65535), "65535 entries"),
    "a directory in 64 bits": (lambda: beside(length=0xFFFFFFFF, start=0xFFFFFFFF), "the limit is"),
    "a bomb": (lambda: archive([replace(BOM, data=bytes(70 << 20), body=bomb())]), "the limit for this member"),
    "a bomb that says it is small": (lambda: archive([replace(BOM, body=bomb())]), "inflates to more"),
    "a bomb among shards": (lambda: archive([BOM, replace(SHARD, data=bytes(70000))]), "limit"),
    "deflated data that goes on": (
        lambda: archive([replace(BOM, body=deflated(BOM.data) + b"hidden")]), "does not end"),
    "deflated data that breaks off": (lambda: archive([replace(BOM, body=deflated(BOM.data)[:-3])]), "does not end"),
    "two deflated streams": (lambda: archive([replace(BOM, body=deflated(BOM.data) * 2)]), "does not end"),
    "deflated data that is none": (lambda: archive([replace(BOM, body=b"\xff" * 20)]), "cannot be inflated"),
    "no data where some is said to be": (lambda: archive([replace(BOM, body=b"")]), "does not end"),
    "half an archive": (lambda: beside()[:100], "does not end with"),
    "less than an end": (lambda: beside()[:20], "no zip archive"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_crooked_archive_is_refused(tmp_path: Path, name: str) -> None:
    make, reason = HOSTILE[name]
    with pytest.raises(FormatError, match=reason) as refusal:
        read(tmp_path, make())
    assert str(refusal.value).startswith("bundle: ")
    assert [path.name for path in tmp_path.iterdir()] == ["a.mbom.zip"]


def test_there_are_fewer_ways_to_read_than_python_takes(tmp_path: Path) -> None:
    """What the standard library reads, or does not notice, is a measure of why it is not used."""
    taken = 0
    for make, _ in HOSTILE.values():
        (tmp_path / "a.zip").write_bytes(make())
        try:
            with zipfile.ZipFile(tmp_path / "a.zip") as packed:
                taken += packed.testzip() is None
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, OSError, EOFError, zlib.error):
            continue
    assert taken > 20


def test_an_archive_over_the_limit_is_refused_by_its_size_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(archive(HONEST))
    os.truncate(path, zipbundle.ARCHIVE_LIMIT + 1)
    with pytest.raises(FormatError, match=f"the limit is {zipbundle.ARCHIVE_LIMIT}"):
        bundle.read(path)


def test_a_large_directory_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=f"the limit is {zipbundle.DIRECTORY_LIMIT}"):
        read(tmp_path, beside(length=zipbundle.DIRECTORY_LIMIT + 1))


def test_a_bomb_costs_no_more_memory_than_the_member_may_have(tmp_path: Path) -> None:
    """In a process of its own, whose peak shows what was held at once."""
    (tmp_path / "a.zip").write_bytes(archive([replace(BOM, body=bomb(), central={"size": 1000}, local={"size": 1000})]))
    script = (
        "import resource, sys; from pathlib import Path; from mbom import bundle, errors\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try:\n    bundle.read(Path(sys.argv[1]))\n"
        "except errors.FormatError:\n    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "a.zip"], capture_output=True, text=True, check=True, timeout=60
    )
    assert int(run.stdout) < 20_000  # kilobytes


@contextmanager
def opened(data: bytes, tmp_path: Path) -> Iterator[int]:
    (tmp_path / "a.zip").write_bytes(data)
    descriptor = os.open(tmp_path / "a.zip", os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def test_an_archive_that_shrinks_while_it_is_read_is_refused(tmp_path: Path) -> None:
    with opened(archive(HONEST), tmp_path) as descriptor:
        found = zipbundle.entries(descriptor, what="bundle")
        os.truncate(tmp_path / "a.zip", 50)
        with pytest.raises(FormatError, match="ends at byte 50"):
            zipbundle.content(descriptor, found[0], limit=1 << 20, what="bundle")


@pytest.mark.parametrize("packer", ["crafted", "Python, to a pipe"])
def test_no_bit_can_be_flipped_so_that_another_bundle_is_read(tmp_path: Path, packer: str) -> None:
    """What may change without being noticed is what no reader looks at: times, owners, the system of the packer."""
    if packer == "crafted":
        data = archive([described(BOM), INVENTORY, SHARD])
    else:
        PACKERS[packer](tmp_path / "b.zip")
        data = (tmp_path / "b.zip").read_bytes()
    honest = read(tmp_path, data)
    chance = random.Random(1)
    bits = [chance.randrange(len(data) * 8) for _ in range(600 if len(data) < 1000 else 60)]
    same = 0
    for bit in bits:
        bent = bytearray(data)
        bent[bit // 8] ^= 1 << bit % 8
        with suppress(FormatError):
            assert read(tmp_path, bytes(bent)) == honest
            same += 1
    assert same < len(bits) / 10


def test_cut_archives_are_refused(tmp_path: Path) -> None:
    data = archive(HONEST)
    for end in range(4, len(data), 3):
        with pytest.raises(FormatError):
            read(tmp_path, data[:end])


def test_a_bundle_without_a_bom_is_no_archive_of_a_bom(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(archive([INVENTORY]))
    with pytest.raises(StorageError, match=r"without bom\.cdx\.json"):
        read_document(tmp_path / "a.zip")
    (tmp_path / "b.zip").write_bytes(archive([BOM, INVENTORY], tail=b"x"))
    with pytest.raises(FormatError, match=r"b\.zip: does not end with"):
        read_document(tmp_path / "b.zip")
