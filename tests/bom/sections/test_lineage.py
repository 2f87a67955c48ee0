"""Where a model comes from and who made it, in the BOM, and reading back what holds on the attester's word alone."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import boms
import pytest
from boms import document

from mbom import bom
from mbom.ancestry import RULE, Compared, Sketches
from mbom.bom import Affidavit, affidavit_of, observed_of
from mbom.errors import FormatError
from mbom.facts.producers import Producers, built_in
from mbom.source import Observed, Origin

BASE, OTHER = "1" * 40, "2" * 40
SIDE = {
    **boms.SIDE,
    "README.md": b"---\nbase_model: [mistralai/Base, ./local]\nbase_model_relation: merge\nnew_version: openai/next\n"
    b"datasets: [org/corpus, own]\nmodel-index: [{results: [{dataset: {type: own}}]}]\n---\n",
    "adapter_config.json": b'{"base_model_name_or_path": "org/other", "revision": "v1"}',
}
OBSERVED = Observed(
    gated="manual", created="2025-08-04T22:33:06Z", last_modified="2025-08-26T17:25:47Z",
    bases=(("mistralai/Base", BASE),),
)  # fmt: skip
COMPARED = Compared(
    origin=Origin(kind="hub", name="base", repo="mistralai/base", revision=OTHER), model_digest="a" * 64,
    attestation="b" * 64, signer="ECDSA P-256, SHA256:abc", tensors=10, base_tensors=11, equal=3, moved=1, size=1000,
    shared=400, sketches=Sketches(elements=500, compared=480, near=470, distance=0.03125, error=1.5e-05),
)  # fmt: skip
UNNAMED = replace(
    COMPARED, origin=Origin(kind="folder", name="my copy"), model_digest="c" * 64, attestation=None, signer=None,
    sketches=None,
)  # fmt: skip
SAID = Affidavit(observed=OBSERVED, compared=(UNNAMED, COMPARED), producers=built_in().among(["openai", "mistralai"]))


def build(said: Affidavit | None = SAID) -> bytes:
    held = boms.inventory(SIDE)
    return bom.build(
        inventory=held, facts=boms.facts(SIDE), behaviour=None, tool_version="1.2.3", created=boms.CREATED, said=said
    )


@pytest.fixture(scope="module")
def built() -> dict[str, Any]:
    return document(build())


def model_of(built: Any) -> dict[str, Any]:
    model: dict[str, Any] = built["components"][0]
    return model


def properties(item: dict[str, Any], *prefixes: str) -> dict[str, list[str]]:
    """Return the values of an object's properties by name, of those that begin so."""
    found: dict[str, list[str]] = {}
    for entry in item["properties"]:
        name = entry["name"].removeprefix("mbom:")
        if name.startswith(prefixes):
            found.setdefault(name, []).append(entry["value"])
    return found


def ancestor(built: dict[str, Any], ref: str) -> dict[str, Any]:
    found: dict[str, dict[str, Any]] = {item["bom-ref"]: item for item in model_of(built)["pedigree"]["ancestors"]}
    return found[ref]


# ---- what is written ----


def test_the_bom_with_all_of_it_is_sound() -> None:
    assert bom.check(build(), boms.inventory(SIDE), boms.facts(SIDE)) == ()


def test_the_producer_is_the_entity_behind_the_account(built: dict[str, Any]) -> None:
    model = model_of(built)
    known = built_in().of("openai")
    assert known is not None
    assert model["manufacturer"] == {"name": known.entity, "address": {"country": "US"}, "url": [known.website]}
    assert properties(model, "producer:") == {
        "producer:account": ["openai"],
        "producer:country": ["US"],
        "producer:legal-entity": [known.entity],
        "producer:reviewed": [known.reviewed],
        "producer:source": [known.source],
        "producer:table": ["built in"],
        "producer:website": [known.website],
    }


