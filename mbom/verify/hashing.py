"""Digests of files as a foreign signature wants them: any of its hash functions, over whole files or pieces of them.

One sequential read a file, several files at once, nothing memory-mapped; a file that changes meanwhile is refused. What
``mbom.inventory`` reads has fixed digests and is about tensors; here the signature says what to compute.
"""

import hashlib
import os
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from blake3 import blake3

from mbom.errors import SourceError
from mbom.inventory import ScanProgress
from mbom.inventory.metering import Meter
from mbom.inventory.opening import opened
from mbom.inventory.reading import CHUNK
from mbom.inventory.scanning import THREADS
from mbom.signing.manifest import Algorithm, Hashing
from mbom.source import Source


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
    meter = Meter("files", files=len(sizes), size=sum(sizes.values()), progress=progress)
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
    return _one(target, path.name, hashing, Meter("files", files=1, size=size, progress=progress))


def digests_of_bytes(data: bytes, *, hashing: Hashing) -> FileDigests:
    """Return what ``digests_of`` would give for a file that holds ``data``."""
    reader = _Digests(hashing)
    reader.update(memoryview(data))
    return FileDigests(size=len(data), digests=reader.finish())


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


def _one(path: Path, name: str, hashing: Hashing, meter: Meter) -> FileDigests:
    with opened(path, name) as file:
        size = file.status.st_size
        reader, position = _Digests(hashing), 0
        buffer = memoryview(bytearray(min(size, CHUNK) or 1))
        while count := os.readv(file.descriptor, [buffer]):
            reader.update(buffer[:count])
            position += count
            meter.tick(name, count)
            if position > size:
                break  # it grew, and may grow for ever
        file.refuse_change(position)
    meter.done(name)
    return FileDigests(size=position, digests=reader.finish())
