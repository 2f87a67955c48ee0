import json
import random
from collections.abc import Iterable
from copy import deepcopy
from dataclasses import replace

import pytest
import shapes
from shapes import Entry

from mbom.digest import sha256
from mbom.facts.architecture import Architecture, Quantisation
from mbom.facts.cache import Cache
from mbom.facts.card import Licence
from mbom.facts.classdefaults import SOURCE
from mbom.facts.reading import Facts, read_facts
from mbom.facts.rope import Rope
from mbom.facts.templates import ChatTemplate
from mbom.inventory.record import Finding

CARD = b"---\nlicense: apache-2.0\n---\n"
LAYERS: list[Entry] = [(f"model.layers.{n}.mlp.up_proj.weight", "BF16", (4, 4)) for n in range(3)]


def facts_of(
    entries: Iterable[Entry] = (), config: bytes | None = b"{}", **side: bytes
) -> tuple[Facts, tuple[Finding, ...]]:
    """Read facts; side files are named with ``__`` for a dot."""
    files = {name.replace("__", "."): data for name, data in side.items()}
    files.setdefault("README.md", CARD)
    if config is not None:
        files["config.json"] = config
    return read_facts(shapes.inventory(entries), files)


def ids(findings: Iterable[Finding]) -> list[tuple[str, str, str]]:
    return [(finding.id, finding.severity, finding.path) for finding in findings]


LAYER_KINDS = "architecture:layer-kinds"
LEFT_OUT = "as the configuration leaves it out"
GPT_OSS_20B = Architecture(
    model_type="gpt_oss",
    architectures=("GptOssForCausalLM",),
    layers=24,
    hidden=2880,
    intermediate=2880,
    heads=64,
    kv_heads=8,
    head_size=64,
    experts=32,
    experts_per_token=4,
    context_length=131072,
    vocabulary=201088,
    sliding_window=128,
    rope=(Rope(type="yarn", factor=32.0),),
    cache=Cache(kinds=("windowed", "full") * 12, elements=1024, formula="2 x key-value heads x head size", window=128),
    tied_embeddings=False,
    quantisation=Quantisation(method="mxfp4", format=None, bits=None),
    assumed={LAYER_KINDS: f"{LAYER_KINDS}: sliding_window_pattern of gpt_oss in {SOURCE}, {LEFT_OUT}"},
)
ARCHITECTURES = {
    "gpt-oss-20b": GPT_OSS_20B,
    "gpt-oss-120b": replace(
        GPT_OSS_20B, layers=36, experts=128, cache=replace(GPT_OSS_20B.cache, kinds=("windowed", "full") * 18)
    ),
    "mixtral-8x7b": Architecture(
        model_type="mixtral",
        architectures=("MixtralForCausalLM",),
        layers=32,
        hidden=4096,
        intermediate=14336,
        heads=32,
        kv_heads=8,
        experts=8,
        experts_per_token=2,
        context_length=32768,
        vocabulary=32000,
        rope=(Rope(theta=1e6),),
        cache=Cache(
            kinds=("full",) * 32, elements=2048, formula="2 x key-value heads x head size (hidden size / heads)"
        ),
        dtype="bfloat16",
        tied_embeddings=False,
    ),
    "deepseek-v3": Architecture(
        model_type="deepseek_v3",
        architectures=("DeepseekV3ForCausalLM",),
        layers=61,
        prediction_layers=1,
        hidden=7168,
        heads=128,
        kv_heads=128,
        experts=256,
        experts_per_token=8,
        shared_experts=1,
        # This configuration leaves out the ranks of latent attention, so heads and their size are all that it gives.
        cache=Cache(
            kinds=("full",) * 61, elements=14336, formula="2 x key-value heads x head size (hidden size / heads)"
        ),
        context_length=163840,
        vocabulary=129280,
        dtype="bfloat16",
        tied_embeddings=False,
        quantisation=Quantisation(method="fp8", format=None, bits=None),
        remote_code=(
            "config.json: AutoConfig = configuration_deepseek.DeepseekV3Config",
            "config.json: AutoModelForCausalLM = modeling_deepseek.DeepseekV3ForCausalLM",
        ),
    ),
    "qwen3-30b-a3b": Architecture(
        model_type="qwen3_moe",
        architectures=("Qwen3MoeForCausalLM",),
        layers=48,
        hidden=2048,
        heads=32,
        kv_heads=4,
        head_size=128,
        experts=128,
        experts_per_token=8,
        expert_intermediate=768,
        cache=Cache(kinds=("full",) * 48, elements=1024, formula="2 x key-value heads x head size"),
        context_length=40960,
        vocabulary=151936,
        dtype="bfloat16",
        tied_embeddings=False,
    ),
}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_published_configurations_are_read_in_full(name: str) -> None:
    facts, findings = facts_of(config=shapes.config(name))
    assert facts.architecture == ARCHITECTURES[name]
    assert facts.model_type == ARCHITECTURES[name].model_type
    # The code that DeepSeek publishes is not among the files here.
    assert {finding.id for finding in findings} == ({"remote-code-missing"} if facts.remote_code else set())


