"""Claims in the BOM: made where nothing contradicts them, each with evidence that is there."""

import json
from dataclasses import replace
from typing import Any

import boms
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from mbom.bom.format.lint import lint
from mbom.bom.sections.declarations import SHARDS_LISTED, behaviour_claims, content_claims
from mbom.facts.reading import read_facts
from mbom.inventory import FileRecord, Inventory
from mbom.inventory.findings import KINDS, finding
from mbom.inventory.index import INDEX_FILE
from mbom.inventory.record import TensorRecord
from mbom.source import Origin

MODEL = f"pkg:huggingface/openai/gpt-oss-20b@{boms.REVISION}"


def sharded(shards: int = 2) -> Inventory:
    """A checkpoint of one tensor in each shard, and an index."""
    names = [f"model-{number:05}-of-{shards:05}.safetensors" for number in range(1, shards + 1)]
    files = [FileRecord(name=name, size=8, sha256=f"{n:064x}", role="weights") for n, name in enumerate(names)]
    files.append(FileRecord(name=INDEX_FILE, size=3, sha256="e" * 64, role="index"))
    tensors = [
        TensorRecord(name=f"t{n}", file=name, dtype="F32", shape=(2,), start=0, end=8, blake3="b" * 64)
        for n, name in enumerate(names)
    ]
    return replace(
        boms.inventory(),
        files=tuple(sorted(files, key=lambda file: file.name)),
        tensors=tuple(sorted(tensors, key=lambda tensor: tensor.name)),
        declared=(),
    )


def claims(part: dict[str, Any]) -> dict[str, Any]:
    """Return claims by bom-ref, for a part or a whole document."""
    return {item["bom-ref"]: item for item in part.get("declarations", {}).get("claims", [])}


def evidence(part: dict[str, Any]) -> dict[str, Any]:
    return {item["bom-ref"]: item for item in part.get("declarations", {}).get("evidence", [])}


def data(item: dict[str, Any]) -> dict[str, str]:
    return {entry["name"]: entry["contents"]["attachment"]["content"] for entry in item["data"]}


def built(held: Inventory) -> dict[str, Any]:
    return boms.document(boms.build(held, read_facts(held, {})[0]))


def test_an_index_that_agrees_with_the_headers_is_claimed_with_the_digests_of_both() -> None:
    part = content_claims(sharded())
    claim = claims(part)["claim:index"]
    assert claim["target"] == f"file:{INDEX_FILE}"
    assert claim["predicate"].startswith(f"{INDEX_FILE} and the headers of 2 files of weights agree: 2 tensors, each")
    assert data(evidence(part)["evidence:index"]) == {
        f"file:{INDEX_FILE}": "sha256:" + "e" * 64,
        "file:model-00001-of-00002.safetensors": "sha256:" + "0" * 64,
        "file:model-00002-of-00002.safetensors": "sha256:" + "0" * 63 + "1",
    }


def test_one_file_of_weights_is_claimed_to_hold_every_tensor() -> None:
    claim = claims(content_claims(boms.inventory()))["claim:index"]
    assert claim["target"] == "file:model.safetensors"
    assert claim["predicate"].startswith("All 459 tensors of the model lie in model.safetensors: there is no index")


def test_several_files_without_an_index_claim_nothing() -> None:
    held = sharded()
    files = tuple(file for file in held.files if file.name != INDEX_FILE)
    assert claims(content_claims(replace(held, files=files))).keys() == {"claim:files"}


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_claim_vanishes_with_each_finding_that_contradicts_it_and_with_no_other(kind: str) -> None:
    about_tensors = kind.startswith(("index-", "safetensors-")) or kind in (
        "weights-missing", "weights-redirected", "weights-shadowed",
    )  # fmt: skip
    expected = {"claim:files", "claim:index"}
    expected -= {"claim:index"} if about_tensors else {"claim:files"} if kind == "digest-mismatch" else set()
    part = content_claims(replace(sharded(), findings=(finding(kind, "x", "y"),)))
    assert claims(part).keys() == expected
    assert evidence(part).keys() == {ref.replace("claim:", "evidence:") for ref in expected}


