"""Indexes that contradict the shards, and weights that some loaders would take in their place."""

import json

from checkpoints import Tensors

from hostilecheckpoints.case import (
    INDEX_FILE,
    SHARDS,
    SINGLE_FILE,
    Build,
    Scene,
    added,
    cases,
    error,
    finite,
    single,
    tensors,
    warning,
)
from mbom.tensorfile import dump

GROUP = "index"
EMBEDDING = "model.embed_tokens.weight"


def placed(tensor: str, shard: object) -> Build:
    """Return what has the index place a tensor somewhere else."""
    return lambda scene: scene.edit(INDEX_FILE, lambda index: index["weight_map"].__setitem__(tensor, shard))


def indexed(text: str | bytes) -> Build:
    return lambda scene: scene.write(INDEX_FILE, text)


def twice(scene: Scene) -> None:
    """Put one tensor in both shards, with other numbers in the second."""
    stored = tensors()
    for shard in SHARDS:
        names = [name for name, place in places(scene).items() if place == shard]
        part: Tensors = {name: stored[name] for name in names}
        part[EMBEDDING] = ("BF16", (8, 4), finite(32, seed=len(names) + 7))
        (scene.folder / shard).write_bytes(dump(part, {"format": "pt"}))
    total = sum(len(data) for _, _, data in stored.values()) + 64
    scene.edit(INDEX_FILE, lambda index: index["metadata"].__setitem__("total_size", total))


def places(scene: Scene) -> dict[str, str]:
    found: dict[str, str] = json.loads((scene.folder / INDEX_FILE).read_bytes())["weight_map"]
    return found


def forgotten(scene: Scene) -> None:
    scene.edit(INDEX_FILE, lambda index: index["weight_map"].pop(EMBEDDING))


def doubled_key(scene: Scene) -> None:
    text = (scene.folder / INDEX_FILE).read_text()
    scene.write(INDEX_FILE, text.replace('"weight_map": {', f'"weight_map": {{"{EMBEDDING}": "{SHARDS[1]}", ', 1))


def traded(scene: Scene) -> None:
    """Exchange the contents of the two shards."""
    first, second = (scene.folder / shard for shard in SHARDS)
    data = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(data)


def with_single(name: str) -> Build:
    return added(name, dump(tensors(seed=99), {"format": "pt"}))


def beside_single(name: str) -> Build:
    def build(scene: Scene) -> None:
        single(scene)
        with_single(name)(scene)

    return build


def other_index(name: str, text: str) -> Build:
    return added(name, text)


def without_index(scene: Scene) -> None:
    scene.remove(INDEX_FILE)


def without_shard(scene: Scene) -> None:
    scene.remove(SHARDS[1])


def without_weights(scene: Scene) -> None:
    for name in (*SHARDS, INDEX_FILE):
        scene.remove(name)


def pickles_only(scene: Scene) -> None:
    without_weights(scene)
    scene.write("pytorch_model.bin", b"\x80\x02}.")


def redirected(scene: Scene) -> None:
    scene.merge("config.json", transformers_weights="other/weights.safetensors")
    scene.write("other/weights.safetensors", dump(tensors(seed=5)))


def adapter(scene: Scene) -> None:
    scene.write("adapter_config.json", json.dumps({"peft_type": "LORA", "base_model_name_or_path": "org/base"}))
    scene.write("adapter_model.safetensors", dump({"a.lora_A.weight": ("BF16", (2, 4), finite(8))}))


