import json
import math
from collections.abc import Mapping

import pytest
from checkpoints import CONFIG, shard_names

from mbom.inventory.weights import Selection, is_pickle_name, select
from mbom.source import Advertised

SHARDS = shard_names(2)
INDEX_FILE = "model.safetensors.index.json"
SIDE = (".gitattributes", "LICENSE", "README.md", "config.json", "generation_config.json", "tokenizer.json")


def index(*shards: str) -> bytes:
    return json.dumps({"metadata": {}, "weight_map": {f"w{n}": name for n, name in enumerate(shards)}}).encode()


def chosen(*names: str, index: bytes | None = None, config: Mapping[str, object] = CONFIG) -> Selection:
    listing = [Advertised(name=name, size=10) for name in names]
    return select(listing, index, json.dumps(config).encode() if "config.json" in names else None)


def kinds(selection: Selection) -> dict[str, str]:
    return {finding.id: finding.path for finding in selection.findings}


def declared(selection: Selection) -> list[str]:
    return [file.name for file in selection.declared]


def test_a_single_file_is_the_checkpoint() -> None:
    selection = chosen(*SIDE, "model.safetensors")
    assert selection.loaded == ("model.safetensors",)
    assert selection.fetch == tuple(sorted([*SIDE, "model.safetensors"]))
    assert (selection.declared, selection.findings, selection.index) == ((), (), None)


def test_shards_are_the_checkpoint_where_an_index_names_them() -> None:
    selection = chosen(*SIDE, INDEX_FILE, *SHARDS, index=index(*SHARDS))
    assert selection.loaded == tuple(SHARDS)
    assert selection.index is not None
    assert selection.fetch == tuple(sorted([*SIDE, INDEX_FILE, *SHARDS]))
    assert (selection.declared, selection.findings) == ((), ())


def test_an_index_may_name_the_single_file() -> None:
    selection = chosen(*SIDE, INDEX_FILE, "model.safetensors", index=index("model.safetensors"))
    assert selection.loaded == ("model.safetensors",)
    assert selection.index is not None
    assert selection.findings == ()


def test_shards_may_lie_in_a_folder() -> None:
    selection = chosen("config.json", INDEX_FILE, "weights/a.safetensors", index=index("weights/a.safetensors"))
    assert selection.loaded == ("weights/a.safetensors",)
    assert selection.findings == ()