def test_a_table_of_the_user_is_named_by_its_digest() -> None:
    entry = {
        "account": "openai",
        "entity": "X",
        "country": "DE",
        "source": "https://x.example/",
        "reviewed": "2026-11-02",
    }
    data = json.dumps({"schema": "urn:mbom:producers:v1", "accounts": [entry]}).encode()
    table = Producers().extended(data, what="own")
    model = model_of(document(build(Affidavit(producers=table.among(["openai"])))))
    assert model["manufacturer"] == {"name": "X", "address": {"country": "DE"}}
    (told,) = properties(model, "producer:table")["producer:table"]
    assert told.startswith("sha256:")


def test_an_unknown_producer_is_called_unknown_and_nobody_is_named() -> None:
    model = model_of(document(build(None)))
    assert "manufacturer" not in model
    assert properties(model, "producer:") == {
        "producer:account": ["openai"],
        **{f"producer:{name}": ["unknown"] for name in ("country", "legal-entity", "source")},
    }


def test_a_folder_has_no_account_and_nobody_is_looked_up() -> None:
    held = boms.folder(boms.inventory(SIDE))
    facts = boms.facts(SIDE)
    assert bom.accounts(held, facts.lineage)[0] is None
    said = Affidavit(producers=built_in().among(bom.accounts(held, facts.lineage)))
    data = bom.build(inventory=held, facts=facts, behaviour=None, tool_version="1", created=boms.CREATED, said=said)
    model = model_of(document(data))
    assert "manufacturer" not in model
    assert properties(model, "producer:account") == {"producer:account": ["unknown"]}


def test_an_ancestor_says_relation_place_revision_and_what_was_compared(built: dict[str, Any]) -> None:
    item = ancestor(built, "base:mistralai/Base")
    assert (item["group"], item["name"], item["purl"]) == ("mistralai", "Base", "pkg:huggingface/mistralai/Base")
    assert item["manufacturer"]["address"] == {"country": "FR"}
    assert properties(item, "lineage:") == {
        "lineage:relation": ["merge"],
        "lineage:declared-in": ["README.md:2"],
        "lineage:revision": [f"{BASE}, as the hub resolved it at 2026-05-12T10:30:15Z"],
        "lineage:verified": ["derived"],
        "lineage:verified:rule": [RULE],
        "lineage:compared:source": [f"mistralai/base@{OTHER}"],
        "lineage:compared:model-digest": ["a" * 64],
        "lineage:compared:attestation": [f"sha256:{'b' * 64}"],
        "lineage:compared:signature": ["verified: ECDSA P-256, SHA256:abc"],
        "lineage:compared:tensors": ["10"],
        "lineage:compared:tensors:of-base": ["11"],
        "lineage:compared:tensors:equal": ["3"],
        "lineage:compared:tensors:moved": ["1"],
        "lineage:compared:bytes": ["1000"],
        "lineage:compared:bytes:shared": ["400"],
        "lineage:compared:elements": ["500"],
        "lineage:compared:elements:compared": ["480"],
        "lineage:compared:elements:near": ["470"],
        "lineage:compared:distance": ["0.03125"],
        "lineage:compared:distance:error": ["1.5e-05"],
    }


def test_an_ancestor_that_was_not_compared_says_so(built: dict[str, Any]) -> None:
    for ref, relation in (("base:./local", "merge"), ("base:org/other", "adapter")):
        told = properties(ancestor(built, ref), "lineage:")
        assert (told["lineage:relation"], told["lineage:verified"]) == ([relation], ["not compared"])
        assert told["lineage:revision"] == ["unknown"]
    assert ancestor(built, "base:./local")["name"] == "./local"
    assert not {"purl", "group", "manufacturer"} & ancestor(built, "base:./local").keys()
    assert properties(ancestor(built, "base:org/other"), "lineage:revision:declared") == {
        "lineage:revision:declared": ["v1"]
    }


def test_a_base_that_the_checkpoint_does_not_name_is_an_ancestor_without_a_relation(built: dict[str, Any]) -> None:
    item = ancestor(built, f"compared:sha256:{'c' * 64}")
    told = properties(item, "lineage:")
    assert item["name"] == "my copy"
    assert (told["lineage:relation"], told["lineage:declared-in"]) == (["not declared"], ["none named"])
    assert told["lineage:verified"] == ["not shown"]
    assert told["lineage:compared:source"] == ["folder my copy"]
    assert told["lineage:compared:signature"] == ["not checked"]
    assert told["lineage:compared:attestation"] == ["none, the base's bundle is not signed"]


