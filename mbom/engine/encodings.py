"""From the tensors of a checkpoint, and what its configuration says of quantisation, to weights.

What is stored beside a tensor decides whether it is packed, because lists such as ``ignore`` and
``modules_to_not_convert`` are patterns that each program reads in its own way. The configuration says how to read what
is packed; where the two contradict each other, or a tensor stands beside a quantised one that nothing here reads, the
checkpoint is refused by that tensor's name.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from mbom import strictjson
from mbom.engine import layouts
from mbom.engine.compressed import WHERE, compressed
from mbom.engine.sidefiles import bound
from mbom.engine.weights import Weight, plain
from mbom.errors import EngineError, FormatError
from mbom.facts.packing import companions
from mbom.inventory.record import Inventory, TensorRecord
from mbom.strictjson import Fields, Json

Records = Mapping[str, TensorRecord]
Description = Mapping[str, Json]

MODELOPT = "hf_quant_config.json"  # where NVIDIA's ModelOpt described its work before config.json did

# What may stand beside a quantised weight without being part of it. The numbers scale or shift activations and the
# key-value cache of a deployment that quantises those too, which the forward pass in float64 does not.
ACTIVATIONS = (
    "activation_scale", "input_global_scale", "input_scale", "input_scale_ub", "input_zero_point", "k_scale",
    "output_scale", "q_scale", "v_scale",
)  # fmt: skip

# ModelOpt's algorithms whose weights are stored as FP8 or NVFP4 with scales and nothing else.
_MODELOPT = ("FP8", "FP8_PER_CHANNEL_PER_TOKEN", "NVFP4", "W4A16_NVFP4")


def scales_activations(name: str) -> bool:
    """Return whether a tensor is one of ``ACTIVATIONS``."""
    member = name.rpartition(".")[2]
    return any(member == kind or member.endswith(f"_{kind}") for kind in ACTIVATIONS)


def weights(records: Records, quantization: Json) -> dict[str, Weight]:
    """Return every weight of a checkpoint by name.

    Args:
        records: the stored tensors.
        quantization: what ``description`` returns.

    Raises:
        EngineError: for a quantisation that cannot be undone exactly here.
        FormatError: for one whose description or tensors contradict themselves.
    """
    encoded = _encoded(records, quantization)
    taken = {name for weight in encoded for name in weight.tensors}
    left = {name: record for name, record in records.items() if name not in taken}
    found: dict[str, Weight] = {}
    for weight in [*(plain(record) for record in left.values()), *encoded]:
        if weight.name in found:
            raise FormatError(
                f"{weight.name}: stored twice, in {found[weight.name].stored[0]} and in {weight.stored[0]}"
            )
        found[weight.name] = weight
    _check_left(records, left, encoded)
    return found


def description(config: Description, files: Mapping[str, Path], inventory: Inventory) -> Json:
    """Return how a checkpoint says that it is quantised, or None.

    Raises:
        RefusedError: when ModelOpt's own file is not what was inventoried, or not strictly JSON.
    """
    found = config.get("quantization_config")
    if found is not None or all(file.name != MODELOPT for file in inventory.files):
        return found
    own = strictjson.loads(bound(files, inventory, MODELOPT, strictjson.SIZE_LIMIT), what=MODELOPT)
    return {"quant_method": "modelopt", "quantization": Fields(own, MODELOPT).raw("quantization")}


def _encoded(records: Records, quantization: Json) -> list[Weight]:
    if quantization is None:
        return []
    if not isinstance(quantization, dict):
        raise FormatError(f"{WHERE} is not an object")
    method = quantization.get("quant_method")
    if not isinstance(method, str) or method not in _METHODS:
        raise EngineError(f"config.json: quantisation by {method!r} is not known; {', '.join(_METHODS)} are")
    return _METHODS[method](records, quantization)


def _check_left(records: Records, left: Records, encoded: list[Weight]) -> None:
    """Refuse tensors that belong to a quantised one and that nothing reads: they would change what it means."""
    known = companions(tuple(records.values()))
    modules = {weight.name.removesuffix("weight") for weight in encoded if weight.name.endswith(".weight")}
    stacks = tuple(f"{weight.name}_" for weight in encoded if not weight.name.endswith(".weight"))
    for name in left:
        module, dot, _ = name.rpartition(".")
        beside = (module + dot) in modules or name.startswith(stacks)
        harmless = name.endswith("bias") or scales_activations(name)
        if name in known and not harmless and not encoded:
            raise FormatError(f"{name}: belongs to a quantised tensor, which config.json does not describe")
        if (name in known or beside) and not harmless:
            raise EngineError(f"{name}: stands beside a quantised tensor, and how it changes that is not known")


def _mxfp4(records: Records, _quantization: Description) -> list[Weight]:
    return [
        layouts.mxfp4_experts(record, records[scales])
        for record in records.values()
        if record.name.endswith("_blocks") and (scales := record.name.removesuffix("_blocks") + "_scales") in records
    ]


def _fp8(records: Records, quantization: Description) -> list[Weight]:
    """Read the layout that DeepSeek began: ``weight_scale_inv`` is, its name notwithstanding, a factor.

    DeepSeek V4 calls it ``scale`` and stores experts as MXFP4 in I8; others write ``weight_scale`` and one for all.
    """
    fmt = quantization.get("fmt", "e4m3")
    if fmt not in ("e4m3", "float8_e4m3fn"):
        raise EngineError(f"config.json: FP8 of format {fmt!r} is not known; e4m3 is")
    block = _fp8_block(quantization.get("weight_block_size"))
    found = []
    for record in records.values():
        names = [f"{record.name}_scale_inv", f"{record.name}_scale"]
        if record.name.endswith(".weight"):
            names.append(f"{record.name.removesuffix('weight')}scale")
        scales = [records[name] for name in names if name in records]
        if len(scales) > 1:
            raise FormatError(f"{record.name}: has scales in {scales[0].name} and in {scales[1].name}")
        if not scales or (scales[0].name.endswith(".scale") and record.dtype not in ("F8_E4M3", "I8")):
            continue
        if record.dtype == "I8":
            found.append(layouts.mxfp4_rows(record.name, record, scales[0]))
        else:
            # Whoever has blocks may still keep one scale for an embedding, under the other name.
            single = scales[0].name.endswith("_scale") and scales[0].shape in ((), (1,))
            found.append(layouts.fp8(record, scales[0], block=None if single else block))
    return found


def _fp8_block(block: Json) -> tuple[int, int] | None:
    if block is None:
        return None
    if not isinstance(block, list) or len(block) != 2:
        raise FormatError(f"config.json: weight_block_size is {block}, two positive integers are allowed")
    rows, columns = block
    if type(rows) is not int or type(columns) is not int or rows < 1 or columns < 1:
        raise FormatError(f"config.json: weight_block_size is {block}, two positive integers are allowed")
    return rows, columns


def _fbgemm(records: Records, _quantization: Description) -> list[Weight]:
    return [
        layouts.fp8(record, records[scales])
        for record in records.values()
        if (scales := f"{record.name}_scale") in records
    ]


def _modelopt(records: Records, quantization: Description) -> list[Weight]:
    """Read NVIDIA ModelOpt's FP8 (a factor for each tensor or row) and NVFP4 (a factor for the tensor besides)."""
    algorithms = _modelopt_algorithms(quantization)
    unknown = sorted(set(algorithms) - set(_MODELOPT))
    if unknown:
        raise EngineError(f"config.json: ModelOpt's {unknown[0]} is not known; {', '.join(_MODELOPT)} are")
    found = []
    for record in records.values():
        scales, overall = records.get(f"{record.name}_scale"), records.get(f"{record.name}_scale_2")
        if scales is None:
            continue
        four = overall is not None
        if not any(("NVFP4" in algorithm) == four for algorithm in algorithms):
            raise FormatError(f"{record.name}: is {'NVFP4' if four else 'FP8'}, config.json says {algorithms[0]}")
        found.append(
            layouts.fp8(record, scales)
            if overall is None
            else layouts.nvfp4(record.name, record, scales, overall, divisor=False)
        )
    return found


