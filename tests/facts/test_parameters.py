import json
import math
from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest
import shapes
from shapes import Entry

from mbom.facts.architecture import Architecture, Quantisation, read_architecture
from mbom.facts.parameters import Parameters, count

TABLES: dict[str, Callable[[], Iterable[Entry]]] = {
    "gpt-oss-20b": lambda: shapes.gpt_oss(24, 32),
    "gpt-oss-120b": lambda: shapes.gpt_oss(36, 128),
    "mixtral-8x7b": shapes.mixtral,
    "deepseek-v3": shapes.deepseek_v3,
    "qwen3-30b-a3b": shapes.qwen3,
}


def counted(entries: Iterable[Entry], **architecture: object) -> Parameters:
    return count(shapes.records(entries), Architecture(**architecture))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def published() -> dict[str, Parameters]:
    return {
        name: count(shapes.records(table()), read_architecture(shapes.config(name))[0])
        for name, table in TABLES.items()
    }


# Billions, as publishers round them; in "active", gpt-oss counts the output head, Mistral and Qwen the embedding too.
@pytest.mark.parametrize(
    ("name", "total", "active", "with_embedding"),
    [
        ("gpt-oss-20b", "20.9", "3.6", None),  # gpt-oss model card, table 1: 20.91 B total, 3.61 B active
        ("gpt-oss-120b", "116.8", "5.1", None),  # 116.83 B total, 5.13 B active
        ("mixtral-8x7b", "46.7", None, "12.9"),  # mistral.ai/news/mixtral-of-experts
        ("deepseek-v3", "671.0", "36.6", None),  # "671B of which 37B activated"
        ("qwen3-30b-a3b", "30.5", None, "3.4"),  # "30.5B in total and 3.3B activated", truncated by Qwen
    ],
)
def test_counts_are_those_that_publishers_give(
    published: dict[str, Parameters], name: str, total: str, active: str | None, with_embedding: str | None
) -> None:
    found = published[name]
    assert found.active is not None
    assert found.active_with_embedding is not None
    assert f"{found.total / 1e9:.1f}" == total
    assert active is None or f"{found.active / 1e9:.1f}" == active
    assert with_embedding is None or f"{found.active_with_embedding / 1e9:.1f}" == with_embedding


def test_counts_are_exact(published: dict[str, Parameters]) -> None:
    assert {name: (found.total, found.active) for name, found in published.items()} == {
        "gpt-oss-20b": (20_914_757_184, 3_608_307_264),
        "gpt-oss-120b": (116_829_156_672, 5_132_849_472),
        "mixtral-8x7b": (46_702_792_704, 12_748_853_248),
        "deepseek-v3": (671_026_419_200, 36_625_618_432),
        "qwen3-30b-a3b": (30_532_122_624, 3_041_867_776),
    }
    assert not any(found.notes for found in published.values())


@pytest.mark.parametrize("name", ["qwen3-30b-a3b"])  # test_models has the others
def test_transformers_builds_as_many_parameters_as_are_counted(published: dict[str, Parameters], name: str) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    config = json.loads(shapes.config(name))
    for section in ("quantization_config", "auto_map"):
        config.pop(section, None)
    native = transformers.CONFIG_MAPPING[config["model_type"]].from_dict(config)
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(native)
    assert published[name].total == sum(tensor.numel() for tensor in model.state_dict().values())


def test_prediction_layers_are_counted_apart(published: dict[str, Parameters]) -> None:
    # README_WEIGHTS.md of DeepSeek-V3: 11.5 B of its own, and copies of embedding and output head with 0.9 B each.
    own = published["deepseek-v3"].prediction - 2 * 129280 * 7168
    assert f"{own / 1e9:.1f}" == "11.6"
    qwen3_next = counted([("model.layers.0.w.weight", "BF16", (4, 4)), ("mtp.layers.0.w.weight", "BF16", (3, 3))])
    assert (qwen3_next.total, qwen3_next.prediction) == (16, 9)


