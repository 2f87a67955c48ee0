"""What may stand at each place of a CycloneDX document, read from the schema: members, kinds, and which texts refer.

A validator says whether a document is right; whoever walks one needs to know what a value *is*. ``Grammar`` merges the
alternatives that a schema allows at a place into one ``Shape``, and does so for every place there can be, so that a
walk over a document is a walk over shapes beside it.
"""

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from mbom.bom.format.schema import VERSIONS, load

_Schema = dict[str, Any]

# Lists of bom-refs that the schema types as plain texts; their descriptions say what they are.
_UNTYPED_LINKS = frozenset({("compositions", "dependencies"), ("compositions", "vulnerabilities")})
_NAME = "bom-ref"
_ANYTHING: _Schema = {}
_LINK_TYPES = frozenset({"refType", "refLinkType"})
_OPAQUE = "signature"  # a JSON signature covers the object it stands in; nothing inside refers to the document


class Shape:
    """What the schema allows at one place: the union of all alternatives.

    Attributes:
        kinds: the schema's definitions that describe the place, such as ``component`` or ``hash``.
        members: by name, for objects.
        item: of an array, or None.
        closed: whether an object may have no members beside ``members``.
        required: members that every alternative demands.
        types: JSON types, in the words of the schema; None for any.
        values: the only texts allowed; None for any.
        name: whether a text here names an object, so that others can refer to it.
        link: whether a text here refers to an object by that name.
    """

    __slots__ = ("closed", "item", "kinds", "link", "members", "name", "required", "types", "values")

    def __init__(self, kinds: frozenset[str], leaves: list[_Schema]) -> None:
        self.kinds = kinds
        self.members: dict[str, Shape] = {}
        self.item: Shape | None = None
        objects = [leaf for leaf in leaves if "properties" in leaf]
        self.closed = bool(objects) and all(leaf.get("additionalProperties") is False for leaf in objects)
        self.required = frozenset.intersection(*(frozenset(leaf.get("required", ())) for leaf in objects or [{}]))
        self.types = _union(leaf.get("type") for leaf in leaves)
        texts = [leaf for leaf in leaves if leaf.get("type", "string") == "string"]
        self.values = _union(leaf.get("enum") for leaf in texts)
        self.name = False
        self.link = False


class Grammar:
    """The shapes of one version of CycloneDX, from ``root`` on."""

    def __init__(self, version: str) -> None:
        self._schema = load(version)
        self._shapes: dict[tuple[bool, bool, frozenset[str], frozenset[int]], Shape] = {}
        self.root = self._shape([self._schema])

    def shapes(self) -> Iterable[Shape]:
        """Return every shape."""
        return self._shapes.values()

    def leading_to(self, wanted: Callable[[Shape], bool]) -> frozenset[Shape]:
        """Return the shapes that are wanted or may hold such, at any depth: the rest need not be looked into."""
        above: dict[Shape, list[Shape]] = {shape: [] for shape in self.shapes()}
        for shape in self.shapes():
            for inner in (*shape.members.values(), *([shape.item] if shape.item else ())):
                above[inner].append(shape)
        found = {shape for shape in self.shapes() if wanted(shape)}
        pending = list(found)
        while pending:
            outer = [shape for shape in above[pending.pop()] if shape not in found]
            found.update(outer)
            pending.extend(outer)
        return frozenset(found)

    def _shape(self, schemas: list[_Schema], *, name: bool = False, link: bool = False) -> Shape:
        kinds: set[str] = set()
        leaves = [leaf for schema in schemas for leaf in self._leaves(schema, kinds)]
        refers = bool(kinds & _LINK_TYPES)
        # By identity: the schema is loaded once and kept, so its parts are the same objects every time.
        key = (name, link, frozenset(kinds), frozenset(map(id, leaves)))
        if key in self._shapes:
            return self._shapes[key]
        shape = self._shapes[key] = Shape(frozenset(kinds), leaves)
        shape.name = name
        shape.link = link or (refers and not name)
        members: dict[str, list[_Schema]] = {}
        for leaf in leaves:
            for member, schema in leaf.get("properties", {}).items():
                members.setdefault(member, []).append(schema)
        for member, alternatives in members.items():
            untyped = any((kind, member) in _UNTYPED_LINKS for kind in kinds)
            shape.members[member] = self._shape(alternatives, name=member == _NAME, link=untyped)
        items = [leaf["items"] for leaf in leaves if "items" in leaf]
        flat = [schema for each in items for schema in (each if isinstance(each, list) else [each])]
        if flat:
            shape.item = self._shape(flat, link=link)
        return shape

    def _leaves(self, schema: _Schema, kinds: set[str]) -> Iterator[_Schema]:
        """Yield the alternatives of a schema without the references and choices between them; note what they define.

        Bare constraints, such as an ``anyOf`` of required members, describe no value and are left out.
        """
        reference = schema.get("$ref")
        if isinstance(reference, str):
            yield from self._referred(reference, kinds)
        for choice in ("anyOf", "oneOf", "allOf"):
            for alternative in schema.get(choice, ()):
                if alternative.keys() & {"$ref", "type", "properties", "items", "enum", "anyOf", "oneOf"}:
                    yield from self._leaves(alternative, kinds)
        if schema.keys() & {"properties", "items", "enum"} or (
            "type" in schema and not schema.keys() & {"$ref", "anyOf", "oneOf"}
        ):
            yield schema

    def _referred(self, reference: str, kinds: set[str]) -> Iterator[_Schema]:
        file, _, definition = reference.partition("#/definitions/")
        if file:
            other = load(file)
            yield from self._leaves(other["definitions"][definition] if definition else other, kinds)
            return
        kinds.add(definition)
        if definition == _OPAQUE:
            yield _ANYTHING
        else:
            yield from self._leaves(self._schema["definitions"][definition], kinds)


@functools.cache
def grammar(version: str) -> Grammar:
    """Return the grammar of one of ``schema.VERSIONS``."""
    assert version in VERSIONS
    return Grammar(version)


def _union(allowed: Iterable[str | list[str] | None]) -> frozenset[str] | None:
    """Return everything that any alternative allows; None where one allows anything, or there is none."""
    found: set[str] = set()
    some = False
    for each in allowed:
        if each is None:
            return None
        some = True
        found.update([each] if isinstance(each, str) else each)
    return frozenset(found) if some else None
