"""compressed-tensors: which of the schemes that ``config.json`` describes a stored tensor follows.

Each group of ``config_groups`` names modules by class or by regular expression. Neither is evaluated here: what is
stored beside a tensor shows whether it is quantised, and a scheme has to agree with the types and shapes found. A
tensor that fits no scheme is refused, and so is one that fits two which read it differently.

Source: ``compressed_tensors`` 0.20, ``quantization/quant_args.py``, ``compressors/*/base.py``.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from mbom.engine import layouts
from mbom.engine.weights import Weight
from mbom.errors import EngineError, FormatError
from mbom.inventory.record import TensorRecord
from mbom.strictjson import Fields, Json

WHERE = "config.json: quantization_config"

# Format -> the type, width and strategies of the weights that it stores.
_FORMATS: dict[str, tuple[str, frozenset[int], frozenset[str]]] = {
    "pack-quantized": ("int", frozenset({4, 8}), frozenset({"tensor", "channel", "group"})),
    "int-quantized": ("int", frozenset({8}), frozenset({"tensor", "channel", "group"})),
    "float-quantized": ("float", frozenset({8}), frozenset({"tensor", "channel", "group", "block"})),
    "nvfp4-pack-quantized": ("float", frozenset({4}), frozenset({"tensor_group"})),
    "mxfp4-pack-quantized": ("float", frozenset({4}), frozenset({"group"})),
    "mxfp8-quantized": ("float", frozenset({8}), frozenset({"group"})),
}
_NAIVE = {"int": "int-quantized", "float": "float-quantized"}  # what naive-quantized is, by the type of its weights
_GROUPS = {"nvfp4-pack-quantized": 16, "mxfp4-pack-quantized": 32, "mxfp8-quantized": 32}
_COMPANIONS = ("zero_point", "g_idx", "shape", "global_scale")


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """How the weights of one group are stored.

    Attributes:
        format: one of ``_FORMATS``.
        bits: of a code.
        strategy: what shares a scale: "tensor", "channel" (a row), "group", "tensor_group" or "block".
        group: columns under one scale, where groups do.
        block: rows and columns under one scale, where blocks do.
        symmetric: whether there are no zero points.
        ordered: whether columns were sorted, so that each has its group stored.
    """

    format: str
    bits: int
    strategy: str
    group: int | None
    block: tuple[int, int] | None
    symmetric: bool
    ordered: bool

    def __str__(self) -> str:
        extent = {"group": f"groups of {self.group}", "block": f"blocks of {self.block}"}
        marks = ("" if self.symmetric else ", asymmetric") + (", ordered by activation" if self.ordered else "")
        return f"{self.format} of {self.bits} bits by {extent.get(self.strategy, self.strategy)}{marks}"


def compressed(records: Mapping[str, TensorRecord], quantization: Mapping[str, Json]) -> list[Weight]:
    """Return the weights that compressed-tensors stores.

    Raises:
        EngineError: for a format or a scheme that is not known.
        FormatError: for tensors that no scheme describes.
    """
    schemes = read_schemes(quantization)
    found = []
    for record in records.values():
        stem = record.name.removesuffix("_packed")
        scales = records.get(f"{stem}_scale")
        if scales is None:
            if stem != record.name and record.dtype in ("I32", "U8"):
                raise FormatError(f"{record.name}: there is no {stem}_scale beside it")
            continue
        beside = {role: records[f"{stem}_{role}"] for role in _COMPANIONS if f"{stem}_{role}" in records}
        found.append(_weight(record, scales, beside, schemes))
    return found


def read_schemes(quantization: Mapping[str, Json]) -> tuple[Scheme, ...]:
    """Return the different schemes of ``config_groups``.

    Raises:
        EngineError: for what is not known: sparsity, transforms, presets, formats, widths.
        FormatError: for what contradicts itself.
    """
    fields = Fields(dict(quantization), WHERE)
    sparsity, transforms = quantization.get("sparsity_config"), quantization.get("transform_config")
    if isinstance(sparsity, dict) and sparsity.get("format", "dense") != "dense":
        raise EngineError(f"{WHERE}: the sparsity format {sparsity['format']!r} is not known; only dense is")
    if transforms:
        raise EngineError(f"{WHERE}: transform_config changes activations, which is not known")
    everywhere = fields.optional_text("format")
    groups = fields.raw("config_groups")
    if not isinstance(groups, dict):
        raise FormatError(f"{WHERE}: config_groups is not an object")
    schemes = []
    for name, group in groups.items():
        if isinstance(group, list):
            raise EngineError(f"{WHERE}: {name} is a preset by its name, which is not known; a scheme in full is")
        members = Fields(group, f"{WHERE}: {name}")
        own = members.optional_text("format") or everywhere
        if members.has("weights"):
            schemes.append(_scheme(members.object("weights"), own))
    return tuple(dict.fromkeys(schemes))


def _scheme(weights: Fields, stored: str | None) -> Scheme:
    kind, bits = (weights.optional_text("type") or "int").lower(), weights.integer("num_bits", minimum=1)
    wanted = _NAIVE.get(kind) if stored == "naive-quantized" else stored
    if wanted not in _FORMATS:
        raise EngineError(f"{weights.what}: the format {stored!r} is not known; {', '.join(_FORMATS)} are")
    group = _group_size(weights)
    strategy = weights.optional_text("strategy") or ("tensor" if group is None else "group" if group > 0 else "channel")
    only, widths, strategies = _FORMATS[wanted]
    if kind != only or bits not in widths or strategy not in strategies:
        raise EngineError(f"{weights.what}: {kind} weights of {bits} bits by {strategy!r} are not known in {stored}")
    grouped = strategy in ("group", "tensor_group")
    if grouped != (group is not None and group > 0) or (wanted in _GROUPS and group != _GROUPS[wanted]):
        raise FormatError(f"{weights.what}: group_size is {group} where {stored} is by {strategy!r}")
    symmetric = not weights.has("symmetric") or weights.boolean("symmetric")
    if only == "float" and not symmetric:
        raise EngineError(f"{weights.what}: floats with zero points are not known")
    return Scheme(
        format=wanted,
        bits=bits,
        strategy=strategy,
        group=group if grouped else None,
        block=_block(weights) if strategy == "block" else None,
        symmetric=symmetric,
        ordered=_ordered(weights),
    )


def _group_size(weights: Fields) -> int | None:
    if not weights.has("group_size"):
        return None
    size = weights.integer("group_size", minimum=-1)
    if size == 0:
        raise FormatError(f"{weights.what}: group_size is 0, -1 or a positive number is allowed")
    return size


def _block(weights: Fields) -> tuple[int, int]:
    sides = weights.integers("block_structure")
    if len(sides) != 2 or min(sides) < 1:
        raise FormatError(f"{weights.what}: block_structure is {list(sides)}, two positive numbers are allowed")
    return sides[0], sides[1]


def _ordered(weights: Fields) -> bool:
    """Tell whether columns have their groups stored; sorting by ``weight`` leaves no trace in what is stored."""
    order = weights.raw("actorder") if weights.has("actorder") else None
    if order in (None, False, "weight", "static"):
        return False
    if order in (True, "group", "dynamic"):
        return True
    raise EngineError(f"{weights.what}: the order {order!r} of activations is not known")


def _weight(
    record: TensorRecord, scales: TensorRecord, beside: Mapping[str, TensorRecord], schemes: tuple[Scheme, ...]
) -> Weight:
    """Return the weight under the one scheme that fits what is stored."""
    fitting: list[Weight] = []
    reasons = []
    for scheme in schemes:
        try:
            fitting.append(_under(scheme, record, scales, beside))
        except FormatError as error:
            reasons.append(error)
    if len(fitting) > 1:
        raise EngineError(f"{record.name}: fits {len(fitting)} schemes of config.json, which read it differently")
    if fitting:
        return fitting[0]
    if len(reasons) == 1:
        raise reasons[0]
    described = "; ".join(str(scheme) for scheme in schemes) or "nothing"
    raise FormatError(
        f"{record.name}: {record.dtype} {list(record.shape)} with {scales.name} {scales.dtype} {list(scales.shape)} "
        f"fits no scheme of config.json, which has {described}"
    )


def _under(scheme: Scheme, record: TensorRecord, scales: TensorRecord, beside: Mapping[str, TensorRecord]) -> Weight:
    """Return the weight as one scheme reads it.

    Raises:
        FormatError: when it does not fit.
    """
    name = record.name.removesuffix("_packed")
    allowed = {"shape"} if scheme.format == "pack-quantized" else set()
    wanted = set()
    if scheme.format == "nvfp4-pack-quantized":
        wanted.add("global_scale")
    if not scheme.symmetric:
        wanted.add("zero_point")
    if scheme.ordered:
        wanted.add("g_idx")
    if not wanted <= set(beside) <= wanted | allowed or ("pack" in scheme.format) != (name != record.name):
        raise FormatError(
            f"{record.name}: has {', '.join(sorted(beside)) or 'no companions'} besides its scales; "
            f"config.json says {scheme}, which needs {', '.join(sorted(wanted)) or 'none'}"
        )
    if scheme.format == "nvfp4-pack-quantized":
        return layouts.nvfp4(name, record, scales, beside["global_scale"], divisor=True)
    if scheme.format == "mxfp4-pack-quantized":
        return layouts.mxfp4_rows(name, record, scales)
    if scheme.format in ("float-quantized", "mxfp8-quantized"):
        return _fp8(scheme, record, scales)
    shape = _scale_shape(scheme, record)
    if scheme.format == "int-quantized":
        return layouts.integers(record, scales, beside.get("zero_point"), shape)
    return layouts.packed_rows(name, record, scales, beside, bits=scheme.bits, shape=shape)


def _fp8(scheme: Scheme, record: TensorRecord, scales: TensorRecord) -> Weight:
    if scheme.strategy in ("block", "group"):
        return layouts.fp8(record, scales, block=scheme.block or (1, scheme.group or 1))
    single = scales.shape in ((), (1,), (1, 1))
    if single != (scheme.strategy == "tensor") and record.shape[:1] != (1,):
        raise FormatError(f"{record.name}: scales of shape {list(scales.shape)}; config.json says {scheme}")
    return layouts.fp8(record, scales)


def _scale_shape(scheme: Scheme, record: TensorRecord) -> tuple[int, ...]:
    """Return the shape that the scales of integers have: () for one, else (rows, groups)."""
    if scheme.strategy == "tensor":
        return ()
    if len(record.shape) != 2:
        raise FormatError(f"{record.name}: {record.dtype} {list(record.shape)}; a matrix belongs here")
    rows, columns = record.shape
    if scheme.group is None:
        return rows, 1
    if scheme.format == "pack-quantized":
        columns = columns * 32 // scheme.bits
    if columns % scheme.group:
        raise FormatError(f"{record.name}: {columns} columns are no whole groups of {scheme.group}")
    return rows, columns // scheme.group
