"""Walking through a document beside the shapes of its grammar, and finding the place that a JSON pointer means."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from mbom.bom.format.grammar import Shape
from mbom.bom.format.schema import pointer
from mbom.strictjson import Json

# How a value was reached: the place of what holds it, and its name or number in there; None for the document.
Place = tuple["Place", str | int] | None

_TOKEN = re.compile(r"(?:[^~]|~0|~1)*", re.DOTALL)
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Node:
    """A value of a document with its place and shape, and the node that holds it."""

    value: Json
    shape: Shape
    place: Place

    @property
    def pointer(self) -> str:
        """The place as a JSON pointer."""
        return pointer_to(self.place)


def walk(document: Json, root: Shape, within: frozenset[Shape]) -> Iterator[Node]:
    """Yield every value whose shape is ``within``, in the order of the document, what holds a value before it.

    Args:
        document: the whole of it; where it breaks the schema, values that have no shape are passed over.
        root: its shape.
        within: shapes to look at and into, as ``Grammar.leading_to`` gives them.
    """
    pending: list[tuple[Json, Shape, Place]] = [(document, root, None)]
    while pending:
        value, shape, place = pending.pop()
        yield Node(value, shape, place)
        if isinstance(value, dict):
            members = shape.members
            pending.extend(
                (held, inner, (place, name))
                for name, held in reversed(value.items())
                if (inner := members.get(name)) is not None and inner in within
            )
        elif isinstance(value, list) and shape.item in within:
            assert shape.item is not None
            inner = shape.item
            pending.extend((value[number], inner, (place, number)) for number in range(len(value) - 1, -1, -1))


def pointer_to(place: Place) -> str:
    """Return a place as a JSON pointer."""
    parts = []
    while place is not None:
        place, part = place
        parts.append(part)
    return pointer(reversed(parts))


def has_place(document: Json, text: str) -> bool:
    """Tell whether a JSON pointer (RFC 6901) means a value of the document."""
    if text and not text.startswith("/"):
        return False
    value = document
    for token in text.split("/")[1:]:
        if _TOKEN.fullmatch(token) is None:
            return False
        name = token.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict) and name in value:
            value = value[name]
        elif isinstance(value, list) and _INDEX.fullmatch(name) and int(name) < len(value):
            value = value[int(name)]
        else:
            return False
    return True
