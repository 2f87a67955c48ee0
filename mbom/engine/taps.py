"""What is recorded while the model runs: the residual stream after each layer, and what each router chose."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import nn

from mbom.behaviour.numbers import RESIDUAL_DIMENSIONS
from mbom.behaviour.projection import FIXED, signs
from mbom.engine.float64 import Float64
from mbom.engine.stock import Stock, experts_of, is_indexer, routes_by_token
from mbom.errors import EngineError


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What one router chose, for the N recorded positions.

    Attributes:
        layer: the index of its layer.
        experts: (N, K) int64, ascending.
        margin: (N,) float64, see ``relative_margin``: the least of the router and of what indexers chose since the
            router before it.
    """

    layer: int
    experts: torch.Tensor
    margin: torch.Tensor


@dataclass(kw_only=True)
class Taps:
    """Collects from a running model.

    Attributes:
        positions: (N,) where the recorded positions lie in the flattened batch; padding is left out.
        key: what signs are drawn under.
        residual: for each layer (N, 4) float64.
        choices: for each layer with experts.
    """

    positions: torch.Tensor
    key: bytes = FIXED
    residual: list[torch.Tensor] = field(default_factory=list)
    choices: list[Choice] = field(default_factory=list)

    def on_layer(self, index: int, hidden: torch.Tensor) -> None:
        """Project the residual stream (prompts, positions, H) after a layer.

        Raises:
            EngineError: when it holds something that is not a finite number.
        """
        rows = hidden.flatten(0, 1)[self.positions].flatten(1)  # (N, H); parallel residual streams count as one
        if not bool(rows.isfinite().all()):
            raise EngineError(f"layer {index} computes values that are not finite")
        size = rows.shape[1]
        directions = torch.from_numpy(signs(f"residual/{index}", (size, RESIDUAL_DIMENSIONS), self.key)).to(rows.device)
        self.residual.append((rows @ directions.to(torch.float64) / math.sqrt(size)).cpu())

    @contextmanager
    def routers(self, stock: Stock, mode: Float64) -> Iterator[None]:
        """Watch every block that holds experts: its selections until the experts run, and what they are given.

        An indexer chooses keys by the scores that it computes, as discretely as a router chooses experts. How clearly
        it chose goes into the margin of the next router.

        Raises:
            EngineError: when an indexer left keys out and no router follows whose margin could say how clearly.
        """
        handles = []
        keys = _Keys(mode)
        for index, (name, layer) in enumerate(stock.layers):
            for path, module in layer.named_modules():
                if is_indexer(module):
                    handles.append(module.register_forward_pre_hook(keys.begin))
                    handles.append(module.register_forward_hook(keys.end))
                owned = (f"{name}.{path}.{parameter}" for parameter, _ in module.named_parameters(recurse=False))
                if any(experts_of(stock, parameter) for parameter in owned):
                    block = layer.get_submodule(path.rpartition(".")[0])
                    router = _Router(index, self, mode, keys)
                    handles.append(block.register_forward_pre_hook(router.begin))
                    handles.append(module.register_forward_pre_hook(router.end, with_kwargs=True))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
        if any(bool(margin.isfinite().any()) for margin in keys.taken()):
            raise EngineError("attention leaves keys out after the last router; how clearly cannot be recorded")


class _Keys:
    """What indexers chose since the last router."""

    def __init__(self, mode: Float64) -> None:
        self._mode = mode
        self._margins: list[torch.Tensor] = []

    def begin(self, _indexer: nn.Module, _args: object) -> None:
        self._mode.on_topk = self._select

    def end(self, _indexer: nn.Module, _args: object, _output: object) -> None:
        self._mode.on_topk = None

    def taken(self) -> list[torch.Tensor]:
        """Return the margins (prompts, positions) and forget them."""
        margins, self._margins = self._margins, []
        return margins

    def _select(self, scores: torch.Tensor, k: int) -> None:
        # Masks of keys that lie in the future are minus infinity or the least number; among those anything may be
        # chosen, because the attention masks them again.
        barred = scores <= torch.finfo(scores.dtype).min / 2
        margin = relative_margin(scores.masked_fill(barred, -math.inf), k)
        self._margins.append(margin.masked_fill((~barred).sum(-1) <= k, math.inf))


class _Router:
    """One router during one forward pass."""

    def __init__(self, layer: int, taps: Taps, mode: Float64, keys: _Keys) -> None:
        self._layer = layer
        self._taps = taps
        self._mode = mode
        self._keys = keys
        self._margins: list[torch.Tensor] = []
        self._looked_up = False

    def begin(self, block: nn.Module, _args: object) -> None:
        self._mode.on_topk = self._select
        self._looked_up = routes_by_token(block)

    def end(self, _experts: nn.Module, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        self._mode.on_topk = None
        given = [*args, *kwargs.values()]
        chosen = [value for value in given if isinstance(value, torch.Tensor) and not value.is_floating_point()]
        if len(chosen) != 1 or bool(self._margins) == self._looked_up:
            raise EngineError(f"layer {self._layer}: how its router chooses experts cannot be observed")
        positions = self._taps.positions
        certain = torch.full(chosen[0].shape[:1], math.inf, dtype=torch.float64, device=chosen[0].device)
        margins = [margin.reshape(len(certain), -1).amin(1) for margin in [*self._margins, *self._keys.taken()]]
        choice = Choice(
            layer=self._layer,
            experts=chosen[0][positions].sort(dim=1).values.cpu(),
            margin=torch.stack([certain, *margins]).amin(0)[positions].cpu(),  # (batch * positions,), then (N,)
        )
        self._taps.choices.append(choice)

    def _select(self, scores: torch.Tensor, k: int) -> None:
        self._margins.append(relative_margin(scores, k))


def relative_margin(scores: torch.Tensor, k: int) -> torch.Tensor:
    """Return how clearly the k largest of (..., n) scores stand out: (s_k - s_{k+1}) / max |s|, infinite for k = n.

    Scores of minus infinity (groups that were ruled out) are no rivals, and do not count for the maximum.

    Raises:
        EngineError: when a score is not a number.
    """
    if bool(scores.isnan().any()):
        raise EngineError("a router computes scores that are not numbers")
    if k >= scores.shape[-1]:
        return torch.full(scores.shape[:-1], math.inf, dtype=torch.float64, device=scores.device)
    first = torch.topk(scores, k + 1, dim=-1).values
    last, rival = first[..., k - 1], first[..., k]
    scale = scores.abs().masked_fill(scores.isinf(), 0.0).amax(-1)
    margin = (last - rival) / scale
    # Equal scores (also both minus infinity, or all zero) leave the choice to chance: no margin at all.
    return margin.masked_fill(last == rival, 0.0)
