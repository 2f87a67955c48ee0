import json
from typing import Any

import boms
import licencetexts
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from mbom import bom
from mbom.bom.sections.licensing import claims
from mbom.digest import sha256
from mbom.facts.places import Place

BLOB = f"https://huggingface.co/openai/gpt-oss-20b/blob/{boms.REVISION}"
LLAMA4 = licencetexts.text("llama-4-cla-2025").encode()
POLICY4 = licencetexts.text("llama-4-license-2025").encode()


def side(card: str, **files: bytes) -> dict[str, bytes]:
    return {**boms.SIDE, "README.md": f"---\n{card}\n---\n".encode(), **files}


def built(files: dict[str, bytes]) -> dict[str, Any]:
    """Build a BOM that is valid to us and to the library's own validator, and return its model."""
    held, facts = boms.inventory(files), boms.facts(files)
    data = boms.build(held, facts)
    assert bom.check(data, held, facts) == ()
    assert JsonStrictValidator(SchemaVersion.V1_7).validate_str(data.decode()) is None
    assert boms.build(held, facts) == data
    model: dict[str, Any] = json.loads(data)["components"][0]
    return model


def told(item: dict[str, Any], name: str) -> list[str]:
    return [entry["value"] for entry in item["properties"] if entry["name"] == f"mbom:{name}"]


@pytest.fixture(scope="module")
def llama() -> dict[str, Any]:
    return built(
        side("license: llama4\nbase_model: meta-llama/Llama-4-Scout", LICENSE=LLAMA4, **{"USE_POLICY.md": POLICY4})
    )


def test_the_declared_licence_carries_its_restrictions(llama: dict[str, Any]) -> None:
    (item,) = llama["licenses"]
    assert item["license"]["name"] == "llama4"
    assert item["license"]["acknowledgement"] == "declared"
    assert told(item["license"], "licence:key") == ["llama-4-cla-2025"]
    kinds = [line.partition(":")[0] for line in told(item["license"], "licence:restriction")]
    assert "user-cap 700000000" in kinds
    assert "geographic-exclusion EU" in kinds


def test_what_texts_show_is_evidence(llama: dict[str, Any]) -> None:
    licence, policy = (item["license"] for item in llama["evidence"]["licenses"])
    assert (licence["name"], licence["url"]) == ("Llama 4 Community License Agreement", f"{BLOB}/LICENSE")
    assert told(licence, "licence:ref") == ["LicenseRef-scancode-llama-4-cla-2025"]
    assert told(licence, "licence:match") == ["exact"]
    assert told(licence, "licence:sha256") == [sha256(LLAMA4)]
    assert policy["name"] == "Llama 4 Acceptable Use Policy"
    assert told(policy, "licence:file") == ["USE_POLICY.md"]


def test_each_text_is_an_external_reference_with_its_digest(llama: dict[str, Any]) -> None:
    texts = [item for item in llama["externalReferences"] if item["type"] == "license"]
    assert texts == [
        {"type": "license", "url": f"{BLOB}/{name}", "hashes": [{"alg": "SHA-256", "content": sha256(data)}]}
        for name, data in (("LICENSE", LLAMA4), ("USE_POLICY.md", POLICY4))
    ]


def test_the_properties_name_text_restriction_and_place(llama: dict[str, Any]) -> None:
    assert told(llama, "licence:declared") == ["llama4"]
    assert told(llama, "licence:detected") == [
        f"llama-4-cla-2025 exact LICENSE sha256:{sha256(LLAMA4)}",
        f"llama-4-license-2025 exact USE_POLICY.md sha256:{sha256(POLICY4)}",
    ]
    lines = told(llama, "licence:restriction")
    assert any(
        line.startswith("geographic-exclusion EU: multimodal models") and "text USE_POLICY.md:" in line
        for line in lines
    )
    assert any(line.startswith("user-cap 700000000: monthly active users") and "LICENSE:" in line for line in lines)
    assert told(llama, "licence:disagreement") == []
    assert told(llama, "licence:wider-than-base") == []


def test_a_listed_licence_that_is_there_word_for_word_has_its_spdx_id() -> None:
    model = built(side("license: apache-2.0", LICENSE=licencetexts.text("apache-2.0").encode()))
    assert [item["license"]["id"] for item in model["evidence"]["licenses"]] == ["Apache-2.0"]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (licencetexts.text("mit") + "Not for commercial use.", "MIT License, with other text"),
        (licencetexts.text("mit").replace("sell", "admire"), "MIT License, another version or altered"),
    ],
)
def test_a_changed_licence_never_has_an_spdx_id(text: str, name: str) -> None:
    model = built(side("license: mit", LICENSE=text.encode()))
    (item,) = model["evidence"]["licenses"]
    assert "id" not in item["license"]
    assert item["license"]["name"] == name


def test_disagreement_and_wider_terms_are_properties() -> None:
    files = side("license: mit\nbase_model: google/gemma-3-4b-it", LICENSE=licencetexts.text("apache-2.0").encode())
    model = built(files)
    assert told(model, "licence:disagreement") == ["LICENSE: the card declares mit; LICENSE is Apache License 2.0"]
    (wider,) = told(model, "licence:wider-than-base")
    assert wider.startswith(
        "google/gemma-3-4b-it is under gemma-tou-2025-03-24, whose acceptable-use-policy, pass-through"
    )


def test_an_unknown_text_is_told_with_its_digest_and_is_no_evidence() -> None:
    model = built(side("license: other\nlicense_name: house-terms", LICENSE=b"Do as we say.", NOTICE=b"\xff"))
    assert "evidence" not in model
    assert told(model, "licence:detected") == [
        f"unknown LICENSE sha256:{sha256(b'Do as we say.')}",
        f"unread NOTICE sha256:{sha256(bytes([255]))}",
    ]
    assert [item["license"]["name"] for item in model["licenses"]] == ["house-terms"]


def test_a_folder_has_no_addresses_for_its_texts() -> None:
    files = side("license: llama4", LICENSE=LLAMA4)
    held = boms.folder(boms.inventory(files))
    data = boms.build(held, boms.facts(files))
    assert bom.check(data, held, boms.facts(files)) == ()
    model = json.loads(data)["components"][0]
    assert "externalReferences" not in model
    assert model["evidence"]["licenses"][0]["license"]["url"].startswith("https://github.com/meta-llama/llama-models/")


def test_every_claim_that_was_read_has_a_place() -> None:
    files = side("license: llama4", LICENSE=LLAMA4, **{"USE_POLICY.md": POLICY4})
    found = list(claims(boms.facts(files)))
    assert all(claim.place is not None for claim in found)
    assert found[0].place == Place(file="README.md", line=2)
    assert {claim.name for claim in found} == {"licence:declared", "licence:detected", "licence:restriction"}


@pytest.mark.parametrize(
    "card", ["license: [gemma, llama4, other]", "license: other\nlicense_link: LICENSE", "language: en"]
)
@pytest.mark.parametrize("key", ["deepseek-la-1.0", "bigcode-open-rail-m-v1", "cc-by-nc-sa-4.0", "openmdw-1.0"])
def test_any_card_with_any_text_gives_a_valid_document(card: str, key: str) -> None:
    built(side(card, LICENSE=licencetexts.text(key).encode(), **{"a b/LICENSE (1).txt": b"?"}))
