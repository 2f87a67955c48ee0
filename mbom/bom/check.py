"""Step 8 of the verification: is this a valid BOM, and is it about the very checkpoint of the inventory?"""

import itertools
import json
from collections import Counter
from collections.abc import Iterator

from mbom import strictjson
from mbom.bom import identity
from mbom.bom.format.lint import files_of, lint
from mbom.bom.format.schema import PROBLEMS_SHOWN, WRITTEN, Spec, schema_problems
from mbom.bom.parts import join
from mbom.bom.properties import differences, named, number, values
from mbom.bom.sections.declarations import BEHAVIOUR_CLAIM, BEHAVIOUR_EVIDENCE, behaviour_claims
from mbom.bom.sections.figures import FIRST, TIED, numbers
from mbom.bom.sections.modelcard import BehaviourSummary, metrics, told
from mbom.bom.sections.openness import DECLARED
from mbom.bom.sections.runtime import REF as RUNTIME
from mbom.bom.sections.runtime import TYPES as RUNTIME_TYPES
from mbom.bom.sections.runtime import runtime_parts
from mbom.errors import FormatError
from mbom.facts.architecture import Architecture, Quantisation
from mbom.facts.members import escaped
from mbom.facts.parameters import count
from mbom.facts.reading import Facts
from mbom.inventory.findings import plain
from mbom.inventory.record import Inventory
from mbom.strictjson import Json

BOM_LIMIT = 64 << 20  # bytes, as the bundle allows; a hundred thousand files, at about 600 bytes each, take 60 MB
QUOTE_LIMIT = 120  # characters of a value that a sentence quotes
_MODEL = "machine-learning-model"


def check(data: bytes, inventory: Inventory, facts: Facts | None = None) -> tuple[str, ...]:
    """Return what is wrong with a BOM, as sentences; nothing where it is sound and agrees with the inventory.

    Each stage is the ground that the next stands on, so only the problems of the first stage that has any are given:
    strict JSON, then the schema of CycloneDX 1.7 or 1.6, then lint and agreement.

    Args:
        data: the bytes of bom.cdx.json.
        inventory: of the checkpoint, from a source that the caller trusts more than the BOM.
        facts: read again from that checkpoint, where it is at hand: then every number of the model card must be equal.
            Without them the parameter count is still computed from the inventory's tensors.
    """
    try:
        document = strictjson.loads(data, what="the BOM", limit=BOM_LIMIT)
    except FormatError as error:
        return (str(error),)
    if not isinstance(document, dict) or document.get("specVersion") not in WRITTEN:
        return (f"the BOM is not a CycloneDX {' or '.join(WRITTEN)} document",)
    found = schema_problems(document, spec_of(document)) or lint(document) + tuple(
        _disagreements(document, inventory, facts)
    )
    return tuple(plain(problem) for problem in found)


def spec_of(document: Json) -> Spec:
    """Return the version of CycloneDX that a document of ours is written in."""
    assert isinstance(document, dict)
    return next(spec for spec in WRITTEN if spec == document["specVersion"])


def check_behaviour(data: bytes, behaviour: BehaviourSummary | None) -> tuple[str, ...]:
    """Return where a BOM says something else of the behaviour than the record does; nothing where they agree.

    Args:
        data: the bytes of a BOM that ``check`` has nothing against.
        behaviour: of the record beside it; None where there is none, and the BOM must then say so.
    """
    document = strictjson.loads(data, what="the BOM", limit=BOM_LIMIT)
    assert isinstance(document, dict)
    assert isinstance(document["components"], list)
    model = document["components"][0]
    assert isinstance(model, dict)
    card = model["modelCard"]
    assert isinstance(card, dict)
    said = {(name, value) for name, value in named(card) if name.partition(":")[0] == "behaviour"}
    found = [f"the BOM says {name} {value}, the record does not" for name, value in sorted(said - set(told(behaviour)))]
    found += [f"the BOM does not say {name} {value}" for name, value in sorted(set(told(behaviour)) - said)]
    if _measured(card) != (metrics(behaviour) if behaviour is not None else []):
        found.append("the BOM's performance metrics are not those of the record")
    found += _told_otherwise(document, behaviour, str(model.get("bom-ref")))
    return tuple(plain(problem) for problem in found)