def test_a_folder_that_is_named_like_a_repository_is_none() -> None:
    posing = replace(UNNAMED, origin=Origin(kind="folder", name="openai/gpt-oss-20b"))
    item = ancestor(document(build(replace(SAID, compared=(posing,)))), f"compared:sha256:{'c' * 64}")
    assert item["name"] == "openai/gpt-oss-20b"
    assert not {"purl", "group", "manufacturer"} & item.keys()


def test_a_base_that_is_named_like_a_digest_is_told_apart_from_what_was_compared() -> None:
    side = {**SIDE, "README.md": f"---\nbase_model: 'sha256:{'c' * 64}'\n---\n".encode()}
    held, facts = boms.inventory(side), boms.facts(side)
    data = bom.build(inventory=held, facts=facts, behaviour=None, tool_version="1", created=boms.CREATED, said=SAID)
    assert bom.check(data, held, facts) == ()


def test_datasets_are_components_of_their_own_of_which_nothing_else_is_disclosed(built: dict[str, Any]) -> None:
    first, second = [item for item in built["components"] if item["bom-ref"].startswith("dataset:")]
    assert [first["bom-ref"], second["bom-ref"]] == ["dataset:org/corpus", "dataset:own"]
    assert first["type"] == "data"
    assert first["data"] == [
        {"type": "dataset", "name": "org/corpus", "contents": {"url": "https://huggingface.co/datasets/org/corpus"}}
    ]
    assert first["description"] == "named in the card (training), nothing else disclosed"
    assert second["data"] == [{"type": "dataset", "name": "own"}]
    assert properties(second, "dataset:") == {
        "dataset:use": ["evaluation", "training"],
        "dataset:declared-in": ["README.md:5", "README.md:6"],
    }
    assert model_of(built)["modelCard"]["modelParameters"]["datasets"] == [
        {"ref": "dataset:org/corpus"},
        {"ref": "dataset:own"},
    ]


def test_files_are_complete_and_the_making_is_unknown(built: dict[str, Any]) -> None:
    ref = model_of(built)["bom-ref"]
    bases = ["base:mistralai/Base", "base:./local", "base:org/other", f"compared:sha256:{'c' * 64}"]
    assert built["compositions"] == [
        {"aggregate": "complete", "assemblies": [ref]},
        {"aggregate": "unknown", "dependencies": [ref]},
        {"aggregate": "unknown", "assemblies": [*bases, "dataset:org/corpus", "dataset:own"]},
    ]
    assert properties(model_of(built), "lineage:") == {
        "lineage:base-models": ["3 named"],
        "lineage:datasets": ["2 named"],
        "lineage:successor": ["openai/next"],
    }


def test_a_model_that_names_nothing_says_so() -> None:
    side = {"config.json": boms.SIDE["config.json"]}
    model = model_of(document(boms.build(boms.inventory(side), boms.facts(side))))
    assert "pedigree" not in model
    assert properties(model, "lineage:") == {
        "lineage:base-models": ["none named"],
        "lineage:datasets": ["none named"],
    }


def test_what_the_hub_did_not_say_is_unknown() -> None:
    told = properties(model_of(document(build(Affidavit(observed=Observed())))), "hub:")
    assert told == {f"hub:{name}": ["unknown"] for name in ("gated", "created", "last-modified")}
    assert properties(model_of(document(build(None))), "hub:") == {}


# ---- reading it back ----


AFFIDAVITS = {
    "everything": SAID,
    "nothing": Affidavit(),
    "a hub that said nothing": Affidavit(observed=Observed()),
    "a base without sketches": Affidavit(compared=(UNNAMED,)),
    "two bundles of one base": Affidavit(
        compared=(
            COMPARED,
            replace(COMPARED, origin=replace(COMPARED.origin, revision=BASE), model_digest="d" * 64, attestation=None),
        )
    ),
    "an ungated repository": Affidavit(observed=replace(OBSERVED, gated="false", created=None)),
    "an infinitesimal distance": Affidavit(
        compared=(replace(COMPARED, sketches=Sketches(elements=9, compared=0, near=0, distance=1e-12, error=0.0)),)
    ),
}


