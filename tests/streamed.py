"""The engine's forward pass on a tiny model, with everything that a test may want to look at."""

from dataclasses import dataclass

import torch
from tinymodels import TinyModel
from torch import Tensor

from mbom.engine import encodings, head, stock
from mbom.engine.checkpoint import Checkpoint
from mbom.engine.conversion import Conversion
from mbom.engine.head import Logits
from mbom.engine.plan import plan
from mbom.engine.sketch import Sketches
from mbom.engine.stream import StreamedModel
from mbom.engine.taps import Taps
from mbom.inventory.record import Inventory, TensorRecord


@dataclass(frozen=True, kw_only=True)
class Streamed:
    logits: Logits
    hidden: Tensor
    residual: list[Tensor]
    taps: Taps
    unused: tuple[str, ...]
    records: dict[str, TensorRecord]
    passes: dict[str, int]
    bytes_read: int
    experts_read: int
    model: StreamedModel


def stream(
    model: TinyModel,
    ids: Tensor,
    *,
    inventory: Inventory | None = None,
    device: str = "cpu",
    positions: Tensor | None = None,
) -> Streamed:
    """Run (prompts, positions) ids; ``positions`` picks some of the flattened batch."""
    where = torch.device(device)
    tensors = (inventory or model.inventory()).tensors
    with Checkpoint(model.files, tensors) as checkpoint:
        built = stock.build(model.config, tensors=len(tensors), device=where)
        conversion = Conversion(built)
        values = encodings.weights(checkpoint.records, model.config.get("quantization_config"))
        planned = plan(built, conversion, values, checkpoint.records)
        running = StreamedModel(built, conversion, planned, checkpoint, where, sketches=Sketches())
        taps = Taps(positions=torch.arange(ids.numel()) if positions is None else positions)
        residual: list[Tensor] = []

        def on_layer(index: int, hidden: Tensor) -> None:
            residual.append(hidden.flatten(0, 1).cpu())
            taps.on_layer(index, hidden)

        with taps.routers(built, running.mode):
            hidden = running.residual(ids, on_layer)
        rows = hidden.flatten(0, 1)[taps.positions.to(where)]
        return Streamed(
            logits=head.logits(rows, running.head_rows(), planned.head.shape[0], softcap=built.softcap),
            hidden=hidden,
            residual=residual,
            taps=taps,
            unused=running.read_unused(),
            records=checkpoint.records,
            passes=dict(checkpoint.passes),
            bytes_read=checkpoint.bytes_read,
            experts_read=running.experts_read,
            model=running,
        )
