import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import fullload
import pytest
import quantisers
import tinymodels
import torch
from fullload import FullRun, relative
from streamed import Streamed, stream
from tinymodels import TinyModel

from mbom.behaviour.numbers import LOGIT_DIMENSIONS, TOP_TOKENS
from mbom.behaviour.projection import signs

IDS = torch.randint(3, 256, (2, 24), generator=torch.Generator().manual_seed(1))

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
    return Runs(
        model=model,
        streamed=stream(model, IDS),
        full=fullload.run(model, IDS, twin, dtype=torch.float64),
        narrow=fullload.run(model, IDS, twin, dtype=torch.float32),
    )


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
    again = "model.embed_tokens.weight" if runs.model.config.get("tie_word_embeddings") else None
    assert runs.streamed.passes == {name: 2 if name == again else 1 for name in records}
    size = sum(record.end - record.start for record in records.values())
    if again is not None:
        size += records[again].end - records[again].start
    assert runs.streamed.bytes_read == size
    assert runs.streamed.unused == ()


def test_every_expert_is_read(runs: Runs) -> None:
    names = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
    experts = next((runs.model.config[name] for name in names if name in runs.model.config), 0)
    assert runs.streamed.experts_read == runs.streamed.model.experts == experts * len(runs.full.experts)
