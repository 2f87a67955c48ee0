"""How open a release is by the Model Openness Framework, from what lies in the checkpoint and under which licence.

A component counts where a file of the checkpoint has the name of one, or the card a section of it, and the licence that
covers it is open. A name is all that is looked at: nobody has read whether the code trains this model. A component
that is only linked does not count, because nothing was fetched and its licence is not known.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from mbom.facts import mof
from mbom.facts.architecture import CONFIG, Architecture
from mbom.facts.card import CARD, Card
from mbom.facts.cardbody import Body, CardLink, read_body
from mbom.facts.mof import BY_KEY, CLASSES, COMPONENTS, RECIPE, TEXT_NEEDED, TITLES, Component
from mbom.facts.places import Place
from mbom.facts.terms import Coverage, Terms
from mbom.inventory.findings import plain
from mbom.inventory.record import Inventory
from mbom.inventory.roles import WEIGHTS, role

PRESENT = "present"
LISTED = "listed"  # a file that the repository lists and nobody has fetched
LINKED = "linked"
ABSENT = "absent"

RULE = (
    "Model Openness Framework 1.0; a component counts where a file of the checkpoint has the name of one, or the card "
    "has a section of it, under an open licence; what a file holds was not examined; what is only linked was not "
    "fetched and does not count"
)
OSAID = "https://opensource.org/ai/open-source-ai-definition"


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What stands for a component: a file with its digest, or an address or a name that the checkpoint gives."""

    what: str
    sha256: str | None
    place: Place


@dataclass(frozen=True, kw_only=True)
class Element:
    """One component of the release.

    Attributes:
        component: of the framework, or the recipe.
        state: ``present``, ``listed``, ``linked`` or ``absent``.
        evidence: what stands for it, most telling first; empty where it is absent.
        terms: that cover what is present; None for anything else.
    """

    component: Component
    state: str
    evidence: tuple[Evidence, ...] = ()
    terms: Terms | None = None

    @property
    def absence(self) -> str:
        """What was looked for in vain, in words."""
        if self.component.key == "model-card":
            return f"no {CARD} with {TEXT_NEEDED} characters of text"
        return "not found"

    @property
    def counts(self) -> bool:
        """Whether it is released as the framework asks."""
        return self.terms is not None and self.terms.open is True

    @property
    def lack(self) -> str:
        """Why it does not count, in words; empty where it does."""
        if self.counts:
            return ""
        if self.terms is None:
            return {LISTED: "listed, not fetched", LINKED: "only linked"}.get(self.state) or self.absence
        return f"licence {self.terms.says} {'is not open' if self.terms.open is False else 'is not known'}"


@dataclass(frozen=True, kw_only=True)
class Openness:
    """The components of a release, and what follows from them.

    Attributes:
        elements: one for each component of the framework, in its order.
        recipe: how training was run.
        unstated: links of the card to code, papers and datasets of which it does not say what they are.
        places: where each was read, by the name of its property in the BOM.
    """

    elements: tuple[Element, ...]
    recipe: Element
    unstated: tuple[CardLink, ...] = ()
    places: Mapping[str, Place] = field(default_factory=dict, compare=False)

    def element(self, key: str) -> Element:
        """Return the element of a component."""
        return next(element for element in self.elements if element.component.key == key)

    def missing(self, level: int) -> tuple[str, ...]:
        """Return what keeps the release from the class of a number, beyond the classes below it."""
        needed = (item for item in self.elements if item.component.level == level and not item.component.optional)
        return tuple(
            f"{item.component.title}: {item.lack}"
            for item in needed
            if not item.counts
            # A paper tells what a report tells, and more.
            and not (item.component.key == "technical-report" and self.element("research-paper").counts)
        )

    @property
    def level(self) -> int | None:
        """The number of the class; None where not even Class III is reached."""
        reached = None
        for level in CLASSES:  # from the least to the most demanding
            if self.missing(level):
                break
            reached = level
        return reached

    @property
    def label(self) -> str:
        """The class, or why there is none."""
        if self.level is None:
            return f"none (Class III lacks {'; '.join(self.missing(3))})"
        return f"{CLASSES[self.level]} ({TITLES[self.level]})"

    @property
    def open_source(self) -> str:
        """What the Open Source AI Definition makes of it, in a sentence."""
        needed = ("preprocessing-code", "training-code", "inference-code", "supporting-libraries")
        lacks = [
            f"{item.component.title}: {item.lack}"
            for item in map(self.element, (*needed, "model-architecture", "final-parameters"))
            if not item.counts
        ]
        told = ("datasets", "data-card", "research-paper", "technical-report")
        if not any(self.element(key).counts for key in told):
            lacks.insert(0, "information about the training data: not found under an open licence")
        if lacks:
            return f"Open weights are not open source AI (OSAID 1.0, {OSAID}). Here is lacking {'; '.join(lacks)}"
        return (
            f"The elements that OSAID 1.0 ({OSAID}) asks for are present under open licences; whether they are "
            "complete, and the information about the data sufficient, was not judged"
        )

    @property
    def reproducibility(self) -> dict[str, str]:
        """The state of what somebody needs who wants to train and evaluate again."""
        order = (ABSENT, LINKED, LISTED, PRESENT)
        evaluation = (self.element(key).state for key in ("evaluation-code", "evaluation-data"))
        return {
            "training-code": self.element("training-code").state,
            "data": self.element("datasets").state,
            "recipe": self.recipe.state,
            "evaluation": min(evaluation, key=order.index),
        }


