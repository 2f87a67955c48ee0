"""One behaviour pass in a process of its own, with everything counted that a benchmark asks of it.

    python bench/passes.py FOLDER --prompts 8        # prints one line of JSON

The process gets the environment of the engine's child process, so that memory and threads behave as in `mbom attest`.
"""

import argparse
import itertools
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from mbom.engine.process import FIXED


def run(script: str, *arguments: str, stdin: str = "") -> dict[str, Any]:
    """Run a script of this folder that ends with a line of JSON, and add the wall seconds of its whole process."""
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, str(Path(__file__).parent / script), *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **FIXED},
    )
    if done.returncode != 0:
        sys.exit(f"{script} failed:\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return {**found, "wall": time.monotonic() - start}


def cpu_seconds() -> float:
    """Return the processor seconds of this process, all threads together."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def peak_bytes() -> int:
    """Return the largest resident set of this process so far."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


class Stopwatch:
    """Adds up what calls to methods take; a call from within another is part of it."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._depth = 0

    def time(self, owner: type, name: str) -> None:
        """Time every call of a method from here on."""
        method: Callable[..., object] = getattr(owner, name)

        def timed(*args: object, **kwargs: object) -> object:
            start, self._depth = time.monotonic(), self._depth + 1
            try:
                return method(*args, **kwargs)
            finally:
                self._depth -= 1
                if self._depth == 0:
                    self.seconds += time.monotonic() - start

        setattr(owner, name, timed)


def measure(folder: Path, prompts: int) -> dict[str, Any]:
    """Measure the first of the seeded prompts, all eight by default, and return figures for JSON."""
    import torch

    from mbom.behaviour.prompts import PROMPTS, seeded
    from mbom.engine import run as engine
    from mbom.engine.checkpoint import Checkpoint
    from mbom.engine.sketch import RowSketch, Sketches
    from mbom.inventory import scan
    from mbom.source import FolderSource

    opened: list[Checkpoint] = []

    class Remembered(Checkpoint):
        def __enter__(self) -> Self:
            opened.append(self)  # it counts bytes, which a record does not state
            return super().__enter__()

    setattr(engine, Checkpoint.__name__, Remembered)
    sketching = Stopwatch()
    for owner, name in ((Sketches, "slice"), (Sketches, "whole"), (RowSketch, "add"), (RowSketch, "finish")):
        sketching.time(owner, name)
    scanned = scan(FolderSource(folder))
    marks: dict[int, tuple[float, float]] = {}  # by layers done

    def emit(report: Any) -> None:  # noqa: ANN401 - JSON
        if report["phase"] == "layer":
            marks.setdefault(report["done"], (time.monotonic(), cpu_seconds()))

    vocabulary = int(json.loads((folder / "config.json").read_text())["vocab_size"])
    start, cpu = time.monotonic(), cpu_seconds()
    record = engine.measured(
        dict(scanned.paths),
        scanned.inventory,
        seeded(vocabulary)[:prompts],
        device=torch.device("cpu"),
        isolation=("benchmark",),
        emit=emit,
    )
    sizes = {}
    if prompts == PROMPTS:  # a record of fewer is not one, and does not let itself be written
        sizes = {"json": len(record.to_json()), "safetensors": len(record.to_safetensors())}
    layers = [mark for _, mark in sorted(marks.items())]
    return {
        "pass": time.monotonic() - start,
        "cpu": cpu_seconds() - cpu,
        "peak_bytes": peak_bytes(),
        "positions": record.positions,
        "layers": [round(later[0] - earlier[0], 3) for earlier, later in itertools.pairwise(layers)],
        "layers_cpu": [round(later[1] - earlier[1], 3) for earlier, later in itertools.pairwise(layers)],
        "sketches": sketching.seconds,
        "record_bytes": sizes,
        "bytes_read": sum(checkpoint.bytes_read for checkpoint in opened),
        "tensor_bytes": sum(tensor.end - tensor.start for tensor in scanned.inventory.tensors),
        "experts": f"{record.coverage.experts_reached} of {record.coverage.experts}",
        "router_ids": record.numbers.router_ids.tolist(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--prompts", type=int, default=8, help="1 to 8; below 8 no record is written")
    options = parser.parse_args()
    print(json.dumps(measure(options.folder, options.prompts)))


if __name__ == "__main__":
    main()
