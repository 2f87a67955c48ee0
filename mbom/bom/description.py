"""A BOM by mbom, read back into the facts that people decide by: diffs, policies and reports start from it.

Nothing is verified here, and nothing is assumed of the document: what it does not say, or says in another form than
mbom does, is None or empty, which is never a pass.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mbom.bom.coverage.view import Node, View
from mbom.bom.properties import decimal, named, values
from mbom.bom.sections.lineage import NOT_DECLARED
from mbom.facts.licences.table import table
from mbom.strictjson import Json

UNKNOWN = "unknown"

_RESTRICTION = re.compile(
    r"(?P<kind>[a-z][a-z-]*)(?: (?P<value>(?:[^:\[]|:(?! ))+?))?(?:: (?P<scope>.+?))? \[(?P<source>.+)\]", re.DOTALL
)
_UNKNOWN_TEXT = re.compile(r"(?:unknown|unread) (?P<file>.+) sha256:(?P<sha256>[0-9a-f]{64})", re.DOTALL)
_TEMPLATE = re.compile(r"sha256:(?P<sha256>[0-9a-f]{64}) (?P<file>\S.*) (?P<name>\S+)", re.DOTALL)
_OPENNESS = re.compile(r"(?P<name>none|[^(]+?)(?: \((?P<lacks>.*)\))?", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class DetectedLicence:
    """A licence that a text of the checkpoint holds.

    Attributes:
        id: an SPDX id, or a ``LicenseRef-``.
        key: the entry of the package's table of licences.
        match: ``exact``, ``added`` or ``altered``.
        file: the text, and its digest ``sha256``.
    """

    id: str
    key: str
    match: str
    file: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class DescribedRestriction:
    """A restriction: its public ``kind``, its value and scope where it has any, and where it was read."""

    kind: str
    value: str | None
    scope: str | None
    source: str


@dataclass(frozen=True, kw_only=True)
class DescribedTemplate:
    """A chat template: the file that holds it, its name there, and the digest of its text."""

    file: str
    name: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Ancestor:
    """A base model: its name, how this one was made from it as declared, and what a comparison showed."""

    name: str
    relations: tuple[str, ...]
    verified: str | None


@dataclass(frozen=True, kw_only=True)
class Description:
    """What a BOM by mbom says of its model.

    Attributes:
        name: what people call the model.
        repo: ``org/name`` on the hub; None for a folder.
        version: the commit, or ``sha256:`` and the digest.
        digest: the model digest.
        created: when the BOM was made, as it says.
        licences_declared: by the card: SPDX ids, ``LicenseRef-`` ids of the table, or else the card's own words.
        licences_detected: what the texts are.
        licence_texts_unknown: texts that no licence was recognised in.
        restrictions: of all licences.
        account: who published it on the hub.
        entity: the legal entity behind that account.
        country: of its head office, two letters.
        ancestors: base models that are named, or that it was compared with.
        datasets: that the card names.
        openness: the class of the Model Openness Framework, ``Class I`` to ``Class III``, or ``none``.
        openness_lacks: what it lacks.
        gated: as the hub says.
        architecture: ``mbom:architecture:…`` by the rest of the name.
        model_type: the key of the loader's class, and ``classes`` its name.
        parameters: all of them, and ``active`` those that a token uses.
        tokenizer: ``mbom:tokenizer:…`` by the rest of the name.
        templates: chat templates.
        properties: every property of ours that the model and its card have, by name, values sorted.
    """

    name: str
    repo: str | None
    version: str | None
    digest: str | None
    created: str | None
    licences_declared: tuple[str, ...]
    licences_detected: tuple[DetectedLicence, ...]
    licence_texts_unknown: tuple[str, ...]
    restrictions: tuple[DescribedRestriction, ...]
    account: str | None
    entity: str | None
    country: str | None
    ancestors: tuple[Ancestor, ...]
    datasets: tuple[str, ...]
    openness: str | None
    openness_lacks: str | None
    gated: str | None
    architecture: Mapping[str, tuple[str, ...]]
    model_type: str | None
    classes: str | None
    parameters: int | None
    active: int | None
    tokenizer: Mapping[str, tuple[str, ...]]
    templates: tuple[DescribedTemplate, ...]
    properties: Mapping[str, tuple[str, ...]]

    def first(self, name: str) -> str | None:
        """Return the one value of a property, None where it is missing, ``unknown`` or there are several."""
        return _one(self.properties, name)

    def number(self, name: str) -> int | None:
        """Return the number that a property holds, or None."""
        value = self.first(name)
        return decimal(value) if value is not None else None


def describe(document: Json) -> Description:
    """Read a BOM, parsed strictly by the caller."""
    view = View(document)
    model, card = view.model, view.card
    held = _gathered(model.value, card.value)
    openness = _OPENNESS.fullmatch(_one(held, "openness:class") or "")
    group, name = model["group"].text, model["name"].text
    return Description(
        name=f"{group}/{name}" if group else name,
        repo=f"{group}/{name}" if group and _one(held, "source") == "hub" else None,
        version=model["version"].text or None,
        digest=_one(held, "model:digest"),
        created=view.document["metadata"]["timestamp"].text or None,
        licences_declared=tuple(dict.fromkeys(_declared(model))),
        licences_detected=tuple(_detected(model)),
        licence_texts_unknown=tuple(
            found["file"] for value in held.get("licence:detected", ()) if (found := _UNKNOWN_TEXT.fullmatch(value))
        ),
        restrictions=tuple(_restrictions(held)),
        account=_one(held, "producer:account"),
        entity=_one(held, "producer:legal-entity"),
        country=_one(held, "producer:country"),
        ancestors=tuple(_ancestors(model)),
        datasets=tuple(sorted(node["name"].text for node in view.components if _is_dataset(node))),
        openness=openness["name"] if openness else None,
        openness_lacks=openness["lacks"] if openness else None,
        gated=_one(held, "hub:gated"),
        architecture=_below(held, "architecture:"),
        model_type=view.parameters["architectureFamily"].text or None,
        classes=view.parameters["modelArchitecture"].text or None,
        parameters=_number(held, "parameters:total"),
        active=_number(held, "parameters:active"),
        tokenizer=_below(held, "tokenizer:"),
        templates=tuple(_templates(held)),
        properties=held,
    )


def _gathered(*items: Json) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for item in items:
        for name, value in named(item):
            found.setdefault(name, []).append(value)
    return {name: tuple(sorted(told)) for name, told in sorted(found.items())}


def _one(held: Mapping[str, tuple[str, ...]], name: str) -> str | None:
    told = held.get(name, ())
    return told[0] if len(told) == 1 and told[0] != UNKNOWN else None


def _number(held: Mapping[str, tuple[str, ...]], name: str) -> int | None:
    value = _one(held, name)
    return decimal(value) if value is not None else None


def _below(held: Mapping[str, tuple[str, ...]], prefix: str) -> dict[str, tuple[str, ...]]:
    return {name.removeprefix(prefix): told for name, told in held.items() if name.startswith(prefix)}


def _declared(model: Node) -> Iterator[str]:
    entries = table().entries
    for entry in model["licenses"].each():
        licence = entry["license"]
        if licence["acknowledgement"].value != "declared":
            continue
        known = [entries[key].spdx for key in values(licence.value, "licence:key") if key in entries]
        if licence["id"].text:
            yield licence["id"].text
        elif known:
            yield from known
        elif licence["name"].text:
            yield licence["name"].text


def _detected(model: Node) -> Iterator[DetectedLicence]:
    for entry in model["evidence"]["licenses"].each():
        pairs = dict(named(entry["license"].value))
        names = ("ref", "key", "match", "file", "sha256")
        told = [pairs.get(f"licence:{name}", "") for name in names]
        if all(told):
            yield DetectedLicence(id=told[0], key=told[1], match=told[2], file=told[3], sha256=told[4])


def _restrictions(held: Mapping[str, tuple[str, ...]]) -> Iterator[DescribedRestriction]:
    for line in held.get("licence:restriction", ()):
        found = _RESTRICTION.fullmatch(line)
        if found is None:  # it restricts all the same, in words that mbom does not write
            yield DescribedRestriction(kind=UNKNOWN, value=line, scope=None, source="the BOM")
        else:
            yield DescribedRestriction(
                kind=found["kind"], value=found["value"], scope=found["scope"], source=found["source"]
            )


def _ancestors(model: Node) -> Iterator[Ancestor]:
    for node in model["pedigree"]["ancestors"].each():
        group, name = node["group"].text, node["name"].text
        held = _gathered(node.value)
        yield Ancestor(
            name=f"{group}/{name}" if group else name,
            relations=tuple(item for item in held.get("lineage:relation", ()) if item != NOT_DECLARED),
            verified=_one(held, "lineage:verified"),
        )


def _is_dataset(node: Node) -> bool:
    return any(entry["type"].value == "dataset" for entry in node["data"].each())


def _templates(held: Mapping[str, tuple[str, ...]]) -> Iterator[DescribedTemplate]:
    for value in held.get("chat-template", ()):
        found = _TEMPLATE.fullmatch(value)
        if found is not None:
            yield DescribedTemplate(file=found["file"], name=found["name"], sha256=found["sha256"])
