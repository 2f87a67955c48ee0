"""Taking values out of a CycloneDX document of any make: a member of another type than it should have is not there.

An export goes as far as its source does, and says nothing of what it cannot read.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime

from mbom.strictjson import Json

TEXT_LIMIT = 20_000  # characters of one text that is carried over; descriptions of other generators run to pages

# An address that can stand where SPDX wants a URI: no white space, no control character, nothing that needs escaping.
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,30}:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]{1,2000}")


def objects(item: Json, name: str) -> list[dict[str, Json]]:
    """Return the objects of the list that a member is."""
    held = item.get(name) if isinstance(item, dict) else None
    return [entry for entry in held if isinstance(entry, dict)] if isinstance(held, list) else []


def member(item: Json, *names: str) -> dict[str, Json]:
    """Return the object at the end of a path of members; an empty one where there is none."""
    for name in names:
        item = item.get(name) if isinstance(item, dict) else None
    return item if isinstance(item, dict) else {}


def text(item: Json, name: str) -> str | None:
    """Return a text that is not empty."""
    held = item.get(name) if isinstance(item, dict) else None
    return held[:TEXT_LIMIT] if isinstance(held, str) and held.strip() else None


def texts(item: Json, name: str) -> list[str]:
    """Return the texts of the list that a member is."""
    held = item.get(name) if isinstance(item, dict) else None
    listed = held if isinstance(held, list) else []
    return [entry[:TEXT_LIMIT] for entry in listed if isinstance(entry, str) and entry.strip()]


def uri(item: Json, name: str) -> str | None:
    """Return a text that is a URI."""
    held = text(item, name)
    return held if held is not None and _URI.fullmatch(held) else None


def moment(item: Json, name: str) -> str | None:
    """Return a time of day as SPDX writes it, in UTC and whole seconds; None where it is none or has no zone."""
    try:
        read = datetime.fromisoformat(text(item, name) or "")
        if read.tzinfo is None:
            return None
        return read.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if read.year >= 1000 else None
    except (ValueError, OverflowError):
        return None


def pairs(item: Json) -> Iterator[tuple[str, str]]:
    """Yield name and value of the properties of an object."""
    for entry in objects(item, "properties"):
        name, value = text(entry, "name"), entry.get("value")
        if name is not None and isinstance(value, str):
            yield name, value[:TEXT_LIMIT]