def test_no_more_layers_are_counted_apart_than_the_configuration_announces() -> None:
    layers: list[Entry] = [(f"model.layers.{number}.w.weight", "BF16", (2, 2)) for number in range(10)]
    found = counted(layers, layers=5, prediction_layers=1)
    assert (found.total, found.prediction) == (36, 4)


def test_stored_bytes_are_summed_by_dtype(published: dict[str, Parameters]) -> None:
    assert published["gpt-oss-20b"].stored == (("BF16", 3_608_919_168), ("U8", 10_152_345_600))


EMBEDDING: Entry = ("model.embed_tokens.weight", "BF16", (10, 4))
HEAD: Entry = ("lm_head.weight", "BF16", (10, 4))
DENSE: Entry = ("model.layers.0.mlp.up_proj.weight", "BF16", (8, 4))


@pytest.mark.parametrize("tied", [True, None])
def test_a_tied_matrix_counts_once_and_as_the_head(tied: bool | None) -> None:
    found = counted([EMBEDDING, DENSE], tied_embeddings=tied)
    assert (found.total, found.active, found.embedding) == (72, 72, 0)


def test_a_tied_matrix_that_is_stored_twice_counts_once() -> None:
    table = shapes.records([EMBEDDING, HEAD, DENSE])
    same = tuple(
        type(tensor)(**{**vars(tensor), "blake3": "0" * 64}) if "layers" not in tensor.name else tensor
        for tensor in table
    )
    found = count(same, Architecture(tied_embeddings=True))
    assert (found.total, found.active, found.embedding) == (72, 72, 0)
    # Two matrices that differ are two, whatever the configuration says.
    assert count(table, Architecture(tied_embeddings=True)).total == 112


def test_an_embedding_of_its_own_is_not_active() -> None:
    found = counted([EMBEDDING, HEAD, DENSE], tied_embeddings=False)
    assert (found.total, found.active, found.active_with_embedding) == (112, 72, 112)


def test_an_encoder_without_a_head_has_no_active_embedding() -> None:
    assert counted([EMBEDDING, DENSE], tied_embeddings=False).active == 32


def test_other_modalities_are_part_of_the_total_only() -> None:
    tower: Entry = ("model.vision_tower.layers.0.mlp.up_proj.weight", "BF16", (5, 5))
    found = counted([DENSE, tower], tied_embeddings=False)
    assert (found.total, found.active, found.other_modalities) == (57, 32, 25)


EXPERTS: list[Entry] = [
    DENSE,
    ("model.layers.0.mlp.experts.gate_up_proj", "BF16", (4, 6, 5)),
    ("model.layers.0.mlp.shared_expert.up_proj.weight", "BF16", (3, 3)),
]


def test_shared_experts_are_always_active() -> None:
    found = counted(EXPERTS, experts=4, experts_per_token=1)
    assert (found.total, found.active) == (32 + 120 + 9, 32 + 30 + 9)


@pytest.mark.parametrize(
    "architecture",
    [
        {},
        {"experts": 4},
        {"experts_per_token": 1},
        {"experts": 0, "experts_per_token": 0},
        {"experts": 4, "experts_per_token": 5},
        {"experts": 7, "experts_per_token": 1},
    ],
)
def test_active_is_unknown_where_the_configuration_does_not_fit_the_experts(architecture: dict[str, int]) -> None:
    found = counted(EXPERTS, **architecture)
    assert found.active is None
    assert found.active_with_embedding is None
    assert found.notes[0].startswith("active parameters unknown")


MATRIX = (64, 96)  # output and input features of the one matrix that every packing below stores

