"""How far a measurement is: what the child counts and reports, and what its parent reads and shows.

A layer of 128 experts takes minutes, and embedding, layers and output head take as long as each other in no model. So
progress is counted in bytes of the checkpoint, over everything that is read, and reported as experts are done.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

from mbom.errors import FormatError
from mbom.strictjson import Fields, Json

Phase = Literal["layer", "output head", "unused tensors"]
PHASES: tuple[Phase, ...] = get_args(Phase)

INTERVAL = 0.5  # seconds between reports of what is going on inside a step
SETTLED = 1.0  # seconds after which a rate says something


@dataclass(frozen=True, kw_only=True)
class MeasureProgress:
    """How far a measurement is.

    Attributes:
        phase: "layer", then "output head", then "unused tensors", which are read because they are there.
        done: steps of the phase that are done.
        total: steps of the phase; only "layer" has more than one.
        experts_read: experts read so far, over all layers.
        experts: experts of all layers.
        bytes_read: bytes of tensors read so far, those of an earlier run that is gone on with included.
        bytes_total: bytes of tensors that will have been read in the end.
        rate: bytes a second since this run began; 0 while that says nothing.
    """

    phase: Phase
    done: int
    total: int
    experts_read: int
    experts: int
    bytes_read: int
    bytes_total: int
    rate: float

    @property
    def seconds_left(self) -> float | None:
        """The time that the rest takes at the rate so far, or None while there is no rate."""
        return (self.bytes_total - self.bytes_read) / self.rate if self.rate > 0 else None

    def to_dict(self) -> dict[str, Json]:
        """Return what ``from_json`` reads."""
        return dict(vars(self))

    @classmethod
    def from_json(cls, report: Json, what: str) -> "MeasureProgress":
        """Read a report of a child, which may say anything.

        Raises:
            FormatError: when it is not a report, or one that contradicts itself.
        """
        fields = Fields(report, what)
        phase = fields.text("phase")
        known = next((name for name in PHASES if name == phase), None)
        counts = [
            (fields.integer(part), fields.integer(whole))
            for part, whole in (("done", "total"), ("experts_read", "experts"), ("bytes_read", "bytes_total"))
        ]
        rate = fields.number("rate")
        fields.end()
        if known is None or rate < 0 or any(part > whole for part, whole in counts):
            raise FormatError(f"{what}: a report that makes no sense: {str(report)[:200]}")
        (done, total), (experts_read, experts), (bytes_read, bytes_total) = counts
        return cls(
            phase=known, done=done, total=total, experts_read=experts_read, experts=experts, bytes_read=bytes_read,
            bytes_total=bytes_total, rate=rate,
        )  # fmt: skip


class Reporter:
    """Turns what a measurement counts into reports: one for every step, and at most two a second between steps."""

    def __init__(
        self,
        emit: Callable[[Json], None],
        *,
        counts: Callable[[], tuple[int, int]],
        experts: int,
        bytes_total: int,
        bytes_before: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin to count time.

        Args:
            emit: takes each report.
            counts: returns the bytes and the experts read so far, in this run.
            experts: experts of all layers.
            bytes_total: bytes of tensors that will have been read in the end.
            bytes_before: bytes that an earlier run has read, where this one goes on with it.
            clock: seconds.
        """
        self._emit = emit
        self._counts = counts
        self._experts = experts
        self._bytes_total = bytes_total
        self._bytes_before = bytes_before
        self._clock = clock
        self._began = self._reported = clock()
        self._step: tuple[Phase, int, int] = ("layer", 0, 0)

    def step(self, phase: Phase, done: int, total: int) -> None:
        """Report that ``done`` of ``total`` steps of a phase are done."""
        self._step = (phase, done, total)
        self._report(self._clock())

    def tick(self) -> None:
        """Say that work goes on within a step: an expert or a block is done. It is reported now and then."""
        now = self._clock()
        if now - self._reported >= INTERVAL:
            self._report(now)

    def _report(self, now: float) -> None:
        self._reported = now
        read, experts_read = self._counts()
        seconds = now - self._began
        phase, done, total = self._step
        progress = MeasureProgress(
            phase=phase,
            done=done,
            total=total,
            experts_read=min(experts_read, self._experts),
            experts=self._experts,
            # A matrix that is both embedding and output head is read twice.
            bytes_read=min(self._bytes_before + read, self._bytes_total),
            bytes_total=self._bytes_total,
            rate=read / seconds if seconds >= SETTLED else 0.0,
        )
        self._emit(progress.to_dict())
