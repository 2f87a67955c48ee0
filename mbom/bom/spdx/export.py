"""The SPDX 3.0.1 document that says what a CycloneDX ML-BOM says, as far as SPDX has words for it.

Sources: https://spdx.github.io/spdx-spec/v3.0.1/ and the model at https://github.com/spdx/spdx-3-model, tag 3.0.1.
The mapping is our own; SPDX publishes none. Properties go into annotations, declarations and citations stay behind.
"""

import uuid
from collections.abc import Iterator

from mbom import strictjson
from mbom.bom.spdx.components import (
    DATASET_KIND,
    FILE_KIND,
    MODEL,
    MODEL_KIND,
    add_component,
)
from mbom.bom.spdx.graph import CREATION, Graph
from mbom.bom.spdx.taking import member, moment, objects, text, texts
from mbom.digest import sha256
from mbom.errors import FormatError
from mbom.strictjson import Json

VERSION = "3.0.1"
CONTEXT = f"https://spdx.org/rdf/{VERSION}/spdx-context.jsonld"
CREATOR_UNKNOWN = "unknown author of the CycloneDX document"

# Chosen once at random; ids of documents without a serial number of their own follow from it, so it never changes.
_NAMESPACE = uuid.UUID("0d6f4a1c-53f5-4f0e-9a3e-2a8f6f2c7b19")
_TYPES = {
    "design": "design",
    "pre-build": "source",
    "build": "build",
    "post-build": "analyzed",
    "operations": "runtime",
}


def export_spdx(document: dict[str, Json], data: bytes) -> bytes:
    """Return an SPDX document in JSON-LD; the same BOM always gives the same bytes.

    Args:
        document: a CycloneDX BOM of any make, read strictly; it need not be valid, and what cannot be read of it is
            left out.
        data: the bytes it was read from, whose digest the export states.

    Raises:
        FormatError: when there is no machine-learning model in it, or no time, without which SPDX has no document.
    """
    created = moment(member(document, "metadata"), "timestamp")
    if created is None:
        raise FormatError("the BOM has no metadata.timestamp with a zone, and SPDX has no document without a time")
    components = list(_components(document))
    if not any(component.get("type") == MODEL for component, _ in components):
        raise FormatError(f"the BOM has no component of type {MODEL}; `mbom bom export --spdx` converts ML-BOMs")
    graph = Graph(_base(document, data))
    creation = _creation(graph, document, created)
    elements = _Elements()
    for component, fragment in components:
        elements.put(component, add_component(graph, component, fragment))
    for component, _ in components:
        _relations(graph, document, component, elements)
    _depend(graph, document, elements)
    _collect(graph, document, data, [elements.of(item) for item, _ in components if item.get("type") == MODEL])
    return strictjson.pretty({"@context": CONTEXT, "@graph": [creation, *graph.elements.values()]})


class _Elements:
    """Which element a component became, by the component and by its bom-ref; the first of two equal ones holds it."""

    def __init__(self) -> None:
        self._by_identity: dict[int, str] = {}
        self.by_ref: dict[str, str] = {}

    def put(self, component: dict[str, Json], element: str) -> None:
        self._by_identity[id(component)] = element
        reference = text(component, "bom-ref")
        if reference is not None:
            self.by_ref.setdefault(reference, element)

    def of(self, component: dict[str, Json]) -> str:
        return self._by_identity[id(component)]


def _base(document: dict[str, Json], data: bytes) -> str:
    """Return the serial number as the URI of the export, or one that follows from the BOM's bytes."""
    serial = text(document, "serialNumber") or ""
    try:
        return uuid.UUID(serial.removeprefix("urn:uuid:")).urn
    except ValueError:
        return uuid.uuid5(_NAMESPACE, sha256(data)).urn


def _components(document: dict[str, Json]) -> Iterator[tuple[dict[str, Json], str]]:
    """Yield every component with a fragment for its id: a model's parts follow it, bases and datasets too."""
    pending: list[tuple[dict[str, Json], str]] = [
        (component, f"component/{number}") for number, component in enumerate(objects(document, "components"))
    ][::-1]
    subject = member(document, "metadata", "component")
    if subject.get("type") == MODEL:
        pending.append((subject, "subject"))
    while pending:
        component, place = pending.pop()
        yield component, text(component, "bom-ref") or place
        inner = [
            *(("component", item) for item in objects(component, "components")),
            *(("ancestor", item) for item in objects(member(component, "pedigree"), "ancestors")),
        ]
        pending.extend((item, f"{place}/{kind}/{number}") for number, (kind, item) in reversed(list(enumerate(inner))))


