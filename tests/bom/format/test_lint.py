from collections.abc import Callable
from copy import deepcopy
from typing import Any

import boms
import pytest
from boms import document

from mbom.bom.format.lint import lint
from mbom.strictjson import Json

Edit = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def sound() -> dict[str, Json]:
    return document(boms.build())


def model(found: dict[str, Any]) -> Any:
    return found["components"][0]


def file(found: dict[str, Any]) -> Any:
    return model(found)["components"][0]


def state(item: dict[str, Any], name: str, value: str) -> None:
    next(entry for entry in item["properties"] if entry["name"] == name)["value"] = value


FAULTS: dict[str, tuple[Edit, str]] = {
    "a bom-ref twice": (
        lambda d: file(d).update({"bom-ref": "file:config.json"}),
        "bom-ref file:config.json stands twice",
    ),
    "a bom-ref of the card taken twice": (
        lambda d: d["metadata"]["component"].update({"bom-ref": "tool:mbom"}),
        "bom-ref tool:mbom stands twice",
    ),
    "a dependency on nothing": (
        lambda d: d["dependencies"][0]["dependsOn"].append("nobody"),
        "dependsOn nobody is the bom-ref of nothing",
    ),
    "a dependency of nothing": (
        lambda d: d["dependencies"].append({"ref": "nobody"}),
        "ref nobody is the bom-ref of nothing",
    ),
    "a composition of nothing": (
        lambda d: d["compositions"][0].update(assemblies=["nobody"]),
        "assemblies nobody is the bom-ref of nothing",
    ),
    "an unknown composition of nothing": (
        lambda d: d["compositions"][1].update(dependencies=["nobody"]),
        "dependencies nobody is the bom-ref of nothing",
    ),
    "a data set that is nowhere": (
        lambda d: model(d)["modelCard"]["modelParameters"].update(datasets=[{"ref": "nobody"}]),
        "ref nobody is the bom-ref of nothing",
    ),
    "a citation of nobody": (
        lambda d: d.update(citations=[{"attributedTo": "nobody"}]),
        "attributedTo nobody is the bom-ref of nothing",
    ),
    "a citation of no process": (
        lambda d: d.update(citations=[{"process": "nobody"}]),
        "process nobody is the bom-ref of nothing",
    ),
    "an attestation of nobody": (
        lambda d: d["declarations"]["attestations"][0].update(assessor="nobody"),
        "assessor nobody is the bom-ref of nothing",
    ),
    "an attestation to no requirement": (
        lambda d: d["declarations"]["attestations"][0]["map"][0].update(requirement="nobody"),
        "requirement nobody is the bom-ref of nothing",
    ),
    "an attestation on no claim": (
        lambda d: d["declarations"]["attestations"][0]["map"][0].update(claims=["nobody"]),
        "claims nobody is the bom-ref of nothing",
    ),
    "an attestation against no claim": (
        lambda d: d["declarations"]["attestations"][0]["map"][0].update(counterClaims=["nobody"]),
        "counterClaims nobody is the bom-ref of nothing",
    ),
    "a mitigation that is nowhere": (
        lambda d: d["declarations"]["attestations"][0]["map"][0]["conformance"].update(mitigationStrategies=["nobody"]),
        "mitigationStrategies nobody is the bom-ref of nothing",
    ),
    "a claim about nothing": (
        lambda d: d["declarations"]["claims"][0].update(target="nobody"),
        "target nobody is the bom-ref of nothing",
    ),
    "a claim on no evidence": (
        lambda d: d["declarations"]["claims"][0].update(evidence=["nobody"]),
        "evidence nobody is the bom-ref of nothing",
    ),
    "a claim against no evidence": (
        lambda d: d["declarations"]["claims"][0].update(counterEvidence=["nobody"]),
        "counterEvidence nobody is the bom-ref of nothing",
    ),
    "a requirement under none": (
        lambda d: d["definitions"]["standards"][0]["requirements"][0].update(parent="nobody"),
        "parent nobody is the bom-ref of nothing",
    ),
    "a level of no requirement": (
        lambda d: d["definitions"]["standards"][0].update(levels=[{"requirements": ["nobody"]}]),
        "requirements nobody is the bom-ref of nothing",
    ),
    "a short digest": (
        lambda d: file(d)["hashes"][0].update(content="a" * 40),
        "a SHA-256 digest of 40 digits, it has 64",
    ),
    "a digest of another algorithm": (
        lambda d: file(d)["hashes"][0].update(alg="SHA-1"),
        "a SHA-1 digest of 64 digits, it has 40",
    ),
    "an algorithm of the future": (
        lambda d: file(d)["hashes"][0].update(alg="SHA-4"),
        "the digest algorithm SHA-4 is not known",
    ),
    "a purl that is none": (lambda d: model(d).update(purl="huggingface/a/b"), "huggingface/a/b is no purl"),
    "a purl that could be written otherwise": (
        lambda d: model(d).update(purl=model(d)["purl"].replace("gpt-oss", "gpt%2Doss")),
        "is not in its canonical form",
    ),
    "a purl of another version": (
        lambda d: model(d).update(version="main"),
        f"the purl says version {boms.REVISION}, the component main",
    ),
    "a modelCard on a file": (lambda d: file(d).update(modelCard={}), "a modelCard on a component of type file"),
    "a file less": (lambda d: model(d)["components"].pop(), "mbom:files:count states 5, the parts add up to 4"),
    "a file that grew": (
        lambda d: state(file(d), "mbom:file:size", "174"),
        "mbom:files:bytes states 13761265645, the parts add up to 13761265646",
    ),
    "a size that is no number": (
        lambda d: state(file(d), "mbom:file:size", "0173"),
        "mbom:files:bytes states 13761265645, the parts add up to 13761265472",
    ),
    "a sum that is missing": (
        lambda d: model(d).update(properties=[]),
        "mbom:files:bytes states None, the parts add up to 13761265645",
    ),
    "a size stated twice": (
        lambda d: model(d)["properties"].append({"name": "mbom:files:bytes", "value": "13761265645"}),
        "mbom:files:bytes states None, the parts add up to 13761265645",
    ),
    "a block that grew": (
        lambda d: state(model(d)["modelCard"], "mbom:parameters:block:router", "0"),
        "mbom:parameters:total states 20914757184, the parts add up to 20912544576",
    ),
    "a dtype that grew": (
        lambda d: state(model(d)["modelCard"], "mbom:stored-bytes:BF16", "1"),
        "mbom:tensors:bytes states 13761264768, the parts add up to 10152345601",
    ),
    "weights of one dtype that shrank": (
        lambda d: state(model(d)["modelCard"], "mbom:parameters:stored:U8", "1"),
        "mbom:parameters:total states 20914757184, the parts add up to 1804459585",
    ),
    "weights of one type that are no number": (
        lambda d: state(model(d)["modelCard"], "mbom:parameters:logical:mxfp4", "many"),
        "mbom:parameters:total states 20914757184, the parts add up to 1804459584",
    ),
}


