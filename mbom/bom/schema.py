"""Strict validation against the CycloneDX 1.7 schema, offline.

The schema is the one that cyclonedx-python-lib carries. Its own validator is not used: with the checks of formats it
takes a second to import and half a millisecond for each character of an address, and compares the items of an array
pair by pair, where this one needs milliseconds for the largest BOM. The files lie in a folder that the library does not
document, so it is pinned to one minor version, and the tests hold this validator's verdicts against the library's.
"""

import functools
import json
from importlib.resources import files
from typing import Any

import jsonschema_rs

from mbom.strictjson import Json

PROBLEMS_SHOWN = 20
MESSAGE_LIMIT = 300  # characters; the validator quotes the whole value that it refuses

_FILES = "cyclonedx.schema._res"
_BOM = "bom-1.7.SNAPSHOT.schema.json"
_REFERRED = ("spdx.SNAPSHOT.schema.json", "jsf-0.82.SNAPSHOT.schema.json", "cryptography-defs.SNAPSHOT.schema.json")
_BASE = "http://cyclonedx.org/schema/"  # what the schemas' relative references resolve against


def schema_problems(document: Json) -> tuple[str, ...]:
    """Return how a document breaks the strict schema of CycloneDX 1.7; nothing where it is valid."""
    problems = []
    for error in _validator().iter_errors(document):
        where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.instance_path)
        problems.append(f"schema: ${where}: {error.message}"[:MESSAGE_LIMIT])
        if len(problems) == PROBLEMS_SHOWN:
            break
    return tuple(problems)


@functools.cache
def _validator() -> jsonschema_rs.Draft7Validator:
    registry = jsonschema_rs.Registry([(_BASE + name, _load(name)) for name in _REFERRED], draft=jsonschema_rs.Draft7)
    return jsonschema_rs.Draft7Validator(_load(_BOM), registry=registry, validate_formats=True)


def _load(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((files(_FILES) / name).read_bytes())
    return found