CASES = [
    *cases(GROUP, {
        "a tensor placed outside the folder": (
            placed(EMBEDDING, "../../etc/passwd.safetensors"), error("index-traversal", "index-unlisted-tensor")),
        "a tensor placed at an absolute path": (
            placed(EMBEDDING, "/etc/model.safetensors"), error("index-traversal", "index-unlisted-tensor")),
        "a tensor placed behind backslashes": (
            placed(EMBEDDING, "..\\..\\model.safetensors"), error("index-traversal", "index-unlisted-tensor")),
        "a tensor placed in a file with a line break": (
            placed(EMBEDDING, "model\n.safetensors"), error("index-traversal", "index-unlisted-tensor")),
        "a tensor placed in a file that is not there": (
            placed(EMBEDDING, "model-00003-of-00003.safetensors"),
            error("index-missing-shard", "index-unlisted-tensor")),
        "a tensor placed in the wrong shard": (
            placed(EMBEDDING, SHARDS[0]), error("index-missing-tensor", "index-unlisted-tensor")),
        "a tensor placed in a pickle": (
            placed(EMBEDDING, "pytorch_model.bin"),
            error("index-malformed", "index-missing-shard", "index-unlisted-tensor")),
        "a tensor placed in a number": (placed(EMBEDDING, 1), error("index-malformed")),
        "a tensor that no shard holds": (placed("model.ghost.weight", SHARDS[0]), error("index-missing-tensor")),
        "a tensor that the index leaves out": (forgotten, error("index-unlisted-tensor")),
        "one tensor in two shards": (twice, error("index-unlisted-tensor")),
        "one tensor placed twice": (doubled_key, error("index-malformed")),
        "shards that have changed places": (traded, error("index-missing-tensor", "index-unlisted-tensor")),
        "another total size": (
            lambda scene: scene.edit(INDEX_FILE, lambda index: index["metadata"].update(total_size=1)),
            warning("index-total-size")),
        "a total size that is a text": (
            lambda scene: scene.edit(INDEX_FILE, lambda index: index["metadata"].update(total_size="big")),
            error("index-malformed")),
        "a total size beyond any number": (
            indexed('{"metadata": {"total_size": 1e999}, "weight_map": {"a": "b.safetensors"}}'),
            error("index-malformed")),
        "an index of no tensor": (indexed('{"metadata": {}, "weight_map": {}}'), error("index-malformed")),
        "an index that is no JSON": (indexed("weight_map: {}"), error("index-malformed")),
        "an index of 100,000 brackets": (indexed('{"weight_map":' * 100_000), error("index-malformed")),
        "an index that a web page stands for": (
            indexed("<!DOCTYPE html><html>sign in</html>"), error("html-page", "index-malformed")),
        "no index": (without_index, error("weights-missing")),
        "no second shard": (without_shard, error("index-missing-shard")),
        "no weights": (without_weights, error("weights-missing")),
        "another index that leads outside": (
            other_index("pytorch_model.bin.index.json",
                        '{"metadata": {}, "weight_map": {"a": "../../../root/.ssh/id_ed25519"}}'),
            error("index-traversal")),
        "another index below that leads outside": (
            other_index("unet/diffusion_pytorch_model.safetensors.index.json",
                        '{"metadata": {}, "weight_map": {"a": "/dev/zero"}}'),
            error("index-traversal")),
        "another index that places one tensor twice": (
            other_index("pytorch_model.bin.index.json", '{"weight_map": {"a": "x.bin", "a": "y.bin"}}'),
            error("index-malformed")),
    }),
    *cases("other weights", {
        "a single file that loaders prefer to the shards": (with_single(SINGLE_FILE), error("weights-shadowed")),
        "the same where letter case does not count": (
            with_single("Model.safetensors"), error("weights-shadowed") | warning("name-lookalike")),
        "a shard that the index does not name": (
            with_single("model-00003-of-00003.safetensors"), error("index-unlisted-shard")),
        "a second file that some loaders take too": (beside_single("extra.safetensors"), warning("weights-stray")),
        "a variant that some loaders take too": (beside_single("model.fp16.safetensors"), warning("weights-stray")),
        "shards beside a single file": (beside_single(SHARDS[0]), error("weights-shadowed")),
        "pickled weights beside the shards": (
            added("pytorch_model.bin", b"\x80\x02}."), warning("pickle-present")),
        "only pickled weights": (pickles_only, error("weights-missing") | warning("pickle-present")),
        "a configuration that sends loaders elsewhere": (redirected, error("weights-redirected")),
        "an adapter that loaders merge": (adapter, error("adapter-present")),
    }),
]  # fmt: skip
