"""A document of CycloneDX 1.7 as one of 1.6, and what it had to leave behind.

What 1.6 does not know is found by its schema and not by a list: the document is walked beside the shapes of 1.6, and
whatever has no place there is dropped, with what cannot be without it. Three things are said in another way instead:

1. a value that 1.6 does not list becomes ``other``, where 1.6 has that;
2. a licence expression that is not alone in its list becomes the name of a licence, since 1.6 takes either one
   expression or licences;
3. a reference to something that was dropped goes too.

A signature inside an object that changed no longer holds, so it is dropped as well.
"""

import json
from collections import Counter
from enum import Enum

from mbom.bom.format.grammar import Grammar, Shape, grammar
from mbom.bom.format.schema import schema_problems
from mbom.bom.format.walking import walk
from mbom.errors import FormatError
from mbom.strictjson import Json

CONVERTED = "mbom:spec:converted-from"
DROPPED = "mbom:spec:dropped"
REWRITTEN = "mbom:spec:rewritten"

_SPEC = "1.6"
_FROM = "1.7"
_SCHEMA = "http://cyclonedx.org/schema/bom-1.6.schema.json"
_ROUNDS = 100  # of dropping references to what was dropped; each drops at least one more
_OTHER = "other"


class _Gone(Enum):
    GONE = "what has no place"


_TYPES: dict[type, tuple[str, ...]] = {
    dict: ("object",),
    list: ("array",),
    str: ("string",),
    bool: ("boolean",),
    int: ("integer", "number"),
    float: ("number",),
    type(None): ("null",),
}


def to_1_6(document: dict[str, Json]) -> dict[str, Json]:
    """Return the same statements in CycloneDX 1.6, as far as it can make them; the document is left as it is.

    Properties of the result say that it was converted, and what was dropped or rewritten: the place, with ``*`` for
    numbers, and how often.

    Raises:
        FormatError: when the document is not valid CycloneDX 1.7, or, which would be a mistake of ours, the result is
            not valid CycloneDX 1.6.
    """
    if document.get("specVersion") != _FROM:
        raise FormatError(
            f"the document is CycloneDX {str(document.get('specVersion'))[:40]}, only {_FROM} becomes {_SPEC}"
        )
    problems = schema_problems(document, _FROM)
    if problems:
        raise FormatError(f"the document is not valid CycloneDX {_FROM}, so it is not converted: {problems[0]}")
    known = grammar(_SPEC)
    held: dict[str, Json] = {**document, "specVersion": _SPEC}
    if "$schema" in held:
        held["$schema"] = _SCHEMA
    names = _names(document, grammar(_FROM))
    writer = _Writer(frozenset())
    found = writer.members(held, known.root, "")
    for _ in range(_ROUNDS):
        lost = names - _names(found, known)
        if lost <= writer.lost:
            break
        writer = _Writer(lost)
        found = writer.members(held, known.root, "")
    found.pop("signature", None)  # the version alone has changed what it was over
    if "signature" in document:
        writer.dropped["/signature"] = 1
    notes: list[Json] = [{"name": CONVERTED, "value": _FROM}]
    for name, places in ((DROPPED, writer.dropped), (REWRITTEN, writer.rewritten)):
        notes += [{"name": name, "value": f"{where} ({times})"} for where, times in sorted(places.items())]
    properties = found.get("properties")
    found["properties"] = [*(properties if isinstance(properties, list) else ()), *notes]
    problems = schema_problems(found, _SPEC)
    if problems:
        raise FormatError(f"the document cannot be written as CycloneDX {_SPEC}: {problems[0]}")
    return found


def _names(document: Json, known: Grammar) -> frozenset[str]:
    """Return every bom-ref of a document."""
    within = known.leading_to(lambda shape: shape.name)
    return frozenset(
        node.value for node in walk(document, known.root, within) if node.shape.name and isinstance(node.value, str)
    )


class _Writer:
    """Copies values that have a place in a grammar, and counts what has none."""

    def __init__(self, lost: frozenset[str]) -> None:
        """Take the bom-refs that nothing has any more."""
        self.lost = lost
        self.dropped: Counter[str] = Counter()
        self.rewritten: Counter[str] = Counter()

    def members(self, value: dict[str, Json], shape: Shape, where: str) -> dict[str, Json]:
        """Return an object without what has no place; empty where nothing of it has one."""
        before = self._changes()
        found: dict[str, Json] = {}
        for name, held in value.items():
            inner = shape.members.get(name)
            if inner is None:
                if shape.closed:
                    self.dropped[f"{where}/{name}"] += 1
                else:
                    found[name] = held
                continue
            copied = self.value(held, inner, f"{where}/{name}")
            if copied is not _Gone.GONE:
                found[name] = copied
        if "signature" in found and self._changes() != before:
            del found["signature"]
            self.dropped[f"{where}/signature"] += 1
        return found

    def value(self, value: Json, shape: Shape, where: str) -> Json | _Gone:
        """Return a value without what has no place, or ``GONE`` where it has none itself."""
        if shape.types is not None and not shape.types.intersection(_TYPES[type(value)]):
            return self._drop(where)
        if isinstance(value, dict):
            copied = self.members(value, shape, where)
            return self._drop(where) if shape.required - copied.keys() else copied
        if isinstance(value, list):
            return self._array(value, shape, where)
        return self._text(value, shape, where) if isinstance(value, str) else value

    def _text(self, value: str, shape: Shape, where: str) -> Json | _Gone:
        if shape.link and value in self.lost:
            return self._drop(where)
        if shape.values is None or value in shape.values:
            return value
        if _OTHER not in shape.values:
            return self._drop(where)
        self.rewritten[f"{where} as {_OTHER}"] += 1
        return _OTHER

    def _array(self, value: list[Json], shape: Shape, where: str) -> Json | _Gone:
        if shape.item is None:
            return value
        before = self._changes()
        if "licenseChoice" in shape.kinds and len(value) > 1:
            value = [self._named(each, f"{where}/*") for each in value]
        copied = [self.value(each, shape.item, f"{where}/*") for each in value]
        found = [each for each in copied if each is not _Gone.GONE]
        if self._changes() == before:
            return found
        # What differed only in what was dropped is the same thing twice, which most arrays may not hold.
        once = {json.dumps(each, sort_keys=True): each for each in found}
        return list(once.values()) or _Gone.GONE

    def _named(self, choice: Json, where: str) -> Json:
        """Return a licence expression as a named licence; the name is the expression."""
        if not isinstance(choice, dict) or "expression" not in choice:
            return choice
        self.rewritten[f"{where}/expression as a name"] += 1
        kept = {name: held for name, held in choice.items() if name not in ("expression", "expressionDetails")}
        if "expressionDetails" in choice:
            self.dropped[f"{where}/expressionDetails"] += 1
        return {"license": {"name": choice["expression"], **kept}}

    def _changes(self) -> int:
        return self.dropped.total() + self.rewritten.total()

    def _drop(self, where: str) -> Json | _Gone:
        self.dropped[where] += 1
        return _Gone.GONE
