"""Sketches as the engine computes them, against exact sums over the weights of an ordinary full load."""

import json
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import fullload
import numpy as np
import pytest
import shapes
import syntheticrecords as synthetic
import tinymodels
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from streamed import stream
from tinymodels import TinyModel
from torch import Tensor

from mbom.behaviour import sketches
from mbom.behaviour.compare import compare
from mbom.behaviour.projection import FIXED, challenge_key
from mbom.behaviour.prompts import Prompt, challenged
from mbom.behaviour.record import Record
from mbom.behaviour.sketches import Sketched
from mbom.engine import run, stock
from mbom.engine import stream as streaming
from mbom.engine.checkpoint import Checkpoint
from mbom.engine.conversion import Conversion
from mbom.engine.encodings import weights
from mbom.engine.plan import plan
from mbom.engine.sketch import Sketches
from mbom.errors import EngineError

Floats = NDArray[np.float64]
Tensors = dict[str, Tensor]

CPU = torch.device("cpu")
PROMPTS = synthetic.fixed_prompts(256, length=3)  # 24 positions, which leave most tokens and directions alone


def measured(model: TinyModel, prompts: tuple[Prompt, ...] = PROMPTS, *, challenge: str | None = None) -> Record:
    if challenge is not None:
        prompts = challenged(prompts, 256, challenge_key(model.inventory().digest, challenge))
    return run.measured(
        model.files,
        model.inventory(),
        prompts,
        challenge=challenge,
        device=CPU,
        isolation=("none",),
        emit=lambda _report: None,
    )


def rewritten(model: TinyModel, folder: Path, change: Callable[[Tensors], object]) -> TinyModel:
    """Write a checkpoint with its tensors changed to another folder."""
    tensors = load_file(model.folder / "model.safetensors")
    change(tensors)
    return written(tensors, folder, model.config)


def written(tensors: Tensors, folder: Path, config: dict[str, Any]) -> TinyModel:
    folder.mkdir()
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    return tinymodels.described(folder, {name: tensor.to(torch.float64) for name, tensor in tensors.items()})


# ---- the oracle ----


def slow(weight: Sketched, values: Tensor, key: bytes = FIXED) -> Floats:
    """Return the sketch of a weight by its definition, in sums that are rounded once."""
    slices = values.unbind(0) if weight.slices > 1 else [values]
    return np.array([[slow_value(weight, each.numpy(), k, key) for k in range(weight.values)] for each in slices])


def slow_value(weight: Sketched, values: NDArray[Any], k: int, key: bytes) -> float:
    if values.ndim < 2:
        flat = values.reshape(-1).astype(np.float64)
        return math.fsum(flat * sketches.left(weight.role, len(flat), weight.values, key)[:, k])
    matrix = values.reshape(math.prod(values.shape[:-1]), values.shape[-1]).astype(np.float64)
    left = sketches.left(weight.role, matrix.shape[0], weight.values, key)[:, k, None]
    right = sketches.right(weight.role, matrix.shape[1], weight.values, key)[None, :, k]
    return math.fsum((left * matrix * right).ravel())


def same(found: Floats, expected: Floats) -> bool:
    """Whether no sketch is off by more than a trillionth of what it usually is."""
    scale = max(float(np.abs(expected).max(initial=0.0)), 1e-300)
    return found.shape == expected.shape and float(np.abs(found - expected).max(initial=0.0)) <= 1e-12 * scale


def sketch_of(record: Record, name: str) -> Floats:
    return next(sketch for weight, sketch in zip(record.weights, record.sketches(), strict=True) if weight.name == name)


def test_the_oracle_is_a_double_loop() -> None:
    weight = Sketched(name="w", layer=None, shape=(3, 4), slices=1)
    values = torch.arange(12, dtype=torch.float64).reshape(3, 4) ** 2
    left, right = sketches.left("w", 3, 64), sketches.right("w", 4, 64)
    for k in range(64):
        total = 0.0
        for i in range(3):
            for j in range(4):
                total += int(left[i, k]) * float(values[i, j]) * int(right[j, k])
        assert slow(weight, values)[0, k] == total