def test_files_of_the_hub_are_claimed_as_it_lists_them_and_what_was_left_out_is_said() -> None:
    held = boms.inventory()
    part = content_claims(held)
    claim = claims(part)["claim:files"]
    assert claim["target"] == MODEL
    assert f"what the hub lists for openai/gpt-oss-20b at commit {boms.REVISION}" in claim["predicate"]
    assert claim["reasoning"].endswith(
        "not fetched, and no part of this claim: 2 files with weights that loaders do not open"
    )
    assert data(evidence(part)["evidence:files"]) == {"mbom:model:digest": f"sha256:{held.digest}"}


def test_of_a_folder_it_is_claimed_only_that_its_files_are_listed() -> None:
    claim = claims(content_claims(boms.folder(boms.inventory())))["claim:files"]
    assert claim["predicate"] == "Every file of the folder is listed with its size and SHA-256, 5 files"
    assert "hub" not in claim["predicate"] + claim["reasoning"]


def test_a_checkpoint_of_nothing_claims_nothing() -> None:
    assert content_claims(Inventory(origin=Origin(kind="folder", name="x"), files=(), tensors=())) == {}


def test_behaviour_is_claimed_with_the_digest_of_the_record_and_with_what_it_does_not_show() -> None:
    part = behaviour_claims(boms.BEHAVIOUR, MODEL)
    (claim,) = claims(part).values()
    assert claim["target"] == MODEL
    assert "on the prompt set mbom-prompts-1: 8 prompts, 2048 positions, in float64" in claim["predicate"]
    assert "within relative_error 1e-09, router_margin 1e-06" in claim["reasoning"]
    held = evidence(part)
    assert data(held["evidence:behaviour"]) == {"behaviour.json": "sha256:" + "b" * 64}
    assert claim["counterEvidence"] == ["evidence:behaviour:not-shown"]
    told = held["evidence:behaviour:not-shown"]["description"]
    assert "27 of 768 routed experts, which no prompt reached" in told
    assert "199,884 of 201,088 tokens of the vocabulary" in told
    assert "absence of a backdoor" in told


def test_what_the_pass_does_not_use_or_try_is_said() -> None:
    coverage = replace(
        boms.BEHAVIOUR.coverage, experts=0, experts_reached=0, tensors_not_executed=("a\u202e", "b", "c", "d", "e", "f")
    )
    summary = replace(boms.BEHAVIOUR, coverage=coverage, trials=0, least_trial=None)
    told = evidence(behaviour_claims(summary, MODEL))["evidence:behaviour:not-shown"]["description"]
    assert "experts" not in told
    assert "6 tensors that the pass read and does not use: a\\u202e, b, c, d, e and 1 more" in told
    assert "how small a change of a weight it would show" in told


def test_without_a_record_nothing_is_claimed_of_behaviour() -> None:
    assert behaviour_claims(None, MODEL) == {}
    assert not [ref for ref in claims(boms.document(boms.build(behaviour=None))) if "behaviour" in ref.split(":")[1:2]]


@pytest.mark.parametrize("name", ["one file", "sharded", "folder", "contradicted", "very many shards"])
def test_the_bom_with_its_claims_is_valid_and_every_reference_leads_somewhere(name: str) -> None:
    document = built({
        "one file": boms.inventory(),
        "sharded": sharded(),
        "folder": boms.folder(sharded()),
        "contradicted": replace(sharded(), findings=(finding("index-total-size", INDEX_FILE, "x"),)),
        "very many shards": sharded(SHARDS_LISTED + 3),
    }[name])  # fmt: skip
    assert JsonStrictValidator(SchemaVersion.V1_7).validate_str(json.dumps(document)) is None
    assert lint(document) == ()
    held = evidence(document)
    pointed = {ref for claim in claims(document).values() for ref in claim.get("evidence", [])}
    pointed |= {ref for claim in claims(document).values() for ref in claim.get("counterEvidence", [])}
    assert pointed == held.keys()
    assert [entry["bom-ref"] for entry in document["declarations"]["assessors"]] == ["assessor:mbom"]


def test_the_evidence_repeats_a_bounded_number_of_digests_and_counts_the_rest() -> None:
    held = evidence(content_claims(sharded(SHARDS_LISTED + 3)))["evidence:index"]
    assert len(held["data"]) == SHARDS_LISTED + 1  # and the index
    assert "the digests of 3 more files of weights" in held["description"]
