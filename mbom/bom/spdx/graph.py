"""The graph of an SPDX document, its elements under ids that follow from the BOM: two exports are the same bytes."""

from collections.abc import Iterable
from urllib.parse import quote

from mbom.strictjson import Json

CREATION = "_:creation"
NO_LICENCE_KNOWN = "expandedlicensing_NoAssertionLicense"  # an individual of the model, by its name in the context
_SAFE = "/:@!$&'()*+,;=-._~"  # what RFC 3986 lets stand in a fragment


class Graph:
    """Elements in the order in which they were added, each with its creation information."""

    def __init__(self, base: str) -> None:
        """Take the URI that every id begins with."""
        self.base = base
        self.elements: dict[str, dict[str, Json]] = {}

    def add(self, kind: str, fragment: str, **members: Json) -> str:
        """Add an element and return its id; members that are None or empty are left out."""
        name = f"{self.base}#{quote(fragment, safe=_SAFE)}"
        number = 1
        while name in self.elements:
            number += 1
            name = f"{self.base}#{quote(fragment, safe=_SAFE)}~{number}"
        kept = {key: value for key, value in members.items() if value is not None and value not in ([], "")}
        self.elements[name] = {"type": kind, "spdxId": name, "creationInfo": CREATION, **kept}
        return name

    def relate(
        self, source: str, kind: str, targets: Iterable[str], *, completeness: str = "noAssertion", comment: str = ""
    ) -> None:
        """Add a relationship from an element to others; none where there are no others."""
        to: list[Json] = list(dict.fromkeys(targets))
        if to:
            fragment = f"relationship/{kind}/{source.removeprefix(self.base).removeprefix('#')}"
            self.add(
                "Relationship", fragment, relationshipType=kind, to=to, completeness=completeness, comment=comment,
                **{"from": source},
            )  # fmt: skip
