"""The lock file as a whole: strict reading, one way to write it, and the lines that its models begin at.

The file is TOML, and only one sequence of bytes is the right one for given content. So a pull request shows each change
in a line of its own and nothing else, no trick of TOML can show a reviewer other text than a reader sees, and the line
of a model is known without a parser that keeps positions.
"""

import json
import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise, zip_longest

from mbom.errors import FormatError
from mbom.lockfile.entry import KEYS, OPTIONAL, Entry, is_model_name
from mbom.signing import Signatory

FILE_NAME = "mbom.lock"
VERSION = 1

SIZE_LIMIT = 4 << 20  # bytes; a model takes about 900
MODELS_LIMIT = 2000  # products use a handful, registries hundreds
LINE_LIMIT = 64 << 10  # characters; keeps the parser, which recurses, away from deep nesting together with the pattern

HEADER = (
    "# The models that this repository uses, each with the evidence that it was verified by.\n"
    "# `mbom lock add`, `update` and `remove` write this file, and `mbom lock check` verifies it.\n"
    f"version = {VERSION}\n"
)

# What a line can be. Outside of strings, brackets open once, so that nothing nests.
_STRING = r'"(?:[^"\\]|\\.)*+"'
_FLAT = rf'(?:[^\[\]{{}}"]|{_STRING})*+'
_LINE = re.compile(rf"#.*|\[\[model\]\]|[a-z_]+ = (?:[^\[{{].*|\[{_FLAT}\]|\{{{_FLAT}\}})|")
_CONFLICT = re.compile(r"<{7}|={7}|>{7}|\|{7}")


@dataclass(frozen=True, kw_only=True)
class Lock:
    """The models, in the order of their names by code point."""

    entries: tuple[Entry, ...] = ()

    def __post_init__(self) -> None:
        """Refuse names that are not in order, doubled or one name to people, and more than ``MODELS_LIMIT``.

        Raises:
            FormatError: naming the models.
        """
        _check_names([entry.name for entry in self.entries], FILE_NAME)

    def get(self, name: str) -> Entry | None:
        """Return the model that is called so, or None."""
        return self._by_name.get(name)

    def line_of(self, name: str, key: str = "name") -> int | None:
        """Return the line of the file, from 1, that says ``key`` of a model; None where no line does."""
        return self._lines.get((name, key))

    def with_entry(self, entry: Entry) -> "Lock":
        """Return a lock that holds ``entry``, in place of one of that name where there is one."""
        others = [other for other in self.entries if other.name != entry.name]
        return Lock(entries=tuple(sorted((*others, entry), key=lambda item: item.name)))

    def without(self, name: str) -> "Lock":
        """Return a lock that does not hold the model ``name``."""
        return Lock(entries=tuple(entry for entry in self.entries if entry.name != name))

    def to_bytes(self) -> bytes:
        """Return the file: UTF-8, line feeds, one key a line."""
        return (HEADER + "".join(f"\n{_block(entry)}" for entry in self.entries)).encode()

    @classmethod
    def from_bytes(cls, data: bytes, *, what: str = FILE_NAME) -> "Lock":
        """Read a lock file strictly.

        Args:
            data: the exact bytes.
            what: how error messages name the file.

        Raises:
            FormatError: on anything but what ``to_bytes`` returns, naming the line or the model, and what is allowed.
        """
        text = _text(data, what)
        try:
            document = tomllib.loads(text)
        except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:  # ValueError: dates and numbers
            raise FormatError(f"{what}: not TOML: {ascii(str(error))[1:-1][:200]}") from error
        entries = tuple(_entries(document, what))
        _check_names([entry.name for entry in entries], what)
        lock = cls(entries=entries)
        _check_canonical(text, lock.to_bytes().decode(), what)
        return lock

    @cached_property
    def _by_name(self) -> dict[str, Entry]:
        return {entry.name: entry for entry in self.entries}

    @cached_property
    def _lines(self) -> dict[tuple[str, str], int]:
        found: dict[tuple[str, str], int] = {}
        line = HEADER.count("\n")
        for entry in self.entries:
            line += 1  # the empty line before a model
            for number, text in enumerate(_block(entry).splitlines(), start=line + 1):
                found[entry.name, text.partition(" = ")[0]] = number
            line += _block(entry).count("\n")
        return found