MODELS: dict[str, Callable[[Path], TinyModel]] = {
    "llama": partial(tinymodels.build, "llama"),
    "qwen3, tied": partial(tinymodels.build, "qwen3"),
    "gpt_oss": partial(tinymodels.build, "gpt_oss"),
    "gpt_oss in MXFP4": lambda folder: tinymodels.quantise_mxfp4(tinymodels.build("gpt_oss", folder)),
    "qwen3_moe": partial(tinymodels.build, "qwen3_moe"),
    "deepseek_v3 in FP8": lambda folder: tinymodels.quantise_fp8(tinymodels.build("deepseek_v3", folder)),
}


@pytest.mark.parametrize("challenge", [None, "Prüfung 17"], ids=["fixed", "challenge"])
@pytest.mark.parametrize("name", MODELS)
def test_sketches_are_those_of_the_weights_of_a_full_load(name: str, challenge: str | None, tmp_path: Path) -> None:
    model = MODELS[name](tmp_path / "model")
    record = measured(model, challenge=challenge)
    loaded = fullload.load(model, tmp_path / "plain", dtype=torch.float64)
    parameters = {name: value.detach() for name, value in loaded.named_parameters()}
    buffers = {
        name: value for name, value in loaded.state_dict().items() if name not in parameters and "inv_" not in name
    }
    if record.head is None:
        buffers.pop("lm_head.weight", None)
    expected = {**parameters, **buffers}
    assert {weight.name for weight in record.weights} == set(expected)
    for weight, sketch in zip(record.weights, record.sketches(), strict=True):
        assert weight.shape == tuple(expected[weight.name].shape)
        assert same(sketch, slow(weight, expected[weight.name].to(torch.float64), record.key)), weight.name
    for weight_name, rows in (
        (record.embedding, record.numbers.embedding_rows),
        (record.head, record.numbers.head_rows),
    ):
        if weight_name is not None:
            signs = sketches.row_signs(sketches.role(weight_name), 64, record.key)
            sums = [math.fsum(row * signs) for row in expected[weight_name].numpy()]
            assert same(rows, np.array(sums))


@pytest.mark.parametrize(
    ("name", "sliced"),
    [
        ("gpt_oss", {"experts.gate_up_proj", "experts.gate_up_proj_bias", "experts.down_proj", "experts.down_proj_bias",
                     "router.weight"}),
        ("qwen3_moe", {"experts.gate_up_proj", "experts.down_proj", "gate.weight"}),
        ("llama", set()),
    ],
)  # fmt: skip
def test_what_belongs_to_single_experts_is_sketched_by_expert(name: str, sliced: set[str], tmp_path: Path) -> None:
    record = measured(MODELS[name](tmp_path / "model"))
    assert {weight.name.partition(".mlp.")[2] for weight in record.weights if weight.slices > 1} == sliced
    assert {weight.slices for weight in record.weights} <= {1, 8}


def test_the_weights_of_a_120b_model_are_listed_as_expected() -> None:
    entries = list(shapes.gpt_oss(36, 128))
    inventory = shapes.inventory(entries)
    config = json.loads(shapes.config("gpt-oss-120b"))
    built = stock.build(config, tensors=len(entries), device=CPU)
    conversion = Conversion(built)
    records = {tensor.name: tensor for tensor in inventory.tensors}
    planned = plan(built, conversion, weights(records, config["quantization_config"]), records)
    checkpoint = Checkpoint({"model.safetensors": Path("model.safetensors")}, inventory.tensors)
    model = streaming.StreamedModel(built, conversion, planned, checkpoint, CPU, sketches=Sketches())
    listed = tuple(model.described(name) for name in sorted(conversion.parameters))
    assert listed == synthetic.gpt_oss_120b()


# ---- the same values, stored otherwise ----


def dequantised(model: TinyModel, folder: Path, dtype: torch.dtype) -> TinyModel:
    """Write the values that a quantised checkpoint stands for as plain floats that hold them exactly."""
    tensors = {name: value.to(dtype) for name, value in model.values.items()}
    assert all(torch.equal(tensor.to(torch.float64), model.values[name]) for name, tensor in tensors.items())
    config = {name: value for name, value in model.config.items() if name != "quantization_config"}
    return written(tensors, folder, config)


def fused(model: TinyModel, folder: Path) -> TinyModel:
    """Write a checkpoint that has a tensor for each expert with one for all, as the stock class holds them."""
    loaded = fullload.load(model, folder.parent / "whole", dtype=torch.float64)
    tensors = {name: value.to(torch.bfloat16) for name, value in loaded.state_dict().items()}
    assert not any(".experts.0." in name for name in tensors)
    return written(tensors, folder, model.config)


