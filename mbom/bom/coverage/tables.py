"""The lists of elements as data: one JSON file a list, with where each part of it was read and when.

An element names the rule that answers it. Several elements, also of different lists, may ask the same and then name the
same rule, so that one document never answers them differently.
"""

import functools
from dataclasses import dataclass
from importlib.resources import files

from mbom import strictjson
from mbom.strictjson import Fields

KEYS = ("g7", "cisa", "ntia", "gpai")  # in the order in which they are printed
AIO, NCAS, DPS = "AIO", "NCAs", "DPs"  # AI Office, national competent authorities, downstream providers
RECIPIENTS = (AIO, NCAS, DPS)


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a part of a list was read, and when (an ISO date); None where the text itself was not at hand."""

    url: str
    read: str | None
    purpose: str


@dataclass(frozen=True, kw_only=True)
class Element:
    """One thing that a list asks for.

    Attributes:
        id: short name, of this list.
        group: the heading under which the list has it.
        name: its name in the list.
        text: what it asks for, in words of ours; empty where the name says it.
        rule: the name of the rule that answers it.
        recipients: for whom the EU form marks it, a selection of ``RECIPIENTS``; None where that is not known.
        recipients_from: ``form``, or the annex of the AI Act that they were inferred from; None in other lists.
    """

    id: str
    group: str
    name: str
    text: str
    rule: str
    recipients: tuple[str, ...] | None = None
    recipients_from: str | None = None


@dataclass(frozen=True, kw_only=True)
class Standard:
    """A published list of elements; ``about`` says what of a BOM it is applied to."""

    key: str
    name: str
    version: str
    owner: str
    url: str
    about: str
    sources: tuple[Source, ...]
    elements: tuple[Element, ...]

    @property
    def groups(self) -> tuple[str, ...]:
        """The headings, in order."""
        return tuple(dict.fromkeys(element.group for element in self.elements))


@functools.cache
def standard(key: str) -> Standard:
    """Return the list of that key, one of ``KEYS``."""
    name = f"{key}.json"
    data = (files("mbom.bom.coverage") / "tables" / name).read_bytes()
    fields = Fields(strictjson.loads(data, what=name), name)
    fields.constant("key", key)
    found = Standard(
        key=key,
        name=fields.text("name"),
        version=fields.text("version"),
        owner=fields.text("owner"),
        url=fields.text("url"),
        about=fields.text("about"),
        sources=tuple(_source(item) for item in fields.objects("sources")),
        elements=tuple(element for group in fields.objects("groups") for element in _group(group)),
    )
    fields.end()
    return found


def _source(fields: Fields) -> Source:
    found = Source(url=fields.text("url"), read=fields.optional_text("read"), purpose=fields.text("for"))
    fields.end()
    return found


def _group(fields: Fields) -> list[Element]:
    group = fields.text("name")
    found = [_element(item, group) for item in fields.objects("elements")]
    fields.end()
    return found


def _element(fields: Fields, group: str) -> Element:
    found = Element(
        id=fields.text("id"),
        group=group,
        name=fields.text("name"),
        text=fields.optional_text("text") or "",
        rule=fields.text("rule"),
        recipients=fields.texts("recipients") if fields.has("recipients") else None,
        recipients_from=fields.optional_text("recipients_from"),
    )
    fields.end()
    return found
