"""What the CycloneDX schema does not check and a reader still relies on: references, digests, purls, sums."""

from collections import Counter
from collections.abc import Iterator

from packageurl import PackageURL

from mbom.bom.properties import PREFIX, decimal, named, number
from mbom.strictjson import Json

# Hex digits of each algorithm's digest; the schema accepts any of these lengths for any algorithm.
_DIGEST_LENGTHS = {
    "MD5": 32,
    "SHA-1": 40,
    **dict.fromkeys(("SHA-256", "SHA3-256", "BLAKE2b-256", "BLAKE3", "Streebog-256"), 64),
    **dict.fromkeys(("SHA-384", "SHA3-384", "BLAKE2b-384"), 96),
    **dict.fromkeys(("SHA-512", "SHA3-512", "BLAKE2b-512", "Streebog-512"), 128),
}
# Members that hold bom-refs of other objects wherever they hold a text or a list of texts.
_LINKS = frozenset({"ref", "dependsOn", "provides", "assemblies", "dependencies", "subjects", "attributedTo", "target"})
_BOM_LINK = "urn:cdx:"  # a reference into another document
_MODEL = "machine-learning-model"


def lint(document: Json) -> tuple[str, ...]:
    """Return what is wrong with a CycloneDX document beyond its schema, sorted; nothing where it is sound.

    Checked: bom-refs are unique; no reference dangles; each digest has its algorithm's length; purls are in their
    canonical form and say the version that their component says; a modelCard stands on a model only; files add up to
    the size and number that their model states, dtypes to its bytes of tensors, blocks and dtypes to its parameters.
    """
    objects = list(_objects(document))
    refs = Counter(ref for _, item in objects if isinstance(ref := item.get("bom-ref"), str))
    problems = [f"bom-ref {ref} stands {times} times" for ref, times in refs.items() if times > 1]
    for where, item in objects:
        problems.extend(f"{where}: {problem}" for problem in _object_problems(item, refs))
    return tuple(sorted(problems))


def files_of(document: Json) -> list[dict[str, Json]]:
    """Return every file component of a document, wherever it stands."""
    return [item for _, item in _objects(document) if item.get("type") == "file" and isinstance(item.get("name"), str)]


def _objects(document: Json) -> Iterator[tuple[str, dict[str, Json]]]:
    """Yield every object of a document with its place as a JSON pointer."""
    pending: list[tuple[str, Json]] = [("", document)]
    while pending:
        where, item = pending.pop()
        if isinstance(item, dict):
            yield where or "/", item
            pending.extend((f"{where}/{name}", value) for name, value in item.items())
        elif isinstance(item, list):
            pending.extend((f"{where}/{number}", value) for number, value in enumerate(item))


def _object_problems(item: dict[str, Json], refs: Counter[str]) -> Iterator[str]:
    for name in _LINKS & item.keys():
        value = item[name]
        targets = value if isinstance(value, list) else [value]
        for target in targets:
            if isinstance(target, str) and target not in refs and not target.startswith(_BOM_LINK):
                yield f"{name} {target} is the bom-ref of nothing"
    algorithm, content = item.get("alg"), item.get("content")
    if isinstance(algorithm, str) and isinstance(content, str):
        digits = _DIGEST_LENGTHS.get(algorithm)
        if digits is None:
            yield f"the digest algorithm {algorithm} is not known"
        elif len(content) != digits:
            yield f"a {algorithm} digest of {len(content)} digits, it has {digits}"
    if "modelCard" in item:
        if item.get("type") != _MODEL:
            yield f"a modelCard on a component of type {item.get('type')}"
        else:
            yield from _sums(item)
    yield from _purl_problems(item)


def _purl_problems(item: dict[str, Json]) -> Iterator[str]:
    text = item.get("purl")
    if not isinstance(text, str):
        return
    try:
        purl = PackageURL.from_string(text)
    except ValueError as error:
        yield f"{text} is no purl: {error}"
        return
    if purl.to_string() != text:
        yield f"the purl {text} is not in its canonical form {purl.to_string()}"
    if purl.version != item.get("version"):
        yield f"the purl says version {purl.version}, the component {item.get('version')}"


def _sums(model: dict[str, Json]) -> Iterator[str]:
    """Yield the sums that a model states and its parts do not have."""
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
            yield f"{PREFIX}{name} states {stated}, the parts add up to {sum(known)}"
