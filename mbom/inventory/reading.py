"""One sequential read of one file, which gives every digest that anybody wants of it.

Nothing is memory-mapped: a mapped file that somebody truncates kills the process. What the parsers see are the bytes
that were hashed, never a second read. One thing is looked up again, because it stands anywhere in a file: archives and
pickles. That is done through the descriptor that was hashed, between the two looks at the file's identity, so that a
file which changes in between is refused like any other.
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from blake3 import blake3
from safetensors import SafetensorError, safe_open

from mbom.digest import sha256
from mbom.errors import FormatError
from mbom.inventory.executables import Contents, contents
from mbom.inventory.holes import check_holes
from mbom.inventory.identity import Identity
from mbom.inventory.notfinite import Counter, NotFinite
from mbom.inventory.opening import opened
from mbom.inventory.views import FileView
from mbom.source import LocalFile
from mbom.tensorfile import PREFIX, Header, TensorInfo, header_length, parse_header

# Small enough that what the kernel copied is still in the second-level cache for both digests: measured 4 to 8 % less
# processor time than 8 MiB.
CHUNK = 1 << 20
HEAD = 512  # bytes kept of every file, to tell pointers, web pages and pickles by how they begin


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What one pass over a file found.

    ``header`` and ``blake3`` (one digest for each tensor of the header, in its order) are filled for a safetensors
    file that was read as such, or ``malformed`` says why not, and ``not_finite`` what each tensor holds beside numbers;
    ``header_sha256`` is over the header's bytes with the eight before it, and ``disagreement`` says how the safetensors
    library reads them otherwise. ``links`` is how many names the file has in its file system. ``git_blob`` and
    ``content`` are filled where they were asked for; ``head`` is how the file begins. ``contents`` says what the file
    could make a reader run, and is empty for sound safetensors.
    """

    name: str
    path: Path
    identity: Identity
    size: int
    sha256: str
    head: bytes
    git_blob: str | None = None
    content: bytes | None = None
    header: Header | None = None
    header_sha256: str | None = None
    blake3: tuple[str, ...] = ()
    not_finite: tuple[NotFinite, ...] = ()
    malformed: str | None = None
    disagreement: str | None = None
    contents: Contents = field(default_factory=Contents)
    links: int = 1


def read(local: LocalFile, *, tensors: bool, keep: bool, tick: Callable[[int], None]) -> Reading:
    """Read a file once, from its first byte to its last.

    Args:
        local: the file; a git blob id is computed where one is advertised for it.
        tensors: whether to read it as safetensors and take the digest of each tensor.
        keep: whether to keep its bytes.
        tick: called with the number of bytes after every chunk; an exception from it ends the reading.

    Raises:
        RefusedError: when it is a link, a device, a pipe, or has holes where a gigabyte of data belongs.
        ChangedError: when it is written to, truncated, extended, replaced or removed while it is read.
        StorageError: when the system cannot read it.
    """
    with opened(local.path, local.name) as file:
        descriptor, status = file.descriptor, file.status
        check_holes(descriptor, status, local.name)
        stream = _Stream(descriptor, status.st_size, git=local.advertised.git_blob is not None, keep=keep, tick=tick)
        header, front, malformed, differs = None, None, None, None
        if tensors:
            try:
                header, front = _header(stream, local.name)
                differs = disagreement(local.path, header)
            except FormatError as error:
                malformed = str(error)
        digests, not_finite = stream.rest(header.tensors if header is not None else ())
        found = contents(FileView(descriptor, status.st_size), local.name) if header is None else Contents()
        file.refuse_change(stream.position)
    return Reading(
        name=local.name,
        path=local.path,
        identity=Identity.of(status),
        size=status.st_size,
        sha256=stream.sha256.hexdigest(),
        head=bytes(stream.head),
        git_blob=stream.sha1.hexdigest() if stream.sha1 is not None else None,
        content=bytes(stream.content) if stream.content is not None else None,
        header=header,
        header_sha256=front,
        blake3=digests,
        not_finite=not_finite,
        malformed=malformed,
        disagreement=differs,
        contents=found,
        links=status.st_nlink,
    )