def _modelopt_algorithms(quantization: Description) -> list[str]:
    """Return the algorithms that a description names: one, or those of its layers."""
    inner = quantization.get("quantization", quantization)
    if not isinstance(inner, Mapping):
        raise FormatError(f"{WHERE}: quantization is not an object")
    fields = Fields(dict(inner), WHERE)
    algorithm = fields.text("quant_algo")
    if algorithm != "MIXED_PRECISION":
        return [algorithm]
    layers = fields.raw("quantized_layers")
    if not isinstance(layers, dict) or not layers:
        raise FormatError(f"{WHERE}: MIXED_PRECISION has no quantized_layers")
    return sorted({Fields(layer, f"{WHERE}: {name}").text("quant_algo") for name, layer in layers.items()})


def _awq(records: Records, quantization: Description) -> list[Weight]:
    fields = Fields(dict(quantization), WHERE)
    bits, group = fields.integer("bits"), _integer_group(fields)
    version = (fields.optional_text("version") or fields.optional_text("format") or "gemm").lower()
    shifted = not fields.has("zero_point") or fields.boolean("zero_point")
    if (bits, version, shifted) != (4, "gemm", True):
        raise EngineError(
            f"config.json: AWQ of {bits} bits, version {version!r}{'' if shifted else ' without zero points'} is not "
            "known; 4 bits, gemm, with zero points is"
        )
    found = []
    for stem in _quantised_stems(records):
        words, zeros, scales = _parts(records, stem, ("qweight", "qzeros", "scales"))
        found.append(layouts.awq(f"{stem}weight", words, zeros, scales, group=group))
    return found


