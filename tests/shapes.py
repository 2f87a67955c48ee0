"""Tensor tables of published models, names and shapes without data, and their configurations, from public facts."""

import json
import math
from collections.abc import Iterable, Iterator
from itertools import count

from mbom.inventory.record import FileRecord, Inventory, TensorRecord
from mbom.source import Origin
from mbom.tensorfile import DTYPE_BITS

Shape = tuple[int, ...]
Entry = tuple[str, str, Shape]

CONFIGS: dict[str, dict[str, object]] = {
    "gpt-oss-20b": {
        "architectures": ["GptOssForCausalLM"], "model_type": "gpt_oss", "num_hidden_layers": 24, "hidden_size": 2880,
        "num_attention_heads": 64, "num_key_value_heads": 8, "head_dim": 64, "num_local_experts": 32,
        "num_experts_per_tok": 4, "experts_per_token": 4, "max_position_embeddings": 131072,
        "initial_context_length": 4096, "vocab_size": 201088, "sliding_window": 128, "intermediate_size": 2880,
        "tie_word_embeddings": False, "swiglu_limit": 7.0,
        "rope_scaling": {"rope_type": "yarn", "factor": 32.0, "beta_fast": 32.0, "beta_slow": 1.0},
        "quantization_config": {"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]},
    },
    "mixtral-8x7b": {
        "architectures": ["MixtralForCausalLM"], "model_type": "mixtral", "num_hidden_layers": 32, "hidden_size": 4096,
        "num_attention_heads": 32, "num_key_value_heads": 8, "num_local_experts": 8, "num_experts_per_tok": 2,
        "max_position_embeddings": 32768, "vocab_size": 32000, "sliding_window": None, "intermediate_size": 14336,
        "tie_word_embeddings": False, "torch_dtype": "bfloat16", "rope_theta": 1000000.0,
    },
    "deepseek-v3": {
        "architectures": ["DeepseekV3ForCausalLM"], "model_type": "deepseek_v3", "num_hidden_layers": 61,
        "num_nextn_predict_layers": 1, "hidden_size": 7168, "num_attention_heads": 128, "num_key_value_heads": 128,
        "n_routed_experts": 256, "n_shared_experts": 1, "num_experts_per_tok": 8, "max_position_embeddings": 163840,
        "vocab_size": 129280, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
        "auto_map": {
            "AutoConfig": "configuration_deepseek.DeepseekV3Config",
            "AutoModelForCausalLM": "modeling_deepseek.DeepseekV3ForCausalLM",
        },
        "quantization_config": {"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [128, 128]},
    },
    "qwen3-30b-a3b": {
        "architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe", "num_hidden_layers": 48,
        "hidden_size": 2048, "num_attention_heads": 32, "num_key_value_heads": 4, "head_dim": 128, "num_experts": 128,
        "moe_intermediate_size": 768,
        "num_experts_per_tok": 8, "max_position_embeddings": 40960, "vocab_size": 151936, "sliding_window": None,
        "use_sliding_window": False, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
    },
}  # fmt: skip
CONFIGS["gpt-oss-120b"] = {**CONFIGS["gpt-oss-20b"], "num_hidden_layers": 36, "num_local_experts": 128}


def config(name: str, **changes: object) -> bytes:
    """Return a model's config.json with members replaced."""
    return json.dumps({**CONFIGS[name], **changes}).encode()


def records(entries: Iterable[Entry], file: str = "model.safetensors") -> tuple[TensorRecord, ...]:
    """Return a tensor table as one file would hold it; every tensor has a digest of its own."""
    table, start, number = [], 8, count(1)
    for name, dtype, shape in sorted(entries):
        end = start + math.prod(shape) * DTYPE_BITS[dtype] // 8
        digest = f"{next(number):064x}"
        table.append(TensorRecord(name=name, file=file, dtype=dtype, shape=shape, start=start, end=end, blake3=digest))
        start = end
    return tuple(table)


def inventory(entries: Iterable[Entry]) -> Inventory:
    """Return an inventory of a folder with one shard that holds the given tensors."""
    tensors = records(entries)
    size = max((tensor.end for tensor in tensors), default=8)
    shard = FileRecord(name="model.safetensors", size=size, sha256=f"{7:064x}", role="weights")
    return Inventory(origin=Origin(kind="folder", name="model"), files=(shard,), tensors=tensors)


def gpt_oss(layers: int, experts: int) -> Iterator[Entry]:
    """Tensors of openai/gpt-oss-20b (24 layers, 32 experts) and -120b (36, 128): experts in MXFP4."""
    for layer in range(layers):
        prefix = f"model.layers.{layer}"
        attention = {"q_proj": (4096, 2880), "k_proj": (512, 2880), "v_proj": (512, 2880), "o_proj": (2880, 4096)}
        for name, shape in attention.items():
            yield f"{prefix}.self_attn.{name}.weight", "BF16", shape
            yield f"{prefix}.self_attn.{name}.bias", "BF16", shape[:1]
        yield f"{prefix}.self_attn.sinks", "BF16", (64,)
        yield f"{prefix}.input_layernorm.weight", "BF16", (2880,)
        yield f"{prefix}.post_attention_layernorm.weight", "BF16", (2880,)
        yield f"{prefix}.mlp.router.weight", "BF16", (experts, 2880)
        yield f"{prefix}.mlp.router.bias", "BF16", (experts,)
        for name, rows in (("gate_up_proj", 5760), ("down_proj", 2880)):
            yield f"{prefix}.mlp.experts.{name}_blocks", "U8", (experts, rows, 90, 16)
            yield f"{prefix}.mlp.experts.{name}_scales", "U8", (experts, rows, 90)
            yield f"{prefix}.mlp.experts.{name}_bias", "BF16", (experts, rows)
    yield from _ends(201088, 2880)


def mixtral() -> Iterator[Entry]:
    """Tensors of mistralai/Mixtral-8x7B-v0.1, all bfloat16."""
    for layer in range(32):
        prefix = f"model.layers.{layer}"
        for name, rows in {"q_proj": 4096, "k_proj": 1024, "v_proj": 1024, "o_proj": 4096}.items():
            yield f"{prefix}.self_attn.{name}.weight", "BF16", (rows, 4096)
        yield f"{prefix}.input_layernorm.weight", "BF16", (4096,)
        yield f"{prefix}.post_attention_layernorm.weight", "BF16", (4096,)
        yield f"{prefix}.block_sparse_moe.gate.weight", "BF16", (8, 4096)
        for expert in range(8):
            for name, shape in {"w1": (14336, 4096), "w2": (4096, 14336), "w3": (14336, 4096)}.items():
                yield f"{prefix}.block_sparse_moe.experts.{expert}.{name}.weight", "BF16", shape
    yield from _ends(32000, 4096)


def qwen3() -> Iterator[Entry]:
    """Tensors of Qwen/Qwen3-30B-A3B, all bfloat16."""
    for layer in range(48):
        prefix = f"model.layers.{layer}"
        attention = {"q_proj": (4096, 2048), "k_proj": (512, 2048), "v_proj": (512, 2048), "o_proj": (2048, 4096)}
        for name, shape in attention.items():
            yield f"{prefix}.self_attn.{name}.weight", "BF16", shape
        yield f"{prefix}.self_attn.q_norm.weight", "BF16", (128,)
        yield f"{prefix}.self_attn.k_norm.weight", "BF16", (128,)
        yield f"{prefix}.input_layernorm.weight", "BF16", (2048,)
        yield f"{prefix}.post_attention_layernorm.weight", "BF16", (2048,)
        yield f"{prefix}.mlp.gate.weight", "BF16", (128, 2048)
        for expert in range(128):
            for name, shape in {"gate_proj": (768, 2048), "up_proj": (768, 2048), "down_proj": (2048, 768)}.items():
                yield f"{prefix}.mlp.experts.{expert}.{name}.weight", "BF16", shape
    yield from _ends(151936, 2048)


def deepseek_v3() -> Iterator[Entry]:
    """Tensors of deepseek-ai/DeepSeek-V3: matrices in FP8 with block scales, layer 61 for multi-token prediction."""
    for layer in range(62):
        prefix = f"model.layers.{layer}"
        attention = {
            "q_a_proj": (1536, 7168), "q_b_proj": (24576, 1536), "kv_a_proj_with_mqa": (576, 7168),
            "kv_b_proj": (32768, 512), "o_proj": (7168, 16384),
        }  # fmt: skip
        for name, shape in attention.items():
            yield from _fp8(f"{prefix}.self_attn.{name}", shape)
        yield f"{prefix}.self_attn.q_a_layernorm.weight", "BF16", (1536,)
        yield f"{prefix}.self_attn.kv_a_layernorm.weight", "BF16", (512,)
        yield f"{prefix}.input_layernorm.weight", "BF16", (7168,)
        yield f"{prefix}.post_attention_layernorm.weight", "BF16", (7168,)
        if layer < 3:
            yield from _deepseek_mlp(f"{prefix}.mlp", 18432)
            continue
        yield f"{prefix}.mlp.gate.weight", "BF16", (256, 7168)
        yield f"{prefix}.mlp.gate.e_score_correction_bias", "F32", (256,)
        yield from _deepseek_mlp(f"{prefix}.mlp.shared_experts", 2048)
        for expert in range(256):
            yield from _deepseek_mlp(f"{prefix}.mlp.experts.{expert}", 2048)
    extra = "model.layers.61"
    for name in ("enorm", "hnorm", "shared_head.norm"):
        yield f"{extra}.{name}.weight", "BF16", (7168,)
    yield f"{extra}.eh_proj.weight", "BF16", (7168, 14336)
    yield f"{extra}.embed_tokens.weight", "BF16", (129280, 7168)
    yield f"{extra}.shared_head.head.weight", "BF16", (129280, 7168)
    yield from _ends(129280, 7168)


def _deepseek_mlp(prefix: str, width: int) -> Iterator[Entry]:
    yield from _fp8(f"{prefix}.gate_proj", (width, 7168))
    yield from _fp8(f"{prefix}.up_proj", (width, 7168))
    yield from _fp8(f"{prefix}.down_proj", (7168, width))


def _fp8(name: str, shape: tuple[int, int]) -> Iterator[Entry]:
    yield f"{name}.weight", "F8_E4M3", shape
    yield f"{name}.weight_scale_inv", "F32", (-(-shape[0] // 128), -(-shape[1] // 128))


def _ends(vocabulary: int, hidden: int) -> Iterator[Entry]:
    yield "model.embed_tokens.weight", "BF16", (vocabulary, hidden)
    yield "model.norm.weight", "BF16", (hidden,)
    yield "lm_head.weight", "BF16", (vocabulary, hidden)
