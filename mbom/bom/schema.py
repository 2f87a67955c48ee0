"""Strict validation against the CycloneDX 1.7 schema, offline, within limits on what it may cost."""

from mbom.strictjson import Json

PROBLEMS_SHOWN = 20
MESSAGE_LIMIT = 300  # characters; the validator quotes the whole value that it refuses

# The schema wants arrays without duplicates, and the validator compares objects pair by pair: about 1 µs each. Four
# thousand files, as components and as dependencies, stay below this.
PAIRS_LIMIT = 20_000_000
# The validator parses addresses with a general grammar: about half a millisecond for each character. A card that names
# as many data sets as are read, each with as long a name as the hub allows, stays below this.
ADDRESS_LIMIT = 1 << 16
_ADDRESSES = frozenset({"url", "source", "destination", "references", "endpoints", "featuredImage", "socialImage"})


def schema_problems(document: Json, data: bytes) -> tuple[str, ...]:
    """Return how a document breaks the strict schema of CycloneDX 1.7; nothing where it is valid.

    Args:
        document: what the strict reader made of ``data``.
        data: the same document as UTF-8.
    """
    costs = _too_costly(document)
    if costs is not None:
        return (costs,)
    # The validator and its grammars take a second to import, which only who validates should pay.
    from cyclonedx.schema import SchemaVersion  # noqa: PLC0415
    from cyclonedx.validation.json import JsonStrictValidator  # noqa: PLC0415

    errors = JsonStrictValidator(SchemaVersion.V1_7).validate_str(data.decode(), all_errors=True) or ()
    problems = []
    for error in errors:
        where, why = getattr(error.data, "json_path", "$"), getattr(error.data, "message", str(error))
        problems.append(f"schema: {where}: {why}"[:MESSAGE_LIMIT])
        if len(problems) == PROBLEMS_SHOWN:
            break
    return tuple(problems)


def _too_costly(document: Json) -> str | None:
    """Return why validating this document would take minutes, if it would."""
    pairs = addresses = 0
    pending: list[tuple[str, Json]] = [("", document)]
    while pending:
        name, item = pending.pop()
        if isinstance(item, dict):
            pending.extend(item.items())
        elif isinstance(item, list):
            pending.extend((name, part) for part in item)
            # Texts alone can be sorted; anything else is compared pair by pair.
            pairs += 0 if all(isinstance(part, str) for part in item) else len(item) ** 2 // 2
        elif isinstance(item, str) and name in _ADDRESSES:
            addresses += len(item)
    if pairs > PAIRS_LIMIT:
        return f"arrays so long that their items make {pairs} pairs, the limit is {PAIRS_LIMIT}"
    if addresses > ADDRESS_LIMIT:
        return f"{addresses} characters of addresses, the limit is {ADDRESS_LIMIT}"
    return None
