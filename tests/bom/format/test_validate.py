"""Anybody's BOM: what is said of it, with its place and a public id."""

import json
import random
from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boms
import pytest

from mbom.bom.check import BOM_LIMIT
from mbom.bom.format.problems import KINDS
from mbom.bom.format.schema import VERSIONS
from mbom.bom.format.validate import PROBLEMS_LIMIT, is_own, validate, validate_file
from mbom.errors import StorageError

NOW = datetime(2026, 11, 20, tzinfo=UTC)
COMMIT = "6cee5e81ee83917806bbde320786a8fb61efebee"
Edit = Callable[[dict[str, Any]], object]


def foreign(version: str = "1.6") -> dict[str, Any]:
    """Return a sound BOM of another generator, without a property of mbom's."""
    return {
        "bomFormat": "CycloneDX",
        "specVersion": version,
        "serialNumber": "urn:uuid:3e671687-395b-41f5-a30f-a58921a69b79",
        "version": 1,
        "metadata": {"timestamp": "2026-01-02T03:04:05Z", "component": {"type": "application", "name": "app"}},
        "components": [
            {
                "type": "machine-learning-model",
                "bom-ref": "model",
                "group": "org",
                "name": "Model",
                "version": COMMIT,
                "purl": f"pkg:huggingface/org/Model@{COMMIT}",
                "licenses": [{"license": {"id": "MIT"}}],
                "modelCard": {"modelParameters": {"task": "text-generation"}},
                "components": [
                    {
                        "type": "file",
                        "bom-ref": "shard",
                        "name": "model-00001-of-00002.safetensors",
                        "hashes": [{"alg": "SHA-256", "content": "a" * 64}],
                    }
                ],
            }
        ],
        "dependencies": [{"ref": "model", "dependsOn": ["shard"]}],
        "compositions": [{"aggregate": "complete", "assemblies": ["model"]}],
    }


def model(document: dict[str, Any]) -> Any:
    return document["components"][0]


def shard(document: dict[str, Any]) -> Any:
    return model(document)["components"][0]


def licence(**members: Any) -> Edit:
    return lambda d: model(d).update(licenses=[{"license": members}])


def citation(**members: Any) -> Edit:
    def edit(d: dict[str, Any]) -> None:
        d.update(specVersion="1.7")
        d["citations"] = [{"timestamp": "2026-01-02T03:04:05Z", "attributedTo": "model", **members}]

    return edit


