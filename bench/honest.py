"""Ways in which an honest machine measures, or an honest publisher stores, the same model: none may raise an alarm."""

import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
import transformers.integrations.sdpa_attention as sdpa
from inprocess import Batches, Measuring
from safetensors.torch import save
from storedweights import INDEX, Matrix, Weights
from transformers import AttentionInterface

from mbom.behaviour.prompts import Prompt
from mbom.behaviour.record import Record
from mbom.engine import measure
from mbom.engine.attention import ATTENTION
from mbom.inventory import scan
from mbom.source import FolderSource

Configuration = Callable[[Path, Measuring], Record]
"""Takes a copy of a checkpoint that it may rewrite, and returns its record."""


# ---- how it is measured ----


def again(folder: Path, measuring: Measuring) -> Record:
    """Measure once more in this process."""
    return measuring(folder)


def isolated(folder: Path, _measuring: Measuring) -> Record:
    """Measure as the command line does, in a confined child process."""
    scanned = scan(FolderSource(folder))
    return measure(scanned.paths, scanned.inventory, device="cpu")


def with_threads(count: int) -> Configuration:
    """Measure with another number of threads."""

    def run(folder: Path, measuring: Measuring) -> Record:
        before = torch.get_num_threads()
        torch.set_num_threads(count)
        try:
            return measuring(folder)
        finally:
            torch.set_num_threads(before)

    return run


def batched(batches: Batches) -> Configuration:
    """Measure the prompts in other batches or in another order."""
    return lambda folder, measuring: measuring(folder, batches)


def reversed_order(prompts: tuple[Prompt, ...]) -> list[tuple[Prompt, ...]]:
    """Put the last prompt first."""
    return [prompts[::-1]]


def shuffled(seed: int) -> Batches:
    """Put the prompts in a random order."""
    return lambda prompts: [tuple(random.Random(seed).sample(prompts, len(prompts)))]


def in_batches_of(size: int) -> Batches:
    """Run some prompts at a time."""
    return lambda prompts: [prompts[start : start + size] for start in range(0, len(prompts), size)]


def padded_to(length: int) -> Batches:
    """Run a longer prompt beside the others, so that all of them are padded to its length."""
    filler = Prompt(id="padding", kind="text", variant=None, token_ids=tuple(i % 500 for i in range(length)))
    return lambda prompts: [(*prompts[:3], filler, *prompts[3:])]


def whole_batch_eager(module: Any, *args: Any, **rest: Any) -> Any:  # noqa: ANN401 - transformers' interface
    """Run the model's own eager attention on all prompts at once; the engine runs them one by one."""
    return sys.modules[type(module).__module__].eager_attention_forward(module, *args, **rest)


def attention(forward: Callable[..., Any]) -> Configuration:
    """Measure with another implementation of attention under the name that the engine asks for."""

    def run(folder: Path, measuring: Measuring) -> Record:
        known: Any = AttentionInterface
        before = known()[ATTENTION]
        AttentionInterface.register(ATTENTION, forward)
        try:
            return measuring(folder)
        finally:
            AttentionInterface.register(ATTENTION, before)

    return run


def process_with(**environment: str) -> Configuration:
    """Measure in a new process with other environment variables: instruction sets, kernels, hash seeds."""

    def run(folder: Path, _measuring: Measuring) -> Record:
        with tempfile.TemporaryDirectory() as name:
            command = [sys.executable, __file__, str(folder), name]
            subprocess.run(command, check=True, env={**os.environ, **environment})
            parts = [(Path(name) / part).read_bytes() for part in ("json", "safetensors")]
        return Record.from_bytes(parts[0], parts[1])

    return run


# ---- how it is stored ----


def stored(rewrite: Callable[[Path], None]) -> Configuration:
    """Measure after the folder was written in another way, with the same values."""

    def run(folder: Path, measuring: Measuring) -> Record:
        rewrite(folder)
        return measuring(folder)

    return run


def resharded(files: int) -> Callable[[Path], None]:
    """Deal the tensors out to another number of files."""

    def rewrite(folder: Path) -> None:
        weights = Weights(folder)
        parts: list[dict[str, torch.Tensor]] = [{} for _ in range(files)]
        for number, name in enumerate(sorted(weights.names)):
            parts[number % files][name] = weights.read(name)
        _replace(folder, parts)

    return rewrite


def header_reversed(folder: Path) -> None:
    """List the tensors in another order in each header, with other spaces and metadata."""
    for path in folder.glob("*.safetensors"):
        data = path.read_bytes()
        length = int.from_bytes(data[:8], "little")
        table = json.loads(data[8 : 8 + length])
        table.pop("__metadata__", None)
        text = json.dumps({"__metadata__": {"tool": "another"}, **dict(reversed(table.items()))}, indent=1).encode()
        text += b" " * (-len(text) % 8)
        path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])


def resaved_as(dtype: torch.dtype) -> Callable[[Path], None]:
    """Store every value in a type that holds it exactly, MXFP4 undone."""

    def rewrite(folder: Path) -> None:
        _replace(folder, [{name: values.to(dtype) for name, values in _values(Weights(folder)).items()}])
        _drop_quantization(folder)

    return rewrite


