"""Random checkpoints in the shape of gpt-oss, as large as a benchmark wants them."""

import json
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

# https://huggingface.co/openai/gpt-oss-20b/blob/main/config.json; gpt-oss-120b has 36 layers and 128 experts.
GPT_OSS_20B: dict[str, Any] = {
    "architectures": ["GptOssForCausalLM"],
    "attention_bias": True,
    "attention_dropout": 0.0,
    "eos_token_id": 200002,
    "experts_per_token": 4,
    "head_dim": 64,
    "hidden_act": "silu",
    "hidden_size": 2880,
    "initial_context_length": 4096,
    "initializer_range": 0.02,
    "intermediate_size": 2880,
    "max_position_embeddings": 131072,
    "model_type": "gpt_oss",
    "num_attention_heads": 64,
    "num_experts_per_tok": 4,
    "num_hidden_layers": 24,
    "num_key_value_heads": 8,
    "num_local_experts": 32,
    "output_router_logits": False,
    "pad_token_id": 199999,
    "quantization_config": {
        "modules_to_not_convert": [
            "model.layers.*.self_attn",
            "model.layers.*.mlp.router",
            "model.embed_tokens",
            "lm_head",
        ],
        "quant_method": "mxfp4",
    },
    "rms_norm_eps": 1e-05,
    "rope_scaling": {
        "beta_fast": 32.0,
        "beta_slow": 1.0,
        "factor": 32.0,
        "original_max_position_embeddings": 4096,
        "rope_type": "yarn",
        "truncate": False,
    },
    "rope_theta": 150000,
    "router_aux_loss_coef": 0.9,
    "sliding_window": 128,
    "swiglu_limit": 7.0,
    "tie_word_embeddings": False,
    "use_cache": True,
    "vocab_size": 201088,
}

Shape = tuple[str, str, tuple[int, ...]]  # name, dtype as safetensors spells it, shape
BYTES = {"BF16": 2, "U8": 1}


def write_gpt_oss(folder: Path, *, layers: int, experts: int = 32, seed: int = 0) -> int:
    """Write a checkpoint of random weights with ``layers`` decoder layers, a shard for each, and return its bytes.

    Weights are small enough that activations stay finite, and random enough that routing is spread.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = GPT_OSS_20B | {"num_hidden_layers": layers, "num_local_experts": experts}
    config["layer_types"] = ["sliding_attention" if i % 2 == 0 else "full_attention" for i in range(layers)]
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    groups = [list(_outer(config)), *(list(_layer(config, i)) for i in range(layers))]
    random = np.random.default_rng(seed)
    index: dict[str, str] = {}
    total = 0
    for number, group in enumerate(groups):
        name = f"model-{number:05d}-of-{len(groups):05d}.safetensors"
        total += write_shard(folder / name, group, random)
        index |= {tensor: name for tensor, _, _ in group}
    metadata = {"metadata": {"total_size": total}, "weight_map": index}
    (folder / "model.safetensors.index.json").write_text(json.dumps(metadata, indent=2))
    return total


def _outer(config: dict[str, Any]) -> Iterator[Shape]:
    hidden, vocabulary = config["hidden_size"], config["vocab_size"]
    yield "model.embed_tokens.weight", "BF16", (vocabulary, hidden)
    yield "model.norm.weight", "BF16", (hidden,)
    yield "lm_head.weight", "BF16", (vocabulary, hidden)


def _layer(config: dict[str, Any], i: int) -> Iterator[Shape]:
    hidden, inner, experts = config["hidden_size"], config["intermediate_size"], config["num_local_experts"]
    queries = config["num_attention_heads"] * config["head_dim"]
    keys = config["num_key_value_heads"] * config["head_dim"]
    base = f"model.layers.{i}"
    for norm in ("input_layernorm", "post_attention_layernorm"):
        yield f"{base}.{norm}.weight", "BF16", (hidden,)
    yield f"{base}.self_attn.sinks", "BF16", (config["num_attention_heads"],)
    for name, rows, columns in (
        ("q", queries, hidden),
        ("k", keys, hidden),
        ("v", keys, hidden),
        ("o", hidden, queries),
    ):
        yield f"{base}.self_attn.{name}_proj.weight", "BF16", (rows, columns)
        yield f"{base}.self_attn.{name}_proj.bias", "BF16", (rows,)
    yield f"{base}.mlp.router.weight", "BF16", (experts, hidden)
    yield f"{base}.mlp.router.bias", "BF16", (experts,)
    for name, rows, columns in (("gate_up_proj", 2 * inner, hidden), ("down_proj", hidden, inner)):
        yield f"{base}.mlp.experts.{name}_bias", "BF16", (experts, rows)
        yield f"{base}.mlp.experts.{name}_blocks", "U8", (experts, rows, columns // 32, 16)
        yield f"{base}.mlp.experts.{name}_scales", "U8", (experts, rows, columns // 32)


def write_shard(path: Path, tensors: list[Shape], random: np.random.Generator) -> int:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, dtype, shape in tensors:
        start, end = end, end + BYTES[dtype] * int(np.prod(shape))
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, dtype, shape in tensors:
            for part in _values(name, dtype, int(np.prod(shape)), random):
                file.write(part)
        file.flush()
        os.fsync(file.fileno())
    return end


def _values(name: str, dtype: str, count: int, random: np.random.Generator) -> Iterator[bytes]:
    """Yield the bytes of a tensor, 16 M values at a time."""
    for start in range(0, count, 1 << 24):
        size = min(1 << 24, count - start)
        if name.endswith("_scales"):
            yield random.integers(118, 122, size, dtype=np.uint8).tobytes()  # 2**-9 to 2**-6
        elif dtype == "U8":
            yield random.bytes(size)
        elif "norm" in name:
            yield _bfloat16(np.ones(size, np.float32))
        else:
            yield _bfloat16(random.standard_normal(size, np.float32) * np.float32(0.02))


def _bfloat16(values: np.ndarray[Any, np.dtype[np.float32]]) -> bytes:
    """Return the upper halves of the words: truncation, which is good enough for random weights."""
    return (values.view(np.uint32) >> 16).astype(np.uint16).tobytes()
