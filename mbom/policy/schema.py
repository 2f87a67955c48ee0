"""The published JSON Schema of a policy, made from the table of its keys."""

from collections.abc import Mapping, Sequence

from mbom.policy import keys
from mbom.policy.keys import ENTRIES, KEYS, LIMITS, REQUIRED, SECTIONS_MEANING, Key
from mbom.policy.kinds import Value
from mbom.strictjson import Json

ID = "https://raw.githubusercontent.com/mbom/mbom/main/schemas/policy.schema.json"

_OF_IDENTITIES = ("issuer", "repository", "workflow", "ref", "trust_config")


def document() -> dict[str, Json]:
    """Return the schema."""
    sections: dict[str, Json] = {}
    for name in keys.members(""):
        if name not in KEYS:
            sections[name] = _section(f"{name}.")
    references: dict[str, Json] = {name: {"$ref": f"#/$defs/{name}"} for name in sections}
    plain: dict[str, Json] = {name: _of(KEYS[name]) for name in keys.members("") if name in KEYS}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": ID,
        "title": "mbom policy",
        "description": "What a product allows of models: mbom.yaml, as `mbom policy` and `mbom gate` read it.",
        "type": "object",
        "required": ["version"],
        "additionalProperties": False,
        "properties": {
            "version": {"const": keys.VERSION, "description": "The version of the language."},
            **references,
            **plain,
            **{name: _list(name) for name in ENTRIES},
            "models": {
                "description": SECTIONS_MEANING["models"],
                "type": "object",
                "maxProperties": LIMITS["models"],
                "propertyNames": keys.PATTERN.schema(),
                "additionalProperties": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": references | plain,
                },
            },
        },
        "$defs": sections,
    }


def _section(prefix: str) -> Json:
    properties: dict[str, Json] = {}
    for name, path in keys.members(prefix).items():
        properties[name] = _of(KEYS[path]) if path in KEYS else _section(f"{path}.")
    return {
        "description": SECTIONS_MEANING[prefix.removesuffix(".")],
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
    }


def _of(key: Key) -> Json:
    described: dict[str, Json] = {"description": key.meaning, **key.kind.schema()}
    if key.default is not None:
        described["default"] = _json(key.default)
    return described


def _json(value: Value) -> Json:
    return list(value) if isinstance(value, tuple) else value


def _list(name: str) -> Json:
    entry: dict[str, Json] = {
        "type": "object",
        "additionalProperties": False,
        "required": list(REQUIRED[name]),
        "properties": _members(ENTRIES[name]),
    }
    if name == "signers":
        entry |= _one_way()
    return {"description": SECTIONS_MEANING[name], "type": "array", "maxItems": LIMITS[name], "items": entry}


def _members(held: Mapping[str, Key]) -> dict[str, Json]:
    return {name: _of(key) for name, key in held.items()}


def _one_way() -> dict[str, Json]:
    """Return that a signer is a key or an identity, and what goes with either."""
    ways: list[Json] = [
        _with(("key",), ("identity", "identity_regexp", *_OF_IDENTITIES)),
        _with(("identity", "issuer"), ("key", "identity_regexp", "timestamp_authority")),
        _with(("identity_regexp", "issuer"), ("key", "identity", "timestamp_authority")),
    ]
    return {"oneOf": ways}


def _with(needed: Sequence[str], strangers: Sequence[str]) -> Json:
    return {"required": list(needed), "not": {"anyOf": [{"required": [name]} for name in strangers]}}
