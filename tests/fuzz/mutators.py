"""Mutations of documents rather than of bytes: a byte changed in JSON is mostly JSON no more, and soon refused."""

import json
import math
import random
from typing import Any

from mbom.tensorfile import DTYPE_BITS

# Where integers, strings and kinds change what they mean to somebody.
_VALUES: tuple[Any, ...] = (
    0, 1, -1, 7, 255, 2**31, 2**32, 2**48, 2**53, 2**63, 2**64 - 1, 2**64, 0.5, 1e16, 1e308, 5e-324,
    "", "\0", "\u202e", "é", "e\u0301", "\U0001f600", "../x", "/x", "__metadata__", True, False, None, [], {},
    *DTYPE_BITS,
)  # fmt: skip


def mutate_json(data: bytes, seed: int, *, prefix: int) -> bytes | None:
    """Return ``data`` with one to three places of its document changed; None where it holds no document.

    Args:
        data: ``prefix`` bytes, and a document in JSON.
        seed: of what is changed.
        prefix: bytes before the document, kept as they are.
    """
    try:
        document = json.loads(data[prefix:])
    except (ValueError, RecursionError):
        return None
    chance = random.Random(seed)
    holder = [document]  # so that the document itself can be replaced
    for _ in range(chance.randrange(1, 4)):
        _change(chance, holder)
    if chance.random() < 0.5:
        _tile(holder[0])
    try:
        return data[:prefix] + json.dumps(holder[0], ensure_ascii=chance.random() < 0.5).encode()
    except UnicodeEncodeError:
        return None


def _places(holder: list[Any]) -> list[tuple[Any, Any]]:
    """Return every container with each of its keys or positions."""
    found: list[tuple[Any, Any]] = []
    pending: list[Any] = [holder]
    while pending:
        item = pending.pop()
        keys = list(item) if isinstance(item, dict) else list(range(len(item)))
        found.extend((item, key) for key in keys)
        pending.extend(item[key] for key in keys if isinstance(item[key], dict | list))
    return found


def _change(chance: random.Random, holder: list[Any]) -> None:
    places = _places(holder)
    container, key = chance.choice(places)
    other, place = chance.choice(places)
    copied = json.loads(json.dumps(other[place]))  # a value put in twice would be changed in both places
    match chance.randrange(6):
        case 0:
            container[key] = chance.choice(_VALUES)
        case 1:
            container[key] = copied
        case 2 if container is not holder:
            del container[key]
        case 3 if isinstance(container, dict):
            container[f"{key}{chance.choice(['', '2', ' ', '.weight'])}"] = copied
        case 4 if isinstance(container, list):
            container.insert(key, copied)
        case _ if type(container[key]) is int:
            container[key] += chance.choice([-8, -1, 1, 8])


def _tile(document: Any) -> None:
    """Give the tensors of a header the offsets that their shapes and dtypes ask for, wherever they have both."""
    position = 0
    entries = document.values() if isinstance(document, dict) else ()
    for entry in entries:
        if not isinstance(entry, dict) or "data_offsets" not in entry:
            continue
        dtype, shape = entry.get("dtype"), entry.get("shape")
        bits = DTYPE_BITS.get(dtype) if isinstance(dtype, str) else None
        if bits is None or not isinstance(shape, list) or not all(type(item) is int for item in shape):
            continue
        size = math.prod(shape) * bits // 8
        if 0 <= size < 2**40:
            entry["data_offsets"] = [position, position + size]
            position += size
