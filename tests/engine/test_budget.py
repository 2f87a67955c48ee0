"""What measuring may take: enough for every honest checkpoint, and no more than its tensors bear out."""

import json
import math
from collections.abc import Iterator

import pytest
import shapes
from shapes import Entry

from mbom.engine import budget, stream
from mbom.engine.budget import Budget, available_memory, confine
from mbom.errors import EngineError
from mbom.strictjson import Fields, Json

GB = 1_000_000_000
SHAPE = {"prompts": 8, "width": 256}
POSITIONS = 8 * 256


def llama_405b(layers: int = 126) -> Iterator[Entry]:
    """Tensors of meta-llama/Llama-3.1-405B, all bfloat16: the largest dense layers that anybody published."""
    for layer in range(layers):
        prefix = f"model.layers.{layer}"
        for name, rows in {"q_proj": 16384, "k_proj": 1024, "v_proj": 1024, "o_proj": 16384}.items():
            yield f"{prefix}.self_attn.{name}.weight", "BF16", (rows, 16384)
        for name in ("gate_proj", "up_proj"):
            yield f"{prefix}.mlp.{name}.weight", "BF16", (53248, 16384)
        yield f"{prefix}.mlp.down_proj.weight", "BF16", (16384, 53248)
    yield from shapes._ends(128256, 16384)


LLAMA_405B: dict[str, Json] = {"num_hidden_layers": 126, "num_attention_heads": 128, "num_key_value_heads": 8}


def of(entries: Iterator[Entry], config: dict[str, Json], passes: int = 1) -> Budget:
    return Budget.of(shapes.inventory(entries).tensors, config, passes=passes, **SHAPE)


def published(name: str) -> Budget:
    tables = {
        "gpt-oss-20b": lambda: shapes.gpt_oss(24, 32),
        "gpt-oss-120b": lambda: shapes.gpt_oss(36, 128),
        "deepseek-v3": shapes.deepseek_v3,
        "mixtral-8x7b": shapes.mixtral,
        "qwen3-30b-a3b": shapes.qwen3,
    }
    return of(tables[name](), json.loads(shapes.config(name)))


# By hand from the published shapes: the dense weights of the largest layer, those of one expert, and in all.
LARGEST = {
    # q 4096, k and v 512, o 4096, all by 2880, the router of 32 or 128; an expert of 3 x 2880 x 2880
    "gpt-oss-20b": (26_585_000, 24_883_200, 20.9e9),
    "gpt-oss-120b": (26_870_000, 24_883_200, 116.8e9),
    # q_a, q_b, kv_a, kv_b, o and a dense MLP of 3 x 18432 x 7168; an expert of 3 x 2048 x 7168
    "deepseek-v3": (583_468_032, 44_040_192, 684e9),
    "mixtral-8x7b": (41_983_000, 176_160_768, 46.7e9),
    "qwen3-30b-a3b": (19_140_000, 4_718_592, 30.5e9),
}


@pytest.mark.parametrize("name", LARGEST)
def test_what_published_checkpoints_take_is_allowed_twice_over(name: str) -> None:
    found = published(name)
    layer, expert, weights = LARGEST[name]
    assert found.layer_bytes == pytest.approx(8 * layer, rel=0.35)  # and the largest tensor as it is stored
    assert found.layer_bytes >= 8 * layer
    assert found.expert_bytes == pytest.approx(2 * 8 * expert, rel=0.001)
    assert found.needed_bytes > 8 * (layer + expert)
    assert found.address_space_bytes > 2 * found.needed_bytes
    # Slow: 4 GFLOP/s in float64 as if every expert took every token, and 10 million weights a second decoded.
    assert found.cpu_seconds > 2 * (2 * weights * POSITIONS / 8e9 + weights / 10e6)


def test_an_ordinary_machine_is_enough_for_the_checkpoints_it_is_promised_for() -> None:
    assert published("gpt-oss-20b").needed_bytes < 2 * GB
    assert published("gpt-oss-120b").needed_bytes < 2 * GB
    assert published("deepseek-v3").needed_bytes < 10 * GB


def test_the_largest_dense_model_takes_a_layer_in_float64() -> None:
    found = of(llama_405b(), LLAMA_405B)
    layer = 8 * (2 * 16384 * 16384 + 2 * 1024 * 16384 + 3 * 53248 * 16384)
    assert layer < found.needed_bytes < 1.4 * layer
    # One core of a current machine does 40 GFLOP/s in float64.
    assert found.cpu_seconds > 4 * 2 * 405e9 * POSITIONS / 40e9


