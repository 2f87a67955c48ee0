"""Honest checkpoints of every kind that publishers write, none of which may raise an alarm."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from checkpoints import Tensors

from hostilecheckpoints.case import (
    INDEX_FILE,
    LICENCE,
    SHARDS,
    SINGLE_FILE,
    TEMPLATE,
    Build,
    Case,
    Scene,
    added,
    config,
    finite,
    raw,
    single,
    tensors,
    write_weights,
)
from hostilecheckpoints.configs import mixture, says
from hostilecheckpoints.files import IN_CACHE, named, snapshot
from mbom.tensorfile import DTYPE_BITS, dump

FIXTURE = Path(__file__).parents[2] / "fixtures" / "tiny-gpt-oss"


def tied(scene: Scene) -> None:
    says(tie_word_embeddings=True)(scene)
    write_weights(scene.folder, tensors(tied=True))


def tied_and_stored_twice(scene: Scene) -> None:
    says(tie_word_embeddings=True)(scene)
    stored = tensors()
    stored["lm_head.weight"] = stored["model.embed_tokens.weight"]
    write_weights(scene.folder, stored)


def without_metadata(scene: Scene) -> None:
    single(scene)
    scene.write(SINGLE_FILE, dump(tensors()))


def padded(scene: Scene) -> None:
    """Write a header as Python's own JSON does, in the order of the names, and padded to 4 KiB."""
    single(scene)
    entries, position, data = {}, 0, b""
    for name, (dtype, shape, content) in sorted(tensors().items()):
        entries[name] = {"dtype": dtype, "shape": shape, "data_offsets": [position, position + len(content)]}
        position += len(content)
        data += content
    header = json.dumps({"__metadata__": {}, **entries}).encode()
    scene.write(SINGLE_FILE, raw(header + b" " * (-(len(header) + 8) % 4096), data))


def all_dtypes(scene: Scene) -> None:
    """Store a tensor of every dtype, of no dimension and of none of its elements."""
    stored: Tensors = tensors()
    for dtype, bits in DTYPE_BITS.items():
        stored[f"extra.{dtype}"] = (dtype, (2, 8), bytes(2 * bits))
        stored[f"empty.{dtype}"] = (dtype, (0, 3), b"")
    stored["scalar"] = ("BF16", (), b"\x80\x3f")
    write_weights(scene.folder, stored)


