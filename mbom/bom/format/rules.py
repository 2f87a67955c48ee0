"""The rules of lint for one object each: digests, purls, licences, models, citations, times.

Every rule takes an object as it stands in a document that may break the schema, and yields the id of a problem and a
sentence. What is a mistake of a whole document, such as a bom-ref that stands twice, is in ``lint``.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from cyclonedx.spdx import fixup_id, is_expression
from packageurl import PackageURL

from mbom.bom.properties import PREFIX, decimal, named, number
from mbom.strictjson import Json

Found = Iterator[tuple[str, str]]

MODEL = "machine-learning-model"
EXPRESSION_LIMIT = 1000  # characters; the parser's time grows faster than their number
FIRST_YEAR = 2017  # CycloneDX 1.0 is of March 2018; whatever is dated before stands for a clock that was not set
_SKEW = timedelta(days=1)  # clocks differ, and midnight is not everywhere at once

# Hex digits of each algorithm's digest; the schema accepts any of these lengths for any algorithm.
_DIGEST_LENGTHS = {
    "MD5": 32,
    "SHA-1": 40,
    **dict.fromkeys(("SHA-256", "SHA3-256", "BLAKE2b-256", "BLAKE3", "Streebog-256"), 64),
    **dict.fromkeys(("SHA-384", "SHA3-384", "BLAKE2b-384"), 96),
    **dict.fromkeys(("SHA-512", "SHA3-512", "BLAKE2b-512", "Streebog-512"), 128),
}
COMMIT = re.compile(r"[0-9a-fA-F]{40}", re.ASCII)
_SHARD = re.compile(r"-\d{2,6}-of-\d{2,6}(?:\.[A-Za-z0-9_]{1,16})?", re.ASCII)
_NO_NAME = frozenset({"other", "unknown", "custom", "proprietary", "noassertion", "none", "see license"})
_OTHER_VERSION = frozenset({"docker", "oci"})  # their purls say a digest where the component says a tag


def digest(item: Json) -> Found:
    """Yield what is wrong with one hash."""
    algorithm, content = (item.get("alg"), item.get("content")) if isinstance(item, dict) else (None, None)
    if not isinstance(algorithm, str) or not isinstance(content, str):
        return
    digits = _DIGEST_LENGTHS.get(algorithm)
    if digits is None:
        yield "digest-algorithm", f"the digest algorithm {algorithm} is not known"
    elif len(content) != digits:
        yield "digest-length", f"a {algorithm} digest of {len(content)} digits, it has {digits}"


def digests(items: Json) -> Found:
    """Yield algorithms of which one object has two digests that differ."""
    held: dict[str, str] = {}
    for item in items if isinstance(items, list) else ():
        algorithm, content = (item.get("alg"), item.get("content")) if isinstance(item, dict) else (None, None)
        if isinstance(algorithm, str) and isinstance(content, str):
            other = held.setdefault(algorithm, content.lower())
            if other != content.lower():
                yield "digest-contradicts", f"two {algorithm} digests of one object: {other} and {content}"


def purl(item: dict[str, Json]) -> Found:
    """Yield what is wrong with the purl of a component."""
    text = item.get("purl")
    if not isinstance(text, str):
        return
    try:
        held = PackageURL.from_string(text)
    except ValueError as error:
        yield "purl-malformed", f"{text} is no purl: {error}"
        return
    if held.to_string() != text:
        yield "purl-form", f"the purl {text} is not in its canonical form {held.to_string()}"
    version = item.get("version")
    if held.version and version and held.version != version and held.type not in _OTHER_VERSION:
        yield "purl-version", f"the purl says version {held.version}, the component {version}"
    if held.type == "huggingface":
        yield from _hub_purl(held, text, item)


def _hub_purl(held: PackageURL, text: str, item: dict[str, Json]) -> Found:
    """Yield what makes a purl of the hub ambiguous: its version is a commit, and names keep their case.

    Source: the definition of the type huggingface in the Package-URL specification.
    """
    if not held.version:
        yield "purl-unversioned", f"the purl {text} has no version, so it names whatever lies there today"
    elif COMMIT.fullmatch(held.version) is None:
        yield "purl-not-commit", f"the purl says version {held.version}, which is no commit of 40 hex digits"
    spelt = f"{held.namespace}/{held.name}" if held.namespace else held.name
    group, name = item.get("group"), item.get("name")
    for said in (name, f"{group}/{name}"):
        if isinstance(said, str) and said != spelt and said.lower() == spelt.lower():
            yield "purl-case", f"the purl says {spelt}, the component {said}; the hub tells them apart"


def model_card(item: dict[str, Json], *, full: bool) -> Found:
    """Yield a card that stands on something else than a model, and for mbom's own the sums that do not add up."""
    if "modelCard" not in item:
        return
    if item.get("type") != MODEL:
        yield "model-card-misplaced", f"a modelCard on a component of type {item.get('type')}"
    elif full:
        yield from _sums(item)


