"""The model card's front matter: the YAML at the head of README.md, where publishers declare licence and lineage."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeGuard

from mbom.errors import FormatError
from mbom.facts.evaluations import Evaluations, read_evaluations
from mbom.facts.places import Place
from mbom.facts.plainyaml import Value, parse
from mbom.inventory.findings import finding
from mbom.inventory.record import Finding

CARD = "README.md"
FRONT_MATTER_LIMIT = 1 << 20  # embedding models carry benchmark tables of some hundred kilobytes
TEXT_LIMIT = 512  # characters of a licence, a link or the name of a repository
LIST_LIMIT = 256  # base models, datasets or languages of one card

_FRONT_MATTER = re.compile(rb"---[ \t]*\r?\n(?P<yaml>.*?)^---[ \t]*\r?$", re.MULTILINE | re.DOTALL)
_OPENING = re.compile(rb"---[ \t]*\r?\n")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_RELATIONS = ("adapter", "finetune", "merge", "quantized")  # the hub's values of base_model_relation


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

    ``datasets`` are those that it was trained on, ``evaluated`` those of the results in ``model-index``. ``successor``
    is the repository that ``new_version`` names.
    ``places`` says where each member that could be used stands, by its name in the front matter.
    """

    licence: Licence | None = None
    base_models: tuple[str, ...] = ()
    base_model_relation: str | None = None
    datasets: tuple[str, ...] = ()
    evaluated: tuple[str, ...] = ()
    successor: str | None = None
    tags: tuple[str, ...] = ()
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
        document, lines = parse(front_matter, what="the front matter")
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

    def __init__(self, document: dict[str, Value], lines: Mapping[str, int]) -> None:
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

    def evaluated(self) -> tuple[str, ...]:
        """Return the repositories of the datasets in ``model-index``, whose results nest four levels deep."""
        results = [
            result
            for model in _mappings(self.document.get("model-index"))
            for result in _mappings(model.get("results"))
        ]
        named = [data.get("type") for result in results for data in _mappings([result.get("dataset")])]
        found = tuple(dict.fromkeys(name for name in named if _is_text(name)))[:LIST_LIMIT]
        if found:
            self._note("model-index", "")
        return found

    def evaluations(self, name: str) -> Evaluations:
        """Take the hub's list of results; what cannot be read of it is one finding, the rest stands."""
        found = read_evaluations(self.document.get(name))
        if found.unreadable:
            detail = f"{found.unreadable} entries of {name} are no results of the hub's form, so they are left out"
            self.findings.append(_malformed(detail))
        if found.count:
            self._note(name, self.document[name])
        return found

    def _note(self, name: str, value: Value) -> None:
        if value is not None:
            self.places[name] = Place(file=CARD, line=self.lines[name])

    def _reject(self, name: str, wanted: str) -> None:
        self.findings.append(_malformed(f"{name} is not {wanted}, so it is left out"))


def _mappings(value: Value) -> list[dict[str, Value]]:
    """Return those items of a list that are mappings; nothing for anything else."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _is_text(value: Value) -> TypeGuard[str]:
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
        evaluated=members.evaluated(),
        successor=members.text("new_version"),
        tags=members.texts("tags"),
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
