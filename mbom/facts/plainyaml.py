"""YAML without its powers, from the parser's events and nothing above them.

There are no tags, anchors, aliases or types, so that no document can expand, call anything, or turn the language ``no``
into a false. Every value is text or null.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import yaml

from mbom.errors import FormatError

EVENT_LIMIT = 100_000  # a few seconds of the parser's time; an entry of a benchmark table, 40 bytes, makes six
DEPTH_LIMIT = 32  # a model-index nests seven deep; PyYAML's time grows with the square of the depth
KEY_SHOWN = 512  # characters of a key that an error message quotes

_NULLS = ("", "~", "null", "Null", "NULL")

Value = str | None | list["Value"] | dict[str, "Value"]


class _Mark(Protocol):
    """What both parsers of PyYAML give as a place, from 0."""

    line: int
    column: int


@dataclass(frozen=True, kw_only=True)
class Node:
    """A value with its place in the document.

    Attributes:
        line: of its first character, from 1.
        column: of its first character, from 1.
        value: text as it is spelt, a list, or a mapping.
        plain: whether it is text without quotes, which readers may take for something else than text.
        keys: the places of the keys of a mapping.
    """

    line: int
    column: int
    value: "str | list[Node] | dict[str, Node]"
    plain: bool = False
    keys: "Mapping[str, tuple[int, int]] | None" = None

    @property
    def is_null(self) -> bool:
        """Whether it is nothing, in one of YAML's spellings."""
        return self.plain and self.value in _NULLS


def parse(text: str, *, what: str) -> tuple[Value, dict[str, int]]:
    """Parse one YAML document into texts, lists and mappings, with the line of each of its outermost keys, from 0.

    Args:
        text: the document, whose length the caller limits.
        what: how error messages name it, as the subject of a sentence.

    Raises:
        FormatError: on malformed YAML, a tag, anchor or alias, a key that is no text or occurs twice, or a limit.
    """
    top = _Reader(what, placed=False).document(text)
    if top is None:
        return None, {}
    return _bare(top), {name: line - 1 for name, (line, _) in (top.keys or {}).items()}


def compose(text: str, *, what: str) -> Node | None:
    """Parse one YAML document into nodes with places; None when it holds nothing.

    Args:
        text: the document, whose length the caller limits.
        what: the file's name; messages begin with ``NAME:LINE:COLUMN: ``.

    Raises:
        FormatError: as ``parse``.
    """
    return _Reader(what, placed=True).document(text)


def _bare(node: Node) -> Value:
    if isinstance(node.value, dict):
        return {name: _bare(item) for name, item in node.value.items()}
    if isinstance(node.value, list):
        return [_bare(item) for item in node.value]
    return None if node.is_null else node.value


class _Reader:
    """Makes nodes of events; ``placed`` says whether messages begin with the place or with ``what`` alone."""

    def __init__(self, what: str, *, placed: bool) -> None:
        self._what = what
        self._placed = placed

    def document(self, text: str) -> Node | None:
        try:
            events = self._content(yaml.parse(text, Loader=yaml.SafeLoader))
            first = next(events, None)
            top = None if first is None else self._node(first, events, depth=0)
            second = next(events, None)
            if second is not None:
                raise FormatError(f"{self._at(second.start_mark)} holds a second YAML document")
        except yaml.YAMLError as error:
            place = getattr(error, "problem_mark", None)
            problem = getattr(error, "problem", None) or error
            line = f" at line {place.line + 1}" if place is not None and not self._placed else ""
            context = getattr(error, "context", None) if self._placed else None
            doing = f"{context}, " if context else ""
            raise FormatError(f"{self._at(place)} is not YAML: {doing}{problem}{line}") from error
        except (ValueError, OverflowError) as error:  # PyYAML's own, for escapes beyond Unicode and endless numbers
            raise FormatError(f"{self._at(None)} is not YAML: {error}") from error
        return top

    def _at(self, mark: _Mark | None) -> str:
        """Return the subject of a message about a place."""
        if not self._placed:
            return self._what
        line, column = (1, 1) if mark is None else (mark.line + 1, mark.column + 1)
        return f"{self._what}:{line}:{column}: the file"

    def _content(self, events: Iterator[yaml.Event]) -> Iterator[yaml.Event]:
        """Yield what makes up values, within ``EVENT_LIMIT``, and refuse whatever gives YAML its powers."""
        for number, event in enumerate(events):
            if number > EVENT_LIMIT:
                raise FormatError(f"{self._at(event.start_mark)} has more than {EVENT_LIMIT} parts")
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
                raise FormatError(
                    f"{self._at(event.start_mark)} uses an anchor or alias, which can make it grow without end"
                    + ("; text that begins with * or & takes quotes" if self._placed else "")
                )
            tag = getattr(event, "tag", None)
            if tag is not None:
                raise FormatError(f"{self._at(event.start_mark)} uses the tag {tag}")
            if isinstance(event, yaml.NodeEvent | yaml.CollectionEndEvent):
                yield event

    def _node(self, event: yaml.Event, events: Iterator[yaml.Event], *, depth: int) -> Node:
        mark = event.start_mark
        assert mark is not None  # the parser gives every event one
        if depth > DEPTH_LIMIT:
            raise FormatError(f"{self._at(mark)} nests deeper than {DEPTH_LIMIT} levels")
        line, column = mark.line + 1, mark.column + 1
        if isinstance(event, yaml.ScalarEvent):
            return Node(line=line, column=column, value=event.value, plain=event.style is None)
        if isinstance(event, yaml.SequenceStartEvent):
            items = [self._node(item, events, depth=depth + 1) for item in _until(yaml.SequenceEndEvent, events)]
            return Node(line=line, column=column, value=items)
        found: dict[str, Node] = {}
        keys: dict[str, tuple[int, int]] = {}
        for key in _until(yaml.MappingEndEvent, events):
            if not isinstance(key, yaml.ScalarEvent):
                raise FormatError(f"{self._at(key.start_mark)} has a key that is not text")
            if key.value in found:
                raise FormatError(f"{self._at(key.start_mark)} has the key {key.value[:KEY_SHOWN]!r} twice")
            assert key.start_mark is not None
            keys[key.value] = (key.start_mark.line + 1, key.start_mark.column + 1)
            found[key.value] = self._node(next(events), events, depth=depth + 1)
        return Node(line=line, column=column, value=found, keys=keys)


def _until(end: type[yaml.Event], events: Iterator[yaml.Event]) -> Iterator[yaml.Event]:
    """Yield events up to the one that ends a collection; each is consumed with what belongs to it before the next."""
    for event in events:
        if isinstance(event, end):
            return
        yield event
