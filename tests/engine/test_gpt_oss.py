"""gpt-oss a second time, written from the description of its architecture, in float64 and without transformers.

Source: "gpt-oss-120b & gpt-oss-20b Model Card" (OpenAI, 2025), section 2: pre-norm residual blocks with RMSNorm,
grouped-query attention with a learned sink in every softmax's denominator, banded and dense attention in turn, rotary
embeddings stretched by YaRN (Peng et al. 2023, equations 17 to 23), and a mixture of experts whose router softmaxes
over the chosen experts alone and whose experts apply a clamped SwiGLU with a residual.
"""

import math

import pytest
import tinymodels
import torch
from fullload import relative
from streamed import stream
from tinymodels import TinyModel
from torch import Tensor

from mbom.behaviour.numbers import TOP_TOKENS

IDS = torch.randint(0, 256, (2, 40), generator=torch.Generator().manual_seed(7))
F64 = torch.float64

PLAIN = {"rope_scaling": None, "rope_theta": 10000.0}
YARN = {
    "rope_theta": 150000.0,
    "rope_scaling": {
        "rope_type": "yarn", "factor": 32.0, "beta_fast": 32.0, "beta_slow": 1.0, "truncate": False,
        "original_max_position_embeddings": 64,
    },
}  # fmt: skip


