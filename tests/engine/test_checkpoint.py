from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import tinymodels
import torch
from safetensors.torch import load_file, save_file
from streamed import stream
from tinymodels import TinyModel
from torch import Tensor

from mbom.engine.checkpoint import CHUNK_BYTES, Checkpoint
from mbom.errors import EngineError, MbomError, RefusedError
from mbom.inventory.record import Inventory

TENSORS = {
    "matrix": torch.arange(24, dtype=torch.float32).view(6, 4),
    "scalar": torch.tensor(3.5, dtype=torch.float64),
    "no rows": torch.empty((0, 4)),
    "empty rows": torch.empty((4, 0)),
    "large": torch.arange(3 * CHUNK_BYTES // 2 + 1, dtype=torch.int16).view(-1, 1),
    "half": torch.tensor([1.5, -0.0, float("inf")], dtype=torch.bfloat16),
}


@pytest.fixture
def stored(tmp_path: Path) -> tuple[dict[str, Path], Inventory]:
    save_file(TENSORS, tmp_path / "model.safetensors")
    return {"model.safetensors": tmp_path / "model.safetensors"}, tinymodels.inventory(tmp_path)


@pytest.mark.parametrize("name", TENSORS)
def test_a_tensor_is_read_as_it_was_stored(name: str, stored: tuple[dict[str, Path], Inventory]) -> None:
    files, inventory = stored
    with Checkpoint(files, inventory.tensors) as checkpoint:
        value = checkpoint.stored(name).read()
        assert value.dtype == TENSORS[name].dtype
        assert torch.equal(value, TENSORS[name])
        assert checkpoint.passes == {name: 1}


def test_slices_read_in_turn_give_the_digest_of_the_whole(
    stored: tuple[dict[str, Path], Inventory],
) -> None:
    files, inventory = stored
    with Checkpoint(files, inventory.tensors) as checkpoint:
        passing = checkpoint.stored("matrix")
        assert torch.equal(passing.read(1), TENSORS["matrix"][:1])
        passing.read(2)
        assert passing.position == 3
        assert torch.equal(passing.read(2), TENSORS["matrix"][3:5])
        assert not checkpoint.passes
        passing.read()
        assert checkpoint.passes == {"matrix": 1}
        assert checkpoint.bytes_read == 96


def test_slices_do_not_share_memory(stored: tuple[dict[str, Path], Inventory]) -> None:
    files, inventory = stored
    with Checkpoint(files, inventory.tensors) as checkpoint:
        passing = checkpoint.stored("matrix")
        first = passing.read(3)
        passing.read(3)
        assert torch.equal(first, TENSORS["matrix"][:3])


def test_the_last_byte_decides_whether_the_digest_holds(stored: tuple[dict[str, Path], Inventory]) -> None:
    files, inventory = stored
    record = next(tensor for tensor in inventory.tensors if tensor.name == "matrix")
    flip(files["model.safetensors"], record.end - 1)
    with Checkpoint(files, inventory.tensors) as checkpoint:
        passing = checkpoint.stored("matrix")
        passing.read(5)
        with pytest.raises(RefusedError, match="matrix: the bytes that were read have BLAKE3"):
            passing.read(1)


def test_a_file_that_ends_early_is_refused(stored: tuple[dict[str, Path], Inventory]) -> None:
    files, inventory = stored
    data = files["model.safetensors"].read_bytes()
    files["model.safetensors"].write_bytes(data[:-1])
    last = max(inventory.tensors, key=lambda tensor: tensor.end)
    with (
        Checkpoint(files, inventory.tensors) as checkpoint,
        pytest.raises(RefusedError, match=f"model.safetensors: ends inside {last.name}"),
    ):
        checkpoint.stored(last.name).read()


def test_a_link_in_place_of_a_file_is_not_followed(stored: tuple[dict[str, Path], Inventory], tmp_path: Path) -> None:
    files, inventory = stored
    (tmp_path / "link").symlink_to(files["model.safetensors"])
    with (
        Checkpoint({"model.safetensors": tmp_path / "link"}, inventory.tensors) as checkpoint,
        pytest.raises(EngineError, match=r"model\.safetensors: cannot be read"),
    ):
        checkpoint.stored("matrix").read()


def test_a_file_that_is_not_at_hand_is_named(stored: tuple[dict[str, Path], Inventory]) -> None:
    with pytest.raises(EngineError, match=r"model\.safetensors: holds tensors of the inventory"):
        Checkpoint({}, stored[1].tensors)


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


IDS = torch.tensor([[5, 6, 7]])  # three positions reach at most six of the eight experts

MODELS: dict[str, Callable[[Path], TinyModel]] = {
    "gpt_oss": lambda folder: tinymodels.quantise_mxfp4(tinymodels.build("gpt_oss", folder)),
    "qwen3_moe": lambda folder: tinymodels.build("qwen3_moe", folder),
}


@pytest.mark.parametrize("family", MODELS)
def test_a_bit_flipped_after_the_inventory_is_found_in_every_tensor(family: str, tmp_path: Path) -> None:
    model = MODELS[family](tmp_path)
    inventory = model.inventory()
    path = model.files["model.safetensors"]
    for tensor in inventory.tensors[:: len(inventory.tensors) // 12]:
        flip(path, (tensor.start + tensor.end) // 2)
        with pytest.raises(RefusedError, match=f"^{tensor.name}: the bytes"):
            stream(model, IDS, inventory=inventory)
        flip(path, (tensor.start + tensor.end) // 2)
    assert stream(model, IDS, inventory=inventory).passes


@pytest.mark.parametrize("family", MODELS)
def test_experts_that_no_prompt_reaches_are_bound_too(family: str, tmp_path: Path) -> None:
    model = MODELS[family](tmp_path)
    inventory = model.inventory()
    choice = stream(model, IDS, inventory=inventory).taps.choices[1]
    unreached = min(set(range(8)) - set(choice.experts.flatten().tolist()))
    name, share = (
        ("model.layers.1.mlp.experts.down_proj_blocks", 8)
        if family == "gpt_oss"
        else (f"model.layers.1.mlp.experts.{unreached}.down_proj.weight", 1)
    )
    tensor = next(tensor for tensor in inventory.tensors if tensor.name == name)
    size = (tensor.end - tensor.start) // share
    flip(model.files["model.safetensors"], tensor.start + (unreached * size if share > 1 else 0) + 1)
    with pytest.raises(RefusedError, match=f"^{name}: the bytes"):
        stream(model, IDS, inventory=inventory)


def drop(name: str) -> Callable[[dict[str, Tensor]], None]:
    def apply(tensors: dict[str, Tensor]) -> None:
        del tensors[name]

    return apply


def change(name: str, value: Callable[[Tensor], Tensor]) -> Callable[[dict[str, Tensor]], None]:
    def apply(tensors: dict[str, Tensor]) -> None:
        tensors[name] = value(tensors[name]).contiguous()

    return apply


def copy(name: str, to: str) -> Callable[[dict[str, Tensor]], None]:
    return lambda tensors: tensors.update({to: tensors[name].clone()})


EXPERT = "model.layers.1.mlp.experts"
CONTRADICTIONS: dict[str, tuple[Callable[[dict[str, Tensor]], None], type[MbomError], str]] = {
    "a missing norm": (drop("model.norm.weight"), RefusedError, "no tensor for model.norm.weight"),
    "a missing head": (drop("lm_head.weight"), RefusedError, "no tensor for lm_head.weight"),
    "a missing expert": (drop(f"{EXPERT}.5.down_proj.weight"), RefusedError, "expert 5 is made up of 0 tensors"),
    "half an expert": (drop(f"{EXPERT}.3.up_proj.weight"), RefusedError, "expert 3 is made up of 1 tensors"),
    "a ninth expert": (
        copy(f"{EXPERT}.0.down_proj.weight", f"{EXPERT}.8.down_proj.weight"), RefusedError, "tensors of 9 experts",
    ),
    "an expert of another shape": (
        change(f"{EXPERT}.0.down_proj.weight", lambda t: t[:, :16]), RefusedError, "expert 0 is",
    ),
    "a matrix of another shape": (
        change("model.layers.0.self_attn.q_proj.weight", lambda t: t[:-1]), RefusedError, r"has the shape \[63, 64\]",
    ),
    "an embedding with too few rows": (
        change("model.embed_tokens.weight", lambda t: t[:-1]), RefusedError, r"has the shape \[255, 64\]",
    ),
    "one parameter under two names": (
        copy("model.norm.weight", "norm.weight"), RefusedError, "model.norm.weight: filled by 2 tensors",
    ),
    "integers for weights": (
        change("model.norm.weight", lambda t: t.to(torch.int32)), EngineError, "model.norm.weight: holds I32",
    ),
    "FP8 without a scale": (
        change("model.layers.0.self_attn.q_proj.weight", lambda t: t.to(torch.float8_e4m3fn)), EngineError,
        "q_proj.weight: holds F8_E4M3 without a known scale",
    ),
    "a weight that is not a number": (
        change("model.norm.weight", lambda t: t * float("nan")), EngineError,
        "model.norm.weight: holds a value that is not finite",
    ),
    "a router that is not a number": (
        change("model.layers.1.mlp.gate.weight", lambda t: t * float("nan")), EngineError,
        "model.layers.1.mlp.gate.weight: holds a value that is not finite",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_a_checkpoint_that_contradicts_its_configuration_is_named(case: str, tmp_path: Path) -> None:
    alter, error, message = CONTRADICTIONS[case]
    model = tinymodels.build("qwen3_moe", tmp_path, alter=alter)
    with pytest.raises(error, match=message):
        stream(model, IDS)


def test_tensors_that_the_model_has_no_place_for_are_read_and_listed(tmp_path: Path) -> None:
    extra = {"model.layers.3.eh_proj.weight": torch.ones(2, 2), "model.layers.3.embed_tokens.weight": torch.ones(3)}
    model = tinymodels.build("qwen3_moe", tmp_path, alter=lambda tensors: tensors.update(extra))
    streamed = stream(model, IDS)
    assert streamed.unused == tuple(sorted(extra))
    assert set(streamed.passes) == set(streamed.records)


def test_a_head_that_is_stored_although_it_is_tied_is_the_one_that_is_used(tmp_path: Path) -> None:
    tied = tinymodels.build("qwen3", tmp_path / "tied")
    head = torch.randn(256, 64, generator=torch.Generator().manual_seed(3)).to(torch.bfloat16)
    both = tinymodels.build("qwen3", tmp_path / "both", alter=lambda tensors: tensors.update({"lm_head.weight": head}))
    expected = stream(tied, IDS).hidden.flatten(0, 1) @ head.to(torch.float64).T
    assert torch.allclose(stream(both, IDS).logits.logsumexp, expected.logsumexp(1), rtol=1e-12, atol=0)


def test_a_quantised_output_head_is_named(tmp_path: Path) -> None:
    def squeeze(tensors: dict[str, Tensor]) -> None:
        tensors["lm_head.weight"], tensors["lm_head.weight_scale_inv"], _ = tinymodels.to_fp8(tensors["lm_head.weight"])

    model = tinymodels.build("llama", tmp_path, alter=squeeze)
    model.config["quantization_config"] = {"quant_method": "fp8", "weight_block_size": [128, 128]}
    with pytest.raises(EngineError, match=r"lm_head\.weight: an embedding or output head quantised like this"):
        stream(model, IDS)


def test_a_tensor_of_another_inventory_is_refused(tmp_path: Path) -> None:
    model = tinymodels.build("llama", tmp_path)
    inventory = model.inventory()
    forged = tuple(
        replace(tensor, blake3="0" * 64) if tensor.name == "model.layers.2.mlp.up_proj.weight" else tensor
        for tensor in inventory.tensors
    )
    with pytest.raises(RefusedError, match=r"model\.layers\.2\.mlp\.up_proj\.weight: the bytes"):
        stream(model, IDS, inventory=replace(inventory, tensors=forged))


def test_weights_may_lie_in_several_files(tmp_path: Path) -> None:
    whole = tinymodels.build("mixtral", tmp_path / "whole")
    (tmp_path / "split").mkdir()
    (tmp_path / "split" / "config.json").write_bytes((tmp_path / "whole" / "config.json").read_bytes())
    tensors = load_file(tmp_path / "whole" / "model.safetensors")
    for number in range(3):
        part = {name: tensor for i, (name, tensor) in enumerate(tensors.items()) if i % 3 == number}
        save_file(part, tmp_path / "split" / f"model-{number}-of-3.safetensors")
    split = tinymodels.described(tmp_path / "split", whole.values)
    assert torch.equal(stream(split, IDS).logits.projection, stream(whole, IDS).logits.projection)
