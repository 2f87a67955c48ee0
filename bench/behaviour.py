"""Time and memory of the behaviour pass against its floors, on random weights in the shape of gpt-oss.

    python bench/behaviour.py                              # gpt-oss-20b shape, four layers, 4.1 GB
    python bench/behaviour.py --shape 120b                 # gpt-oss-120b shape, four layers, 9.1 GB
    python bench/behaviour.py --layers 24 --folder /big    # gpt-oss-20b whole
    python bench/behaviour.py --full-load                  # beside an ordinary load by transformers, bfloat16

The pass computes the whole record of 2,048 positions in float64; then its floors are measured on the same files (see
bench/floors.py); with --runs both in turn, and medians count. A record of all layers is extrapolated as

    (pass - measured layers) + layers of the model * median layer

and its floors likewise. Each side runs in a process of its own; peak memory is the largest resident set of that process
as the kernel counts it. Ratios are printed of wall seconds and of processor seconds; where others share the machine
the latter are the steadier ones.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from passes import cpu_seconds, peak_bytes, run
from randomweights import GPT_OSS_20B, write_gpt_oss

SHAPES = {"20b": (24, 32), "120b": (36, 128)}  # layers, experts; everything else is the same
RATIO_TARGET = 1.6
MEMORY_TARGET = {"20b": 1.5e9, "120b": 2.0e9}
SKETCHES_TARGET = 0.25
RECORD_TARGET = 10e6
PARTS = ("reading", "blake3", "decode", "products")

Figures = dict[str, Any]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default="20b")
    parser.add_argument("--layers", type=int, default=4, help="decoder layers, 0.44 GB or 1.7 GB each (default 4)")
    parser.add_argument("--runs", type=int, default=1, help="alternating runs of the pass and of its floors")
    parser.add_argument("--folder", type=Path, help="where the checkpoint is written (default a temporary folder)")
    parser.add_argument("--full-load", action="store_true", help="load with transformers too")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one is not None:
        print(json.dumps(full_load(options.one)))
        return 0
    with tempfile.TemporaryDirectory(prefix="mbom-bench-", dir=options.folder) as scratch:
        folder = Path(scratch) / "gpt-oss-shape"
        size = write_gpt_oss(folder, layers=options.layers, experts=SHAPES[options.shape][1])
        print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}")
        print(f"torch {version('torch')}, transformers {version('transformers')}, numpy {version('numpy')}")
        print(f"checkpoint: gpt-oss-{options.shape} shape, {options.layers} layers, {size / 1e9:.2f} GB of tensors")
        passes, floors = [], []
        for _ in range(options.runs):
            passes.append(run("passes.py", str(folder)))
            floors.append(run("floors.py", str(folder), stdin=json.dumps(passes[-1].pop("router_ids"))))
        met = report(options.shape, passes, floors)
        if options.full_load:
            beside(folder, passes)
    return 0 if met else 1


def report(shape: str, passes: Sequence[Figures], floors: Sequence[Figures]) -> bool:
    """Print what was measured and what follows for all layers; tell whether the targets are met."""
    one = passes[0]
    assert all(each["bytes_read"] == each["tensor_bytes"] for each in passes), "a byte was read twice, or never"
    peak = max(each["peak_bytes"] for each in passes)
    record = sum(one["record_bytes"].values())
    print(f"pass: {one['positions']} positions, experts reached {one['experts']}")
    print(f"bytes read {one['bytes_read']:,}: every tensor once; peak {peak / 1e9:.2f} GB; record {record:,} bytes")
    share = statistics.median(each["sketches"] / each["pass"] for each in passes)
    print(f"sketches of every weight: {100 * share:.0f} % of the pass (target {100 * SKETCHES_TARGET:.0f} %)")
    flop = floors[0]["layer_flop"]
    print(f"float64 products of a layer: {flop / 1e9:.0f} GFLOP")
    layers = SHAPES[shape][0]
    ratios = [summary(passes, floors, key, layers) for key in ("wall", "cpu")]
    goal = MEMORY_TARGET[shape]
    print(f"ratio of a whole record to its floors: wall {ratios[0]:.2f}, cpu {ratios[1]:.2f} (target {RATIO_TARGET})")
    print(
        f"peak {peak / 1e9:.2f} GB (target {goal / 1e9:.1f}); record {record / 1e6:.1f} MB for these layers (target 10)"
    )
    return ratios[0] <= RATIO_TARGET and peak <= goal and share <= SKETCHES_TARGET and record <= RECORD_TARGET


def summary(passes: Sequence[Figures], floors: Sequence[Figures], key: str, layers: int) -> float:
    """Print a table in wall or processor seconds, and return the ratio for a model of so many layers."""
    name, whole = ("layers", "pass") if key == "wall" else ("layers_cpu", "cpu")
    layer = statistics.median(seconds for each in passes for seconds in each[name])
    rest = statistics.median(each[whole] - sum(each[name]) for each in passes)

    def floor(group: str, part: str) -> float:
        return statistics.median(each[group][part][key] if part in each[group] else 0.0 for each in floors)

    sums = {group: sum(floor(group, part) for part in PARTS) for group in ("layer", "rest")}
    print(f"{key + ' seconds':22}" + "".join(f"{part:>10}" for part in (*PARTS, "floors", "mbom", "ratio")))
    for group, ours in (("layer", layer), ("rest", rest)):
        label = "a layer" if group == "layer" else "embedding, head"
        values = [*(floor(group, part) for part in PARTS), sums[group], ours, ours / sums[group]]
        print(f"  {label:20}" + "".join(f"{value:10.2f}" for value in values))
    total, least = rest + layers * layer, sums["rest"] + layers * sums["layer"]
    print(f"  {layers} layers: {rest:.1f} + {layers} * {layer:.2f} = {total:.0f} s; ", end="")
    print(f"floors {sums['rest']:.1f} + {layers} * {sums['layer']:.2f} = {least:.0f} s; ratio {total / least:.2f}")
    return float(total / least)


def beside(folder: Path, passes: Sequence[Figures]) -> None:
    """Load the same checkpoint with transformers and print both."""
    theirs = run("behaviour.py", "--one", str(folder))
    ours = passes[0]
    for label, each in (("mbom", ours), ("transformers", theirs)):
        print(
            f"{label:13} peak {each['peak_bytes'] / 1e9:6.2f} GB   wall {each['wall']:7.1f} s   cpu {each['cpu']:7.1f}"
        )
    print("(mbom: the whole record; transformers: loading to bfloat16 alone)")
    print(f"peak memory, transformers to mbom: {theirs['peak_bytes'] / ours['peak_bytes']:.1f}")
    layers = json.loads((folder / "config.json").read_text())["num_hidden_layers"]
    experts = json.loads((folder / "config.json").read_text())["num_local_experts"]
    print(f"weights alone in float64 would take {8 * parameters(layers, experts) / 1e9:.1f} GB")


def parameters(layers: int, experts: int) -> int:
    """Return the number of matrix elements of the shape."""
    hidden, inner = GPT_OSS_20B["hidden_size"], GPT_OSS_20B["intermediate_size"]
    heads = GPT_OSS_20B["num_attention_heads"] + GPT_OSS_20B["num_key_value_heads"]
    attention = 2 * heads * GPT_OSS_20B["head_dim"] * hidden
    return int(layers * (experts * 3 * hidden * inner + attention) + 2 * GPT_OSS_20B["vocab_size"] * hidden)


def full_load(folder: Path) -> Figures:
    """Load the checkpoint as transformers does without a GPU: dequantised, whole."""
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils.quantization_config import Mxfp4Config

    start = time.monotonic()
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.bfloat16, quantization_config=Mxfp4Config(dequantize=True)
    )
    loaded = sum(parameter.numel() for parameter in model.parameters())
    return {"load": time.monotonic() - start, "cpu": cpu_seconds(), "peak_bytes": peak_bytes(), "parameters": loaded}


if __name__ == "__main__":
    sys.exit(main())
