"""What people see: lines, tables and progress bars, with everything hostile escaped."""

import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text

from mbom.bom.format.problems import Problem
from mbom.engine import MeasureProgress
from mbom.inventory import Finding, ScanProgress
from mbom.printable import printable
from mbom.quantities import scaled, size
from mbom.redact import redact
from mbom.verdict import Checked

COLOURS = {
    "PASS": "green",
    "FAIL": "bold red",
    "SKIP": "yellow",
    "error": "bold red",
    "warning": "yellow",
    "note": "dim",
    "problem": "bold red",
    "advice": "yellow",
}


WORTH_LINES = 1_000_000_000  # bytes; what is hashed in a second needs no report


# What may be secret in the environment of a command.
SECRET_VARIABLES = (
    "MBOM_KEY_PASSWORD",
    "MBOM_PKCS11_PIN",
    "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
    "ACTIONS_RUNTIME_TOKEN",
    "GITHUB_TOKEN",
    "GH_TOKEN",
)


def plain(text: str) -> str:
    """Escape what could move the cursor, hide or reorder text, in one line or several, and take out secrets."""
    secrets = (os.environ.get(name, "") for name in SECRET_VARIABLES)
    return printable(redact(text, secrets), keep="\n")


def count(number: int) -> str:
    """Return a large number in the units of parameter counts: ``20.9 B``."""
    return scaled(number, ("", "K", "M", "B", "T"))


def duration(seconds: float) -> str:
    """Return a time as precise as an estimate can be: ``40 s``, ``12 min``, ``3 h 5 min``."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def json_text(value: object) -> str:
    """Return a JSON document as all commands print it."""
    return f"{json.dumps(value, indent=1, ensure_ascii=False)}\n"


class Display:
    """Standard output for data, standard error for everything else; ``quiet`` leaves only data and errors."""

    def __init__(self, *, quiet: bool) -> None:
        self.quiet = quiet
        self.out = Console(highlight=False, soft_wrap=True)
        self.err = Console(highlight=False, soft_wrap=True, stderr=True)

    def line(self, text: str, style: str = "") -> None:
        """Print a line for people."""
        if not self.quiet:
            self.err.print(Text(plain(text), style=style))

    def fact(self, label: str, text: str) -> None:
        """Print one line of a summary: a label and what there is to say."""
        self.line(f"  {label:<10} {text}")

    def error(self, text: str) -> None:
        """Print the sentence of an error, also when quiet."""
        self.err.print(Text.assemble(("mbom: ", "bold red"), plain(text)))

    def data(self, text: str) -> None:
        """Write data to standard output as it is."""
        sys.stdout.write(text if text.endswith("\n") else f"{text}\n")
        sys.stdout.flush()

    def json(self, value: object) -> None:
        """Write a document to standard output, in the one form that all commands have."""
        self.data(json_text(value))

    def findings(self, findings: Iterable[Finding]) -> None:
        """Print findings as data: severity, path, what was seen, and the id that policies quote."""
        for finding in findings:
            self.out.print(
                Text.assemble(
                    (f"{finding.severity:<8}", COLOURS[finding.severity]),
                    plain(f" {finding.path}: {finding.detail} "),
                    (f"[{finding.id}]", "dim"),
                )
            )

    def problems(self, problems: Iterable[Problem]) -> None:
        """Print problems of a document as data: severity, JSON pointer, what was seen, and the id."""
        for problem in problems:
            self.out.print(
                Text.assemble(
                    (f"{problem.severity:<8}", COLOURS[problem.severity]),
                    plain(f" {problem.pointer or 'the document'}: {problem.detail} ").replace("\n", "\\n"),
                    (f"[{problem.id}]", "dim"),
                )
            )

    def verdict(self, verdict: Checked) -> None:
        """Print the checks, a line each, and the outcome as the last line."""
        for number, check in enumerate(verdict.checks, start=1):
            self.out.print(
                Text.assemble(
                    f"{number:>2} {check.id:<18}",
                    (check.outcome, COLOURS[check.outcome]),
                    f"  {plain(check.detail)}",
                )
            )
        style = {"verified": "bold green", "refused": "bold red", "incomplete": "bold yellow"}[verdict.outcome]
        self.out.print(Text(plain(conclusion(verdict)), style=style))

    @contextmanager
    def scanning(self) -> "Iterator[ScanDisplay]":
        """Show the bytes that arrive and the bytes that are hashed."""
        with self._bars(DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()) as bars:
            yield ScanDisplay(bars, self)

    @contextmanager
    def measuring(self) -> "Iterator[MeasureDisplay]":
        """Show how much of the checkpoint has been measured."""
        with self._bars(TextColumn("{task.fields[detail]}")) as bars:
            yield MeasureDisplay(bars, self)

    @contextmanager
    def comparing(self) -> "Iterator[CompareDisplay]":
        """Show which weight is compared; how often each one will be looked at depends on what is found."""
        with self._bars(TextColumn("{task.completed:,} weights"), TextColumn("{task.fields[name]}")) as bars:
            yield CompareDisplay(bars, self)

    def _bars(self, *columns: ProgressColumn) -> Progress:
        return Progress(
            TextColumn("  {task.description}"),
            BarColumn(),
            *columns,
            console=self.err,
            transient=True,
            disable=self.quiet or not self.err.is_terminal,
        )


class Tenths:
    """Progress where there is no terminal to draw a bar on: a line for every tenth of the way."""

    def __init__(self, display: Display) -> None:
        self.display = display
        self.phase = ""
        self.passed = 0

    def reach(self, phase: str, done: int, total: int, text: str) -> None:
        """Print ``text`` when another tenth of the phase is done."""
        if phase != self.phase:
            self.phase, self.passed = phase, 0
        tenth = 10 * done // max(total, 1)
        if tenth > self.passed and not self.display.err.is_terminal:
            self.passed = tenth
            self.display.line(text)


class ScanDisplay:
    """Shows the scan's reports, and those of the hub's downloads."""

    def __init__(self, bars: Progress, display: Display) -> None:
        self.bars = bars
        self.tenths = Tenths(display)
        self.hashing: TaskID | None = None
        self.fetching: TaskID | None = None

    def __call__(self, report: ScanProgress) -> None:
        """Show how much has been hashed."""
        if self.hashing is None:
            self.hashing = self.bars.add_task("hashing", total=report.bytes_total)
        self.bars.update(self.hashing, completed=report.bytes_done, total=report.bytes_total)
        if self.fetching is not None:
            self.bars.update(self.fetching, total=report.bytes_total)
        if report.bytes_total >= WORTH_LINES:
            text = f"  hashing    {size(report.bytes_done)} of {size(report.bytes_total)}"
            self.tenths.reach(report.phase, report.bytes_done, report.bytes_total, text)

    def fetched(self, name: str, count: int) -> None:
        """Show that ``count`` more bytes of ``name`` have arrived; a failed attempt takes its bytes back."""
        del name
        if self.fetching is None:
            self.fetching = self.bars.add_task("fetching", total=None)
        self.bars.advance(self.fetching, count)


class MeasureDisplay:
    """Shows the engine's reports."""

    def __init__(self, bars: Progress, display: Display) -> None:
        self.bars = bars
        self.tenths = Tenths(display)
        self.task: TaskID | None = None

    def __call__(self, report: MeasureProgress) -> None:
        """Show how much has been measured, of everything: phases differ in what a step of them takes."""
        step = f"{report.phase} {report.done} of {report.total}" if report.total > 1 else report.phase
        detail = " · ".join(self._details(report))
        if self.task is None:
            self.task = self.bars.add_task("", total=report.bytes_total, detail=detail)
        self.bars.update(
            self.task,
            completed=report.bytes_read,
            total=report.bytes_total,
            description=f"measuring {step}",
            detail=detail,
        )
        self.tenths.reach("measuring", report.bytes_read, report.bytes_total, f"  measuring  {step} · {detail}")

    @staticmethod
    def _details(report: MeasureProgress) -> Iterator[str]:
        if report.experts:
            yield f"{report.experts_read:,} of {report.experts:,} experts"
        yield f"{size(report.bytes_read)} of {size(report.bytes_total)}"
        if report.rate > 0:
            yield f"{size(int(report.rate))}/s"
        if report.seconds_left:
            yield f"{duration(report.seconds_left)} left"


