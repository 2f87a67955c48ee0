"""JSON files of two checkpoints, member by member, under dotted names."""

import json
from collections.abc import Iterator, Mapping, Sequence

from mbom.diff.changes import FieldChange
from mbom.diff.facts import bounded
from mbom.errors import FormatError
from mbom.strictjson import Json, loads

MEMBERS_LIMIT = 20_000  # of one document; tokenizers with 1,000 added tokens have some 7,000


def flat(data: bytes, *, what: str, without: Sequence[tuple[str, ...]] = ()) -> dict[str, Json] | None:
    """Return the members of an object by dotted names, a list as one value; None for what cannot be told so.

    A name that holds a dot or a quote, or is empty, is written as a JSON string, so that no two members share a name.

    Args:
        data: a JSON document.
        what: its name.
        without: objects that are left out, each by its place: ``("model", "vocab")``; another value there stays.
    """
    try:
        document = loads(data, what=what, infinity=True)
    except FormatError:
        return None
    if not isinstance(document, dict):
        return None
    members = dict[str, Json]()
    for *outer, last in without:
        held: Json = document
        for key in outer:
            held = held.get(key) if isinstance(held, dict) else None
        if isinstance(held, dict) and isinstance(held.get(last), dict):
            del held[last]
    for name, item in _members(document):
        members[name] = item
        if len(members) > MEMBERS_LIMIT:
            return None
    return members


def _members(document: Mapping[str, Json]) -> Iterator[tuple[str, Json]]:
    pending = [(_spelled(key), item) for key, item in reversed([*document.items()])]
    while pending:
        name, item = pending.pop()
        if isinstance(item, dict) and item:
            prefix = bounded.name(name)  # so that a long one is not repeated for each of its members
            pending.extend((f"{prefix}.{_spelled(key)}", inner) for key, inner in reversed([*item.items()]))
        else:
            yield name, item


def _spelled(key: str) -> str:
    return bounded.name(key if key and "." not in key and '"' not in key else json.dumps(key, ensure_ascii=False))


def changes(section: str, old: Mapping[str, Json], new: Mapping[str, Json]) -> Iterator[FieldChange]:
    """Yield the members that are not the same, by name; ``1``, ``1.0`` and ``true`` are not the same."""
    for name in sorted(old.keys() | new.keys()):
        if name in old and name in new and bounded.lossless(old[name]) == bounded.lossless(new[name]):
            continue
        yield FieldChange(
            section=section,
            name=bounded.name(name),
            old=_told(old, name),
            new=_told(new, name),
        )


def _told(members: Mapping[str, Json], name: str) -> Json:
    """Return a member to quote; a null that is there is a word, because None says that it is not."""
    if name not in members:
        return None
    return "null" if members[name] is None else bounded.value(members[name])
