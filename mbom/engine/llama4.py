"""Llama 4's mixture of experts without its zeros.

The stock block gives every position to every expert, multiplied with a weight that is zero unless the router chose that
expert. For 128 experts and 2,048 positions those inputs take 10 GB in float64 and what experts make of them more, and
all weights of a layer would be held at once. An expert has no bias, so from zeros it makes zeros: leaving them out
changes no value, and lets experts be read one at a time.
"""

from types import MethodType
from typing import Any

import torch
from torch import nn

_BLOCK, _EXPERTS = "Llama4TextMoe", "Llama4TextExperts"


def leave_out_zeros(model: nn.Module) -> None:
    """Have the experts of a stock Llama 4 compute only the positions that were routed to them; else change nothing."""
    for module in model.modules():
        if type(module).__name__ == _BLOCK:
            module.forward = MethodType(_block, module)
        if type(module).__name__ == _EXPERTS:
            module.forward = MethodType(_experts, module)


def _block(block: Any, hidden: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:  # noqa: ANN401 - untyped class
    """Route (prompts, positions, H); return (prompts * positions, H), and the scores as the stock block does."""
    rows = hidden.reshape(-1, block.hidden_dim)  # (N, H)
    weights, scores = block.router(rows)  # (N, E) each; weights of experts that were not chosen are zero
    chosen = scores.topk(block.top_k, dim=1).indices  # (N, K), the router's own choice once more
    routed = block.experts(rows, chosen, weights.gather(1, chosen))
    return block.shared_expert(rows) + routed, scores


def _experts(
    experts: Any,  # noqa: ANN401 - untyped class
    rows: torch.Tensor,  # (N, H)
    chosen: torch.Tensor,  # (N, K)
    weights: torch.Tensor,  # (N, K)
) -> torch.Tensor:
    """Return the sum of the chosen experts' outputs (N, H); the weight multiplies what goes in, not what comes out."""
    total = torch.zeros_like(rows)
    for expert in torch.unique(chosen):  # ascending, as they are read
        positions, choice = torch.where(chosen == expert)
        given = rows[positions] * weights[positions, choice].unsqueeze(1)
        gate, up = (given @ experts.gate_up_proj[expert]).chunk(2, dim=-1)  # (n, 2 I) -> (n, I) each
        total.index_add_(0, positions, (up * experts.act_fn(gate)) @ experts.down_proj[expert])
    return total