def test_a_sound_document_has_no_problems(sound: dict[str, Json]) -> None:
    assert lint(sound) == ()


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_named(sound: dict[str, Json], fault: str) -> None:
    edit, problem = FAULTS[fault]
    broken = deepcopy(sound)
    edit(broken)
    assert any(problem in found for found in lint(broken)), lint(broken)


def test_a_problem_says_where_it_is(sound: dict[str, Json]) -> None:
    broken = deepcopy(sound)
    file(broken)["hashes"][0]["content"] = "aa"
    assert lint(broken) == ("/components/0/components/0/hashes/0: a SHA-256 digest of 2 digits, it has 64",)


def test_a_reference_into_another_document_does_not_dangle(sound: dict[str, Json]) -> None:
    linked: Any = deepcopy(sound)
    linked["dependencies"][0]["dependsOn"].append("urn:cdx:f08a6ccd-4dce-4759-bd84-c626675d60a7/1#other")
    assert lint(linked) == ()


@pytest.mark.parametrize(
    "document",
    [
        None, 3, "x", [], {}, [{}],
        {"bom-ref": 1, "ref": 2, "dependsOn": [3, {}], "alg": 4, "content": 5, "purl": 6},
        {"type": "machine-learning-model", "modelCard": 1, "components": 2, "properties": 3},
        {"type": "machine-learning-model", "modelCard": {"properties": [1, {}, {"name": 1}]}, "components": [1, None],
         "properties": [{"name": "mbom:files:count", "value": 5}]},
        {"purl": "pkg:"}, {"purl": "pkg:a/b@c?d"}, {"purl": "pkg:\ud800"},
    ],
)  # fmt: skip
def test_no_document_is_beyond_it(document: Json) -> None:
    assert isinstance(lint(document), tuple)