class GptOss:
    """The model over one prompt at a time; ``weights`` are values by their names on disk."""

    def __init__(self, model: TinyModel) -> None:
        self.w = model.values
        self.c = model.config

    def logits(self, ids: Tensor) -> tuple[Tensor, list[Tensor], list[Tensor], list[Tensor]]:
        """Return logits (T, V) and for each layer the residual stream, the experts and the router's logits."""
        x = self.w["model.embed_tokens.weight"][ids]  # (T, H)
        residual, experts, scores = [], [], []
        for layer in range(self.c["num_hidden_layers"]):
            prefix = f"model.layers.{layer}"
            x = x + self.attention(self.norm(x, f"{prefix}.input_layernorm"), f"{prefix}.self_attn", layer)
            y, chosen, router = self.mixture(self.norm(x, f"{prefix}.post_attention_layernorm"), f"{prefix}.mlp")
            x = x + y
            residual.append(x)
            experts.append(chosen)
            scores.append(router)
        return self.norm(x, "model.norm") @ self.w["lm_head.weight"].T, residual, experts, scores

    def norm(self, x: Tensor, name: str) -> Tensor:
        return x / torch.sqrt((x * x).mean(-1, keepdim=True) + self.c["rms_norm_eps"]) * self.w[f"{name}.weight"]

    def linear(self, x: Tensor, name: str) -> Tensor:
        return x @ self.w[f"{name}.weight"].T + self.w[f"{name}.bias"]

    def attention(self, x: Tensor, name: str, layer: int) -> Tensor:
        positions, size = len(x), self.c["head_dim"]
        heads, kv_heads = self.c["num_attention_heads"], self.c["num_key_value_heads"]
        q = self.rotate(self.linear(x, f"{name}.q_proj").view(positions, heads, size))
        k = self.rotate(self.linear(x, f"{name}.k_proj").view(positions, kv_heads, size))
        v = self.linear(x, f"{name}.v_proj").view(positions, kv_heads, size)
        # Even layers see a window of positions, themselves included; odd ones see all.
        reach = self.c["sliding_window"] if layer % 2 == 0 else positions
        out = torch.zeros(positions, heads, size, dtype=F64)
        for head in range(heads):
            shared = head * kv_heads // heads
            for t in range(positions):
                seen = slice(max(0, t + 1 - reach), t + 1)
                weights = torch.exp(k[seen, shared] @ q[t, head] / math.sqrt(size))
                sink = torch.exp(self.w[f"{name}.sinks"][head])
                out[t, head] = weights @ v[seen, shared] / (weights.sum() + sink)
        return self.linear(out.flatten(1), f"{name}.o_proj")

    def rotate(self, x: Tensor) -> Tensor:
        """Rotate (T, heads, D): the pairs are a dimension of the first half and its partner in the second."""
        frequencies, concentration = self.rope()
        angle = torch.arange(len(x), dtype=F64)[:, None, None] * frequencies
        cos, sin = angle.cos() * concentration, angle.sin() * concentration
        a, b = x.chunk(2, dim=-1)
        return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)

    def rope(self) -> tuple[Tensor, float]:
        rope = self.c["rope_parameters"]
        base, size = rope["rope_theta"], self.c["head_dim"]
        frequencies = torch.tensor([base ** (-2 * i / size) for i in range(size // 2)], dtype=F64)
        if rope["rope_type"] == "default":
            return frequencies, 1.0
        factor, context = rope["factor"], rope["original_max_position_embeddings"]

        def dimension(rotations: float) -> float:
            return float(size / 2 * math.log(context / (rotations * 2 * math.pi)) / math.log(base))

        low, high = max(dimension(rope["beta_fast"]), 0), min(dimension(rope["beta_slow"]), size - 1)
        keep = 1 - ((torch.arange(size // 2, dtype=F64) - low) / (high - low)).clamp(0, 1)
        return frequencies / factor * (1 - keep) + frequencies * keep, 0.1 * math.log(factor) + 1

    def mixture(self, x: Tensor, name: str) -> tuple[Tensor, Tensor, Tensor]:
        k = self.c["num_experts_per_tok"]
        scores = self.linear(x, f"{name}.router")  # (T, E)
        chosen = scores.argsort(dim=1, descending=True)[:, :k]
        out = torch.zeros_like(x)
        for t in range(len(x)):
            share = torch.softmax(scores[t, chosen[t]], dim=0)
            for weight, expert in zip(share, chosen[t].tolist(), strict=True):
                out[t] += weight * self.expert(x[t], f"{name}.experts", expert)
        return out, chosen.sort(dim=1).values, scores

    def expert(self, x: Tensor, name: str, expert: int) -> Tensor:
        up = x @ self.w[f"{name}.gate_up_proj"][expert] + self.w[f"{name}.gate_up_proj_bias"][expert]
        gate, linear = up[0::2].clamp(max=7.0), up[1::2].clamp(min=-7.0, max=7.0)
        inner = gate * torch.sigmoid(1.702 * gate) * (linear + 1)
        return inner @ self.w[f"{name}.down_proj"][expert] + self.w[f"{name}.down_proj_bias"][expert]


@pytest.fixture(scope="module", params=["bfloat16", "bfloat16, YaRN", "MXFP4, YaRN"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TinyModel:
    settings = YARN if "YaRN" in request.param else PLAIN
    # Large expert inputs, so that the clamps of the SwiGLU act.
    built = tinymodels.build("gpt_oss", tmp_path_factory.mktemp("model"), settings=settings, alter=louder)
    return tinymodels.quantise_mxfp4(built) if "MXFP4" in request.param else built


def louder(tensors: dict[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        if name.endswith("gate_up_proj"):
            tensors[name] = tensor * 4


def test_the_engine_computes_what_the_architecture_says(model: TinyModel) -> None:
    streamed = stream(model, IDS)
    runs = [GptOss(model).logits(ids) for ids in IDS]
    logits = torch.cat([run[0] for run in runs])
    hidden = streamed.hidden
    assert relative(streamed.logits.logsumexp, logits.logsumexp(1)) <= 1e-12
    top, ids = logits.topk(TOP_TOKENS, dim=1)
    assert torch.equal(streamed.logits.top_ids, ids)
    assert relative(streamed.logits.top, top) <= 1e-12
    assert len(streamed.residual) == len(runs[0][1])
    for layer, measured in enumerate(streamed.residual):
        assert relative(measured, torch.cat([run[1][layer] for run in runs])) <= 1e-12
    assert hidden.dtype == F64


def test_router_margins_are_those_of_its_logits(model: TinyModel) -> None:
    streamed = stream(model, IDS)
    for ids, rows in zip(IDS, (slice(0, 40), slice(40, 80)), strict=True):
        _, _, experts, scores = GptOss(model).logits(ids)
        for layer, choice in enumerate(streamed.taps.choices):
            ranked = scores[layer].sort(dim=1, descending=True).values
            margin = (ranked[:, 1] - ranked[:, 2]) / scores[layer].abs().amax(1)
            assert torch.equal(choice.experts[rows], experts[layer])
            assert torch.allclose(choice.margin[rows], margin, rtol=0, atol=1e-12)


def test_the_clamps_act_in_this_test(model: TinyModel) -> None:
    reference = GptOss(model)
    loud = 0
    plain = reference.expert

    def listening(x: Tensor, name: str, expert: int) -> Tensor:
        nonlocal loud
        up = x @ model.values[f"{name}.gate_up_proj"][expert] + model.values[f"{name}.gate_up_proj_bias"][expert]
        loud += int((up.abs() > 7).any())
        return plain(x, name, expert)

    reference.expert = listening  # type: ignore[method-assign]
    reference.logits(IDS[0])
    assert loud > 10
