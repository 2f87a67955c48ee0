"""The output head, by blocks of vocabulary rows: no position's whole row of logits is ever held."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch

from mbom.behaviour.numbers import LOGIT_DIMENSIONS, TOP_TOKENS
from mbom.behaviour.projection import FIXED, signs
from mbom.errors import EngineError


@dataclass(frozen=True, kw_only=True)
class Logits:
    """What is kept of the logits of N positions over V tokens, on the CPU.

    Attributes:
        top_ids: (N, T) int64, T = min(32, V), by descending logit, equal ones by ascending id.
        top: (N, T) float64 logits.
        logsumexp: (N,) float64.
        projection: (N, 32) float64: logits minus their mean, times signs, divided by sqrt(V).
    """

    top_ids: torch.Tensor
    top: torch.Tensor
    logsumexp: torch.Tensor
    projection: torch.Tensor


def logits(
    hidden: torch.Tensor,
    blocks: Iterable[torch.Tensor],
    vocabulary: int,
    *,
    key: bytes = FIXED,
    softcap: float | None = None,
) -> Logits:
    """Multiply (N, H) with the output matrix (V, H), given by blocks of rows, and keep what the record needs.

    Args:
        hidden: the normalised residual stream.
        blocks: rows of the matrix, in order.
        vocabulary: V.
        key: what signs are drawn under.
        softcap: c, where logits x become c * tanh(x / c).

    Raises:
        EngineError: when a logit is not a finite number.
    """
    positions = hidden.shape[0]
    directions = torch.from_numpy(signs("logits", (vocabulary, LOGIT_DIMENSIONS), key))
    top = hidden.new_empty((positions, 0))
    top_ids = torch.empty((positions, 0), dtype=torch.int64, device=hidden.device)
    logsumexp = hidden.new_full((positions,), -math.inf)
    total, offset = hidden.new_zeros((positions, 1)), None
    projection = hidden.new_zeros((positions, LOGIT_DIMENSIONS))
    row = 0
    for block in blocks:
        values = hidden @ block.T  # (N, rows)
        # One number that is not finite makes the sum of its row so.
        if not bool(values.sum(1).isfinite().all()):
            raise EngineError(f"the output head computes values that are not finite, at token {row} or after")
        if softcap is not None:
            values = torch.tanh(values / softcap) * softcap
        end = row + block.shape[0]
        best, best_ids = values.topk(min(TOP_TOKENS, end - row), dim=1)
        top, top_ids = torch.cat([top, best], dim=1), torch.cat([top_ids, best_ids + row], dim=1)
        top, chosen = top.topk(min(TOP_TOKENS, top.shape[1]), dim=1)
        top_ids = top_ids.gather(1, chosen)
        logsumexp = torch.logaddexp(logsumexp, values.logsumexp(1))
        # Centring happens at the end. Taking a first guess at the mean off here keeps what is added up small.
        offset = values.mean(1, keepdim=True) if offset is None else offset
        values -= offset
        total += values.sum(1, keepdim=True)
        projection += values @ directions[row:end].to(hidden.device, torch.float64)
        row = end
    sums = directions.sum(0, dtype=torch.float64).to(hidden.device)  # (32,)
    projection -= total / vocabulary * sums
    top, top_ids = _in_order(top, top_ids)
    return Logits(
        top_ids=top_ids.cpu(),
        top=top.cpu(),
        logsumexp=logsumexp.cpu(),
        projection=(projection / math.sqrt(vocabulary)).cpu(),
    )


def _in_order(top: torch.Tensor, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Sort by descending logit, and equal logits by ascending id."""
    by_id = ids.argsort(dim=1)
    top, ids = top.gather(1, by_id), ids.gather(1, by_id)
    by_logit = top.argsort(dim=1, descending=True, stable=True)
    return top.gather(1, by_logit), ids.gather(1, by_logit)
