"""Typed access to the members of a JSON file of the checkpoint, which remembers where each fact was read."""

from collections.abc import Sequence
from typing import TypeGuard

from mbom import strictjson
from mbom.errors import FormatError
from mbom.facts.places import Place
from mbom.inventory import Finding
from mbom.inventory.findings import finding
from mbom.strictjson import Json

NAME_LIMIT = 256  # characters of a name in a configuration; honest ones have about forty
NAMES_LIMIT = 64  # names in one member; honest configurations list one architecture and half a dozen classes


def read_object(path: str, data: bytes) -> tuple[dict[str, Json] | None, tuple[Finding, ...]]:
    """Read a configuration file as one JSON object; None with a ``config-malformed`` finding where it is not one."""
    try:
        document = strictjson.loads(data, what=path, infinity=True)
    except FormatError as error:
        return None, (finding("config-malformed", path, str(error)),)
    if isinstance(document, dict):
        return document, ()
    return None, (finding("config-malformed", path, f"{path}: not a JSON object"),)


class Members:
    """Typed access to the members of one configuration file; a wrong type becomes a finding and counts as absent.

    Objects are searched in the order given, so that an inner configuration goes before the outer one. An accessor that
    is told the name of a ``fact`` notes in ``places`` where it found that, when it did.
    """

    def __init__(self, path: str, *objects: dict[str, Json], at: Sequence[str] = ()) -> None:
        """Take the objects, and the JSON pointer of each where it is not the root of the file."""
        self.path = path
        self.objects = objects
        self.pointers = (*at, *("" for _ in objects[len(at) :]))
        self.findings: list[Finding] = []
        self.places: dict[str, Place] = {}

    def find(self, names: Sequence[str]) -> tuple[str, Json]:
        """Return the first member under any of ``names`` that is not null, with its name; null where there is none."""
        for name in names:
            for item in self.objects:
                if item.get(name) is not None:
                    return name, item[name]
        return names[0], None

    def note(self, fact: str | None, name: str) -> None:
        """Note that the member ``name`` is where a fact was read."""
        if fact is None:
            return
        held = next(
            (at for item, at in zip(self.objects, self.pointers, strict=True) if item.get(name) is not None), ""
        )
        self.places[fact] = Place(file=self.path, pointer=f"{held}/{escaped(name)}")

    def integer(self, *names: str, fact: str | None = None) -> int | None:
        """Return a non-negative integer."""
        name, value = self.find(names)
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            self.note(fact, name)
            return value
        self._refuse(name, value, "a non-negative integer")
        return None

    def text(self, *names: str, fact: str | None = None) -> str | None:
        """Return a string of 1 to ``NAME_LIMIT`` characters."""
        name, value = self.find(names)
        if is_name(value):
            self.note(fact, name)
            return value
        self._refuse(name, value, f"a string of 1 to {NAME_LIMIT} printable characters")
        return None

    def boolean(self, *names: str, fact: str | None = None) -> bool | None:
        """Return a boolean."""
        name, value = self.find(names)
        if isinstance(value, bool):
            self.note(fact, name)
            return value
        self._refuse(name, value, "a boolean")
        return None

    def object(self, *names: str, fact: str | None = None) -> dict[str, Json] | None:
        """Return an object."""
        name, value = self.find(names)
        if isinstance(value, dict):
            self.note(fact, name)
            return value
        self._refuse(name, value, "an object")
        return None

    def names(self, name: str, *, fact: str | None = None) -> tuple[str, ...]:
        """Return an array of up to ``NAMES_LIMIT`` strings, each of 1 to ``NAME_LIMIT`` printable characters."""
        _, value = self.find((name,))
        if value is None:
            return ()
        if isinstance(value, list) and len(value) <= NAMES_LIMIT:
            texts = tuple(item for item in value if is_name(item))
            if len(texts) == len(value):
                self.note(fact, name)
                return texts
        self.reject(name, f"an array of up to {NAMES_LIMIT} short strings")
        return ()

    def _refuse(self, name: str, value: Json, wanted: str) -> None:
        if value is not None:
            self.reject(name, wanted)

    def reject(self, name: str, wanted: str) -> None:
        """Record, once, that a member has a type or a size that it cannot have."""
        found = finding("config-field", self.path, f"{name} is not {wanted}, so it is left out")
        if found not in self.findings:
            self.findings.append(found)


def escaped(name: str) -> str:
    """Return a member's name as a part of a JSON pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")


def is_name(value: Json) -> TypeGuard[str]:
    """Tell whether a value is a string of 1 to ``NAME_LIMIT`` printable characters."""
    return isinstance(value, str) and 0 < len(value) <= NAME_LIMIT and value.isprintable()
