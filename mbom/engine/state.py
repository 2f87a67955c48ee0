"""An interrupted measurement, kept after each layer so that a later one can go on from there.

A state belongs to one request: the inventory, the prompts, the nonce, the device and the versions are part of the name
of its folder, so that nothing is ever mixed. It lies in the user's own cache, and whoever can write there can make his
mbom say anything; files that are damaged are found by their digest.

A folder holds ``state.json``, written last and in one step, and the file of numbers that it names and gives the digest
of, so that a crash leaves the state before or the state after.
"""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mbom import strictjson, tensorfile
from mbom.behaviour.sketches import Sketched
from mbom.digest import sha256
from mbom.engine import FILE_LIMIT
from mbom.engine.checkpoint import Checkpoint
from mbom.engine.sidefiles import content
from mbom.engine.sketch import Change, Sketches
from mbom.engine.stream import Done, StreamedModel
from mbom.engine.taps import Choice, Taps
from mbom.errors import EngineError, FormatError
from mbom.storage import files
from mbom.strictjson import Fields, Json

SCHEMA = "urn:mbom:measure-state:v1"
JSON_NAME = "state.json"
JSON_LIMIT = 64 << 20

DTYPES = {"F64": "<f8", "I64": "<i8"}

Array = NDArray[Any]


@dataclass(kw_only=True)
class State:
    """Keeps what a running measurement has come to.

    Attributes:
        folder: where; it exists.
        interval: seconds between two states that are written.
    """

    folder: Path
    interval: float

    def __post_init__(self) -> None:
        """Begin to count time."""
        self._written = time.monotonic()

    def keep(self, layers: int, hidden: torch.Tensor, model: StreamedModel, taps: Taps, checkpoint: Checkpoint) -> None:
        """Write down that ``layers`` layers are done, if the last state is old enough.

        Raises:
            EngineError: when it cannot be written.
        """
        if time.monotonic() - self._written < self.interval:
            return
        name = f"{layers}.safetensors"
        numbers = _dumped(_arrays(hidden, taps, model.sketches))
        document: dict[str, Json] = {
            "schema": SCHEMA,
            "layers": layers,
            "tuple_length": model.tuple_length,
            "experts": model.experts_read,
            "bytes_read": checkpoint.bytes_read,
            "passes": dict(sorted(checkpoint.passes.items())),
            "choices": [choice.layer for choice in taps.choices],
            "weights": [weight.to_dict() for weight in model.sketches.weights.values()],
            "rows": list(model.sketches.rows),
            "changes": [_entry(change) for change in model.sketches.changes],
            "numbers": sha256(numbers),
        }
        try:
            files.write(self.folder / name, numbers, replace=True)
            files.write(self.folder / JSON_NAME, strictjson.pretty(document), replace=True)
            for path in self.folder.iterdir():  # the state before, and what a killed process did not finish
                if path.name not in (name, JSON_NAME):
                    path.unlink()
        except OSError as error:
            raise EngineError(f"{self.folder}: the state cannot be kept: {error.strerror}") from error
        self._written = time.monotonic()

    def take_up(self, model: StreamedModel, taps: Taps, checkpoint: Checkpoint) -> Done | None:
        """Fill in what an earlier run came to, and return it; None where there is none.

        Raises:
            EngineError: when the state is damaged.
        """
        if not (self.folder / JSON_NAME).exists():
            return None
        try:
            return self._take_up(model, taps, checkpoint)
        except FormatError as error:
            raise EngineError(f"{self.folder}: the state is damaged ({error}); measure without --resume") from error

    def _take_up(self, model: StreamedModel, taps: Taps, checkpoint: Checkpoint) -> Done:
        document = strictjson.loads(content(self.folder / JSON_NAME, JSON_LIMIT), what=JSON_NAME, limit=JSON_LIMIT)
        fields = Fields(document, JSON_NAME)
        fields.constant("schema", SCHEMA)
        layers = fields.integer("layers", minimum=1)
        arrays = _read(self.folder / f"{layers}.safetensors", fields.sha256("numbers"))
        _fill_taps(taps, layers, fields.integers("choices"), arrays)
        _fill_sketches(model.sketches, fields, arrays)
        passes = fields.object("passes")
        checkpoint.passes = Counter({name: passes.integer(name) for name in checkpoint.records if passes.has(name)})
        checkpoint.bytes_read = fields.integer("bytes_read")
        passes.end()
        done = Done(
            layers=layers,
            hidden=torch.from_numpy(_taken(arrays, "hidden")),
            tuple_length=fields.optional_integer("tuple_length", minimum=1),
            experts=fields.integer("experts"),
        )
        fields.end()
        if arrays or layers > len(model.stock.layers):
            raise FormatError(f"{JSON_NAME}: is of another model")
        return done


