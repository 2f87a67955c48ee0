"""What building a BOM costs for a checkpoint of 100,000 tensors: a process of its own, from start-up to the last byte.

Each variant reads the same inventory.json in a fresh Python: the floor only writes it as JSON again; mbom reads the
facts, builds the BOM, holds it against the schema and lint; the peer is cyclonedx-python-lib, which parses and writes
the finished document with its own types and validates it with its own strict validator, and can express less of it.

    python bench/bom.py                            # 100,000 tensors in 163 shards
    python bench/bom.py --files 50000              # and so many files beside them
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import shapes
from hashing import Cost, run

from mbom.inventory import FileRecord, Inventory
from mbom.source import Origin

TENSORS = 100_000
SHARDS = 163  # as DeepSeek-V3 has
PEER_LIMIT = 1000  # files; it compares the items of arrays pair by pair, and does not end with a hundred thousand
TIME_TARGET = 5.0  # seconds
MEMORY_TARGET = 300  # MB

READ = """
import sys
from pathlib import Path
folder = Path(sys.argv[1])
data = (folder / "inventory.json").read_bytes()
"""
VARIANTS = {
    "json floor": READ
    + """
import json
(folder / "floor.json").write_text(json.dumps(json.loads(data), indent=1, sort_keys=True))
""",
    "reading": READ
    + """
from mbom import bom
from mbom.inventory import Inventory
Inventory.from_bytes(data)
""",
    "mbom": READ
    + """
from datetime import UTC, datetime
from mbom import bom
from mbom.facts.reading import read_facts
from mbom.inventory import Inventory
inventory = Inventory.from_bytes(data)
facts, _ = read_facts(inventory, {"config.json": (folder / "config.json").read_bytes()})
built = bom.build(
    inventory=inventory, facts=facts, behaviour=None, tool_version="1", created=datetime(2026, 1, 1, tzinfo=UTC)
)
(folder / "bom.cdx.json").write_bytes(built)
""",
    "validate": READ
    + """
from datetime import UTC, datetime
from mbom.bom.format.validate import validate_file
assert validate_file(folder / "bom.cdx.json", datetime(2026, 1, 2, tzinfo=UTC)).valid
""",
    "peer": READ
    + """
import json
from cyclonedx.model.bom import Bom
from cyclonedx.output.json import JsonV1Dot7
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
text = (folder / "bom.cdx.json").read_text()
assert JsonStrictValidator(SchemaVersion.V1_7).validate_str(text) is None
JsonV1Dot7(Bom.from_json(json.loads(text))).output_as_string()
""",
}


def entries(count: int) -> Iterator[shapes.Entry]:
    """Yield at least ``count`` tensors as DeepSeek-V3 names and shapes them: FP8 experts, each with its scales."""
    layers = 61
    experts = -(-count // (layers * 6))
    for layer in range(layers):
        prefix = f"model.layers.{layer}"
        yield f"{prefix}.mlp.gate.weight", "BF16", (experts, 7168)
        for expert in range(experts):
            for name, shape in {"gate_proj": (2048, 7168), "up_proj": (2048, 7168), "down_proj": (7168, 2048)}.items():
                stem = f"{prefix}.mlp.experts.{expert}.{name}.weight"
                yield stem, "F8_E4M3", shape
                yield f"{stem}_scale_inv", "F32", (shape[0] // 128, shape[1] // 128)
    yield "model.embed_tokens.weight", "BF16", (129280, 7168)
    yield "lm_head.weight", "BF16", (129280, 7168)


def write_inventory(folder: Path, *, tensors: int, files: int) -> int:
    """Write inventory.json and config.json of a sharded checkpoint, and return how many tensors it has."""
    table = list(entries(tensors))
    names = [f"model-{number:05}-of-{SHARDS:05}.safetensors" for number in range(1, SHARDS + 1)]
    parts = {name: shapes.records(table[number::SHARDS], name) for number, name in enumerate(names)}
    records = [
        FileRecord(name=name, size=part[-1].end, sha256=f"{number:064x}", role="weights")
        for number, (name, part) in enumerate(parts.items())
    ]
    records += [
        FileRecord(name=f"more/{number:06}.txt", size=1, sha256=f"{number:064x}", role="other")
        for number in range(files)
    ]
    records.append(FileRecord(name="config.json", size=1, sha256="c" * 64, role="config"))
    inventory = Inventory(
        origin=Origin(kind="hub", name="large", repo="org/large", revision="a" * 40),
        files=tuple(sorted(records, key=lambda record: record.name)),
        tensors=tuple(
            replace(tensor, blake3=f"{number:064x}")
            for number, tensor in enumerate(sorted(sum(parts.values(), ()), key=lambda tensor: tensor.name))
        ),
    )
    (folder / "inventory.json").write_bytes(inventory.to_bytes())
    (folder / "config.json").write_bytes(shapes.config("deepseek-v3"))
    return len(table)


def measure(folder: Path, runs: int, variants: dict[str, str]) -> dict[str, Cost]:
    """Return the median seconds and the greatest peak of each variant, of alternating runs after one for the caches."""
    held: dict[str, list[Cost]] = {name: [] for name in variants}
    for number in range(runs + 1):
        for name, code in variants.items():
            cost = run([sys.executable, "-c", code, str(folder)])
            if number:
                held[name].append(cost)
    return {
        name: Cost(
            cpu=statistics.median(cost.cpu for cost in costs),
            wall=statistics.median(cost.wall for cost in costs),
            peak=max(cost.peak for cost in costs),
        )
        for name, costs in held.items()
    }


def main() -> int:
    """Measure and print; exit 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tensors", type=int, default=TENSORS)
    parser.add_argument("--files", type=int, default=0, help="files beside shards and configuration")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mbom-bench-") as name:
        folder = Path(name)
        # In a process of its own: a child's peak is counted from the memory of the parent that started it.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            tensors = pool.submit(write_inventory, folder, tensors=options.tensors, files=options.files).result()
        variants = {name: code for name, code in VARIANTS.items() if name != "peer" or options.files <= PEER_LIMIT}
        costs = measure(folder, options.runs, variants)
        sizes = [(folder / file).stat().st_size / 1e6 for file in ("inventory.json", "bom.cdx.json")]
    print(f"{tensors} tensors, {options.files + SHARDS + 1} files, median of {options.runs} alternating runs")
    print(f"inventory.json {sizes[0]:.1f} MB, bom.cdx.json {sizes[1]:.2f} MB")
    print(f"{'':12}{'cpu s':>8}{'wall s':>8}{'peak MB':>9}")
    for name, cost in costs.items():
        print(f"{name:12}{cost.cpu:8.2f}{cost.wall:8.2f}{cost.peak:9.0f}")
    ours = costs["mbom"]
    if options.files:
        return 0  # the targets are for tensors
    print(f"mbom {ours.cpu:.2f} s (target {TIME_TARGET}), peak {ours.peak:.0f} MB (target {MEMORY_TARGET})")
    return 0 if ours.cpu <= TIME_TARGET and ours.peak <= MEMORY_TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
