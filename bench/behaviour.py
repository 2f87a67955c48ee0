"""Memory and time of the behaviour pass beside an ordinary full load, on random weights in the shape of gpt-oss-20b.

    python bench/behaviour.py                          # three layers, 3.6 GB
    python bench/behaviour.py --layers 6 --folder /big/disk

Each side runs in a process of its own, one after the other, on the same files: `mbom` measures the whole record of
2,048 positions in float64; `transformers` loads the same checkpoint the ordinary way, dequantised to bfloat16 (float64
would take four times that, which the last line works out). Peak memory is the largest resident set of any process of
that side, as the kernel counts it.
"""

import argparse
import itertools
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from randomweights import GPT_OSS_20B, write_gpt_oss


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=3, help="decoder layers, 0.44 GB each (default 3)")
    parser.add_argument("--folder", type=Path, help="where the checkpoint is written (default a temporary folder)")
    parser.add_argument("--no-full-load", action="store_true", help="leave the ordinary load out")
    parser.add_argument("--one", choices=["mbom", "transformers"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one is not None:
        print(json.dumps({"mbom": measure, "transformers": full_load}[options.one](options.folder)))
        return
    with tempfile.TemporaryDirectory(prefix="mbom-bench-", dir=options.folder) as scratch:
        folder = Path(scratch) / "gpt-oss-shape"
        size = write_gpt_oss(folder, layers=options.layers)
        print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}")
        print(f"torch {version('torch')}, transformers {version('transformers')}, numpy {version('numpy')}")
        print(f"checkpoint: gpt-oss-20b shape, {options.layers} layers, {size / 1e9:.2f} GB of tensors")
        report(folder, options.layers, full=not options.no_full_load)


def report(folder: Path, layers: int, *, full: bool) -> None:
    """Run both sides and print what each took."""
    ours = run("mbom", folder)
    seconds = ours["layer_seconds"]
    print(
        f"mbom          peak {ours['peak_bytes'] / 1e9:6.2f} GB   wall {ours['wall']:7.1f} s   cpu {ours['cpu']:7.1f} s"
    )
    print(f"              {ours['positions']} positions; per layer: " + ", ".join(f"{each:.1f} s" for each in seconds))
    print(f"              output head {ours['head_seconds']:.1f} s; experts reached {ours['experts']}")
    if full:
        theirs = run("transformers", folder)
        print(
            f"transformers  peak {theirs['peak_bytes'] / 1e9:6.2f} GB   wall {theirs['wall']:7.1f} s   "
            f"cpu {theirs['cpu']:7.1f} s   (bfloat16, load only)"
        )
        print(f"peak memory, transformers to mbom: {theirs['peak_bytes'] / ours['peak_bytes']:.1f}")
    print(f"weights alone in float64 would take {8 * parameters(layers) / 1e9:.1f} GB")


def parameters(layers: int) -> int:
    """Return the number of matrix elements of the shape."""
    hidden, inner = GPT_OSS_20B["hidden_size"], GPT_OSS_20B["intermediate_size"]
    heads = GPT_OSS_20B["num_attention_heads"] + GPT_OSS_20B["num_key_value_heads"]
    experts = GPT_OSS_20B["num_local_experts"] * 3 * hidden * inner
    attention = 2 * heads * GPT_OSS_20B["head_dim"] * hidden
    return int(layers * (experts + attention) + 2 * GPT_OSS_20B["vocab_size"] * hidden)


def run(side: str, folder: Path) -> dict[str, Any]:
    """Run one side in a process of its own."""
    command = [sys.executable, __file__, "--one", side, "--folder", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{side} failed:\n{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def spent(start: float) -> dict[str, float]:
    """Return wall and CPU seconds and the largest resident set of this process and its children."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "wall": time.monotonic() - start,
        "cpu": own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime,
        "peak_bytes": 1024 * max(own.ru_maxrss, children.ru_maxrss),
    }


def measure(folder: Path) -> dict[str, Any]:
    """Measure the checkpoint as `mbom attest` does."""
    from mbom.engine import Measurement, MeasureProgress
    from mbom.inventory import scan
    from mbom.source import FolderSource

    scanned = scan(FolderSource(folder))
    start = time.monotonic()
    marks: dict[tuple[str, int], float] = {}

    def progress(report: MeasureProgress) -> None:
        marks.setdefault((report.phase, report.done), time.monotonic())

    record = Measurement(device="cpu", progress=progress)(scanned.paths, scanned.inventory)
    times = [at for (phase, _), at in sorted(marks.items()) if phase == "layers"]
    return {
        **spent(start),
        "positions": record.positions,
        "layer_seconds": [round(later - earlier, 2) for earlier, later in itertools.pairwise(times)],
        "head_seconds": round(time.monotonic() - times[-1], 2),
        "experts": f"{record.coverage.experts_reached} of {record.coverage.experts}",
    }


def full_load(folder: Path) -> dict[str, Any]:
    """Load the checkpoint as transformers does without a GPU: dequantised, whole."""
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils.quantization_config import Mxfp4Config

    start = time.monotonic()
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.bfloat16, quantization_config=Mxfp4Config(dequantize=True)
    )
    return {**spent(start), "parameters": sum(parameter.numel() for parameter in model.parameters())}


if __name__ == "__main__":
    main()
