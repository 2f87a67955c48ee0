"""The model card's front matter: the YAML at the head of README.md, where publishers declare licence and lineage.

The reader takes the YAML parser's events and nothing above them: no tags, anchors, aliases or types, so that no
document can expand, call anything, or turn the language ``no`` into a false. Every value is text or null.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeGuard

import yaml

from mbom.errors import FormatError
from mbom.facts.evaluations import Evaluations, read_evaluations
from mbom.facts.places import Place
from mbom.inventory.findings import finding
from mbom.inventory.record import Finding

CARD = "README.md"
FRONT_MATTER_LIMIT = 1 << 20  # embedding models carry benchmark tables of some hundred kilobytes
EVENT_LIMIT = 100_000  # a few seconds of the parser's time; an entry of a benchmark table, 40 bytes, makes six
DEPTH_LIMIT = 32  # a model-index nests seven deep; PyYAML's time grows with the square of the depth
TEXT_LIMIT = 512  # characters of a licence, a link or the name of a repository
LIST_LIMIT = 256  # base models, datasets or languages of one card

_FRONT_MATTER = re.compile(rb"---[ \t]*\r?\n(?P<yaml>.*?)^---[ \t]*\r?$", re.MULTILINE | re.DOTALL)
_OPENING = re.compile(rb"---[ \t]*\r?\n")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_NULLS = ("", "~", "null", "Null", "NULL")
_RELATIONS = ("adapter", "finetune", "merge", "quantized")  # the hub's values of base_model_relation

_Value = str | None | list["_Value"] | dict[str, "_Value"]


@dataclass(frozen=True, kw_only=True)
class Licence:
    """The licence as the card declares it, word for word: the hub's ids, and for ``other`` a name and a link."""

    ids: tuple[str, ...]
    name: str | None = None
    link: str | None = None

    @property
    def label(self) -> str:
        """A short name for people."""
        return self.name if self.name and self.ids in ((), ("other",)) else ", ".join(self.ids) or "unnamed"


@dataclass(frozen=True, kw_only=True)
class Card:
    """What a card declares; nothing of it has been checked. Lists are in the card's order.

    ``places`` says where each member that could be used stands, by its name in the front matter.
    """

    licence: Licence | None = None
    base_models: tuple[str, ...] = ()
    base_model_relation: str | None = None
    datasets: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    pipeline_tag: str | None = None
    library: str | None = None
    evaluations: Evaluations = field(default_factory=Evaluations)
    places: Mapping[str, Place] = field(default_factory=dict, compare=False)


def read_card(data: bytes | None) -> tuple[Card, tuple[Finding, ...]]:
    """Read README.md.

    Returns:
        What could be read, and findings for the rest: ``card-missing`` (note) without a card or front matter,
        ``card-malformed`` (warning) for front matter, or one member of it, that cannot be used.
    """
    if data is None:
        return Card(), (_missing("there is no README.md, so the publisher declares no licence and no lineage"),)
    try:
        front_matter = _front_matter(data)
        if front_matter is None:
            return Card(), (_missing("README.md has no front matter, so it declares no licence and no lineage"),)
        document, lines = _parse(front_matter)
    except FormatError as error:
        return Card(), (_malformed(str(error)),)
    if document is None:
        return Card(), (_missing("the front matter of README.md is empty"),)
    if not isinstance(document, dict):
        return Card(), (_malformed("the front matter is not a mapping"),)
    first = data.count(b"\n", 0, len(data) - len(_from_fence(data))) + 2  # of the file, which counts from 1
    reader = _Members(document, {name: line + first for name, line in lines.items()})
    return _card(reader), tuple(reader.findings)


def body(data: bytes) -> tuple[bytes, int]:
    """Return the text of a card below its front matter, and the number of that text's first line in the file."""
    text = _from_fence(data)
    match = _FRONT_MATTER.match(text[: FRONT_MATTER_LIMIT + 16])
    below = text[match.end() :] if match is not None else data
    return below, data.count(b"\n", 0, len(data) - len(below)) + 1


def _missing(detail: str) -> Finding:
    return finding("card-missing", CARD, detail)


def _malformed(detail: str) -> Finding:
    return finding("card-malformed", CARD, detail)


class _Members:
    """Typed access to the front matter; a wrong type becomes a finding and counts as absent."""

    def __init__(self, document: dict[str, _Value], lines: Mapping[str, int]) -> None:
        self.document = document
        self.lines = lines
        self.findings: list[Finding] = []
        self.places: dict[str, Place] = {}

    def text(self, name: str) -> str | None:
        value = self.document.get(name)
        if value is None or _is_text(value):
            self._note(name, value)
            return value
        self._reject(name, f"a text of 1 to {TEXT_LIMIT} printable characters")
        return None

    def texts(self, name: str) -> tuple[str, ...]:
        """Take one text or a list of them; the hub accepts both wherever it accepts a list."""
        value = self.document.get(name)
        items = value if isinstance(value, list) else [] if value is None else [value]
        found = [item for item in items if _is_text(item)]
        if len(found) != len(items) or len(items) > LIST_LIMIT:
            self._reject(name, f"a list of up to {LIST_LIMIT} texts of 1 to {TEXT_LIMIT} printable characters")
            return ()
        self._note(name, value)
        return tuple(dict.fromkeys(found))

    def one_of(self, name: str, allowed: tuple[str, ...]) -> str | None:
        value = self.text(name)
        if value is None or value in allowed:
            return value
        del self.places[name]
        self._reject(name, f"one of {', '.join(allowed)}")
        return None

    def evaluations(self, name: str) -> Evaluations:
        """Take the hub's list of results; what cannot be read of it is one finding, the rest stands."""
        found = read_evaluations(self.document.get(name))
        if found.unreadable:
            detail = f"{found.unreadable} entries of {name} are no results of the hub's form, so they are left out"
            self.findings.append(_malformed(detail))
        if found.count:
            self._note(name, self.document[name])
        return found

    def _note(self, name: str, value: _Value) -> None:
        if value is not None:
            self.places[name] = Place(file=CARD, line=self.lines[name])

    def _reject(self, name: str, wanted: str) -> None:
        self.findings.append(_malformed(f"{name} is not {wanted}, so it is left out"))


