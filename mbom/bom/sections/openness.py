"""Openness in the BOM: properties of the model, and the Model Openness Framework as a standard with its attestation."""

from collections.abc import Iterator

from mbom.facts.evaluations import Evaluation
from mbom.facts.mof import CLASSES, COMPONENTS, SOURCE, TITLES, VERSION
from mbom.facts.openlicences import PREFERRED
from mbom.facts.openness import RULE, Element
from mbom.facts.reading import Facts
from mbom.inventory.findings import plain
from mbom.strictjson import Json

STANDARD_REF = "standard:mof"
DECLARED = "declared:"  # what the type of a metric begins with that nobody but the publisher has measured

_KINDS = {"code": "program code", "data": "data", "document": "a document"}


def requirement_ref(key: str) -> str:
    """Return the bom-ref of the requirement for a component of the framework."""
    return f"{STANDARD_REF}:{key}"


def openness_properties(facts: Facts) -> Iterator[tuple[str, str]]:
    """Yield what is said of the openness of a release: the class, each component, what is needed to repeat it."""
    openness = facts.openness
    yield "openness:class", plain(openness.label)
    for level, name in CLASSES.items():
        missing = openness.missing(level)
        yield (
            f"openness:{name.lower().replace(' ', '-')}",
            plain(f"lacks {'; '.join(missing)}") if missing else "complete",
        )
    yield "openness:rule", RULE
    yield "openness:open-source", plain(openness.open_source)
    for element in (*openness.elements, openness.recipe):
        yield f"openness:{element.component.key}", _told(element)
    for name, state in openness.reproducibility.items():
        yield f"openness:reproducibility:{name}", state
    for link in openness.unstated:
        yield "openness:link", plain(f"{link.address} ({link.place}), linked, purpose not stated")


def openness_parts(facts: Facts) -> dict[str, Json]:
    """Return top-level members of the BOM: the framework under ``definitions``, its scores under ``declarations``."""
    openness = facts.openness
    attestation: dict[str, Json] = {
        "summary": plain(f"Model Openness Framework {VERSION}: {openness.label}. {openness.open_source}."),
        "map": [
            {
                "requirement": requirement_ref(element.component.key),
                "conformance": {"score": int(element.counts), "rationale": _told(element)},
            }
            for element in openness.elements
        ],
    }
    return {"definitions": {"standards": [_standard()]}, "declarations": {"attestations": [attestation]}}


def _standard() -> dict[str, Json]:
    requirements: list[Json] = [
        {
            "bom-ref": requirement_ref(component.key),
            "identifier": component.key,
            "title": component.title,
            "text": f"{component.title}: {_KINDS[component.kind]} under an open licence, "
            f"at best {PREFERRED[component.kind]}{'; optional' if component.optional else ''}",
        }
        for component in COMPONENTS
    ]
    levels: list[Json] = [
        {
            "bom-ref": f"{STANDARD_REF}:level:{level}",
            "identifier": name,
            "title": TITLES[level],
            "requirements": [
                requirement_ref(component.key)
                for component in COMPONENTS
                if component.level >= level and not component.optional
            ],
        }
        for level, name in CLASSES.items()
    ]
    return {
        "bom-ref": STANDARD_REF,
        "name": "Model Openness Framework",
        "version": VERSION,
        "description": "Which components of a model's release are there, each under an open licence that suits it.",
        "owner": "LF AI & Data Foundation",
        "requirements": requirements,
        "levels": levels,
        "externalReferences": [{"type": "documentation", "url": SOURCE}],
    }


def declared_metrics(facts: Facts) -> list[Json]:
    """Return the results that the card declares as performance metrics which say that they are only that."""
    return [_metric(result) for result in facts.card.evaluations.results]


def _metric(result: Evaluation) -> Json:
    where = f"{result.dataset} (declared in README.md, not verified)" if result.dataset else None
    return {
        "type": f"{DECLARED}{result.metric}",
        "value": result.value,
        "slice": where or "declared in README.md, not verified",
    }


def _told(element: Element) -> str:
    """Return what is said of one component: its state, what stands for it, its licence and whether that is open."""
    if not element.evidence:
        return f"absent: {element.absence}"
    first = element.evidence[0]
    more = f" and {len(element.evidence) - 1} more" if len(element.evidence) > 1 else ""
    digest = f" sha256:{first.sha256}" if first.sha256 else ""
    place = "" if str(first.place) in first.what else f" ({first.place})"
    if element.terms is None:
        return plain(f"{element.state} {first.what}{place}{more}; not fetched, licence unknown")
    verdict = element.terms.verdict
    if element.counts and not element.terms.suited:
        verdict += f", acceptable but not preferred ({PREFERRED[element.component.kind]})"
    return plain(f"{element.state} {first.what}{digest}{more}; licence {element.terms.says}; {verdict}")
