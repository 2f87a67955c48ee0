"""JSON as an adversary cannot bend it, and typed access to what was read.

Python's own reader takes the last of two equal keys, ``NaN``, lone surrogates and a million brackets. Two parsers
that read one document differently are an attack, so everything that mbom reads passes through ``loads``.
"""

import json
import math
import re

import rfc8785

from mbom.digest import GIT_HEX, SHA256_HEX
from mbom.errors import FormatError

_KINDS = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", int: "an integer",
              float: "a number", type(None): "null"}  # fmt: skip

Json = dict[str, "Json"] | list["Json"] | str | int | float | bool | None

SIZE_LIMIT = 64 << 20  # the largest honest side file seen is a 17 MB index
DEPTH_LIMIT = 64  # configurations nest about six deep
DIGITS_LIMIT = 40  # most tokenizer_config.json say int(1e30), of 31 digits; CPython itself refuses at 4,300

# Strings are skipped whole (an unterminated one to the end), so that only structural brackets count. Possessive
# quantifiers keep this linear on hostile input.
_STRUCTURE = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)


def loads(data: bytes, *, what: str, limit: int = SIZE_LIMIT, floats: bool = True, infinity: bool = False) -> Json:
    """Parse ``data`` as one JSON document in UTF-8, without duplicate keys, NaN, surrogates or deep nesting.

    Args:
        data: the exact bytes.
        what: how error messages name the document, usually its path.
        limit: the largest size accepted, in bytes.
        floats: whether numbers with a fraction or an exponent are allowed.
        infinity: whether the words ``Infinity`` and ``-Infinity`` are numbers. They are not JSON, but Python writes
            them, and published configurations of Mamba layers hold them.

    Raises:
        FormatError: on anything that is not strictly JSON, or over a limit.
    """
    if len(data) > limit:
        raise FormatError(f"{what}: {len(data)} bytes of JSON, the limit is {limit}")
    try:
        text = data.decode("utf-8", errors="strict")
    except UnicodeDecodeError as error:
        raise FormatError(f"{what}: not UTF-8 at byte {error.start}") from error
    if text.startswith("\ufeff"):
        raise FormatError(f"{what}: begins with a byte order mark")
    _check_depth(data, what)

    hooks = _Hooks(what, floats=floats, infinity=infinity)
    try:
        value: Json = json.loads(
            text,
            object_pairs_hook=hooks.pairs,
            parse_int=hooks.integer,
            parse_float=hooks.number,
            parse_constant=hooks.constant,
        )
    except json.JSONDecodeError as error:
        raise FormatError(f"{what}: not JSON: {error.msg} at line {error.lineno}") from error
    if "\\u" in text:
        _check_surrogates(value, what)
    return value


class _Hooks:
    """What the standard parser calls for each object and number of one document."""

    def __init__(self, what: str, *, floats: bool, infinity: bool) -> None:
        self.what = what
        self.floats = floats
        self.infinity = infinity

    def pairs(self, items: list[tuple[str, Json]]) -> dict[str, Json]:
        found = dict(items)
        if len(found) != len(items):
            seen: set[str] = set()
            twice = next(key for key, _ in items if key in seen or seen.add(key))  # type: ignore[func-returns-value]
            raise FormatError(f"{self.what}: the key {twice[:80]!r} occurs twice in one object")
        return found

    def integer(self, digits: str) -> int:
        if len(digits.lstrip("-")) > DIGITS_LIMIT:
            raise FormatError(f"{self.what}: an integer of {len(digits)} digits, the limit is {DIGITS_LIMIT}")
        if digits == "-0" and not self.floats:
            raise FormatError(f"{self.what}: -0, which other readers take for a fraction")
        return int(digits)

    def number(self, digits: str) -> float:
        if not self.floats:
            raise FormatError(f"{self.what}: the number {digits[:40]} where only integers are allowed")
        value = float(digits)
        if math.isinf(value):
            raise FormatError(f"{self.what}: the number {digits[:40]} is out of range")
        return value

    def constant(self, name: str) -> float:
        if self.infinity and name != "NaN":
            return float(name)
        raise FormatError(f"{self.what}: {name} is not JSON")


def _check_depth(data: bytes, what: str) -> None:
    """Refuse nesting beyond ``DEPTH_LIMIT`` before the recursive parser meets it."""
    if data.count(b"[") + data.count(b"{") <= DEPTH_LIMIT:
        return
    depth = 0
    for match in _STRUCTURE.finditer(data):
        token = match[0]
        if token in (b"[", b"{"):
            depth += 1
            if depth > DEPTH_LIMIT:
                raise FormatError(f"{what}: nested deeper than {DEPTH_LIMIT} levels")
        elif token in (b"]", b"}"):
            depth -= 1


def _check_surrogates(value: Json, what: str) -> None:
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, str) and any("\ud800" <= char <= "\udfff" for char in item):
            raise FormatError(f"{what}: a string holds a lone surrogate, which is no character")
        if isinstance(item, list):
            pending.extend(item)
        elif isinstance(item, dict):
            pending.extend(item.keys())
            pending.extend(item.values())


def canonical(value: Json) -> bytes:
    """Return the one byte sequence for ``value`` that RFC 8785 allows; digests and signatures are over it.

    Raises:
        FormatError: for an integer beyond 2**53, which RFC 8785 cannot write exactly.
    """
    try:
        return rfc8785.dumps(value)
    except rfc8785.CanonicalizationError as error:
        raise FormatError(f"not representable in canonical JSON: {error}") from error


