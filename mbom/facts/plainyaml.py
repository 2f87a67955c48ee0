"""YAML without its powers, from the parser's events and nothing above them.

There are no tags, anchors, aliases or types, so that no document can expand, call anything, or turn the language ``no``
into a false. Every value is text or null.
"""

from collections.abc import Iterator

import yaml

from mbom.errors import FormatError

EVENT_LIMIT = 100_000  # a few seconds of the parser's time; an entry of a benchmark table, 40 bytes, makes six
DEPTH_LIMIT = 32  # a model-index nests seven deep; PyYAML's time grows with the square of the depth
KEY_SHOWN = 512  # characters of a key that an error message quotes

_NULLS = ("", "~", "null", "Null", "NULL")

Value = str | None | list["Value"] | dict[str, "Value"]


def parse(text: str, *, what: str) -> tuple[Value, dict[str, int]]:
    """Parse one YAML document into texts, lists and mappings, with the line of each of its outermost keys, from 0.

    Args:
        text: the document, whose length the caller limits.
        what: how error messages name it, as the subject of a sentence.

    Raises:
        FormatError: on malformed YAML, a tag, anchor or alias, a key that is no text or occurs twice, or a limit.
    """
    try:
        events = _content(yaml.parse(text, Loader=yaml.SafeLoader), what)
        first = next(events, None)
        lines: dict[str, int] = {}
        value = None if first is None else _node(first, events, what, depth=0, lines=lines)
        if next(events, None) is not None:
            raise FormatError(f"{what} holds a second YAML document")
    except yaml.YAMLError as error:
        place = getattr(error, "problem_mark", None)
        line = f" at line {place.line + 1}" if place is not None else ""
        raise FormatError(f"{what} is not YAML: {getattr(error, 'problem', None) or error}{line}") from error
    except (ValueError, OverflowError) as error:  # PyYAML's own, for escapes beyond Unicode and endless numbers
        raise FormatError(f"{what} is not YAML: {error}") from error
    return value, lines


def _content(events: Iterator[yaml.Event], what: str) -> Iterator[yaml.Event]:
    """Yield what makes up values, within ``EVENT_LIMIT``, and refuse whatever gives YAML its powers."""
    for number, event in enumerate(events):
        if number > EVENT_LIMIT:
            raise FormatError(f"{what} has more than {EVENT_LIMIT} parts")
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise FormatError(f"{what} uses an anchor or alias, which can make it grow without end")
        tag = getattr(event, "tag", None)
        if tag is not None:
            raise FormatError(f"{what} uses the tag {tag}")
        if isinstance(event, yaml.NodeEvent | yaml.CollectionEndEvent):
            yield event


def _node(
    event: yaml.Event, events: Iterator[yaml.Event], what: str, *, depth: int, lines: dict[str, int] | None = None
) -> Value:
    if depth > DEPTH_LIMIT:
        raise FormatError(f"{what} nests deeper than {DEPTH_LIMIT} levels")
    if isinstance(event, yaml.ScalarEvent):
        return None if event.style is None and event.value in _NULLS else event.value
    if isinstance(event, yaml.SequenceStartEvent):
        return [_node(item, events, what, depth=depth + 1) for item in _until(yaml.SequenceEndEvent, events)]
    found: dict[str, Value] = {}
    for key in _until(yaml.MappingEndEvent, events):
        if not isinstance(key, yaml.ScalarEvent):
            raise FormatError(f"{what} has a key that is not text")
        if key.value in found:
            raise FormatError(f"{what} has the key {key.value[:KEY_SHOWN]!r} twice")
        if lines is not None:
            assert key.start_mark is not None  # the parser gives every event one
            lines[key.value] = key.start_mark.line
        found[key.value] = _node(next(events), events, what, depth=depth + 1)
    return found


def _until(end: type[yaml.Event], events: Iterator[yaml.Event]) -> Iterator[yaml.Event]:
    """Yield events up to the one that ends a collection; each is consumed with what belongs to it before the next."""
    for event in events:
        if isinstance(event, end):
            return
        yield event
