"""The sections on openness, on what regulators ask for, and on what nobody says."""

import re
from collections.abc import Iterator

from mbom.bom.coverage import Coverage, Covered, Status, coverage
from mbom.bom.description import Description
from mbom.dossier import Dossier
from mbom.facts.mof import COMPONENTS, RECIPE
from mbom.quantities import counted
from mbom.report.blocks import Block, Cell, Code, Fact, Facts, Fold, Link, Mark, Prose, Section, Table, Tone, shortened
from mbom.report.model import NOT_STATED, ROWS

VALUES = 3  # of one element
STATUSES: dict[Status, Tone] = {
    Status.VERIFIED: "good",
    Status.DECLARED: "plain",
    Status.UNDISCLOSED: "mind",
    Status.INAPPLICABLE: "plain",
}
_COMPONENT = re.compile(r"(?P<status>present|listed|linked|absent):? (?P<told>.*)", re.DOTALL)
_TONES: dict[str, Tone] = {"present": "good", "listed": "plain", "linked": "plain", "absent": "mind"}


def sections(dossier: Dossier) -> tuple[Section, ...]:
    """Return openness, coverage, and what is not disclosed."""
    held = coverage(dossier.document)
    return openness(dossier.described), regulators(held), undisclosed(dossier.described, held)


def openness(described: Description) -> Section:
    """Return the class of the Model Openness Framework, and what stands for each component."""
    value: Cell = described.openness or NOT_STATED
    if described.openness == "none":
        value = "no class reached"
    facts = [Fact(label="Class", value=value, note=described.openness_lacks or "")]
    verdict = described.first("openness:open-source")
    if verdict:
        facts.append(Fact(label="Open source", value=verdict))
    rows: list[tuple[Cell, ...]] = []
    for component in (*COMPONENTS, RECIPE):
        told = described.first(f"openness:{component.key}")
        found = _COMPONENT.fullmatch(told) if told else None
        if found is not None:
            status = found["status"]
            rows.append((component.title, Mark(text=status, tone=_TONES[status]), found["told"]))
    blocks: list[Block] = [Facts(items=tuple(facts))]
    if rows:
        table = Table(
            caption="Components of the Model Openness Framework",
            columns=("Component", "Here", "What stands for it"),
            rows=tuple(rows),
        )
        blocks.append(Fold(title="Component by component", blocks=(table,)))
    return Section(id="openness", title="Openness", blocks=tuple(blocks))


def regulators(held: tuple[Coverage, ...]) -> Section:
    """Return how much of what regulators ask for the BOM says."""
    rows: list[tuple[Cell, ...]] = []
    for item in held:
        totals = item.totals
        name = Link(text=f"{item.standard.name}, {item.standard.version}", url=item.standard.url)
        rows.append(((name, item.standard.key), *(str(totals[status]) for status in Status)))
    summary = Table(
        caption="Elements of each list, by how the BOM answers them",
        columns=("List", *(status.value.capitalize() for status in Status)),
        rows=tuple(rows),
        numeric=tuple(range(1, 1 + len(Status))),
    )
    told = Prose(
        text="Verified: computed by mbom from the bytes, if the bundle is genuine, or shown by the BOM itself. "
        "Declared: somebody's word, mostly the publisher's. This says what is disclosed, not whether anybody complies "
        "with anything."
    )
    folds = tuple(Fold(title=f"{item.standard.name}, element by element", blocks=(_elements(item),)) for item in held)
    return Section(id="regulators", title="What regulators ask for", blocks=(told, summary, *folds))


def undisclosed(described: Description, held: tuple[Coverage, ...]) -> Section:
    """Return what nobody says: elements of the lists, and texts that nobody has recognised."""
    missing: dict[str, tuple[list[str], list[str]]] = {}
    for item in held:
        for covered in item.elements:
            if covered.answer.status is Status.UNDISCLOSED:
                names, keys = missing.setdefault(covered.answer.reason, ([], []))
                names.append(covered.element.name)
                keys.append(item.standard.key)
    items: list[tuple[Cell, ...]] = [
        (_sentence(reason), ", ".join(dict.fromkeys(names)), ", ".join(dict.fromkeys(keys)))
        for reason, (names, keys) in missing.items()
    ]
    items += [("No licence was recognised in this text", name, "–") for name in described.licence_texts_unknown]
    if not items:
        blocks: tuple[Block, ...] = (Prose(text="Every element of the lists above is answered."),)
    else:
        told = Prose(
            text="The BOM leaves these open. mbom fills in nothing: what is not known stays unknown, and only the "
            "publisher can say."
        )
        rows, more = shortened(items, ROWS)
        table = Table(
            caption="What the BOM leaves open, and which of the lists above ask for it",
            columns=("What is missing", "What asks for it", "Lists"),
            rows=rows,
            more=more,
            sentences=True,
        )
        blocks = (told, table)
    return Section(id="undisclosed", title="What is not disclosed", blocks=blocks)


def _sentence(reason: str) -> str:
    return reason[:1].upper() + reason[1:]


def _elements(item: Coverage) -> Table:
    rows = [
        (covered.element.name, Mark(text=covered.answer.status.value, tone=STATUSES[covered.answer.status]),
         tuple(_answered(covered)))
        for covered in item.elements
    ]  # fmt: skip
    return Table(
        caption=f"{item.standard.name}: {item.total}",
        columns=("Element", "Answer", "What the BOM says"),
        rows=tuple(rows),
    )


def _answered(covered: Covered) -> Iterator[str | Code]:
    answer = covered.answer
    shown = answer.data[:VALUES] if answer.disclosed else ()
    for item in shown:
        yield item.value
    if answer.disclosed and len(answer.data) > VALUES:
        yield f"and {counted(len(answer.data) - VALUES, 'more value')}"
    if answer.reason:
        yield answer.reason
    elif not shown:
        yield "–"
