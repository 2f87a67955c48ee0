"""Records of small checkpoints measured in this process, and the same numbers put together in another order."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from mbom.behaviour.numbers import Numbers
from mbom.behaviour.prompts import Prompt
from mbom.behaviour.record import Record
from mbom.engine.render import render
from mbom.engine.run import measured
from mbom.inventory import Scan, scan
from mbom.source import FolderSource

Batches = Callable[[tuple[Prompt, ...]], Sequence[tuple[Prompt, ...]]]

# The axis of positions in those arrays of a record that have one.
_AXES = {
    "top_ids": 0, "top_logprobs": 0, "logsumexp": 0, "logits_projection": 0, "residual_projection": 1,
    "router_ids": 1, "router_margin": 1,
}  # fmt: skip
_RENDERED_FROM = ("tokenizer", "special_tokens", "chat_template")


class Measuring:
    """Measures folders as the child process of ``mbom.engine.measure`` does, without a process for each."""

    def __init__(self) -> None:
        self._prompts: dict[tuple[str, ...], tuple[Prompt, ...]] = {}

    def __call__(self, folder: Path, batches: Batches = lambda prompts: [prompts]) -> Record:
        """Return the record of a checkpoint.

        Args:
            folder: the checkpoint.
            batches: divides the prompts among several passes, in any order; prompts of other ids may stand among them
                and are left out of the record.
        """
        scanned = scan(FolderSource(folder))
        prompts = self._rendered(scanned)
        device = torch.device("cpu")
        runs = [
            measured(
                dict(scanned.paths), scanned.inventory, batch, device=device, isolation=(), emit=lambda _report: None
            )
            for batch in batches(prompts)
        ]
        return runs[0] if len(runs) == 1 and runs[0].prompts == prompts else _in_order(runs, prompts)

    def _rendered(self, scanned: Scan) -> tuple[Prompt, ...]:
        digests = {file.name: file.sha256 for file in scanned.inventory.files}
        key = tuple(digest for name, digest in sorted(digests.items()) if name.startswith(_RENDERED_FROM))
        if key not in self._prompts:
            vocabulary = next(
                tensor.shape[0] for tensor in scanned.inventory.tensors if tensor.name == "model.embed_tokens.weight"
            )
            self._prompts[key] = render(scanned.paths, vocabulary, digests=digests)
        return self._prompts[key]


def _in_order(runs: Sequence[Record], prompts: tuple[Prompt, ...]) -> Record:
    """Return one record of ``prompts`` in their order, whose numbers several passes computed in any order."""
    places: dict[str, tuple[Record, slice]] = {}
    for run in runs:
        start = 0
        for prompt in run.prompts:
            places[prompt.id] = run, slice(start, start + len(prompt.token_ids))
            start += len(prompt.token_ids)
    found = [places[prompt.id] for prompt in prompts]
    numbers: Numbers = replace(
        runs[0].numbers,
        **{
            name: np.concatenate(
                [getattr(run.numbers, name)[(slice(None),) * axis + (part,)] for run, part in found], axis
            )
            for name, axis in _AXES.items()
        },
    )
    coverage = replace(
        runs[0].coverage,
        experts_reached=sum(len(np.unique(ids)) for ids in numbers.router_ids),
        vocabulary_reached=len({token for prompt in prompts for token in prompt.token_ids}),
    )
    summaries = {summary.prompt: summary for run in runs for summary in run.summaries}
    return replace(
        runs[0],
        prompts=prompts,
        numbers=numbers,
        coverage=coverage,
        summaries=tuple(summaries[prompt.id] for prompt in prompts),
    )