def test_layers_that_are_not_run_take_no_memory() -> None:
    """DeepSeek's layer 61 holds an embedding and a head of its own, and is only read."""
    config = json.loads(shapes.config("deepseek-v3"))
    without = (entry for entry in shapes.deepseek_v3() if not entry[0].startswith("model.layers.61."))
    found, least = of(shapes.deepseek_v3(), config), of(without, config)
    assert found.needed_bytes - least.needed_bytes == found.table_bytes - least.table_bytes
    assert found.cpu_seconds > least.cpu_seconds


def test_a_vision_tower_is_only_read() -> None:
    config: dict[str, Json] = {"text_config": {"num_hidden_layers": 1, "num_attention_heads": 4}}
    text = [("model.layers.0.mlp.up_proj.weight", "BF16", (64, 64)), ("lm_head.weight", "BF16", (256, 64))]
    tower = [("model.vision_tower.layers.0.fc.weight", "BF16", (8192, 8192))]
    assert of(iter(text + tower), config).layer_bytes == of(iter(text), config).layer_bytes


@pytest.mark.parametrize(
    "claim",
    [
        {"num_attention_heads": 1 << 40},
        {"mamba_num_heads": 1 << 40, "ssm_state_size": 1 << 40},
        {"hidden_size": 1 << 40, "intermediate_size": 1 << 40, "vocab_size": 1 << 40, "head_dim": 1 << 40},
        {"num_hidden_layers": 1 << 40, "max_position_embeddings": 1 << 40},
        {"num_attention_heads": "many", "text_config": [], "num_hidden_layers": None},
    ],
)
def test_a_claim_of_the_configuration_raises_no_limit(claim: dict[str, Json]) -> None:
    tensors = [("model.layers.0.mlp.up_proj.weight", "BF16", (96, 64)), ("lm_head.weight", "BF16", (256, 64))]
    found = of(iter(tensors), claim)
    assert found.needed_bytes < GB
    assert found.address_space_bytes < 3 * GB + budget._reserved()
    assert found.cpu_seconds < 1000


def test_a_table_of_oddities_is_no_obstacle() -> None:
    odd = [
        ("model.layers.0.w", "BF16", ()),
        ("model.layers.0.experts.up", "BF16", (0, 4, 4)),
        ("model.layers.0.packed.weight", "U8", (1 << 30, 1)),
        ("lm_head.weight", "BF16", (0, 0)),
    ]
    assert of(iter(odd), {}).needed_bytes > 0
    assert of(iter([]), {}).needed_bytes >= budget.START_BYTES
    assert Budget.of((), {}, prompts=0, width=0).cpu_seconds >= budget.START_SECONDS


def test_processor_time_grows_with_positions_and_passes() -> None:
    once, twice = of(shapes.gpt_oss(4, 32), {}), of(shapes.gpt_oss(4, 32), {}, passes=2)
    extra = once.cpu_seconds - budget.START_SECONDS
    assert twice.cpu_seconds - budget.START_SECONDS == pytest.approx(2 * extra, rel=0.01)
    tensors = shapes.inventory(shapes.gpt_oss(4, 32)).tensors
    assert Budget.of(tensors, {}, prompts=16, width=256).cpu_seconds > once.cpu_seconds + extra / 2


def test_the_head_goes_by_blocks_of_the_size_that_is_counted() -> None:
    assert budget.HEAD_ROWS == stream.HEAD_ROWS


def test_available_memory_is_that_of_this_machine() -> None:
    found = available_memory()
    assert found is not None
    with open("/proc/meminfo", encoding="ascii") as file:
        table = {line.split(":")[0]: int(line.split()[1]) << 10 for line in file}
    assert math.log2(64 << 20) < math.log2(found) <= math.log2(table["MemTotal"] + table["SwapTotal"])


def test_less_memory_than_is_needed_is_refused_with_both_figures() -> None:
    memory = Fields(of(llama_405b(), LLAMA_405B).to_dict(24 * GB), "memory")
    with pytest.raises(EngineError, match=r"^out of memory: .* needs about 3\d\.\d GB, .* 2\d\.\d GB; 24\.0 GB are"):
        confine(memory)
