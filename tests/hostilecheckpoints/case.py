"""What a case is, and the honest checkpoint that each of them spoils."""

import json
import random
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from checkpoints import Tensors

from mbom.tensorfile import dump

INDEX_FILE = "model.safetensors.index.json"
SINGLE_FILE = "model.safetensors"
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")

HIDDEN, VOCABULARY, LAYERS, HEADS = 4, 8, 2, 2
WORDS = ("<unk>", "<s>", "</s>", "a", "b", "c", "ab", "abc")
TEMPLATE = (
    "{% for message in messages %}<s>{{ message['role'] }}: {{ message['content'] }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<s>assistant: {% endif %}"
)
CARD = "---\nlicense: apache-2.0\nlibrary_name: transformers\n---\n# A model\n\nTrained by hand.\n"
LICENCE = Path(__file__).parents[2] / "fixtures" / "licences" / "apache-2.0.txt"


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Where a case is built: ``folder`` is the checkpoint, ``canary`` the file that its payloads would make."""

    folder: Path
    canary: Path

    def write(self, name: str, content: bytes | str) -> Path:
        """Write a file of the checkpoint."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def edit(self, name: str, change: Callable[[Any], object]) -> None:
        """Change a JSON file of the checkpoint."""
        document = json.loads((self.folder / name).read_bytes())
        change(document)
        self.write(name, json.dumps(document))

    def merge(self, name: str, **members: Any) -> None:
        """Set members of a JSON file, or remove those that are None."""

        def change(document: dict[str, Any]) -> None:
            document.update(members)
            for member in [name for name, value in members.items() if value is None]:
                del document[member]

        self.edit(name, change)

    def remove(self, name: str) -> None:
        """Remove a file of the checkpoint."""
        (self.folder / name).unlink()

    @property
    def command(self) -> str:
        """A shell command that makes the canary."""
        return f"touch '{self.canary}'"


Build = Callable[[Scene], object]


@dataclass(frozen=True, kw_only=True)
class Case:
    """A checkpoint and what must be said of it.

    Attributes:
        group: the class of attacks that it belongs to.
        name: a sentence about it.
        build: spoils an honest checkpoint that is already there.
        expected: every error and warning by its id, and any note that matters; nothing else may be found.
        exit: the exit status where the command must refuse without findings, with ``message`` in what it says.
        message: a part of that sentence.
        unprivileged: whether it needs a process that permissions hold for.
    """

    group: str
    name: str
    build: Build
    expected: Mapping[str, str] = field(default_factory=dict)
    exit: int | None = None
    message: str = ""
    unprivileged: bool = False

    def __str__(self) -> str:
        return f"{self.group}: {self.name}"


def cases(group: str, table: Mapping[str, tuple[Build, Mapping[str, str]]]) -> Iterator[Case]:
    """Return a table of cases that end in findings."""
    for name, (build, expected) in table.items():
        yield Case(group=group, name=name, build=build, expected=expected)


def refused(group: str, table: Mapping[str, tuple[Build, int, str]]) -> Iterator[Case]:
    """Return a table of cases that end in a refusal."""
    for name, (build, status, message) in table.items():
        yield Case(group=group, name=name, build=build, exit=status, message=message)


def error(*ids: str) -> dict[str, str]:
    """Return findings that are errors."""
    return dict.fromkeys(ids, "error")


def warning(*ids: str) -> dict[str, str]:
    """Return findings that are warnings."""
    return dict.fromkeys(ids, "warning")


def note(*ids: str) -> dict[str, str]:
    """Return findings that are notes."""
    return dict.fromkeys(ids, "note")


def finite(count: int, seed: int = 0) -> bytes:
    """Return ``count`` numbers in bfloat16, as trained weights are distributed."""
    chance = random.Random(seed)
    return b"".join(struct.pack("<f", chance.gauss(0, 0.02))[2:] for _ in range(count))