CARD = "/components/0/modelCard"
# name: edit, id, JSON pointer, part of the sentence
FAULTS: dict[str, tuple[Edit, str, str, str]] = {
    "a member that CycloneDX does not have": (
        lambda d: model(d).update(sha1="x"), "schema", "/components/0", "sha1",
    ),
    "a bom-ref twice": (
        lambda d: shard(d).update({"bom-ref": "model"}), "bom-ref-duplicate", "/components/0/components/0/bom-ref",
        "first at /components/0/bom-ref",
    ),
    "a dependency on nothing": (
        lambda d: d["dependencies"][0]["dependsOn"].append("nobody"), "reference-dangling",
        "/dependencies/0/dependsOn/1", "dependsOn nobody is the bom-ref of nothing",
    ),
    "an unknown composition of nothing": (
        lambda d: d["compositions"][0].update(dependencies=["nobody"]), "reference-dangling",
        "/compositions/0/dependencies/0", "nobody",
    ),
    "a vulnerability of nothing": (
        lambda d: d.update(vulnerabilities=[{"id": "CVE-1", "affects": [{"ref": "nobody"}]}]), "reference-dangling",
        "/vulnerabilities/0/affects/0/ref", "nobody",
    ),
    "an annotation of nothing": (
        lambda d: d.update(annotations=[{
            "subjects": ["nobody"], "annotator": {"component": {"type": "application", "name": "x"}},
            "timestamp": "2026-01-01T00:00:00Z", "text": "x"}]),
        "reference-dangling", "/annotations/0/subjects/0", "nobody",
    ),
    "a data set that is nowhere": (
        lambda d: model(d)["modelCard"]["modelParameters"].update(datasets=[{"ref": "nobody"}]), "reference-dangling",
        f"{CARD}/modelParameters/datasets/0/ref", "nobody",
    ),
    "a claim about nothing": (
        lambda d: d.update(declarations={"claims": [{"bom-ref": "c", "target": "nobody"}]}), "reference-dangling",
        "/declarations/claims/0/target", "nobody",
    ),
    "an attestation of no requirement": (
        lambda d: d.update(declarations={"attestations": [{"map": [{"requirement": "nobody"}]}]}),
        "reference-dangling", "/declarations/attestations/0/map/0/requirement", "nobody",
    ),
    "a level of no requirement": (
        lambda d: d.update(definitions={"standards": [{"levels": [{"requirements": ["nobody"]}]}]}),
        "reference-dangling", "/definitions/standards/0/levels/0/requirements/0", "nobody",
    ),
    "a workflow that takes nothing": (
        lambda d: d.update(formulation=[{"workflows": [{
            "bom-ref": "w", "uid": "1", "taskTypes": ["other"], "inputs": [{"resource": {"ref": "nobody"}}]}]}]),
        "reference-dangling", "/formulation/0/workflows/0/inputs/0/resource/ref", "nobody",
    ),
    "an identity that no tool found": (
        lambda d: model(d).update(evidence={"identity": [{"field": "purl", "tools": ["nobody"]}]}),
        "reference-dangling", "/components/0/evidence/identity/0/tools/0", "nobody",
    ),
    "a citation of nobody": (
        citation(pointers=["/components/0"], attributedTo="nobody"), "reference-dangling",
        "/citations/0/attributedTo", "nobody",
    ),
    "a citation of a place that is not there": (
        citation(pointers=["/components/0/name", "/components/1"]), "citation-pointer", "/citations/0/pointers/1",
        "the document has no place /components/1",
    ),
    "a citation of an index with a zero before it": (
        citation(pointers=["/components/00"]), "citation-pointer", "/citations/0/pointers/0", "/components/00",
    ),
    "a citation in another language": (
        citation(pointers=["$.components[0]"]), "citation-pointer", "/citations/0/pointers/0", "$.components[0]",
    ),
    "a citation with a broken escape": (
        citation(pointers=["/components/0/na~2me"]), "citation-pointer", "/citations/0/pointers/0", "na~2me",
    ),
    "dependencies of one object in two places": (
        lambda d: d["dependencies"].append({"ref": "model", "dependsOn": []}), "dependency-repeated",
        "/dependencies/1", "listed twice",
    ),
    "a short digest": (
        lambda d: shard(d)["hashes"][0].update(content="a" * 40), "digest-length",
        "/components/0/components/0/hashes/0", "a SHA-256 digest of 40 digits, it has 64",
    ),
    "two digests that differ": (
        lambda d: shard(d)["hashes"].append({"alg": "SHA-256", "content": "b" * 64}), "digest-contradicts",
        "/components/0/components/0/hashes", "two SHA-256 digests",
    ),
    "a commit as the digest of a file": (
        lambda d: shard(d)["hashes"].append({"alg": "SHA-1", "content": COMMIT}), "digest-is-commit",
        "/components/0/components/0/hashes/1", COMMIT,
    ),
    "a commit as the digest of the model, named by the purl alone": (
        lambda d: model(d).update(version="1.0", hashes=[{"alg": "SHA-1", "content": COMMIT.upper()}]),
        "digest-is-commit", "/components/0/hashes/0", COMMIT.upper(),
    ),
    "a shard as a model": (
        lambda d: d["components"].append({"type": "machine-learning-model", "name": shard(d)["name"]}),
        "shard-as-model", "/components/1", "listed as a machine-learning-model",
    ),
    "no weights": (
        lambda d: shard(d).update(name="config.json"), "weights-missing", "/components/0", "no file of weights",
    ),
    "weights without a digest": (
        lambda d: shard(d).pop("hashes"), "weights-missing", "/components/0", "no file of weights with a digest",
    ),
    "a licence that was dropped": (
        lambda d: model(d).update(licenses=[], tags=["license:other"]), "licence-dropped", "/components/0", "other",
    ),
    "a licence that went into a property": (
        lambda d: model(d).update(properties=[{"name": "aibom:license", "value": "llama4"}]), "licence-dropped",
        "/components/0", "llama4",
    ),
    "no licence": (lambda d: model(d).pop("licenses"), "licence-missing", "/components/0", "has no licence"),
    "a licence called other": (licence(name="other"), "licence-unnamed", "/components/0/licenses/0/license", "other"),
    "an SPDX id as a name": (
        licence(name="apache-2.0"), "licence-id-as-name", "/components/0/licenses/0/license", "SPDX id Apache-2.0",
    ),
    "an id that SPDX does not have": (licence(id="llama4"), "schema", "/components/0/licenses", "llama4"),
    "an id and a name": (licence(id="MIT", name="MIT"), "schema", "/components/0/licenses", "MIT"),
    "an expression that is none": (
        lambda d: model(d).update(licenses=[{"expression": "MIT AND (Apache-2.0"}]), "licence-expression",
        "/components/0/licenses", "MIT AND (Apache-2.0",
    ),
    "an expression of unknown ids": (
        lambda d: model(d).update(licenses=[{"expression": "MIT OR llama4"}]), "licence-expression",
        "/components/0/licenses", "llama4",
    ),
    "a card on a file": (
        lambda d: shard(d).update(modelCard={}), "model-card-misplaced", "/components/0/components/0", "type file",
    ),
    "a purl that is none": (
        lambda d: model(d).update(purl="huggingface/a/b"), "purl-malformed", "/components/0", "is no purl",
    ),
    "a purl in another form": (
        lambda d: model(d).update(purl=f"pkg:huggingface/org/%4Dodel@{COMMIT}"), "purl-form", "/components/0",
        "canonical form",
    ),
    "a purl of a branch": (
        lambda d: model(d).update(version="main", purl="pkg:huggingface/org/Model@main"), "purl-not-commit",
        "/components/0", "main, which is no commit",
    ),
    "a purl of an abbreviated commit": (
        lambda d: model(d).update(version="6cee5e8", purl="pkg:huggingface/org/Model@6cee5e8"), "purl-not-commit",
        "/components/0", "6cee5e8",
    ),
    "a purl of no version": (
        lambda d: model(d).update(purl="pkg:huggingface/org/Model"), "purl-unversioned", "/components/0",
        "whatever lies there today",
    ),
    "a purl of another version": (
        lambda d: model(d).update(version="1.0"), "purl-version", "/components/0", "the component 1.0",
    ),
    "a purl in lower case": (
        lambda d: model(d).update(purl=f"pkg:huggingface/org/model@{COMMIT}"), "purl-case", "/components/0",
        "the purl says org/model, the component org/Model",
    ),
    "a time before any clock": (
        lambda d: d["metadata"].update(timestamp="1970-01-01T00:00:00Z"), "timestamp", "/metadata", "before 2017",
    ),
    "a time in the future": (
        lambda d: d["metadata"].update(timestamp="2026-11-22T00:00:01Z"), "timestamp", "/metadata", "in the future",
    ),
    "a time that is none": (
        lambda d: d["metadata"].update(timestamp="yesterday"), "schema", "/metadata/timestamp", "date-time",
    ),
    "another version": (
        lambda d: d.update(specVersion="1.4"), "version-unsupported", "/specVersion", "1.5, 1.6 and 1.7 are checked",
    ),
    "a version of the future": (
        lambda d: d.update(specVersion="2.0"), "version-unsupported", "/specVersion", "CycloneDX 2.0",
    ),
}  # fmt: skip