REAL = {
    "gpt-oss": (
        ["original/config.json", "original/dtypes.json", "original/model.safetensors", "metal/model.bin", "USE_POLICY"],
        ["metal/model.bin", "original/model.safetensors"],
    ),
    "Mistral": (["consolidated.safetensors", "params.json", "tekken.json"], ["consolidated.safetensors"]),
    "sharded Mistral": (
        ["consolidated-00001-of-00002.safetensors", "consolidated.safetensors.index.json"],
        ["consolidated-00001-of-00002.safetensors"],
    ),
    "Llama": (["original/consolidated.00.pth", "original/params.json"], ["original/consolidated.00.pth"]),
    "an older one": (
        ["pytorch_model.bin", "tf_model.h5", "flax_model.msgpack", "rust_model.ot", "onnx/model.onnx", "a/model.gguf"],
        ["a/model.gguf", "flax_model.msgpack", "onnx/model.onnx", "pytorch_model.bin", "rust_model.ot", "tf_model.h5"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("extra", "left"), REAL.values(), ids=REAL.keys())
def test_other_weight_sets_are_declared_and_their_small_files_are_fetched(extra: list[str], left: list[str]) -> None:
    selection = chosen(*SIDE, INDEX_FILE, *SHARDS, *extra, index=index(*SHARDS))
    assert declared(selection) == left
    assert set(extra) - set(left) <= set(selection.fetch)
    assert selection.loaded == tuple(SHARDS)
    assert {finding.id for finding in selection.findings} <= {"weights-other-set", "pickle-present"}
    noted = " ".join(finding.detail for finding in selection.findings if finding.id == "weights-other-set")
    assert all(name in noted for name in left)


def test_a_stray_single_file_beside_the_index_is_what_loaders_take() -> None:
    selection = chosen(*SIDE, INDEX_FILE, *SHARDS, "model.safetensors", index=index(*SHARDS))
    assert selection.loaded == ("model.safetensors",)
    assert kinds(selection) == {"weights-shadowed": "model.safetensors"}


def test_a_single_file_beside_shards_without_an_index_is_shadowing_too() -> None:
    assert kinds(chosen("config.json", "model.safetensors", *SHARDS)) == {"weights-shadowed": "model.safetensors"}


def test_a_shard_that_the_index_does_not_name_is_found() -> None:
    stray = "model-00002-of-00002.safetensors"
    selection = chosen(INDEX_FILE, *SHARDS, stray, index=index(*SHARDS))
    assert kinds(selection) == {"index-unlisted-shard": stray}
    assert stray not in selection.loaded


def test_a_shard_that_is_not_there_is_found_and_the_others_are_loaded() -> None:
    selection = chosen(INDEX_FILE, SHARDS[0], index=index(*SHARDS))
    assert kinds(selection) == {"index-missing-shard": INDEX_FILE}
    assert SHARDS[1] in selection.findings[0].detail
    assert selection.loaded == (SHARDS[0],)


def test_a_shard_outside_the_checkpoint_is_found_and_never_fetched() -> None:
    selection = chosen(INDEX_FILE, *SHARDS, index=index(*SHARDS, "../../secret.safetensors"))
    assert kinds(selection) == {"index-traversal": INDEX_FILE}
    assert selection.fetch == tuple(sorted([INDEX_FILE, *SHARDS]))


def test_an_index_that_names_a_pickle_is_malformed() -> None:
    selection = chosen(INDEX_FILE, *SHARDS, "evil.bin", index=index(*SHARDS, "evil.bin"))
    assert kinds(selection)["index-malformed"] == INDEX_FILE
    assert "evil.bin" not in selection.loaded


@pytest.mark.parametrize(
    "broken", [b"", b"{}", b'{"weight_map": {"a": 1}}', None], ids=["empty", "bare", "typed", "huge"]
)
def test_an_index_that_cannot_be_read_is_found_and_what_look_like_shards_are_taken(broken: bytes | None) -> None:
    selection = chosen(INDEX_FILE, *SHARDS, index=broken)
    assert kinds(selection) == {"index-malformed": INDEX_FILE}
    assert selection.loaded == tuple(SHARDS)


MISSING = {
    "shards without an index": (SHARDS, "fetch the index"),
    "pickles only": (["pytorch_model.bin"], "convert to safetensors"),
    "an adapter": (["adapter_config.json", "adapter_model.safetensors"], "merge it into its base model"),
    "nothing": ([], "is this the folder of a model?"),
}


@pytest.mark.parametrize(("names", "advice"), MISSING.values(), ids=MISSING.keys())
def test_missing_weights_come_with_advice(names: list[str], advice: str) -> None:
    (missing,) = (finding for finding in chosen("config.json", *names).findings if finding.id == "weights-missing")
    assert missing.severity == "error"
    assert advice in missing.detail


def test_an_adapter_beside_the_model_is_found() -> None:
    assert kinds(chosen("model.safetensors", "adapter_config.json")) == {"adapter-present": "adapter_config.json"}


@pytest.mark.parametrize("limit", [1.0, math.inf], ids=["plain", "with an infinity, which facts are read past"])
def test_a_configuration_that_sends_loaders_elsewhere_is_found(limit: float) -> None:
    elsewhere = {**CONFIG, "transformers_weights": "other.safetensors", "time_step_limit": [0.0, limit]}
    selection = chosen("config.json", "model.safetensors", "other.safetensors", config=elsewhere)
    assert kinds(selection)["weights-redirected"] == "config.json"
    assert "other.safetensors" in selection.findings[0].detail


def test_code_and_pickles_are_found_once_for_each_folder() -> None:
    pickles = [f"pytorch_model-{n:05}-of-00003.bin" for n in range(3)]
    code = ["modeling_x.py", "configuration_x.py", "inference/generate.py"]
    selection = chosen("model.safetensors", *pickles, *code)
    found = [(finding.id, finding.path) for finding in selection.findings]
    assert found == [
        ("weights-other-set", pickles[0]),
        ("pickle-present", pickles[0]),
        ("code-present", "configuration_x.py"),
        ("code-present", "inference/generate.py"),
    ]


@pytest.mark.parametrize(
    ("name", "pickle"),
    [("a/consolidated.00.pth", True), ("optimizer.pt", True), ("x.PKL", True), ("pytorch_model.bin", True),
     ("training_args.bin", True), ("metal/model.bin", False), ("openvino_model.bin", False), ("x.gguf", False)],
)  # fmt: skip
def test_pickles_are_told_by_the_names_that_their_writers_use(name: str, pickle: bool) -> None:
    assert is_pickle_name(name) is pickle
