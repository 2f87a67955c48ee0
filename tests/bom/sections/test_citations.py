"""Every field of the model says where it comes from, and what is quoted stands there."""

import json
import re
from collections.abc import Iterator
from typing import Any

import boms
import pytest

from mbom.bom.format.lint import lint
from mbom.bom.format.walking import has_place
from mbom.bom.sections.citations import FILES, RULES, rule

# What gives the document its form and says nothing of the checkpoint.
FORM = {"/bomFormat", "/specVersion", "/$schema", "/version", "/serialNumber", "/metadata/timestamp"}
FORM_MEMBERS = {"type", "bom-ref"}
PLACE = re.compile(r"(quoted from|concluded by mbom from) (?P<places>.*) @ \S+")


def leaves(item: Any, pointer: str = "") -> Iterator[str]:
    """Yield the pointer of every value that is no object and no list."""
    if isinstance(item, dict):
        for name, value in item.items():
            yield from leaves(value, f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}")
    elif isinstance(item, list):
        for number, value in enumerate(item):
            yield from leaves(value, f"{pointer}/{number}")
    else:
        yield pointer


def at(document: Any, pointer: str) -> Any:
    """Follow a JSON pointer."""
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        document = document[int(name)] if isinstance(document, list) else document[name]
    return document


@pytest.fixture(params=sorted(boms.everything()))
def document(request: pytest.FixtureRequest) -> Any:
    return json.loads(boms.everything()[request.param])


def test_every_field_of_the_document_is_cited(document: Any) -> None:
    cited = {pointer for citation in document["citations"] for pointer in citation.get("pointers", ())}
    expressions = [text for citation in document["citations"] for text in citation.get("expressions", ())]
    assert expressions == [FILES]
    missing = []
    for pointer in leaves({name: value for name, value in document.items() if name != "citations"}):
        parts = pointer.split("/")
        above = {"/".join(parts[:length]) for length in range(2, len(parts) + 1)}
        listed = pointer.startswith("/components/0/components/")
        form = pointer in FORM or (len(parts) == 4 and parts[3] in FORM_MEMBERS)
        if not (listed or form or above & cited):
            missing.append(pointer)
    assert missing == []


def test_no_field_is_cited_twice_and_every_pointer_leads_somewhere(document: Any) -> None:
    pointers = [pointer for citation in document["citations"] for pointer in citation.get("pointers", ())]
    assert len(set(pointers)) == len(pointers)
    assert all(has_place(document, pointer) for pointer in pointers)
    assert lint(document) == ()


def test_every_property_has_a_rule_of_its_own(document: Any) -> None:
    model = document["components"][0]
    for entry in model["properties"] + model["modelCard"]["properties"]:
        name = entry["name"].removeprefix("mbom:")
        assert rule(name) == RULES[max((start for start in RULES if name.startswith(start)), key=len)]


@pytest.mark.parametrize("name", sorted(boms.REPOSITORIES))
def test_what_is_quoted_stands_at_its_place(name: str) -> None:
    sample = boms.of(name)
    document = json.loads(sample.bom)
    seen = 0
    for citation in document["citations"]:
        match = PLACE.fullmatch(citation["note"])
        if match is None or not citation["note"].startswith("quoted"):
            continue
        for pointer in citation["pointers"]:
            said = at(document, pointer)
            value = said["value"] if isinstance(said, dict) and "value" in said else said
            assert stands(sample.side, match["places"], value), (citation["note"], value)
            seen += 1
    assert seen > 8


def stands(side: Any, places: str, value: Any) -> bool:
    """Tell whether a value stands at one of the places, as written there."""
    for place in places.split(", "):
        file, _, pointer = place.partition("#")
        if pointer:
            held = at(json.loads(side[file]), pointer)
            texts = [str(item) for item in held] if isinstance(held, list) else [json.dumps(held).strip('"')]
            if value in (", ".join(texts), *texts) or number(value) == number(texts[0]):
                return True
        else:
            file, _, line = place.rpartition(":")
            text = "\n".join(side[file].decode().splitlines()[int(line) - 1 :]).lower()
            said = value["license"] if isinstance(value, dict) and "license" in value else value
            wanted = said.get("id") or said.get("name") if isinstance(said, dict) else said
            if str(wanted).lower() in text:
                return True
    return False


def number(text: Any) -> float | None:
    try:
        return float(text)
    except (TypeError, ValueError):
        return None


def test_the_revision_stands_in_each_place_and_the_file_is_one_of_the_checkpoint() -> None:
    sample = boms.of("gpt-oss-20b")
    document = json.loads(sample.bom)
    layers = next(item for item in document["citations"] if "num_hidden_layers" in item["note"])
    revision = document["components"][0]["version"]
    assert layers["note"] == f"quoted from config.json#/num_hidden_layers @ {revision}"
    assert layers["attributedTo"] == "file:config.json"
    assert at(document, layers["pointers"][0]) == {"name": "mbom:architecture:layers", "value": "24"}


def test_what_the_pass_gave_is_attributed_to_its_workflow() -> None:
    document = json.loads(boms.build())
    (measured,) = [item for item in document["citations"] if item.get("process") == "formulation:behaviour"]
    assert "/components/0/modelCard/quantitativeAnalysis/performanceMetrics/0" in measured["pointers"]


def test_citations_stay_few_however_many_files_there_are() -> None:
    assert len(json.loads(boms.build())["citations"]) < 60
