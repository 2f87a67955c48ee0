"""Joining what several modules say of one document."""

from collections.abc import Mapping

from mbom.strictjson import Json


def join(document: dict[str, Json], part: Mapping[str, Json]) -> None:
    """Add a part to a document, in place: lists are continued, objects joined member by member.

    Raises:
        ValueError: when both give a member that is neither, which is a mistake of ours.
    """
    for name, value in part.items():
        held = document.get(name)
        if held is None:
            document[name] = value
        elif isinstance(held, list) and isinstance(value, list):
            held.extend(value)
        elif isinstance(held, dict) and isinstance(value, dict):
            join(held, value)
        else:
            raise ValueError(f"two parts of the BOM give {name}")