@pytest.mark.parametrize("version", VERSIONS)
def test_a_sound_document_of_another_generator_has_no_problems(version: str) -> None:
    report = validate(foreign(version), NOW)
    assert report.problems == ()
    assert report.valid


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_named_with_its_place(fault: str) -> None:
    edit, kind, pointer, sentence = FAULTS[fault]
    document = foreign()
    edit(document)
    report = validate(document, NOW)
    found = [problem for problem in report.problems if problem.id == kind]
    assert [problem.pointer for problem in found] == [pointer], report.problems
    assert sentence in found[0].detail
    assert report.valid == all(problem.severity == "advice" for problem in report.problems)


def test_every_id_is_shown_by_some_fault() -> None:
    own = {"sum-differs", "digest-algorithm", "json"}  # in test_lint and below
    assert {kind for _, kind, _, _ in FAULTS.values()} | own == KINDS.keys()
    assert list(KINDS) == sorted(KINDS)


def test_advice_is_no_verdict() -> None:
    document = foreign()
    del model(document)["licenses"]
    report = validate(document, NOW)
    assert [problem.id for problem in report.problems] == ["licence-missing"]
    assert report.valid


SOUND: dict[str, Edit] = {
    "a reference into another document": lambda d: d["dependencies"][0]["dependsOn"].append(
        "urn:cdx:f08a6ccd-4dce-4759-bd84-c626675d60a7/1#other"
    ),
    "a licence of the document's own": lambda d: model(d).update(
        licenses=[{"expression": "MIT AND LicenseRef-llama-4"}]
    ),
    "a licence called other that says where it is": licence(name="other", url="https://example.org/terms"),
    "an image whose purl says its digest and whose version its tag": lambda d: d["components"].append(
        {"type": "container", "name": "x", "version": "1.0", "purl": "pkg:oci/x@sha256:" + "a" * 64}
    ),
    "a purl of a file": lambda d: d["components"].append(
        {"type": "library", "name": "torch", "version": "2.13.0", "purl": "pkg:pypi/torch@2.13.0"}
    ),
    "an ancestor without a licence or weights": lambda d: model(d).update(
        pedigree={"ancestors": [{"type": "machine-learning-model", "name": "Base"}]}
    ),
    "a SHA-1 that is no commit": lambda d: shard(d)["hashes"].append({"alg": "SHA-1", "content": "b" * 40}),
    "a tag that says what the licence does": lambda d: model(d).update(tags=["license:mit", "x"]),
    "a citation of the whole document": citation(pointers=["", "/components/0/components/0/hashes"]),
}


