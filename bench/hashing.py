"""What attesting costs beside plain hashing: processor seconds, wall seconds and peak memory, in alternating runs.

The yardstick reads the same files with two threads of hashlib's SHA-256 and 8 MiB buffers: the least that a digest of
every file can cost in Python. mbom also takes the BLAKE3 of every tensor, checks the headers, and writes the bundle.

    python bench/hashing.py                        # 4 GB in a temporary folder
    python bench/hashing.py --size 1 --runs 5 --folder /mnt/fast
    python bench/hashing.py --scan-only            # the inventory alone, without the command line
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
CPU_TARGET = 1.4  # times the processor seconds of the yardstick
MEMORY_TARGET = 200  # MB

YARDSTICK = """
import hashlib, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

def digest(path):
    hasher, buffer = hashlib.sha256(), memoryview(bytearray(8 << 20))
    with open(path, "rb", buffering=0) as file:
        while count := file.readinto(buffer):
            hasher.update(buffer[:count])
    return hasher.hexdigest()

with ThreadPoolExecutor(2) as pool:
    for line in pool.map(digest, sorted(Path(sys.argv[1]).iterdir())):
        print(line)
"""
SCAN = """
import sys
from mbom.inventory import scan
from mbom.source import FolderSource

print(len(scan(FolderSource(sys.argv[1])).inventory.to_bytes()))
"""
# Without the highest bit of the exponent every pattern of BF16 is a number, as in every honest checkpoint.
NUMBERS = bytes(byte & 0xBF for byte in range(256))
CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336,
    "num_hidden_layers": 4, "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 32000,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one run of a child process used: seconds, and megabytes at its peak."""

    cpu: float
    wall: float
    peak: float


def make_shards(folder: Path, size: int, *, shards: int = 4, tensor: int = 32 << 20) -> int:
    """Write a sharded checkpoint of at least ``size`` bytes of random BF16 tensors, and return how many tensors it has.

    Written in pieces, so that it needs no more memory than one tensor.

    Args:
        folder: an existing empty folder.
        size: bytes of all tensors together.
        shards: how many files share them.
        tensor: bytes of each tensor; a multiple of 8192.
    """
    each = max(1, -(-size // shards // tensor))
    weight_map: dict[str, str] = {}
    for shard in range(shards):
        name = f"model-{shard:05}-of-{shards:05}.safetensors"
        entries = {
            f"model.layers.{shard}.mlp.experts.{number}.down_proj.weight": {
                "dtype": "BF16",
                "shape": [tensor // 8192, 4096],
                "data_offsets": [number * tensor, (number + 1) * tensor],
            }
            for number in range(each)
        }
        weight_map |= dict.fromkeys(entries, name)
        header = json.dumps(entries).encode()
        header += b" " * (-len(header) % 8)
        with (folder / name).open("wb") as file:
            file.write(len(header).to_bytes(8, "little") + header)
            for _ in entries:
                data = bytearray(os.urandom(tensor))
                data[1::2] = data[1::2].translate(NUMBERS)
                file.write(data)
    index = {"metadata": {"total_size": shards * each * tensor}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    (folder / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    return len(weight_map)


def run(command: Sequence[str]) -> Cost:
    """Run a command to its end and return what the system says it used, its own children included."""
    begin = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stderr is not None
        complaint = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"{' '.join(command[:4])}: exit {process.returncode}: {complaint.decode(errors='replace')[-2000:]}")
    return Cost(
        cpu=usage.ru_utime + usage.ru_stime, wall=time.perf_counter() - begin, peak=usage.ru_maxrss * 1024 / 1e6
    )


def attest(folder: Path, scratch: Path, *, scan_only: bool) -> Cost:
    """Attest a folder, or only take its inventory, and remove the bundle."""
    bundle = scratch / "out.mbom"
    whole = [sys.executable, "-m", "mbom", "attest", str(folder), "--no-behaviour", "--unsigned", "-o", str(bundle)]
    cost = run([sys.executable, "-c", SCAN, str(folder)] if scan_only else whole)
    shutil.rmtree(bundle, ignore_errors=True)
    return cost


def compare(folder: Path, scratch: Path, *, runs: int, scan_only: bool) -> Iterator[tuple[Cost, Cost]]:
    """Yield (yardstick, mbom) for each run, after one of each that only warms the page cache."""
    plain = [sys.executable, "-c", YARDSTICK, str(folder)]
    for number in range(runs + 1):
        pair = run(plain), attest(folder, scratch, scan_only=scan_only)
        if number:
            yield pair


def report(pairs: Sequence[tuple[Cost, Cost]], fixed: Cost, size: int, tensors: int) -> bool:
    """Print the medians and what a checkpoint of a few bytes costs, and tell whether the targets are met."""
    print(f"{size / 1e9:.2f} GB, {tensors} tensors, median of {len(pairs)} alternating runs")
    print(f"{'':12}{'cpu s':>8}{'wall s':>8}{'peak MB':>9}")
    for label, costs in (("sha256 x2", [a for a, _ in pairs]), ("mbom", [b for _, b in pairs])):
        cpu, wall = (statistics.median(values) for values in zip(*((c.cpu, c.wall) for c in costs), strict=True))
        print(f"{label:12}{cpu:8.2f}{wall:8.2f}{max(cost.peak for cost in costs):9.0f}")
    print(f"{'  start-up':12}{fixed.cpu:8.2f}{fixed.wall:8.2f}{fixed.peak:9.0f}")
    ratio = statistics.median(ours.cpu / plain.cpu for plain, ours in pairs)
    peak = max(ours.peak for _, ours in pairs)
    print(f"cpu ratio {ratio:.2f} (target {CPU_TARGET}), peak {peak:.0f} MB (target {MEMORY_TARGET})")
    return ratio <= CPU_TARGET and peak <= MEMORY_TARGET


def main() -> int:
    """Make the shards, compare, print; exit 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=float, default=4.0, help="gigabytes of tensors")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where to write; the page cache should hold the whole size")
    parser.add_argument("--scan-only", action="store_true", help="measure the inventory without the command line")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mbom-bench-", dir=options.folder) as scratch:
        folder = Path(scratch) / "model"
        folder.mkdir()
        tensors = make_shards(folder, int(options.size * 1e9))
        size = sum(path.stat().st_size for path in folder.iterdir())
        pairs = list(compare(folder, Path(scratch), runs=options.runs, scan_only=options.scan_only))
        tiny = Path(scratch) / "tiny"
        tiny.mkdir()
        make_shards(tiny, 1, shards=1, tensor=8192)
        fixed = attest(tiny, Path(scratch), scan_only=options.scan_only)
    return 0 if report(pairs, fixed, size, tensors) else 1


if __name__ == "__main__":
    sys.exit(main())
