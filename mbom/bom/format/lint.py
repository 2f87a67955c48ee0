"""What the CycloneDX schema does not check and a reader still relies on: references, digests, purls, sums.

Also the mistakes that generators of ML-BOMs are known for: no weights, a licence dropped, a commit as a digest, shards
as models. ``problems.KINDS`` lists every id.
"""

import contextlib
import functools
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime

from packageurl import PackageURL

from mbom.bom.format import rules
from mbom.bom.format.grammar import Grammar, Shape, grammar
from mbom.bom.format.problems import KINDS, Problem
from mbom.bom.format.schema import CURRENT, VERSIONS
from mbom.bom.format.walking import Node, Place, has_place, pointer_to, walk
from mbom.strictjson import Json

_BOM_LINK = "urn:cdx:"  # a reference into another document
_WEIGHTS = (".safetensors", ".gguf", ".ggml", ".bin", ".pt", ".pth", ".ckpt", ".onnx", ".h5", ".msgpack", ".npz")
# Definitions of the schema that a rule is about; whatever leads to none of them is not looked into.
_LOOKED_AT = frozenset({"component", "hash", "license", "licenseChoice", "citation", "metadata", "annotations"})


def lint(document: Json) -> tuple[str, ...]:
    """Return what is wrong with a document of mbom beyond its schema, sorted; nothing where it is sound.

    Everything in ``problems.KINDS`` that mbom owes its readers, and that files add up to the size and number that their
    model states, dtypes to its bytes of tensors, blocks and dtypes to its parameters.
    """
    return tuple(sorted(str(problem) for problem in problems(document, full=True) if KINDS[problem.id].own))


def problems(document: Json, *, full: bool, now: datetime | None = None) -> Iterator[Problem]:
    """Yield what is wrong with anybody's document beyond its schema, in the order of the document.

    Args:
        document: what strict JSON said; it may break the schema.
        full: whether to ask for the sums that mbom's own documents state.
        now: the time after which a time stamp is in the future; None to leave that open.
    """
    version = document.get("specVersion") if isinstance(document, dict) else None
    known = grammar(version if isinstance(version, str) and version in VERSIONS else CURRENT)
    links: list[Node] = []
    names: dict[str, Place] = {}
    models: list[Node] = []
    commits: set[str] = set()
    files: list[str] = []
    hashes: list[Node] = []
    for node in walk(document, known.root, _worth(known)):
        value, shape = node.value, node.shape
        if isinstance(value, str):
            if shape.link:
                links.append(node)
            elif names.setdefault(value, node.place) is not node.place:
                yield _at(
                    node, "bom-ref-duplicate", f"bom-ref {value} stands twice, first at {pointer_to(names[value])}"
                )
            continue
        yield from (_at(node, *found) for found in _object(node, full, now))
        if "hash" in shape.kinds:
            hashes.append(node)
        elif "component" in shape.kinds and isinstance(value, dict):
            commits.update(_commits(value))
            if value.get("type") == rules.MODEL and not _in_pedigree(node):
                models.append(node)
            if value.get("hashes") and isinstance(name := value.get("name"), str):
                files.append(name)
    yield from _models(models, any(name.lower().endswith(_WEIGHTS) for name in files))
    yield from _commits_as_digests(hashes, commits)
    yield from _dangling(links, names)
    yield from _dependencies(document)
    yield from _citations(document)


def files_of(document: Json) -> list[dict[str, Json]]:
    """Return every file component of a valid document, wherever it stands."""
    known = grammar(CURRENT)
    found = []
    for node in walk(document, known.root, known.leading_to(lambda shape: "component" in shape.kinds)):
        item = node.value
        if isinstance(item, dict) and item.get("type") == "file" and isinstance(item.get("name"), str):
            found.append(item)
    return found


@functools.cache
def _worth(known: Grammar) -> frozenset[Shape]:
    return known.leading_to(lambda shape: shape.link or shape.name or bool(shape.kinds & _LOOKED_AT))


def _at(node: Node, kind: str, detail: str) -> Problem:
    return Problem(id=kind, pointer=node.pointer, detail=detail)


