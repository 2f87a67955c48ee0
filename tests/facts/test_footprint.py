"""What a model keeps of the tokens it has read, and where it fits."""

import json
from dataclasses import replace

import pytest
import shapes

from mbom.facts.accelerators import ACCELERATORS
from mbom.facts.architecture import read_architecture
from mbom.facts.cache import FULL, LAYERS_LIMIT, NONE, RECURRENT, WINDOWED, Cache
from mbom.facts.footprint import GIGABYTE, Footprint, footprint
from mbom.facts.parameters import Parameters, count

BASE = {"num_hidden_layers": 4, "num_attention_heads": 8, "head_dim": 16, "max_position_embeddings": 100}
ENTRIES: list[shapes.Entry] = [("model.layers.0.mlp.up_proj.weight", "BF16", (8, 8))]


def cache_of(**members: object) -> Cache:
    return read_architecture(json.dumps({**BASE, **members}).encode())[0].cache


def footprint_of(**members: object) -> Footprint:
    architecture = read_architecture(json.dumps({**BASE, **members}).encode())[0]
    return footprint(count(shapes.records(ENTRIES), architecture), architecture)


WINDOW: dict[str, object] = {"sliding_window": 10}
KINDS: dict[str, tuple[dict[str, object], tuple[str, ...] | None]] = {
    "nothing said": ({}, (FULL,) * 4),
    "a window for all": (WINDOW, (WINDOWED,) * 4),
    "a window switched off": ({**WINDOW, "use_sliding_window": False}, (FULL,) * 4),
    "a list": (
        {"layer_types": ["full_attention", "sliding_attention", "linear_attention", "chunked_attention"], **WINDOW},
        (FULL, WINDOWED, RECURRENT, WINDOWED),
    ),
    "a list of blocks": (
        {"layers_block_type": ["mamba", "attention", "moe", "mlp"]}, (RECURRENT, FULL, NONE, NONE),
    ),
    "letters": ({"hybrid_override_pattern": "M*E-"}, (RECURRENT, FULL, NONE, NONE)),
    "an interval of full attention": ({"full_attention_interval": 4}, (RECURRENT,) * 3 + (FULL,)),
    "a pattern of windows": ({"sliding_window_pattern": 2, **WINDOW}, (WINDOWED, FULL) * 2),
    "windows from a layer on": ({"max_window_layers": 3, **WINDOW}, (FULL,) * 3 + (WINDOWED,)),
    "windows beyond the last layer": ({"max_window_layers": 9, **WINDOW}, (FULL,) * 4),
    "layers without rotation": (
        {"no_rope_layers": [1, 1, 1, 0], "attention_chunk_size": 10}, (WINDOWED,) * 3 + (FULL,),
    ),
    "a kind that nobody knows": ({"layer_types": ["full_attention"] * 3 + ["telepathy"]}, None),
    "a list of another length": ({"layer_types": ["full_attention"] * 3}, None),
    "a list of something else": ({"layer_types": [1, None, {}, []]}, None),
    "too many layers": ({"num_hidden_layers": LAYERS_LIMIT + 1}, None),
    "layers without end": ({"num_hidden_layers": 10**39}, None),
}  # fmt: skip


@pytest.mark.parametrize("case", KINDS)
def test_the_kind_of_every_layer_is_read(case: str) -> None:
    members, kinds = KINDS[case]
    assert cache_of(**members).kinds == kinds


def test_defaults_of_a_class_fill_in_what_it_leaves_out_and_are_named() -> None:
    config = {**BASE, "model_type": "gpt_oss", **WINDOW}
    architecture, _ = read_architecture(json.dumps(config).encode())
    assert architecture.cache.kinds == (WINDOWED, FULL) * 2
    assert [*architecture.assumed] == ["architecture:layer-kinds"]
    assert str(architecture.places["architecture:layer-kinds"]) == "config.json#/model_type"
    given, _ = read_architecture(json.dumps({**config, "layer_types": ["full_attention"] * 4}).encode())
    assert (given.cache.kinds, given.assumed) == ((FULL,) * 4, {})


ELEMENTS: dict[str, tuple[dict[str, object], int | None]] = {
    "as many pairs as heads": ({}, 2 * 8 * 16),
    "fewer pairs": ({"num_key_value_heads": 2}, 2 * 2 * 16),
    "the size of a head from the width": ({"head_dim": None, "hidden_size": 256}, 2 * 8 * 32),
    "a width that does not divide": ({"head_dim": None, "hidden_size": 257}, None),
    "no width": ({"head_dim": None}, None),
    "pairs that are no number": ({"num_key_value_heads": [1, 2]}, None),
    "a size that is no number": ({"head_dim": "16", "hidden_size": 256}, None),
    "numbers beyond any machine": ({"num_key_value_heads": 10**39}, None),
    "latent attention": ({"kv_lora_rank": 32, "qk_rope_head_dim": 4}, 36),
    "latent attention with an indexer": ({"kv_lora_rank": 32, "qk_rope_head_dim": 4, "index_head_dim": 8}, 44),
    "layers that share": ({"num_kv_shared_layers": 2}, None),
    "layers that share none": ({"num_kv_shared_layers": 0}, 2 * 8 * 16),
    "other heads in some layers": ({"global_head_dim": 512}, None),
}


