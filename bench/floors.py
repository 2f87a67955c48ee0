"""What a behaviour pass cannot do without, each part alone, on the same files: the floors that a pass is held against.

    python bench/floors.py FOLDER < ROUTER_IDS       # one line of JSON; bench/behaviour.py calls it

- reading: every byte of the tensors into one buffer, from the page cache;
- blake3: the same number of bytes, hashed in the cache;
- decode: the MXFP4 kernel over every expert of a layer, into a buffer that is used again;
- products: the float64 matrix products of a layer with operands of the very shapes, each expert with the number of
  tokens that it got, attention and its four projections; and those of the output head.

Reading and hashing are measured over all files; decoding and products over one layer, and a part of the output head.
"""

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from blake3 import blake3
from passes import cpu_seconds
from safetensors import safe_open

from mbom.engine.dequantise import mxfp4

BUFFER = 4 << 20
HEAD_BLOCK = 2048
HEAD_BLOCKS = 6  # of about a hundred


def spent(work: Callable[[], object], *, times: float = 1.0) -> dict[str, float]:
    """Return the wall and processor seconds of some work, ``times`` over."""
    wall, cpu = time.monotonic(), cpu_seconds()
    work()
    return {"wall": times * (time.monotonic() - wall), "cpu": times * (cpu_seconds() - cpu)}


def read(paths: Iterable[Path]) -> None:
    buffer = bytearray(BUFFER)
    for path in paths:
        with path.open("rb", buffering=0) as file:
            while file.readinto(buffer):
                pass


def hash_as_many(size: int) -> None:
    buffer, hasher = os.urandom(BUFFER), blake3()
    for start in range(0, size, BUFFER):
        hasher.update(buffer[: size - start])


def decode(path: Path, layer: int) -> None:
    """Decode every expert of a layer from memory."""
    with safe_open(path, "pt") as file:
        for name in ("gate_up_proj", "down_proj"):
            base = f"model.layers.{layer}.mlp.experts.{name}"
            blocks, scales = file.get_tensor(f"{base}_blocks"), file.get_tensor(f"{base}_scales")
            out = torch.empty(blocks.shape[1], blocks.shape[2] * 32, dtype=torch.float64)
            for expert in range(blocks.shape[0]):
                mxfp4(blocks[expert], scales[expert], out=out)


def products(config: dict[str, Any], tokens: list[int], prompts: int, width: int) -> Iterator[tuple[int, int, int]]:
    """Yield the products of a layer, (rows, inner, columns), with tokens for each expert; attention comes apart."""
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    queries = config["num_attention_heads"] * config["head_dim"]
    keys = config["num_key_value_heads"] * config["head_dim"]
    positions = prompts * width
    for columns in (queries, keys, keys):
        yield positions, hidden, columns
    yield positions, queries, hidden
    yield positions, hidden, config["num_local_experts"]
    for count in tokens:
        yield count, hidden, 2 * inner
        yield count, inner, hidden


def multiply(shapes: list[tuple[int, int, int]]) -> Callable[[], None]:
    """Return the products of those shapes, operands made ahead and shared; weights are stored (columns, inner)."""
    rows, inner, columns = (max(shape[i] for shape in shapes) for i in range(3))
    left = torch.randn(rows, inner, dtype=torch.float64)
    right = torch.randn(columns, inner, dtype=torch.float64)
    out = torch.empty(rows * columns, dtype=torch.float64)
    weights = {(i, c): right[:c, :i].contiguous() for _, i, c in shapes}
    inputs = {i: left[:, :i].contiguous() for _, i, _ in shapes}

    def work() -> None:
        for r, i, c in shapes:
            torch.mm(inputs[i][:r], weights[i, c].T, out=out[: r * c].view(r, c))

    return work


def attend(config: dict[str, Any], prompts: int, width: int) -> Callable[[], None]:
    """Return the two products of attention, prompt by prompt."""
    query = torch.randn(config["num_attention_heads"], width, config["head_dim"], dtype=torch.float64)

    def work() -> None:
        for _ in range(prompts):
            torch.bmm(torch.bmm(query, query.transpose(1, 2)), query)

    return work


def floors(folder: Path, router_ids: list[Any]) -> dict[str, Any]:
    """Measure all floors; parts of a layer are for one layer, the rest for the whole checkpoint."""
    config = json.loads((folder / "config.json").read_text())
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    layers = config["num_hidden_layers"]
    from mbom.behaviour.prompts import POSITIONS

    chosen = Counter(expert for row in router_ids[0] for expert in row)
    tokens = [chosen[expert] for expert in range(config["num_local_experts"])]
    prompts = len(router_ids[0]) // POSITIONS
    shard = folder / index["weight_map"]["model.layers.0.mlp.experts.down_proj_blocks"]
    layer_bytes, total = shard.stat().st_size, sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    shapes = list(products(config, tokens, prompts, POSITIONS))
    head = [(prompts * POSITIONS, config["hidden_size"], HEAD_BLOCK)] * HEAD_BLOCKS
    flop = 2 * sum(r * i * c for r, i, c in shapes)
    layer, rest = multiply(shapes), multiply(head)
    attention = attend(config, prompts, POSITIONS)
    for warm in (rest, attention):
        warm()
    reading = spent(lambda: read(folder.glob("*.safetensors")))
    hashing = spent(lambda: hash_as_many(total))
    share = layer_bytes / total
    return {
        "layer": {
            "reading": {key: value * share for key, value in reading.items()},
            "blake3": {key: value * share for key, value in hashing.items()},
            "decode": spent(lambda: decode(shard, 0)),
            "products": spent(lambda: (layer(), attention())),
        },
        "rest": {
            "reading": {key: value * (1 - layers * share) for key, value in reading.items()},
            "blake3": {key: value * (1 - layers * share) for key, value in hashing.items()},
            "products": spent(rest, times=config["vocab_size"] / (HEAD_BLOCK * HEAD_BLOCKS)),
        },
        "layer_flop": flop,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    print(json.dumps(floors(parser.parse_args().folder, json.load(sys.stdin))))


if __name__ == "__main__":
    main()
