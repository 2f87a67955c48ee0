"""What an interrupted attestation has hashed, so that the next run of the same one need not hash it again.

Trusting a note instead of the bytes is a risk that has to be bounded: a file that rotted or was exchanged since would
be signed under its old digest. What is signed stays true, that mbom read every byte, and it is held to be true still by
these rules:

* One journal belongs to one attestation: same checkpoint and commit, same output, same options, same version of mbom,
  same start of the machine (what a power failure leaves of a file that was never flushed can have all its times right).
  It is deleted when the bundle is written, and unused ``REUSE_SECONDS`` after a file was read. Nothing else has a
  journal: who verifies, measures or inspects reads every byte.
* A file is only noted when its last change lies ``SETTLED_NS`` before it was opened: a clock that ticks too rarely
  would give a later change the same time.
* A note only counts when device, inode, size and both times are the same, the header is read again and has the digest
  that was noted, and so has the content of one tensor that nobody can foresee. All findings are made anew.
* Only weights that were read as sound safetensors are noted. All other files are read again.
* Each line carries its own digest; a journal that is damaged, or that another user could have written, is not believed
  in any line. Whoever can write as the user can make his mbom say anything, here as elsewhere.
"""

import contextlib
import json
import os
import re
import secrets
import stat
import threading
import time
from dataclasses import dataclass, fields
from pathlib import Path

from blake3 import blake3

from mbom import __version__, strictjson
from mbom.digest import sha256
from mbom.errors import FormatError, RefusedError, StorageError
from mbom.inventory.identity import Identity
from mbom.inventory.notfinite import NotFinite
from mbom.inventory.opening import FLAGS, opened
from mbom.inventory.reading import CHUNK, HEAD, Reading, disagreement
from mbom.source import LocalFile, Origin
from mbom.strictjson import Fields, Json
from mbom.tensorfile import PREFIX, Header, TensorInfo, header_length, parse_header

REUSE_SECONDS = 24 * 3600  # an attestation of a terabyte takes some hours
SETTLED_NS = 2_000_000_000  # the coarsest clock of a file system, that of FAT
JOURNAL_LIMIT = 256 << 20  # bytes; a million tensors take 67 MB
LINE_LIMIT = 64 << 20  # bytes; the same million in one file

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_SUFFIX = ".journal"
_NUMBERS = re.compile(r"(?:[0-9]{1,20}:){4}[0-9]{1,20}")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What is noted of one file: which it was, when it was read, its digests, and that of its header's bytes."""

    name: str
    identity: Identity
    read: int
    sha256: str
    header: str
    blake3: tuple[str, ...]

    def to_line(self) -> bytes:
        """Return the entry as a line of the journal: its digest, and itself as JSON."""
        numbers = ":".join(str(getattr(self.identity, field.name)) for field in fields(Identity))  # beyond 2**53
        document = {
            "name": self.name,
            "identity": numbers,
            "read": self.read,
            "sha256": self.sha256,
            "header": self.header,
            "blake3": list(self.blake3),
        }
        data = json.dumps(document, separators=(",", ":")).encode()
        return f"{sha256(data)} ".encode() + data + b"\n"

    @classmethod
    def from_line(cls, line: bytes, what: str) -> "Entry":
        """Read a line without its end.

        Raises:
            FormatError: for anything that ``to_line`` does not write.
        """
        digest, _, data = line.partition(b" ")
        if digest != sha256(data).encode():
            raise FormatError(f"{what}: a line that is not what its digest says")
        taken = Fields(strictjson.loads(data, what=what, limit=LINE_LIMIT, floats=False), what)
        numbers = taken.text("identity")
        if _NUMBERS.fullmatch(numbers) is None:
            raise FormatError(f"{what}: {numbers[:120]!r} is no identity of a file")
        device, inode, size, mtime, ctime = (int(number) for number in numbers.split(":"))
        tensors = taken.texts("blake3")
        if any(re.fullmatch("[0-9a-f]{64}", digest) is None for digest in tensors):
            raise FormatError(f"{what}: a digest of a tensor that is none")
        entry = cls(
            name=taken.text("name"),
            identity=Identity(device=device, inode=inode, size=size, mtime_ns=mtime, ctime_ns=ctime),
            read=taken.integer("read"),
            sha256=taken.sha256(),
            header=taken.sha256("header"),
            blake3=tensors,
        )
        taken.end()
        return entry


