"""The deployed tier: the same prompts through transformers' own full load in a narrow type, as people serve models.

It is advisory. The bytes are not hashed again here, the whole model is in memory, and kernels may differ from machine
to machine. Neither pickles nor code are ever read: of the files, the loader sees a configuration that was read strictly
and written anew without what chooses code, an index made from the inventory, and the safetensors files that hold the
inventory's tensors. Packed weights are unpacked as they are loaded, by transformers: its kernels for them are code that
it would fetch.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError

from mbom.behaviour.deployed import Deployed, distance, is_finite
from mbom.behaviour.numbers import SIZE_LIMIT, Numbers
from mbom.engine import child
from mbom.engine.encodings import MODELOPT, description
from mbom.engine.run import chosen_device
from mbom.engine.sidefiles import CONFIG, configuration, content
from mbom.engine.stock import COMPOSITES, FAMILIES
from mbom.errors import EngineError
from mbom.inventory.index import INDEX_FILE
from mbom.inventory.record import Inventory
from mbom.inventory.weights import SINGLE_FILE
from mbom.strictjson import Fields, Json

FOLDER = Path("checkpoint")  # in the child's private home, where it works: messages name no folder of this machine
HEAD_ROWS = 64  # positions whose logits are in float64 at once: 0.1 GB a copy with 250,000 tokens

# Members of a configuration, at any depth, that name code to run or another file to load.
_CHOOSES_CODE = re.compile(r"auto_map|transformers_weights|_?(attn|experts)_implementation(_internal)?")

# Stored formats that transformers unpacks by itself as it loads, and others that it runs with a package of their own.
# It loads what it does not know as if it were not packed.
_UNPACKED = frozenset({"compressed-tensors", "fp8", "mxfp4"})
_PACKAGED = frozenset({"awq", "fbgemm_fp8", "gptq"})

# What transformers raises when it cannot load a checkpoint: also a package that a stored format would need.
_UNLOADABLE = (
    ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, OSError, RuntimeError, TypeError,
    ValueError, SafetensorError, StrictDataclassError,
)  # fmt: skip


def in_child(request: dict[str, Json], emit: Callable[[Json], None]) -> Json:
    """Run the prompts of ``request`` and return the distance to its record.

    Args:
        request: ``files`` (name to path), ``inventory`` (path), ``prompts`` (lists of token ids), ``numbers`` (path of
            the record's arrays), ``dtype``, ``device``, ``isolation``, ``weights`` (how many the checkpoint has), and
            ``memory`` (bytes of address space beyond what the imports take; not for CUDA).
        emit: takes no report.

    Raises:
        EngineError: when the checkpoint cannot be run like this.
    """
    del emit
    fields = Fields(request, "request")
    fields.texts("isolation")
    inventory = Inventory.from_bytes(Path(fields.text("inventory")).read_bytes())
    listed = fields.object("files")
    files = {file.name: Path(listed.text(file.name)) for file in inventory.files if listed.has(file.name)}
    name, device = fields.text("dtype"), chosen_device(fields.text("device"))
    dtype: torch.dtype = getattr(torch, name)
    prompts = [torch.tensor(ids) for ids in fields.array("prompts")]
    numbers = Numbers.from_bytes(content(Path(fields.text("numbers")), SIZE_LIMIT), what="the record")
    weights, memory = fields.integer("weights"), fields.integer("memory")
    fields.end()
    if device.type == "cpu":
        child.limit_memory(memory)
    model = _loaded(files, inventory, dtype, weights).to(device)
    where = f"cuda ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else device.type
    logprobs, likeliest, start = [], [], 0
    with torch.no_grad():
        for ids in prompts:
            logits = model(input_ids=ids.unsqueeze(0).to(device), use_cache=False).logits[0]  # (positions, V)
            for rows in logits.split(HEAD_ROWS):
                top = torch.from_numpy(numbers.top_ids[start : start + len(rows)]).long().to(device)
                logprobs.append(rows.to(torch.float64).log_softmax(1).gather(1, top).cpu().numpy())
                likeliest.append(rows.argmax(1).cpu().numpy())
                start += len(rows)
    found = distance(numbers.top_ids, numbers.top_logprobs, np.concatenate(logprobs), np.concatenate(likeliest))
    if not is_finite(found):
        raise EngineError(f"the ordinary path in {name} computes values that are not finite")
    return Deployed(dtype=name, device=where, distance=found).to_dict()


def _loaded(files: dict[str, Path], inventory: Inventory, dtype: torch.dtype, weights: int) -> Any:  # noqa: ANN401 - its class is known when config.json has been read
    """Load a checkpoint as transformers does for whoever serves it.

    Raises:
        EngineError: when it does not load, or the model would have parameters that the checkpoint does not have.
        RefusedError: when the configuration is not what the inventory says.
    """
    raw = configuration(files, inventory)
    model_type = raw.get("model_type")
    if model_type not in FAMILIES:
        raise EngineError(f"{CONFIG}: the model type {model_type!r} cannot be run")
    unpacked = _unpacks(raw, description(raw, files, inventory))
    _lay_out(files, inventory, raw)
    auto: Any = (
        transformers.AutoModelForImageTextToText if model_type in COMPOSITES else transformers.AutoModelForCausalLM
    )
    try:
        _check_size(auto, weights)
        model, report = auto.from_pretrained(
            FOLDER, dtype=dtype, trust_remote_code=False, use_safetensors=True, local_files_only=True,
            output_loading_info=True,
        )  # fmt: skip
    except _UNLOADABLE as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise EngineError(f"transformers cannot load it in {_name(dtype)}: {reason}") from error
    if missing := sorted(report["missing_keys"]):
        raise EngineError(f"transformers finds no weights for {len(missing)} parameters, of which {missing[0]} is one")
    if unpacked:
        _narrow(model, dtype)
    return model.eval()


def _unpacks(config: dict[str, Json], quantization: Json) -> bool:
    """Tell whether transformers unpacks weights as it loads, and ask it to in ``config``.

    Raises:
        EngineError: for a stored format that it would take for plain weights.
    """
    if quantization is None:
        return False
    own = config.get("quantization_config")
    if not isinstance(own, dict):
        raise EngineError(f"transformers does not read {MODELOPT}, which says how the weights are stored")
    method = own.get("quant_method")
    if method not in _UNPACKED | _PACKAGED:
        raise EngineError(f"transformers does not load weights that are stored as {str(method)[:80]!r}")
    if method in _UNPACKED:
        config["quantization_config"] = {**own, "dequantize": True}
    return method in _UNPACKED


def _lay_out(files: dict[str, Path], inventory: Inventory, config: dict[str, Json]) -> None:
    """Make the folder that transformers loads from."""
    FOLDER.mkdir()
    kept = {name: value if name == "quantization_config" else _plain(value) for name, value in _chosen(config).items()}
    (FOLDER / CONFIG).write_text(json.dumps(kept), encoding="utf-8")
    places: dict[str, Json] = {tensor.name: tensor.file for tensor in inventory.tensors}
    names = {file.name for file in inventory.weight_files}
    for name in names:
        (FOLDER / name).parent.mkdir(parents=True, exist_ok=True)
        (FOLDER / name).symlink_to(files[name])
    if names != {SINGLE_FILE}:
        (FOLDER / INDEX_FILE).write_text(json.dumps({"metadata": {}, "weight_map": places}), encoding="utf-8")


def _plain(value: Json) -> Json:
    """Return a value without the members that choose code, at any depth."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return {name: _plain(inner) for name, inner in _chosen(value).items()} if isinstance(value, dict) else value


def _chosen(members: dict[str, Json]) -> dict[str, Json]:
    return {name: value for name, value in members.items() if _CHOOSES_CODE.fullmatch(name) is None}


def _check_size(auto: Any, weights: int) -> None:  # noqa: ANN401 - one of transformers' automatic classes
    """Refuse a configuration of parts that the checkpoint has no weights for: those would be made up, and take memory.

    Raises:
        EngineError: naming both numbers.
    """
    config = transformers.AutoConfig.from_pretrained(FOLDER, trust_remote_code=False, local_files_only=True)
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    with torch.device("meta"):
        model = auto.from_config(config, trust_remote_code=False)
    found = sum(parameter.numel() for parameter in model.parameters())
    if found > weights:
        raise EngineError(f"{CONFIG} describes a model of {found:,} parameters, the checkpoint has {weights:,} weights")


def _narrow(model: Any, dtype: torch.dtype) -> None:  # noqa: ANN401 - see _loaded
    """Bring what was unpacked to bfloat16, whatever was asked for, to the type; what a class keeps wider stays so."""
    for parameter in model.parameters():
        if parameter.dtype in (torch.bfloat16, torch.float16):
            parameter.data = parameter.data.to(dtype)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