def _arrays(hidden: torch.Tensor, taps: Taps, sketches: Sketches) -> Mapping[str, Array]:
    """Name the arrays of a state; those of sketches by the place of their weight in the list."""
    found = {"hidden": hidden.cpu().numpy(), "residual": torch.stack(taps.residual).numpy()}
    for number, choice in enumerate(taps.choices):
        found[f"experts/{number}"], found[f"margin/{number}"] = choice.experts.numpy(), choice.margin.numpy()
    found |= {f"sketch/{number}": sketches.values[name] for number, name in enumerate(sketches.weights)}
    found |= {f"rows/{number}": rows for number, rows in enumerate(sketches.rows.values())}
    found |= {f"change/{number}": change.sketch for number, change in enumerate(sketches.changes)}
    return found


def _fill_taps(taps: Taps, layers: int, choices: Sequence[int], arrays: dict[str, Array]) -> None:
    residual = torch.from_numpy(_taken(arrays, "residual"))
    if len(residual) != layers:
        raise FormatError(f"{JSON_NAME}: {len(residual)} projections of {layers} layers")
    taps.residual = list(residual)
    taps.choices = [
        Choice(
            layer=layer,
            experts=torch.from_numpy(_taken(arrays, f"experts/{number}")),
            margin=torch.from_numpy(_taken(arrays, f"margin/{number}")),
        )
        for number, layer in enumerate(choices)
    ]


def _fill_sketches(sketches: Sketches, fields: Fields, arrays: dict[str, Array]) -> None:
    for number, entry in enumerate(fields.objects("weights")):
        weight = Sketched.from_fields(entry)
        sketches.begin(weight)
        values = _taken(arrays, f"sketch/{number}")
        if values.shape != sketches.values[weight.name].shape:
            raise FormatError(f"{JSON_NAME}: the sketch of {weight.name} has the shape {values.shape}")
        sketches.values[weight.name] = values
    for number, name in enumerate(fields.texts("rows")):
        sketches.rows[name] = _taken(arrays, f"rows/{number}")
    for number, entry in enumerate(fields.objects("changes")):
        row = entry.optional_integer("row")
        sketches.changes.append(
            Change(
                weight=entry.text("weight"),
                slice=entry.integer("slice"),
                stored=entry.text("stored"),
                element=entry.integer("element"),
                sketch=_taken(arrays, f"change/{number}"),
                row=None if row is None else (row, entry.number("amount")),
            )
        )
        entry.end()


def _entry(change: Change) -> dict[str, Json]:
    row = {} if change.row is None else {"row": change.row[0], "amount": change.row[1]}
    return {
        "weight": change.weight,
        "slice": change.slice,
        "stored": change.stored,
        "element": change.element,
        **row,
    }


def _read(path: Path, digest: str) -> dict[str, Array]:
    data = content(path, FILE_LIMIT)
    if sha256(data) != digest:
        raise FormatError(f"{path.name}: its SHA-256 is not the one that {JSON_NAME} gives")
    # A copy, because what is read from bytes cannot be written to.
    return {
        tensor.name: np.frombuffer(data[tensor.start : tensor.end], DTYPES[tensor.dtype]).reshape(tensor.shape).copy()
        for tensor in tensorfile.parse_header(data, len(data), path.name).tensors
    }


def _taken(arrays: dict[str, Array], name: str) -> Array:
    if name not in arrays:
        raise FormatError(f"{JSON_NAME}: the array {name} is missing")
    return arrays.pop(name)


def _dumped(arrays: Mapping[str, Array]) -> bytes:
    kinds = {np.dtype(numpy): name for name, numpy in DTYPES.items()}
    return tensorfile.dump({name: (kinds[array.dtype], array.shape, array.tobytes()) for name, array in arrays.items()})
