"""What a report of the largest models costs: writing it, its size, and the time until a browser has drawn it.

Each page is opened in a headless Chromium from a file, several times in turn with an empty page, which is the floor.
The time is the browser's own, from the start of the navigation until the first frame after the load event is drawn.

    PYTHONPATH=.:tests python bench/report.py
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import reports
from headless import PROGRAM, Browser

from mbom.report import Page, html, of_changes, of_model

SIZE_TARGET = 2.0  # MB
TIME_TARGET = 2.0  # seconds
FLOOR = "empty page"
EMPTY = b"<!DOCTYPE html><html lang=en><title>t</title><p>nothing"
# The load event, and two frames: the second begins when the first has been drawn.
DRAWN = """new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(
    performance.now()))))"""

PAGES: dict[str, Callable[[], Page]] = {
    "gpt-oss-120b, 36 x 128 experts": lambda: of_model(reports.gpt_oss_120b()),
    "deepseek-v3, 58 x 256 experts": lambda: of_model(reports.deepseek()),
    "what changed, 36 layers": lambda: of_changes(reports.changes(), reports.gpt_oss_120b()),
}


def written(make: Callable[[], Page], runs: int) -> tuple[bytes, float]:
    """Return a page and the median of the seconds that it takes to write, its dossier at hand."""
    seconds, data = [], b""
    for number in range(runs + 1):
        begin = time.perf_counter()
        data = html(make())
        if number:
            seconds.append(time.perf_counter() - begin)
    return data, statistics.median(seconds)


def opened(browser: Browser, path: Path) -> float:
    """Return the seconds until a page is drawn."""
    browser.open(path.as_uri())
    return float(browser.run(DRAWN)) / 1000


def main() -> int:
    """Measure and print; exit 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7)
    options = parser.parse_args()
    if PROGRAM is None:
        print("chromium is not installed")
        return 1
    met = True
    with tempfile.TemporaryDirectory(prefix="mbom-bench-") as name:
        folder = Path(name)
        held = {FLOOR: (EMPTY, 0.0)} | {label: written(make, options.runs) for label, make in PAGES.items()}
        paths = {label: folder / f"{number}.html" for number, label in enumerate(held)}
        for label, path in paths.items():
            path.write_bytes(held[label][0])
        times: dict[str, list[float]] = {label: [] for label in held}
        browser = Browser(folder / "profile")
        version = browser.ask("Browser.getVersion")["product"]
        for number in range(options.runs + 1):
            for label, path in paths.items():
                found = opened(browser, path)
                if number:
                    times[label].append(found)
        browser.close()
    print(f"{version}, median (slowest) of {options.runs} alternating runs")
    print(f"{'':<32} {'MB':>6} {'write s':>8}   open s")
    for label, (data, seconds) in held.items():
        size, median, slowest = len(data) / 1e6, statistics.median(times[label]), max(times[label])
        print(f"{label:<32} {size:>6.2f} {seconds:>8.3f}   {median:.3f} ({slowest:.3f})")
        met &= size < SIZE_TARGET and slowest < TIME_TARGET
    print(f"targets: under {SIZE_TARGET} MB, drawn within {TIME_TARGET} s: {'met' if met else 'missed'}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