def _told_otherwise(document: dict[str, Json], behaviour: BehaviourSummary | None, model: str) -> Iterator[str]:
    """Yield which of runtime, formulation, claim and evidence differs from what the record gives."""
    expected: dict[str, Json] = {}
    join(expected, runtime_parts(behaviour, model))
    join(expected, behaviour_claims(behaviour, model))
    declared = expected.get("declarations", {})
    assert isinstance(declared, dict)
    pairs = {
        "runtime components": (_runtime(document), expected.get("components", [])),
        "formulation": (document.get("formulation", []), expected.get("formulation", [])),
        "behaviour claim": (_declared(document, "claims", BEHAVIOUR_CLAIM), declared.get("claims", [])),
        "behaviour evidence": (_declared(document, "evidence", BEHAVIOUR_EVIDENCE), declared.get("evidence", [])),
    }
    for what, (said, wanted) in pairs.items():
        if strictjson.canonical(said) != strictjson.canonical(wanted):
            yield f"what the BOM says as {what} is not what the record gives"


def _runtime(document: dict[str, Json]) -> list[Json]:
    """Return the components that are told to be a runtime, by their bom-ref or because only a runtime has such."""
    held = document.get("components")
    return [
        item
        for item in (held if isinstance(held, list) else ())
        if isinstance(item, dict)
        and (str(item.get("bom-ref")).startswith(RUNTIME) or item.get("type") in RUNTIME_TYPES)
    ]


def _declared(document: dict[str, Json], kind: str, prefix: str) -> list[Json]:
    """Return the claims or the evidence of a document whose bom-ref begins with ``prefix``."""
    declarations = document.get("declarations")
    held = declarations.get(kind) if isinstance(declarations, dict) else None
    return [
        item
        for item in (held if isinstance(held, list) else ())
        if isinstance(item, dict) and str(item.get("bom-ref")).startswith(prefix)
    ]


def contradictions(document: Json, expected: bytes) -> tuple[str, ...]:
    """Return where a BOM is not the one that its checkpoint gives, as sentences; nothing where they are equal.

    Args:
        document: a BOM that ``check`` has nothing against.
        expected: the BOM that the same version of mbom builds of the checkpoint at hand.
    """
    wanted = strictjson.loads(expected, what="the BOM", limit=BOM_LIMIT)
    differing = (plain(sentence) for sentence in _differing(document, wanted, ""))
    return tuple(itertools.islice(differing, PROBLEMS_SHOWN))


def _differing(found: Json, wanted: Json, where: str) -> Iterator[str]:
    """Yield a sentence for each member, at any depth, that differs; ``where`` is its place as a JSON pointer."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        for name in sorted(found.keys() | wanted.keys()):
            place = f"{where}/{escaped(name)}"
            if name in found and name in wanted:
                yield from _differing(found[name], wanted[name], place)
            else:
                yield f"{place} is {'missing' if name in wanted else 'nothing that the checkpoint gives'}"
    elif isinstance(found, list) and isinstance(wanted, list):
        for number, (one, other) in enumerate(zip(found, wanted, strict=False)):
            yield from _differing(one, other, f"{where}/{number}")
        if len(found) != len(wanted):
            yield f"{where} has {len(found)} entries, the checkpoint gives {len(wanted)}"
    elif strictjson.canonical(found) != strictjson.canonical(wanted):  # in Python True equals 1
        yield f"{where} is {_quoted(found)}, the checkpoint gives {_quoted(wanted)}"


def _quoted(value: Json) -> str:
    """Return a value as JSON, shortened."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= QUOTE_LIMIT else text[:QUOTE_LIMIT] + "…"


def _measured(card: dict[str, Json]) -> Json:
    """Return the performance metrics of a card that are not quoted from the publisher's."""
    held = card.get("quantitativeAnalysis", {"performanceMetrics": []})
    if not isinstance(held, dict) or held.keys() != {"performanceMetrics"}:
        return held
    found = held["performanceMetrics"]
    assert isinstance(found, list)  # the schema says so, and that each is an object
    return [item for item in found if not (isinstance(item, dict) and str(item.get("type")).startswith(DECLARED))]


def _disagreements(document: dict[str, Json], inventory: Inventory, facts: Facts | None) -> Iterator[str]:
    components = document.get("components")
    model = components[0] if isinstance(components, list) and components else None
    if not isinstance(model, dict) or model.get("type") != _MODEL:
        yield "components[0] is not a machine-learning-model"
        return
    yield from _identity(document, model, inventory)
    yield from _files(document, model, inventory)
    yield from _card(model, inventory, facts)