class CompareDisplay:
    """Shows the reports of a comparison of weights, stage by stage."""

    def __init__(self, bars: Progress, display: Display) -> None:
        self.bars = bars
        self.display = display
        self.task: TaskID | None = None
        self.stage = ""

    def __call__(self, stage: str, name: str) -> None:
        """Show that a weight is being looked at."""
        if stage != self.stage:
            self.stage = stage
            if self.task is not None:
                self.bars.remove_task(self.task)
            self.task = self.bars.add_task(f"weights: {stage}", total=None, name="")
            if not self.display.err.is_terminal:
                self.display.fact("weights", stage)
        if self.task is not None:
            self.bars.update(self.task, advance=1, name=escape(plain(name)))


def conclusion(verdict: Checked) -> str:
    """Return the sentence under the table."""
    if verdict.outcome == "refused":
        first, *others = (check for check in verdict.checks if check.outcome == "FAIL")
        # A digest tells that a file was changed; where the checkpoint was measured too, what was changed is known.
        told = next((f"; {check.id}: {check.detail}" for check in others if check.comparison is not None), "")
        return f"REFUSED: {first.id}: {first.detail}{told if first.comparison is None else ''}"
    if verdict.outcome == "incomplete":
        first = next(check for check in verdict.checks if check.outcome == "SKIP" and check.asked)
        return f"INCOMPLETE: {first.id}: {first.detail}"
    return "VERIFIED" + (f", except {verdict.reservation}" if verdict.reservation else "")


def shown(path: Path) -> str:
    """Return a path as people write it: relative to the home folder where it lies below it."""
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)
