"""What each element rests on: shown, declared, or not there."""

import json
import random
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import boms
import coveredboms
import pytest
from coveredboms import DIGEST, foreign, full, props

from mbom.bom.coverage import KEYS, Covered, Status, coverage
from mbom.bom.coverage.declaring import declare
from mbom.bom.coverage.view import said
from mbom.bom.parts import join
from mbom.strictjson import Json

Edit = Callable[[dict[str, Any]], object]
VERIFIED, DECLARED, UNDISCLOSED, INAPPLICABLE = Status


def answered(document: Json) -> dict[tuple[str, str], Covered]:
    return {(item.standard.key, one.element.id): one for item in coverage(document) for one in item.elements}


def statuses(document: Json) -> dict[tuple[str, str], Status]:
    return {where: one.answer.status for where, one in answered(document).items()}


def model(found: dict[str, Any]) -> Any:
    return found["components"][0]


def card(found: dict[str, Any]) -> Any:
    return model(found)["modelCard"]


def drop(item: dict[str, Any], name: str) -> None:
    item["properties"] = [entry for entry in item["properties"] if entry["name"] != f"mbom:{name}"]


def silent(found: dict[str, Any], *names: str) -> None:
    for name in names:
        drop(model(found), name)
        drop(card(found), name)


def abilities(found: dict[str, Any]) -> None:
    for name in ("useCases", "technicalLimitations"):
        del card(found)["considerations"][name]
    silent(found, "licence:restriction")


def put(item: dict[str, Any], name: str, value: str) -> None:
    drop(item, name)
    item["properties"] += props((name, value))


def of_a_commit(found: dict[str, Any]) -> None:
    model(found).update(purl=f"pkg:huggingface/org/tiny@{'1' * 40}", version="1" * 40)
    found["metadata"]["component"]["version"] = "1" * 40


