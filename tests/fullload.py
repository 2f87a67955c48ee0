"""The oracle of the engine: the whole model in memory, loaded by transformers as anybody would.

Its float64 is made by another route than the engine's: while it runs, the names ``torch.float32`` and ``Tensor.float``,
by which model code asks for narrow floats, mean float64.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tinymodels import TinyModel, cast
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class FullRun:
    """What the whole model computed for (prompts, positions) ids: logits, residual stream after each layer, experts.

    ``experts`` holds the ids given to each expert module, by layer.
    """

    logits: Tensor
    residual: list[Tensor]
    experts: dict[int, Tensor]


@contextmanager
def float32_means_float64() -> Iterator[None]:
    before = torch.get_default_dtype()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("float32", "float"):
            patch.setattr(torch, name, torch.float64)
        patch.setattr(Tensor, "float", Tensor.double)
        torch.set_default_dtype(torch.float64)
        try:
            yield
        finally:
            torch.set_default_dtype(before)


def run(model: TinyModel, ids: Tensor, folder: Path, *, dtype: torch.dtype) -> FullRun:
    """Run the values of a checkpoint, written to ``folder`` without quantisation, through an ordinary full load."""
    loaded = load(model, folder, dtype=dtype)
    residual: list[Tensor] = []
    experts: dict[int, Tensor] = {}
    for index, layer in enumerate(decoder(loaded).layers):
        layer.register_forward_hook(lambda _m, _a, out: residual.append(out[0] if isinstance(out, tuple) else out))
        for module in layer.modules():
            if type(module).__name__.endswith("Experts"):
                module.register_forward_pre_hook(
                    lambda _m, args, kwargs, index=index: given(experts, index, [*args[1:], *kwargs.values()]),
                    with_kwargs=True,
                )
            if type(module).__name__ == "Llama4Router":  # its experts are given every position
                module.register_forward_hook(
                    lambda module, _a, out, index=index: experts.__setitem__(index, out[1].topk(module.top_k).indices)
                )
    with torch.no_grad():
        if dtype == torch.float64:
            with float32_means_float64():
                recompute_constants(loaded)
                logits = loaded(ids, use_cache=False).logits
        else:
            logits = loaded(ids, use_cache=False).logits
    assert logits.dtype == dtype
    return FullRun(logits=logits, residual=residual, experts=experts)


def given(experts: dict[int, Tensor], layer: int, arguments: list[Tensor]) -> None:
    """Keep what expert modules are given to choose by."""
    for value in arguments:
        if not value.is_floating_point():
            experts[layer] = value


def decoder(loaded: Any) -> Any:
    """Return the text model without its head, wherever a class keeps it."""
    for path in ("model.language_model", "language_model.model", "model"):
        try:
            return loaded.get_submodule(path)
        except AttributeError:
            continue
    raise AssertionError(type(loaded))


def load(model: TinyModel, folder: Path, *, dtype: torch.dtype) -> Any:
    import transformers

    folder.mkdir(exist_ok=True)
    config = {name: value for name, value in model.config.items() if name != "quantization_config"}
    (folder / "config.json").write_text(json.dumps({**config, "dtype": str(dtype).removeprefix("torch.")}))
    save_file(
        {name: value.contiguous() for name, value in model.values.items()},
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )
    composite = "text_config" in config
    # The whole of a composite checkpoint, given text alone: its class is not the one that the engine runs.
    auto: Any = transformers.AutoModelForImageTextToText if composite else transformers.AutoModelForCausalLM
    loaded, report = auto.from_pretrained(
        folder, dtype=dtype, attn_implementation="eager", experts_implementation="eager", output_loading_info=True
    )
    assert not report["missing_keys"]
    return cast(loaded, dtype).eval()


def recompute_constants(loaded: Any) -> None:
    """Compute rotary frequencies and scales anew; under ``float32_means_float64`` they come out in float64."""
    for module in decoder(loaded).modules():
        frequencies = [name for name, _ in module.named_buffers(recurse=False) if name.endswith("inv_freq")]
        fresh = type(module)(module.config) if frequencies else None
        for name in frequencies:
            wide, narrow = getattr(fresh, name), getattr(module, name)
            assert wide.dtype == torch.float64
            assert not torch.equal(wide, narrow.to(torch.float32).to(torch.float64))
            setattr(module, name, wide)
        if hasattr(module, "embed_scale"):
            # Gemma scales embeddings with the root of their width: irrational here, and rounded to no narrower type.
            wide = torch.tensor(module.scalar_embed_scale)
            assert not torch.equal(wide, wide.to(torch.bfloat16).to(torch.float64))
            module.embed_scale = wide


def relative(measured: Tensor, expected: Tensor) -> float:
    """Return the relative L2 error."""
    assert measured.shape == expected.shape
    return float(torch.linalg.vector_norm(measured - expected) / torch.linalg.vector_norm(expected))