def _object(node: Node, full: bool, now: datetime | None) -> rules.Found:
    """Yield what the rules find about one object or array."""
    value, kinds = node.value, node.shape.kinds
    if isinstance(value, list):
        if "licenseChoice" in kinds:
            yield from rules.licence_choices(value)
        elif node.shape.item is not None and "hash" in node.shape.item.kinds:
            yield from rules.digests(value)
        return
    if not isinstance(value, dict):
        return
    if "hash" in kinds:
        yield from rules.digest(value)
    elif "component" in kinds:
        yield from rules.purl(value)
        yield from rules.model_card(value, full=full)
        yield from rules.shard(value)
    elif "license" in kinds:
        yield from rules.licence(value)
    elif kinds & {"metadata", "citation", "annotations"}:
        yield from rules.time(value, now)


def _in_pedigree(node: Node) -> bool:
    place = node.place
    while place is not None:
        place, part = place
        if part == "pedigree":
            return True
    return False


def _models(models: list[Node], weights: bool) -> Iterator[Problem]:
    """Yield what models lack: a licence, and somewhere in the document a file of weights with a digest."""
    for node in models:
        assert isinstance(node.value, dict)
        yield from (_at(node, *found) for found in rules.model_licences(node.value))
        if not weights:
            yield _at(node, "weights-missing", "no file of weights with a digest is listed, so the model can be any")


def _commits(component: dict[str, Json]) -> Iterator[str]:
    """Yield the git commits that a component names: by its version, its purl and its pedigree."""
    said = [component.get("version")]
    purl = component.get("purl")
    if isinstance(purl, str):
        with contextlib.suppress(ValueError):  # a rule of its own reports it
            said.append(PackageURL.from_string(purl).version)
    pedigree = component.get("pedigree")
    commits = pedigree.get("commits") if isinstance(pedigree, dict) else None
    said += [each.get("uid") for each in commits if isinstance(each, dict)] if isinstance(commits, list) else []
    yield from (text.lower() for text in said if isinstance(text, str) and rules.COMMIT.fullmatch(text))


def _commits_as_digests(hashes: list[Node], commits: set[str]) -> Iterator[Problem]:
    for node in hashes:
        item = node.value if isinstance(node.value, dict) else {}
        content = item.get("content")
        if item.get("alg") == "SHA-1" and isinstance(content, str) and content.lower() in commits:
            yield _at(node, "digest-is-commit", f"the commit {content} is given as the SHA-1 of content")


def _dangling(links: list[Node], names: dict[str, Place]) -> Iterator[Problem]:
    for node in links:
        if node.value not in names and not str(node.value).startswith(_BOM_LINK):
            parts = [part for part in _parts(node.place) if isinstance(part, str)]
            yield _at(node, "reference-dangling", f"{parts[0]} {node.value} is the bom-ref of nothing")


def _parts(place: Place) -> Iterator[str | int]:
    """Yield the parts of a place from the innermost on."""
    while place is not None:
        place, part = place
        yield part


def _dependencies(document: Json) -> Iterator[Problem]:
    listed = document.get("dependencies") if isinstance(document, dict) else None
    places: dict[str, list[int]] = defaultdict(list)
    for number, item in enumerate(listed if isinstance(listed, list) else ()):
        ref = item.get("ref") if isinstance(item, dict) else None
        if isinstance(ref, str):
            places[ref].append(number)
    for ref, numbers in places.items():
        if len(numbers) > 1:
            where = f"/dependencies/{numbers[1]}"
            yield Problem(id="dependency-repeated", pointer=where, detail=f"the dependencies of {ref} are listed twice")


def _citations(document: Json) -> Iterator[Problem]:
    listed = document.get("citations") if isinstance(document, dict) else None
    for number, item in enumerate(listed if isinstance(listed, list) else ()):
        pointers = item.get("pointers") if isinstance(item, dict) else None
        for place, text in enumerate(pointers if isinstance(pointers, list) else ()):
            if isinstance(text, str) and not has_place(document, text):
                where = f"/citations/{number}/pointers/{place}"
                yield Problem(id="citation-pointer", pointer=where, detail=f"the document has no place {text}")
