"""The facts of every model in ``fixtures/models``, against what its publisher states and what its shapes add up to."""

import json
from dataclasses import dataclass

import boms
import pytest

from mbom.facts.cache import FULL, NONE, RECURRENT, WINDOWED


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What is known of a model.

    ``stated`` are total and active parameters in billions with the digits that the publisher gives, each with the
    count that it is: ``active``, or ``with embedding``. ``cache`` is bytes of one token, of a later one beyond the
    windows, and of one sequence of the full context, worked out by hand.
    """

    total: int
    active: int
    embedding: int
    stated: tuple[str, str, str]
    prediction: int = 0
    blocks: dict[str, int]
    logical: dict[str, int]
    layers: dict[str, int]
    cache: tuple[int, int, int]
    smallest: str
    context: int
    rope: tuple[tuple[str, str | None, float | None, float | None, int | None], ...]
    window: int | None = None
    modalities: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()
    licence: str
    base_models: tuple[str, ...] = ()
    pipeline: str | None = None
    shared_experts: int | None = None
    remote_code: int = 0


DEEPSEEK = Expected(
    total=671_026_419_200, active=36_625_618_432, embedding=926_679_040, stated=("671", "37", "active"),
    prediction=13_463_426_304,
    blocks={
        "embedding": 926_679_040, "attention": 11_413_422_080, "feed-forward": 1_189_085_184,
        "experts": 653_908_770_816, "shared-experts": 2_554_331_136, "router": 106_445_312, "head": 926_679_040,
        "norms": 1_006_592,
    },
    logical={"bfloat16": 1_960_795_136, "float32": 14_848, "fp8-e4m3": 669_065_609_216},
    layers={FULL: 61},
    # 61 layers x (512 + 64) x 2 bytes; x 163,840
    cache=(70_272, 70_272, 11_513_364_480), smallest="8 x 141 GB (NVIDIA H200)",
    context=163_840, rope=(("", "yarn", 1e4, 40.0, 4096),), licence="none declared",
    shared_experts=1, remote_code=3,
)  # fmt: skip

MODELS: dict[str, Expected] = {
    # gpt-oss model card, table 1: 20.91 B total, 3.61 B active; 116.83 B and 5.13 B. The output head counts as active.
    "gpt-oss-20b": Expected(
        total=20_914_757_184, active=3_608_307_264, embedding=579_133_440, stated=("20.91", "3.61", "active"),
        blocks={
            "embedding": 579_133_440, "attention": 637_203_456, "experts": 19_116_933_120, "router": 2_212_608,
            "head": 579_133_440, "norms": 141_120,
        },
        logical={"bfloat16": 1_804_459_584, "mxfp4": 19_110_297_600},
        layers={FULL: 12, WINDOWED: 12},
        # 24 layers x 2 x 8 heads x 64 x 2 bytes; 12 of them x (131,072 + 128)
        cache=(49_152, 24_576, 3_224_371_200), smallest="1 x 24 GB (NVIDIA L4, GeForce RTX 4090)",
        context=131_072, rope=(("", "yarn", 150_000.0, 32.0, 4096),), window=128,
        licence="apache-2.0", pipeline="text-generation",
    ),
    "gpt-oss-120b": Expected(
        total=116_829_156_672, active=5_132_849_472, embedding=579_133_440, stated=("116.83", "5.13", "active"),
        blocks={
            "embedding": 579_133_440, "attention": 955_805_184, "experts": 114_701_598_720, "router": 13_275_648,
            "head": 579_133_440, "norms": 210_240,
        },
        logical={"bfloat16": 2_167_371_072, "mxfp4": 114_661_785_600},
        layers={FULL: 18, WINDOWED: 18},
        cache=(73_728, 36_864, 4_836_556_800), smallest="1 x 80 GB (NVIDIA A100, H100)",
        context=131_072, rope=(("", "yarn", 150_000.0, 32.0, 4096),), window=128,
        licence="apache-2.0", pipeline="text-generation",
    ),
    "deepseek-v3": DEEPSEEK,
    "deepseek-r1": Expected(**{**vars(DEEPSEEK), "licence": "mit"}),
    # GLM-5's card: "744B parameters (40B active)", truncated.
    "glm-5": Expected(
        total=743_911_218_432, active=40_833_146_112, embedding=951_582_720, stated=("744", "40", "active, truncated"),
        prediction=9_952_920_576,
        blocks={
            "embedding": 951_582_720, "attention": 13_602_521_088, "feed-forward": 679_477_248,
            "experts": 724_775_731_200, "shared-experts": 2_831_155_200, "router": 117_984_000, "head": 951_582_720,
            "norms": 1_184_256,
        },
        logical={"bfloat16": 743_911_199_232, "float32": 19_200},
        layers={FULL: 78},
        # 78 layers x (512 + 64 + 128 of the indexer) x 2 bytes; x 202,752
        cache=(109_824, 109_824, 22_267_035_648), smallest="more than 8 x 192 GB",
        context=202_752, rope=(("", "default", 1e6, None, None),),
        licence="mit", pipeline="text-generation", shared_experts=1,
    ),
    # Qwen's card: "397B in total and 17B activated", which counts the embedding.
    "qwen3.5-397b-a17b": Expected(
        total=396_802_360_816, active=16_331_922_176, embedding=1_017_118_720, stated=("397", "17", "with embedding"),
        prediction=6_595_568_128,
        blocks={
            "embedding": 1_017_118_720, "attention": 1_572_864_000, "state-space": 5_310_633_600,
            "experts": 386_547_056_640, "shared-experts": 755_220_480, "router": 125_829_120, "head": 1_017_118_720,
            "norms": 509_056, "other-modalities": 456_010_480,
        },
        logical={"bfloat16": 396_802_360_816},
        layers={FULL: 15, RECURRENT: 45},
        # 15 layers x 2 x 2 heads x 256 x 2 bytes; x 262,144, and 45 states of 64 x 128 x 128 in 4 bytes with
        # 3 inputs of 12,288 channels in 2
        cache=(30_720, 30_720, 30_720 * 262_144 + 45 * (64 * 128 * 128 * 4 + 3 * 12_288 * 2)),
        smallest="8 x 141 GB (NVIDIA H200)",
        context=262_144, rope=(("", "default", 1e7, None, None),), modalities=("image", "video", "text"),
        licence="apache-2.0", pipeline="image-text-to-text",
    ),
    # Meta: 109B total, 17B activated, which counts the embedding.
    "llama-4-scout": Expected(
        total=108_641_793_536, active=16_138_408_960, embedding=1_034_485_760, stated=("109", "17", "with embedding"),
        blocks={
            "embedding": 1_034_485_760, "attention": 3_019_898_880, "experts": 96_636_764_160,
            "shared-experts": 6_039_797_760, "router": 3_932_160, "head": 1_034_485_760, "norms": 496_640,
            "other-modalities": 871_932_416,
        },
        logical={"bfloat16": 108_641_793_536},
        layers={FULL: 12, WINDOWED: 36},
        # 48 layers x 2 x 8 heads x 128 x 2 bytes; 12 x 10,485,760 and 36 x 8,192 tokens
        cache=(196_608, 49_152, 516_604_035_072), smallest="8 x 141 GB (NVIDIA H200)",
        context=10_485_760, rope=(("", "llama3", 500_000.0, 16.0, 8192),), modalities=("image", "text"),
        assumed=("architecture:layer-kinds",),
        licence="llama4", base_models=("meta-llama/Llama-4-Scout-17B-16E",),
    ),
    # NVIDIA's report: 31.6B total, 3.2B active, 3.6B with embeddings.
    "nemotron-3-nano": Expected(
        total=31_577_940_288, active=3_227_754_816, embedding=352_321_536, stated=("31.6", "3.2", "active"),
        blocks={
            "embedding": 352_321_536, "attention": 140_378_112, "state-space": 890_976_576, "experts": 29_374_808_064,
            "shared-experts": 458_981_376, "router": 7_916_416, "head": 352_321_536, "norms": 236_672,
        },
        logical={"bfloat16": 31_577_937_344, "float32": 2944},
        layers={FULL: 6, RECURRENT: 23, NONE: 23},
        # 6 layers x 2 x 2 heads x 128 x 2 bytes; x 262,144, and 23 states of 64 x 64 x 128 with 3 inputs of 6,144
        cache=(6144, 6144, 6144 * 262_144 + 23 * (64 * 64 * 128 * 4 + 3 * 6144 * 2)),
        smallest="1 x 80 GB (NVIDIA A100, H100)",
        context=262_144, rope=(("", None, 1e4, None, None),),
        licence="nvidia-open-model-license", pipeline="text-generation", shared_experts=1,
        remote_code=2,
    ),
    # mistral.ai/news/mixtral-of-experts: 46.7B total, 12.9B per token, which counts the embedding.
    "mixtral-8x7b": Expected(
        total=46_702_792_704, active=12_748_853_248, embedding=131_072_000, stated=("46.7", "12.9", "with embedding"),
        blocks={
            "embedding": 131_072_000, "attention": 1_342_177_280, "experts": 45_097_156_608, "router": 1_048_576,
            "head": 131_072_000, "norms": 266_240,
        },
        logical={"bfloat16": 46_702_792_704},
        layers={FULL: 32},
        # 32 layers x 2 x 8 heads x (4,096 / 32) x 2 bytes; x 32,768
        cache=(131_072, 131_072, 4_294_967_296), smallest="4 x 32 GB (GeForce RTX 5090)",
        context=32_768, rope=(("", None, 1e6, None, None),), licence="apache-2.0",
    ),
    "gemma-3-27b-it": Expected(
        total=27_432_406_640, active=27_009_346_304, embedding=0, stated=("27", "27", "active"),
        blocks={
            "attention": 4_095_737_856, "feed-forward": 21_502_623_744, "head": 1_409_630_208, "norms": 1_354_496,
            "other-modalities": 423_060_336,
        },
        logical={"bfloat16": 27_432_406_640},
        layers={FULL: 10, WINDOWED: 52},
        # 62 layers x 2 x 16 heads x 128 x 2 bytes; 10 x 131,072 and 52 x 1,024 tokens
        cache=(507_904, 81_920, 11_173_625_856), smallest="1 x 80 GB (NVIDIA A100, H100)",
        context=131_072,
        rope=(("", "linear", 1e6, 8.0, None), ("sliding_attention", "default", 1e4, None, None)), window=1024,
        modalities=("image", "text"),
        assumed=(
            "architecture:context-length", "architecture:layer-kinds", "architecture:rope:sliding_attention:theta",
            "architecture:rope:theta", "architecture:tied-embeddings", "architecture:vocabulary",
        ),
        licence="gemma", base_models=("google/gemma-3-27b-pt",), pipeline="image-text-to-text",
    ),
}  # fmt: skip


def test_every_fixture_is_in_the_table() -> None:
    assert sorted(MODELS) == sorted(boms.REPOSITORIES) == sorted(boms.TEXTS)


@pytest.mark.parametrize("name", MODELS)
def test_parameters_are_exact_by_block_and_by_type(name: str) -> None:
    found, expected = boms.of(name).facts.parameters, MODELS[name]
    assert (found.total, found.active, found.embedding) == (expected.total, expected.active, expected.embedding)
    assert found.prediction == expected.prediction
    assert dict(found.blocks) == expected.blocks
    assert dict(found.logical) == expected.logical
    assert sum(expected.blocks.values()) == sum(expected.logical.values()) == expected.total
    assert sum(number for _, number in found.dtypes) == expected.total
    assert found.notes == ()


@pytest.mark.parametrize("name", MODELS)
def test_parameters_are_those_that_the_publisher_states(name: str) -> None:
    found = boms.of(name).facts.parameters
    total, active, counted = MODELS[name].stated
    assert rounded(found.total, total) == total
    if counted == "active, truncated":
        assert str(int((found.active or 0) / 1e9)) == active
    else:
        number = found.active_with_embedding if counted == "with embedding" else found.active
        assert rounded(number or 0, active) == active


def rounded(number: int, like: str) -> str:
    """Return a number in billions with as many digits as another one has."""
    return f"{number / 1e9:.{len(like.partition('.')[2])}f}"


@pytest.mark.parametrize("name", MODELS)
def test_architecture_is_read_in_full(name: str) -> None:
    facts, expected = boms.of(name).facts, MODELS[name]
    found = facts.architecture
    ropes = tuple((r.layers, r.type, r.theta, r.factor, r.original_context) for r in found.rope)
    assert {kind: found.cache.number(kind) for kind in set(found.cache.kinds or ())} == expected.layers
    assert sum(expected.layers.values()) == found.layers
    assert (found.context_length, found.sliding_window, ropes) == (expected.context, expected.window, expected.rope)
    assert (found.modalities, found.shared_experts) == (expected.modalities, expected.shared_experts)
    assert tuple(found.assumed) == expected.assumed
    assert len(facts.remote_code) == expected.remote_code


@pytest.mark.parametrize("name", MODELS)
def test_memory_is_what_the_formula_gives_by_hand(name: str) -> None:
    found, expected = boms.of(name).facts.footprint, MODELS[name]
    assert (found.token, found.later_token, found.sequence) == expected.cache
    assert found.smallest == expected.smallest
    assert found.notes == ()


@pytest.mark.parametrize("name", MODELS)
def test_the_card_says_what_its_publisher_declares(name: str) -> None:
    card, expected = boms.of(name).facts.card, MODELS[name]
    assert (card.licence.label if card.licence else "none declared") == expected.licence
    assert (card.base_models, card.pipeline_tag) == (expected.base_models, expected.pipeline)


@pytest.mark.parametrize("name", MODELS)
def test_transformers_builds_as_many_parameters_as_are_counted(name: str) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    config = json.loads(boms.of(name).side["config.json"])
    for section in ("quantization_config", "auto_map"):
        config.pop(section, None)
    native = transformers.CONFIG_MAPPING[config["model_type"]].from_dict(config)
    with torch.device("meta"):
        model = getattr(transformers, config["architectures"][0])(native)
    tied = {"lm_head.weight"} if boms.of(name).facts.architecture.tied_embeddings else set()
    held = {key: tensor.numel() for key, tensor in model.state_dict().items() if key not in tied}
    assert boms.of(name).facts.parameters.total == sum(held.values())
