"""What a diff of two bundles costs, with neither checkpoint at hand: a process each, from start-up to the last byte.

The bundles are of the shape of gpt-oss-120b, with records of 2,048 positions. The floor takes the digest of every
member, parses the documents with Python's own reader and sums up the numbers; nothing is checked. ``reading`` is mbom's
strict reading of both bundles alone.

    python bench/bundlediff.py
    python bench/bundlediff.py --no-weights        # without the estimates from sketches
"""

import argparse
import statistics
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import largebundles
from hashing import Cost, run

TIME_TARGET = 5.0  # processor seconds
MEMORY_TARGET = 500  # MB

FLOOR = """
import hashlib, json, sys
from pathlib import Path
import numpy as np
for folder in map(Path, sys.argv[1:]):
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        print(path.name, hashlib.sha256(data).hexdigest())
        if path.suffix == ".json":
            json.loads(data)
        else:
            start = 8 + int.from_bytes(data[:8], "little")
            print(np.frombuffer(data[start : start + (len(data) - start) // 8 * 8], "<f8").sum())
"""
READING = """
import sys
from pathlib import Path
from mbom.dossier import read_bundle
for folder in sys.argv[1:]:
    print(read_bundle(Path(folder)).bundle_digest)
"""


def write(folder: Path) -> tuple[Path, Path]:
    """Write the bundles."""
    return largebundles.write_two(folder)


def main() -> int:
    """Measure and print; exit 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--no-weights", action="store_true", help="leave out the estimates from sketches")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mbom-bench-") as name:
        # In a process of its own: a child's peak is counted from the memory of the parent that started it.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            pair = [str(path) for path in pool.submit(write, Path(name)).result()]
        more = ["--no-weights"] if options.no_weights else []
        variants = {
            "floor": ["-c", FLOOR, *pair],
            "reading": ["-c", READING, *pair],
            "text": ["-m", "mbom", "diff", *pair, *more],
            "json": ["-m", "mbom", "diff", *pair, *more, "--json"],
        }
        held: dict[str, list[Cost]] = {variant: [] for variant in variants}
        for number in range(options.runs + 1):
            for variant, arguments in variants.items():
                cost = run([sys.executable, *arguments])
                if number:
                    held[variant].append(cost)
        size = sum(path.stat().st_size for path in Path(pair[0]).iterdir()) / 1e6
    print(f"two bundles of {size:.1f} MB, median of {options.runs} alternating runs")
    print(f"{'':10}{'cpu s':>8}{'wall s':>8}{'peak MB':>9}")
    for variant, costs in held.items():
        seconds = [statistics.median(getattr(cost, unit) for cost in costs) for unit in ("cpu", "wall")]
        print(f"{variant:10}{seconds[0]:8.2f}{seconds[1]:8.2f}{max(cost.peak for cost in costs):9.0f}")
    cpu = statistics.median(cost.cpu for cost in held["text"])  # of one thread; others may use the machine too
    peak = max(cost.peak for cost in held["text"])
    print(f"diff {cpu:.2f} s (target {TIME_TARGET}), peak {peak:.0f} MB (target {MEMORY_TARGET})")
    return 0 if cpu <= TIME_TARGET and peak <= MEMORY_TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
