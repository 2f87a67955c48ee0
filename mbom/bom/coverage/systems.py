"""Rules about the system around the model, what it runs with and on, its security and its measured quality.

A checkpoint by itself is no system: what only a running system has does not apply to it, and is said so.
"""

import re

from mbom.bom.coverage.answers import Answer, Datum, datum, inapplicable, settle
from mbom.bom.coverage.tables import KEYS
from mbom.bom.coverage.view import View
from mbom.quantities import counted

STANDARD_REF = "standard:"  # how bom-refs of the standards begin that this package defines
OWN_METRICS = "mbom:behaviour:"  # of the behaviour pass: whether a model computes the same, not how well

# Standards of this package that ask what is documented or how open a model is, not how secure.
_NOT_SECURITY = frozenset(f"{STANDARD_REF}{key}" for key in KEYS)
_OPENNESS = re.compile(r"model openness framework", re.IGNORECASE)
_SOFTWARE = frozenset({"application", "container", "framework", "library", "operating-system", "platform"})
_SECURITY_METRIC = re.compile(
    r"(?:\A|[^a-z])(?:adversarial|attack|cvss|harm|injection|jailbreak|leak|poison|robust|safety|secur|toxic|vulnerab)",
    re.IGNORECASE,
)


def name(view: View) -> Answer:
    """The name of what the BOM is about."""
    return settle(view.stated([view.subject["name"]]), lacking="the BOM does not name what it is about")


def version(view: View) -> Answer:
    """The version of what the BOM is about."""
    node = view.subject["version"]
    shown = view.ours and node.text == f"sha256:{view.digest}"
    data = [datum(node.pointer, node.text, verified=shown)] if node.text else []
    return settle(data, lacking="what the BOM is about has no version")


def parts(view: View) -> Answer:
    """The components, whose list is shown to be whole only where the BOM says so."""
    listed = view.document["components"]
    complete = any(
        entry["aggregate"].value == "complete" and entry["assemblies"].value
        for entry in view.document["compositions"].each()
    )
    held = sum(1 for node in view.components if isinstance(node.value, dict))
    data = [datum(listed.pointer, counted(held, "component"), verified=view.ours and complete)] if held else []
    return settle(data, lacking="the BOM lists no components")


def producer(view: View) -> Answer:
    """Who makes the system; a checkpoint's maker is the model's."""
    homes = [view.subject, *([view.model] if view.bare else [])]
    nodes = [home[member]["name"] for home in homes for member in ("manufacturer", "supplier")]
    nodes += [home["publisher"] for home in homes]
    return settle(view.stated(nodes), lacking="the BOM does not say who makes what it is about")


def timestamp(view: View) -> Answer:
    """When the system was released; a checkpoint's time is the model's."""
    nodes = [view.subject["releaseNotes"]["timestamp"]]
    if view.bare:
        nodes += [view.model["releaseNotes"]["timestamp"], *view.model.named("hub:created", "hub:last-modified")]
    return settle(view.stated(nodes), lacking="the BOM does not say when what it is about was built or released")


def data_flow(view: View) -> Answer:
    """How data flows between services."""
    if view.bare:
        return inapplicable("the BOM describes a model's files, through which no data flows")
    nodes = [item["flow"] for service in view.document["services"].each() for item in service["data"].each()]
    return settle(view.stated(nodes), lacking="the BOM describes no service through which data flows")


def data_usage(view: View) -> Answer:
    """How services use data."""
    if view.bare:
        return inapplicable("the BOM describes a model's files, which use nobody's data")
    nodes = [
        item[member]
        for service in view.document["services"].each()
        for item in service["data"].each()
        for member in ("classification", "description")
    ]
    return settle(view.stated(nodes), lacking="the BOM does not say how the system uses data")


def intended_area(view: View) -> Answer:
    """What the system is meant for."""
    considerations = view.card["considerations"]
    nodes = [item for member in ("useCases", "users") for item in considerations[member].each()]
    return settle(view.stated(nodes), lacking="the model card gives no use cases and no users")


