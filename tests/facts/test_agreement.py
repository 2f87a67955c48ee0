"""What config.json says against what the tensors show: contradictions are found, and families raise none."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import boms
import pytest
import shapes
import tinymodels

from mbom.facts import survey
from mbom.facts.reading import read_facts
from mbom.inventory.record import Finding
from mbom.source import FolderSource

MODELS = sorted(path.name for path in (Path(__file__).parents[2] / "fixtures" / "models").iterdir() if path.is_dir())
QUICK = ("gpt_oss", "deepseek_v3", "qwen3", "mixtral", "gemma3_text")
HIDDEN, ROWS = 8, 32
LLAMA: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": HIDDEN, "intermediate_size": 12,
    "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": ROWS, "tie_word_embeddings": False,
}  # fmt: skip
TABLE: dict[str, tuple[int, ...]] = {
    "model.embed_tokens.weight": (ROWS, HIDDEN),
    "model.layers.0.self_attn.q_proj.weight": (8, HIDDEN),
    "model.layers.0.self_attn.k_proj.weight": (4, HIDDEN),
    "model.layers.0.mlp.up_proj.weight": (12, HIDDEN),
    "model.layers.0.mlp.down_proj.weight": (HIDDEN, 12),
    "lm_head.weight": (ROWS, HIDDEN),
}


def contradictions(config: dict[str, Any], table: dict[str, tuple[int, ...]] = TABLE) -> dict[str, str]:
    held = shapes.inventory((name, "BF16", shape) for name, shape in table.items())
    _, findings = read_facts(held, {"config.json": json.dumps(config).encode()})
    return {finding.id: finding.detail for finding in findings if finding.id.startswith("config-")}


def test_what_agrees_is_found_to_agree() -> None:
    assert contradictions(LLAMA) == {}


CHANGES: dict[str, tuple[dict[str, Any], str]] = {
    "vocab_size": ({"vocab_size": 31}, "31 tokens, and model.embed_tokens.weight is 32x8"),
    "hidden_size": ({"hidden_size": 16, "head_dim": 2}, "a width of 16, and model.embed_tokens.weight is 32x8"),
    "intermediate_size": ({"intermediate_size": 13}, "a feed-forward width of 13, and the tensors have 12"),
    "heads": (
        {"num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 16},
        "8 query heads of 16, and the projections have 8 rows",
    ),
    "key heads": ({"num_key_value_heads": 8}, "8 key heads of 2, and the projections have 4 rows"),
    "size of heads": ({"head_dim": 64}, "4 query heads of 64"),
}


@pytest.mark.parametrize(("change", "phrase"), CHANGES.values(), ids=CHANGES.keys())
def test_a_size_that_no_tensor_has_is_found(change: dict[str, Any], phrase: str) -> None:
    found = contradictions(LLAMA | change)
    assert found.keys() == {"config-sizes-differ"}
    assert phrase in found["config-sizes-differ"]


HONEST: dict[str, tuple[dict[str, Any], dict[str, tuple[int, ...]]]] = {
    "an embedding of its own width": (
        {"word_embed_proj_dim": 6}, {"model.embed_tokens.weight": (ROWS, 6), "lm_head.weight": (ROWS, 6)}),
    "gates beside the queries": ({}, {"model.layers.0.self_attn.q_proj.weight": (16, HIDDEN)}),
    "latent attention": (
        {"kv_lora_rank": 4, "num_attention_heads": 7}, {"model.layers.0.self_attn.q_proj.weight": (21, HIDDEN)}),
    "an encoder of other sizes": (
        {}, {"vision_tower.layers.0.mlp.up_proj.weight": (99, 33), "vision_tower.embed_tokens.weight": (5, 5)}),
    "layers of several widths": ({}, {"model.layers.1.mlp.up_proj.weight": (24, HIDDEN)}),
    "widths that are a list": ({"intermediate_size": None}, {}),
}  # fmt: skip


@pytest.mark.parametrize(("change", "more"), HONEST.values(), ids=HONEST.keys())
def test_what_honest_models_do_is_no_contradiction(change: dict[str, Any], more: dict[str, tuple[int, ...]]) -> None:
    assert contradictions(LLAMA | change, TABLE | more) == {}


def experts(*numbers: int, layer: int = 0) -> dict[str, tuple[int, ...]]:
    return {f"model.layers.{layer}.mlp.experts.{number}.up_proj.weight": (4, HIDDEN) for number in numbers}


@pytest.mark.parametrize(
    ("number", "table", "agrees"),
    [
        (4, experts(0, 1, 2, 3), True),
        (4, experts(0, 1, 2, 3) | experts(0, 1, 2, 3, layer=1), True),
        (4, experts(0, 1, 2, 3) | experts(0, 1, 2, layer=1), False),
        (4, experts(0, 1, 2, 4), False),
        (3, experts(0, 1, 2, 3), False),
        (10**18, experts(0, 1), False),  # held against no set of that size
        (0, experts(0, 1), True),
        (4, {}, True),
    ],
)  # fmt: skip
def test_every_layer_has_the_experts_that_the_configuration_gives(
    number: int, table: dict[str, tuple[int, ...]], agrees: bool
) -> None:
    found = contradictions(LLAMA | {"num_local_experts": number}, TABLE | table)
    assert found.keys() == (set() if agrees else {"config-experts-differ"})


def tied(config: dict[str, Any], digests: tuple[str, str], *, dtype: str = "BF16") -> set[str]:
    """Return the findings on a head with its own digest, or that of the embedding."""
    held = shapes.inventory((name, "BF16", shape) for name, shape in TABLE.items())
    values = {"model.embed_tokens.weight": (digests[0], "BF16"), "lm_head.weight": (digests[1], dtype)}
    changed = tuple(
        replace(tensor, blake3=digest, dtype=kind)
        for tensor in held.tensors
        for digest, kind in [values.get(tensor.name, (tensor.blake3, tensor.dtype))]
    )
    _, findings = read_facts(replace(held, tensors=changed), {"config.json": json.dumps(config).encode()})
    return {finding.id for finding in findings if finding.id.startswith("config-")}


def test_a_head_beside_an_embedding_that_is_said_to_be_it_must_hold_the_same() -> None:
    said = LLAMA | {"tie_word_embeddings": True}
    assert tied(said, ("aa" * 32, "bb" * 32)) == {"config-tied-differs"}
    assert tied(said, ("aa" * 32, "aa" * 32)) == set()
    assert tied(LLAMA, ("aa" * 32, "bb" * 32)) == set()
    assert tied({**LLAMA, "tie_word_embeddings": None}, ("aa" * 32, "bb" * 32)) == set()
    # Of another type it may hold the same numbers, and headers alone tell nothing.
    assert tied(said, ("aa" * 32, "bb" * 32), dtype="F16") == set()
    assert tied(said, ("", "")) == set()


def test_a_model_that_writes_text_needs_a_head() -> None:
    table = {name: shape for name, shape in TABLE.items() if name != "lm_head.weight"}
    assert contradictions(LLAMA, table).keys() == {"config-head-missing"}
    for honest in ({"tie_word_embeddings": True}, {"tie_word_embeddings": None}, {"architectures": ["LlamaModel"]}):
        assert contradictions(LLAMA | honest, table) == {}
    assert contradictions(LLAMA, table | {"transformer.output_layer.weight": (ROWS, HIDDEN)}) == {}


@pytest.mark.parametrize("name", MODELS)
def test_published_models_agree_with_their_configurations(name: str) -> None:
    held = boms.of(name)
    _, findings = read_facts(held.inventory, held.side)
    assert [item for item in findings if item.id.startswith("config-")] == []


def of_a_family(name: str, folder: Path) -> tuple[Finding, ...]:
    return survey(FolderSource(tinymodels.build(name, folder).folder)).inventory.findings


@pytest.mark.parametrize("name", QUICK)
def test_what_transformers_writes_raises_no_alarm(name: str, tmp_path: Path) -> None:
    assert {finding.id for finding in of_a_family(name, tmp_path / name)} <= {"card-missing"}


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(tinymodels.FAMILIES.keys() - set(QUICK)))
def test_what_transformers_writes_of_any_family_raises_no_alarm(name: str, tmp_path: Path) -> None:
    assert {finding.id for finding in of_a_family(name, tmp_path / name)} <= {"card-missing"}