@pytest.mark.parametrize("case", AFFIDAVITS)
def test_what_the_attester_said_is_read_back_and_builds_the_same_bytes(case: str) -> None:
    said = AFFIDAVITS[case]
    data = build(said)
    read = affidavit_of(document(data))
    assert read == said
    assert observed_of(document(data)) == said.observed
    assert build(read) == data


def test_the_order_of_the_input_does_not_count() -> None:
    turned = Affidavit(
        observed=OBSERVED, compared=(COMPARED, UNNAMED, COMPARED), producers=SAID.producers[::-1] + SAID.producers
    )
    assert turned == SAID
    assert build(turned) == build()


Place = Callable[[dict[str, Any]], dict[str, Any]]


def on_model(built: dict[str, Any]) -> dict[str, Any]:
    return model_of(built)


def on_base(built: dict[str, Any]) -> dict[str, Any]:
    return ancestor(built, "base:mistralai/Base")


@pytest.mark.parametrize(
    ("place", "name", "value"),
    [
        (on_model, "hub:gated", "yes"),
        (on_model, "hub:gated", None),
        (on_model, "hub:created", "2025-13-04T22:33:06Z"),
        (on_model, "hub:created", "2025-08-04 22:33:06"),
        (on_model, "hub:last-modified", "٢٠٢٥-08-04T22:33:06Z"),
        (on_model, "producer:country", "XX"),
        (on_model, "producer:table", "somewhere"),
        (on_model, "producer:legal-entity", None),
        (on_base, "lineage:revision", BASE),
        (on_base, "lineage:revision", None),
        (on_base, "lineage:verified", "identical"),
        (on_base, "lineage:verified", "sure"),
        (on_base, "lineage:verified", None),
        (on_base, "lineage:compared:source", "mistralai/base@main"),
        (on_base, "lineage:compared:source", "folder "),
        (on_base, "lineage:compared:model-digest", "A" * 64),
        (on_base, "lineage:compared:attestation", "sha256:b"),
        (on_base, "lineage:compared:signature", "verified: "),
        (on_base, "lineage:compared:tensors", "010"),
        (on_base, "lineage:compared:tensors", "-1"),
        (on_base, "lineage:compared:tensors", "1" * 19),
        (on_base, "lineage:compared:tensors:equal", None),
        (on_base, "lineage:compared:elements:near", "1.5"),
        (on_base, "lineage:compared:distance", "0.031250"),
        (on_base, "lineage:compared:distance", "nan"),
        (on_base, "lineage:compared:distance", "9e999"),
        (on_base, "lineage:compared:distance:error", "1" * 5000),
    ],
)
def test_words_that_the_builder_does_not_write_are_refused(place: Place, name: str, value: str | None) -> None:
    bent = document(build())
    held = place(bent)["properties"]
    (entry,) = [item for item in held if item["name"] == f"mbom:{name}"]
    if value is None:
        held.remove(entry)
    else:
        assert entry["value"] != value
        entry["value"] = value
    with pytest.raises(FormatError):
        affidavit_of(bent)


@pytest.mark.parametrize(("place", "name"), [(on_model, "hub:gated"), (on_model, "producer:source"),
                                             (on_base, "lineage:verified")])  # fmt: skip
def test_a_word_that_is_said_twice_is_refused(place: Place, name: str) -> None:
    bent = document(build())
    held = place(bent)["properties"]
    held.append(next(item for item in held if item["name"] == f"mbom:{name}"))
    with pytest.raises(FormatError, match="twice"):
        affidavit_of(bent)


@pytest.mark.parametrize(
    "bent",
    [{}, [], None, {"components": []}, {"components": [3]}, {"components": [{"pedigree": {"ancestors": [{}] * 600}}]}],
)
def test_a_document_without_a_model_is_refused(bent: Any) -> None:
    with pytest.raises(FormatError):
        affidavit_of(bent)