def _creation(graph: Graph, document: dict[str, Json], created: str) -> dict[str, Json]:
    """Return who made the BOM, when and with what, which every element points to."""
    metadata = member(document, "metadata")
    held = metadata.get("tools")
    listed = [*objects(held, "components"), *objects(held, "services"), *objects(metadata, "tools")]
    tools = [" ".join(filter(None, (text(tool, "name"), text(tool, "version")))) for tool in listed]
    agents: list[Json] = [
        *(graph.add("Person", "creator/author", name=text(author, "name")) for author in objects(metadata, "authors")),
        *(
            graph.add("Organization", f"creator/{role}", name=name)
            for role in ("manufacturer", "supplier")
            if (name := text(member(metadata, role), "name")) is not None
        ),
    ]
    if not agents:
        agents = [graph.add("SoftwareAgent", "creator/tool", name=next(iter(filter(None, tools)), CREATOR_UNKNOWN))]
    using: list[Json] = [graph.add("Tool", f"tool/{number}", name=tool) for number, tool in enumerate(tools) if tool]
    found: dict[str, Json] = {
        "type": "CreationInfo", "@id": CREATION, "specVersion": VERSION, "created": created, "createdBy": agents,
    }  # fmt: skip
    return {**found, "createdUsing": using} if using else found


def _relations(graph: Graph, document: dict[str, Json], component: dict[str, Json], elements: _Elements) -> None:
    """Relate a component to its parts, its bases and the datasets that it is said to be trained on."""
    element, reference = elements.of(component), text(component, "bom-ref")
    whole = reference is not None and any(
        item.get("aggregate") == "complete" and reference in texts(item, "assemblies")
        for item in objects(document, "compositions")
    )
    parts = [elements.of(part) for part in objects(component, "components")]
    graph.relate(element, "contains", parts, completeness="complete" if whole else "noAssertion")
    pedigree = member(component, "pedigree")
    bases = [elements.of(base) for base in objects(pedigree, "ancestors")]
    graph.relate(element, "descendantOf", bases, comment=text(pedigree, "notes") or "")
    trained = []
    for number, dataset in enumerate(objects(member(component, "modelCard", "modelParameters"), "datasets")):
        known = elements.by_ref.get(text(dataset, "ref") or "")
        if known is None and "ref" not in dataset:
            known = add_component(graph, _inline(dataset), f"dataset/{number}/{reference or ''}")
        if known is not None:
            trained.append(known)
    graph.relate(element, "trainedOn", trained, comment="as declared by the publisher, not verified")


def _inline(dataset: dict[str, Json]) -> dict[str, Json]:
    """Return a dataset that a card describes in place as the component that it would be."""
    return {"type": "data", "name": text(dataset, "name"), "description": text(dataset, "description"), "data": [
        {**dataset, "type": "dataset"}
    ]}  # fmt: skip


def _depend(graph: Graph, document: dict[str, Json], elements: _Elements) -> None:
    """Relate what depends on other things; that a whole depends on its files is told by what it contains."""
    for item in objects(document, "dependencies"):
        source = elements.by_ref.get(text(item, "ref") or "")
        if source is None or graph.elements[source]["type"] == FILE_KIND:
            continue
        targets = [elements.by_ref[ref] for ref in texts(item, "dependsOn") if ref in elements.by_ref]
        graph.relate(source, "dependsOn", [ref for ref in targets if graph.elements[ref]["type"] != FILE_KIND])


def _collect(graph: Graph, document: dict[str, Json], data: bytes, models: list[str]) -> None:
    """Add the BOM and the document around all elements, with the profiles to which they conform."""
    phases = {str(item.get("phase")) for item in objects(member(document, "metadata"), "lifecycles")}
    types: list[Json] = [kind for phase, kind in _TYPES.items() if phase in phases]
    held: list[Json] = list(graph.elements)
    roots: list[Json] = [models[0]]
    profiles: list[Json] = list(_profiles(graph))
    name = str(graph.elements[models[0]]["name"])
    bom = graph.add(
        "software_Sbom", "sbom", name=name, rootElement=roots, element=held, software_sbomType=types,
        profileConformance=profiles,
    )  # fmt: skip
    origin = (
        f"{text(document, 'bomFormat')} {text(document, 'specVersion')} {text(document, 'serialNumber') or ''}".strip()
    )
    graph.add(
        "SpdxDocument", "document", name=f"{name}: SPDX {VERSION}", rootElement=[bom], element=[*held, bom],
        profileConformance=profiles,
        comment=f"Converted from {origin}, SHA-256 {sha256(data)}.",
    )  # fmt: skip


def _profiles(graph: Graph) -> Iterator[str]:
    """Yield the profiles that the elements conform to.

    What AI.md and Dataset.md of the model ask of a collection is one declared and one concluded licence for each model
    and dataset, which they have. Values that their classes ask for besides and nobody knows are named in a comment.
    """
    kinds = {element["type"] for element in graph.elements.values()}
    yield from ("core", "software", "simpleLicensing")
    yield from (profile for kind, profile in ((MODEL_KIND, "ai"), (DATASET_KIND, "dataset")) if kind in kinds)