def resharded(model: TinyModel, folder: Path) -> TinyModel:
    """Write a checkpoint in three files, in another order."""
    tensors = load_file(model.folder / "model.safetensors")
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(model.config))
    for number in range(3):
        part = {name: tensor for i, (name, tensor) in enumerate(sorted(tensors.items())) if i % 3 == number}
        save_file(part, folder / f"model-{3 - number}-of-3.safetensors")
    return tinymodels.described(folder, model.values)


OTHERWISE: dict[str, tuple[str, Callable[[TinyModel, Path], TinyModel]]] = {
    "MXFP4 as bfloat16": ("gpt_oss in MXFP4", partial(dequantised, dtype=torch.bfloat16)),
    "FP8 blocks as float64": ("deepseek_v3 in FP8", partial(dequantised, dtype=torch.float64)),
    "bfloat16 as float32": ("llama", partial(dequantised, dtype=torch.float32)),
    "a tensor for each expert as one for all": ("qwen3_moe", fused),
    "one file as three": ("qwen3_moe", resharded),
    "MXFP4 in three files": ("gpt_oss in MXFP4", resharded),
}


@pytest.mark.parametrize("case", OTHERWISE)
def test_the_same_values_stored_otherwise_give_equal_sketches_and_match(case: str, tmp_path: Path) -> None:
    name, store = OTHERWISE[case]
    before = MODELS[name](tmp_path / "before")
    after = store(before, tmp_path / "after")
    assert before.inventory().digest != after.inventory().digest
    reference, other = measured(before), measured(after)
    assert reference.weights == other.weights
    for old, new in zip(reference.sketches(), other.sketches(), strict=True):
        assert same(new, old)
    found = compare(reference, other)
    assert (found.verdict, found.same_model) == ("match", False)
    assert found.worst_sketch is not None
    assert found.worst_sketch <= 1e-13


# ---- what no prompt reaches ----


def test_experts_that_no_prompt_reaches_are_sketched(tmp_path: Path) -> None:
    model = tinymodels.build("gpt_oss", tmp_path)
    streamed = stream(model, torch.tensor([[5]]))
    for layer, choice in enumerate(streamed.taps.choices):
        assert choice.experts.numel() == 2
        for kind in ("gate_up_proj", "down_proj"):
            name = f"model.layers.{layer}.mlp.experts.{kind}"
            weight = streamed.model.sketches.weights[name]
            assert same(streamed.model.sketches.values[name], slow(weight, model.values[name]))


def one_ulp(name: str, *index: int) -> Callable[[Tensors], None]:
    """Move one bfloat16 to its neighbour."""

    def change(tensors: Tensors) -> None:
        tensors[name].view(torch.int16)[index] ^= 1

    return change


def test_one_ulp_in_an_expert_that_no_prompt_reaches_is_named(tmp_path: Path) -> None:
    def shun(tensors: Tensors) -> None:
        tensors["model.layers.1.mlp.router.bias"][5] = -1000.0

    model = tinymodels.build("gpt_oss", tmp_path / "model", alter=shun)
    reference = measured(model)
    assert 5 not in reference.numbers.router_ids[1]
    name = "model.layers.1.mlp.experts.down_proj"
    changed = measured(rewritten(model, tmp_path / "changed", one_ulp(name, 5, 3, 7)))
    for found in (compare(reference, changed), compare(changed, reference)):
        assert found.verdict == "mismatch"
        assert str(found.first_difference).startswith(f"weights of layer 1: {name}, expert 5 of 8, changed by ")
        assert found.first_layer == 1
        assert found.worst == 0.0  # no activation moved at all


@pytest.mark.parametrize("name", ["model.embed_tokens.weight", "lm_head.weight"])
def test_one_ulp_in_the_row_of_a_token_is_named_by_its_token(name: str, tmp_path: Path) -> None:
    model = tinymodels.build("llama", tmp_path / "model")
    token = next(token for token in range(256) if all(token not in prompt.token_ids for prompt in PROMPTS))
    reference = measured(model)
    found = compare(reference, measured(rewritten(model, tmp_path / "changed", one_ulp(name, token, 9))))
    assert found.verdict == "mismatch"
    assert str(found.first_difference).startswith(f"weights: {name}, token {token} of 256, changed by ")
    assert found.first_layer is None
    if name != "lm_head.weight":  # whose every row is computed with
        assert found.worst == 0.0