def extreme(scene: Scene) -> None:
    """Store the largest and smallest numbers of each type, which are numbers still."""
    patterns = {
        "BF16": b"\x7f\x7f\x7f\xff\x01\x00\x00\x80", "F16": b"\xff\x7b\xff\xfb\x01\x00\x00\x80",
        "F32": b"\xff\xff\x7f\x7f\xff\xff\x7f\xff", "F64": b"\xff\xff\xff\xff\xff\xff\xef\x7f",
        "F8_E4M3": b"\x7e\xfe\x01\x80\x00\x08\x78\xf8", "F8_E5M2": b"\x7b\xfb\x01\x80\x00\x04\x78\xf8",
        "I8": b"\x7f\xff\x80\x00\x01\x02\x03\x04", "U8": b"\xff\x7f\x80\x00\x01\x02\x03\x04",
    }  # fmt: skip
    stored = tensors()
    for dtype, data in patterns.items():
        stored[f"edge.{dtype}"] = (dtype, (len(data) * 8 // DTYPE_BITS[dtype],), data)
    write_weights(scene.folder, stored)


def float8(scene: Scene) -> None:
    """Store projections in eight bits with a scale for each block, as DeepSeek does."""
    stored = tensors()
    for name, (_, shape, _) in list(stored.items()):
        if "_proj" in name:
            stored[name] = ("F8_E4M3", shape, b"\x38" * (shape[0] * shape[1]))
            stored[f"{name}_scale_inv"] = ("F32", (1, 1), b"\0\0\x80\x3f")
    write_weights(scene.folder, stored)
    says(quantization_config={"quant_method": "fp8", "weight_block_size": [128, 128]})(scene)


def packed(scene: Scene) -> None:
    """Store projections of four bits in integers, as GPTQ does."""
    stored: Tensors = {}
    for name, (dtype, shape, data) in tensors().items():
        if "_proj" not in name:
            stored[name] = (dtype, shape, data)
            continue
        outputs, inputs = shape
        stem = name.removesuffix("weight")
        stored[f"{stem}qweight"] = ("I32", (max(1, inputs // 8), outputs), bytes(4 * max(1, inputs // 8) * outputs))
        stored[f"{stem}scales"] = ("F16", (1, outputs), b"\0\x3c" * outputs)
        stored[f"{stem}g_idx"] = ("I32", (inputs,), bytes(4 * inputs))
    write_weights(scene.folder, stored)
    says(quantization_config={"quant_method": "gptq", "bits": 4, "group_size": 128})(scene)


def vision(scene: Scene) -> None:
    """Put the language model inside one that sees, with the names that transformers writes."""
    stored = {
        f"language_model.{name}" if name.startswith("lm_head") else name.replace("model.", "language_model.model.", 1):
        value for name, value in tensors().items()
    }  # fmt: skip
    stored["vision_tower.patch_embedding.weight"] = ("BF16", (16, 3, 2, 2), finite(192))
    for layer in range(5):
        stored[f"vision_tower.encoder.layers.{layer}.self_attn.q_proj.weight"] = ("BF16", (16, 16), finite(256))
    stored["multi_modal_projector.weight"] = ("BF16", (4, 16), finite(64))
    write_weights(scene.folder, stored)
    outer = {"architectures": ["LlavaForConditionalGeneration"], "model_type": "llava", "tie_word_embeddings": False}
    inner = config()
    document = outer | {"text_config": inner, "vision_config": {"hidden_size": 16, "num_hidden_layers": 5}}
    scene.write("config.json", json.dumps(document))
    scene.write("preprocessor_config.json", json.dumps({"image_mean": [0.5], "image_processor_type": "Llava"}))


def gpt_oss(scene: Scene) -> None:
    shutil.rmtree(scene.folder)
    shutil.copytree(FIXTURE, scene.folder)


def many(scene: Scene) -> None:
    for number in range(2000):
        scene.write(f"checkpoints/step-{number // 100}/log-{number}.txt", f"loss {number}\n")


def other_numbers(scene: Scene) -> None:
    """Number the shards from zero, and write the index as old writers did."""
    index = json.loads((scene.folder / INDEX_FILE).read_bytes())
    names = {shard: f"model-{number:05}-of-00002.safetensors" for number, shard in enumerate(SHARDS)}
    for old in SHARDS:
        (scene.folder / old).rename(scene.folder / f"moved-{names[old]}")
    for new in names.values():
        (scene.folder / f"moved-{new}").rename(scene.folder / new)
    places = {tensor: names[shard] for tensor, shard in index["weight_map"].items()}
    total = float(index["metadata"]["total_size"])
    scene.write(INDEX_FILE, json.dumps({"weight_map": places, "metadata": {"total_size": total}}, indent=4))


def bookkeeping(scene: Scene) -> None:
    """Leave what git and the hub's client keep."""
    scene.write(".git/config", "[core]\n")
    (scene.folder / ".git" / "link").symlink_to("nowhere")
    scene.write(".cache/huggingface/download/config.json.metadata", "x\n")
    scene.write(".gitignore", "*.tmp\n")


def original(scene: Scene) -> None:
    """Keep the publisher's own format in a folder beside."""
    scene.write("original/params.json", json.dumps({"dim": 4}))
    scene.write("original/model.safetensors", dump(tensors(seed=3)))
    scene.write("original/dtypes.json", "{}")


def encoder(scene: Scene) -> None:
    """Write a model without a head, as embedding models are."""
    stored = {name.removeprefix("model."): value for name, value in tensors(tied=True).items()}
    write_weights(scene.folder, stored)
    says(architectures=["LlamaModel"])(scene)


def python_numbers(scene: Scene) -> None:
    scene.merge("tokenizer_config.json", model_max_length=int(1e30))
    text = json.dumps(config()).replace('"llama"', '"llama", "time_step_limit": [0.0, Infinity]')
    scene.write("config.json", text)


def licence_text(scene: Scene) -> None:
    scene.remove("LICENSE")
    scene.write("LICENSE.txt", LICENCE.read_bytes())


def thinking(scene: Scene) -> None:
    """Cut earlier reasoning out of a conversation, as published templates do."""
    source = (
        "{%- for message in messages %}{%- set content = message.content %}"
        "{%- if message.role == 'assistant' and '</think>' in content %}"
        "{%- set content = content.split('</think>')[-1].lstrip('\\n') %}{%- endif %}"
        "<s>{{ message.role }}\n{{ content }}</s>{%- endfor %}"
        "{%- if add_generation_prompt %}<s>assistant\n<think>\n{%- endif %}"
    )
    scene.write("chat_template.jinja", source)
    scene.merge("tokenizer_config.json", chat_template=None)


_ALL: Mapping[str, Build] = {
    "shards with an index": lambda _: None,
    "one file": single,
    "shards numbered from zero, a total that is a float": other_numbers,
    "an embedding that is the head": tied,
    "an embedding that is the head and is stored twice": tied_and_stored_twice,
    "a header without metadata": without_metadata,
    "a header with spaces in it, padded to a page": padded,
    "every dtype, empty tensors and scalars": all_dtypes,
    "the largest and smallest numbers": extreme,
    "eight bits with scales": float8,
    "four bits in integers": packed,
    "a mixture of experts": mixture(),
    "a model that sees": vision,
    "a model without a head": encoder,
    "the bundled fixture, in MXFP4": gpt_oss,
    "a template that cuts reasoning out": thinking,
    "a template in two files": added("additional_chat_templates/tool_use.jinja", TEMPLATE),
    "what only Python calls a number": python_numbers,
    "a licence called otherwise": licence_text,
    "a name of 255 bytes": named("n" * 251 + ".txt"),
    "names in other scripts": lambda scene: (
        named("Übersicht.md")(scene), named("说明.md")(scene), named("лицензия.txt")(scene), named("читайме.md")(scene),
        named("Λ-Modell.txt")(scene), named("日本語 README.md")(scene), named("कार्ड.txt")(scene)),
    "names with dashes and quotation marks": lambda scene: (
        named("Model – “the card”.txt")(scene), named("Model – card.txt")(scene)),
    "names with a letter of another script": lambda scene: (
        named("α-model.txt")(scene), named("10µm.txt")(scene), named("kapalı.txt")(scene), named("m².txt")(scene)),
    "a word of Cyrillic letters that shows as a Latin one": named("\u0441\u0430\u0440\u0435"),
    "a name that loaders do not look for, in capitals": named("Tokenizer_Config.txt"),
    "two thousand files": many,
    "what git and the hub's client keep": bookkeeping,
    "the publisher's own format in a folder": original,
    "a document in PDF": added("paper.pdf", b"%PDF-1.7\n" + bytes(100)),
    "a picture": added("assets/logo.png", b"\x89PNG\r\n\x1a\n" + bytes(100)),
    "results of an evaluation": added("eval_results.json", '{"loss": NaN}'),
}  # fmt: skip

HONEST = [
    *(Case(group="honest", name=name, build=build) for name, build in _ALL.items()),
    Case(group=IN_CACHE, name="a snapshot of the hub's cache", build=snapshot),
]
