"""Shapes against the text of the schema, found in another way."""

import json
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest

from mbom.bom.format.grammar import Shape, grammar
from mbom.bom.format.schema import VERSIONS

LINKS = {"#/definitions/refType", "#/definitions/refLinkType"}


def look(item: Any, member: str | None) -> Iterator[str]:
    """Yield the members under which a schema refers to a bom-ref type, itself, in a list or as an alternative."""
    if isinstance(item, list):
        for held in item:
            yield from look(held, member)
    elif isinstance(item, dict):
        if item.get("$ref") in LINKS and member is not None:
            yield member
        for name, held in item.items():
            inside = name == "properties" and isinstance(held, dict)
            for key, value in held.items() if inside else [(member, held)]:
                yield from look(value, key)


def members_that_refer(version: str) -> set[str]:
    schema = json.loads((files("cyclonedx.schema._res") / f"bom-{version}.SNAPSHOT.schema.json").read_bytes())
    found = set(look(schema["properties"], None))
    for name, definition in schema["definitions"].items():
        # One list of references is a definition of its own.
        found.update(look(definition, name if name == "cryptoRefArray" else None))
    return found


def linked(shape: Shape | None) -> bool:
    return shape is not None and (shape.link or linked(shape.item))


@pytest.mark.parametrize("version", VERSIONS)
def test_every_member_that_the_schema_types_as_a_reference_is_one(version: str) -> None:
    held: set[str] = set()
    names: set[str] = set()
    for shape in grammar(version).shapes():
        held |= {name for name, inner in shape.members.items() if linked(inner)}
        names |= {name for name, inner in shape.members.items() if inner.name}
    expected = members_that_refer(version)
    assert len(expected) > 5
    assert expected - names <= held
    assert names == {"bom-ref"}
    # What is a reference beside those: lists typed as texts, and members whose whole schema is the list of references.
    assert held - expected <= {"dependencies", "vulnerabilities", "encr", "prf", "integ", "ke", "auth"}


def test_a_shape_is_the_union_of_its_alternatives() -> None:
    root = grammar("1.7").root
    assert root.closed
    tools = root.members["metadata"].members["tools"]
    assert tools.types == frozenset({"array", "object"})
    component = root.members["components"].item
    assert component is not None
    assert component.kinds == frozenset({"component"})
    assert component.required == frozenset({"type", "name"})
    assert component.members["components"].item is component
    choices = component.members["licenses"].item
    assert choices is not None
    assert {"license", "expression"} <= choices.members.keys()
    assert not choices.required


def test_a_signature_is_not_looked_into() -> None:
    assert not grammar("1.7").root.members["signature"].members
