"""Which part of a model a tensor belongs to, by its name.

Publishers follow transformers' module names closely, so the parts of a dotted name decide, the most telling first. A
tensor that no rule knows is ``other``: it counts, and nobody is told that it is something else.
"""

import re

from mbom.facts.architecture import Architecture
from mbom.inventory.record import TensorRecord

EMBEDDING = "embedding"
ATTENTION = "attention"
STATE_SPACE = "state-space"
FEED_FORWARD = "feed-forward"
EXPERTS = "experts"
SHARED_EXPERTS = "shared-experts"
ROUTER = "router"
HEAD = "head"
NORMS = "norms"
OTHER_MODALITIES = "other-modalities"
OTHER = "other"
BLOCKS = (
    *(EMBEDDING, ATTENTION, STATE_SPACE, FEED_FORWARD, EXPERTS, SHARED_EXPERTS, ROUTER, HEAD, NORMS),
    *(OTHER_MODALITIES, OTHER),
)
PREDICTION = "prediction"  # of further tokens; and a second copy of the embedding as head: neither is in the total
DUPLICATE = "duplicate"

RULE = (
    "by the names of tensors: embedding (look-up tables that are not the output head), attention (projections, sinks, "
    "indexers), state-space (mixers of state-space and linear-attention layers), feed-forward (of dense layers), "
    "experts (routed), shared-experts (with their gate), router (with its biases), head (also where it is the "
    "embedding too), norms (wherever they stand), other-modalities (encoders of images or sound and what joins them), "
    "other; they add up to the total"
)

EMBEDDING_MODULES = frozenset(
    {"embed_tokens", "wte", "word_embeddings", "tok_embeddings", "embeddings", "embedding", "embed", "embed_in"}
)
_LAYER_EMBEDDINGS = frozenset({"embed_tokens_per_layer"})  # looked up like the embedding, but never the output head
_LOOKED_UP = EMBEDDING_MODULES | _LAYER_EMBEDDINGS
_ENCODERS = frozenset({
    *("vision_tower", "vision_model", "vision_encoder", "vision_embed_tokens", "vision_projection", "visual"),
    *("audio_tower", "audio_model", "audio_encoder", "embed_vision", "embed_audio"),
    *("multi_modal_projector", "mm_projector"),
})  # fmt: skip
_SHARED = frozenset({"shared_expert", "shared_experts", "shared_mlp", "shared_expert_gate"})
_ROUTERS = frozenset({"router", "e_score_correction_bias", "expert_bias"})
_GATED = frozenset({"mlp", "block_sparse_moe", "feed_forward", "mixer", "moe", "ffn"})  # whose ``gate`` is a router
_RECURRENT = frozenset({"linear_attn", "mamba", "ssm", "delta_net", "A_log", "dt_bias", "dt_proj", "x_proj", "conv1d"})
_MIXER = frozenset({"in_proj", "out_proj", "D"})  # of a mixer that is a state space; one of attention has q_proj
_ATTENTION = frozenset({
    *("self_attn", "self_attention", "attn", "attention", "cross_attn", "q_proj", "k_proj", "v_proj", "o_proj"),
    *("qkv_proj", "query_key_value", "c_attn", "sinks"),
})  # fmt: skip
_DENSE = frozenset({
    *("mlp", "feed_forward", "ffn", "block_sparse_moe", "up_proj", "down_proj", "gate_proj", "gate_up_proj"),
    *("fc1", "fc2", "c_fc", "w1", "w2", "w3"),
})  # fmt: skip
_NORM = re.compile(r"\w*norm\d?(?:_f)?|ln(?:_\w+)?")
_LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks?)\.(\d{1,6})\.")


def block(tensor: TensorRecord, architecture: Architecture) -> str:
    """Return the block of a tensor, or ``PREDICTION``."""
    parts = tensor.name.split(".")
    held = frozenset(parts)
    if held & _ENCODERS:
        return OTHER_MODALITIES
    if "mtp" in parts[:2] or _predicts(tensor.name, architecture):
        return PREDICTION
    if module(tensor.name) in _LOOKED_UP:
        return EMBEDDING
    if "lm_head" in held or parts[0] in ("output", "head", "embed_out"):
        return HEAD
    return _mixture(held) or _inner(parts, held)


def _mixture(held: frozenset[str]) -> str | None:
    """Return the part of a mixture of experts that a tensor belongs to, if any."""
    if held & _SHARED:
        return SHARED_EXPERTS
    if held & _ROUTERS or ("gate" in held and held & _GATED):
        return ROUTER
    return EXPERTS if "experts" in held else None


def _inner(parts: list[str], held: frozenset[str]) -> str:
    """Return the block of a tensor inside a layer, or of a norm."""
    owner = parts[-2] if len(parts) > 1 and parts[-1] in ("weight", "bias", "scale") else parts[-1]
    if _NORM.fullmatch(owner):
        return NORMS
    if held & _RECURRENT or ("mixer" in held and held & _MIXER):
        return STATE_SPACE
    if held & _ATTENTION:
        return ATTENTION
    return FEED_FORWARD if held & _DENSE else OTHER


def module(name: str) -> str:
    """Return the module that a ``weight`` belongs to, or an empty string."""
    parts = name.split(".")
    return parts[-2] if len(parts) > 1 and parts[-1] == "weight" else ""


def _predicts(name: str, architecture: Architecture) -> bool:
    """Tell whether a tensor lies in a layer beyond the main model's, where the configuration announces such layers."""
    match = _LAYER.search(name)
    if match is None or not architecture.prediction_layers or architecture.layers is None:
        return False
    return architecture.layers <= int(match[1]) < architecture.layers + architecture.prediction_layers