def test_a_composite_configuration_gives_the_language_model_under_the_outer_type() -> None:
    config = {
        "model_type": "llama4",
        "architectures": ["Llama4ForConditionalGeneration"],
        "torch_dtype": "bfloat16",
        "hidden_size": 1,
        "text_config": {
            "model_type": "llama4_text",
            "num_hidden_layers": 48,
            "hidden_size": 5120,
            "num_local_experts": 16,
        },
        "vision_config": {"num_hidden_layers": 34, "hidden_size": 1408},
    }
    facts, findings = facts_of(config=json.dumps(config).encode())
    assert findings == ()
    assert facts.architecture == Architecture(
        model_type="llama4",
        architectures=("Llama4ForConditionalGeneration",),
        layers=48,
        hidden=5120,
        modalities=("image", "text"),
        experts=16,
        cache=Cache(kinds=("full",) * 48),
        dtype="bfloat16",
    )


def test_a_window_that_is_switched_off_is_none() -> None:
    config = b'{"sliding_window": 4096, "use_sliding_window": false}'
    assert facts_of(config=config)[0].architecture.sliding_window is None
    assert facts_of(config=b'{"sliding_window": 4096}')[0].architecture.sliding_window == 4096


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ({"quant_method": "gptq", "bits": 4}, Quantisation(method="gptq", format=None, bits=4)),
        (
            {
                "quant_method": "compressed-tensors",
                "format": "pack-quantized",
                "config_groups": {"group_0": {"targets": ["Linear"], "weights": {"num_bits": 4, "group_size": 32}}},
            },
            Quantisation(method="compressed-tensors", format="pack-quantized", bits=4),
        ),
        (
            {"config_groups": {"a": {"weights": {"num_bits": 4}}, "b": {"weights": {"num_bits": 8}}}},
            Quantisation(method=None, format=None, bits=None),
        ),
        ({}, Quantisation(method=None, format=None, bits=None)),
    ],
)
def test_the_width_of_a_weight_is_read_where_one_holds_for_all(section: object, expected: Quantisation) -> None:
    facts, findings = facts_of(config=json.dumps({"quantization_config": section}).encode())
    assert facts.architecture.quantisation == expected
    assert findings == ()


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b"3", b'{"a": 1, "a": 2}', b"\xff", b'{"a": NaN}', b'{"a": "\\ud800"}', b"[" * 100_000],
)
def test_a_config_that_is_no_json_object_is_an_error_and_costs_no_other_fact(data: bytes) -> None:
    facts, findings = facts_of(LAYERS, config=data)
    assert ids(findings) == [("config-malformed", "error", "config.json")]
    assert facts.architecture == Architecture()
    assert facts.licence == Licence(ids=("apache-2.0",))
    assert facts.parameters.total == 48


def test_a_missing_config_is_a_warning() -> None:
    assert ids(facts_of(LAYERS, config=None)[1]) == [("config-missing", "warning", "config.json")]


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("num_hidden_layers", "24"),
        ("num_hidden_layers", True),
        ("num_hidden_layers", 24.0),
        ("num_hidden_layers", -1),
        ("num_attention_heads", [8, 8]),
        ("tie_word_embeddings", 0),
        ("use_sliding_window", "no"),
        ("architectures", "GptOssForCausalLM"),
        ("architectures", [1]),
        ("architectures", ["A"] * 65),
        ("model_type", {}),
        ("model_type", ""),
        ("model_type", "x" * 257),
        ("model_type", "gpt\u202eoss"),
        ("dtype", "\x1b[31m"),
        ("quantization_config", []),
        ("quant_method", None),
        ("auto_map", "x"),
        ("auto_map", {"AutoConfig": 1}),
        ("auto_map", {"AutoTokenizer": ["a.A", "b.B", "c.C"]}),
        ("auto_map", {f"Auto{n}": "a.A" for n in range(65)}),
    ],
)
def test_a_member_of_a_wrong_type_is_a_warning_and_costs_no_other(member: str, value: object) -> None:
    config = {"hidden_size": 64, "vocab_size": 100, member: value}
    if member == "quant_method":
        config = {"hidden_size": 64, "vocab_size": 100, "quantization_config": {"quant_method": 7}}
    facts, findings = facts_of(config=json.dumps(config).encode())
    assert ids(findings) == [("config-field", "warning", "config.json")]
    assert findings[0].detail.startswith(f"{member} is not ")
    assert (facts.architecture.hidden, facts.architecture.vocabulary) == (64, 100)
    blank = Architecture(hidden=64, vocabulary=100)
    assert facts.architecture in (blank, Architecture(**{**vars(blank), "quantisation": Quantisation(
        method=None, format=None, bits=None)}))  # fmt: skip


@pytest.mark.parametrize(
    ("layers", "prediction", "differs"),
    [(3, None, False), (2, 1, False), (3, 1, False), (2, None, True), (4, None, True)],
)
def test_layers_of_the_config_are_compared_with_the_headers(
    layers: int, prediction: int | None, *, differs: bool
) -> None:
    config = {"num_hidden_layers": layers, "num_nextn_predict_layers": prediction}
    findings = facts_of(LAYERS, config=json.dumps(config).encode())[1]
    assert ids(findings) == ([("config-layers-differ", "warning", "config.json")] if differs else [])
    if differs:
        assert findings[0].detail == f"config.json says {layers} layers, the tensors have 3 under model.layers"


