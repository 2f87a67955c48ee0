"""The table of known licences and policies, ``table.json``: names, texts by digest, marks, restrictions, sources.

A text is known by the digest of its words, which can be checked against any copy, and by three to five phrases that
together occur in no other text of the table. Restrictions were read from the texts; each names the phrase that states
it. Keys are those of ScanCode's licence database where it has the text.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib.resources import files
from types import MappingProxyType
from typing import Literal

from mbom import strictjson
from mbom.facts.licences.text import phrase
from mbom.strictjson import Fields

TABLE = "table.json"

EntryKind = Literal["licence", "policy"]


@dataclass(frozen=True, kw_only=True)
class Term:
    """One restriction of a licence: a kind of ``vocabulary.RESTRICTIONS``, with its value and its scope in words.

    ``phrase`` is what the text says where it states the restriction, as ``text.phrase`` gives it.
    """

    kind: str
    value: str | None
    scope: str | None
    phrase: str


@dataclass(frozen=True, kw_only=True)
class ReferenceText:
    """A published wording: its number of words, the first of them, the digest of all, and where it was read."""

    words: int
    opening: str
    sha256: str
    source: str


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A licence or a policy.

    Attributes:
        key: the name by which everything else refers to it.
        kind: whether it grants rights or only limits use.
        spdx: an id of the SPDX list, or a ``LicenseRef``.
        name: for people.
        url: where its publisher, or a copy, shows it.
        open: whether it is an open licence in the sense of the Model Openness Framework: approved by the Open Source
            Initiative, an open data licence, or OpenMDW.
        hub_ids: values of ``license`` that declare it; several entries share the id of a family.
        names: values of ``license_name`` that do.
        links: beginnings of ``license_link`` that do, without scheme and ``www.``.
        incorporates: keys of the policies that it makes part of itself.
        contains: keys of licences whose text it repeats word for word, with additions.
        anchors: phrases that all occur in it.
        absent: phrases that do not, where another text has all its anchors.
        texts: published wordings, longest first.
        terms: its restrictions.
        date: when all this was read.
    """

    key: str
    kind: EntryKind
    spdx: str
    name: str
    url: str
    open: bool
    hub_ids: tuple[str, ...]
    names: tuple[str, ...]
    links: tuple[str, ...]
    incorporates: tuple[str, ...]
    contains: tuple[str, ...]
    anchors: tuple[str, ...]
    absent: tuple[str, ...]
    texts: tuple[ReferenceText, ...]
    terms: tuple[Term, ...]
    date: str


@dataclass(frozen=True, kw_only=True)
class Base:
    """A pattern of repository names and the key of the licence that their publisher gives them."""

    pattern: str
    licence: str
    source: str
    date: str


@dataclass(frozen=True, kw_only=True)
class Table:
    """Everything in ``table.json``; ``open_ids`` are further hub ids of open licences, whose texts are not in it."""

    entries: Mapping[str, Entry]
    bases: tuple[Base, ...]
    open_ids: frozenset[str]

    def base(self, repository: str) -> Base | None:
        """Return what is known of a base model's licence; letter case does not count, as on the hub."""
        name = repository.casefold()
        return next((base for base in self.bases if fnmatchcase(name, base.pattern.casefold())), None)


@functools.cache
def table() -> Table:
    """Read the table."""
    document = Fields(strictjson.loads((files(__package__) / TABLE).read_bytes(), what=TABLE), TABLE)
    entries = [_entry(fields) for fields in document.objects("entries")]
    openly = document.object("open_ids")
    return Table(
        entries=MappingProxyType({entry.key: entry for entry in entries}),
        bases=tuple(
            Base(**{name: fields.text(name) for name in ("pattern", "licence", "source", "date")})
            for fields in document.objects("bases")
        ),
        open_ids=frozenset(openly.texts("ids")),
    )


def _entry(fields: Fields) -> Entry:
    return Entry(
        key=fields.text("key"),
        kind="policy" if fields.text("kind") == "policy" else "licence",
        spdx=fields.text("spdx"),
        name=fields.text("name"),
        url=fields.text("url"),
        open=fields.boolean("open"),
        hub_ids=fields.texts("hub_ids"),
        names=fields.texts("names"),
        links=fields.texts("links"),
        incorporates=fields.texts("incorporates"),
        contains=fields.texts("contains"),
        anchors=tuple(phrase(text) for text in fields.texts("anchors")),
        absent=tuple(phrase(text) for text in fields.texts("absent")),
        texts=tuple(_reference(text) for text in fields.objects("texts")),
        terms=tuple(_term(term) for term in fields.objects("restrictions")),
        date=fields.text("date"),
    )


def _reference(fields: Fields) -> ReferenceText:
    return ReferenceText(
        words=fields.integer("words"),
        opening=f" {fields.text('opening')} ",
        sha256=fields.sha256(),
        source=fields.text("source"),
    )


def _term(fields: Fields) -> Term:
    return Term(
        kind=fields.text("kind"),
        value=fields.optional_text("value"),
        scope=fields.optional_text("scope"),
        phrase=phrase(fields.text("phrase")),
    )
