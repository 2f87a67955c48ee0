"""Attention as stock classes compute it, one prompt at a time, and never by kernels of other packages.

Prompts go through a layer together, but scores of attention take heads x positions**2 numbers for each, and some kinds
of linear attention more. What is computed is the model's own code; importing this module registers it.
"""

import sys
from collections.abc import Callable

import torch
from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask

# Packages whose kernels model code prefers, where they are installed, to its own arithmetic in torch. They compute in
# float32, out of sight of the float64 mode. The entry None makes Python say that there is no such package.
KERNELS = ("causal_conv1d", "fla", "mamba_ssm")
for _package in KERNELS:
    sys.modules.setdefault(_package, None)  # type: ignore[arg-type]  # typeshed leaves None out; Python's docs do not

# Linear attention whose chunks take a number for each pair of their positions and each channel or state: 4 GiB at
# 2,048 positions of 32 heads with 128 channels. These modules run prompt by prompt, as attention does.
_CHUNKED = frozenset({"KimiLinearDeltaAttention", "NemotronHMamba2Mixer"})

ATTENTION = "mbom_eager"


def _each_prompt_alone(
    module: nn.Module,
    query: torch.Tensor,  # (prompts, heads, positions, head size)
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,  # (1 or prompts, 1, positions, positions)
    **rest: object,
) -> tuple[torch.Tensor, None]:
    """Run the model's own eager attention prompt by prompt: its scores take heads x positions**2 numbers each.

    Where an indexer chose keys, its model code masks the others for the implementation called "eager" alone, and hands
    the choice, ``indices`` of shape (prompts, positions, chosen), to all others: they are masked here in the same way.
    """
    eager = sys.modules[type(module).__module__].eager_attention_forward
    indices = rest.pop("indices", None)
    outputs = []
    for i in range(query.shape[0]):
        mask = attention_mask[i % attention_mask.shape[0], None] if attention_mask is not None else None
        one = slice(i, i + 1)
        if isinstance(indices, torch.Tensor):
            assert mask is not None  # an indexer takes what is causal from it
            left = torch.ones_like(mask, dtype=torch.bool).scatter(-1, indices[one, None].long(), False)
            mask = mask.masked_fill(left, torch.finfo(mask.dtype).min)
        outputs.append(eager(module, query[one], key[one], value[one], mask, **rest)[0])
    return torch.cat(outputs), None


def _prompts_alone(forward: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """Return a forward over (prompts, positions, hidden size) that takes one prompt at a time."""

    def alone(hidden_states: torch.Tensor, **rest: object) -> torch.Tensor:
        return torch.cat([forward(prompt.unsqueeze(0), **rest) for prompt in hidden_states])

    return alone


def take_prompts_alone(module: nn.Module) -> None:
    """Let a module that needs much memory for each prompt take one prompt at a time."""
    if type(module).__name__ in _CHUNKED:
        module.forward = _prompts_alone(module.forward)


AttentionInterface.register(ATTENTION, _each_prompt_alone)
AttentionMaskInterface.register(ATTENTION, eager_mask)
