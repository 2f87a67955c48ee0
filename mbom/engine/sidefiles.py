"""Small files of a checkpoint, read whole and bound to the inventory as tensors are."""

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from mbom import strictjson
from mbom.digest import sha256
from mbom.errors import EngineError, FormatError, RefusedError, UnavailableError
from mbom.inventory.record import Inventory
from mbom.strictjson import Json

CONFIG = "config.json"
TOKENIZER = "tokenizer.json"
_EMBEDDING = "embed_tokens.weight"  # ends the name of every text embedding, and of no other
TOKENIZER_LIMIT = 256 << 20  # 250,000 tokens with their merges take 33 MB


def configuration(files: Mapping[str, Path], inventory: Inventory) -> dict[str, Json]:
    """Return ``config.json``.

    Raises:
        EngineError: when there is none.
        RefusedError: when it is not the file that was inventoried, or not strictly a JSON object.
    """
    data = bound(files, inventory, CONFIG, strictjson.SIZE_LIMIT)
    value = strictjson.loads(data, what=CONFIG, infinity=True)  # limits of state-space models may be infinite
    if not isinstance(value, dict):
        raise FormatError(f"{CONFIG}: not an object")
    return value


def text_settings(config: Mapping[str, Json]) -> Mapping[str, Json]:
    """Return the part of a configuration that describes the text model: ``text_config`` where there is one."""
    inner = config.get("text_config")
    return inner if isinstance(inner, dict) else config


def vocabulary(files: Mapping[str, Path], inventory: Inventory) -> int:
    """Return the rows of the embedding, which bound the token ids of prompts.

    A text model beside others may leave the number to its class; then the stored embedding tells it.

    Raises:
        EngineError: when there is no configuration.
        RefusedError: when it is not the one that was inventoried, or says no positive integer.
    """
    text = text_settings(configuration(files, inventory))
    embeddings = [tensor.shape for tensor in inventory.tensors if tensor.name.endswith(_EMBEDDING) and tensor.shape]
    size = text.get("vocab_size", embeddings[0][0] if len(embeddings) == 1 else None)
    if type(size) is not int or size < 1:
        raise FormatError(f"{CONFIG}: vocab_size is {size!r}, a positive integer is allowed")
    return size


def bound(files: Mapping[str, Path], inventory: Inventory, name: str, limit: int) -> bytes:
    """Return the content of a file of at most ``limit`` bytes, which must be what was inventoried.

    Raises:
        EngineError: when the checkpoint has no such file, or it cannot be read.
        RefusedError: when its SHA-256 is another one.
    """
    recorded = next((file for file in inventory.files if file.name == name), None)
    if recorded is None or name not in files:
        raise EngineError(f"the checkpoint has no {name}, without which it cannot be run")
    data = content(files[name], limit)
    if sha256(data) != recorded.sha256:
        raise RefusedError(f"{name}: has SHA-256 {sha256(data)}, the inventory says {recorded.sha256}")
    return data


def content(
    path: Path, limit: int, *, name: str | None = None, unreadable: type[UnavailableError] = EngineError
) -> bytes:
    """Return what a regular file holds; a link is not followed, and nothing waits for a pipe to speak.

    Args:
        path: where it lies.
        limit: the most bytes that it may have.
        name: how messages call it; by default the last component of the path.
        unreadable: what is raised when it cannot be read.

    Raises:
        UnavailableError: of the kind ``unreadable``.
        FormatError: when it is larger than ``limit`` bytes.
    """
    name = path.name if name is None else name
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise unreadable(f"{name}: not a regular file")
            data = file.read(limit + 1)
    except OSError as error:
        raise unreadable(f"{name}: cannot be read: {error.strerror}") from error
    if len(data) > limit:
        raise FormatError(f"{name}: larger than {limit} bytes")
    return data
