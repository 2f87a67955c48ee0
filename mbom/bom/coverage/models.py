"""Rules about the model: identity, digests, what it is, under which terms."""

import re

from mbom.bom.coverage.answers import Answer, Datum, datum, settle
from mbom.bom.coverage.view import Node, View
from mbom.bom.properties import decimal
from mbom.quantities import counted

# How other generators name a property that holds a number of parameters.
_PARAMETERS = re.compile(r"(?:\A|[^a-z])(?:num_?|total_?)?param(?:eter)?s?(?:_?count)?(?:\Z|[^a-z])", re.IGNORECASE)
_CONTEXT = ("architecture:context-length", "architecture:vocabulary", "tokenizer:class")
_ACTIVE = "parameters:active"
_UNNAMED_LICENCE = "other"  # what the hub calls a licence that it has no id for


def name(view: View) -> Answer:
    """The name, which the publisher gave."""
    return settle(
        view.stated([view.primary["name"]]),
        also=view.stated([view.primary["group"]]),
        lacking="the component has no name",
    )


def identifier(view: View) -> Answer:
    """Identifiers; one that holds the model digest is more than somebody's word."""
    primary = view.primary
    nodes = [primary["purl"], primary["cpe"], primary["swid"]["tagId"]]
    nodes += [item for member in ("swhid", "omniborId") for item in primary[member].each()]
    data = [datum(node.pointer, node.text, verified=_by_digest(view, node.text)) for node in nodes if node.text]
    return settle(data, lacking="the component has no purl, CPE, SWID, SWHID or OmniBOR identifier")


def version(view: View) -> Answer:
    """The version: a commit is the hub's word, a digest is not."""
    node = view.primary["version"]
    data = [datum(node.pointer, node.text, verified=_by_digest(view, node.text))] if node.text else []
    return settle(data, lacking="the component has no version")


def _by_digest(view: View, text: str) -> bool:
    return view.ours and f"sha256:{view.digest}" in text


def producer(view: View) -> Answer:
    """Who makes or supplies it, at least the account that publishes it."""
    primary = view.primary
    nodes = [primary[member]["name"] for member in ("manufacturer", "supplier")]
    nodes += [node["name"] for node in primary["authors"].each()]
    nodes += [primary["publisher"], primary["author"]]  # the second until version 1.5
    return settle(view.stated(nodes), lacking="the component names no manufacturer, supplier, author or publisher")


def legal_name(view: View) -> Answer:
    """The legal entity; the name of an account is none."""
    nodes = [view.primary["manufacturer"]["name"], *view.primary.named("producer:legal-entity")]
    return settle(
        view.stated(nodes),
        also=view.stated(view.primary.named("producer:country", "producer:source")),
        lacking="the BOM knows no legal entity behind the publisher",
    )


def timestamp(view: View) -> Answer:
    """When the model was made or released."""
    nodes = [view.primary["releaseNotes"]["timestamp"], *view.primary.named("hub:created", "hub:last-modified")]
    return settle(view.stated(nodes), lacking="the BOM does not say when the model was made or released")


def release_date(view: View) -> Answer:
    """When the model was first released."""
    nodes = [view.primary["releaseNotes"]["timestamp"], *view.primary.named("hub:created", "gpai:release-date")]
    return settle(view.stated(nodes), lacking="the BOM does not say when the model was first released")


def description(view: View) -> Answer:
    """What the model can and cannot do.

    The line that mbom writes counts parameters and says nothing of abilities, so that takes the publisher's word.
    """
    considerations = view.card["considerations"]
    nodes = [item for member in ("useCases", "technicalLimitations") for item in considerations[member].each()]
    told = view.stated(nodes)
    line = view.computed([view.primary["description"]])
    if view.ours:
        lacking = "the BOM has a computed line only; nobody describes abilities and limits"
        return settle(told, also=line, lacking=lacking)
    return settle(line + told, lacking="the model has no description")


def digests(view: View) -> Answer:
    """Digests of the model and of each of its files."""
    own = []
    for entry in view.primary["hashes"].each():
        node, algorithm = entry["content"], entry["alg"].text
        # mbom computes one digest; whatever else stands there is somebody's word.
        shown = view.ours and algorithm == "SHA-256" and node.text == view.digest
        if node.text and algorithm:
            own.append(datum(node.pointer, f"{algorithm} {node.text}", verified=shown))
    if not view.files:
        return settle(own, lacking="the component has no digest")
    without = sum(not _hashed(file) for file in view.files)
    pointer = view.primary["components"].pointer
    each = [datum(pointer, f"{counted(len(view.files), 'file')}, each with its digest", verified=view.ours)]
    return settle(
        own,
        [] if without else each,
        lacking=f"{without:,} of {len(view.files):,} files have no digest" if own else "the component has no digest",
    )


def _hashed(file: Node) -> bool:
    return any(entry["content"].text and entry["alg"].text for entry in file["hashes"].each())