def _is_text(value: _Value) -> TypeGuard[str]:
    return isinstance(value, str) and 0 < len(value) <= TEXT_LIMIT and value.isprintable()


def _card(members: _Members) -> Card:
    licence = Licence(
        ids=members.texts("license"), name=members.text("license_name"), link=members.text("license_link")
    )
    return Card(
        licence=None if licence == Licence(ids=()) else licence,
        base_models=members.texts("base_model"),
        base_model_relation=members.one_of("base_model_relation", _RELATIONS),
        datasets=members.texts("datasets"),
        languages=members.texts("language"),
        pipeline_tag=members.text("pipeline_tag"),
        library=members.text("library_name"),
        evaluations=members.evaluations("model-index"),
        places=members.places,
    )


def _from_fence(data: bytes) -> bytes:
    """Return the card without what may stand before the first fence."""
    return data.removeprefix(_BYTE_ORDER_MARK).lstrip()


def _front_matter(data: bytes) -> str | None:
    """Return the YAML between the fences, or None where the card does not begin with a fence.

    Raises:
        FormatError: when the second fence is missing or too far away, or the YAML is not UTF-8.
    """
    text = _from_fence(data)[: FRONT_MATTER_LIMIT + 16]
    if _OPENING.match(text) is None:
        return None
    match = _FRONT_MATTER.match(text)
    if match is None:
        raise FormatError(f"the front matter does not end with a line of --- within {FRONT_MATTER_LIMIT} bytes")
    try:
        return match["yaml"].decode("utf-8", errors="strict")
    except UnicodeDecodeError as error:
        raise FormatError(f"the front matter is not UTF-8 at byte {error.start}") from error


def _parse(text: str) -> tuple[_Value, dict[str, int]]:
    """Parse one YAML document into texts, lists and mappings, with the line of each of its outermost keys, from 0.

    Raises:
        FormatError: on malformed YAML, a tag, anchor or alias, a key that is no text or occurs twice, or a limit.
    """
    try:
        events = _content(yaml.parse(text, Loader=yaml.SafeLoader))
        first = next(events, None)
        lines: dict[str, int] = {}
        value = None if first is None else _node(first, events, depth=0, lines=lines)
        if next(events, None) is not None:
            raise FormatError("the front matter holds a second YAML document")
    except yaml.YAMLError as error:
        place = getattr(error, "problem_mark", None)
        line = f" at line {place.line + 1}" if place is not None else ""
        raise FormatError(f"the front matter is not YAML: {getattr(error, 'problem', None) or error}{line}") from error
    except (ValueError, OverflowError) as error:  # PyYAML's own, for escapes beyond Unicode and endless numbers
        raise FormatError(f"the front matter is not YAML: {error}") from error
    return value, lines


def _content(events: Iterator[yaml.Event]) -> Iterator[yaml.Event]:
    """Yield what makes up values, within ``EVENT_LIMIT``, and refuse whatever gives YAML its powers."""
    for number, event in enumerate(events):
        if number > EVENT_LIMIT:
            raise FormatError(f"the front matter has more than {EVENT_LIMIT} parts")
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise FormatError("the front matter uses an anchor or alias, which can make it grow without end")
        tag = getattr(event, "tag", None)
        if tag is not None:
            raise FormatError(f"the front matter uses the tag {tag}")
        if isinstance(event, yaml.NodeEvent | yaml.CollectionEndEvent):
            yield event


def _node(
    event: yaml.Event, events: Iterator[yaml.Event], *, depth: int, lines: dict[str, int] | None = None
) -> _Value:
    if depth > DEPTH_LIMIT:
        raise FormatError(f"the front matter nests deeper than {DEPTH_LIMIT} levels")
    if isinstance(event, yaml.ScalarEvent):
        return None if event.style is None and event.value in _NULLS else event.value
    if isinstance(event, yaml.SequenceStartEvent):
        return [_node(item, events, depth=depth + 1) for item in _until(yaml.SequenceEndEvent, events)]
    found: dict[str, _Value] = {}
    for key in _until(yaml.MappingEndEvent, events):
        if not isinstance(key, yaml.ScalarEvent):
            raise FormatError("the front matter has a key that is not text")
        if key.value in found:
            raise FormatError(f"the front matter has the key {key.value[:TEXT_LIMIT]!r} twice")
        if lines is not None:
            assert key.start_mark is not None  # the parser gives every event one
            lines[key.value] = key.start_mark.line
        found[key.value] = _node(next(events), events, depth=depth + 1)
    return found


def _until(end: type[yaml.Event], events: Iterator[yaml.Event]) -> Iterator[yaml.Event]:
    """Yield events up to the one that ends a collection; each is consumed with what belongs to it before the next."""
    for event in events:
        if isinstance(event, end):
            return
        yield event
