"""Strict validation against the schemas of CycloneDX 1.5, 1.6 and 1.7, offline.

The schemas are those that cyclonedx-python-lib carries. Its own validator is not used: with the checks of formats it
takes a second to import and half a millisecond for each character of an address, and compares the items of an array
pair by pair, where this one needs milliseconds for the largest BOM. The files lie in a folder that the library does not
document, so it is pinned to one minor version, and the tests hold this validator's verdicts against the library's.
"""

import functools
import json
from collections.abc import Iterable, Iterator
from importlib.resources import files
from itertools import islice
from typing import Any, Literal, get_args

import jsonschema_rs

from mbom.strictjson import Json

VERSIONS = ("1.5", "1.6", "1.7")  # 1.5 is the first that knows machine-learning models
Spec = Literal["1.7", "1.6"]  # what mbom writes, and takes back as its own
WRITTEN: tuple[Spec, ...] = get_args(Spec)
CURRENT: Spec = "1.7"
PROBLEMS_SHOWN = 20
MESSAGE_LIMIT = 300  # characters; the validator quotes the whole value that it refuses

_FILES = "cyclonedx.schema._res"
_REFERRED = ("spdx.SNAPSHOT.schema.json", "jsf-0.82.SNAPSHOT.schema.json", "cryptography-defs.SNAPSHOT.schema.json")
_BASE = "http://cyclonedx.org/schema/"  # what the schemas' relative references resolve against


def schema_problems(document: Json, version: str = CURRENT) -> tuple[str, ...]:
    """Return how a document breaks the strict schema of CycloneDX; nothing where it is valid."""
    return tuple(
        f"schema: ${''.join(f'[{part}]' if isinstance(part, int) else f'.{part}' for part in where)}: {message}"
        for where, message in islice(schema_errors(document, version), PROBLEMS_SHOWN)
    )


def schema_errors(document: Json, version: str) -> Iterator[tuple[list[str | int], str]]:
    """Yield every breach of the schema: the way to the value from the root of the document, and what is wrong.

    Args:
        document: what strict JSON said.
        version: one of ``VERSIONS``.
    """
    for error in _validator(version).iter_errors(document):
        yield list(error.instance_path), error.message[:MESSAGE_LIMIT]


@functools.cache
def load(name: str) -> dict[str, Any]:
    """Return the schema of a version, or the file of that name which the schemas refer to; not to be changed."""
    if name in VERSIONS:
        name = f"bom-{name}.SNAPSHOT.schema.json"
    found: dict[str, Any] = json.loads((files(_FILES) / name).read_bytes())
    return found


def pointer(parts: Iterable[str | int]) -> str:
    """Return a way through a document as a JSON pointer (RFC 6901); that of the whole document is empty."""
    return "".join(
        f"/{part if isinstance(part, int) else part.replace('~', '~0').replace('/', '~1')}" for part in parts
    )


@functools.cache
def _validator(version: str) -> jsonschema_rs.Draft7Validator:
    registry = jsonschema_rs.Registry([(_BASE + name, load(name)) for name in _REFERRED], draft=jsonschema_rs.Draft7)
    return jsonschema_rs.Draft7Validator(load(version), registry=registry, validate_formats=True)
