"""Comparing the weights of two checkpoints beside the floor of reading both, and how good its figures are.

Two checkpoints of the shape of a Llama in bfloat16 are written, the second with every weight trained a little further,
which is the most that there can be to do. A process of its own compares them as ``mbom diff`` does. The floor is
another process that reads both, hashes every tensor as the comparison has to, and does the bare arithmetic: to float64,
the difference, two sums of squares, equal elements, the largest.

    python bench/diff.py                      # everything that bench/RESULTS.md shows
    python bench/diff.py --size 0.3 --runs 1
    python bench/diff.py --only ranks sketches
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from blake3 import blake3
from numpy.typing import NDArray
from safetensors.torch import save_file

from mbom.behaviour import sketches
from mbom.behaviour.projection import challenge_key
from mbom.diff.values.estimates import Estimate, Sum
from mbom.diff.values.rank import effective_rank
from mbom.diff.values.weights import compare
from mbom.engine.process import FIXED
from mbom.engine.values import open_values
from mbom.inventory import Inventory, scan
from mbom.source import FolderSource

Floats = NDArray[np.float64]
HIDDEN, INNER, VOCABULARY = 4096, 11008, 8192
LAYER_BYTES = 2 * (4 * HIDDEN * HIDDEN + 3 * HIDDEN * INNER)
CHUNK_BYTES = 16 << 20
RELATIVE = 0.01  # of the change
RANKS = (4, 8, 16, 32, 64)
TRIALS = 400


# ---- checkpoints ----


def make(folder: Path, layers: int) -> tuple[Path, Path]:
    """Write a random checkpoint, and one trained further, a shard for each layer."""
    sides = folder / "old", folder / "new"
    for side in sides:
        side.mkdir()
        (side / "config.json").write_text(json.dumps(config(layers)))
    torch.manual_seed(0)
    shards: dict[str, dict[str, tuple[int, ...]]] = {
        "ends": {"model.embed_tokens.weight": (VOCABULARY, HIDDEN), "model.norm.weight": (HIDDEN,)},
        "head": {"lm_head.weight": (VOCABULARY, HIDDEN)},
    }
    for layer in range(layers):
        name = f"model.layers.{layer}."
        square = {f"{name}self_attn.{part}_proj.weight": (HIDDEN, HIDDEN) for part in "qkvo"}
        wide = {f"{name}mlp.{part}_proj.weight": (INNER, HIDDEN) for part in ("gate", "up")}
        norms = {f"{name}{part}_layernorm.weight": (HIDDEN,) for part in ("input", "post_attention")}
        shards[f"{layer:03}"] = {**square, **wide, **norms, f"{name}mlp.down_proj.weight": (HIDDEN, INNER)}
    for shard, shapes in shards.items():
        save_both(sides, shard, shapes)
    index = {"weight_map": {name: shard_name(shard) for shard, shapes in shards.items() for name in shapes}}
    for side in sides:
        (side / "model.safetensors.index.json").write_text(json.dumps(index))
    return sides


def shard_name(shard: str) -> str:
    """Return the name of a shard's file."""
    return f"model-{shard}.safetensors"


def config(layers: int) -> dict[str, object]:
    """Return what ``config.json`` says."""
    return {
        "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": HIDDEN, "intermediate_size": INNER,
        "num_hidden_layers": layers, "num_attention_heads": 32, "num_key_value_heads": 32, "vocab_size": VOCABULARY,
        "tie_word_embeddings": False,
    }  # fmt: skip


def save_both(sides: tuple[Path, Path], shard: str, shapes: dict[str, tuple[int, ...]]) -> None:
    """Write one shard of both checkpoints."""
    old = {name: torch.randn(shape).mul_(0.02).bfloat16() for name, shape in shapes.items()}
    save_file(old, sides[0] / shard_name(shard))
    for name, values in old.items():
        old[name] = (values.float() + 0.02 * RELATIVE * torch.randn(values.shape)).bfloat16()
    save_file(old, sides[1] / shard_name(shard))


# ---- the processes that are measured ----


