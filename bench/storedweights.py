"""A checkpoint folder as an attacker sees it: stored tensors that can be rewritten, and the values they stand for.

What is written has the bytes that a publisher's tool would write, so nothing but the weights themselves is odd.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from fixtures import mxfp4
from mbom import tensorfile
from mbom.engine.checkpoint import DTYPES

INDEX = "model.safetensors.index.json"


def _places(folder: Path) -> dict[str, tuple[Path, tensorfile.TensorInfo]]:
    found = {}
    for path in sorted(folder.glob("*.safetensors")):
        data = path.read_bytes()
        for info in tensorfile.parse_header(data, len(data), path.name).tensors:
            found[info.name] = path, info
    return found


class Weights:
    """The tensors of a folder by name, in whichever of its files they lie."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._places = _places(folder)

    @property
    def names(self) -> tuple[str, ...]:
        """Every tensor's name, in the order of the files."""
        return tuple(self._places)

    @property
    def layers(self) -> int:
        """Decoder layers."""
        return int(self.config()["num_hidden_layers"])

    def config(self) -> dict[str, Any]:
        """Return ``config.json``."""
        loaded: dict[str, Any] = json.loads((self.folder / "config.json").read_text(encoding="utf-8"))
        return loaded

    def set_config(self, **members: object) -> None:
        """Rewrite ``config.json`` with other members."""
        text = json.dumps({**self.config(), **members}, indent=2)
        (self.folder / "config.json").write_text(text, encoding="utf-8")

    def read(self, name: str) -> torch.Tensor:
        """Return a tensor as it is stored."""
        path, info = self._places[name]
        data = bytearray(path.read_bytes()[info.start : info.end])
        return torch.frombuffer(data, dtype=DTYPES[info.dtype]).reshape(info.shape)

    def write(self, name: str, tensor: torch.Tensor) -> None:
        """Store other values of the same shape and type: not a byte elsewhere changes."""
        path, info = self._places[name]
        if tensor.dtype != DTYPES[info.dtype] or tuple(tensor.shape) != info.shape:
            raise ValueError(f"{name}: {tensor.dtype} {tuple(tensor.shape)} cannot replace {info}")
        with path.open("r+b") as file:
            file.seek(info.start)
            file.write(tensor.contiguous().view(torch.uint8).numpy().tobytes())

    def change(self, name: str, edit: Callable[[torch.Tensor], torch.Tensor]) -> None:
        """Store what ``edit`` makes of a tensor's values, given in float32 and rounded to the stored type."""
        stored = self.read(name)
        self.write(name, edit(stored.to(torch.float32)).to(stored.dtype))

    def replace(self, old: str, new: str, tensor: torch.Tensor) -> None:
        """Store a tensor of any type and shape in place of another, under a new name, in the same file."""
        path, _ = self._places[old]
        tensors = load_file(path)
        del tensors[old]
        self._rewrite(path, {**tensors, new: tensor.contiguous()})

    def remove(self, name: str) -> None:
        """Leave a tensor out."""
        path, _ = self._places[name]
        tensors = load_file(path)
        del tensors[name]
        self._rewrite(path, tensors)

    def _rewrite(self, path: Path, tensors: dict[str, torch.Tensor]) -> None:
        save_file(tensors, path, metadata={"format": "pt"})
        self._places = _places(self.folder)  # every offset in the file has moved
        index = self.folder / INDEX
        if index.exists():
            document = json.loads(index.read_text(encoding="utf-8"))
            document["weight_map"] = {name: place.name for name, (place, _) in self._places.items()}
            index.write_text(json.dumps(document), encoding="utf-8")


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """A matrix of values (out, in): a plain tensor, or one expert of a stack in MXFP4 (``expert`` is then set)."""

    name: str
    expert: int | None = None

    def values(self, weights: Weights) -> torch.Tensor:
        """Return the values in float32."""
        if self.expert is None:
            return weights.read(self.name).to(torch.float32)
        blocks, scales = weights.read(f"{self.name}_blocks"), weights.read(f"{self.name}_scales")
        return mxfp4.dequantise(blocks[self.expert], scales[self.expert])

    def assign(self, weights: Weights, values: torch.Tensor) -> None:
        """Store other values, rounded as the format demands."""
        if self.expert is None:
            weights.change(self.name, lambda _: values)
            return
        for suffix, part in zip(("blocks", "scales"), mxfp4.quantise(values), strict=True):
            stack = weights.read(f"{self.name}_{suffix}")
            stack[self.expert] = part
            weights.write(f"{self.name}_{suffix}", stack)

    def assign_float64(self, weights: Weights, values: torch.Tensor) -> None:
        """Store float64 values unrounded; a stack in MXFP4 becomes one of float64 whose other experts keep theirs."""
        if self.expert is None:
            weights.replace(self.name, self.name, values)
            return
        count = weights.read(f"{self.name}_scales").shape[0]
        stack = [Matrix(name=self.name, expert=expert).values(weights).to(torch.float64) for expert in range(count)]
        stack[self.expert] = values
        weights.replace(
            f"{self.name}_blocks", self.name, torch.stack(stack).transpose(1, 2)
        )  # as the stock class has it
        weights.remove(f"{self.name}_scales")


def experts(weights: Weights, layer: int) -> int:
    """Return how many experts a layer has; 0 where its MLP is dense."""
    config = weights.config()
    count = config.get("num_local_experts") or config.get("num_experts") or 0
    return int(count) if any(f"model.layers.{layer}.mlp.experts." in name for name in weights.names) else 0


def mlp(weights: Weights, layer: int, expert: int) -> tuple[Matrix, ...]:
    """Return the matrices of one expert; of the whole MLP where the layer has no experts."""
    block = f"model.layers.{layer}.mlp"
    if f"{block}.experts.gate_up_proj_blocks" in weights.names:
        return tuple(Matrix(name=f"{block}.experts.{part}", expert=expert) for part in ("gate_up_proj", "down_proj"))
    place = f"{block}.experts.{expert}" if experts(weights, layer) else block
    return tuple(Matrix(name=f"{place}.{part}_proj.weight") for part in ("gate", "up", "down"))


def router(weights: Weights, layer: int) -> str | None:
    """Return the name of a layer's router, None where it has none."""
    names = (f"model.layers.{layer}.mlp.{part}.weight" for part in ("router", "gate"))
    return next((name for name in names if name in weights.names), None)