def test_a_gap_in_the_layers_differs() -> None:
    assert ids(facts_of([LAYERS[0], LAYERS[2]], config=b'{"num_hidden_layers": 2}')[1]) == [
        ("config-layers-differ", "warning", "config.json")
    ]


def test_a_vision_tower_beside_the_language_model_does_not_disturb() -> None:
    tower: Entry = ("model.vision_tower.layers.7.weight", "BF16", (2, 2))
    assert facts_of([*LAYERS, tower], config=b'{"num_hidden_layers": 3}')[1] == ()


def test_chat_templates_are_digested_wherever_they_are() -> None:
    text = "{{ messages[0]['content'] }} é"
    named = [{"name": "default", "template": text}, {"name": "tool_use", "template": "x"}]
    facts, findings = facts_of(
        chat_template__jinja=b"A", tokenizer_config__json=json.dumps({"chat_template": named}).encode()
    )
    assert findings == ()
    assert facts.chat_templates == (
        ChatTemplate(file="chat_template.jinja", name="default", sha256=sha256(b"A")),
        ChatTemplate(file="tokenizer_config.json", name="default", sha256=sha256(text.encode())),
        ChatTemplate(file="tokenizer_config.json", name="tool_use", sha256=sha256(b"x")),
    )
    facts, _ = facts_of(chat_template__json=b'{"chat_template": "B"}', tokenizer_config__json=b'{"chat_template": "C"}')
    assert [(template.file, template.sha256) for template in facts.chat_templates] == [
        ("chat_template.json", sha256(b"B")),
        ("tokenizer_config.json", sha256(b"C")),
    ]


@pytest.mark.parametrize(
    "template", [7, {}, [{}], [{"name": 1, "template": "x"}], [{"name": "x"}], ["x"], [{"name": "\n", "template": "x"}],
                 [{"name": f"t{n}", "template": "x"} for n in range(65)]]
)  # fmt: skip
def test_a_chat_template_of_a_wrong_type_is_a_warning(template: object) -> None:
    facts, findings = facts_of(tokenizer_config__json=json.dumps({"chat_template": template}).encode())
    assert ids(findings) == [("config-field", "warning", "tokenizer_config.json")]
    assert facts.chat_templates == ()


def test_the_tokenizer_config_that_transformers_writes_is_read() -> None:
    config = b'{"model_max_length": 1000000000000000019884624838656, "chat_template": "x", "auto_map": ' + json.dumps(
        {"AutoTokenizer": ["tokenization_kimi.TikTokenTokenizer", None]}
    ).encode() + b"}"  # fmt: skip
    facts, findings = facts_of(tokenizer_config__json=config)
    assert {finding.id for finding in findings} == {"remote-code-missing"}
    assert facts.remote_code == ("tokenizer_config.json: AutoTokenizer = tokenization_kimi.TikTokenTokenizer",)


def test_a_broken_tokenizer_config_costs_its_own_facts_only() -> None:
    facts, findings = facts_of(LAYERS, chat_template__jinja=b"A", tokenizer_config__json=b"{")
    assert ids(findings) == [("config-malformed", "error", "tokenizer_config.json")]
    assert len(facts.chat_templates) == 1
    assert facts.parameters.total == 48


def test_facts_do_not_depend_on_the_order_of_files() -> None:
    side = {"config.json": shapes.config("mixtral-8x7b"), "README.md": CARD, "chat_template.jinja": b"A",
            "tokenizer_config.json": b'{"chat_template": "C"}'}  # fmt: skip
    held = shapes.inventory(LAYERS)
    assert read_facts(held, side) == read_facts(held, dict(reversed(side.items())))


def test_mutated_configurations_end_in_facts_and_findings() -> None:
    chance = random.Random(1)
    held = shapes.inventory(LAYERS)
    seen: set[str] = set()
    values: list[object] = [
        None,
        True,
        -1,
        0,
        3,
        1.5,
        10**25,
        "",
        "x",
        [],
        ["x"],
        {},
        {"weights": {"num_bits": "x"}},
        [[]],
    ]
    for _ in range(1500):
        name = chance.choice(sorted(shapes.CONFIGS))
        config = {**shapes.CONFIGS[name], "text_config": None, "quantization_config": {"config_groups": {"g": {}}}}
        for _ in range(chance.randrange(1, 6)):
            place = chance.choice([config, config["quantization_config"]])
            if isinstance(place, dict):
                place[chance.choice([*sorted(config), "bits", "config_groups"])] = deepcopy(chance.choice(values))
        facts, findings = read_facts(held, {"config.json": json.dumps(config).encode(), "README.md": CARD})
        assert facts.parameters.total + facts.parameters.prediction == 48
        seen.update(finding.id for finding in findings)
    assert seen == {"config-field", "config-layers-differ", "config-sizes-differ", "remote-code-missing"}
