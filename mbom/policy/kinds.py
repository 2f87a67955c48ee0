"""The kinds of values that a policy can hold: each reads itself from YAML, and describes itself as a JSON Schema.

Values have the types of YAML's core schema (version 1.2): ``true`` and ``0.9`` are what they look like, ``NO`` is a
text. An editor that follows the published schema sees what is read here.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Protocol

from mbom.facts.plainyaml import Node
from mbom.policy.reading import Reading, core, listed, shown
from mbom.strictjson import Json

LIST_LIMIT = 1000  # entries; the SPDX list has about 700 licences

Value = bool | int | float | str | tuple[str, ...]


class Kind(Protocol):
    """One kind of value."""

    def read(self, node: Node, what: str, reading: Reading) -> Value | None:
        """Return the value; None after a problem was noted. ``what`` is how sentences name it."""

    def schema(self) -> dict[str, Json]:
        """Return the JSON Schema of such a value."""


@dataclass(frozen=True, kw_only=True)
class Flag:
    """``true`` or ``false``."""

    def read(self, node: Node, what: str, reading: Reading) -> bool | None:
        """See ``Kind``."""
        value = core(node)
        if isinstance(value, bool):
            return value
        reading.problem(node, f"{what} is {shown(node)}; it is true or false")
        return None

    def schema(self) -> dict[str, Json]:
        """See ``Kind``."""
        return {"type": "boolean"}


@dataclass(frozen=True, kw_only=True)
class Number:
    """A number between two others, which are allowed too; a whole one where ``whole``."""

    minimum: float
    maximum: float
    whole: bool = False

    def read(self, node: Node, what: str, reading: Reading) -> float | None:
        """See ``Kind``."""
        value = core(node)
        if isinstance(value, int | float) and not isinstance(value, bool) and self._fits(value):
            return int(value) if self.whole else value
        kind = "a whole number" if self.whole else "a number"
        reading.problem(node, f"{what} is {shown(node)}; it is {kind} from {self.minimum:g} to {self.maximum:g}")
        return None

    def _fits(self, value: float) -> bool:
        return self.minimum <= value <= self.maximum and (not self.whole or float(value).is_integer())

    def schema(self) -> dict[str, Json]:
        """See ``Kind``."""
        return {"type": "integer" if self.whole else "number", "minimum": self.minimum, "maximum": self.maximum}


@dataclass(frozen=True, kw_only=True)
class OneOf:
    """One word of several."""

    words: Sequence[str]

    def read(self, node: Node, what: str, reading: Reading) -> str | None:
        """See ``Kind``."""
        value = core(node)
        if isinstance(value, str) and value in self.words:
            return value
        reading.problem(node, f"{what} is {shown(node)}; it is one of {listed(self.words)}", near=(value, self.words))
        return None

    def schema(self) -> dict[str, Json]:
        """See ``Kind``."""
        return {"enum": list(self.words)}


@dataclass(frozen=True, kw_only=True)
class Text:
    """A text of a form, which ``form`` says in words."""

    pattern: str
    form: str
    limit: int

    def read(self, node: Node, what: str, reading: Reading) -> str | None:
        """See ``Kind``."""
        value = core(node)
        if not isinstance(value, str):
            hint = "; put it in quotes to make it a text" if node.plain and node.value else ""
            reading.problem(node, f"{what} is {shown(node)}; it is {self.form}{hint}")
            return None
        if not 1 <= len(value) <= self.limit or re.search(self.pattern, value) is None or value.endswith("\n"):
            reading.problem(node, f"{what} is {shown(node)}; it is {self.form}, of at most {self.limit} characters")
            return None
        return value

    def schema(self) -> dict[str, Json]:
        """See ``Kind``."""
        return {"type": "string", "minLength": 1, "maxLength": self.limit, "pattern": self.pattern}


@dataclass(frozen=True, kw_only=True)
class Day:
    """A day, such as ``2027-01-31``."""

    def read(self, node: Node, what: str, reading: Reading) -> str | None:
        """See ``Kind``."""
        value = core(node)
        if isinstance(value, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
            try:
                return date.fromisoformat(value).isoformat()
            except ValueError:
                pass
        reading.problem(node, f"{what} is {shown(node)}; it is a day such as 2027-01-31")
        return None

    def schema(self) -> dict[str, Json]:
        """See ``Kind``."""
        return {"type": "string", "format": "date", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"}


@dataclass(frozen=True, kw_only=True)
class Words:
    """A list of words from a closed list, each at most once."""

    words: Collection[str]

    def read(self, node: Node, what: str, reading: Reading) -> tuple[str, ...] | None:
        """See ``Kind``."""
        return reading.each(node, what, OneOf(words=tuple(self.words)).read, limit=LIST_LIMIT)

    def schema(self) -> dict[str, Json]:
        """See ``Kind``."""
        return {"type": "array", "maxItems": LIST_LIMIT, "uniqueItems": True, "items": {"enum": list(self.words)}}


@dataclass(frozen=True, kw_only=True)
class Texts:
    """A list of texts of a form, each at most once."""

    of: Text

    def read(self, node: Node, what: str, reading: Reading) -> tuple[str, ...] | None:
        """See ``Kind``."""
        return reading.each(node, what, self.of.read, limit=LIST_LIMIT)

    def schema(self) -> dict[str, Json]:
        """See ``Kind``."""
        return {"type": "array", "maxItems": LIST_LIMIT, "uniqueItems": True, "items": self.of.schema()}


AGE = Text(pattern=r"^[1-9][0-9]{0,4}d$", form="a number of days such as 90d", limit=6)


def days(age: str) -> timedelta:
    """Return what a value of the kind ``AGE`` means."""
    return timedelta(days=int(age.removesuffix("d")))