@pytest.mark.parametrize("case", SOUND)
def test_what_looks_like_a_fault_and_is_none(case: str) -> None:
    document = foreign()
    SOUND[case](document)
    assert validate(document, NOW).problems == ()


def test_mbom_asks_for_its_own_sums_only_of_its_own() -> None:
    own: dict[str, Any] = boms.document(boms.build())
    assert is_own(own)
    assert validate(own, NOW).valid
    own.pop("citations")  # they point at the properties that are taken away
    model(own)["properties"] = []
    assert {problem.id for problem in validate(own, NOW).problems if problem.severity == "problem"} == {"sum-differs"}
    own["metadata"].pop("tools")
    assert not is_own(own)
    assert validate(own, NOW).valid


@pytest.mark.parametrize("tools", [None, 3, [], [{"name": "mbom"}], {}, {"components": 1}, {"components": [None, {}]}])
def test_others_are_not_taken_for_mbom(tools: Any) -> None:
    assert not is_own({"metadata": {"tools": tools}})
    assert not is_own({"metadata": tools})


HOSTILE = {
    "a key twice": (b'{"bomFormat":"CycloneDX","specVersion":"1.6","version":1,"version":2}', "'version' occurs twice"),
    "NaN": (b'{"bomFormat":"CycloneDX","specVersion":"1.6","version":NaN}', "NaN is not JSON"),
    "too deep": (b'{"a":' + b"[" * 100 + b"]" * 100 + b"}", "nested deeper than 64 levels"),
    "a million brackets": (b"[" * 1_000_000, "nested deeper"),
    "a byte order mark": (b'\xef\xbb\xbf{"bomFormat":"CycloneDX"}', "byte order mark"),
    "UTF-16": ('{"bomFormat":"CycloneDX"}'.encode("utf-16"), "not UTF-8"),
    "UTF-16 without a mark": ('{"bomFormat":"CycloneDX"}'.encode("utf-16-le"), "not JSON"),
    "Latin-1": (b'{"bomFormat":"Cyclon\xe9DX"}', "not UTF-8"),
    "a lone surrogate": (b'{"bomFormat":"\\ud800"}', "lone surrogate"),
    "a number of a thousand digits": (b'{"version":' + b"9" * 1000 + b"}", "1000 digits"),
    "a number out of range": (b'{"version":1e999}', "out of range"),
    "XML": (
        b'<?xml version="1.0"?><bom xmlns="http://cyclonedx.org/schema/bom/1.6"/>',
        "CycloneDX is read in JSON only",
    ),
    "SPDX": (b'{"spdxVersion":"SPDX-2.3"}', "no member bomFormat"),
    "nothing": (b"", "not JSON"),
    "an endless text": (b'{"bomFormat":"' + b"x" * 100_000, "not JSON"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_bytes_are_refused_with_their_reason(tmp_path: Path, case: str) -> None:
    data, reason = HOSTILE[case]
    (tmp_path / "bom.json").write_bytes(data)
    report = validate_file(tmp_path / "bom.json", NOW)
    assert [(problem.id, problem.pointer) for problem in report.problems] == [("json", "")]
    assert reason in report.problems[0].detail
    assert not report.valid


def test_a_file_over_the_limit_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "bom.json").open("wb") as file:
        file.truncate(BOM_LIMIT + 1)
    assert str(BOM_LIMIT) in validate_file(tmp_path / "bom.json", NOW).problems[0].detail


def test_nothing_there_could_not_be_checked(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no such bundle or BOM"):
        validate_file(tmp_path / "bom.json", NOW)


def test_a_flood_of_problems_is_cut() -> None:
    document = foreign()
    document["dependencies"][0]["dependsOn"] = [f"nobody{n}" for n in range(PROBLEMS_LIMIT + 5)]
    report = validate(document, NOW)
    assert len(report.problems) == PROBLEMS_LIMIT
    assert report.cut


def test_a_sentence_is_short_and_printable_and_a_pointer_exact() -> None:
    document = foreign()
    model(document)["evil\u202e~/\x1b"] = "x"
    model(document)["purl"] = "\x1b[2J" + "x" * 10_000
    report = validate(document, NOW)
    assert all(problem.detail.isprintable() and len(problem.detail) <= 2000 for problem in report.problems)
    document = foreign()
    model(document)["modelCard"] = {"modelParameters": {"evil~/\x1b": []}}
    assert json.loads(json.dumps(validate(document, NOW).to_dict()))["problems"][0]["id"] == "schema"


PLACES = 150  # of the document are tried; it has some thousand, most of them alike


def mutations(document: Any) -> list[tuple[Any, Any]]:
    """Return every place of a document where something hostile can be put, as holder and key."""
    found = []
    pending = [document]
    while pending:
        item = pending.pop()
        for key in item if isinstance(item, dict) else range(len(item)):
            found.append((item, key))
            if isinstance(item[key], dict | list):
                pending.append(item[key])
    return found


def shortened(item: Any) -> Any:
    """Return a document with two entries of every list, enough to have every kind of place."""
    if isinstance(item, dict):
        return {name: shortened(value) for name, value in item.items()}
    return [shortened(entry) for entry in item[:2]] if isinstance(item, list) else item


@pytest.mark.parametrize("wrong", [None, True, 3, -1.5, "", "x", [], {}, [[]], [{}], {"ref": [{}]}, ["x", 1, None]])
def test_no_wrong_type_at_any_place_breaks_it(wrong: Any) -> None:
    sample: dict[str, Any] = shortened(boms.document(boms.build()))
    sample["citations"] = [{"timestamp": "2026-01-02T03:04:05Z", "attributedTo": "tool:mbom", "pointers": ["/version"]}]
    places = mutations(sample)
    for holder, key in random.Random(7).sample(places, min(len(places), PLACES)):
        held, holder[key] = holder[key], deepcopy(wrong)
        report = validate(sample, NOW)
        assert report.version == sample["specVersion"] or report.version is None
        holder[key] = held