# A change to a BOM that answers everything -> the elements that it moves, and where to; no others move.
FLIPS: dict[str, tuple[Edit, Status, set[tuple[str, str]]]] = {
    "no digest of the model": (
        lambda d: model(d).pop("hashes"),
        UNDISCLOSED,
        {("g7", "MDL-07"), ("g7", "MDL-08"), ("cisa", "Component-Hash"), ("gpai", "model-authenticity")},
    ),
    "no digest of one file": (
        lambda d: model(d)["components"][1].pop("hashes"),
        UNDISCLOSED,
        {("g7", "MDL-07"), ("cisa", "Component-Hash"), ("gpai", "model-authenticity")},
    ),
    "a digest that is not the one mbom states": (
        lambda d: model(d)["hashes"][0].update(content="c" * 64),
        DECLARED,
        {("g7", "MDL-07"), ("cisa", "Component-Hash"), ("gpai", "model-authenticity")},
    ),
    "a commit in place of a digest": (
        of_a_commit,
        DECLARED,
        {
            *(("g7", name) for name in ("SLP-04", "MDL-02", "MDL-03")),
            *(("cisa", name) for name in ("Component-Version", "Software-Identifiers")),
            *(("ntia", name) for name in ("Component-Version", "Unique-Identifiers")),
        },
    ),
    "no author": (
        lambda d: d["metadata"].pop("authors"),
        UNDISCLOSED,
        {("g7", "MD-01"), ("cisa", "SBOM-Author"), ("ntia", "Author")},
    ),
    "a tool without a version": (
        lambda d: d["metadata"]["tools"]["components"].append({"type": "application", "name": "other"}),
        UNDISCLOSED,
        {("g7", "MD-07")},
    ),
    "no signature": (lambda d: d.pop("externalReferences"), UNDISCLOSED, {("g7", "MD-05")}),
    "no stage": (
        lambda d: d["metadata"].pop("lifecycles"),
        UNDISCLOSED,
        {("g7", "MD-08"), ("cisa", "Generation-Context")},
    ),
    "a base that nothing shows": (
        lambda d: put(model(d)["pedigree"]["ancestors"][0], "lineage:verified", "false"),
        DECLARED,
        {
            ("g7", "MD-10"),
            *((key, "Dependency-Relationship") for key in ("cisa", "ntia")),
            ("gpai", "model-dependencies"),
        },
    ),
    "a base shown and not shown": (
        lambda d: model(d)["pedigree"]["ancestors"][0]["properties"].extend(props(("lineage:verified", "no"))),
        DECLARED,
        {
            ("g7", "MD-10"),
            *((key, "Dependency-Relationship") for key in ("cisa", "ntia")),
            ("gpai", "model-dependencies"),
        },
    ),
    "no base": (lambda d: model(d).pop("pedigree"), UNDISCLOSED, {("gpai", "model-dependencies")}),
    "no dependencies of the model": (
        lambda d: d["dependencies"].pop(),
        UNDISCLOSED,
        {("g7", "MD-10"), *((key, "Dependency-Relationship") for key in ("cisa", "ntia"))},
    ),
    "parts that are complete, but not those of the model": (
        lambda d: d["compositions"][0].update(assemblies=["checkpoint"]),
        UNDISCLOSED,
        {("cisa", "Coverage")},
    ),
    "no gaps named": (lambda d: d["compositions"].pop(), UNDISCLOSED, {("cisa", "Known-Unknowns")}),
    "a legal entity that is not known, behind an account that is": (
        lambda d: model(d)["manufacturer"].update(name="unknown"),
        UNDISCLOSED,
        {("gpai", "legal-name")},
    ),
    "only the description that mbom computes": (
        abilities,
        UNDISCLOSED,
        {("g7", "SLP-09"), ("g7", "MDL-06"), ("gpai", "intended-uses")},
    ),
    "a licence that no text bears out": (
        lambda d: model(d).pop("evidence"),
        DECLARED,
        {("g7", "MDL-12"), ("cisa", "License"), ("gpai", "licence-category")},
    ),
    "a licence that the texts contradict": (
        lambda d: put(model(d), "licence:disagreement", "declared apache-2.0, found Llama 3"),
        DECLARED,
        {("g7", "MDL-12"), ("cisa", "License"), ("gpai", "licence-category")},
    ),
    "no licence": (
        lambda d: [model(d).pop(name) for name in ("licenses", "evidence")],
        UNDISCLOSED,
        {("g7", "MDL-12"), ("cisa", "License"), ("gpai", "licence-category")},
    ),
    "no count of parameters": (
        lambda d: silent(d, "parameters:total", "parameters:active"),
        UNDISCLOSED,
        {("g7", "MDL-09"), ("gpai", "total-model-size"), ("gpai", "model-size-range")},
    ),
    "two counts of parameters": (
        lambda d: card(d)["properties"].extend(props(("parameters:total", "7"))),
        UNDISCLOSED,
        {("gpai", "total-model-size"), ("gpai", "model-size-range")},
    ),
    "nothing about output": (
        lambda d: card(d)["modelParameters"].pop("outputs"),
        UNDISCLOSED,
        {("g7", "SLP-08"), ("g7", "MDL-10"), ("gpai", "output-modalities")},
    ),
    "a second data set that nobody describes": (
        lambda d: d["components"].append({"type": "data", "bom-ref": "dataset:x", "name": "x"}),
        UNDISCLOSED,
        {("g7", f"DP-{number:02}") for number in (2, 3, 4, 5, 6, 7, 8, 9, 10)},
    ),
    "a data set that is nowhere": (
        lambda d: card(d)["modelParameters"]["datasets"].append({"ref": "dataset:gone"}),
        UNDISCLOSED,
        {("g7", f"DP-{number:02}") for number in (1, 2, 3, 4, 5, 6, 7, 8, 10)},
    ),
    "a chat template, which is no data set": (
        lambda d: d["components"].append(
            {"type": "data", "bom-ref": "chat-template:f#x", "name": "x", "data": [{"type": "definition"}]}
        ),
        VERIFIED,
        set(),
    ),
    "training code that is only linked": (
        lambda d: put(model(d), "openness:training-code", "linked https://example.org; not fetched, licence unknown"),
        DECLARED,
        {("gpai", "additional-assets")},
    ),
    "no training code": (
        lambda d: put(model(d), "openness:training-code", "absent: nothing has the name of one"),
        UNDISCLOSED,
        {("gpai", "additional-assets")},
    ),
    "no hardware": (lambda d: d["components"].pop(), UNDISCLOSED, {("g7", "INF-02")}),
    "metrics of the behaviour pass alone": (
        lambda d: [
            card(d)["quantitativeAnalysis"]["performanceMetrics"].__delitem__(slice(1, None)),
            card(d)["considerations"].pop("environmentalConsiderations"),
        ],
        UNDISCLOSED,
        {("g7", "KPI-01"), ("g7", "KPI-02"), ("gpai", "training-energy")},
    ),
    "no use policy among the files": (
        lambda d: put(model(d)["components"][0], "file:role", "other"),
        UNDISCLOSED,
        {("gpai", "acceptable-use-policy")},
    ),
    "a standard that nobody attests": (
        lambda d: [
            d.update(definitions={"standards": [{"bom-ref": "s", "name": "ISO", "requirements": [{"bom-ref": "r"}]}]}),
            model(d)["externalReferences"].pop(),
        ],
        UNDISCLOSED,
        {("g7", "SP-02")},
    ),
}


