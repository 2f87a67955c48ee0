"""The licences of a component: what it declares, and what somebody concluded.

CycloneDX says declared of what the publisher states, SPDX of what is found in the artifact, where the publisher's
statement lies too. What was detected in the files and differs is told in a comment: SPDX has no third place for it.
"""

import re

from mbom.bom.spdx.graph import NO_LICENCE_KNOWN, Graph
from mbom.bom.spdx.taking import member, objects, text, uri
from mbom.strictjson import Json

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]{0,200}")
_EXPRESSION = re.compile(r"[A-Za-z0-9(][A-Za-z0-9.+:() -]{0,2000}")


def license_component(graph: Graph, element: str, fragment: str, component: dict[str, Json]) -> None:
    """Relate a component to exactly one declared and one concluded licence, as the AI and dataset profiles ask."""
    stated: dict[bool, list[dict[str, Json]]] = {True: [], False: []}
    for choice in objects(component, "licenses"):
        stated[_acknowledged(choice) == "concluded"].append(choice)
    for concluded, kind in ((False, "hasDeclaredLicense"), (True, "hasConcludedLicense")):
        expression, known = _expression(stated[concluded])
        target = _element(graph, f"{fragment}/{kind}", expression, known) if expression else NO_LICENCE_KNOWN
        graph.relate(element, kind, [target], comment="" if concluded else _detected(component))


def _acknowledged(choice: dict[str, Json]) -> str | None:
    return text(choice, "acknowledgement") or text(member(choice, "license"), "acknowledgement")


def _expression(choices: list[dict[str, Json]]) -> tuple[str, list[tuple[str, dict[str, Json]]]]:
    """Return the licences as one expression, and those in it that are in no list, each with its reference.

    Several licences hold together: that one of them may be chosen is for an expression to say.
    """
    parts: list[str] = []
    unlisted: list[tuple[str, dict[str, Json]]] = []
    for choice in choices:
        whole = text(choice, "expression")
        if whole is not None and _EXPRESSION.fullmatch(whole):
            parts.append(whole if len(choices) == 1 else f"({whole})")
            continue
        licence = member(choice, "license")
        listed, name = text(licence, "id"), text(licence, "name") or whole
        if listed is not None and _ID.fullmatch(listed):
            parts.append(listed)
        elif name is not None:
            reference = "LicenseRef-" + (re.sub(r"[^A-Za-z0-9.-]+", "-", name).strip("-")[:100] or "unnamed")
            parts.append(reference)
            unlisted.append((reference, {"name": name, **licence}))
    return " AND ".join(dict.fromkeys(parts)), unlisted


def _element(graph: Graph, fragment: str, expression: str, unlisted: list[tuple[str, dict[str, Json]]]) -> str:
    """Add a licence expression, with the text of each unlisted licence that the BOM holds, or else its address."""
    held: list[Json] = []
    references: list[Json] = []
    for reference, licence in unlisted:
        content = member(licence, "text")
        words = text(content, "content") if text(content, "encoding") is None else None
        if words is not None:
            stored = graph.add(
                "simplelicensing_SimpleLicensingText",
                f"{fragment}/{reference}",
                name=text(licence, "name"),
                simplelicensing_licenseText=words,
            )
            held.append({"type": "DictionaryEntry", "key": reference, "value": stored})
        address = uri(licence, "url")
        if address is not None:
            references.append({"type": "ExternalRef", "externalRefType": "license", "locator": [address]})
    named = ", ".join(f"{reference} is named {text(licence, 'name')}" for reference, licence in unlisted)
    return graph.add(
        "simplelicensing_LicenseExpression",
        fragment,
        simplelicensing_licenseExpression=expression,
        simplelicensing_customIdToUri=held,
        externalRef=references,
        comment=named,
    )


def _detected(component: dict[str, Json]) -> str:
    expression, _ = _expression(objects(member(component, "evidence"), "licenses"))
    return f"detected in the files: {expression}" if expression else ""
