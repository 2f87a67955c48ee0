"""Small safetensors checkpoints in folders, and a source that advertises as the hub does."""

import json
import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mbom import digest
from mbom.source import Advertised, LocalFile, Origin
from mbom.tensorfile import DTYPE_BITS, dump

FLOATS = frozenset({"BF16", "F16", "F32", "F64", "F8_E4M3", "F8_E5M2"})
Tensors = dict[str, tuple[str, tuple[int, ...], bytes]]

CONFIG = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 4, "vocab_size": 8}
SIDE_FILES = {
    "config.json": json.dumps(CONFIG).encode(),
    "generation_config.json": b'{"eos_token_id": 2}',
    "tokenizer.json": b'{"version": "1.0"}',
    "tokenizer_config.json": b"{}",
    "LICENSE": b"Apache License 2.0\n",
    "README.md": b"---\nlicense: apache-2.0\n---\n# A model\n",
    ".gitattributes": b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n",
}


def random_tensors(count: int, *, seed: int = 0, dtypes: Iterable[str] = ("BF16", "F32", "U8")) -> Tensors:
    """Return ``count`` tensors of up to three dimensions with random numbers, the same for the same seed."""
    chance = random.Random(seed)
    kinds = sorted(dtypes)
    tensors: Tensors = {}
    for number in range(count):
        dtype = chance.choice(kinds)
        shape = (*(chance.randrange(1, 6) for _ in range(chance.randrange(3))), 8)  # whole bytes in every dtype
        elements = 1
        for dim in shape:
            elements *= dim
        data = bytearray(chance.randbytes(elements * DTYPE_BITS[dtype] // 8))
        if dtype in FLOATS:  # without the highest bit of the exponent every pattern is a number
            width = DTYPE_BITS[dtype] // 8
            data[width - 1 :: width] = bytes(byte & 0xBF for byte in data[width - 1 :: width])
        tensors[f"model.layers.{number}.weight"] = (dtype, shape, bytes(data))
    return tensors


def shard_names(count: int) -> list[str]:
    """Return the names of ``count`` shards, numbered from zero as gpt-oss does."""
    return [f"model-{number:05}-of-{count:05}.safetensors" for number in range(count)]


def index_of(parts: Mapping[str, Tensors]) -> dict[str, object]:
    """Return the index document of shards, given as tensors by shard name."""
    return {
        "metadata": {"total_size": sum(len(data) for part in parts.values() for _, _, data in part.values())},
        "weight_map": {tensor: shard for shard, part in parts.items() for tensor in part},
    }


def write_checkpoint(
    folder: Path, tensors: Tensors | None = None, *, shards: int = 2, side: Mapping[str, bytes] = SIDE_FILES
) -> Path:
    """Write a checkpoint: ``tensors`` over ``shards`` files with an index, or into ``model.safetensors`` for 0."""
    tensors = random_tensors(9) if tensors is None else tensors
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in side.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    if shards == 0:
        (folder / "model.safetensors").write_bytes(dump(tensors, {"format": "pt"}))
        return folder
    names = shard_names(shards)
    parts: dict[str, Tensors] = {name: {} for name in names}
    for number, (tensor, value) in enumerate(tensors.items()):
        parts[names[number % shards]][tensor] = value
    for name, part in parts.items():
        (folder / name).write_bytes(dump(part, {"format": "pt"}))
    (folder / "model.safetensors.index.json").write_text(json.dumps(index_of(parts)), encoding="utf-8")
    return folder


def files_below(folder: Path) -> dict[str, Path]:
    """Return every file below ``folder`` by its name with forward slashes."""
    return {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}


@dataclass(kw_only=True)
class FolderAsHub:
    """A source that advertises the digests of a folder's files as the hub does, and hands out copies.

    ``spoiled`` maps a name to what its next copies hold, one for each fetch; when they run out, the copy is good.
    ``fetched`` and ``refetched`` tell what was asked for.
    """

    folder: Path
    copies: Path
    spoiled: dict[str, list[bytes]] = field(default_factory=dict)
    fetched: list[str] = field(default_factory=list)
    refetched: list[str] = field(default_factory=list)
    origin: Origin = field(default=Origin(kind="hub", name="org/model", repo="org/model", revision="a" * 40))

    def listing(self) -> tuple[Advertised, ...]:
        return tuple(self._advertised(name, path.read_bytes()) for name, path in files_below(self.folder).items())

    def _advertised(self, name: str, content: bytes) -> Advertised:
        if name.endswith((".safetensors", ".bin", ".pth")):
            return Advertised(name=name, size=len(content), sha256=digest.sha256(content))
        return Advertised(name=name, size=len(content), git_blob=digest.git_blob(content))

    def fetch(self, names: Iterable[str]) -> Iterator[LocalFile]:
        for name in names:
            self.fetched.append(name)
            yield self._copy(name)

    def refetch(self, name: str) -> LocalFile:
        self.refetched.append(name)
        return self._copy(name)

    def observe(self, bases: Iterable[str]) -> None:
        """Know nothing."""

    def _copy(self, name: str) -> LocalFile:
        content = (self.folder / name).read_bytes()
        advertised = self._advertised(name, content)
        if self.spoiled.get(name):
            content = self.spoiled[name].pop(0)
        path = self.copies / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return LocalFile(name=name, path=path, advertised=advertised)