PACKINGS: dict[str, tuple[list[Entry], int | None, str | None]] = {
    "MXFP4 as gpt-oss stores it": (
        [("w_blocks", "U8", (64, 3, 16)), ("w_scales", "U8", (64, 3))], None, "mxfp4 in uint8",
    ),
    "FP8 in blocks": ([("w.weight", "F8_E4M3", MATRIX), ("w.weight_scale_inv", "F32", (1, 1))], None, None),
    "FP8 of DeepSeek's own names": ([("w.weight", "F8_E4M3", MATRIX), ("w.scale", "F32", (1, 1))], None, None),
    "FP8 with scales of a key-value cache": (
        [
            ("a.k_proj.weight", "F8_E4M3", MATRIX), ("a.k_proj.weight_scale", "F32", ()), ("a.k_scale", "F32", ()),
            ("a.k_proj.k_scale", "F32", ()),
        ],
        None, None,
    ),
    "FP8 per channel": (
        [("w.weight", "F8_E4M3", MATRIX), ("w.weight_scale", "BF16", (64, 1)), ("w.input_scale", "F32", ())],
        None, None,
    ),
    "NVFP4 of modelopt": (
        [
            ("w.weight", "U8", (64, 48)), ("w.weight_scale", "F8_E4M3", (64, 6)), ("w.weight_scale_2", "F32", ()),
            ("w.input_scale", "F32", ()),
        ],
        None, "fp4 in uint8, groups of 16",
    ),
    "NVFP4 of compressed-tensors": (
        [
            ("w.weight_packed", "U8", (64, 48)), ("w.weight_scale", "F8_E4M3", (64, 6)),
            ("w.weight_global_scale", "F32", (1,)), ("w.input_global_scale", "F32", (1,)),
        ],
        None, "fp4 in uint8, groups of 16",
    ),
    "FP4 in int8": (
        [("w.weight", "I8", (64, 48)), ("w.scale", "F8_E8M0", (64, 3))], None, "fp4 in int8, groups of 32",
    ),
    "int4 of compressed-tensors": (
        [
            ("w.weight_packed", "I32", (64, 12)), ("w.weight_scale", "BF16", (64, 3)),
            ("w.weight_shape", "I32", (2,)), ("w.weight_zero_point", "I32", (8, 3)), ("w.weight_g_idx", "I32", (96,)),
        ],
        4, "int4 in int32",
    ),
    "int8 per channel": ([("w.weight", "I8", MATRIX), ("w.weight_scale", "F32", (64, 1))], None, None),
    "GPTQ, 4 bits": (
        [
            ("w.qweight", "I32", (12, 64)), ("w.qzeros", "I32", (3, 8)), ("w.scales", "F16", (3, 64)),
            ("w.g_idx", "I32", (96,)),
        ],
        None, "gptq in int32",
    ),
    "GPTQ, 3 bits, without an order": (
        [("w.qweight", "I32", (9, 64)), ("w.qzeros", "I32", (3, 6)), ("w.scales", "F16", (3, 64))],
        None, "gptq in int32",
    ),
    "AWQ": (
        [("w.qweight", "I32", (96, 8)), ("w.qzeros", "I32", (3, 8)), ("w.scales", "F16", (3, 64))],
        None, "awq in int32",
    ),
    "bitsandbytes nf4": (
        [
            ("w.weight", "U8", (3072, 1)), ("w.weight.absmax", "U8", (96,)), ("w.weight.quant_map", "F32", (16,)),
            ("w.weight.nested_absmax", "F32", (1,)), ("w.weight.nested_quant_map", "F32", (256,)),
            ("w.weight.quant_state.bitsandbytes__nf4", "U8", (120,)),
        ],
        None, "bitsandbytes 4 bit in uint8",
    ),
    "bitsandbytes int8": (
        [("w.weight", "I8", MATRIX), ("w.SCB", "F32", (64,)), ("w.weight_format", "U8", ())], None, None,
    ),
}  # fmt: skip


# What one weight is, where it is not what the tensor's dtype says.
LOGICAL = {
    "MXFP4 as gpt-oss stores it": "mxfp4",
    "NVFP4 of modelopt": "nvfp4",
    "NVFP4 of compressed-tensors": "nvfp4",
    "FP4 in int8": "mxfp4",
    "int4 of compressed-tensors": "int4",
    "int8 per channel": "int8",
    "GPTQ, 4 bits": "int4",
    "GPTQ, 3 bits, without an order": "int3",
    "AWQ": "int4",
    "bitsandbytes nf4": "nf4",
    "bitsandbytes int8": "int8",
}


