"""How far the threads are that read a checkpoint, and how they are told to stop."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Phase = Literal["files", "weights"]


@dataclass(frozen=True, kw_only=True)
class ScanProgress:
    """How far one phase of a scan is: the side files first, then the weights."""

    phase: Phase
    name: str
    files_done: int
    files_total: int
    bytes_done: int
    bytes_total: int


class _Stopped(Exception):  # noqa: N818 - never leaves the thread that it ends
    """Nobody waits any more for this file to be read to its end."""


class Meter:
    """Counts what the threads of one phase read, and tells them when to stop."""

    def __init__(self, phase: Phase, *, files: int, size: int, progress: Callable[[ScanProgress], None] | None) -> None:
        """Begin at nothing of ``files`` files, of ``size`` bytes together; ``progress`` is called under a lock."""
        self._phase = phase
        self._progress = progress
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._files_done, self._files_total = 0, files
        self._bytes_done, self._bytes_total = 0, size

    def tick(self, name: str, count: int) -> None:
        """Count bytes of a file; raises what ends the reading when ``stop`` was called."""
        if self._stopped.is_set():
            raise _Stopped
        with self._lock:
            self._bytes_done = min(self._bytes_done + count, self._bytes_total)
            self._report(name)

    def done(self, name: str) -> None:
        """Count a file."""
        with self._lock:
            self._files_done = min(self._files_done + 1, self._files_total)
            self._report(name)

    def stop(self) -> None:
        """End every reading at its next chunk."""
        self._stopped.set()

    def _report(self, name: str) -> None:
        if self._progress is not None:
            self._progress(
                ScanProgress(
                    phase=self._phase,
                    name=name,
                    files_done=self._files_done,
                    files_total=self._files_total,
                    bytes_done=self._bytes_done,
                    bytes_total=self._bytes_total,
                )
            )
