"""What a diff quotes of hostile files: printable, and no longer than people and documents can take.

What is cut keeps a digest of the whole, so that two values which differ never come out as one.
"""

import json

from mbom.digest import sha256
from mbom.printable import printable
from mbom.strictjson import Json

NAME_LIMIT = 200  # characters of a member's dotted name; honest ones have about sixty
VALUE_LIMIT = 1000  # characters of a value; a list of layer types has about that many

Lossless = str  # JSON with sorted keys: equal for equal values of equal types


def lossless(value: Json) -> Lossless:
    """Return a text that is equal for two values only where they are the same: ``1``, ``1.0`` and ``true`` are not."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def name(text: str) -> str:
    """Return a member's name, printable."""
    return _cut(text, NAME_LIMIT)


def value(item: Json) -> Json:
    """Return a value to quote: as it is where it is short and every text in it printable, else as a text."""
    if isinstance(item, str):
        return _cut(item, VALUE_LIMIT)
    if item is None or isinstance(item, bool):
        return item
    written = lossless(item)
    if isinstance(item, int):
        return item if abs(item) < 1 << 53 else written  # many readers of JSON lose larger ones
    if isinstance(item, float):
        return item if written not in ("Infinity", "-Infinity", "NaN") else written
    if len(written) > VALUE_LIMIT:
        return f"{len(item)} entries, sha256:{sha256(written.encode())}"
    return _printable(item)


def _printable(item: Json) -> Json:
    if isinstance(item, list):
        return [_printable(inner) for inner in item]
    if isinstance(item, dict):
        return {printable(key): _printable(inner) for key, inner in item.items()}
    return value(item)


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return printable(text)
    digest = sha256(text.encode(errors="surrogatepass"))
    return f"{printable(text[: limit // 2])}… ({len(text):,} characters, sha256:{digest})"