@pytest.mark.parametrize("flip", FLIPS)
def test_each_change_moves_its_elements_and_no_others(flip: str) -> None:
    edit, status, moved = FLIPS[flip]
    before = statuses(full())
    changed = full()
    edit(changed)
    after = statuses(changed)
    assert {where for where in before if before[where] is not after[where]} == moved
    assert all(after[where] is status for where in moved)


def test_everything_that_applies_is_disclosed_where_everything_is_said() -> None:
    found = statuses(full())
    assert {where for where, status in found.items() if status is INAPPLICABLE} == {
        ("g7", "SLP-06"),
        ("g7", "SLP-07"),
        ("g7", "SP-01"),
    }
    assert not [where for where, status in found.items() if status is UNDISCLOSED]


def test_what_is_verified_is_what_mbom_computes_and_nothing_that_a_card_or_a_person_says() -> None:
    verified = {where for where, status in statuses(full()).items() if status is VERIFIED}
    assert verified == {
        *(("g7", f"MD-{number:02}") for number in (2, 3, 4, 6, 7, 8, 10)),
        *(("g7", f"SLP-{number:02}") for number in (2, 4)),
        *(("g7", f"MDL-{number:02}") for number in (2, 3, 7, 8, 12)),
        *(("g7", name) for name in ("INF-01", "INF-02")),
        *(("cisa", name) for name in ("Component-Version", "Software-Identifiers", "Component-Hash", "License")),
        *(("cisa", name) for name in ("Dependency-Relationship", "Tool-Name", "Generation-Context", "Coverage")),
        ("cisa", "Known-Unknowns"),
        *(("ntia", name) for name in ("Component-Version", "Unique-Identifiers", "Dependency-Relationship")),
        *(("gpai", name) for name in ("model-authenticity", "model-dependencies", "total-model-size")),
        *(("gpai", name) for name in ("model-size-range", "licence-category", "additional-assets")),
        *(("gpai", name) for name in ("acceptable-use-policy", "required-hardware", "required-software")),
    }