def weigh(old: Path, new: Path) -> dict[str, float]:
    """Compare two checkpoints."""
    sides = []
    for folder in (old, new):
        inventory = Inventory.from_bytes((folder / "inventory").read_bytes())
        sides.append(({file.name: folder / file.name for file in inventory.files}, inventory))
    start = time.perf_counter(), time.process_time()
    with open_values(*sides[0]) as before, open_values(*sides[1]) as after:
        found = compare(before, after)
    assert found.compared == len(found.changed) > 0
    return {"wall": time.perf_counter() - start[0], "cpu": time.process_time() - start[1]}


def read(old: Path, new: Path) -> dict[str, float]:
    """Read both, hash, and do the bare arithmetic."""
    inventory = Inventory.from_bytes((old / "inventory").read_bytes())
    start = time.perf_counter(), time.process_time()
    total = 0.0
    for tensor in inventory.tensors:
        hashers = blake3(), blake3()
        with (old / tensor.file).open("rb", buffering=0) as one, (new / tensor.file).open("rb", buffering=0) as other:
            one.seek(tensor.start)
            other.seek(tensor.start)
            for first in range(tensor.start, tensor.end, CHUNK_BYTES):
                size = min(CHUNK_BYTES, tensor.end - first)
                before, after = (values(file, size, each) for file, each in zip((one, other), hashers, strict=True))
                equal = int((before == after).sum())
                change = after - before
                total += float(before @ before) + float(change @ change) + float(change.abs().max()) + equal
        for hasher in hashers:
            hasher.digest()
    assert total > 0
    return {"wall": time.perf_counter() - start[0], "cpu": time.process_time() - start[1]}


def values(file: object, size: int, hasher: object) -> torch.Tensor:
    """Read the next values of a file in float64."""
    data = bytearray(size)
    file.readinto(data)  # type: ignore[attr-defined]
    hasher.update(data)  # type: ignore[attr-defined]
    return torch.frombuffer(data, dtype=torch.bfloat16).to(torch.float64)


PROCESSES: dict[str, Callable[[Path, Path], dict[str, float]]] = {"mbom": weigh, "floor": read}


def peak() -> float:
    """Return the most megabytes that this process had resident; that of rusage counts the parent before exec too."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1e3


def apart(kind: str, old: Path, new: Path) -> dict[str, float]:
    """Run one of them with the environment that the comparison has."""
    answer = subprocess.run(
        [sys.executable, __file__, "--process", kind, str(old), str(new)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **FIXED},
    )
    found: dict[str, float] = json.loads(answer.stdout)
    return found


def streaming(size: float, runs: int) -> None:
    """Print what a comparison costs beside its floor."""
    layers = max(1, round(size * 1e9 / LAYER_BYTES))
    with tempfile.TemporaryDirectory(prefix="mbom-bench-") as name:
        sides = make(Path(name), layers)
        total = 0
        for side in sides:
            inventory = scan(FolderSource(side)).inventory
            (side / "inventory").write_bytes(inventory.to_bytes())
            total += sum(tensor.end - tensor.start for tensor in inventory.tensors)
        print(f"two checkpoints of {layers} layers, {total / 2e9:.2f} GB each; median of {runs} alternating runs")
        print(f"{'':8}{'cpu s':>8}{'wall s':>8}{'peak MB':>9}")
        told = {kind: [] for kind in PROCESSES}  # type: dict[str, list[dict[str, float]]]
        for _ in range(runs):
            for kind in PROCESSES:
                told[kind].append(apart(kind, *sides))
    for kind, found in told.items():
        cpu, wall, peak = (statistics.median(each[part] for each in found) for part in ("cpu", "wall", "peak"))
        print(f"{kind:8}{cpu:8.1f}{wall:8.1f}{peak:9.0f}")
    ratio = statistics.median(o["wall"] / f["wall"] for o, f in zip(told["mbom"], told["floor"], strict=True))
    print(
        f"wall ratio {ratio:.2f}, {total / 1e9 / statistics.median(o['wall'] for o in told['mbom']):.2f} GB/s of both"
    )


# ---- ranks ----


def ranks(seeds: int) -> None:
    """Print how often the rank of a merged adapter is found exactly."""
    print(f"\nrank of adapters merged into 1024 x 1024 in float32, rounded to bfloat16: exact of {seeds}")
    sizes = (2e-3, 3e-3, 1e-2, 3e-2, 1e-1)
    print(f"{'change':>8}" + "".join(f"{'r = ' + str(rank):>8}" for rank in RANKS))
    for size in sizes:
        exact = [sum(exact_rank(rank, size, seed) for seed in range(seeds)) for rank in RANKS]
        print(f"{size:8.0e}" + "".join(f"{each:8}" for each in exact))


def exact_rank(rank: int, relative: float, seed: int) -> bool:
    """Merge an adapter, and return whether its rank is found."""
    rng = np.random.default_rng((seed, rank))
    old = torch.from_numpy(rng.normal(size=(1024, 1024))).mul(0.02).bfloat16()
    low = torch.from_numpy(rng.normal(size=(1024, rank)) @ rng.normal(size=(rank, 1024))).float()
    low *= relative * old.float().norm() / low.norm()
    new = (old.float() + low).bfloat16().double()
    return effective_rank((new - old.double()).numpy(), new.numpy(), "bfloat16").rank == rank


# ---- sketches ----


def dense(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Return a change of all elements."""
    return rng.normal(size=shape)


