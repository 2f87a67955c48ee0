"""Tiny random checkpoints of each model family, on disk the way publishers store them, with an inventory.

Weights are large enough for attention and routers to be far from uniform: a forgotten bias or a swapped expert shows.
"""

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from mbom import digest, tensorfile
from mbom.inventory.record import FileRecord, Inventory, TensorRecord
from mbom.source import Origin

COMMON: dict[str, Any] = {
    "vocab_size": 256, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 512, "tie_word_embeddings": False,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
MOE: dict[str, Any] = {"num_experts_per_tok": 2, "moe_intermediate_size": 32}
LATENT: dict[str, Any] = {
    "q_lora_rank": 32, "kv_lora_rank": 32, "qk_rope_head_dim": 16, "qk_nope_head_dim": 16, "v_head_dim": 16,
    "num_key_value_heads": 4, "n_group": 2, "topk_group": 1, "first_k_dense_replace": 1, "n_routed_experts": 8,
    "n_shared_experts": 1, "routed_scaling_factor": 2.5,
    "rope_scaling": {
        "rope_type": "yarn", "factor": 40.0, "original_max_position_embeddings": 64, "mscale": 1.0,
        "mscale_all_dim": 1.0, "beta_fast": 32, "beta_slow": 1,
    },
}  # fmt: skip
LATENT_PLAIN = {name: value for name, value in LATENT.items() if name != "rope_scaling"}
NO_HEAD_SIZE = {name: value for name, value in COMMON.items() if name != "head_dim"}
LLAMA3_ROPE: dict[str, Any] = {
    "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}  # fmt: skip
# Four layers, so that full attention (every fourth) comes after three of linear attention.
LINEAR: dict[str, Any] = {
    **COMMON, "num_hidden_layers": 4, "linear_num_value_heads": 4, "linear_num_key_heads": 2, "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
}  # fmt: skip
LINEAR_MOE: dict[str, Any] = {**LINEAR, **MOE, "num_experts": 8, "shared_expert_intermediate_size": 32}
# The root of 96 is no binary fraction: a scale of embeddings that was rounded shows.
GEMMA: dict[str, Any] = {
    **COMMON, "hidden_size": 96, "num_hidden_layers": 4, "sliding_window": 8, "final_logit_softcapping": 100.0,
    "layer_types": ["sliding_attention", "full_attention"] * 2,
}  # fmt: skip
GEMMA3: dict[str, Any] = {**GEMMA, "query_pre_attn_scalar": 24, "attn_logit_softcapping": 5.0}
GEMMA4: dict[str, Any] = {
    **GEMMA, "hidden_size_per_layer_input": 24, "vocab_size_per_layer_input": 256, "num_kv_shared_layers": 2,
    "global_head_dim": 32, "use_double_wide_mlp": True,
}  # fmt: skip
GEMMA4_MOE: dict[str, Any] = {
    **GEMMA, "hidden_size_per_layer_input": 0, "enable_moe_block": True, "num_experts": 8, "top_k_experts": 2,
    "moe_intermediate_size": 32, "attention_k_eq_v": True, "num_global_key_value_heads": 1,
}  # fmt: skip
LLAMA4: dict[str, Any] = {
    **COMMON, "num_hidden_layers": 4, "intermediate_size": 32, "intermediate_size_mlp": 96, "num_local_experts": 8,
    "num_experts_per_tok": 1, "moe_layers": [1, 3], "attention_chunk_size": 8, "floor_scale": 4,
}  # fmt: skip
# Towers that see and hear, as small as their classes allow.
VISION: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 28,
    "patch_size": 14,
}  # fmt: skip
QWEN_VISION: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 32, "depth": 1, "num_heads": 2, "out_hidden_size": 64,
    "num_position_embeddings": 16,
}  # fmt: skip

INDEXER: dict[str, Any] = {"index_n_heads": 2, "index_head_dim": 32, "index_topk": 512}

