import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tinymodels
import torch
import transformers
from streamed import stream

from mbom import engine
from mbom.engine import attention, stock
from mbom.errors import EngineError, FormatError, MbomError
from mbom.strictjson import Json

IDS = torch.tensor([[5, 6, 7]])
CPU = torch.device("cpu")


def test_transformers_is_the_version_that_the_adapter_was_written_against() -> None:
    assert transformers.__version__ == stock.VERSION == engine.TRANSFORMERS


def test_every_family_of_the_table_is_tested_against_a_full_load() -> None:
    assert set(tinymodels.FAMILIES) == stock.FAMILIES


def composite(model_type: str = "gemma3", *, text: Json = None, **changes: Json) -> dict[str, Any]:
    inner = {**tinymodels.GEMMA3, "final_logit_softcapping": None}
    return {"model_type": model_type, "text_config": inner | text if isinstance(text, dict) else inner, **changes}


def config(**changes: Json) -> dict[str, Any]:
    return {"model_type": "llama", **tinymodels.COMMON, **changes}


UNUSABLE: dict[str, tuple[dict[str, Any], type[MbomError], str]] = {
    "a type outside the table": (config(model_type="bert"), EngineError, "model type 'bert' cannot be measured"),
    "no type": (config(model_type=None), EngineError, "model type None"),
    "a type that is a list": (config(model_type=["llama"]), EngineError, "cannot be measured"),
    "a billion layers": (config(num_hidden_layers=10**9), FormatError, "num_hidden_layers is 1000000000"),
    "no layers": (config(num_hidden_layers=0), FormatError, "num_hidden_layers is 0"),
    "layers in words": (config(num_hidden_layers="3"), FormatError, "num_hidden_layers is '3'"),
    "more layers listed than there are tensors": (
        config(model_type="nemotron_h", layers_block_type=["moe"] * 101), FormatError, "layers_block_type names 101",
    ),
    "a long pattern of layers": (
        config(model_type="nemotron_h", hybrid_override_pattern="M" * 10**6, num_hidden_layers=None), FormatError,
        "hybrid_override_pattern names 1000000 layers",
    ),
    "a pattern of no layers": (
        config(model_type="nemotron_h", hybrid_override_pattern=""), FormatError, "names 0 layers",
    ),
    "layers neither counted nor listed": (config(num_hidden_layers=None), FormatError, "num_hidden_layers is None"),
    "a kind of layer that is not known": (
        config(model_type="nemotron_h", hybrid_override_pattern="MX"), FormatError, "no nemotron_h model can be built",
    ),
    "another head": (
        config(architectures=["LlamaForSequenceClassification"]), EngineError, "only LlamaForCausalLM is measured",
    ),
    "a composite without a text model": (
        composite(text_config=None), FormatError, "text_config is None; an object is allowed",
    ),
    "a composite with a text model of another family": (
        composite(text={"model_type": "llama"}), EngineError, "a gemma3 with the text model 'llama' cannot be measured",
    ),
    "a composite of a billion layers": (
        composite(text={"num_hidden_layers": 10**9}), FormatError, "num_hidden_layers is 1000000000",
    ),
    "a composite for another task": (
        composite(architectures=["Gemma3ForSequenceClassification"]), EngineError,
        "only Gemma3ForCausalLM or Gemma3ForConditionalGeneration is measured",
    ),
    "a cap that the composite class ignores": (
        composite(text={"final_logit_softcapping": 30.0}), EngineError, "final_logit_softcapping is 30.0",
    ),
    "a model that looks ahead": (
        composite(text={"use_bidirectional_attention": True}), EngineError, "use_bidirectional_attention is True",
    ),
    "logits that are squeezed": (config(final_logit_softcapping=30.0), EngineError, "final_logit_softcapping is 30.0"),
    "logits that are scaled": (config(logit_scale=0.5), EngineError, "logit_scale is 0.5"),
    "a size in words": (config(hidden_size="64"), FormatError, "no llama model can be built from it: .*hidden_size"),
    "no heads": (config(num_attention_heads=0), FormatError, "no llama model can be built"),
    "an unknown activation": (config(hidden_act="import os"), FormatError, "no llama model can be built"),
    "an unknown rotary embedding": (
        config(rope_scaling={"rope_type": "magic"}), FormatError, "no llama model can be built",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", UNUSABLE)
def test_a_configuration_that_cannot_be_measured_is_named(case: str) -> None:
    raw, error, message = UNUSABLE[case]
    with pytest.raises(error, match=message):
        stock.build(raw, tensors=100, device=CPU)


def test_a_type_that_cannot_be_measured_comes_with_what_to_do() -> None:
    with pytest.raises(EngineError, match=r"'bert' cannot be measured; .* is attested with --no-behaviour") as caught:
        stock.build(config(model_type="bert"), tensors=100, device=CPU)
    assert caught.value.exit_code == 3


def test_installed_kernels_that_compute_in_narrow_floats_are_never_taken(tmp_path: Path) -> None:
    for package in ("fla", "causal_conv1d"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("import sys\nsys.taken = True\n")
    look = "import sys, {}transformers.models.qwen3_next.modeling_qwen3_next; print(hasattr(sys, 'taken'))"
    path = os.pathsep.join([str(tmp_path), *sys.path])
    for first, taken in (("", "True"), ("mbom.engine.stock, ", "False")):
        command = [sys.executable, "-c", look.format(first)]
        found = subprocess.run(
            command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=True
        )
        assert found.stdout.strip() == taken


def test_a_composite_leaves_out_what_its_class_has_by_default() -> None:
    raw = composite()
    for name in ("vocab_size", "num_hidden_layers", "layer_types"):
        del raw["text_config"][name]
    built = stock.build(raw, tensors=100, device=CPU)
    assert (built.vocabulary, len(built.layers), built.tied) == (262208, 26, True)


@pytest.mark.parametrize(("outer", "inner"), [(True, False), (False, True)])
def test_the_whole_says_whether_embedding_and_head_are_one(outer: bool, inner: bool) -> None:
    raw = composite(text={"tie_word_embeddings": inner}, tie_word_embeddings=outer)
    assert stock.build(raw, tensors=100, device=CPU).tied == outer


def test_the_experts_of_llama4_take_no_memory_unread() -> None:
    raw: dict[str, Any] = {"model_type": "llama4_text", **tinymodels.LLAMA4, "num_local_experts": 1 << 20}
    built = stock.build(raw, tensors=100, device=CPU)  # 2**20 experts of 64 x 64 numbers would take 32 GiB a layer
    assert max(value.untyped_storage().nbytes() for value in built.model.parameters()) == 8


STRAYS: dict[str, tuple[str, str]] = {
    "a bias in a layer that has none": ("llama4_text", "model.layers.1.self_attn.q_proj.extra_bias"),
    "a bias in a layer of a composite": ("mistral3", "language_model.model.layers.1.self_attn.q_proj.bias"),
    "a second norm of the text model": ("gemma3", "language_model.model.norm2.weight"),
    "a part that nobody knows": ("llama4", "memory_bank.weight"),
    "a table of the text model": ("gemma4", "model.language_model.embed_more.weight"),
}


@pytest.mark.parametrize("case", STRAYS)
def test_a_tensor_that_the_text_model_should_use_is_refused(case: str, tmp_path: Path) -> None:
    family, name = STRAYS[case]
    model = tinymodels.build(family, tmp_path, alter=lambda tensors: tensors.update({name: torch.ones(64)}))
    with pytest.raises(FormatError, match=f"{name}: .* has no place for this tensor"):
        stream(model, IDS)


KNOWN: dict[str, tuple[str, tuple[str, ...]]] = {
    "further prediction": ("qwen3_next", ("mtp.fc.weight", "mtp.layers.0.mlp.experts.0.up_proj.weight")),
    "further prediction beside a tower": ("qwen3_5_moe", ("mtp.layers.0.input_layernorm.weight", "mtp.norm.weight")),
    "keys of layers that share those of others": (
        "gemma4", ("model.language_model.layers.3.self_attn.k_proj.weight",
                   "model.language_model.layers.2.self_attn.v_norm.weight"),
    ),
    "stored rotary frequencies": ("mistral3", ("language_model.model.layers.0.self_attn.rotary_emb.inv_freq",)),
}  # fmt: skip


@pytest.mark.parametrize("case", KNOWN)
def test_a_tensor_that_is_known_to_be_left_out_is_read_and_listed(case: str, tmp_path: Path) -> None:
    family, names = KNOWN[case]
    extra = {name: torch.ones(4) for name in names}
    model = tinymodels.build(family, tmp_path, alter=lambda tensors: tensors.update(extra))
    streamed = stream(model, IDS)
    assert set(names) <= set(streamed.unused)
    assert set(streamed.passes) == set(streamed.records)


def test_code_of_the_repository_is_never_imported(tmp_path: Path) -> None:
    model = tinymodels.build("llama", tmp_path)
    (tmp_path / "modeling_llama.py").write_text("import sys\nsys.mbom_was_here = True\n")
    model.config["auto_map"] = {"AutoModelForCausalLM": "modeling_llama.LlamaForCausalLM"}
    model.config["_attn_implementation"] = "kernels-community/flash-attn"
    model.config["attn_implementation"] = "kernels-community/flash-attn"
    streamed = stream(model, IDS)
    assert not hasattr(sys, "mbom_was_here")
    assert type(streamed.model.stock.model).__module__ == "transformers.models.llama.modeling_llama"


def test_settings_of_precision_and_outputs_change_nothing(tmp_path: Path) -> None:
    model = tinymodels.build("qwen3_moe", tmp_path)
    expected = stream(model, IDS)
    model.config.update(dtype="float16", torch_dtype="float16", output_attentions=True, output_router_logits=True)
    model.config.update(
        output_hidden_states=True, use_cache=True, return_dict=False, _experts_implementation="grouped_mm"
    )
    assert torch.equal(stream(model, IDS).logits.projection, expected.logits.projection)


def test_a_padding_token_outside_the_vocabulary_is_no_obstacle(tmp_path: Path) -> None:
    model = tinymodels.build("llama", tmp_path)
    expected = stream(model, IDS)
    model.config["pad_token_id"] = 300
    assert torch.equal(stream(model, IDS).logits.projection, expected.logits.projection)


def test_rotary_settings_in_their_older_spelling_mean_the_same() -> None:
    old = config(rope_theta=5e5, rope_scaling={**tinymodels.LLAMA3_ROPE, "type": "llama3"})
    new = config(rope_parameters={**tinymodels.LLAMA3_ROPE, "rope_theta": 5e5})
    frequencies = [
        stock.build(raw, tensors=100, device=CPU).model.model.rotary_emb.inv_freq for raw in (old, new, config())
    ]
    assert torch.equal(frequencies[0], frequencies[1])
    assert not torch.equal(frequencies[0], frequencies[2])


def test_infinity_is_read_as_python_and_as_transformers_write_it() -> None:
    settings = tinymodels.FAMILIES["nemotron_h"]
    limits = []
    for infinity in (math.inf, {"__float__": "Infinity"}):
        raw = {"model_type": "nemotron_h", **settings, "time_step_limit": [0.0, infinity]}
        limits.append(stock.build(raw, tensors=100, device=CPU).model.config.time_step_limit)
    assert [list(limit) for limit in limits] == [[0.0, math.inf]] * 2


def test_building_leaves_the_configuration_as_it_was() -> None:
    raw = config(rope_scaling=dict(tinymodels.LLAMA3_ROPE), rope_theta=10000.0)
    before = repr(raw)
    stock.build(raw, tensors=100, device=CPU)
    assert repr(raw) == before


FAKE_KERNEL = """
def __getattr__(name):
    def kernel(*args, **kwargs):
        raise SystemExit(f"the kernel {name} was taken")
    return kernel
"""

# Runs two families that would take kernels, given a folder of packages of that name and a folder for checkpoints.
TAKES_NO_KERNEL = """
import pathlib, sys
import torch
import tinymodels
from streamed import stream
for family in ("nemotron_h", "kimi_linear"):
    model = tinymodels.build(family, pathlib.Path(sys.argv[1]) / family)
    print(stream(model, torch.tensor([[5, 6, 7]])).logits.logsumexp.tolist())
"""


def test_kernels_that_are_installed_are_not_taken(tmp_path: Path) -> None:
    for name in attention.KERNELS:
        (tmp_path / "packages" / name).mkdir(parents=True)
        (tmp_path / "packages" / name / "__init__.py").write_text(FAKE_KERNEL)
    expected = "".join(
        f"{stream(tinymodels.build(family, tmp_path / family), IDS).logits.logsumexp.tolist()}\n"
        for family in ("nemotron_h", "kimi_linear")
    )
    path = os.pathsep.join([str(tmp_path / "packages"), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", TAKES_NO_KERNEL, str(tmp_path)], env={**os.environ, "PYTHONPATH": path},
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, expected), done.stderr[-2000:]


def test_weights_are_placeholders_before_and_after_a_run(tmp_path: Path) -> None:
    streamed = stream(tinymodels.build("gpt_oss", tmp_path), IDS)
    for parameter in streamed.model.stock.model.parameters():
        assert parameter.isnan().all()
        assert parameter.untyped_storage().nbytes() == 8
