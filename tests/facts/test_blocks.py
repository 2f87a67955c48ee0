import pytest
import shapes

from mbom.facts.architecture import Architecture
from mbom.facts.blocks import BLOCKS, block
from mbom.facts.parameters import count

NAMES = {
    "model.layers.0.self_attn.q_proj.weight": "attention",
    "model.layers.0.self_attn.sinks": "attention",
    "model.layers.0.self_attn.indexer.wq_b.weight": "attention",
    "transformer.h.0.attn.c_attn.bias": "attention",
    "backbone.layers.5.mixer.q_proj.weight": "attention",
    "model.layers.0.self_attn.q_norm.weight": "norms",
    "model.layers.0.self_attn.kv_a_layernorm.weight": "norms",
    "model.layers.0.self_attn.indexer.k_norm.bias": "norms",
    "transformer.h.0.ln_1.weight": "norms",
    "transformer.ln_f.bias": "norms",
    "backbone.norm_f.weight": "norms",
    "backbone.layers.0.mixer.norm.weight": "norms",
    "backbone.layers.0.mixer.A_log": "state-space",
    "backbone.layers.0.mixer.D": "state-space",
    "backbone.layers.0.mixer.in_proj.weight": "state-space",
    "model.layers.0.linear_attn.conv1d.weight": "state-space",
    "model.layers.0.linear_attn.in_proj_qkv.weight": "state-space",
    "model.layers.0.mamba.x_proj.weight": "state-space",
    "model.layers.0.mlp.gate_proj.weight": "feed-forward",
    "backbone.layers.1.mixer.up_proj.weight": "feed-forward",
    "transformer.h.0.mlp.c_fc.weight": "feed-forward",
    "model.layers.0.mlp.experts.7.gate_proj.weight": "experts",
    "model.layers.0.mlp.experts.gate_up_proj_blocks": "experts",
    "model.layers.0.block_sparse_moe.experts.0.w1.weight": "experts",
    "model.layers.0.mlp.shared_experts.up_proj.weight": "shared-experts",
    "model.layers.0.mlp.shared_expert_gate.weight": "shared-experts",
    "model.layers.0.feed_forward.shared_expert.down_proj.weight": "shared-experts",
    "model.layers.0.mlp.gate.weight": "router",
    "model.layers.0.mlp.gate.e_score_correction_bias": "router",
    "model.layers.0.mlp.experts.e_score_correction_bias": "router",
    "model.layers.0.block_sparse_moe.gate.weight": "router",
    "model.layers.0.mlp.router.bias": "router",
    "model.embed_tokens.weight": "embedding",
    "model.embed_tokens_per_layer.weight": "embedding",
    "backbone.embeddings.weight": "embedding",
    "lm_head.weight": "head",
    "language_model.lm_head.weight": "head",
    "output.weight": "head",
    "model.vision_tower.encoder.layers.0.self_attn.q_proj.weight": "other-modalities",
    "model.visual.blocks.0.attn.qkv.weight": "other-modalities",
    "multi_modal_projector.linear_1.weight": "other-modalities",
    "mtp.layers.0.mlp.experts.gate_up_proj": "prediction",
    "model.layers.4.self_attn.q_proj.weight": "prediction",  # the first layer beyond the announced four
    "model.layers.5.self_attn.q_proj.weight": "attention",  # beyond the one announced prediction layer
    "model.layers.0.something.weight": "other",
    "weight": "other",
    "": "other",
    "..": "other",
}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_tells_the_block(name: str) -> None:
    (tensor,) = shapes.records([(name, "BF16", (2, 2))])
    assert block(tensor, Architecture(layers=4, prediction_layers=1)) == NAMES[name]


def test_blocks_and_types_add_up_whatever_the_names() -> None:
    entries: list[shapes.Entry] = [(name, "BF16", (3, 3)) for name in NAMES]
    found = count(shapes.records(entries), Architecture(layers=4, prediction_layers=1))
    assert sum(number for _, number in found.blocks) == found.total
    assert sum(number for _, number in found.dtypes) == sum(number for _, number in found.logical) == found.total
    assert found.total + found.prediction == 9 * len(NAMES)
    assert [name for name, _ in found.blocks] == [name for name in BLOCKS if name in dict(found.blocks)]


def test_a_hostile_name_takes_no_time() -> None:
    (tensor,) = shapes.records([("norm" * 250 + "x", "BF16", (1,))])
    assert [block(tensor, Architecture()) for _ in range(1000)] == ["other"] * 1000