@pytest.mark.parametrize("case", ELEMENTS)
def test_what_attention_keeps_of_a_token_is_arithmetic_or_unknown(case: str) -> None:
    members, elements = ELEMENTS[case]
    assert cache_of(**members).elements == elements
    found = footprint_of(**members)
    assert found.token == (None if elements is None else 4 * elements * 2)
    assert bool(found.notes) == (elements is None)
    assert (found.sequence is None) == (elements is None)


def test_a_window_longer_than_the_context_keeps_the_context() -> None:
    assert footprint_of(sliding_window=1000).sequence == 4 * 256 * 2 * 100
    assert footprint_of(sliding_window=10).sequence == 4 * 256 * 2 * 10


MAMBA = {"mamba_num_heads": 3, "mamba_head_dim": 5, "ssm_state_size": 7, "n_groups": 2, "conv_kernel": 4}
DELTA = {
    "linear_num_key_heads": 2, "linear_key_head_dim": 3, "linear_num_value_heads": 4, "linear_value_head_dim": 5,
    "linear_conv_kernel_dim": 4,
}  # fmt: skip


@pytest.mark.parametrize(
    ("members", "state", "convolution"),
    [
        (MAMBA, 3 * 5 * 7, 3 * (3 * 5 + 2 * 2 * 7)),
        (DELTA, 4 * 3 * 5, 3 * (2 * 2 * 3 + 4 * 5)),
        ({**MAMBA, "conv_kernel": None}, 3 * 5 * 7, None),
        ({}, None, None),
    ],
)
def test_a_recurrent_layer_keeps_a_constant_state(
    members: dict[str, object], state: int | None, convolution: int | None
) -> None:
    kinds = ["linear_attention"] * 3 + ["full_attention"]
    cache = cache_of(layer_types=kinds, **members)
    assert (cache.state, cache.convolution) == (state, convolution)
    found = footprint_of(layer_types=kinds, **members)
    if state is None or convolution is None:
        assert (found.constant, found.sequence, found.smallest) == (None, None, None)
        assert found.notes == ("state of recurrent layers unknown: the configuration does not give its dimensions",)
    else:
        assert found.constant == 3 * (state * 4 + convolution * 2)
        assert found.sequence == 256 * 2 * 100 + found.constant
    assert found.token == 256 * 2


def test_a_model_of_recurrent_layers_alone_needs_no_heads() -> None:
    members = {"layer_types": ["linear_attention"] * 4, "num_attention_heads": None, "head_dim": None, **DELTA}
    found = footprint_of(**members)
    assert (found.token, found.notes) == (0, ())
    assert found.sequence == found.constant


def test_without_a_context_length_or_a_window_the_sequence_is_unknown() -> None:
    assert footprint_of(max_position_embeddings=None).notes[0].startswith("cache at full context unknown")
    assert footprint_of(max_position_embeddings=10**39).sequence is None
    found = footprint_of(layer_types=["sliding_attention"] * 4)
    assert (found.token, found.sequence) == (4 * 256 * 2, None)
    assert "window" in found.notes[0]


def test_without_a_configuration_only_the_weights_are_known() -> None:
    architecture, _ = read_architecture(None)
    found = footprint(count(shapes.records(ENTRIES), architecture), architecture)
    assert found == Footprint(weights=128, notes=("cache unknown: there is no configuration",))


def weighing(size: int) -> Footprint:
    """Return the footprint of a model without a cache to speak of and with so many bytes of weights."""
    config = {**BASE, "hybrid_override_pattern": "EEEE"}
    architecture, _ = read_architecture(json.dumps(config).encode())
    parameters: Parameters = count(shapes.records(ENTRIES), architecture)
    return footprint(replace(parameters, stored=(("U8", size),)), architecture)


@pytest.mark.parametrize(
    ("size", "smallest", "sizes"),
    [
        (1, "1 x 24 GB (NVIDIA L4, GeForce RTX 4090)", 7),
        (24 * GIGABYTE * 10 // 11, "1 x 24 GB (NVIDIA L4, GeForce RTX 4090)", 7),
        (24 * GIGABYTE * 10 // 11 + 1, "1 x 32 GB (GeForce RTX 5090)", 7),
        (87 * GIGABYTE, "1 x 96 GB (NVIDIA RTX PRO 6000 Blackwell)", 7),  # as much as 2 x 48 and 4 x 24 GB
        (8 * 192 * GIGABYTE * 10 // 11, "8 x 192 GB (AMD Instinct MI300X)", 1),
        (8 * 192 * GIGABYTE * 10 // 11 + 1, "more than 8 x 192 GB", 0),
    ],
)
def test_the_smallest_accelerators_are_those_with_the_least_memory_that_holds_it(
    size: int, smallest: str, sizes: int
) -> None:
    found = weighing(size)
    assert found.smallest == smallest
    assert len(found.accelerators) == sizes


def test_accelerators_ascend_and_have_a_source() -> None:
    sizes = [kind.gigabytes for kind in ACCELERATORS]
    assert sizes == sorted(set(sizes))
    assert all(kind.source.startswith("https://") for kind in ACCELERATORS)
