"""The stored tensors of a checkpoint, read from front to back and bound to the inventory's digests.

Whatever leaves this module has passed through a BLAKE3 hasher on the way, in the buffer that is used. When the last
byte of a tensor has been read, its digest must be the inventory's, so a file that was swapped between hashing and
running ends the pass.
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

import torch
from blake3 import blake3

from mbom.errors import EngineError, RefusedError
from mbom.inventory.record import TensorRecord

# Small enough to stay in the cache between the copy from the page cache and the hasher.
CHUNK_BYTES = 4 << 20

# Narrow types by their names in safetensors headers; F8_E8M0 is an exponent alone, without sign or fraction.
DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2, "F8_E8M0": torch.float8_e8m0fnu,
    "F8_E4M3FNUZ": torch.float8_e4m3fnuz, "F8_E5M2FNUZ": torch.float8_e5m2fnuz,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool,
    "U64": torch.uint64, "U32": torch.uint32, "U16": torch.uint16,
}  # fmt: skip


class StoredTensor:
    """One pass over one stored tensor, by slices of its first dimension, in order.

    Attributes:
        record: what the inventory says of it.
        slices: its number of slices; a scalar is one.
        position: how many of them have been read.
    """

    def __init__(self, record: TensorRecord, checkpoint: "Checkpoint") -> None:
        self.record = record
        self._checkpoint = checkpoint
        self._hasher = blake3()
        self._offset = record.start
        self.position = 0
        self.slices = record.shape[0] if record.shape else 1
        self._slice_bytes = (record.end - record.start) // max(self.slices, 1)
        if record.start == record.end:
            self._finish()

    def read(self, count: int | None = None) -> torch.Tensor:
        """Return the next ``count`` slices (all that are left by default) in the stored dtype, in memory of their own.

        Raises:
            RefusedError: when the file ends early, or the tensor's digest is not the inventory's.
        """
        count = self.slices - self.position if count is None else count
        self.position += count
        data = torch.empty(count * self._slice_bytes, dtype=torch.uint8)
        self._fill(data.numpy().data)
        shape = (count, *self.record.shape[1:]) if self.record.shape else ()
        return data.view(self._dtype).view(shape)

    def finish(self) -> None:
        """Read what is left, for its digest alone.

        Raises:
            RefusedError: as ``read``.
        """
        self.position = self.slices
        buffer = memoryview(bytearray(min(CHUNK_BYTES, self.record.end - self._offset)))
        while self._offset < self.record.end:
            self._fill(buffer[: self.record.end - self._offset])

    @property
    def _dtype(self) -> torch.dtype:
        if self.record.dtype not in DTYPES:
            raise EngineError(f"{self.record.name}: tensors of type {self.record.dtype} cannot be computed with")
        return DTYPES[self.record.dtype]

    def _fill(self, target: memoryview) -> None:
        """Fill ``target`` with the next bytes, hashing each chunk while it is warm."""
        assert self._offset + len(target) <= self.record.end, f"{self.record.name} was read beyond its end"
        for start in range(0, len(target), CHUNK_BYTES):
            chunk = target[start : start + CHUNK_BYTES]
            self._checkpoint.pread(self.record, chunk, self._offset)
            self._hasher.update(chunk)
            self._offset += len(chunk)
        if self._offset == self.record.end and len(target):
            self._finish()

    def _finish(self) -> None:
        digest = self._hasher.hexdigest()
        if digest != self.record.blake3:
            raise RefusedError(
                f"{self.record.name}: the bytes that were read have BLAKE3 {digest}, the inventory "
                f"says {self.record.blake3}: {self.record.file} is not the file that was hashed"
            )
        self._checkpoint.passes[self.record.name] += 1


class Checkpoint:
    """The weight files of a checkpoint, opened on demand; use it as a context manager.

    Attributes:
        records: the inventory's tensors by name.
        reader: the thread that reads ahead.
        passes: how often each tensor was read from end to end, with the inventory's digest.
        bytes_read: bytes of tensors read so far.
    """

    def __init__(self, files: Mapping[str, Path], tensors: Iterable[TensorRecord]) -> None:
        self._files = files
        self._open: dict[str, int] = {}
        self.records = {record.name: record for record in tensors}
        missing = {record.file for record in self.records.values()} - set(files)
        if missing:
            raise EngineError(f"{min(missing)}: holds tensors of the inventory, but is not at hand")
        self.reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="mbom-reader")
        self.passes: Counter[str] = Counter()
        self.bytes_read = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.reader.shutdown(cancel_futures=True)
        for descriptor in self._open.values():
            os.close(descriptor)
        self._open.clear()

    def stored(self, name: str) -> StoredTensor:
        """Begin a pass over a tensor."""
        return StoredTensor(self.records[name], self)

    def unread(self) -> Iterator[str]:
        """Yield the names of the tensors that no pass has finished, in order."""
        return (name for name in sorted(self.records) if not self.passes[name])

    def pread(self, record: TensorRecord, target: memoryview, offset: int) -> None:
        """Fill ``target`` from the tensor's file.

        Raises:
            EngineError: when the file cannot be opened or read.
            RefusedError: when it ends before the tensor does.
        """
        try:
            if record.file not in self._open:
                path = self._files[record.file]
                self._open[record.file] = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            done = 0
            while done < len(target):
                count = os.preadv(self._open[record.file], [target[done:]], offset + done)
                if count == 0:
                    raise RefusedError(f"{record.file}: ends inside {record.name}, which the inventory lists whole")
                done += count
        except OSError as error:
            raise EngineError(f"{record.file}: cannot be read: {error.strerror}") from error
        self.bytes_read += done
