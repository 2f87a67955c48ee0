"""Digests of files as a foreign signature wants them: any of its hash functions, over whole files or pieces of them.

One sequential read a file, several files at once, nothing memory-mapped; a file that changes meanwhile is refused. What
``mbom.inventory`` reads has fixed digests and is about tensors; here the signature says what to compute.
"""

import errno
import hashlib
import os
import stat
import threading
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from blake3 import blake3

from mbom.errors import ChangedError, RefusedError, SourceError, StorageError
from mbom.inventory import ScanProgress
from mbom.signing.manifest import Algorithm, Hashing
from mbom.source import Source

CHUNK = 1 << 20  # as in mbom.inventory.reading: what the kernel copied is still in the cache when it is hashed
THREADS = min(4, max(2, os.cpu_count() or 2))  # as in mbom.inventory.scanning: beyond, the disk is the limit

_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class _Hasher(Protocol):
    def update(self, data: memoryview, /) -> object: ...

    def hexdigest(self) -> str: ...


_HASHERS: Mapping[Algorithm, Callable[[], _Hasher]] = {
    "sha256": hashlib.sha256,
    "blake2b": hashlib.blake2b,
    "blake3": blake3,
}


@dataclass(frozen=True, kw_only=True)
class FileDigests:
    """The digests of one file, one for each piece in order; an empty file read in pieces has none."""

    size: int
    digests: tuple[str, ...]


def digests_of(
    source: Source, names: Collection[str], *, hashing: Hashing, progress: Callable[[ScanProgress], None] | None
) -> dict[str, FileDigests]:
    """Fetch and read the named files of a checkpoint, each once.

    Args:
        source: where the checkpoint is; every name is in its listing.
        names: the files.
        hashing: what to compute.
        progress: called after every chunk, from one thread at a time.

    Raises:
        RefusedError: for a link or a special file.
        ChangedError: when a file changes while it is read.
        UnavailableError: when the source or the system does not give the bytes.
    """
    sizes = {file.name: file.size for file in source.listing() if file.name in names}
    meter = _Meter(len(sizes), sum(sizes.values()), progress)
    pool = ThreadPoolExecutor(THREADS, thread_name_prefix="mbom-hash")
    try:
        pending = {
            local.name: pool.submit(_one, local.path, local.name, hashing, meter) for local in source.fetch(sizes)
        }
        found = {name: future.result() for name, future in pending.items()}
    finally:
        meter.stop()  # after an interrupt or an error, whoever still reads ends at the next chunk
        pool.shutdown(cancel_futures=True)
    if missing := sizes.keys() - found.keys():
        raise SourceError(f"{min(missing)}: listed by the source, and not delivered")
    return found


def digests_of_file(
    path: Path, *, hashing: Hashing, progress: Callable[[ScanProgress], None] | None = None
) -> FileDigests:
    """Read one file that the caller named, through links if it is one.

    Raises:
        SourceError: when there is no such file.
        Otherwise as ``digests_of``.
    """
    try:
        target = path.resolve(strict=True)
        size = target.stat().st_size
    except (OSError, RuntimeError) as error:  # Python 3.11 raises RuntimeError for a loop of links
        raise SourceError(f"{path}: no such file") from error
    return _one(target, path.name, hashing, _Meter(1, size, progress))


def digests_of_bytes(data: bytes, *, hashing: Hashing) -> FileDigests:
    """Return what ``digests_of`` would give for a file that holds ``data``."""
    reader = _Digests(hashing)
    reader.update(memoryview(data))
    return FileDigests(size=len(data), digests=reader.finish())


class _Stopped(Exception):  # noqa: N818 - never leaves this module
    """The reading ends before this file was read to its end."""


class _Meter:
    """Counts what the threads read, and tells them when to stop."""

    def __init__(self, files: int, size: int, progress: Callable[[ScanProgress], None] | None) -> None:
        self._files, self._size, self._progress = files, size, progress
        self._files_done = self._bytes_done = 0
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def tick(self, name: str, count: int, *, files: int = 0) -> None:
        if self._stopped.is_set():
            raise _Stopped
        with self._lock:
            self._files_done += files
            self._bytes_done = min(self._bytes_done + count, self._size)
            if self._progress is not None:
                self._progress(
                    ScanProgress(
                        phase="files",
                        name=name,
                        files_done=self._files_done,
                        files_total=self._files,
                        bytes_done=self._bytes_done,
                        bytes_total=self._size,
                    )
                )

    def stop(self) -> None:
        self._stopped.set()


class _Digests:
    """Digests of bytes that come in order, cut into pieces where the signature is over pieces."""

    def __init__(self, hashing: Hashing) -> None:
        self._new = _HASHERS[hashing.algorithm]
        self._piece = hashing.piece
        self._left = hashing.piece  # bytes until the piece at hand is whole
        self._hasher = self._new()
        self._done: list[str] = []

    def update(self, view: memoryview) -> None:
        while self._left is not None and len(view) >= self._left:
            self._hasher.update(view[: self._left])
            self._done.append(self._hasher.hexdigest())
            view = view[self._left :]
            self._hasher, self._left = self._new(), self._piece
        self._hasher.update(view)
        if self._left is not None:
            self._left -= len(view)

    def finish(self) -> tuple[str, ...]:
        if self._left == self._piece and self._piece is not None:
            return tuple(self._done)
        return (*self._done, self._hasher.hexdigest())


def _one(path: Path, name: str, hashing: Hashing, meter: _Meter) -> FileDigests:
    try:
        descriptor = os.open(path, _FLAGS)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise RefusedError(f"{name}: a symbolic link; mbom reads regular files only") from error
        raise StorageError(f"{name}: cannot be opened: {error.strerror}") from error
    try:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            raise RefusedError(f"{name}: not a regular file; mbom reads regular files only")
        reader, position = _Digests(hashing), 0
        buffer = memoryview(bytearray(min(before.st_size, CHUNK) or 1))
        while count := os.readv(descriptor, [buffer]):
            reader.update(buffer[:count])
            position += count
            meter.tick(name, count)
            if position > before.st_size:
                break  # it grew, and may grow for ever
        after = os.fstat(descriptor)
    except OSError as error:
        raise StorageError(f"{name}: cannot be read: {error.strerror}") from error
    finally:
        os.close(descriptor)
    if _identity(before) != _identity(after) or position != before.st_size:
        raise ChangedError(f"{name}: changed while it was read; stop whatever writes to it and try again")
    meter.tick(name, 0, files=1)
    return FileDigests(size=position, digests=reader.finish())


def _identity(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