def algorithms(view: View) -> Answer:
    """The algorithms of the digests, by their names in CycloneDX, which are IANA's."""
    nodes = [entry["alg"] for entry in view.primary["hashes"].each() if entry["content"].text]
    return settle(view.computed(nodes), lacking="the component has no digest, so no algorithm")


def architecture(view: View) -> Answer:
    """The architecture as the configuration declares it."""
    nodes = [view.parameters[member] for member in ("architectureFamily", "modelArchitecture")]
    return settle(
        view.stated(nodes),
        also=view.labelled(view.card.prefixed("architecture:"), computed=False),
        lacking="the BOM does not name the architecture",
    )


def properties(view: View) -> Answer:
    """Architecture and number of parameters."""
    known = architecture(view)
    counted = _size(view) or [
        datum(entry["value"].pointer, f"{entry['name'].text}: {entry['value'].text}", verified=False)
        for home in (view.card, view.model)
        for entry in home["properties"].each()
        if entry["value"].text and _PARAMETERS.search(entry["name"].text)
    ]
    return settle(
        list(known.data) if known.disclosed else [],
        counted,
        lacking="the BOM does not give both the architecture and the number of parameters",
    )


def size(view: View) -> Answer:
    """The exact number of parameters, as counted from the tensors."""
    return settle(
        _size(view),
        also=view.labelled(
            (pair for pair in view.card.prefixed(_ACTIVE) if pair[0] == _ACTIVE),
            computed=True,
        ),
        lacking="the BOM does not give an exact number of parameters",
    )


def size_range(view: View) -> Answer:
    """The same number, for whoever is to know only roughly."""
    return settle(_size(view), lacking="the BOM does not give an exact number of parameters")


def _size(view: View) -> list[Datum]:
    nodes = list(view.card.named("parameters:total"))
    if len(nodes) != 1 or not decimal(nodes[0].text):  # twice, no number, or none at all
        return []
    return view.computed(nodes)


def inputs(view: View) -> Answer:
    """What the model takes, and how much of it."""
    nodes = [item["format"] for item in view.parameters["inputs"].each()]
    return settle(view.stated(nodes), also=_context(view), lacking="the BOM does not say what the model takes")


def outputs(view: View) -> Answer:
    """What the model gives."""
    nodes = [item["format"] for item in view.parameters["outputs"].each()]
    return settle(view.stated(nodes), lacking="the BOM does not say what the model gives")


def io(view: View) -> Answer:
    """What the model takes and gives."""
    taken, given = inputs(view), outputs(view)
    return settle(
        list(taken.data) if taken.disclosed else [],
        list(given.data) if given.disclosed else [],
        also=_context(view) if not taken.disclosed else (),
        lacking="the BOM does not say both what the model takes and what it gives",
    )


def _context(view: View) -> list[Datum]:
    """Return how much the model reads at once, and in what units, by name."""
    found = [*view.card.prefixed(*_CONTEXT), *view.model.prefixed(*_CONTEXT)]
    return view.labelled(((name, node) for name, node in found if name in _CONTEXT), computed=False)


def training(view: View) -> Answer:
    """How the model was trained."""
    nodes = [view.parameters["approach"]["type"]]
    nodes += [node for _, node in view.card.prefixed("training:")]
    return settle(view.stated(nodes), lacking="the BOM does not say how the model was trained")


def licence(view: View) -> Answer:
    """The terms of use, as declared and as found in the texts; a declared one that a text bears out counts as shown."""
    primary = view.primary
    detected = _licences(primary["evidence"]["licenses"])
    disagree = view.stated(primary.named("licence:disagreement"))
    texts = {text for _, text in detected} if view.ours and not disagree else set()
    data = [datum(node.pointer, text, verified=text in texts) for node, text in _licences(primary["licenses"])]
    data += [datum(node.pointer, f"{text} (detected)", verified=view.ours and not disagree) for node, text in detected]
    openness = [
        datum(node.pointer, f"openness class: {node.text}", verified=view.ours)
        for node in primary.named("openness:class")
    ]
    return settle(
        data,
        also=[*disagree, *openness],
        lacking="the BOM names no licence",
        mind="what is declared and what the texts say disagree" if disagree else "",
    )


def _licences(home: Node) -> list[tuple[Node, str]]:
    """Return the licences of a list: ids, names, expressions."""
    nodes = [
        node
        for entry in home.each()
        for node in (entry["license"]["id"], entry["license"]["name"], entry["expression"])
    ]
    return [(node, node.text) for node in nodes if node.text and node.text.lower() != _UNNAMED_LICENCE]


def licence_link(view: View) -> Answer:
    """Where the terms of use can be read."""
    nodes = [entry["license"]["url"] for entry in view.primary["licenses"].each()]
    return settle(view.stated([*nodes, *view.references("license")]), lacking="the BOM does not link to a licence")


def references(view: View) -> Answer:
    """Where more about the model is to be found."""
    nodes = [entry["url"] for entry in view.model["externalReferences"].each()]
    return settle(view.stated(nodes), lacking="the model has no external references")