def pretty(value: Json) -> bytes:
    """Return ``value`` as indented JSON with sorted keys and a final newline: stable bytes that people can read."""
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False).encode() + b"\n"


class Fields:
    """The members of one JSON object, taken by name and type; what is left over at ``end`` is refused.

    ``True`` is not an integer here, and every message names the document and the path inside it.
    """

    def __init__(self, value: Json, what: str) -> None:
        if not isinstance(value, dict):
            raise FormatError(f"{what}: {_kind(value)} where an object belongs")
        self._left = dict(value)
        self.what = what

    def _take(self, name: str, kinds: tuple[type, ...], wanted: str) -> Json:
        if name not in self._left:
            raise FormatError(f"{self.what}: the member {name!r} is missing")
        value = self._left.pop(name)
        if type(value) not in kinds:
            raise FormatError(f"{self.what}: {name!r} is {_kind(value)} where {wanted} belongs")
        return value

    def has(self, name: str) -> bool:
        """Tell whether a member is present and not null; a null one is consumed."""
        if name in self._left and self._left[name] is None:
            del self._left[name]
        return name in self._left

    def text(self, name: str) -> str:
        """Take a string."""
        value = self._take(name, (str,), "a string")
        assert isinstance(value, str)
        return value

    def optional_text(self, name: str) -> str | None:
        """Take a string, or None where the member is absent or null."""
        return self.text(name) if self.has(name) else None

    def text_or_null(self, name: str) -> str | None:
        """Take a member that must be there, a string or null: there is one way to say that there is none."""
        value = self.raw(name)
        if value is not None and not isinstance(value, str):
            raise FormatError(f"{self.what}: {name!r} is neither a string nor null")
        return value

    def integer(self, name: str, *, minimum: int = 0) -> int:
        """Take an integer of at least ``minimum``."""
        value = self._take(name, (int,), "an integer")
        assert isinstance(value, int)
        if value < minimum:
            raise FormatError(f"{self.what}: {name!r} is {value}, at least {minimum} is allowed")
        return value

    def optional_integer(self, name: str, *, minimum: int = 0) -> int | None:
        """Take an integer, or None where the member is absent or null."""
        return self.integer(name, minimum=minimum) if self.has(name) else None

    def number(self, name: str) -> float:
        """Take an integer or a fraction, as a float."""
        value = self._take(name, (int, float), "a number")
        assert isinstance(value, int | float)
        return float(value)

    def boolean(self, name: str) -> bool:
        """Take a boolean."""
        value = self._take(name, (bool,), "a boolean")
        assert isinstance(value, bool)
        return value

    def array(self, name: str) -> list[Json]:
        """Take an array."""
        value = self._take(name, (list,), "an array")
        assert isinstance(value, list)
        return value

    def integers(self, name: str) -> tuple[int, ...]:
        """Take an array of non-negative integers."""
        values = self.array(name)
        if not all(type(value) is int and value >= 0 for value in values):
            raise FormatError(f"{self.what}: {name!r} holds something that is not a non-negative integer")
        return tuple(value for value in values if isinstance(value, int))

    def texts(self, name: str) -> tuple[str, ...]:
        """Take an array of strings."""
        values = self.array(name)
        if not all(isinstance(value, str) for value in values):
            raise FormatError(f"{self.what}: {name!r} holds something that is not a string")
        return tuple(value for value in values if isinstance(value, str))

    def object(self, name: str) -> "Fields":
        """Take an object, as fields of its own."""
        value = self._take(name, (dict,), "an object")
        return Fields(value, f"{self.what}: {name}")

    def objects(self, name: str) -> "list[Fields]":
        """Take an array of objects, each as fields of its own."""
        return [Fields(value, f"{self.what}: {name}[{i}]") for i, value in enumerate(self.array(name))]

    def raw(self, name: str) -> Json:
        """Take a member of any type."""
        if name not in self._left:
            raise FormatError(f"{self.what}: the member {name!r} is missing")
        return self._left.pop(name)

    def sha256(self, name: str = "sha256") -> str:
        """Take a SHA-256 or BLAKE3 digest in lower-case hex."""
        return self._hex(name, SHA256_HEX, 64)

    def git_id(self, name: str) -> str:
        """Take a git object id: 40 lower-case hex digits."""
        return self._hex(name, GIT_HEX, 40)

    def _hex(self, name: str, pattern: re.Pattern[str], digits: int) -> str:
        value = self.text(name)
        if pattern.fullmatch(value) is None:
            raise FormatError(f"{self.what}: {name!r} is {value[:80]!r}, not {digits} lower-case hex digits")
        return value

    def constant(self, name: str, expected: str | int) -> None:
        """Take a member that has one allowed value, such as a version or a media type."""
        value = self._take(name, (type(expected),), f"{expected!r}")
        if value != expected:
            raise FormatError(f"{self.what}: {name!r} is {str(value)[:80]!r}, only {expected!r} is known")

    def end(self) -> None:
        """Refuse members that nobody took."""
        if self._left:
            raise FormatError(f"{self.what}: unknown member {min(self._left)!r}")


def _kind(value: Json) -> str:
    return _KINDS[type(value)]