def expert_inputs(model: TinyModel, folder: Path, layer: int, expert: int) -> Tensor:
    """Return what an ordinary full load gives to one expert for ``PROMPTS``, (tokens, hidden size)."""
    loaded = fullload.load(model, folder, dtype=torch.float64)
    given: list[Tensor] = []

    def listen(_module: object, args: tuple[Tensor, ...], kwargs: dict[str, Tensor]) -> None:
        hidden, *rest = [*args, *kwargs.values()]
        chosen = next(value for value in rest if not value.is_floating_point())
        given.append(hidden.reshape(-1, hidden.shape[-1])[(chosen == expert).any(1)])

    loaded.model.layers[layer].mlp.experts.register_forward_pre_hook(listen, with_kwargs=True)
    ids = torch.tensor([prompt.token_ids for prompt in PROMPTS])
    with torch.no_grad(), fullload.float32_means_float64():
        fullload.recompute_constants(loaded)
        loaded(ids, use_cache=False)
    return given[0]


def test_an_edit_along_directions_that_no_input_has_is_caught_and_named(tmp_path: Path) -> None:
    model = tinymodels.build("gpt_oss", tmp_path / "model", dtype=torch.float64)
    inputs = expert_inputs(model, tmp_path / "plain", layer=1, expert=2)
    assert 0 < len(inputs) < 64
    free = torch.linalg.svd(inputs, full_matrices=True).Vh[len(inputs) :]  # (64 - tokens, 64), orthogonal to all
    name = "model.layers.1.mlp.experts.gate_up_proj"
    shares = []

    def edit(tensors: Tensors) -> None:
        matrix = tensors[name][2]  # (64, 64): inputs are rows
        noise = free.T @ torch.randn(len(free), 64, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
        noise *= 0.5 * matrix.norm() / noise.norm()
        shares.append(float(noise.norm() / tensors[name].norm()))
        matrix += noise

    found = compare(measured(model), measured(rewritten(model, tmp_path / "changed", edit)))
    assert found.verdict == "mismatch"
    assert str(found.first_difference).startswith(f"weights of layer 1: {name}, expert 2 of 8, changed by ")
    assert found.worst is not None
    assert found.worst < 1e-12  # what the model computes is the same to the last digits
    (difference,) = found.weights
    assert abs(difference.distance.relative - shares[0]) <= 4 * difference.distance.error


# ---- what the forward pass has no place for ----


def randn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(9))


def integers(dtype: torch.dtype) -> Tensor:
    return (torch.arange(35) * 3 % 120).reshape(5, 7).to(dtype)


UNUSED: Tensors = {
    "model.layers.3.eh_proj.weight": randn(40, 24).to(torch.bfloat16),
    "model.layers.3.mlp.experts.0.up_proj.weight": randn(12, 24).to(torch.bfloat16),
    "model.layers.3.enorm.weight": randn(24).to(torch.bfloat16),
    "visual.blocks.0.qkv": randn(3, 8, 6).to(torch.float16),
    "visual.patch_embed": randn(6, 3, 2, 2),
    "odd.scalar": torch.tensor(2.5),
    "odd.nothing": torch.zeros(0),
    "odd.no_rows": torch.zeros(0, 5),
    "odd.no_columns": torch.zeros(5, 0),
    "odd.no_middle": torch.zeros(2, 0, 3, dtype=torch.bfloat16),
    "odd.one": torch.ones(1, 1),
    "odd.double": randn(7, 3).to(torch.float64),
    "odd.bool": integers(torch.int64) % 2 == 0,
    **{
        f"odd.{name}": integers(getattr(torch, name))
        for name in ("int64", "int32", "int16", "int8", "uint8", "uint16", "uint32", "uint64")
    },
    **{
        f"odd.{name}": randn(5, 7).to(getattr(torch, name))
        for name in ("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz")
    },
    "odd.float8_e8m0fnu": (integers(torch.uint8) + 70).view(torch.float8_e8m0fnu),
}