@pytest.mark.parametrize("case", PACKINGS)
def test_every_packing_stands_for_the_same_matrix(case: str) -> None:
    entries, bits, packing = PACKINGS[case]
    named = [(f"model.layers.0.{name}", dtype, shape) for name, dtype, shape in entries]
    quantisation = Quantisation(method=None, format=None, bits=bits)
    found = counted(named, quantisation=quantisation)
    assert (found.total, found.notes) == (math.prod(MATRIX), ())
    assert found.packings == ((packing,) if packing else ())
    assert found.logical == ((LOGICAL.get(case, "fp8-e4m3"), math.prod(MATRIX)),)


@pytest.mark.parametrize(
    "entries",
    [
        [("w.weight_packed", "I32", MATRIX), ("w.weight_scale", "BF16", (64, 3))],  # no width in the configuration
        [("w_blocks", "U8", MATRIX), ("w_scales", "U8", (1, 1))],  # scales of another shape
        [("w.weight", "U8", MATRIX), ("w.weight_scale", "F8_E4M3", (64, 5))],  # no group size that exists
        [("w.qweight", "I32", MATRIX), ("w.scales", "F16", (3, 64))],  # columns of neither GPTQ nor AWQ
        [("w.qweight", "I32", MATRIX), ("w.scales", "F16", (64,))],  # scales without columns
        [("w.weight", "U32", MATRIX)],
    ],
)
def test_an_unknown_packing_is_counted_as_stored_with_a_note(entries: list[Entry]) -> None:
    found = counted(entries)
    assert found.total == math.prod(MATRIX)
    assert found.packings == ()
    assert len(found.notes) == 1
    assert sum(number for name, number in found.logical if name.startswith("unknown-in-")) >= math.prod(MATRIX) // 8
    assert min(name for name, _, _ in entries) in found.notes[0]


def test_a_name_alone_hides_no_weights() -> None:
    big: Entry = ("model.w.weight_scale", "F32", (1000, 1000))
    assert counted([big, ("model.w.weight", "F8_E4M3", (8, 8))]).total == 1_000_064
    assert counted([big, ("model.w.weight", "BF16", (2000, 2000))]).total == 5_000_000


def test_an_index_of_many_digits_is_no_layer() -> None:
    name = f"model.layers.{'9' * 5000}.w.weight"  # Python refuses to read so long a number
    assert counted([(name, "BF16", (2, 2))], layers=1, prediction_layers=1).prediction == 0


@pytest.mark.parametrize(
    ("dtype", "logical"),
    [
        ("F32", "float32"),
        ("F16", "float16"),
        ("BF16", "bfloat16"),
        ("F8_E5M2", "fp8-e5m2"),
        ("I64", "int64"),
        ("BOOL", "bool"),
    ],
)
def test_what_is_not_packed_is_what_its_dtype_says(dtype: str, logical: str) -> None:
    found = counted([("model.layers.0.w", dtype, (8,))])
    assert (found.dtypes, found.logical) == (((dtype, 8),), ((logical, 8),))


def test_a_tied_matrix_of_which_only_the_headers_were_read_counts_once_with_a_note() -> None:
    table = tuple(replace(tensor, blake3="") for tensor in shapes.records([EMBEDDING, HEAD, DENSE]))
    found = count(table, Architecture(tied_embeddings=True))
    assert found.total == 72
    assert found.notes == (
        "embedding and output head are counted once, as the configuration says; their bytes were not read",
    )
    assert count(table, Architecture(tied_embeddings=False)).total == 112


def test_no_tensors_are_no_parameters() -> None:
    found = counted([])
    assert (found.total, found.active, found.stored, found.notes) == (0, 0, (), ())