def adapter(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Return a change of rank eight."""
    *stack, rows, columns = shape
    return rng.normal(size=(*stack, rows, 8)) @ rng.normal(size=(*stack, 8, columns))


def one_direction(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Return a change of rank one."""
    *stack, rows, columns = shape
    return rng.normal(size=(*stack, rows, 1)) @ rng.normal(size=(*stack, 1, columns))


def sparse(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Return a change of one element in a thousand."""
    return np.where(rng.random(shape) < 1e-3, rng.normal(size=shape), 0.0) + single(rng, shape)


def single(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Return a change of one element."""
    found = np.zeros(shape)
    found[tuple(rng.integers(side) for side in shape)] = 1.0
    return found


def sketched(weight: Floats, slices: int, key: bytes) -> Floats:
    """Return the sketches of a weight by their definition."""
    parts = weight if slices > 1 else weight[None]
    count = sketches.values(weight.shape, slices)
    left, right = (
        draw("w", side, count, key).astype(np.float64)
        for draw, side in ((sketches.left, parts.shape[1]), (sketches.right, parts.shape[2]))
    )
    found: Floats = ((parts.swapaxes(1, 2) @ left) * right).sum(axis=1)
    return found


def trials(shape: tuple[int, ...], slices: int, draw: Callable[..., Floats]) -> Iterator[tuple[float, Estimate]]:
    """Yield the true relative change of random weights, and what their sketches under other signs say."""
    for seed in range(TRIALS):
        rng, key = np.random.default_rng(seed), challenge_key("5a" * 32, str(seed))
        before, change = rng.normal(size=shape), 0.01 * draw(rng, shape)
        one, other = sketched(before, slices, key), sketched(before + change, slices, key)
        found = Estimate(change=Sum.of(other - one, bilinear=True), norm=Sum.of(one, bilinear=True))
        yield float(np.linalg.norm(change) / np.linalg.norm(before)), found


def estimates() -> None:
    """Print how often estimates are within their stated error."""
    print(
        f"\nestimates from sketches, {TRIALS} weights each: within the stated error, its median, what 95 % are within"
    )
    for what, shape, slices in (("256 x 192", (256, 192), 1), ("16 experts of 96 x 64", (16, 96, 64), 16)):
        for draw in (dense, adapter, one_direction, sparse, single):
            found = [*trials(shape, slices, draw)]
            within = np.mean([abs(each.relative - true) <= each.error for true, each in found])
            stated = np.median([each.error / each.relative for _, each in found])
            actual = np.quantile([abs(each.relative - true) / each.relative for true, each in found], 0.95)
            print(f"{what:22}{draw.__name__.replace('_', ' '):15}{within:8.1%}{stated:8.0%}{actual:8.0%}")


def main() -> None:
    """Print everything, or what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=float, default=3.0, help="GB of each checkpoint")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=20, help="adapters for each rank and size")
    parser.add_argument("--only", nargs="+", choices=("stream", "ranks", "sketches"))
    parser.add_argument("--process", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.process:
        kind, old, new = options.process
        found = PROCESSES[kind](Path(old), Path(new))
        print(json.dumps({**found, "peak": peak()}))
        return
    wanted = options.only or ("stream", "ranks", "sketches")
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"torch {torch.__version__}, numpy {np.__version__}")
    if "stream" in wanted:
        streaming(options.size, options.runs)
    if "ranks" in wanted:
        ranks(options.seeds)
    if "sketches" in wanted:
        estimates()


if __name__ == "__main__":
    main()
