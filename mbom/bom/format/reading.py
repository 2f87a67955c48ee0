"""Reading a BOM from the disk: that of a bundle, or anybody's file."""

import codecs
import os
import stat
from pathlib import Path

from mbom import strictjson, zipbundle
from mbom.bom.check import BOM_LIMIT
from mbom.errors import FormatError, StorageError
from mbom.inventory.findings import plain
from mbom.strictjson import Json

MEMBER = "bom.cdx.json"  # the bundle's name for it; this part may not import that one, a test holds them equal


def read_document(path: Path) -> tuple[bytes, dict[str, Json]]:
    """Read a CycloneDX document in JSON: a file, or the BOM of a bundle, which is a folder or a ``.zip`` of one.

    A path that the caller names may be a link; the member of a bundle may not. Nothing is said of the document beyond
    its being one: neither its schema nor its signature has been checked.

    Returns:
        The bytes as they lie on the disk, and what they say.

    Raises:
        StorageError: when there is nothing at the path, no BOM in the bundle, or it cannot be read.
        FormatError: for a link or a special file, more than ``BOM_LIMIT`` bytes, anything but strict JSON, or JSON that
            is not a CycloneDX document.
    """
    data = _read(path)
    name = plain(str(path))
    if data[:64].removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"<"):
        raise FormatError(f"{name}: XML or HTML, and CycloneDX is read in JSON only")
    document = strictjson.loads(data, what=name, limit=BOM_LIMIT)
    if not isinstance(document, dict) or document.get("bomFormat") != "CycloneDX":
        raise FormatError(f"{name}: not a CycloneDX document: it has no member bomFormat that says CycloneDX")
    if not isinstance(document.get("specVersion"), str):
        raise FormatError(f"{name}: not a CycloneDX document: specVersion is no text such as 1.7")
    return data, document


def _read(path: Path) -> bytes:
    """Return the bytes of a file, or of the BOM in a bundle."""
    name = plain(str(path))
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise StorageError(f"{name}: no such bundle or BOM; `mbom attest` writes a bundle") from error
    except OSError as error:
        raise StorageError(f"{name}: {error.strerror}") from error
    if not stat.S_ISDIR(os.fstat(handle).st_mode):
        return _drain(handle, name)
    try:
        member = _open_member(handle, name)
    finally:
        os.close(handle)
    return _drain(member, f"{name}/{MEMBER}")


def _open_member(folder: int, name: str) -> int:
    """Open the BOM of a bundle, which is a file of its own and no link to another place."""
    try:
        if stat.S_ISLNK(os.stat(MEMBER, dir_fd=folder, follow_symlinks=False).st_mode):
            raise FormatError(f"{name}: {MEMBER} is a link, only regular files are allowed in a bundle")
        return os.open(MEMBER, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError as error:
        raise StorageError(f"{name}: a folder without {MEMBER}, so no bundle; `mbom attest` writes one") from error
    except OSError as error:
        raise StorageError(f"{name}/{MEMBER}: {error.strerror}") from error


def _drain(handle: int, name: str) -> bytes:
    """Return what an open file holds, and close it."""
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise FormatError(f"{name}: a special file, only regular files and bundles are read")
        try:
            if os.pread(handle, len(zipbundle.MAGIC), 0) == zipbundle.MAGIC:  # which no JSON begins with
                return _packed(handle, name)
            data = file.read(BOM_LIMIT + 1)
        except OSError as error:
            raise StorageError(f"{name}: {error.strerror}") from error
    if len(data) > BOM_LIMIT:
        raise FormatError(f"{name}: larger than {BOM_LIMIT} bytes, the limit for a BOM")
    return data


def _packed(archive: int, name: str) -> bytes:
    """Return the BOM of a bundle that is one file."""
    for entry in zipbundle.entries(archive, what=name):
        if entry.name == MEMBER:
            return zipbundle.content(archive, entry, limit=BOM_LIMIT, what=name)
    raise StorageError(f"{name}: an archive without {MEMBER}, so no bundle; `mbom attest` writes one")