def _values(weights: Weights) -> dict[str, torch.Tensor]:
    """Return all values in float32, experts in MXFP4 as the transposed stack of the stock class."""
    found = {}
    for name in weights.names:
        if name.endswith("_blocks"):
            stack = name.removesuffix("_blocks")
            count = weights.read(name).shape[0]
            parts = [Matrix(name=stack, expert=expert).values(weights).T for expert in range(count)]
            found[stack] = torch.stack(parts)
        elif not name.endswith("_scales"):
            found[name] = weights.read(name).to(torch.float32)
    return found


def _drop_quantization(folder: Path) -> None:
    config = Weights(folder).config()
    config.pop("quantization_config", None)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")


def fused(folder: Path) -> None:
    """Store the experts of a layer as one stack, gate above up, where they lie one by one."""
    weights = Weights(folder)
    tensors = {name: weights.read(name) for name in weights.names if ".experts." not in name}
    for layer in range(weights.layers):
        block = f"model.layers.{layer}.mlp.experts"
        count = sum(name.startswith(f"{block}.") and name.endswith(".gate_proj.weight") for name in weights.names)
        read = {
            part: torch.stack([weights.read(f"{block}.{expert}.{part}_proj.weight") for expert in range(count)])
            for part in ("gate", "up", "down")
        }
        tensors[f"{block}.gate_up_proj"] = torch.cat((read["gate"], read["up"]), dim=1)
        tensors[f"{block}.down_proj"] = read["down"]
    _replace(folder, [tensors])


def _replace(folder: Path, parts: list[dict[str, torch.Tensor]]) -> None:
    """Write the tensors to as many files, and remove those that are there."""
    for path in [*folder.glob("*.safetensors"), folder / INDEX]:
        path.unlink(missing_ok=True)
    if len(parts) == 1:
        (folder / "model.safetensors").write_bytes(save(parts[0], metadata={"format": "pt"}))
        return
    places = {}
    for number, part in enumerate(parts, start=1):
        name = f"model-{number:05d}-of-{len(parts):05d}.safetensors"
        (folder / name).write_bytes(save(part, metadata={"format": "pt"}))
        places.update(dict.fromkeys(part, name))
    total = sum(tensor.nbytes for part in parts for tensor in part.values())
    index = {"metadata": {"total_size": total}, "weight_map": places}
    (folder / INDEX).write_text(json.dumps(index), encoding="utf-8")


CONFIGURATIONS: Mapping[str, Configuration] = {
    "measured again": again,
    "confined child process": isolated,
    "two threads": with_threads(2),
    "four threads": with_threads(4),
    "prompts in reverse": batched(reversed_order),
    "prompts shuffled": batched(shuffled(1)),
    "prompts shuffled otherwise": batched(shuffled(2)),
    "one prompt at a time": batched(in_batches_of(1)),
    "three prompts at a time": batched(in_batches_of(3)),
    "padded to 257": batched(padded_to(257)),
    "padded to 300": batched(padded_to(300)),
    "padded to 512": batched(padded_to(512)),
    "eager attention, whole batch": attention(whole_batch_eager),
    "SDPA attention": attention(sdpa.sdpa_attention_forward),
    "ATen without vector instructions": process_with(ATEN_CPU_CAPABILITY="default"),
    "ATen with AVX2": process_with(ATEN_CPU_CAPABILITY="avx2"),
    "ATen with AVX-512": process_with(ATEN_CPU_CAPABILITY="avx512"),
    "MKL for any processor": process_with(MKL_CBWR="COMPATIBLE"),
    "MKL with AVX2": process_with(MKL_CBWR="AVX2"),
    "another process, two threads": process_with(OMP_NUM_THREADS="2", MKL_NUM_THREADS="2"),
    "another process, other hash seed": process_with(PYTHONHASHSEED="12345"),
    "one file": stored(resharded(1)),
    "two files": stored(resharded(2)),
    "seven files": stored(resharded(7)),
    "header in another order": stored(header_reversed),
    "stored in bfloat16": stored(resaved_as(torch.bfloat16)),
    "stored in float32": stored(resaved_as(torch.float32)),
    "experts stored as one stack": stored(fused),
}

# gpt_oss has no attention but eager in transformers, because of its sinks, and its experts are one stack as they come.
_ABSENT = {
    "gpt_oss": {"SDPA attention", "experts stored as one stack"},
    "llama": {"experts stored as one stack"},
}


def configurations(family: str) -> Iterator[tuple[str, Configuration]]:
    """Yield what applies to a family."""
    absent = _ABSENT.get(family, set())
    return ((name, run) for name, run in CONFIGURATIONS.items() if name not in absent)


def main() -> None:
    """Measure the folder that is the first argument, and write the record into the second."""
    folder, target = (Path(argument) for argument in sys.argv[1:])
    threads = os.environ.get("OMP_NUM_THREADS")
    torch.set_num_threads(int(threads) if threads else 1)
    record = Measuring()(folder)
    (target / "json").write_bytes(record.to_json())
    (target / "safetensors").write_bytes(record.to_safetensors())


if __name__ == "__main__":
    main()
