"""Holding a finished document against the lists."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from mbom.bom.coverage.answers import Answer, Status
from mbom.bom.coverage.rules import RULES
from mbom.bom.coverage.tables import KEYS, Element, Standard, standard
from mbom.bom.coverage.view import View
from mbom.strictjson import Json


@dataclass(frozen=True, kw_only=True)
class Covered:
    """An element of a list and what a document answers."""

    element: Element
    answer: Answer

    def to_dict(self) -> dict[str, Json]:
        """Return the element as `mbom bom coverage --json` prints it."""
        return {
            "id": self.element.id,
            "group": self.element.group,
            "name": self.element.name,
            "status": self.answer.status.value,
            "reason": self.answer.reason,
            "evidence": [
                {"pointer": item.pointer, "value": item.value, "status": item.status.value} for item in self.answer.data
            ],
        }


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """A list and what a document answers to each of its elements."""

    standard: Standard
    elements: tuple[Covered, ...]

    @property
    def totals(self) -> dict[Status, int]:
        """How many elements have each status."""
        counted = Counter(covered.answer.status for covered in self.elements)
        return {status: counted[status] for status in Status}

    @property
    def total(self) -> str:
        """The totals as a phrase."""
        return ", ".join(f"{number} {status}" for status, number in self.totals.items())

    def to_dict(self) -> dict[str, Json]:
        """Return the list as `mbom bom coverage --json` prints it."""
        return {
            "key": self.standard.key,
            "name": self.standard.name,
            "version": self.standard.version,
            "owner": self.standard.owner,
            "url": self.standard.url,
            "totals": {status.value: number for status, number in self.totals.items()},
            "elements": [covered.to_dict() for covered in self.elements],
        }


def coverage(document: Json, keys: Iterable[str] = KEYS) -> tuple[Coverage, ...]:
    """Return what a document answers to the elements of the lists.

    Args:
        document: a CycloneDX document of any make and version; nothing is assumed of its shape. Whether it is valid, or
            its signature holds, is not looked at. What mbom itself writes about coverage is not read back.
        keys: of the lists, a selection of ``KEYS``.
    """
    view = View(document)
    asked: dict[str, Answer] = {}
    found = []
    for key in keys:
        held = standard(key)
        for element in held.elements:
            if element.rule not in asked:
                asked[element.rule] = RULES[element.rule].answer(view)
        covered = tuple(Covered(element=element, answer=asked[element.rule]) for element in held.elements)
        found.append(Coverage(standard=held, elements=covered))
    return tuple(found)