FAMILIES: dict[str, dict[str, Any]] = {
    "gpt_oss": {**COMMON, **MOE, "num_local_experts": 8, "intermediate_size": 32, "sliding_window": 8},
    "qwen3_moe": {**COMMON, **MOE, "num_experts": 8, "norm_topk_prob": True},
    "deepseek_v3": {**NO_HEAD_SIZE, **MOE, **LATENT},
    "mixtral": {**COMMON, **MOE, "num_local_experts": 4, "intermediate_size": 32},
    "llama": {**COMMON, "rope_scaling": LLAMA3_ROPE, "attention_bias": True},
    "glm4_moe": {**COMMON, **MOE, "n_routed_experts": 8, "n_group": 1, "topk_group": 1, "first_k_dense_replace": 1},
    "mistral": {**COMMON, "sliding_window": 8},
    "qwen2": COMMON,
    "deepseek_v2": {**NO_HEAD_SIZE, **MOE, **LATENT_PLAIN, "topk_method": "group_limited_greedy"},
    "dots1": {
        **COMMON, **MOE, "n_routed_experts": 8, "n_shared_experts": 1, "n_group": 2, "topk_group": 1,
        "first_k_dense_replace": 1,
    },
    "ernie4_5_moe": {**COMMON, "moe_num_experts": 8, "moe_k": 2, "moe_intermediate_size": 32},
    "glm4": COMMON,
    "glm4_moe_lite": {**NO_HEAD_SIZE, **MOE, **LATENT_PLAIN},
    "hunyuan_v1_moe": {**COMMON, "num_experts": 8, "moe_topk": 2},
    "minimax_m2": {
        **COMMON, "num_local_experts": 8, "num_experts_per_tok": 2, "intermediate_size": 32, "rotary_dim": 16,
    },
    "ministral": {**COMMON, "sliding_window": 8},
    "olmo2": NO_HEAD_SIZE,
    "olmoe": {**NO_HEAD_SIZE, "num_experts": 8, "num_experts_per_tok": 2, "intermediate_size": 32},
    "phi3": {**NO_HEAD_SIZE, "sliding_window": 8},
    "qwen2_moe": {**NO_HEAD_SIZE, **MOE, "num_experts": 8, "shared_expert_intermediate_size": 32},
    "seed_oss": COMMON,
    "smollm3": NO_HEAD_SIZE,
    "qwen3": {**COMMON, "tie_word_embeddings": True},
    "deepseek_v32": {**NO_HEAD_SIZE, **MOE, **LATENT, **INDEXER},
    "deepseek_v4": {
        **{name: value for name, value in COMMON.items() if name != "intermediate_size"}, **MOE,
        "num_hidden_layers": 4, "num_key_value_heads": 1, "head_dim": 32, "q_lora_rank": 32,
        "qk_rope_head_dim": 16, "n_routed_experts": 8, "n_shared_experts": 1, "o_groups": 2, "o_lora_rank": 32,
        "sliding_window": 8, "hc_mult": 2, "num_hash_layers": 1, "compress_rate_hca": 16,
        "layer_types": [
            "sliding_attention", "heavily_compressed_attention", "compressed_sparse_attention",
            "compressed_sparse_attention",
        ],
        "rope_scaling": {
            "rope_type": "yarn", "factor": 16.0, "original_max_position_embeddings": 64, "beta_fast": 32,
            "beta_slow": 1,
        },
        **INDEXER,
    },
    "glm_moe_dsa": {
        **NO_HEAD_SIZE, **MOE, **LATENT_PLAIN, **INDEXER, "num_hidden_layers": 4, "index_topk_freq": 2,
    },
    "kimi_linear": {
        **NO_HEAD_SIZE, "num_experts": 8, "num_experts_per_token": 2, "moe_intermediate_size": 32, "kv_lora_rank": 32,
        "qk_rope_head_dim": 16, "qk_nope_head_dim": 16, "v_head_dim": 16, "num_key_value_heads": 4,
        "num_expert_group": 2, "topk_group": 1, "num_shared_experts": 1, "first_k_dense_replace": 1,
        "linear_attn_config": {
            "full_attn_layers": [2], "kda_layers": [1, 3], "head_dim": 16, "num_heads": 4, "short_conv_kernel_size": 4,
        },
    },
    "ministral3": {
        **COMMON, "rope_parameters": {
            "rope_type": "yarn", "rope_theta": 1e6, "factor": 16.0, "original_max_position_embeddings": 16,
            "beta_fast": 32.0, "beta_slow": 1.0, "mscale": 1.0, "mscale_all_dim": 1.0, "llama_4_scaling_beta": 0.1,
        },
    },
    "nemotron": COMMON,
    "olmo3": {**NO_HEAD_SIZE, "num_hidden_layers": 4, "sliding_window": 8},
    "nemotron_h": {
        **{name: value for name, value in COMMON.items() if name != "num_hidden_layers"}, **MOE,
        "hybrid_override_pattern": "ME*E-", "mamba_num_heads": 8, "mamba_head_dim": 16, "n_groups": 2,
        "ssm_state_size": 16, "chunk_size": 16, "n_routed_experts": 8, "n_group": 2, "topk_group": 1,
        "moe_shared_expert_intermediate_size": 48, "moe_latent_size": 48,
    },
    "qwen3_next": LINEAR_MOE,
    "qwen3_5": {"text_config": LINEAR, "vision_config": QWEN_VISION},
    "qwen3_5_text": {**LINEAR, "tie_word_embeddings": True},
    "qwen3_5_moe": {"text_config": LINEAR_MOE, "vision_config": QWEN_VISION},
    "qwen3_5_moe_text": LINEAR_MOE,
    "llama4": {
        "text_config": LLAMA4,
        "vision_config": {**VISION, "vision_output_dim": 32, "projector_input_dim": 32, "projector_output_dim": 32},
    },
    "llama4_text": {**LLAMA4, "num_experts_per_tok": 2, "use_qk_norm": False},
    "mistral3": {
        "text_config": {"model_type": "mistral", **COMMON, "sliding_window": 8},
        "vision_config": {"model_type": "pixtral", **VISION, "head_dim": 16},
        "tie_word_embeddings": False,
    },
    "gemma3": {
        # Its composite class does not cap logits.
        "text_config": {**GEMMA3, "final_logit_softcapping": None},
        "vision_config": {"model_type": "siglip_vision_model", **VISION}, "mm_tokens_per_image": 4,
    },
    "gemma3_text": {**GEMMA3, "tie_word_embeddings": True, "rope_scaling": {"rope_type": "linear", "factor": 8.0}},
    "gemma4": {
        "text_config": {**GEMMA4, "tie_word_embeddings": True},
        "vision_config": {**VISION, "head_dim": 16, "num_key_value_heads": 2, "position_embedding_size": 16},
        "audio_config": {
            "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "output_proj_dims": 32,
            "subsampling_conv_channels": [8, 4],
        },
    },
    "gemma4_text": GEMMA4_MOE,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class TinyModel:
    """A checkpoint in a folder: ``values`` is what its tensors stand for, before any quantisation, in float64."""

    folder: Path
    config: dict[str, Any]
    values: Mapping[str, Tensor] = field(repr=False)

    @property
    def files(self) -> dict[str, Path]:
        return {path.name: path for path in sorted(self.folder.iterdir())}

    def inventory(self) -> Inventory:
        return inventory(self.folder)


def build(
    model_type: str,
    folder: Path,
    *,
    seed: int = 0,
    dtype: torch.dtype = torch.bfloat16,
    alter: Callable[[dict[str, Tensor]], None] | None = None,
    settings: Mapping[str, object] | None = None,
) -> TinyModel:
    """Write a random checkpoint of a family to ``folder``; ``settings`` go into its configuration.

    ``alter`` may change the tensors, by their names on disk, before they are written.
    """
    import transformers

    torch.manual_seed(seed)
    # A copy: transformers adds to the dictionaries that it is given.
    merged = copy.deepcopy({**FAMILIES[model_type], **(settings or {})})
    config = transformers.CONFIG_MAPPING[model_type](**merged)
    composite = "text_config" in merged
    auto: Any = transformers.AutoModelForImageTextToText if composite else transformers.AutoModelForCausalLM
    model = auto.from_config(config, dtype=torch.float32)
    stored = model.state_dict()
    with torch.no_grad():
        for name, value in [*model.named_parameters(), *model.named_buffers()]:
            if not value.is_floating_point():
                if name in stored:
                    # A table of the experts of each token, no expert twice.
                    width = range(value.shape[0])
                    experts = merged["n_routed_experts"]
                    value.copy_(torch.stack([torch.randperm(experts)[: value.shape[1]] for _ in width]))
            elif name in stored:
                randomise(name, value)
    # The tool that publishers use writes the names that publishers have.
    cast(model, dtype).save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    tensors = load_file(folder / "model.safetensors")
    if alter is not None:
        alter(tensors)
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    values = {name: value.to(torch.float64) if value.is_floating_point() else value for name, value in tensors.items()}
    return described(folder, values)


def cast(model: Any, dtype: torch.dtype) -> Any:
    """Cast everything but integers and complex numbers, in place."""
    for value in [*model.parameters(), *model.buffers()]:
        if value.is_floating_point():
            value.data = value.data.to(dtype)
    return model


def described(folder: Path, values: Mapping[str, Tensor]) -> TinyModel:
    return TinyModel(folder=folder, config=json.loads((folder / "config.json").read_text()), values=values)


def randomise(name: str, value: Tensor) -> None:
    """Fill a parameter: norms and scales near where they begin, the rest so that activations stay of order one."""
    if value.ndim == 0:
        value.fill_(1.0)
    elif ("norm" in name and name.endswith("weight")) or name.endswith(("scale", "scalar")):
        value.add_(0.1 * torch.randn_like(value))
    elif value.ndim == 1 or name.endswith("bias"):
        value.normal_(0.0, 0.2)
    elif "embed_tokens" in name:
        value.normal_(0.0, 1.0)
    else:
        value.normal_(0.0, 1.5 * max(value.shape[-1], 1) ** -0.5)


def as_deepseek_names_v4(tensors: dict[str, Tensor]) -> None:
    """Rename tensors as DeepSeek ships V4: without a common prefix, and a table of experts of 32 bits."""
    for name in list(tensors):
        value = tensors.pop(name)
        published = name.removeprefix("model.").replace("embed_tokens.", "embed.").replace("hc_head.hc_", "hc_head_")
        tensors[published] = value if value.is_floating_point() else value.to(torch.int32)


def quantise_mxfp4(model: TinyModel) -> TinyModel:
    """Rewrite a gpt_oss checkpoint with its experts in MXFP4, as the publisher ships it."""
    tensors = load_file(model.folder / "model.safetensors")
    values = dict(model.values)
    for name in [name for name in tensors if name.endswith(("experts.gate_up_proj", "experts.down_proj"))]:
        blocks, scales, exact = to_mxfp4(tensors.pop(name).transpose(1, 2))
        tensors[f"{name}_blocks"], tensors[f"{name}_scales"] = blocks, scales
        values[name] = exact.transpose(1, 2)
    return _requantised(model, tensors, values, {"quant_method": "mxfp4"})


def to_mxfp4(weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Round (..., G * 32) to MXFP4; return blocks (..., G, 16), scales (..., G), and the values that they stand for."""
    groups = weight.to(torch.float64).reshape(*weight.shape[:-1], -1, 32)
    exponent = torch.floor(torch.log2(groups.abs().amax(-1).clamp_min(2.0**-100))) - 2
    scaled = groups / torch.exp2(exponent).unsqueeze(-1)
    grid = torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0], dtype=torch.float64)
    magnitude = (scaled.abs().clamp(max=6.0).unsqueeze(-1) - grid).abs().argmin(-1)
    codes = magnitude + 8 * (scaled < 0)
    exact = grid[magnitude] * torch.where(scaled < 0, -1.0, 1.0) * torch.exp2(exponent).unsqueeze(-1)
    pairs = codes.reshape(*codes.shape[:-1], 16, 2).to(torch.uint8)
    return pairs[..., 0] | (pairs[..., 1] << 4), (exponent + 127).to(torch.uint8), exact.flatten(-2)


def quantise_fp8(model: TinyModel) -> TinyModel:
    """Rewrite a checkpoint with its projections in FP8 blocks of 128 x 128, the last ones ragged."""
    tensors = load_file(model.folder / "model.safetensors")
    values = dict(model.values)
    for name in [name for name in tensors if "_proj" in name and name.endswith(".weight")]:
        stored, scales, exact = to_fp8(tensors[name])
        tensors[name], tensors[f"{name}_scale_inv"] = stored, scales
        values[name] = exact
    description = {
        "quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", "weight_block_size": [128, 128],
    }  # fmt: skip
    return _requantised(model, tensors, values, description)


def to_fp8(weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Round (O, I) to FP8; return the stored values, one float32 scale a block, and the values they stand for."""
    stored = torch.empty(weight.shape, dtype=torch.float8_e4m3fn)
    exact = torch.empty(weight.shape, dtype=torch.float64)
    scales = torch.empty((-(-weight.shape[0] // 128), -(-weight.shape[1] // 128)), dtype=torch.float32)
    for i in range(scales.shape[0]):
        for j in range(scales.shape[1]):
            block = (slice(128 * i, 128 * i + 128), slice(128 * j, 128 * j + 128))
            scales[i, j] = weight[block].to(torch.float32).abs().max() / 448
            stored[block] = (weight[block].to(torch.float32) / scales[i, j]).to(torch.float8_e4m3fn)
            exact[block] = stored[block].to(torch.float64) * scales[i, j].to(torch.float64)
    return stored, scales, exact


def _requantised(
    model: TinyModel, tensors: dict[str, Tensor], values: Mapping[str, Tensor], description: dict[str, Any]
) -> TinyModel:
    tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
    save_file(tensors, model.folder / "model.safetensors", metadata={"format": "pt"})
    config = {**model.config, "quantization_config": description}
    (model.folder / "config.json").write_text(json.dumps(config, indent=1))
    return described(model.folder, values)


def inventory(folder: Path) -> Inventory:
    """Return the inventory of a folder whose weights are in ``*.safetensors``, from the bytes as they stand."""
    files, tensors = [], []
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        role = "weights" if path.suffix == ".safetensors" else "config"
        files.append(FileRecord(name=path.name, size=len(data), sha256=digest.sha256(data), role=role))
        if role == "weights":
            tensors += [
                TensorRecord.of(path.name, info, digest.blake3(data[info.start : info.end]))
                for info in tensorfile.parse_header(data, len(data), path.name).tensors
            ]
    return Inventory(
        origin=Origin(kind="folder", name=folder.name),
        files=tuple(files),
        tensors=tuple(sorted(tensors, key=lambda tensor: tensor.name)),
    )
