"""The tensor table of every model in ``fixtures/models``: names, dtypes and shapes as published, without data.

``shapes`` has those of transformers with one kind of layer; here are the hybrids and those that see images.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

import shapes
from shapes import Entry, Shape


def weights(prefix: str, dims: Mapping[str, Shape], *, bias: bool = False) -> Iterator[Entry]:
    """Yield a weight in bfloat16 for each module, and its bias."""
    for name, shape in dims.items():
        yield f"{prefix}.{name}.weight", "BF16", shape
        if bias:
            yield f"{prefix}.{name}.bias", "BF16", shape[:1]


def glm_5() -> Iterator[Entry]:
    """Tensors of zai-org/GLM-5: latent attention with an indexer; layer 78 predicts one token more."""
    for layer in range(79):
        prefix = f"model.layers.{layer}"
        yield from weights(f"{prefix}.self_attn", {
            "q_a_proj": (2048, 6144), "q_a_layernorm": (2048,), "q_b_proj": (16384, 2048),
            "kv_a_proj_with_mqa": (576, 6144), "kv_a_layernorm": (512,), "kv_b_proj": (28672, 512),
            "o_proj": (6144, 16384),
            "indexer.wq_b": (4096, 2048), "indexer.wk": (128, 6144), "indexer.weights_proj": (32, 6144),
        })  # fmt: skip
        yield from weights(f"{prefix}.self_attn.indexer", {"k_norm": (128,)}, bias=True)
        yield from weights(prefix, {"input_layernorm": (6144,), "post_attention_layernorm": (6144,)})
        if layer < 3:
            yield from _gated(f"{prefix}.mlp", 12288, 6144)
            continue
        yield f"{prefix}.mlp.gate.weight", "BF16", (256, 6144)
        yield f"{prefix}.mlp.gate.e_score_correction_bias", "F32", (256,)
        yield from _gated(f"{prefix}.mlp.shared_experts", 2048, 6144)
        for expert in range(256):
            yield from _gated(f"{prefix}.mlp.experts.{expert}", 2048, 6144)
    yield from weights("model.layers.78", {
        "enorm": (6144,), "hnorm": (6144,), "shared_head.norm": (6144,), "eh_proj": (6144, 12288),
    })  # fmt: skip
    yield from _ends("model", 154880, 6144)
    yield "lm_head.weight", "BF16", (154880, 6144)


def qwen_3_5() -> Iterator[Entry]:
    """Tensors of Qwen/Qwen3.5-397B-A17B: three layers of linear attention to one of full, and a vision encoder."""
    for layer in range(60):
        prefix = f"model.language_model.layers.{layer}"
        yield from _qwen_layer(prefix, linear=layer % 4 != 3)
    yield from _qwen_layer("mtp.layers.0", linear=False)
    norms = dict.fromkeys(("norm", "pre_fc_norm_embedding", "pre_fc_norm_hidden"), (4096,))
    yield from weights("mtp", {"fc": (4096, 8192), **norms})
    yield from _qwen_vision()
    yield from _ends("model.language_model", 248320, 4096)
    yield "lm_head.weight", "BF16", (248320, 4096)


def _qwen_layer(prefix: str, *, linear: bool) -> Iterator[Entry]:
    yield from weights(prefix, {"input_layernorm": (4096,), "post_attention_layernorm": (4096,)})
    if linear:
        yield f"{prefix}.linear_attn.dt_bias", "BF16", (64,)
        yield f"{prefix}.linear_attn.A_log", "BF16", (64,)
        yield from weights(f"{prefix}.linear_attn", {
            "conv1d": (12288, 1, 4), "norm": (128,), "in_proj_qkv": (12288, 4096), "in_proj_z": (8192, 4096),
            "in_proj_a": (64, 4096), "in_proj_b": (64, 4096), "out_proj": (4096, 8192),
        })  # fmt: skip
    else:
        yield from weights(f"{prefix}.self_attn", {
            "q_proj": (16384, 4096), "k_proj": (512, 4096), "v_proj": (512, 4096), "o_proj": (4096, 8192),
            "q_norm": (256,), "k_norm": (256,),
        })  # fmt: skip
    yield from weights(f"{prefix}.mlp", {"gate": (512, 4096), "shared_expert_gate": (1, 4096)})
    yield from _gated(f"{prefix}.mlp.shared_expert", 1024, 4096)
    yield f"{prefix}.mlp.experts.gate_up_proj", "BF16", (512, 2048, 4096)
    yield f"{prefix}.mlp.experts.down_proj", "BF16", (512, 4096, 1024)


def _qwen_vision() -> Iterator[Entry]:
    for block in range(27):
        yield from weights(f"model.visual.blocks.{block}", {
            "norm1": (1152,), "norm2": (1152,), "attn.qkv": (3456, 1152), "attn.proj": (1152, 1152),
            "mlp.linear_fc1": (4304, 1152), "mlp.linear_fc2": (1152, 4304),
        }, bias=True)  # fmt: skip
    yield "model.visual.pos_embed.weight", "BF16", (2304, 1152)
    yield from weights("model.visual", {
        "patch_embed.proj": (1152, 3, 2, 16, 16), "merger.norm": (1152,), "merger.linear_fc1": (4608, 4608),
        "merger.linear_fc2": (4096, 4608),
    }, bias=True)  # fmt: skip


def llama_4_scout() -> Iterator[Entry]:
    """Tensors of meta-llama/Llama-4-Scout-17B-16E-Instruct: a shared expert beside 16, and a vision encoder."""
    for layer in range(48):
        prefix = f"language_model.model.layers.{layer}"
        attention: dict[str, Shape] = {"q_proj": (5120, 5120), "k_proj": (1024, 5120), "v_proj": (1024, 5120)}
        yield from weights(f"{prefix}.self_attn", {**attention, "o_proj": (5120, 5120)})
        yield from weights(prefix, {"input_layernorm": (5120,), "post_attention_layernorm": (5120,)})
        yield f"{prefix}.feed_forward.router.weight", "BF16", (16, 5120)
        yield from _gated(f"{prefix}.feed_forward.shared_expert", 8192, 5120)
        yield f"{prefix}.feed_forward.experts.gate_up_proj", "BF16", (16, 5120, 16384)
        yield f"{prefix}.feed_forward.experts.down_proj", "BF16", (16, 8192, 5120)
    for layer in range(34):
        square = dict.fromkeys(("q_proj", "k_proj", "v_proj", "o_proj"), (1408, 1408))
        prefix = f"vision_model.model.layers.{layer}"
        yield from weights(f"{prefix}.self_attn", square, bias=True)
        yield from weights(prefix, {
            "mlp.fc1": (5632, 1408), "mlp.fc2": (1408, 5632),
            "input_layernorm": (1408,), "post_attention_layernorm": (1408,),
        }, bias=True)  # fmt: skip
    yield "vision_model.class_embedding", "BF16", (1408,)
    yield "vision_model.positional_embedding_vlm", "BF16", (577, 1408)
    yield from weights("vision_model", {"layernorm_pre": (1408,), "layernorm_post": (1408,)}, bias=True)
    yield from weights("vision_model", {
        "patch_embedding.linear": (1408, 588), "vision_adapter.mlp.fc1": (4096, 5632),
        "vision_adapter.mlp.fc2": (4096, 4096),
    })  # fmt: skip
    yield "multi_modal_projector.linear_1.weight", "BF16", (5120, 4096)
    yield from _ends("language_model.model", 202048, 5120)
    yield "language_model.lm_head.weight", "BF16", (202048, 5120)


NEMOTRON_LAYERS = "MEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEMEM*EMEMEMEME"  # M: Mamba-2, E: experts, *: attention


def nemotron_3_nano() -> Iterator[Entry]:
    """Tensors of nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16: each layer is one mixer of three kinds."""
    for layer, kind in enumerate(NEMOTRON_LAYERS):
        yield f"backbone.layers.{layer}.norm.weight", "BF16", (2688,)
        prefix = f"backbone.layers.{layer}.mixer"
        if kind == "M":
            yield from ((f"{prefix}.{name}", "BF16", (64,)) for name in ("A_log", "D", "dt_bias"))
            yield from weights(prefix, {"conv1d": (6144, 1, 4)}, bias=True)
            yield from weights(prefix, {"in_proj": (10304, 2688), "out_proj": (2688, 4096), "norm": (4096,)})
        elif kind == "*":
            attention: dict[str, Shape] = {"q_proj": (4096, 2688), "k_proj": (256, 2688), "v_proj": (256, 2688)}
            yield from weights(prefix, {**attention, "o_proj": (2688, 4096)})
        else:
            yield f"{prefix}.gate.weight", "BF16", (128, 2688)
            yield f"{prefix}.gate.e_score_correction_bias", "F32", (128,)
            yield from weights(f"{prefix}.shared_experts", {"up_proj": (3712, 2688), "down_proj": (2688, 3712)})
            for expert in range(128):
                dims: dict[str, Shape] = {"up_proj": (1856, 2688), "down_proj": (2688, 1856)}
                yield from weights(f"{prefix}.experts.{expert}", dims)
    yield "backbone.embeddings.weight", "BF16", (131072, 2688)
    yield "backbone.norm_f.weight", "BF16", (2688,)
    yield "lm_head.weight", "BF16", (131072, 2688)


def gemma_3() -> Iterator[Entry]:
    """Tensors of google/gemma-3-27b-it: one matrix is embedding and output head; a vision encoder."""
    for layer in range(62):
        prefix = f"language_model.model.layers.{layer}"
        yield from weights(f"{prefix}.self_attn", {
            "q_proj": (4096, 5376), "k_proj": (2048, 5376), "v_proj": (2048, 5376), "o_proj": (5376, 4096),
            "q_norm": (128,), "k_norm": (128,),
        })  # fmt: skip
        yield from _gated(f"{prefix}.mlp", 21504, 5376)
        for place in ("input", "post_attention", "pre_feedforward", "post_feedforward"):
            yield f"{prefix}.{place}_layernorm.weight", "BF16", (5376,)
    tower = "vision_tower.vision_model"
    for layer in range(27):
        square = dict.fromkeys(
            (f"self_attn.{name}" for name in ("q_proj", "k_proj", "v_proj", "out_proj")), (1152, 1152)
        )
        yield from weights(f"{tower}.encoder.layers.{layer}", {
            **square, "mlp.fc1": (4304, 1152), "mlp.fc2": (1152, 4304), "layer_norm1": (1152,), "layer_norm2": (1152,),
        }, bias=True)  # fmt: skip
    stem: dict[str, Shape] = {"embeddings.patch_embedding": (1152, 3, 14, 14), "post_layernorm": (1152,)}
    yield from weights(tower, stem, bias=True)
    yield f"{tower}.embeddings.position_embedding.weight", "BF16", (4096, 1152)
    yield "multi_modal_projector.mm_input_projection_weight", "BF16", (1152, 5376)
    yield "multi_modal_projector.mm_soft_emb_norm.weight", "BF16", (1152,)
    yield from _ends("language_model.model", 262208, 5376)


def _gated(prefix: str, width: int, hidden: int) -> Iterator[Entry]:
    dims: dict[str, Shape] = {"gate_proj": (width, hidden), "up_proj": (width, hidden), "down_proj": (hidden, width)}
    yield from weights(prefix, dims)


def _ends(prefix: str, vocabulary: int, hidden: int) -> Iterator[Entry]:
    yield f"{prefix}.embed_tokens.weight", "BF16", (vocabulary, hidden)
    yield f"{prefix}.norm.weight", "BF16", (hidden,)


TABLES: dict[str, Callable[[], Iterable[Entry]]] = {
    "deepseek-r1": shapes.deepseek_v3,
    "deepseek-v3": shapes.deepseek_v3,
    "gemma-3-27b-it": gemma_3,
    "glm-5": glm_5,
    "gpt-oss-120b": lambda: shapes.gpt_oss(36, 128),
    "gpt-oss-20b": lambda: shapes.gpt_oss(24, 32),
    "llama-4-scout": llama_4_scout,
    "mixtral-8x7b": shapes.mixtral,
    "nemotron-3-nano": nemotron_3_nano,
    "qwen3.5-397b-a17b": qwen_3_5,
}