@pytest.mark.parametrize("rows", [8 << 20, 100], ids=["in one block", "in many blocks"])
def test_tensors_that_are_not_executed_are_sketched_and_listed(
    rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "BLOCK_VALUES", rows)
    plain = tinymodels.build("qwen3_moe", tmp_path / "plain")
    record = measured(rewritten(plain, tmp_path / "more", lambda tensors: tensors.update(UNUSED)))
    assert Record.from_bytes(record.to_json(), record.to_safetensors()) == record
    assert record.coverage.tensors_not_executed == tuple(sorted(UNUSED))
    listed = {weight.name: weight for weight in record.weights if not weight.executed}
    assert set(listed) == set(UNUSED)
    for name, weight in listed.items():
        assert (weight.layer, weight.slices, weight.shape) == (None, 1, tuple(UNUSED[name].shape))
        assert same(sketch_of(record, name), slow(weight, UNUSED[name].to(torch.float64))), name
    before = measured(plain)
    found = compare(before, record)
    assert found.first_difference == "weights: model.layers.3.eh_proj.weight is not in the reference"


def test_quantised_tensors_that_are_not_executed_are_sketched_by_their_values(tmp_path: Path) -> None:
    extra = randn(160, 130).to(torch.bfloat16)
    model = tinymodels.quantise_fp8(
        tinymodels.build(
            "deepseek_v3", tmp_path, alter=lambda tensors: tensors.update({"model.layers.3.mlp.up_proj.weight": extra})
        )
    )
    name = "model.layers.3.mlp.up_proj.weight"
    record = measured(model)
    assert record.coverage.tensors_not_executed == (name, f"{name}_scale_inv")
    (weight,) = (weight for weight in record.weights if not weight.executed)
    assert (weight.name, weight.shape) == (name, (160, 130))
    assert same(sketch_of(record, name), slow(weight, model.values[name]))


@pytest.mark.parametrize("name", ["model.layers.3.eh_proj.weight", "visual.patch_embed", "odd.scalar"])
def test_a_change_of_a_tensor_that_is_not_executed_is_named(name: str, tmp_path: Path) -> None:
    plain = tinymodels.build("llama", tmp_path / "plain", alter=lambda tensors: tensors.update(UNUSED))

    def change(tensors: Tensors) -> None:
        flat = tensors[name].view(-1)
        flat[len(flat) // 2] += 1

    found = compare(measured(plain), measured(rewritten(plain, tmp_path / "changed", change)))
    assert str(found.first_difference).startswith(f"weights: {name} (not executed) changed by ")
    assert found.worst == 0.0


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("name", ["visual.patch_embed", "odd.scalar", "odd.double", "odd.float8_e5m2"])
def test_a_value_that_is_not_finite_where_nothing_is_computed_is_an_error(
    name: str, value: float, tmp_path: Path
) -> None:
    def spoil(tensors: Tensors) -> None:
        tensor = UNUSED[name].to(torch.float64)
        tensor.view(-1)[-1] = value
        tensors[name] = tensor.to(UNUSED[name].dtype)

    model = tinymodels.build("llama", tmp_path, alter=spoil)
    with pytest.raises(EngineError, match=f"^{name}: holds a value that is not finite"):
        measured(model)


def test_an_empty_tensor_with_a_side_beyond_all_memory_costs_nothing(tmp_path: Path) -> None:
    endless = {"odd.rows": torch.zeros(2**47, 0), "odd.columns": torch.zeros(0, 2**47)}
    model = tinymodels.build("llama", tmp_path, alter=lambda tensors: tensors.update(endless))
    record = measured(model)
    assert Record.from_bytes(record.to_json(), record.to_safetensors()) == record
    for name in endless:
        assert not sketch_of(record, name).any()


def test_a_type_without_real_values_is_an_error_that_names_it(tmp_path: Path) -> None:
    def add(tensors: Tensors) -> None:
        tensors["odd.complex"] = torch.zeros(3, 2, dtype=torch.complex64)

    model = tinymodels.build("llama", tmp_path, alter=add)
    with pytest.raises(EngineError, match=r"^odd\.complex: tensors of type C64 cannot be computed with"):
        measured(model)


def test_a_slice_that_never_came_is_an_error() -> None:
    collection = Sketches()
    weight = Sketched(name="w", layer=0, shape=(2, 3, 4), slices=2)
    collection.begin(weight)
    collection.slice(weight, 1, torch.ones(3, 4, dtype=torch.float64))
    with pytest.raises(EngineError, match="w: not every slice of it was read"):
        collection.collected()


def test_a_sketch_beyond_the_range_of_float64_is_an_error() -> None:
    collection = Sketches()
    weight = Sketched(name="w", layer=None, shape=(64, 64), slices=1)
    with pytest.raises(EngineError, match=r"^w: holds a value that is not finite, or sums beyond the range"):
        collection.whole(weight, torch.full((64, 64), 1e308, dtype=torch.float64))
