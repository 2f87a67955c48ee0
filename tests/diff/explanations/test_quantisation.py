"""Checkpoints quantised as publishers do it, told from checkpoints that were edited too."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import quantisers
import tinymodels
import torch
from arrayvalues import Arrays, stored
from safetensors.torch import load_file, save_file
from tinymodels import TinyModel
from torch import Tensor

from mbom.diff.changes import Explanation
from mbom.diff.explanations import quantisation, re_encoding
from mbom.diff.values.weights import compare
from mbom.engine.values import open_values


def explained(old: TinyModel, new: TinyModel) -> Explanation | None:
    before, after = (open_values(model.files, model.inventory()) for model in (old, new))
    with before as one, after as other:
        return quantisation.explain(one, other, compare(one, other))


# Family, how it is quantised, and how the recipe begins that it should be told as.
FORMATS: dict[str, tuple[str, Callable[[TinyModel], TinyModel], str]] = {
    "MXFP4 experts": ("gpt_oss", tinymodels.quantise_mxfp4, "MXFP4, groups of 32, scales rounded down"),
    "FP8 blocks": ("deepseek_v3", tinymodels.quantise_fp8, "FP8 E4M3, blocks of 128 x 128, computed in float32"),
    "int8": (
        "qwen3",
        partial(
            quantisers.quantise,
            encode=quantisers.int_quantized,
            description=quantisers.groups("int-quantized", **quantisers.INT8),
        ),
        "int8, symmetric, one scale a row",
    ),
    "int4": (
        "llama",
        partial(
            quantisers.quantise,
            encode=quantisers.pack_quantized,
            description=quantisers.groups("pack-quantized", **quantisers.INT4),
        ),
        "int4, symmetric, groups of 32",
    ),
    "FP8 rows": (
        "qwen3_moe",
        partial(
            quantisers.quantise,
            encode=partial(quantisers.fp8, by_row=True),
            description=quantisers.groups("float-quantized", **quantisers.FP8_ROWS),
        ),
        "FP8 E4M3, one scale a row",
    ),
    "FP8 with one scale": (
        "mistral",
        partial(
            quantisers.quantise,
            encode=partial(quantisers.fp8, by_row=False, end="weight_scale_inv"),
            description=quantisers.STATIC_FP8,
        ),
        "FP8 E4M3, ",  # of a matrix smaller than a block, both come to the same
    ),
}


@pytest.mark.parametrize("name", FORMATS)
def test_a_quantised_checkpoint_is_derived_again(name: str, tmp_path: Path) -> None:
    family, quantise, recipe = FORMATS[name]
    old = tinymodels.build(family, tmp_path / "old")
    found = explained(old, quantise(tinymodels.build(family, tmp_path / "new")))
    assert found is not None
    assert (found.id, found.outcome, found.residual) == ("quantisation", "explained", 0.0)
    assert str(found.details["recipe"]).startswith(recipe)
    assert found.weights == len(found.names) > 0


@pytest.mark.parametrize("name", FORMATS)
def test_quantised_and_edited_is_not_quantised(name: str, tmp_path: Path) -> None:
    family, quantise, _ = FORMATS[name]
    old = tinymodels.build(family, tmp_path / "old")
    new = quantise(tinymodels.build(family, tmp_path / "new"))
    tensors = load_file(new.folder / "model.safetensors")
    # The last code of the last packed tensor that is not a scale.
    packed = [key for key, value in tensors.items() if value.element_size() == 1 and "scale" not in key]
    key = (packed or [key for key in tensors if key.endswith("_packed")])[-1]
    tensors[key].view(torch.uint8).view(-1)[-1] ^= 1
    save_file(tensors, new.folder / "model.safetensors")
    assert explained(old, new) is None


@pytest.mark.parametrize("name", ["MXFP4 experts", "int8"])
def test_quantised_with_another_norm_is_not_quantised(name: str, tmp_path: Path) -> None:
    family, quantise, _ = FORMATS[name]
    old = tinymodels.build(family, tmp_path / "old")
    new = quantise(tinymodels.build(family, tmp_path / "new"))
    tensors = load_file(new.folder / "model.safetensors")
    tensors["model.norm.weight"][5] *= 2
    save_file(tensors, new.folder / "model.safetensors")
    assert explained(old, new) is None


def test_quantised_from_another_checkpoint_is_not_quantised(tmp_path: Path) -> None:
    old = tinymodels.build("qwen3", tmp_path / "old", seed=1)
    assert explained(old, FORMATS["int8"][1](tinymodels.build("qwen3", tmp_path / "new"))) is None


def test_quantisers_that_depend_on_data_are_not_claimed(tmp_path: Path) -> None:
    old = tinymodels.build("qwen2", tmp_path / "old")
    assert explained(old, quantisers.build("qwen2 in AWQ", tmp_path / "new")) is None


@pytest.mark.parametrize(
    ("source", "target"), [("float32", "bfloat16"), ("float32", "float16"), ("bfloat16", "float16")]
)
def test_a_plain_cast_is_a_recipe_or_the_same_values(source: str, target: str, tmp_path: Path) -> None:
    old = tinymodels.build("llama", tmp_path / "old", dtype=getattr(torch, source))
    new = tinymodels.build("llama", tmp_path / "new", dtype=getattr(torch, source))
    tensors = load_file(new.folder / "model.safetensors")
    cast: dict[str, Tensor] = {name: value.to(getattr(torch, target)) for name, value in tensors.items()}
    save_file(cast, new.folder / "model.safetensors")
    config = json.loads((new.folder / "config.json").read_text())
    (new.folder / "config.json").write_text(json.dumps({**config, "dtype": target}))
    found = explained(old, new)
    if source == "bfloat16":
        # Values of order one lose nothing, but for those that are so small that float16 has no place for their bits.
        lost = any(not torch.equal(cast[name].double(), value.double()) for name, value in tensors.items())
        assert (found is not None) == lost
    else:
        assert found is not None
        assert found.details["recipe"] == f"cast to {target}"


def test_an_adapter_is_no_quantisation() -> None:
    rng = np.random.default_rng(5)
    old = stored(rng.normal(size=(130, 64)))
    new = stored(old + 0.1 * rng.normal(size=(130, 2)) @ rng.normal(size=(2, 64)))
    one, other = Arrays(arrays={"w": old}), Arrays(arrays={"w": new})
    assert quantisation.explain(one, other, compare(one, other)) is None


def test_equal_weights_are_no_quantisation() -> None:
    one = Arrays(arrays={"w": np.ones((4, 4))})
    assert quantisation.explain(one, one, compare(one, one)) is None


# ---- the same values in other bytes ----


def test_wider_types_are_re_encodings(tmp_path: Path) -> None:
    old = tinymodels.build("qwen3_moe", tmp_path / "old")
    new = tinymodels.build("qwen3_moe", tmp_path / "new")
    tensors = {name: value.float() for name, value in load_file(new.folder / "model.safetensors").items()}
    save_file(tensors, new.folder / "model.safetensors")
    before, after = (open_values(model.files, model.inventory()) for model in (old, new))
    with before as one, after as other:
        weights = compare(one, other)
        found = re_encoding.explain(one, other, weights)
        assert found is not None
        assert (found.outcome, found.residual, found.weights) == ("explained", 0.0, weights.compared)
        assert found.details == {"types": ["bfloat16 to float32"], "from": ["bfloat16"], "to": ["float32"]}
        assert quantisation.explain(one, other, weights) is None


def test_quantised_weights_that_were_expanded_are_re_encodings(tmp_path: Path) -> None:
    old = tinymodels.quantise_mxfp4(tinymodels.build("gpt_oss", tmp_path / "old"))
    new = tinymodels.build("gpt_oss", tmp_path / "new")
    tensors = {name: value.to(torch.bfloat16) for name, value in old.values.items()}
    save_file({name: value.contiguous() for name, value in tensors.items()}, new.folder / "model.safetensors")
    before, after = (open_values(model.files, model.inventory()) for model in (old, new))
    with before as one, after as other:
        found = re_encoding.explain(one, other, compare(one, other))
    assert found is not None
    assert found.details["types"] == ["mxfp4 to bfloat16"]
    assert found.weights == 6


def test_the_same_bytes_are_no_re_encoding(tmp_path: Path) -> None:
    model = tinymodels.build("llama", tmp_path)
    before, after = (open_values(model.files, model.inventory()) for _ in range(2))
    with before as one, after as other:
        assert re_encoding.explain(one, other, compare(one, other)) is None


def test_changed_values_are_no_re_encoding() -> None:
    one = Arrays(arrays={"w": np.ones(4)}, dtypes={"w": "float32"})
    other = Arrays(arrays={"w": np.ones(4) + 1e-9})
    assert re_encoding.explain(one, other, compare(one, other)) is None
