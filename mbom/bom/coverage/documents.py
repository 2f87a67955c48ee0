"""Rules about the BOM itself: who made it, when, with what, and how complete it is."""

from mbom.bom.coverage.answers import Answer, Datum, datum, settle
from mbom.bom.coverage.view import View
from mbom.quantities import counted

_INCOMPLETE = ("unknown", "incomplete", "not_specified")  # how aggregates begin that admit a gap
_LINEAGE_SHOWN = ("identical", "derived")  # of lineage:verified, where tensors or sketches show an ancestor


def author(view: View) -> Answer:
    """Who made the BOM; the tool is not its author."""
    metadata = view.document["metadata"]
    people = [node[name] for node in metadata["authors"].each() for name in ("name", "email")]
    firms = [metadata[name]["name"] for name in ("manufacturer", "manufacture")]  # the second until version 1.5
    return settle(view.stated([*people, *firms]), lacking="the BOM names no author, only a tool")


def version(view: View) -> Answer:
    """Which issue of the BOM this is; the serial number is shown too."""
    number = view.document["version"]
    return settle(
        view.computed([number]),
        also=view.computed([view.document["serialNumber"]]),
        lacking="the BOM has no version",
    )


def format_name(view: View) -> Answer:
    """The format, which the document shows by being read as it."""
    return settle(_shown(view, "bomFormat"), lacking="the BOM does not name its format")


def format_version(view: View) -> Answer:
    """The version of the format."""
    return settle(_shown(view, "specVersion"), lacking="the BOM does not name the version of its format")


def _shown(view: View, name: str) -> list[Datum]:
    node = view.document[name]
    return [datum(node.pointer, node.text, verified=True)] if node.text else []


def signature(view: View) -> Answer:
    """A signature in the BOM, or the address of one."""
    inside = view.document["signature"]
    found = [datum(inside.pointer, "a signature inside the BOM", verified=False)] if inside.value else []
    found += view.stated(view.references("digital-signature"))
    return settle(
        found,
        lacking="the BOM neither holds a signature nor says where one is; that of a bundle lies beside its BOM",
        mind="the signature is not checked here",
    )


def tool_name(view: View) -> Answer:
    """The names of all tools."""
    parts = [view.computed([tool["name"]]) for tool in view.tools]
    return settle(*parts, lacking="the BOM does not name the tool that made it")


def tool_version(view: View) -> Answer:
    """The versions of all tools."""
    parts = [view.computed([tool["version"]]) for tool in view.tools]
    return settle(*parts, lacking="the BOM does not give the version of every tool that made it")


def context(view: View) -> Answer:
    """The stage of the life cycle."""
    stages = [item[name] for item in view.document["metadata"]["lifecycles"].each() for name in ("phase", "name")]
    return settle(view.computed(stages), lacking="the BOM does not say at which stage it was made")


def timestamp(view: View) -> Answer:
    """The time, which is that of the author's clock."""
    return settle(view.stated([view.document["metadata"]["timestamp"]]), lacking="the BOM has no timestamp")


def dependencies(view: View) -> Answer:
    """What the component consists of or depends on, and what it is derived from.

    An ancestor counts as shown only where the BOM says that its tensors or sketches show it.
    """
    ref = view.primary["bom-ref"].text
    found: list[Datum] = []
    for entry in view.document["dependencies"].each():
        for name in ("dependsOn", "provides"):
            node = entry[name]
            if ref and entry["ref"].text == ref and isinstance(node.value, list) and node.value:
                found.append(datum(node.pointer, counted(len(node.value), "component"), verified=view.ours))
    return settle(
        [*found, *ancestors(view)] if found else [],
        lacking="the BOM does not say what the component depends on or consists of",
    )


def ancestors(view: View) -> list[Datum]:
    """Return what the component is derived from, with the relation where one is given."""
    found = []
    for node in view.primary["pedigree"]["ancestors"].each():
        if not node["name"].text:
            continue
        name = "/".join(part for part in (node["group"].text, node["name"].text) if part)
        relation = next((item.text for item in node.named("lineage:relation") if item.text), "")
        said = [item.value for item in node.named("lineage:verified")]
        shown = view.ours and len(said) == 1 and said[0] in _LINEAGE_SHOWN
        found.append(datum(node.pointer, f"{name} ({relation})" if relation else name, verified=shown))
    return found


def composition_coverage(view: View) -> Answer:
    """Whether the BOM says that all parts of the component are listed."""
    ref = view.primary["bom-ref"].text
    found = []
    for entry in view.document["compositions"].each():
        listed = entry["assemblies"].value
        if entry["aggregate"].value == "complete" and isinstance(listed, list) and ref in listed:
            found.append(datum(entry.pointer, "complete: every part is listed", verified=view.ours))
    return settle(found, lacking="the BOM does not say that it lists every part of the component")


def known_unknowns(view: View) -> Answer:
    """Whether the BOM says what it does not know."""
    found = []
    for entry in view.document["compositions"].each():
        word = entry["aggregate"].value  # not its text, which is empty where it says that it says nothing
        if isinstance(word, str) and word.startswith(_INCOMPLETE):
            of = [f"{kind} of {ref.text}" for kind in ("assemblies", "dependencies") for ref in entry[kind].each()]
            found.append(
                datum(entry["aggregate"].pointer, f"{word}: {', '.join(of)}" if of else word, verified=view.ours)
            )
    return settle(found, lacking="the BOM names no gaps in itself")