class _Stream:
    """A file's bytes in order; whatever is taken from it has been hashed."""

    def __init__(self, descriptor: int, size: int, *, git: bool, keep: bool, tick: Callable[[int], None]) -> None:
        self._descriptor = descriptor
        self._buffer = memoryview(bytearray(min(size, CHUNK)))
        self._tick = tick
        self.size = size
        self.position = 0
        self.head = bytearray()
        self.sha256 = hashlib.sha256()
        self.sha1 = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False) if git else None
        self.content = bytearray() if keep else None

    def chunk(self, limit: int) -> memoryview:
        """Return up to ``limit`` further bytes, valid until the next call; empty at the end that the size promised."""
        want = min(limit, self.size - self.position, len(self._buffer))
        view = self._buffer[: os.readv(self._descriptor, [self._buffer[:want]]) if want else 0]
        self.sha256.update(view)
        if self.sha1 is not None:
            self.sha1.update(view)
        if self.content is not None:
            self.content += view
        if len(self.head) < HEAD:
            self.head += view[: HEAD - len(self.head)]
        self.position += len(view)
        self._tick(len(view))
        return view

    def exactly(self, count: int) -> bytes:
        """Return the next ``count`` bytes, or fewer where the file ends."""
        found = bytearray()
        while len(found) < count and (view := self.chunk(count - len(found))):
            found += view
        return bytes(found)

    def rest(self, tensors: Sequence[TensorInfo]) -> tuple[tuple[str, ...], tuple[NotFinite, ...]]:
        """Read to the end, and return BLAKE3 and what is no number of each of ``tensors``, which tile the rest."""
        done: list[_Tensor] = []
        current = _Tensor(tensors[0].dtype) if tensors else None
        while view := self.chunk(CHUNK):
            start, end = self.position - len(view), self.position
            while current is not None and tensors[len(done)].end <= end:
                tensor = tensors[len(done)]
                current.update(view[max(tensor.start - start, 0) : tensor.end - start])
                done.append(current)
                current = _Tensor(tensors[len(done)].dtype) if len(done) < len(tensors) else None
            if current is not None:
                current.update(view[max(tensors[len(done)].start - start, 0) :])
        done.extend(_Tensor(tensor.dtype) for tensor in tensors[len(done) :])  # empty tensors behind the last byte
        return tuple(part.blake3.hexdigest() for part in done), tuple(part.counter.result() for part in done)


class _Tensor:
    """What is taken of one tensor's bytes."""

    def __init__(self, dtype: str) -> None:
        self.blake3 = blake3()
        self.counter = Counter(dtype)

    def update(self, data: memoryview) -> None:
        self.blake3.update(data)
        self.counter.update(data)


def _header(stream: _Stream, name: str) -> tuple[Header, str]:
    """Take the header from the front of the stream; return it with the SHA-256 of its bytes.

    Raises:
        FormatError: as ``parse_header``.
    """
    size = stream.size
    prefix = stream.exactly(PREFIX)
    front = prefix + stream.exactly(header_length(prefix, size, name))
    return parse_header(front, size, name), sha256(front)


def disagreement(path: Path, header: Header) -> str | None:
    """Compare a header with the table that the safetensors library reads; return how they differ, None if equal.

    The library opens the file a second time, so its word is an opinion on our parser, and no digest rests on it.
    """
    ours = {tensor.name: (tensor.dtype, list(tensor.shape)) for tensor in header.tensors}
    try:
        # "pread" keeps the library from mapping the file.
        with safe_open(path, framework="np", backend="pread") as opened:
            slices = ((name, opened.get_slice(name)) for name in opened.keys())  # noqa: SIM118 - not a mapping
            theirs = {name: (part.get_dtype(), list(part.get_shape())) for name, part in slices}
    except (SafetensorError, OSError) as error:
        return f"the library refuses the file: {error}"
    if ours == theirs:
        return None
    name = min(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
    return f"{name} is {ours.get(name)} in this reader and {theirs.get(name)} in the library"
