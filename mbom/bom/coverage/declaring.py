"""The coverage as part of the BOM itself: the lists as standards, and mbom's attestation to each.

mbom attests as the first party: what it says is what the document shows, no opinion on anybody's compliance. That an
element is only declared lowers no score of conformance, for the lists ask that a thing be said; it is said in the
rationale, and confidence is stated for what mbom itself computed and for nothing else.
"""

from collections.abc import Iterable, Mapping

from mbom.bom.coverage.answers import Answer, Status
from mbom.bom.coverage.evaluate import Coverage, Covered, coverage
from mbom.bom.coverage.rules import RULES
from mbom.bom.coverage.systems import STANDARD_REF
from mbom.bom.coverage.tables import Element, Standard
from mbom.bom.coverage.view import View
from mbom.bom.properties import properties
from mbom.inventory.findings import plain
from mbom.strictjson import Json

SHOWN = 4  # values that a claim quotes; the rest can be had from `mbom bom coverage`

_ASSESSOR = "mbom"
_RATIONALE = {
    Status.VERIFIED: "computed by mbom from the bytes of the checkpoint, or shown by the document itself",
    Status.DECLARED: "stated in the BOM on the word of the publisher or the operator; nothing here shows it",
}


def declare(document: Mapping[str, Json]) -> dict[str, Json]:
    """Return the lists and the attestations to them, as a part to be joined to the document.

    Args:
        document: with every other section in it.
    """
    found = coverage(dict(document))
    assessor, added = _assessor(document)
    target = View(dict(document)).model["bom-ref"].text
    declarations: dict[str, Json] = {"assessors": added} if added else {}
    declarations["attestations"] = [_attestation(item, assessor) for item in found]
    declarations["claims"] = _claims(found, target)
    return {
        "definitions": {"standards": [_standard(item.standard) for item in found]},
        "declarations": declarations,
    }


def _assessor(document: Mapping[str, Json]) -> tuple[str, list[Json]]:
    """Return the bom-ref of mbom among the assessors, and the entry to add where it is not among them."""
    for entry in View(dict(document)).document["declarations"]["assessors"].each():
        if entry["organization"]["name"].text == _ASSESSOR and entry["bom-ref"].text:
            return entry["bom-ref"].text, []
    ref = f"assessor:{_ASSESSOR}"
    return ref, [{"bom-ref": ref, "thirdParty": False, "organization": {"name": _ASSESSOR}}]


def _requirement_ref(key: str, element: Element) -> str:
    return f"requirement:{key}:{element.id}"


def _claim_ref(rule: str) -> str:
    return f"claim:coverage:{rule}"


def _standard(held: Standard) -> Json:
    return {
        "bom-ref": f"{STANDARD_REF}{held.key}",
        "name": held.name,
        "version": held.version,
        "owner": held.owner,
        "description": held.about,
        "requirements": [
            {
                "bom-ref": _requirement_ref(held.key, element),
                "identifier": element.id,
                "title": element.name,
                **({"text": element.text} if element.text else {}),
                "properties": properties(_told(element)),
            }
            for element in held.elements
        ],
        "externalReferences": [{"type": "documentation", "url": held.url}],
    }


def _told(element: Element) -> Iterable[tuple[str, str]]:
    yield "coverage:group", element.group
    if element.recipients is not None:
        yield "coverage:recipients", ", ".join(element.recipients)


def _attestation(item: Coverage, assessor: str) -> Json:
    return {
        "summary": f"{item.standard.name}, {item.standard.version}: {item.total}",
        "assessor": assessor,
        "map": [_entry(item.standard.key, covered) for covered in item.elements],
    }


def _entry(key: str, covered: Covered) -> Json:
    answer = covered.answer
    grounds = [_RATIONALE.get(answer.status, ""), answer.reason]
    conformance: dict[str, Json] = {"rationale": f"{answer.status}: {'; '.join(part for part in grounds if part)}"}
    if answer.status is not Status.INAPPLICABLE:
        conformance["score"] = 1 if answer.disclosed else 0
    entry: dict[str, Json] = {"requirement": _requirement_ref(key, covered.element), "conformance": conformance}
    if answer.disclosed:
        entry["claims"] = [_claim_ref(covered.element.rule)]
    if answer.status is Status.VERIFIED:
        entry["confidence"] = {"score": 1}
    return entry


def _claims(found: Iterable[Coverage], target: str) -> list[Json]:
    """Return a claim for each rule that the document answers, by its name; several elements may rest on one."""
    answers = {covered.element.rule: covered.answer for item in found for covered in item.elements}
    return [
        {
            "bom-ref": _claim_ref(rule),
            **({"target": target} if target else {}),
            "predicate": f"{RULES[rule].title}: {answer.status}",
            "reasoning": _reasoning(answer),
        }
        for rule, answer in sorted(answers.items())
        if answer.disclosed
    ]


def _reasoning(answer: Answer) -> str:
    """Return where the document says it, and the values."""
    told = [f"{item.pointer} = {plain(item.value)} ({item.status})" for item in answer.data[:SHOWN]]
    if len(answer.data) > SHOWN:
        told.append(f"and {len(answer.data) - SHOWN} more")
    return "; ".join(told)
