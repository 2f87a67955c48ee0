"""Prompts are padded on the right to one length and run together; neither may show in the numbers of any of them."""

from pathlib import Path
from typing import Any

import fullload
import pytest
import tinymodels
import torch
from fullload import relative
from streamed import Streamed, stream
from torch.utils._python_dispatch import TorchDispatchMode

# The longest goes beyond a chunk of linear attention (64 positions), the sliding windows and the compressed windows.
LENGTHS = (70, 33, 1)
CHOOSING = {"index_topk": 8, "index_n_heads": 8}

# What is more than attention over all keys: states, windows that are compressed, keys that are chosen.
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "deepseek_v32": ("deepseek_v32", {}),
    "deepseek_v32 choosing keys": ("deepseek_v32", CHOOSING),
    "deepseek_v4": ("deepseek_v4", {}),
    "deepseek_v4 choosing keys": ("deepseek_v4", {**CHOOSING, "index_topk": 3}),
    "glm_moe_dsa": ("glm_moe_dsa", {}),
    "glm_moe_dsa choosing keys": ("glm_moe_dsa", CHOOSING),
    "kimi_linear": ("kimi_linear", {}),
    "ministral3": ("ministral3", {}),
    "nemotron": ("nemotron", {}),
    "nemotron_h": ("nemotron_h", {}),
}


def prompts() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    return [torch.randint(3, 256, (length,), generator=generator) for length in LENGTHS]


def padded(model: tinymodels.TinyModel, tokens: list[torch.Tensor], *, width: int, pad: int) -> Streamed:
    """Run all prompts together; the numbers are those of all their tokens, prompt after prompt."""
    ids = torch.full((len(tokens), width), pad)
    for row, prompt in enumerate(tokens):
        ids[row, : len(prompt)] = prompt
    real = torch.arange(width) < torch.tensor([len(prompt) for prompt in tokens]).unsqueeze(1)
    return stream(model, ids, positions=real.flatten().nonzero().squeeze(1))


@pytest.mark.parametrize("case", CASES)
def test_a_padded_prompt_among_others_is_as_alone_in_the_full_model(case: str, tmp_path: Path) -> None:
    family, settings = CASES[case]
    model = tinymodels.build(family, tmp_path / "model", settings=settings)
    tokens = prompts()
    measured = padded(model, tokens, width=80, pad=9)
    first = 0
    for prompt in tokens:
        alone = fullload.run(model, prompt[None], tmp_path / "twin", dtype=torch.float64)
        rows = slice(first, first := first + len(prompt))
        logits = alone.logits[0]
        assert relative(measured.logits.top[rows], logits.gather(1, measured.logits.top_ids[rows])) <= 1e-12
        assert relative(measured.logits.logsumexp[rows], logits.logsumexp(1)) <= 1e-12
        for choice in measured.taps.choices:
            assert torch.equal(choice.experts[rows], alone.experts[choice.layer].sort(dim=1).values)


@pytest.mark.parametrize("case", CASES)
def test_neither_the_width_nor_the_token_of_the_padding_shows(case: str, tmp_path: Path) -> None:
    family, settings = CASES[case]
    model = tinymodels.build(family, tmp_path / "model", settings=settings)
    tokens = prompts()[1:]
    narrow, wide = padded(model, tokens, width=33, pad=0), padded(model, tokens, width=80, pad=200)
    assert relative(narrow.logits.projection, wide.logits.projection) <= 1e-12
    assert relative(torch.stack(narrow.taps.residual), torch.stack(wide.taps.residual)) <= 1e-12
    for choice, again in zip(narrow.taps.choices, wide.taps.choices, strict=True):
        assert torch.equal(choice.experts, again.experts)
        finite = choice.margin.isfinite()
        assert torch.equal(finite, again.margin.isfinite())
        assert torch.allclose(choice.margin[finite], again.margin[finite], rtol=0, atol=1e-12)


class Largest(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch annotates its subclass hook in part
    """Notes the size of the largest tensor that any operation makes."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.numbers = 0

    def __torch_dispatch__(
        self, func: Any, types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> object:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor):
            self.numbers = max(self.numbers, result.numel())
        return result


@pytest.mark.parametrize("family", ["kimi_linear", "nemotron_h"])
def test_chunks_of_linear_attention_are_held_for_one_prompt_at_a_time(family: str, tmp_path: Path) -> None:
    settings = {"chunk_size": 128, "vocab_size": 64, "hidden_size": 32} if family == "nemotron_h" else {}
    model = tinymodels.build(family, tmp_path, settings=settings)
    sizes = []
    for count in (1, 4):
        with Largest() as largest:
            stream(model, torch.full((count, 64), 5))
        sizes.append(largest.numbers)
    assert sizes[0] == sizes[1]
