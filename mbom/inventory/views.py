"""Bytes that can be looked at anywhere: those of an open file, a stretch of another view, or bytes in memory."""

import os
from typing import Protocol


class View(Protocol):
    """``size`` bytes, counted from 0."""

    @property
    def size(self) -> int:
        """How many bytes there are."""

    def read(self, start: int, count: int) -> bytes:
        """Return up to ``count`` bytes from ``start``, fewer only where the view ends."""


class FileView:
    """The bytes of an open file, whose size is what it was when it was opened."""

    def __init__(self, descriptor: int, size: int) -> None:
        self._descriptor = descriptor
        self.size = size

    def read(self, start: int, count: int) -> bytes:
        """Return bytes without moving the file's position.

        Raises:
            OSError: when the system cannot read the file.
        """
        found, count = bytearray(), max(0, min(count, self.size - start))
        while len(found) < count and (part := os.pread(self._descriptor, count - len(found), start + len(found))):
            found += part
        return bytes(found)


class BytesView:
    """Bytes in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)

    def read(self, start: int, count: int) -> bytes:
        """Return bytes."""
        return self._data[start : start + count] if count > 0 else b""


class Part:
    """A stretch of another view, cut off where that ends."""

    def __init__(self, view: View, start: int, size: int) -> None:
        self._view, self._start = view, start
        self.size = max(0, min(size, view.size - start))

    def read(self, start: int, count: int) -> bytes:
        """Return bytes, none beyond the stretch."""
        return self._view.read(self._start + start, max(0, min(count, self.size - start)))
