"""Weights as numbers, whatever their encoding on disk: plain floats, MXFP4 or FP8 in blocks.

A ``Weight`` carries the name that the checkpoint would use without quantisation, so that transformers' conversion of
names and its merging of experts apply to it unchanged. Its values are exact in float64 for every encoding here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch

from mbom.engine.checkpoint import Checkpoint
from mbom.engine.dequantise import fp8_blocks, mxfp4
from mbom.errors import EngineError, FormatError
from mbom.inventory.record import TensorRecord
from mbom.strictjson import Json

PLAIN_TYPES = frozenset({"F64", "F32", "F16", "BF16"})


@dataclass(frozen=True, kw_only=True)
class Weight:
    """A tensor of values and where they are stored.

    Attributes:
        name: the name without the suffixes of quantisation.
        shape: the shape of the values.
        stored: the tensors on disk that make up the values.
        decode: maps those tensors, or the same slices of their first dimension, to float64.
    """

    name: str
    shape: tuple[int, ...]
    stored: tuple[str, ...]
    decode: Callable[..., torch.Tensor]

    @property
    def by_rows(self) -> bool:
        """Whether slices of the stored tensors' first dimension are slices of the values' first dimension."""
        return len(self.stored) == 1


class WeightPass:
    """One pass over a weight, by slices of its first dimension, in order."""

    def __init__(self, weight: Weight, checkpoint: Checkpoint, device: torch.device) -> None:
        self._weight = weight
        self._parts = [checkpoint.stored(name) for name in weight.stored]
        self._device = device

    @property
    def position(self) -> int:
        """The number of slices read so far."""
        return self._parts[0].position

    def read(self, count: int | None = None) -> torch.Tensor:
        """Return the next ``count`` slices (all that are left by default) in float64 on the device."""
        return self._weight.decode(*(part.read(count).to(self._device) for part in self._parts))

    def skip(self, count: int | None = None) -> None:
        """Read and hash the next ``count`` slices (all that are left by default) without decoding them."""
        for part in self._parts:
            part.skip(count)


def weights(records: Mapping[str, TensorRecord], quantization: Json) -> dict[str, Weight]:
    """Return every weight of a checkpoint by name.

    Args:
        records: the stored tensors.
        quantization: the member ``quantization_config`` of ``config.json``, or None.

    Raises:
        EngineError: for a quantisation that cannot be undone exactly here.
        FormatError: for one whose description or tensors contradict themselves.
    """
    pairs = _encoded(records, quantization)
    taken = {name for weight in pairs for name in weight.stored}
    plain = [
        Weight(name=record.name, shape=record.shape, stored=(record.name,), decode=_to_float64)
        for record in records.values()
        if record.name not in taken
    ]
    return {weight.name: weight for weight in [*plain, *pairs]}


def check_plain(weight: Weight, records: Mapping[str, TensorRecord]) -> None:
    """Refuse to compute with a tensor of integers or of scaled values whose scale is unknown.

    Raises:
        EngineError: naming the tensor and its type.
    """
    record = records[weight.stored[0]]
    if len(weight.stored) == 1 and record.dtype not in PLAIN_TYPES:
        allowed = ", ".join(sorted(PLAIN_TYPES))
        raise EngineError(f"{record.name}: holds {record.dtype} without a known scale; plain weights are {allowed}")


def _encoded(records: Mapping[str, TensorRecord], quantization: Json) -> list[Weight]:
    if quantization is None:
        return []
    if not isinstance(quantization, dict):
        raise FormatError("config.json: quantization_config is not an object")
    method = quantization.get("quant_method")
    if method == "mxfp4":
        return [
            _mxfp4_weight(record, records[scales])
            for record in records.values()
            if record.name.endswith("_blocks")
            and (scales := record.name.removesuffix("_blocks") + "_scales") in records
        ]
    if method == "fp8":
        block = _fp8_block(quantization)
        return [
            _fp8_weight(record, records[scales], block)
            for record in records.values()
            if (scales := record.name + "_scale_inv") in records
        ]
    raise EngineError(f"config.json: quantisation by {method!r} is not known; mxfp4 and fp8 are")


def _mxfp4_weight(blocks: TensorRecord, scales: TensorRecord) -> Weight:
    """Describe expert weights of gpt-oss: blocks (E, O, G, 16), scales (E, O, G), values (E, G * 32, O)."""
    if (
        len(blocks.shape) != 4
        or blocks.shape[3] != 16
        or blocks.shape[:3] != scales.shape
        or (blocks.dtype, scales.dtype) != ("U8", "U8")
    ):
        raise FormatError(
            f"{blocks.name}: {blocks.dtype} {list(blocks.shape)} with scales {scales.dtype} {list(scales.shape)} "
            "is not MXFP4, which has U8 (experts, out, groups, 16) with U8 (experts, out, groups)"
        )
    experts, out, groups, _ = blocks.shape
    return Weight(
        name=blocks.name.removesuffix("_blocks"),
        shape=(experts, groups * 32, out),
        stored=(blocks.name, scales.name),
        decode=partial(_mxfp4_values, what=blocks.name),
    )


def _mxfp4_values(blocks: torch.Tensor, scales: torch.Tensor, *, what: str) -> torch.Tensor:
    return mxfp4(blocks, scales, what=what).transpose(-1, -2)  # (E, in, out): the stock class multiplies from the left


def _fp8_block(quantization: dict[str, Json]) -> tuple[int, int]:
    block = quantization.get("weight_block_size")
    if quantization.get("fmt", "e4m3") != "e4m3":
        raise EngineError(f"config.json: FP8 of format {quantization['fmt']!r} is not known; e4m3 is")
    if not isinstance(block, list) or len(block) != 2:
        raise EngineError("config.json: FP8 without weight_block_size is not known; blocks such as [128, 128] are")
    rows, columns = block
    if type(rows) is not int or type(columns) is not int or rows < 1 or columns < 1:
        raise FormatError(f"config.json: weight_block_size is {block}, two positive integers are allowed")
    return rows, columns


def _fp8_weight(weight: TensorRecord, scales: TensorRecord, block: tuple[int, int]) -> Weight:
    """Describe a matrix (O, I) with one scale for each block, the last of them ragged."""
    if weight.dtype != "F8_E4M3" or len(weight.shape) != 2:
        raise FormatError(
            f"{weight.name}: {weight.dtype} {list(weight.shape)} has scales in {scales.name}; "
            "only matrices of F8_E4M3 may"
        )
    decode = partial(fp8_blocks, block=block, what=weight.name)
    return Weight(name=weight.name, shape=weight.shape, stored=(weight.name, scales.name), decode=decode)


def _to_float64(values: torch.Tensor) -> torch.Tensor:
    return values.to(torch.float64)