def _text(data: bytes, what: str) -> str:
    """Return the text of a file whose every line has the form of one of a lock file."""
    if len(data) > SIZE_LIMIT:
        raise FormatError(f"{what}: {len(data)} bytes, the limit is {SIZE_LIMIT}")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise FormatError(f"{what}: not UTF-8 at byte {error.start}") from error
    if "\r" in text:
        raise FormatError(
            f"{what}: lines end with carriage returns; they must end with line feeds: `{FILE_NAME} -text` in "
            ".gitattributes keeps git from changing them"
        )
    for number, line in enumerate(text.split("\n"), start=1):
        if _CONFLICT.match(line):
            raise FormatError(f"{what}: line {number} is of a merge that has not been resolved; keep one side of each")
        if len(line) > LINE_LIMIT or _LINE.fullmatch(line) is None:
            raise FormatError(
                f"{what}: line {number} is {ascii(line)[:80]}, which is no line of a lock file: they are [[model]] and "
                f"KEY = VALUE, where KEY is one of {', '.join(KEYS)}"
            )
    return text


def _entries(document: dict[str, object], what: str) -> Iterator[Entry]:
    unknown = sorted(document.keys() - {"version", "model"})
    if unknown:
        raise FormatError(f"{what}: unknown key {ascii(unknown[0])[:80]}; allowed are version and [[model]]")
    version = document.get("version")
    if type(version) is not int or version != VERSION:
        raise FormatError(f"{what}: version is {ascii(version)[:80]}, this mbom reads version {VERSION}")
    tables = document.get("model", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise FormatError(f"{what}: 'model' must be written as [[model]]")
    for number, table in enumerate(tables, start=1):
        name = table.get("name")
        told = name if isinstance(name, str) and is_model_name(name) else f"model {number}"
        yield Entry.from_table(table, what=f"{what}: {told}")


def _check_names(names: Sequence[str], what: str) -> None:
    if len(names) > MODELS_LIMIT:
        raise FormatError(f"{what}: {len(names)} models, at most {MODELS_LIMIT} are allowed")
    for before, after in pairwise(names):
        if before == after:
            raise FormatError(f"{what}: {after} is there twice; remove one")
        if before > after:
            raise FormatError(f"{what}: {after} follows {before}; models are sorted by name")
    folded: dict[str, str] = {}
    for name in names:
        # The hub takes either for the same repository, and patterns of a policy do not.
        if name.casefold() in folded:
            raise FormatError(f"{what}: {folded[name.casefold()]} and {name} differ in case alone; remove one")
        folded[name.casefold()] = name


def _check_canonical(text: str, canonical: str, what: str) -> None:
    if text == canonical:
        return
    pairs = zip_longest(text.split("\n"), canonical.split("\n"))
    number, (found, meant) = next((n, pair) for n, pair in enumerate(pairs, start=1) if pair[0] != pair[1])
    is_found = "the end of the file" if found is None else ascii(found)[:120]
    is_meant = "the end of the file" if meant is None else ascii(meant)[:120]
    raise FormatError(
        f"{what}: line {number} is {is_found}, where `mbom lock` writes {is_meant}; keep to its form, so that a change "
        "shows as what it is"
    )


def _block(entry: Entry) -> str:
    lines = ["[[model]]"]
    for key in KEYS:
        value = getattr(entry, key)
        if value is not None or key not in OPTIONAL:
            lines.append(f"{key} = {_value(value)}")
    return "\n".join(lines) + "\n"


def _value(value: object) -> str:
    """Return a value as TOML; text is printable, and so a TOML string as JSON spells it."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, tuple):
        return f"[{', '.join(_value(item) for item in value)}]"
    if isinstance(value, Signatory):
        return f"{{ {', '.join(f'{key} = {_value(item)}' for key, item in value.to_dict().items())} }}"
    return str(value)  # a date