def software(view: View) -> Answer:
    """Software that the model is run with: components of their own, tools that made the BOM aside."""
    mind = "what the behaviour pass ran with" if view.ours else ""
    return settle(_kinds(view, _SOFTWARE), lacking="the BOM lists no software that the model is run with", mind=mind)


def hardware(view: View) -> Answer:
    """Hardware that the model is run on, or a bill of materials of it."""
    mind = "what the behaviour pass ran on" if view.ours else ""
    found = _kinds(view, frozenset({"device"})) + view.stated(view.references("bom"))
    return settle(found, lacking="the BOM lists no hardware that the model is run on", mind=mind)


def _kinds(view: View, kinds: frozenset[str]) -> list[Datum]:
    found = []
    for node in view.components:
        kind = node["type"].value
        if isinstance(kind, str) and kind in kinds and node["name"].text:
            told = " ".join(part for part in (node["name"].text, node["version"].text) if part)
            found.append(datum(node.pointer, told, verified=view.ours))
    return found


def controls(view: View) -> Answer:
    """Controls that protect services."""
    if view.bare:
        return inapplicable("the BOM describes a model's files; controls belong to the system that serves them")
    nodes = [service[name] for service in view.document["services"].each() for name in ("authenticated", "trustZone")]
    data = [
        datum(node.pointer, str(node.value).lower() if node.value is True else node.text, verified=False)
        for node in nodes
        if node.value is True or node.text
    ]
    return settle(data, lacking="the BOM describes no controls")


def compliance(view: View) -> Answer:
    """Security standards that somebody attests; lists of what a BOM should say, and of openness, are none."""
    attested = {
        entry["requirement"].text
        for attestation in view.document["declarations"]["attestations"].each()
        for entry in attestation["map"].each()
    }
    found = []
    for standard in view.document["definitions"]["standards"].each():
        if standard["bom-ref"].text in _NOT_SECURITY or _OPENNESS.search(standard["name"].text):
            continue
        if any(item["bom-ref"].text in attested for item in standard["requirements"].each() if item["bom-ref"].text):
            found.append(standard["name"])
    return settle(
        view.stated([*found, *view.references("certification-report")]),
        lacking="the BOM attests no security standard",
    )


def policy(view: View) -> Answer:
    """Where the policy on vulnerabilities is."""
    return settle(
        view.stated(view.references("rfc-9116", "security-contact")),
        lacking="the BOM gives no security.txt and no security contact",
    )


def vulnerabilities(view: View) -> Answer:
    """Known vulnerabilities, or where they are published."""
    listed = [item[name] for item in view.document["vulnerabilities"].each() for name in ("id", "bom-ref")]
    addresses = view.references("advisories", "vulnerability-assertion", "exploitability-statement")
    return settle(view.stated([*listed, *addresses]), lacking="the BOM refers to no vulnerabilities and no advisories")


def security_metrics(view: View) -> Answer:
    """Measured security: metrics whose name says so."""
    found = [item for item in _metrics(view) if _SECURITY_METRIC.search(item.value)]
    return settle(found, lacking="the BOM gives no metric of security")


def operational_metrics(view: View) -> Answer:
    """Measured quality or speed, or energy; that a model computes the same as recorded is neither."""
    found = [item for item in _metrics(view) if not _SECURITY_METRIC.search(item.value)]
    return settle(found + energy(view), lacking="the BOM gives no metric of quality or speed")


def _metrics(view: View) -> list[Datum]:
    found = []
    for entry in view.card["quantitativeAnalysis"]["performanceMetrics"].each():
        kind, value = entry["type"].text, entry["value"].text
        if kind and value and not kind.startswith(OWN_METRICS):
            found.append(datum(entry.pointer, f"{kind} {value}", verified=False))
    return found


def energy(view: View, *activities: str) -> list[Datum]:
    """Return the stated costs in energy of the activities, of all where none is named."""
    found = []
    for entry in view.card["considerations"]["environmentalConsiderations"]["energyConsumptions"].each():
        cost, activity = entry["activityEnergyCost"], entry["activity"].text
        if cost["value"].text and (activity in activities or not activities):
            told = f"{activity}: {cost['value'].text} {cost['unit'].text}".strip()
            found.append(datum(cost["value"].pointer, told, verified=False))
    return found
