"""Reading a BOM of any make: values with their JSON pointers, and nothing assumed of its shape.

Whatever is absent, of another type, empty or a word for "unknown" is not there.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from mbom.bom.coverage.answers import Datum, datum
from mbom.bom.properties import PREFIX
from mbom.strictjson import Json

MODEL = "machine-learning-model"
DATASET_REF = "dataset:"  # how bom-refs of the data sets begin that this package writes

# What generators write where they know nothing.
_UNSAID = frozenset(
    {"", "-", "--", "?", "n/a", "na", "n.a.", "n/d", "nil", "no assertion", "noassertion", "none", "not applicable"}
    | {"not available", "not declared", "not disclosed", "not known", "not provided", "not specified", "null", "tba"}
    | {"tbd", "to be determined", "todo", "undefined", "undisclosed", "unknown", "unnamed", "unspecified"}
)
_SPACE = re.compile(r"\s+")


def said(text: str) -> bool:
    """Tell whether a text says anything."""
    return _SPACE.sub(" ", text).strip().strip("<>[](){}\"'.").lower() not in _UNSAID


@dataclass(frozen=True)
class Node:
    """A value of a document and its JSON pointer; the value is None where the document has none."""

    pointer: str
    value: Json = None

    def __getitem__(self, name: str) -> "Node":
        """Return the member of an object."""
        where = f"{self.pointer}/{name.replace('~', '~0').replace('/', '~1')}"
        return Node(where, self.value.get(name) if isinstance(self.value, dict) else None)

    def each(self) -> "Iterator[Node]":
        """Yield the items of an array."""
        for number, item in enumerate(self.value if isinstance(self.value, list) else ()):
            yield Node(f"{self.pointer}/{number}", item)

    @property
    def text(self) -> str:
        """The text of a text or a number; empty where it says nothing."""
        if isinstance(self.value, str) and said(self.value):
            return self.value.strip()
        return str(self.value) if type(self.value) in (int, float) else ""

    def named(self, *names: str) -> "Iterator[Node]":
        """Yield the values of this object's properties of ours that have one of the names."""
        for entry in self["properties"].each():
            name = entry["name"].text
            if name.startswith(PREFIX) and name.removeprefix(PREFIX) in names:
                yield entry["value"]

    def prefixed(self, *prefixes: str) -> "Iterator[tuple[str, Node]]":
        """Yield name and value of this object's properties of ours whose name begins so."""
        for entry in self["properties"].each():
            name = entry["name"].text
            if name.startswith(PREFIX) and name.removeprefix(PREFIX).startswith(prefixes):
                yield name.removeprefix(PREFIX), entry["value"]


class View:
    """A document, and the places in it that most rules start from."""

    def __init__(self, document: Json) -> None:
        self.document = Node("", document)
        self.components = tuple(self.document["components"].each())

    @cached_property
    def subject(self) -> Node:
        """``metadata.component``: what the BOM is about, in its author's words."""
        return self.document["metadata"]["component"]

    @cached_property
    def model(self) -> Node:
        """The first model among the components, or the subject where that is one; a value of None without any."""
        for node in (*self.components, self.subject):
            if node["type"].value == MODEL:
                return node
        return Node("/components/0")

    @cached_property
    def primary(self) -> Node:
        """What lists of software elements are applied to: the model, else the subject, else the first component."""
        candidates = (self.model, self.subject, *self.components[:1])
        return next((node for node in candidates if isinstance(node.value, dict)), self.model)

    @cached_property
    def card(self) -> Node:
        """The model card."""
        return self.model["modelCard"]

    @cached_property
    def parameters(self) -> Node:
        """The model card's ``modelParameters``."""
        return self.card["modelParameters"]

    @cached_property
    def files(self) -> tuple[Node, ...]:
        """The files that the primary component consists of."""
        return tuple(node for node in self.primary["components"].each() if node["type"].value == "file")

    @cached_property
    def tools(self) -> tuple[Node, ...]:
        """The tools that made the BOM, also as versions before 1.5 list them."""
        tools = self.document["metadata"]["tools"]
        return (*tools.each(), *tools["components"].each(), *tools["services"].each())

    @cached_property
    def digest(self) -> str:
        """The model digest of a BOM by mbom; empty in any other."""
        return next((node.text for node in self.model.named("model:digest")), "")

    @cached_property
    def ours(self) -> bool:
        """Whether mbom made this BOM, so that what it computes is more than somebody's word.

        That is what the document says of itself; its signature shows whether it is true.
        """
        return bool(self.digest) and any(tool["name"].value == "mbom" for tool in self.tools)

    @cached_property
    def by_ref(self) -> dict[str, Node]:
        """The components by bom-ref; of several with one bom-ref, the first."""
        found: dict[str, Node] = {}
        for node in self.components:
            if node["bom-ref"].text:
                found.setdefault(node["bom-ref"].text, node)
        return found

    @cached_property
    def bare(self) -> bool:
        """Whether the BOM describes a model as files and no system around it."""
        if self.document["services"].value or self.model.value is None:
            return False
        return self.ours or self.subject["type"].value == MODEL

    def references(self, *kinds: str) -> list[Node]:
        """Return the addresses of external references of the document, its subject and its primary component."""
        homes = {node.pointer: node for node in (self.document, self.subject, self.primary)}
        entries = [entry for home in homes.values() for entry in home["externalReferences"].each()]
        return [entry["url"] for entry in entries if entry["type"].value in kinds or not kinds]

    def stated(self, nodes: Iterable[Node]) -> list[Datum]:
        """Return what the nodes say, as somebody's word."""
        return [datum(node.pointer, node.text, verified=False) for node in nodes if node.text]

    def computed(self, nodes: Iterable[Node]) -> list[Datum]:
        """Return what the nodes say, as computed where mbom made the BOM."""
        return [datum(node.pointer, node.text, verified=self.ours) for node in nodes if node.text]

    def labelled(self, pairs: "Iterable[tuple[str, Node]]", *, computed: bool) -> list[Datum]:
        """Return what properties say, each with the last words of its name before it; rules of counting aside."""
        return [
            datum(node.pointer, f"{name.partition(':')[2] or name}: {node.text}", verified=computed and self.ours)
            for name, node in pairs
            if node.text and not name.endswith(":rule")
        ]