def tensors(*, seed: int = 0, tied: bool = False, experts: int = 0) -> Tensors:
    """Return the tensors of a Llama of two layers, or of a mixture in its place."""
    shapes = {"model.embed_tokens.weight": (VOCABULARY, HIDDEN), "model.norm.weight": (HIDDEN,)}
    if not tied:
        shapes["lm_head.weight"] = (VOCABULARY, HIDDEN)
    for layer in range(LAYERS):
        at = f"model.layers.{layer}"
        shapes |= {f"{at}.self_attn.{kind}_proj.weight": (HIDDEN, HIDDEN) for kind in "qkvo"}
        shapes |= {f"{at}.{kind}_layernorm.weight": (HIDDEN,) for kind in ("input", "post_attention")}
        places = [f"{at}.mlp.experts.{number}" for number in range(experts)] or [f"{at}.mlp"]
        for place in places:
            shapes |= {f"{place}.{kind}_proj.weight": (2 * HIDDEN, HIDDEN) for kind in ("gate", "up")}
            shapes[f"{place}.down_proj.weight"] = (HIDDEN, 2 * HIDDEN)
        if experts:
            shapes[f"{at}.mlp.gate.weight"] = (experts, HIDDEN)
    found: Tensors = {}
    for number, (name, shape) in enumerate(sorted(shapes.items())):
        count = shape[0] * (shape[1] if len(shape) > 1 else 1)
        found[name] = ("BF16", shape, finite(count, seed + number))
    return found


def config(**members: Any) -> dict[str, Any]:
    """Return the configuration of that Llama."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": HIDDEN,
        "intermediate_size": 2 * HIDDEN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS,
        "vocab_size": VOCABULARY,
        "max_position_embeddings": 64,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        **members,
    }


def tokenizer(**members: Any) -> dict[str, Any]:
    """Return tokenizer.json of its vocabulary."""
    special = [
        {"id": number, "content": WORDS[number], "special": True, "single_word": False, "lstrip": False,
         "rstrip": False, "normalized": False}
        for number in range(3)
    ]  # fmt: skip
    return {
        "version": "1.0",
        "added_tokens": special,
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE", "unk_token": "<unk>", "vocab": {word: number for number, word in enumerate(WORDS)},
            "merges": [["a", "b"], ["ab", "c"]],
        },
        **members,
    }  # fmt: skip


def tokenizer_config(**members: Any) -> dict[str, Any]:
    """Return tokenizer_config.json beside it."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "added_tokens_decoder": {str(n): {"content": WORDS[n], "special": True} for n in range(3)},
        "model_max_length": 64,
        "chat_template": TEMPLATE,
        **members,
    }


def write_weights(folder: Path, stored: Tensors, *, shards: bool = True) -> None:
    """Write tensors as two shards with an index, or as one file."""
    if not shards:
        (folder / SINGLE_FILE).write_bytes(dump(stored, {"format": "pt"}))
        return
    names = sorted(stored)
    parts = {SHARDS[n]: {name: stored[name] for name in names[n::2]} for n in range(2)}
    for shard, part in parts.items():
        (folder / shard).write_bytes(dump(part, {"format": "pt"}))
    index = {
        "metadata": {"total_size": sum(len(data) for _, _, data in stored.values())},
        "weight_map": {name: shard for shard, part in parts.items() for name in part},
    }
    (folder / INDEX_FILE).write_text(json.dumps(index, indent=2), encoding="utf-8")


def write_honest(scene: Scene, *, shards: bool = True) -> None:
    """Write the honest checkpoint."""
    scene.folder.mkdir(parents=True)
    write_weights(scene.folder, tensors(), shards=shards)
    scene.write("config.json", json.dumps(config(), indent=2))
    scene.write("generation_config.json", json.dumps({"bos_token_id": 1, "eos_token_id": 2}))
    scene.write("tokenizer.json", json.dumps(tokenizer()))
    scene.write("tokenizer_config.json", json.dumps(tokenizer_config()))
    scene.write("special_tokens_map.json", json.dumps({"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}))
    scene.write("README.md", CARD)
    scene.write("LICENSE", LICENCE.read_bytes())
    scene.write(".gitattributes", "*.safetensors filter=lfs diff=lfs merge=lfs -text\n")


def single(scene: Scene) -> None:
    """Put one file in the place of the shards."""
    for name in (*SHARDS, INDEX_FILE):
        scene.remove(name)
    write_weights(scene.folder, tensors(), shards=False)


def raw(header: bytes | str, data: bytes = b"", *, length: int | None = None) -> bytes:
    """Return a safetensors file of any header."""
    document = header.encode() if isinstance(header, str) else header
    return (len(document) if length is None else length).to_bytes(8, "little") + document + data


def file(content: bytes | Callable[[], bytes], *, name: str = SINGLE_FILE) -> Build:
    """Return what puts a single file in the place of the shards."""

    def build(scene: Scene) -> None:
        single(scene)
        scene.write(name, content if isinstance(content, bytes) else content())

    return build


def added(name: str, content: bytes | str) -> Build:
    """Return what adds a file."""
    return lambda scene: scene.write(name, content)
