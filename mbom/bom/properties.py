"""CycloneDX properties under the name ``mbom:``, for whatever the specification has no field of its own.

Values are always text; numbers are written in decimal digits, none of them needless.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from mbom.strictjson import Json

PREFIX = "mbom:"


def properties(pairs: Iterable[tuple[str, str]]) -> list[Json]:
    """Return CycloneDX properties for pairs of a name without its prefix and a value, sorted."""
    return [{"name": PREFIX + name, "value": value} for name, value in sorted(pairs)]


def named(item: Json) -> Iterator[tuple[str, str]]:
    """Yield the name without its prefix and the value of each property of ours that an object has."""
    held = item.get("properties") if isinstance(item, dict) else None
    for entry in held if isinstance(held, list) else ():
        name, value = (entry.get("name"), entry.get("value")) if isinstance(entry, dict) else (None, None)
        if isinstance(name, str) and isinstance(value, str) and name.startswith(PREFIX):
            yield name.removeprefix(PREFIX), value


def values(item: Json, name: str) -> list[str]:
    """Return the values of an object's properties of that name, sorted."""
    return sorted(value for found, value in named(item) if found == name)


def number(item: Json, name: str) -> int | None:
    """Return the number that an object's one property of that name holds, or None."""
    found = values(item, name)
    return decimal(found[0]) if len(found) == 1 else None


def decimal(value: str) -> int | None:
    """Return a number of up to 20 digits as this package writes it, or None for any other text."""
    if value.isascii() and value.isdecimal() and len(value) <= 20 and str(int(value)) == value:
        return int(value)
    return None


def differences(item: Json, expected: Mapping[str, Sequence[str]], witness: str) -> Iterator[str]:
    """Yield, for each name whose values an object does not have just so, what it has and what the witness says."""
    for name, wanted in expected.items():
        found = values(item, name)
        if found != sorted(wanted):
            yield f"{PREFIX}{name} is {', '.join(found) or 'missing'}, {witness} {', '.join(wanted) or 'nothing'}"