def _sums(model: dict[str, Json]) -> Found:
    nested = model.get("components")
    files = [part for part in nested if isinstance(part, dict)] if isinstance(nested, list) else []
    card = model["modelCard"]
    counted = [(name, value) for name, value in named(card) if not name.endswith(":rule")]
    sums: list[tuple[Json, str, list[int | None]]] = [
        (model, "files:count", [1] * len(files)),
        (model, "files:bytes", [number(part, "file:size") for part in files]),
        (model, "tensors:bytes", [decimal(value) for name, value in counted if name.startswith("stored-bytes:")]),
    ]
    for prefix in ("parameters:block:", "parameters:stored:", "parameters:logical:"):
        parts = [decimal(value) for name, value in counted if name.startswith(prefix)]
        if parts:
            sums.append((card, "parameters:total", parts))
    for holder, name, parts in sums:
        stated = number(holder, name)
        known = [part for part in parts if part is not None]
        if stated is None or len(known) != len(parts) or stated != sum(known):
            yield "sum-differs", f"{PREFIX}{name} states {stated}, the parts add up to {sum(known)}"


def shard(item: dict[str, Json]) -> Found:
    """Yield a shard that is listed as a model of its own."""
    name = item.get("name")
    if item.get("type") == MODEL and isinstance(name, str) and _SHARD.search(name[-64:]):
        yield "shard-as-model", f"{name} is one shard of the weights, listed as a {MODEL}; its type is file"


def licence(item: Json) -> Found:
    """Yield what is wrong with the name of one licence."""
    name = item.get("name") if isinstance(item, dict) else None
    if not isinstance(name, str) or not isinstance(item, dict):
        return
    known = fixup_id(name)
    if known is not None:
        yield "licence-id-as-name", f"the licence's name {name} is the SPDX id {known}, which belongs into id"
    if name.strip().lower() in _NO_NAME and not item.keys() & {"url", "text"}:
        yield "licence-unnamed", f"a licence called {name}, with neither address nor text: nobody can read what it says"


def licence_choices(items: Json) -> Found:
    """Yield expressions that SPDX does not understand."""
    for item in items if isinstance(items, list) else ():
        text = item.get("expression") if isinstance(item, dict) else None
        if not isinstance(text, str):
            continue
        # A reference stands for a text of the document's own, which the list of ids cannot know.
        plain = re.sub(r"(?:DocumentRef-[A-Za-z0-9.-]+:)?LicenseRef-[A-Za-z0-9.-]+", "MIT", text)
        if len(text) > EXPRESSION_LIMIT or not is_expression(plain):
            yield "licence-expression", f"the licence expression {text[:EXPRESSION_LIMIT]} is not one of SPDX ids"


def model_licences(model: dict[str, Json]) -> Found:
    """Yield that a model has no licence, or not the one that its tags or properties name."""
    said = {text.lower() for text in _licences_of(model.get("licenses"))}
    evidence = model.get("evidence")
    said |= {text.lower() for text in _licences_of(evidence.get("licenses") if isinstance(evidence, dict) else None)}
    for told in sorted(set(_told_licences(model))):
        if not any(told.lower() in text for text in said):
            yield "licence-dropped", f"a tag or property names the licence {told}, which no licence of the model does"
    if not said:
        yield "licence-missing", "the model has no licence; one that is not known can be named so"


def _licences_of(choices: Json) -> Iterator[str]:
    for choice in choices if isinstance(choices, list) else ():
        held = choice.get("license") if isinstance(choice, dict) else None
        texts = [choice.get("expression")] if isinstance(choice, dict) else []
        texts += [held.get("id"), held.get("name")] if isinstance(held, dict) else []
        yield from (text for text in texts if isinstance(text, str))


def _told_licences(model: dict[str, Json]) -> Iterator[str]:
    """Yield the licences that generators leave in tags (``license:mit``, as the hub has them) and in properties."""
    card = model.get("modelCard")
    for holder in (model, card) if isinstance(card, dict) else (model,):
        held = holder.get("properties")
        for entry in held if isinstance(held, list) else ():
            name, value = (entry.get("name"), entry.get("value")) if isinstance(entry, dict) else (None, None)
            if not isinstance(name, str) or not isinstance(value, str) or name.startswith(PREFIX):
                continue
            if value and name.rpartition(":")[2].lower() in ("license", "licence"):
                yield value
    tags = model.get("tags")
    for tag in tags if isinstance(tags, list) else ():
        if isinstance(tag, str) and tag.startswith("license:"):
            yield tag.removeprefix("license:")


def time(item: dict[str, Json], now: datetime | None) -> Found:
    """Yield a time stamp that cannot be that of a BOM; one that is no time at all is for the schema to refuse."""
    text = item.get("timestamp")
    if not isinstance(text, str):
        return
    try:
        stated = datetime.fromisoformat(text)
    except ValueError:
        return
    stated = stated if stated.tzinfo else stated.replace(tzinfo=UTC)
    if stated.year < FIRST_YEAR:
        yield "timestamp", f"the time {text} is before {FIRST_YEAR}, so no clock said it"
    elif now is not None and stated > now + _SKEW:
        yield "timestamp", f"the time {text} is in the future"
