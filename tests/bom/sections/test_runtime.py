"""What the behaviour pass ran with and how, in the BOM, and that it is held against the record."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import boms
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

from mbom import bom, strictjson
from mbom.bom.format.lint import lint
from mbom.bom.properties import values
from mbom.bom.sections.runtime import runtime_parts

MODEL = f"pkg:huggingface/openai/gpt-oss-20b@{boms.REVISION}"
Edit = Callable[[dict[str, Any]], object]


@pytest.fixture
def built() -> dict[str, Any]:
    return boms.document(boms.build())


def workflow(document: dict[str, Any]) -> Any:
    return document["formulation"][0]["workflows"][0]


def held(document: dict[str, Any], kind: str, ref: str) -> Any:
    return next(item for item in document["declarations"][kind] if item["bom-ref"] == ref)


def runtime(document: dict[str, Any]) -> list[Any]:
    return [item for item in document["components"] if item["bom-ref"].startswith("runtime:")]


def test_the_model_stays_first_and_the_runtime_follows(built: dict[str, Any]) -> None:
    said = [(item["type"], item["bom-ref"], item.get("version")) for item in runtime(built)]
    assert built["components"][0]["bom-ref"] == MODEL
    assert said == [
        ("library", "runtime:torch", "2.9.1+cu128"),
        ("library", "runtime:transformers", "5.23.0"),
        ("library", "runtime:tokenizers", "0.23.3"),
        ("platform", "runtime:python", "3.13.5"),
        ("operating-system", "runtime:system", "6.8.0-60-generic"),
        ("device", "runtime:device", None),
    ]
    assert runtime(built)[-1]["name"] == "AMD EPYC 9654 96-Core Processor"
    assert values(runtime(built)[-1], "runtime:machine") == ["x86_64"]


def test_an_accelerator_is_told_with_its_driver_beside_the_processor() -> None:
    ran = replace(boms.BEHAVIOUR.runtime, device="cuda (NVIDIA H200)", driver="570.86.15", cuda="12.8")
    document: Any = boms.document(boms.build(behaviour=replace(boms.BEHAVIOUR, runtime=ran)))
    said = [(item["type"], item["bom-ref"], item["name"], item.get("version")) for item in runtime(document)[5:]]
    assert said == [
        ("device", "runtime:device", "cuda (NVIDIA H200)", None),
        ("device", "runtime:processor", "AMD EPYC 9654 96-Core Processor", None),
        ("device-driver", "runtime:driver", "NVIDIA driver", "570.86.15"),
        ("platform", "runtime:cuda", "CUDA", "12.8"),
    ]
    assert JsonStrictValidator(SchemaVersion.V1_7).validate_str(json.dumps(document)) is None


def test_libraries_have_the_purl_of_the_package_index(built: dict[str, Any]) -> None:
    purls = [PackageURL.from_string(item["purl"]) for item in runtime(built)[:3]]
    assert {(purl.type, purl.namespace) for purl in purls} == {("pypi", None)}
    assert [purl.version for purl in purls] == [item["version"] for item in runtime(built)[:3]]


def test_the_workflow_says_what_went_in_and_what_came_out(built: dict[str, Any]) -> None:
    found = workflow(built)
    assert found["bom-ref"] == "formulation:behaviour"
    assert [reference["ref"] for reference in found["resourceReferences"]] == [
        item["bom-ref"] for item in runtime(built)
    ]
    assert found["inputs"][0] == {"resource": {"ref": MODEL}}
    assert {entry["name"]: entry["value"] for entry in found["inputs"][1]["parameters"]} == {
        "prompt-set": "mbom-prompts-1", "prompts": "8", "positions": "2048", "sensitivity-trials": "40",
    }  # fmt: skip
    assert found["outputs"] == [
        {
            "type": "evidence",
            "resource": {
                "externalReference": {
                    "type": "evidence", "url": "behaviour.json", "hashes": [{"alg": "SHA-256", "content": "b" * 64}],
                }
            },
        }
    ]  # fmt: skip
    assert {(entry["name"], entry["value"]) for entry in found["properties"]} == {
        ("mbom:behaviour:precision", "float64"),
        ("mbom:behaviour:threads", "16"),
        ("mbom:behaviour:isolation", "network-namespace"),
        ("mbom:behaviour:isolation", "rlimits"),
        ("mbom:behaviour:limit:relative_error", "1e-09"),
        ("mbom:behaviour:limit:router_margin", "1e-06"),
    }


def test_tasks_follow_each_other(built: dict[str, Any]) -> None:
    found = workflow(built)
    tasks = [task["bom-ref"] for task in found["tasks"]]
    assert tasks == [f"task:behaviour:{name}" for name in ("read", "run", "sketch")]
    assert [(item["ref"], item["dependsOn"]) for item in found["taskDependencies"]] == [
        (tasks[1], [tasks[0]]),
        (tasks[2], [tasks[1]]),
    ]


def test_without_a_record_there_is_neither_runtime_nor_formulation() -> None:
    assert runtime_parts(None, MODEL) == {}
    document = boms.document(boms.build(behaviour=None))
    assert "formulation" not in document
    assert runtime(document) == []


@pytest.mark.parametrize("spec", ["1.6", "1.7"])
def test_both_versions_are_valid_by_the_librarys_validator(spec: Any) -> None:
    data = boms.build(spec=spec)
    version = SchemaVersion.V1_6 if spec == "1.6" else SchemaVersion.V1_7
    assert JsonStrictValidator(version).validate_str(data.decode()) is None
    document = boms.document(data)
    assert workflow(document)["bom-ref"] == "formulation:behaviour"
    assert held(document, "claims", "claim:behaviour")["evidence"] == ["evidence:behaviour"]
    assert lint(document) == ()


@pytest.mark.parametrize("text", ["\u4e16", 'x"}', "a b@c#d?e%2F", "<b>", "1/2", "x" * 200, " 2 "])
def test_whatever_a_record_says_it_ran_with_the_bom_is_valid(text: str) -> None:
    ran = replace(
        boms.BEHAVIOUR.runtime, device=text, torch=f"2{text}", processor=text, driver=text, isolation=(text, text)
    )
    data = boms.build(behaviour=replace(boms.BEHAVIOUR, runtime=ran))
    assert JsonStrictValidator(SchemaVersion.V1_7).validate_str(data.decode()) is None
    assert bom.check_behaviour(data, replace(boms.BEHAVIOUR, runtime=ran)) == ()


def test_the_bom_of_a_record_agrees_with_it(built: dict[str, Any]) -> None:
    assert bom.check_behaviour(strictjson.pretty(built), boms.BEHAVIOUR) == ()


RUNTIME, FORMULATION, CLAIM, EVIDENCE = "runtime components", "formulation", "behaviour claim", "behaviour evidence"
EDITS: dict[str, tuple[Edit, str]] = {
    "another version": (lambda d: runtime(d)[0].update(version="2.9.0"), RUNTIME),
    "another processor": (lambda d: runtime(d)[-1].update(name="cuda (NVIDIA H200)"), RUNTIME),
    "a library less": (lambda d: d["components"].remove(runtime(d)[1]), RUNTIME),
    "a library more": (lambda d: d["components"].append({"type": "library", "name": "vllm"}), RUNTIME),
    "a system more": (lambda d: d["components"].append({"type": "operating-system", "name": "x"}), RUNTIME),
    "no runtime": (lambda d: d.update(components=d["components"][:1]), RUNTIME),
    "no formulation": (lambda d: d.pop("formulation"), FORMULATION),
    "a second formula": (lambda d: d["formulation"].append({}), FORMULATION),
    "another prompt set": (lambda d: workflow(d)["inputs"][1]["parameters"][0].update(value="x"), FORMULATION),
    "another record": (
        lambda d: workflow(d)["outputs"][0]["resource"]["externalReference"]["hashes"][0].update(content="c" * 64),
        FORMULATION,
    ),
    "a protection more": (
        lambda d: workflow(d)["properties"].append({"name": "mbom:behaviour:isolation", "value": "seccomp"}),
        FORMULATION,
    ),
    "no claim": (lambda d: d["declarations"]["claims"].remove(held(d, "claims", "claim:behaviour")), CLAIM),
    "a wider claim": (lambda d: held(d, "claims", "claim:behaviour").update(predicate="The model is safe"), CLAIM),
    "a claim about something else": (
        lambda d: held(d, "claims", "claim:behaviour").update(target="runtime:torch"),
        CLAIM,
    ),
    "a claim beside it": (
        lambda d: d["declarations"]["claims"].append({"bom-ref": "claim:behaviour:safe", "predicate": "safe"}),
        CLAIM,
    ),
    "evidence of another record": (
        lambda d: held(d, "evidence", "evidence:behaviour")["data"][0]["contents"]["attachment"].update(content="x"),
        EVIDENCE,
    ),
    "nothing that is not shown": (
        lambda d: d["declarations"]["evidence"].remove(held(d, "evidence", "evidence:behaviour:not-shown")),
        EVIDENCE,
    ),
}


@pytest.mark.parametrize("edit", EDITS)
def test_each_edit_is_held_against_the_record(built: dict[str, Any], edit: str) -> None:
    change, what = EDITS[edit]
    change(built)
    problems = bom.check_behaviour(strictjson.pretty(built), boms.BEHAVIOUR)
    assert problems == (f"what the BOM says as {what} is not what the record gives",)


def test_a_bom_without_a_record_may_not_tell_of_a_pass() -> None:
    document: Any = boms.document(boms.build(behaviour=None))
    assert bom.check_behaviour(strictjson.pretty(document), None) == ()
    document["formulation"] = boms.document(boms.build())["formulation"]
    assert bom.check_behaviour(strictjson.pretty(document), None) == (
        "what the BOM says as formulation is not what the record gives",
    )


def test_a_model_that_nothing_can_refer_to_is_a_problem_and_no_crash(built: dict[str, Any]) -> None:
    del built["components"][0]["bom-ref"]
    problems = bom.check_behaviour(strictjson.pretty(built), boms.BEHAVIOUR)
    assert "what the BOM says as behaviour claim is not what the record gives" in problems


def test_no_time_varies_what_is_said() -> None:
    first = json.dumps(runtime_parts(boms.BEHAVIOUR, MODEL))
    assert first == json.dumps(runtime_parts(boms.BEHAVIOUR, MODEL))
    assert "time" not in first.lower().replace("runtime", "")
