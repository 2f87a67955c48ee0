"""Small files of a checkpoint, read whole and bound to the inventory as tensors are."""

import os
from collections.abc import Mapping
from pathlib import Path

from mbom import strictjson
from mbom.digest import sha256
from mbom.errors import EngineError, FormatError, RefusedError
from mbom.inventory.record import Inventory
from mbom.strictjson import Json

CONFIG = "config.json"
TOKENIZER = "tokenizer.json"
TOKENIZER_LIMIT = 256 << 20  # 250,000 tokens with their merges take 33 MB


def configuration(files: Mapping[str, Path], inventory: Inventory) -> dict[str, Json]:
    """Return ``config.json``.

    Raises:
        EngineError: when there is none.
        RefusedError: when it is not the file that was inventoried, or not strictly a JSON object.
    """
    data = bound(files, inventory, CONFIG, strictjson.SIZE_LIMIT)
    value = strictjson.loads(data, what=CONFIG)
    if not isinstance(value, dict):
        raise FormatError(f"{CONFIG}: not an object")
    return value


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


def content(path: Path, limit: int) -> bytes:
    """Return what a regular file holds; a link is not followed.

    Raises:
        EngineError: when it cannot be read.
        FormatError: when it is larger than ``limit`` bytes.
    """
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW), "rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise EngineError(f"{path.name}: cannot be read: {error.strerror}") from error
    if len(data) > limit:
        raise FormatError(f"{path.name}: larger than {limit} bytes")
    return data