def resolve(document: Any, pointer: str) -> tuple[Any, Any]:
    """Return the object or array that holds what a JSON pointer points to, and its key there; a reader of our own."""
    *parents, last = [token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")[1:]]
    for token in parents:
        document = document[int(token)] if isinstance(document, list) else document[token]
    return document, int(last) if isinstance(document, list) else last


DISCLOSED = sorted(where for where, one in answered(full()).items() if one.answer.disclosed)


@pytest.mark.parametrize("silence", [None, "", " Unknown ", "N/A", "NOASSERTION", [], {}, False])
def test_an_element_falls_silent_when_all_that_it_rests_on_does(silence: Json) -> None:
    """The oracle is the element's own evidence: without any of the values that it names, nothing may be left of it."""
    for where in DISCLOSED:
        changed = full()
        for item in answered(full())[where].answer.data:
            home, key = resolve(changed, item.pointer)
            home[key] = silence
        assert answered(changed)[where].answer.status is UNDISCLOSED, where


@pytest.mark.parametrize("make", [full, foreign, lambda: boms.document(boms.build())])
def test_every_value_stands_where_its_pointer_says(make: Callable[[], dict[str, Any]]) -> None:
    document = make()
    for one in answered(document).values():
        for item in one.answer.data:
            home, key = resolve(document, item.pointer)
            held = home[key]
            if isinstance(held, str) or type(held) is int:
                assert str(held).strip() in item.value, one.element.id


def test_nothing_is_verified_on_the_word_of_another_tool() -> None:
    changed = full()
    changed["metadata"]["tools"]["components"][0]["name"] = "somebody"
    found = statuses(changed)
    assert {where for where, status in found.items() if status is VERIFIED} == {
        ("g7", "MD-03"),
        ("g7", "MD-04"),
    }, "the format shows itself; all else is somebody's word"
    unsaid = full()
    drop(model(unsaid), "model:digest")
    assert VERIFIED not in {status for where, status in statuses(unsaid).items() if where[1] not in ("MD-03", "MD-04")}


def test_a_small_bom_of_another_generator() -> None:
    found = answered(foreign())
    told = {
        ("g7", "MD-06"): (DECLARED, "aibom"),
        ("g7", "MD-07"): (UNDISCLOSED, ""),
        ("g7", "SLP-06"): (DECLARED, "inbound"),
        ("g7", "SLP-07"): (DECLARED, "personal"),
        ("g7", "SP-01"): (DECLARED, "true"),
        ("g7", "MDL-01"): (DECLARED, "tiny"),
        ("g7", "MDL-03"): (UNDISCLOSED, ""),
        ("g7", "MDL-05"): (UNDISCLOSED, ""),
        ("g7", "MDL-06"): (DECLARED, "A model."),
        ("g7", "MDL-07"): (DECLARED, f"SHA-256 {'f' * 64}"),
        ("g7", "MDL-09"): (DECLARED, "llama"),
        ("g7", "MDL-12"): (UNDISCLOSED, ""),
        ("g7", "DP-01"): (DECLARED, "corpus"),
        ("g7", "DP-04"): (DECLARED, "https://example.org/c"),
        ("g7", "DP-05"): (UNDISCLOSED, ""),
        ("g7", "INF-01"): (DECLARED, "left-pad 1.0.0"),
        ("ntia", "Supplier-Name"): (UNDISCLOSED, ""),
        ("gpai", "total-model-size"): (UNDISCLOSED, ""),
    }
    for where, (status, value) in told.items():
        answer = found[where].answer
        assert (answer.status, answer.data[0].value if answer.data else "") == (status, value), where


def test_a_bom_without_a_model_is_answered_for_what_it_is_about() -> None:
    changed = foreign()
    del changed["components"][1]
    found = answered(changed)
    assert found["ntia", "Component-Name"].answer.data[0].pointer == "/metadata/component/name"
    assert found["g7", "MDL-09"].answer.status is UNDISCLOSED


@pytest.mark.parametrize("make", [full, foreign])
def test_what_mbom_says_of_coverage_is_not_taken_for_an_answer(make: Callable[[], dict[str, Any]]) -> None:
    document = make()
    join(document, declare(document))
    assert coverage(document) == coverage(make())


def test_parts_that_nobody_calls_complete_are_somebodys_word() -> None:
    changed = full()
    changed["compositions"][0]["aggregate"] = "incomplete"
    found = statuses(changed)
    assert (found["g7", "SLP-02"], found["cisa", "Coverage"]) == (DECLARED, UNDISCLOSED)
    assert found["cisa", "Known-Unknowns"] is VERIFIED


def test_a_gap_is_named_with_the_component_that_has_it_and_a_detected_licence_says_so() -> None:
    found = answered(boms.document(boms.build()))
    assert [item.value for item in found["cisa", "Known-Unknowns"].answer.data] == [
        f"unknown: dependencies of pkg:huggingface/openai/gpt-oss-20b@{boms.REVISION}",
        "unknown: assemblies of base:openai/gpt-oss-base, assemblies of dataset:org/corpus",
    ]
    shown = [item.value for item in found["cisa", "License"].answer.data]
    assert shown[0] == "Apache-2.0"
    assert shown[-1].startswith("openness class: ")


def test_a_security_standard_counts_once_somebody_attests_it() -> None:
    changed = full()
    model(changed)["externalReferences"].pop()
    changed["definitions"] = {"standards": [{"bom-ref": "s", "name": "ISO", "requirements": [{"bom-ref": "r"}]}]}
    changed["declarations"] = {"attestations": [{"map": [{"requirement": "r"}]}]}
    answer = answered(changed)["g7", "SP-02"].answer
    assert (answer.status, answer.data[0].value) == (DECLARED, "ISO")
    changed["definitions"]["standards"][0]["name"] = "Model Openness Framework"
    assert answered(changed)["g7", "SP-02"].answer.status is UNDISCLOSED


def test_totals_add_up_to_the_list() -> None:
    for item in coverage(full()):
        assert sum(item.totals.values()) == len(item.elements)
    assert coverage(full(), ["ntia"])[0].total == "3 verified, 4 declared, 0 not disclosed, 0 not applicable"


@pytest.mark.parametrize("text", ["", " ", "unknown", "Unknown.", "<unknown>", "N/A", "n/d", "NOASSERTION", "TBD", "-"])
def test_a_word_for_not_knowing_says_nothing(text: str) -> None:
    assert not said(text)


@pytest.mark.parametrize("text", ["0", "no", "MIT", "unknown author", "a - b", "Nonesuch"])
def test_other_words_do(text: str) -> None:
    assert said(text)


def test_a_long_value_is_shortened() -> None:
    changed = full()
    model(changed)["name"] = "x" * 100_000
    (item, *_) = answered(changed)["g7", "MDL-01"].answer.data
    assert item.value == "x" * 499 + "…"


SHAPES: list[Json] = [
    None, 3, "x", True, [], {}, [{}], {"components": 1}, {"components": [1, None, [], {}]}, {"metadata": []},
    {"metadata": {"tools": 1, "component": [], "authors": {}, "lifecycles": 3}},
    {"components": [{"type": "machine-learning-model"}]}, {"components": [{"type": ["machine-learning-model"]}]},
    {"components": [{"type": "machine-learning-model", "modelCard": [], "hashes": {}, "properties": 1}]},
    {"dependencies": [{"ref": {}, "dependsOn": 1}], "compositions": [{"aggregate": 1, "assemblies": 2}]},
]  # fmt: skip


@pytest.mark.parametrize("document", SHAPES)
def test_no_shape_of_a_document_is_beyond_it(document: Json) -> None:
    assert len(coverage(document)) == len(KEYS)
    assert VERIFIED not in statuses(document).values()


def test_whatever_stands_where_a_text_belongs_costs_no_more_than_its_element() -> None:
    """Seeded replacements of any value of a whole document by one of another type."""
    chance = random.Random(20261121)
    others: list[Json] = [None, 0, -1.5, True, "", "x", [], {}, [[]], {"": ""}, ["x", {"name": 1}], {"name": {"a": []}}]
    for _ in range(400):
        changed = full()
        for _ in range(3):
            home: Any = changed
            while isinstance(home, dict | list) and home:
                key = chance.choice(sorted(home) if isinstance(home, dict) else range(len(home)))
                if not isinstance(home[key], dict | list) or not home[key] or chance.random() < 0.2:
                    home[key] = deepcopy(chance.choice(others))
                    break
                home = home[key]
        assert len(statuses(changed)) == 50 + 13 + 7 + 43


def test_it_is_the_same_every_time_and_changes_nothing() -> None:
    document = full()
    first = [item.to_dict() for item in coverage(document)]
    assert first == [item.to_dict() for item in coverage(document)]
    assert document == coveredboms.FULL
    assert json.dumps(first).count(DIGEST)
