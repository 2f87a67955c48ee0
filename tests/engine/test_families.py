import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import fullload
import pytest
import quantisers
import tinymodels
import torch
from fullload import FullRun, relative
from safetensors.torch import load_file, save_file
from streamed import Streamed, stream
from tinymodels import TinyModel
from torch import Tensor

from mbom.behaviour.numbers import LOGIT_DIMENSIONS, TOP_TOKENS
from mbom.behaviour.projection import signs

IDS = torch.randint(3, 256, (2, 24), generator=torch.Generator().manual_seed(1))
# Linear attention works on chunks of 64 positions and carries a state from one to the next.
LONG = torch.randint(3, 256, (1, 72), generator=torch.Generator().manual_seed(1))

# Sides that are no multiples of 128, below and above it, so that blocks of both dimensions are ragged.
RAGGED = {
    "hidden_size": 160, "moe_intermediate_size": 144, "intermediate_size": 200, "kv_lora_rank": 128, "q_lora_rank": 40,
    "num_hidden_layers": 2, "num_nextn_predict_layers": 0,
}  # fmt: skip
YARN = {
    "rope_scaling": {
        "rope_type": "yarn", "factor": 32.0, "beta_fast": 32.0, "beta_slow": 1.0, "truncate": False,
        "original_max_position_embeddings": 4096,
    },
}  # fmt: skip

# Fewer keys than there are positions, so that indexers leave some out; scores of many heads are seldom exactly zero.
CHOOSING = {"index_topk": 8, "index_n_heads": 8}


def other_layout(tensors: dict[str, Tensor]) -> None:
    """Rename the tensors of a composite to the layout that the newest classes have in memory, or the older one."""
    for name in list(tensors):
        head, _, rest = name.partition(".")
        new = {
            "language_model.model": f"model.language_model.{rest.removeprefix('model.')}",
            "language_model.lm_head": rest,
        }.get(".".join(name.split(".")[:2]))
        if new is None and head in ("vision_tower", "multi_modal_projector"):
            new = f"model.{name}"
        if new is not None:
            tensors[new] = tensors.pop(name)


def fused(model: TinyModel) -> TinyModel:
    """Store the experts of each layer in one tensor for each parameter, as Qwen publishes them since 3.5."""
    tensors = load_file(model.folder / "model.safetensors")
    stems = {name.partition(".experts.")[0] for name in tensors if ".experts." in name}
    for stem in stems:
        names = {part: [f"{stem}.experts.{i}.{part}_proj.weight" for i in range(8)] for part in ("gate", "up", "down")}
        gate, up, down = (torch.stack([tensors.pop(name) for name in names[part]]) for part in names)
        tensors[f"{stem}.experts.gate_up_proj"] = torch.cat([gate, up], dim=1)
        tensors[f"{stem}.experts.down_proj"] = down
    assert len(stems) == 4
    save_file(tensors, model.folder / "model.safetensors", metadata={"format": "pt"})
    return tinymodels.described(model.folder, {name: value.to(torch.float64) for name, value in tensors.items()})


CASES: dict[str, Callable[[Path], TinyModel]] = {
    **{name: partial(tinymodels.build, name) for name in tinymodels.FAMILIES},
    "gpt_oss in MXFP4, YaRN": lambda folder: tinymodels.quantise_mxfp4(
        tinymodels.build("gpt_oss", folder, settings=YARN)
    ),
    "deepseek_v3 in FP8": lambda folder: tinymodels.quantise_fp8(
        tinymodels.build("deepseek_v3", folder, settings=RAGGED)
    ),
    "qwen3_moe in FP8": lambda folder: tinymodels.quantise_fp8(tinymodels.build("qwen3_moe", folder)),
    "llama in float16, tied": partial(
        tinymodels.build, "llama", dtype=torch.float16, settings={"tie_word_embeddings": True}
    ),
    "mixtral in float32": partial(tinymodels.build, "mixtral", dtype=torch.float32),
    **quantisers.CASES,
    "deepseek_v32 choosing keys": partial(tinymodels.build, "deepseek_v32", settings=CHOOSING),
    "glm_moe_dsa choosing keys": partial(tinymodels.build, "glm_moe_dsa", settings=CHOOSING),
    "deepseek_v4 choosing keys": partial(tinymodels.build, "deepseek_v4", settings={**CHOOSING, "index_topk": 3}),
    "deepseek_v4 by its publisher's names": partial(
        tinymodels.build, "deepseek_v4", alter=tinymodels.as_deepseek_names_v4
    ),
    "kimi_linear with projected queries": partial(tinymodels.build, "kimi_linear", settings={"q_lora_rank": 32}),
    "qwen3_5_moe, experts in one tensor": lambda folder: fused(tinymodels.build("qwen3_5_moe", folder)),
    "gemma4 with experts": lambda folder: tinymodels.build(
        "gemma4", folder, settings={"text_config": tinymodels.GEMMA4_MOE}
    ),
    "mistral3 over ministral3": lambda folder: tinymodels.build(
        "mistral3", folder, settings={"text_config": {**tinymodels.COMMON, "model_type": "ministral3"}}
    ),
    "gemma3 in its other layout": partial(tinymodels.build, "gemma3", alter=other_layout),
    "mistral3 in its other layout": partial(tinymodels.build, "mistral3", alter=other_layout),
}