class Journal:
    """The journal of one attestation; of two runs at the same time, the lock on the output admits one."""

    def __init__(self, path: Path) -> None:
        """Read what an earlier run noted, and cut off what it did not finish writing."""
        self._path = path
        self._lock = threading.Lock()
        self._entries: dict[str, Entry] = {}
        self.reused: list[str] = []
        # Without a journal there is nothing to reuse, which is no reason to fail. The same holds in ``note``.
        with contextlib.suppress(OSError):
            self._entries = _load(path)

    @classmethod
    def of(cls, folder: Path, *, origin: Origin, output: Path, everything: bool) -> "Journal | None":
        """Return the journal of an attestation in ``folder``, or None where none can be kept."""
        try:
            identity: dict[str, Json] = {
                "mbom": __version__,
                "boot": _BOOT.read_text("ascii").strip(),
                "origin": [origin.kind, origin.name, origin.repo, origin.revision],
                "output": os.fsencode(output.absolute()).hex(),
                "everything": everything,
            }
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _prune(folder)
        except (OSError, ValueError):
            return None
        return cls(folder / f"{sha256(strictjson.canonical(identity))}{_SUFFIX}")

    def recall(self, local: LocalFile) -> Reading | None:
        """Return what an earlier run read of a file, or None where that may not be relied on."""
        entry = self._entries.get(local.name)
        if entry is None or not 0 <= time.time() - entry.read <= REUSE_SECONDS:
            return None
        if local.advertised.git_blob is not None and local.advertised.sha256 is None:
            return None  # what is advertised of this file was not noted
        try:
            reading = _recalled(local, entry)
        except (RefusedError, StorageError):
            return None  # it is read from the beginning, and whatever is wrong with it is said then
        if reading is not None:
            with self._lock:
                self.reused.append(local.name)
        return reading

    def note(self, reading: Reading, *, opened_ns: int) -> None:
        """Note a file that was read to its end, if that is one to be relied on.

        Args:
            reading: what was read.
            opened_ns: the time by the clock when the file was about to be opened.
        """
        identity = reading.identity
        if reading.header is None or reading.header_sha256 is None or reading.disagreement or reading.content:
            return
        if any(reading.not_finite):
            return  # what is found in the content is not noted, so that only content without findings is
        if max(identity.mtime_ns, identity.ctime_ns) > opened_ns - SETTLED_NS:
            return
        entry = Entry(
            name=reading.name,
            identity=identity,
            read=opened_ns // 1_000_000_000,
            sha256=reading.sha256,
            header=reading.header_sha256,
            blake3=reading.blake3,
        )
        with self._lock, contextlib.suppress(OSError):
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | FLAGS, 0o600)
            try:
                os.write(descriptor, entry.to_line())
            finally:
                os.close(descriptor)

    def delete(self) -> None:
        """Delete the journal: the attestation is done."""
        with contextlib.suppress(OSError):
            self._path.unlink()


def _load(path: Path) -> dict[str, Entry]:
    """Read a journal; of two entries of one file, the later counts.

    Raises:
        OSError: when there is none, or the system cannot read it.
    """
    descriptor = os.open(path, os.O_RDWR | FLAGS)
    with os.fdopen(descriptor, "r+b") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
            return {}
        data = file.read(JOURNAL_LIMIT + 1)
        *lines, torn = data.split(b"\n")
        try:
            entries = [Entry.from_line(line, str(path)) for line in lines] if len(data) <= JOURNAL_LIMIT else []
        except FormatError:
            os.ftruncate(descriptor, 0)
            return {}
        os.ftruncate(descriptor, len(data) - len(torn))  # the process was killed in the middle of a line
    return {entry.name: entry for entry in entries}


def _prune(folder: Path) -> None:
    """Delete journals that are of no use any more."""
    for path in folder.glob(f"*{_SUFFIX}"):
        with contextlib.suppress(OSError):
            if time.time() - path.lstat().st_mtime > REUSE_SECONDS:
                path.unlink()


def _recalled(local: LocalFile, entry: Entry) -> Reading | None:
    """Return the reading that ``entry`` notes, if the file still is what it was.

    Raises:
        RefusedError: when it is no regular file, or has no proper header.
        StorageError: when the system cannot read it.
    """
    with opened(local.path, local.name) as file:
        descriptor = file.descriptor
        if Identity.of(file.status) != entry.identity:
            return None
        size = entry.identity.size
        prefix = os.pread(descriptor, PREFIX, 0)
        front = prefix + os.pread(descriptor, header_length(prefix, size, local.name), PREFIX)
        if sha256(front) != entry.header:
            return None
        header = parse_header(front, size, local.name)
        if len(header.tensors) != len(entry.blake3) or not _agrees(descriptor, header, entry):
            return None
        head = os.pread(descriptor, HEAD, 0)
        reading = Reading(
            name=local.name,
            path=local.path,
            identity=entry.identity,
            size=size,
            sha256=entry.sha256,
            head=head,
            header=header,
            header_sha256=entry.header,
            blake3=entry.blake3,
            not_finite=tuple(NotFinite() for _ in header.tensors),
            disagreement=disagreement(local.path, header),
            links=os.fstat(descriptor).st_nlink,
        )
        return reading if Identity.of(os.fstat(descriptor)) == entry.identity else None


def _agrees(descriptor: int, header: Header, entry: Entry) -> bool:
    """Read one tensor again, drawn by chance, and compare it with its digest."""
    if not header.tensors:
        return True
    drawn = secrets.randbelow(len(header.tensors))
    return _digest(descriptor, header.tensors[drawn]) == entry.blake3[drawn]


def _digest(descriptor: int, tensor: TensorInfo) -> str:
    hasher, position = blake3(), tensor.start
    while position < tensor.end and (part := os.pread(descriptor, min(CHUNK, tensor.end - position), position)):
        hasher.update(part)
        position += len(part)
    return hasher.hexdigest()