def _identity(document: dict[str, Json], model: dict[str, Json], inventory: Inventory) -> Iterator[str]:
    purl = identity.purl(inventory)
    expected: dict[str, Json] = {
        "group": identity.group(inventory.origin),
        "name": identity.name(inventory.origin),
        "version": identity.version(inventory),
        "purl": purl.to_string(),
        "hashes": [{"alg": "SHA-256", "content": inventory.digest}],
    }
    yield from (
        f"the model's {member} is {model.get(member)}, the inventory says {value}"
        for member, value in expected.items()
        if model.get(member) != value
    )
    serial = identity.serial_number(inventory.digest).urn
    if document.get("serialNumber") != serial:
        yield f"the serial number is {document.get('serialNumber')}, that of the model is {serial}"
    held = model.get("externalReferences")
    assert held is None or isinstance(held, list)  # the schema says so
    found = {(str(item["type"]), str(item["url"])) for item in held or () if isinstance(item, dict)}
    places = {(kind, url) for kind, url in found if kind != "license"}  # of texts that only the facts tell of
    for kind, url in sorted(places ^ {(kind, url) for kind, url, _ in identity.references(inventory)}):
        yield f"the {kind} {url} is {'not that of the inventory' if (kind, url) in places else 'missing'}"
    properties: dict[str, list[str]] = {
        "model:digest": [inventory.digest],
        "source": [inventory.origin.kind],
        "tensors:count": [str(len(inventory.tensors))],
        "tensors:bytes": [str(sum(tensor.end - tensor.start for tensor in inventory.tensors))],
        "declared:count": [str(len(inventory.declared))],
        "declared:not-fetched-not-verified": [identity.declared_line(file) for file in inventory.declared],
    }
    yield from differences(model, properties, "the inventory says")


def _files(document: dict[str, Json], model: dict[str, Json], inventory: Inventory) -> Iterator[str]:
    """Yield every file that is missing, extra, listed twice or different."""
    nested = model.get("components")
    assert nested is None or isinstance(nested, list)  # the schema says so
    inside = {id(item) for item in nested or ()}
    strangers = [item for item in nested or () if isinstance(item, dict) and item.get("type") != "file"]
    yield from (f"{item['name']} is part of the model, but of type {item['type']}" for item in strangers)
    found = files_of(document)
    times = Counter(str(item["name"]) for item in found)
    expected = {file.name: file for file in inventory.files}
    yield from (f"{name} is listed {number} times" for name, number in times.items() if number > 1)
    yield from (f"{name} is not listed" for name in sorted(expected.keys() - times.keys()))
    for item in found:
        name = str(item["name"])
        file = expected.get(name)
        if file is None or id(item) not in inside:
            yield f"{name} is listed, but no file of the model" if file is None else f"{name} is listed elsewhere"
            continue
        if item.get("hashes") != [{"alg": "SHA-256", "content": file.sha256}]:
            yield f"{name}: the BOM does not give the SHA-256 of the inventory, {file.sha256}"
        properties = {"file:size": [str(file.size)], "file:role": [file.role]}
        yield from (f"{name}: {problem}" for problem in differences(item, properties, "the inventory says"))


def _card(model: dict[str, Json], inventory: Inventory, facts: Facts | None) -> Iterator[str]:
    """Yield numbers of the model card that the tensors, or the facts, contradict."""
    card = model.get("modelCard")
    if card is None:
        yield "the model has no modelCard"
        return
    architecture = facts.architecture if facts is not None else _stated_architecture(card)
    known = numbers(count(inventory.tensors, architecture), architecture)
    expected = {name: [] if value is None else [str(value)] for name, value in known.items()}
    if not values(card, "tensors:digest"):  # written before the other numbers were stated
        expected = {
            name: value for name, value in expected.items() if name in FIRST or name.startswith("stored-bytes:")
        }
    if facts is None:
        expected = {
            name: value for name, value in expected.items() if name.startswith(("parameters:", "stored-bytes:"))
        }
    yield from differences(card, expected, "the checkpoint says")


def _stated_architecture(card: Json) -> Architecture:
    """Return what counting parameters takes from the configuration, as the BOM itself states it."""
    tied = values(card, "architecture:tied-embeddings")
    return Architecture(
        layers=number(card, "architecture:layers"),
        prediction_layers=number(card, "architecture:prediction-layers"),
        experts=number(card, "architecture:experts"),
        experts_per_token=number(card, "architecture:experts-per-token"),
        tied_embeddings=next((flag for flag, text in TIED.items() if tied == [text]), None),
        quantisation=Quantisation(method=None, format=None, bits=number(card, "quantisation:bits")),
    )
