"""The Model Documentation Form of the EU's Code of Practice, filled in as far as a BOM goes.

Every item of the form, in its order: what the BOM says, how sure that is, and where it stands; "not disclosed" wherever
it says nothing. The provider completes and signs it; nothing is filled in for them.
"""

from collections.abc import Iterator, Mapping

from mbom.bom.coverage.answers import Answer, Datum, Status
from mbom.bom.coverage.evaluate import Coverage, Covered, coverage
from mbom.bom.coverage.tables import RECIPIENTS, Element
from mbom.bom.coverage.view import Node, View
from mbom.bom.properties import decimal
from mbom.digest import sha256
from mbom.markdown import cell as code
from mbom.strictjson import Json

SHOWN = 12  # values of one item; a BOM may name hundreds of data sets
POINTER_LIMIT = 256  # characters of a pointer; one into a BOM of mbom's has under 80

SIZE_ITEM = "model-size-range"
# The form's ranges: the largest number of parameters of each. It does not say to which an edge belongs; here to the
# lower one.
RANGES = (
    ("1–500M", 500_000_000),
    ("500M–5B", 5_000_000_000),
    ("5B–15B", 15_000_000_000),
    ("15B–50B", 50_000_000_000),
    ("50B–100B", 100_000_000_000),
    ("100B–500B", 500_000_000_000),
    ("500B–1T", 1_000_000_000_000),
    (">1T", None),
)

_HEADER = f"| Item | Value | Status | Where it comes from | {' | '.join(RECIPIENTS)} |"
_RULER = "|---|---|---|---|:-:|:-:|:-:|"
_SIGNATURE = """## To be completed by the provider

mbom has filled in what the BOM says and has asked nobody. Before this form is handed over, the provider completes it,
answers for it and signs it.

| | |
|---|---|
| Date this document was last updated | |
| Document version number | |
| Name and function | |
| Place and date | |
| Signature | |
"""


def gpai_form(data: bytes, document: dict[str, Json]) -> str:
    """Return the form as Markdown; the same BOM always gives the same text.

    Args:
        data: the bytes of the BOM, for its digest.
        document: what they say.
    """
    (found,) = coverage(document, ("gpai",))
    notes = _citations(document)
    lines = [*_head(data, document, found)]
    for number, group in enumerate(found.standard.groups, start=1):
        lines += ["", f"## {number}. {group}", "", _HEADER, _RULER]
        lines += [_row(covered, notes) for covered in found.elements if covered.element.group == group]
    lines += ["", *_legend(), "", _SIGNATURE]
    return "\n".join(lines)


def _head(data: bytes, document: dict[str, Json], found: Coverage) -> Iterator[str]:
    held, view = found.standard, View(document)
    yield "# Model Documentation Form"
    yield ""
    yield f"{held.name}, {held.version}, {held.owner}: <{held.url}>"
    yield ""
    yield f"- Model: {code(view.primary['name'].text or 'not disclosed')}"
    yield f"- Filled in from a CycloneDX BOM with the SHA-256 {code(sha256(data))}"
    for label, name in (("Serial number", "serialNumber"), ("CycloneDX version", "specVersion")):
        yield f"- {label} of the BOM: {code(view.document[name].text or 'not disclosed')}"
    yield f"- Time of the BOM: {code(view.document['metadata']['timestamp'].text or 'not disclosed')}"
    yield f"- Items: {found.total}"
    yield ""
    yield "The signature of the BOM is not checked here: `mbom verify` does that for a bundle."


def _row(covered: Covered, notes: Mapping[str, str]) -> str:
    element, answer = covered.element, covered.answer
    name = f"**{element.name}**" + (f"<br>{element.text}" if element.text else "")
    cells = [name, _values(element, answer), answer.status.value, _places(answer, notes), *_recipients(element)]
    return f"| {' | '.join(cells)} |"


def _values(element: Element, answer: Answer) -> str:
    shown = answer.data[:SHOWN] if answer.disclosed else ()
    values = [code(item.value) for item in shown]
    if answer.disclosed and len(answer.data) > SHOWN:
        values.append(f"and {len(answer.data) - SHOWN} more")
    if answer.disclosed and element.id == SIZE_ITEM:
        values = [_ticked(answer.data[0])]
    return "; ".join(values) or answer.status.value


def _ticked(item: Datum) -> str:
    """Return the ranges with the one ticked that an exact number falls into."""
    number = decimal(item.value)
    ticked = next((label for label, most in RANGES if number and (most is None or number <= most)), None)
    return " ".join(f"{'☒' if label == ticked else '☐'} {label}" for label, _ in RANGES)


def _places(answer: Answer, notes: Mapping[str, str]) -> str:
    """Return the pointers of what is shown, each with its citation and its own status where that differs."""
    found = []
    for item in answer.data[:SHOWN] if answer.disclosed else ():
        told = code(item.pointer[:POINTER_LIMIT] or "/")
        note = _note(item.pointer, notes)
        if note:
            told += f" from {code(note)}"
        if item.status is not answer.status:
            told += f" ({item.status})"
        found.append(told)
    if answer.reason:
        found.append(answer.reason)
    return "; ".join(found) or "–"


def _recipients(element: Element) -> Iterator[str]:
    """Yield a mark for each recipient: in brackets where it is inferred from the AI Act and not read in the form."""
    for name in RECIPIENTS:
        if element.recipients is None:
            yield "?"
            continue
        mark = "☒" if name in element.recipients else "☐"
        yield mark if element.recipients_from == "form" else f"({mark})"


def _citations(document: dict[str, Json]) -> dict[str, str]:
    """Return what the BOM's citations note, by the pointers that they are about."""
    found: dict[str, str] = {}
    for entry in Node("", document)["citations"].each():
        for pointer in entry["pointers"].each():
            if pointer.text and entry["note"].text:
                found.setdefault(pointer.text, entry["note"].text)
    return found


def _note(pointer: str, notes: Mapping[str, str]) -> str:
    """Return the note on a value, or on the nearest object around it."""
    while pointer:
        if pointer in notes:
            return notes[pointer]
        pointer = pointer.rpartition("/")[0]
    return ""


def _legend() -> Iterator[str]:
    yield "## How to read this"
    yield ""
    yield f"- {Status.VERIFIED}: mbom computed it from the bytes of the checkpoint, if the BOM is signed by whom you"
    yield "  trust to have run it; or the BOM shows it."
    yield f"- {Status.DECLARED}: somebody's word, stated in the BOM. Nothing in it shows that it is true."
    yield f"- {Status.UNDISCLOSED}: the BOM does not say."
    yield f"- {Status.INAPPLICABLE}: the question makes no sense here, for the reason given."
    yield "- AIO: AI Office. NCAs: national competent authorities. DPs: downstream providers. A mark in brackets is"
    yield "  inferred from Annexes XI and XII of the AI Act and a question mark is not known: check them in the form."
    yield "- Places are JSON pointers into the BOM."