@dataclass(frozen=True, kw_only=True)
class Runs:
    model: TinyModel
    streamed: Streamed
    full: FullRun
    narrow: FullRun


@pytest.fixture(scope="module", params=CASES)
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    folder = tmp_path_factory.mktemp("model")
    model = CASES[request.param](folder)
    twin = tmp_path_factory.mktemp("twin")
    ids = LONG if "linear_key_head_dim" in text(model) else IDS
    return Runs(
        model=model,
        streamed=stream(model, ids),
        full=fullload.run(model, ids, twin, dtype=torch.float64),
        narrow=fullload.run(model, ids, twin, dtype=torch.float32),
    )


def text(model: TinyModel) -> dict[str, Any]:
    found: dict[str, Any] = model.config.get("text_config", model.config)
    return found


def test_padding_of_linear_attention_and_of_chunks_changes_nothing(tmp_path: Path) -> None:
    for name in ("qwen3_next", "llama4_text", "gemma4"):
        model = tinymodels.build(name, tmp_path / name)
        together, alone = stream(model, LONG), stream(model, LONG[:1, :70])
        assert relative(alone.hidden, together.hidden[:1, :70]) <= 1e-12


def projected(full: FullRun, layer: int) -> torch.Tensor:
    rows = full.residual[layer].flatten(0, 1).flatten(1).to(torch.float64)
    directions = torch.from_numpy(signs(f"residual/{layer}", (rows.shape[1], 4)).astype("float64"))
    return torch.matmul(rows, directions) / math.sqrt(rows.shape[1])


def centred(full: FullRun) -> torch.Tensor:
    rows = full.logits.flatten(0, 1).to(torch.float64)
    directions = torch.from_numpy(signs("logits", (rows.shape[1], LOGIT_DIMENSIONS)).astype("float64"))
    return torch.matmul(rows - rows.mean(1, keepdim=True), directions) / math.sqrt(rows.shape[1])


def test_logits_equal_those_of_the_full_model_in_float64(runs: Runs) -> None:
    expected = runs.full.logits.flatten(0, 1)
    measured = runs.streamed.logits
    assert relative(measured.logsumexp, expected.logsumexp(1)) <= 1e-12
    assert relative(measured.projection, centred(runs.full)) <= 1e-12
    top, ids = expected.topk(TOP_TOKENS, dim=1)
    assert torch.equal(measured.top_ids, ids)
    assert relative(measured.top, top) <= 1e-12


def test_the_residual_stream_equals_the_full_model_s_in_float64(runs: Runs) -> None:
    assert len(runs.streamed.taps.residual) == len(runs.full.residual)
    for layer, measured in enumerate(runs.streamed.taps.residual):
        assert relative(measured, projected(runs.full, layer)) <= 1e-12


def test_routers_choose_what_they_choose_in_the_full_model(runs: Runs) -> None:
    assert [choice.layer for choice in runs.streamed.taps.choices] == list(runs.full.experts)
    for choice in runs.streamed.taps.choices:
        assert torch.equal(choice.experts, runs.full.experts[choice.layer].sort(dim=1).values)


def test_numbers_agree_with_an_ordinary_float32_run(runs: Runs) -> None:
    assert (
        relative(runs.streamed.logits.logsumexp, runs.narrow.logits.flatten(0, 1).to(torch.float64).logsumexp(1))
        <= 1e-5
    )
    assert relative(runs.streamed.logits.projection, centred(runs.narrow)) <= 1e-5
    for layer, measured in enumerate(runs.streamed.taps.residual):
        assert relative(measured, projected(runs.narrow, layer)) <= 1e-5


def test_every_stored_byte_is_read_once_and_a_tied_embedding_twice(runs: Runs) -> None:
    records = runs.streamed.records
    embedding = next(
        name for name in records if name.endswith(("embed_tokens.weight", "embed.weight", "embeddings.weight"))
    )
    again = None if any(name.endswith("head.weight") for name in records) else embedding
    assert runs.streamed.passes == {name: 2 if name == again else 1 for name in records}
    size = sum(record.end - record.start for record in records.values())
    if again is not None:
        size += records[again].end - records[again].start
    assert runs.streamed.bytes_read == size
    towers = ("vision", "visual", "audio", "multi_modal_projector")
    assert runs.streamed.unused == tuple(sorted(name for name in records if any(part in name for part in towers)))
    assert bool(runs.streamed.unused) == ("text_config" in runs.model.config)


def test_every_expert_is_read(runs: Runs) -> None:
    names = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
    config = text(runs.model)
    experts = next((config[name] for name in names if config.get(name)), 0)
    assert runs.streamed.experts_read == runs.streamed.model.experts == experts * len(runs.full.experts)