def assess(
    inventory: Inventory,
    card: Card,
    text: bytes | None,
    architecture: Architecture,
    detected: Mapping[str, Sequence[str]] | None = None,
) -> Openness:
    """Tell how open a release is.

    Args:
        inventory: the files, as read.
        card: the card's front matter.
        text: the bytes of the card; None without one.
        architecture: what the configuration says.
        detected: the licences that each licence file was found to hold, by SPDX id or id of the hub; None where nobody
            has read those files, and the licence as declared is all there is.
    """
    body = read_body(text)
    coverage = Coverage.of(inventory.files, card, detected)
    present: dict[str, list[Evidence]] = defaultdict(list)
    for key, evidence in (*_files(inventory), *_in_card(inventory, card, body)):
        present[key].append(evidence)
    listed: dict[str, list[Evidence]] = defaultdict(list)
    for file in inventory.declared:
        for key in mof.file_purposes(file.name, role(file.name)):
            listed[key].append(Evidence(what=file.name, sha256=None, place=Place(file=file.name)))
    linked: dict[str, list[Evidence]] = defaultdict(list)
    for key, evidence in _linked(card, body, architecture):
        linked[key].append(evidence)
    elements = {
        component.key: _element(component, present, listed, linked, coverage) for component in (*COMPONENTS, RECIPE)
    }
    return Openness(
        elements=tuple(elements[component.key] for component in COMPONENTS),
        recipe=elements[RECIPE.key],
        unstated=tuple(link for link in body.links if _purpose(link) is None),
        places={f"openness:{key}": item.evidence[0].place for key, item in elements.items() if item.evidence},
    )


def _element(
    component: Component,
    present: Mapping[str, Sequence[Evidence]],
    listed: Mapping[str, Sequence[Evidence]],
    linked: Mapping[str, Sequence[Evidence]],
    coverage: Coverage,
) -> Element:
    """Take the best that there is for a component; of several files, all must be open for it to count."""
    for state, table in ((PRESENT, present), (LISTED, listed), (LINKED, linked)):
        evidence = tuple(table.get(component.key, ()))
        if evidence and state == PRESENT:
            terms = [coverage.covering(item.place.file, component) for item in evidence]
            worst = min(terms, key=lambda item: (item.open is True, item.open is None, item.suited))
            return Element(component=component, state=state, evidence=evidence, terms=worst)
        if evidence:
            return Element(component=component, state=state, evidence=evidence)
    return Element(component=component, state=ABSENT)


def _files(inventory: Inventory) -> Iterator[tuple[str, Evidence]]:
    """Yield files that stand for components; an empty one stands for nothing."""
    holding = {tensor.file for tensor in inventory.tensors}
    for file in inventory.files:
        evidence = Evidence(what=file.name, sha256=file.sha256, place=Place(file=file.name))
        if file.name in holding and file.role == WEIGHTS:
            yield "final-parameters", evidence
        elif file.size:
            yield from ((key, evidence) for key in mof.file_purposes(file.name, file.role))


def _in_card(inventory: Inventory, card: Card, body: Body) -> Iterator[tuple[str, Evidence]]:
    """Yield what the card itself is and holds."""
    digest = next((file.sha256 for file in inventory.files if file.name == CARD), None)
    if digest is None:
        return
    if body.characters >= TEXT_NEEDED:
        yield "model-card", Evidence(what=CARD, sha256=digest, place=Place(file=CARD))
    if card.evaluations.count:
        place = card.places["model-index"]
        what = f"{card.evaluations.count} declared results in {place}"
        yield "evaluation-results", Evidence(what=what, sha256=digest, place=place)
    for section in body.sections:
        key = mof.section_purpose(section.title, characters=section.characters, figures=section.figures)
        if key is not None:
            what = f"section {plain(section.title)} of {section.place}"
            yield key, Evidence(what=what, sha256=digest, place=section.place)


def _linked(card: Card, body: Body, architecture: Architecture) -> Iterator[tuple[str, Evidence]]:
    """Yield what the checkpoint names and does not hold."""
    for name in card.datasets:
        yield "datasets", Evidence(what=f"dataset {name}", sha256=None, place=card.places["datasets"])
    for name in architecture.architectures:
        place = architecture.places.get("architecture:classes", Place(file=CONFIG))
        yield "model-architecture", Evidence(what=f"class {name} of a library", sha256=None, place=place)
    if card.library is not None:
        what = f"library {card.library}"
        yield "supporting-libraries", Evidence(what=what, sha256=None, place=card.places["library_name"])
    for link in body.links:
        key = _purpose(link)
        if key is not None:
            yield key, Evidence(what=link.address, sha256=None, place=link.place)


def _purpose(link: CardLink) -> str | None:
    path = "/" + "/".join(link.address.split("/")[3:])
    key = mof.link_purpose(link.host, path, link.label)
    assert key is None or key in BY_KEY
    return key
