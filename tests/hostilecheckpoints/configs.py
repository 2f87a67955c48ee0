"""Configurations that contradict the tensors, cannot be read in one way, or ask for code."""

import json
from typing import Any

from hostilecheckpoints.case import (
    Build,
    Scene,
    added,
    cases,
    config,
    error,
    tensors,
    warning,
    write_weights,
)

GROUP = "configuration"


def says(**members: Any) -> Build:
    """Return what has config.json say something else."""
    return lambda scene: scene.merge("config.json", **members)


def text(name: str, content: str | bytes) -> Build:
    return lambda scene: scene.write(name, content)


def mixture(**members: Any) -> Build:
    """Return what puts a mixture of four experts in the place of the Llama."""

    def build(scene: Scene) -> None:
        write_weights(scene.folder, tensors(experts=4))
        described = config(num_local_experts=4, num_experts_per_tok=2)
        scene.write("config.json", json.dumps(described | members))

    return build


def missing_expert(scene: Scene) -> None:
    mixture()(scene)
    stored = {
        name: value for name, value in tensors(experts=4).items()
        if not (name.startswith("model.layers.1.") and ".experts.3." in name)
    }  # fmt: skip
    write_weights(scene.folder, stored)


def untied_head(scene: Scene) -> None:
    says(tie_word_embeddings=True)(scene)


def no_head(scene: Scene) -> None:
    write_weights(scene.folder, tensors(tied=True))


def other_shape(end: str, shape: tuple[int, ...]) -> Build:
    """Return what stores tensors of a name's end in another shape of as many elements."""

    def build(scene: Scene) -> None:
        stored = tensors()
        for name, (dtype, _, data) in stored.items():
            if name.endswith(end):
                stored[name] = (dtype, shape, data)
        write_weights(scene.folder, stored)

    return build


def removed_layer(scene: Scene) -> None:
    stored = {name: value for name, value in tensors().items() if ".layers.1." not in name}
    write_weights(scene.folder, stored)


def elsewhere(name: str) -> Build:
    """Return what has a configuration take its class from another repository."""
    document = {"auto_map": {"AutoModel": "evil/repo--modeling_evil.Evil"}}

    def build(scene: Scene) -> None:
        if (scene.folder / name).exists():
            scene.merge(name, **document)
        else:
            scene.write(name, json.dumps(document))

    return build


def nowhere(scene: Scene) -> None:
    scene.merge("config.json", auto_map={"AutoModelForCausalLM": "modeling_ghost.Ghost"})


def own_code(scene: Scene) -> None:
    scene.merge("config.json", auto_map={"AutoModelForCausalLM": "modeling_mine.Mine"})
    scene.write("modeling_mine.py", f"import os\nos.system({scene.command!r})\n")


CASES = [
    *cases(GROUP, {
        "more layers than there are": (says(num_hidden_layers=3), warning("config-layers-differ")),
        "fewer layers than there are": (says(num_hidden_layers=1), warning("config-layers-differ")),
        "a layer that was taken out": (removed_layer, warning("config-layers-differ")),
        "a smaller vocabulary": (
            says(vocab_size=6), warning("config-sizes-differ", "tokenizer-beyond-embedding")),
        "a larger vocabulary": (says(vocab_size=32_000), warning("config-sizes-differ")),
        "another width": (says(hidden_size=8), warning("config-sizes-differ")),
        "another width of the feed-forward part": (says(intermediate_size=64), warning("config-sizes-differ")),
        "heads that the projections have no room for": (
            says(num_attention_heads=8, num_key_value_heads=8, head_dim=64), warning("config-sizes-differ")),
        "an embedding that stands on its side": (
            other_shape("embed_tokens.weight", (4, 8)), warning("config-sizes-differ")),
        "projections of another shape": (
            other_shape("self_attn.q_proj.weight", (2, 8)), warning("config-sizes-differ")),
        "more experts than there are": (mixture(num_local_experts=8), warning("config-experts-differ")),
        "fewer experts than there are": (mixture(num_local_experts=2), warning("config-experts-differ")),
        "an expert that one layer lacks": (missing_expert, warning("config-experts-differ")),
        "a head that is said to be the embedding": (untied_head, error("config-tied-differs")),
        "no head, and none that is said to be the embedding": (no_head, warning("config-head-missing")),
        "one member twice": (
            text("config.json", '{"model_type": "llama", "vocab_size": 8, "vocab_size": 32000}'),
            error("config-malformed")),
        "one member twice in another configuration": (
            text("generation_config.json", '{"eos_token_id": 2, "eos_token_id": 3}'), error("config-malformed")),
        "NaN": (text("config.json", '{"model_type": "llama", "rope_theta": NaN}'), error("config-malformed")),
        "a byte order mark": (text("config.json", "\ufeff{}"), error("config-malformed")),
        "UTF-16": (text("config.json", json.dumps(config()).encode("utf-16")), error("config-malformed")),
        "a lone surrogate": (text("config.json", '{"model_type": "\\ud800"}'), error("config-malformed")),
        "a million brackets": (text("config.json", '{"a":' * 1_000_000), error("config-malformed")),
        "an integer of five thousand digits": (
            text("config.json", json.dumps(config()).replace("64", "6" * 5000)), error("config-malformed")),
        "a comment": (text("config.json", '{"model_type": "llama"} // or not'), error("config-malformed")),
        "an array": (text("config.json", "[1, 2]"), error("config-malformed")),
        "nothing": (text("config.json", ""), error("config-malformed") | warning("empty-file")),
        "a web page": (text("config.json", "<html>404</html>"), error("config-malformed", "html-page")),
        "no configuration": (lambda scene: scene.remove("config.json"), warning("config-missing")),
        "layers that are a text": (says(num_hidden_layers="2"), warning("config-field")),
        "a type with a line break": (says(model_type="llama\nok"), warning("config-field")),
        "an unreadable one below": (
            added("vae/config.json", '{"a": 1, "a": 2}'), warning("config-unread")),
    }),
    *cases("remote code", {
        "a class of another repository": (elsewhere("config.json"), error("remote-code-elsewhere")),
        "a tokenizer of another repository": (elsewhere("tokenizer_config.json"), error("remote-code-elsewhere")),
        "a processor of another repository": (elsewhere("preprocessor_config.json"), error("remote-code-elsewhere")),
        "a generation of another repository": (elsewhere("generation_config.json"), error("remote-code-elsewhere")),
        "a part below of another repository": (elsewhere("vision/config.json"), error("remote-code-elsewhere")),
        "a class of the checkpoint's own": (own_code, warning("code-present")),
        "a class of a file that is not there": (nowhere, warning("remote-code-missing")),
        "an auto_map that is no map": (says(auto_map=["x"]), warning("config-field")),
    }),
]  # fmt: skip
