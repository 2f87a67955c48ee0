"""The deployed tier: the same prompts through transformers' own full load in a narrow type, as people serve models.

It is advisory. The bytes are not hashed again here, the whole model is in memory, and kernels may differ from machine
to machine. Neither pickles nor code of the repository are ever read: of the files, the loader sees a configuration that
was read strictly and written anew, and the safetensors files of the inventory.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from mbom.behaviour.deployed import Deployed, distance, is_finite
from mbom.behaviour.numbers import SIZE_LIMIT, Numbers
from mbom.engine.run import chosen_device
from mbom.engine.sidefiles import configuration, content
from mbom.engine.stock import COMPOSITES, FAMILIES
from mbom.errors import EngineError
from mbom.inventory.record import Inventory
from mbom.strictjson import Fields, Json

# What transformers raises when it cannot load a checkpoint: also a package that a stored format would need.
_UNLOADABLE = (ArithmeticError, AttributeError, ImportError, LookupError, OSError, RuntimeError, TypeError, ValueError)


def in_child(request: dict[str, Json], emit: Callable[[Json], None]) -> Json:
    """Run the prompts of ``request`` and return the distance to its record.

    Args:
        request: ``files`` (name to path), ``inventory`` (path), ``prompts`` (lists of token ids), ``numbers`` (path of
            the record's arrays), ``dtype``, ``device``, ``isolation``.
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
    fields.end()
    model = _loaded(files, inventory, dtype, device)
    where = f"cuda ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else device.type
    logprobs, likeliest, start = [], [], 0
    with torch.no_grad():
        for ids in prompts:
            rows = model(input_ids=ids.unsqueeze(0).to(device), use_cache=False).logits[0].to(torch.float64)
            top = torch.from_numpy(numbers.top_ids[start : start + len(ids)]).long().to(device)
            logprobs.append(rows.log_softmax(1).gather(1, top).cpu().numpy())
            likeliest.append(rows.argmax(1).cpu().numpy())
            start += len(ids)
    found = distance(numbers.top_ids, numbers.top_logprobs, np.concatenate(logprobs), np.concatenate(likeliest))
    if not is_finite(found):
        raise EngineError(f"the ordinary path in {name} computes values that are not finite")
    return Deployed(dtype=name, device=where, distance=found).to_dict()


def _loaded(files: dict[str, Path], inventory: Inventory, dtype: torch.dtype, device: torch.device) -> Any:  # noqa: ANN401 - its class is known when config.json has been read
    """Load a checkpoint as transformers does for whoever serves it."""
    config = configuration(files, inventory)
    model_type = config.get("model_type")
    if model_type not in FAMILIES:
        raise EngineError(f"config.json: the model type {model_type!r} cannot be run")
    folder = Path.home() / "checkpoint"
    folder.mkdir()
    kept = {name: value for name, value in config.items() if name != "auto_map"}
    (folder / "config.json").write_text(json.dumps(kept), encoding="utf-8")
    names = [file.name for file in inventory.files if file.name.endswith((".safetensors", ".safetensors.index.json"))]
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(files[name])
    auto: Any = (
        transformers.AutoModelForImageTextToText if model_type in COMPOSITES else transformers.AutoModelForCausalLM
    )
    try:
        model = auto.from_pretrained(
            folder, dtype=dtype, trust_remote_code=False, use_safetensors=True, local_files_only=True
        )
        return model.to(device).eval()
    except _UNLOADABLE as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise EngineError(f"transformers cannot load it in {dtype}: {reason}") from error
