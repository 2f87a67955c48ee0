"""Peak memory, measured as the kernel counts it for the child process that runs the checkpoint."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mbom import digest
from mbom.inventory.record import FileRecord, Inventory, TensorRecord
from mbom.source import Origin

# Prints the peak of the child in bytes; a process of its own, because the kernel keeps one maximum for all children.
MEASURE = """
import json, resource, sys
from pathlib import Path
from typing import Any
from mbom import engine
from mbom.behaviour.prompts import seeded
from mbom.inventory import Inventory
folder = Path(sys.argv[1])
inventory = Inventory.from_bytes((folder.parent / "inventory.json").read_bytes())
files = {file.name: folder / file.name for file in inventory.files}
record = engine.run_prompts(files, inventory, seeded(int(sys.argv[2])), device="cpu", progress=None)
print(json.dumps([resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024, record.coverage.tensors_read]))
"""


def write_gpt_oss(folder: Path, *, vocabulary: int, hidden: int, intermediate: int, experts: int, layers: int) -> int:
    """Write a random checkpoint in MXFP4, too large to be made as a model; return its size in bytes."""
    config = {
        "model_type": "gpt_oss", "architectures": ["GptOssForCausalLM"], "vocab_size": vocabulary,
        "hidden_size": hidden, "intermediate_size": intermediate, "num_hidden_layers": layers, "head_dim": 64,
        "num_attention_heads": 64, "num_key_value_heads": 8, "num_local_experts": experts, "num_experts_per_tok": 4,
        "tie_word_embeddings": False, "quantization_config": {"quant_method": "mxfp4"},
    }  # fmt: skip
    shapes: dict[str, tuple[str, tuple[int, ...]]] = {
        "lm_head.weight": ("BF16", (vocabulary, hidden)),
        "model.embed_tokens.weight": ("BF16", (vocabulary, hidden)),
        "model.norm.weight": ("BF16", (hidden,)),
    }
    for layer in range(layers):
        prefix = f"model.layers.{layer}"
        for name in ("input_layernorm", "post_attention_layernorm"):
            shapes[f"{prefix}.{name}.weight"] = ("BF16", (hidden,))
        for name, out in (("q", 4096), ("k", 512), ("v", 512)):
            shapes[f"{prefix}.self_attn.{name}_proj.weight"] = ("BF16", (out, hidden))
            shapes[f"{prefix}.self_attn.{name}_proj.bias"] = ("BF16", (out,))
        shapes[f"{prefix}.self_attn.o_proj.weight"] = ("BF16", (hidden, 4096))
        shapes[f"{prefix}.self_attn.o_proj.bias"] = ("BF16", (hidden,))
        shapes[f"{prefix}.self_attn.sinks"] = ("BF16", (64,))
        shapes[f"{prefix}.mlp.router.weight"] = ("BF16", (experts, hidden))
        shapes[f"{prefix}.mlp.router.bias"] = ("BF16", (experts,))
        for name, out, inside in (("gate_up", 2 * intermediate, hidden), ("down", hidden, intermediate)):
            path = f"{prefix}.mlp.experts.{name}_proj"
            shapes[f"{path}_bias"] = ("BF16", (experts, out))
            shapes[f"{path}_blocks"] = ("U8", (experts, out, inside // 32, 16))
            shapes[f"{path}_scales"] = ("U8", (experts, out, inside // 32))
    return _write(folder, config, shapes)


def _write(folder: Path, config: object, shapes: dict[str, tuple[str, tuple[int, ...]]]) -> int:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    random = np.random.default_rng(0)
    # bfloat16 between 2**-9 and 2**-5 of both signs, E8M0 scales about 2**-7, and any MXFP4 blocks.
    narrow = (random.integers(0, 1 << 9, 1 << 22) + (118 << 7) + (random.integers(0, 2, 1 << 22) << 15)).astype("<u2")
    chunks = {"BF16": narrow.tobytes(), "U8": random.integers(0, 256, 1 << 22, dtype=np.uint8).tobytes()}
    scales = random.integers(119, 121, 1 << 22, dtype=np.uint8).tobytes()
    offset = 0
    header: dict[str, dict[str, Any]] = {}
    records = []
    for name, (dtype, shape) in shapes.items():
        size = int(np.prod(shape)) * (2 if dtype == "BF16" else 1)
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, (dtype, shape) in shapes.items():
            start, end = (8 + len(text) + edge for edge in header[name]["data_offsets"])
            chunk = scales if name.endswith("_scales") else chunks[dtype]
            data = (chunk * (-(-(end - start) // len(chunk))))[: end - start]
            file.write(data)
            records.append(
                TensorRecord(
                    name=name, file="model.safetensors", dtype=dtype, shape=shape, start=start, end=end,
                    blake3=digest.blake3(data),
                )
            )  # fmt: skip
    files = [
        FileRecord(
            name="config.json", size=(folder / "config.json").stat().st_size, role="config",
            sha256=digest.sha256((folder / "config.json").read_bytes()),
        ),
        FileRecord(
            name="model.safetensors", size=(folder / "model.safetensors").stat().st_size, role="weights",
            sha256="0" * 64,  # of no concern here: what runs is bound tensor by tensor
        ),
    ]  # fmt: skip
    inventory = Inventory(
        origin=Origin(kind="folder", name="model"),
        files=tuple(files),
        tensors=tuple(sorted(records, key=lambda record: record.name)),
    )
    (folder.parent / "inventory.json").write_bytes(inventory.to_bytes())
    return files[1].size


def peak(folder: Path, vocabulary: int) -> tuple[int, int]:
    """Return the peak memory of a measurement in bytes and the number of tensors read."""
    command = [sys.executable, "-c", MEASURE, str(folder), str(vocabulary)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    memory, tensors = json.loads(done.stdout)
    return memory, tensors


@pytest.mark.slow
def test_a_gpt_oss_of_three_gigabytes_peaks_below_two(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    size = write_gpt_oss(folder, vocabulary=201088, hidden=2880, intermediate=2880, experts=32, layers=2)
    assert size > 3_000_000_000
    memory, tensors = peak(folder, 201088)
    assert memory < 2_000_000_000
    assert tensors == 41


def test_memory_follows_a_layer_and_not_the_model(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    write_gpt_oss(folder, vocabulary=30_000, hidden=1024, intermediate=512, experts=128, layers=1)
    in_float64 = 8 * (2 * 30_000 * 1024 + 128 * 3 * 512 * 1024)
    memory, _ = peak(folder, 30_000)
    assert in_float64 > 2_000_000_000
    assert memory < in_float64 / 2