def _gptq(records: Records, quantization: Description) -> list[Weight]:
    fields = Fields(dict(quantization), WHERE)
    bits, group = fields.integer("bits"), _integer_group(fields)
    version = (fields.optional_text("checkpoint_format") or fields.optional_text("format") or "gptq").lower()
    if bits not in (4, 8) or version not in ("gptq", "gptq_v2"):
        raise EngineError(
            f"config.json: GPTQ of {bits} bits, format {version!r} is not known; 4 or 8 bits, gptq or gptq_v2 are"
        )
    sorted_columns = fields.has("desc_act") and fields.boolean("desc_act")
    added = 1 if version == "gptq" else 0
    return [
        layouts.gptq(
            f"{stem}weight",
            _parts(records, stem, ("qweight", "qzeros", "scales", "g_idx")),
            bits=bits,
            group=group,
            added=added,
            sorted_columns=sorted_columns,
        )
        for stem in _quantised_stems(records)
    ]


def _integer_group(fields: Fields) -> int:
    group = fields.integer("group_size", minimum=-1)
    if group == 0:
        raise FormatError(f"{WHERE}: group_size is 0, -1 or a positive number is allowed")
    return group


def _quantised_stems(records: Records) -> list[str]:
    return [name.removesuffix("qweight") for name in records if name.endswith(".qweight")]


def _parts(records: Records, stem: str, members: tuple[str, ...]) -> list[TensorRecord]:
    missing = next((member for member in members if stem + member not in records), None)
    if missing is not None:
        raise FormatError(f"{stem}qweight: there is no {stem}{missing} beside it")
    return [records[stem + member] for member in members]


_METHODS: dict[str, Callable[[Records, Description], list[Weight]]] = {
    "awq": _awq,
    "compressed-tensors": compressed,
    "fbgemm_fp8": _fbgemm,
    "fp8": _fp8,
    "gptq": _gptq,
    "modelopt": _modelopt,
    "mxfp4": _mxfp4,
}
