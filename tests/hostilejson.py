"""What one JSON document can be turned into so that two readers disagree on it, or one of them breaks."""

import json
from collections.abc import Callable

from mbom.strictjson import DEPTH_LIMIT, DIGITS_LIMIT

Attack = Callable[[bytes], bytes]


def with_member(text: bytes) -> Attack:
    """Put a member in front of those of the document, which is an object."""

    def attack(document: bytes) -> bytes:
        at = document.index(b"{") + 1
        return document[:at] + b'"zz": ' + text + (b"," if json.loads(document) else b"") + document[at:]

    return attack


def first_member_twice(document: bytes) -> bytes:
    """Say the first member a second time, in the same words, so that nothing else is wrong."""
    name, value = next(iter(json.loads(document).items()))
    at = document.index(b"{") + 1
    return document[:at] + f"{json.dumps(name)}: {json.dumps(value)},".encode() + document[at:]


def first_member_twice_in_disguise(document: bytes) -> bytes:
    """The same with the name spelled in escapes, which are the same name to a reader and not to a search."""
    name, value = next(iter(json.loads(document).items()))
    spelled = "".join(f"\\u{ord(char):04x}" for char in name)
    at = document.index(b"{") + 1
    return document[:at] + f'"{spelled}": {json.dumps(value)},'.encode() + document[at:]


# Each with the words by which the strict reader refuses it.
ATTACKS: dict[str, tuple[Attack, str]] = {
    "a member twice": (first_member_twice, "occurs twice"),
    "a member twice, spelled in two ways": (first_member_twice_in_disguise, "occurs twice"),
    "a member twice, deep inside": (with_member(b'[{"a": {"b": 1, "b": 1}}]'), "occurs twice"),
    "NaN": (with_member(b"NaN"), "NaN"),
    "a number out of range": (with_member(b"-1e999"), "1e999"),
    "an integer of too many digits": (with_member(b"1" * (DIGITS_LIMIT + 1)), "digits"),
    "an integer that stops CPython": (with_member(b"9" * 5000), "digits"),
    "a byte order mark": (lambda data: b"\xef\xbb\xbf" + data, "byte order mark|opening brace"),
    "UTF-16": (lambda data: data.decode().encode("utf-16"), "not UTF-8|opening brace"),
    "UTF-16 without a mark": (lambda data: data.decode().encode("utf-16-le"), "not JSON|not UTF-8|ends with"),
    "a byte that is not UTF-8": (with_member(b'"\xff"'), "not UTF-8"),
    "an overlong encoding": (with_member(b'"\xc0\xaf"'), "not UTF-8"),
    "an encoded surrogate": (with_member(b'"\xed\xa0\x80"'), "not UTF-8"),
    "a lone surrogate": (with_member(b'"\\udc00"'), "surrogate"),
    "a lone surrogate in a name": (with_member(b'{"\\ud800": 1}'), "surrogate"),
    "one bracket too many": (with_member(b"[" * DEPTH_LIMIT + b"]" * DEPTH_LIMIT), "nested deeper"),
    "a hundred thousand brackets": (with_member(b'{"a":' * 100_000), "nested deeper"),
    "two documents": (lambda data: data.rstrip() + data, "not JSON"),
    "a document that breaks off": (lambda data: data.rstrip()[:-1], "not JSON|ends with"),
    "a comment": (with_member(b"1 /* trust me */"), "not JSON"),
    "a comma behind the last": (with_member(b"[1,]"), "not JSON"),
    "a raw line break in a string": (with_member(b'"a\nb"'), "not JSON"),
    "a NUL": (with_member(b'"a\0b"'), "not JSON"),
    "nothing": (lambda _: b"", "not JSON|begins with"),
}
INFINITY = {
    "infinity": (with_member(b"Infinity"), "Infinity"),
    "minus infinity": (with_member(b"[-Infinity]"), "Infinity"),
}

# Every spelling of bytes in base64 but the one that counts; ``text`` is the honest one, with padding.
SPELLINGS: dict[str, Callable[[str], str]] = {
    "a line break": lambda text: text + "\n",
    "white space inside": lambda text: text[:4] + " " + text[4:],
    "lines of 64": lambda text: "\n".join(text[at : at + 64] for at in range(0, len(text), 64)) + "\n",
    "no padding": lambda text: text.rstrip("="),
    "too much padding": lambda text: text + "====",
    "stray bits": lambda text: text.rstrip("=")[:-1] + _next(text.rstrip("=")[-1]) + "=" * text.count("="),
    "the alphabet for URLs": lambda text: "-_" + text[2:],
    "a stray character": lambda text: text[:4] + "*" + text[4:],
    "a letter of another script": lambda text: "\u0430" + text[1:],
    "two in a row": lambda text: text + text,
}  # fmt: skip
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def _next(char: str) -> str:
    """Return the character whose value is one more: the lowest bit, which padding says means nothing, is set."""
    return _ALPHABET[_ALPHABET.index(char) + 1]
