"""CycloneDX 1.7 as 1.6: everything that 1.6 knows stays, everything else is said to be gone."""

import json
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import boms
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from mbom.bom.format.grammar import Shape, grammar
from mbom.bom.format.lint import lint
from mbom.bom.format.schema import schema_problems
from mbom.bom.format.spec16 import CONVERTED, DROPPED, REWRITTEN, to_1_6
from mbom.errors import FormatError
from mbom.strictjson import Json

TIME = "2026-01-02T03:04:05Z"
HASH = {"alg": "SHA-256", "content": "a" * 64}
OWNER = {"name": "x", "url": ["https://example.org"]}
ASSETS = [{"type": "key", "ref": "algorithm"}]
CERTIFICATE = {
    "serialNumber": "1", "certificateFileExtension": "pem", "fingerprint": HASH, "creationDate": TIME,
    "activationDate": TIME, "deactivationDate": TIME, "revocationDate": TIME, "destructionDate": TIME,
    "certificateState": [{"state": "active"}], "relatedCryptographicAssets": ASSETS, "subjectName": "CN=kept",
    "certificateExtensions": [{"commonExtensionName": "keyUsage", "commonExtensionValue": "x"}],
}  # fmt: skip
PROTOCOL = {
    "type": "quic", "version": "1", "relatedCryptographicAssets": ASSETS,
    "cipherSuites": [{"name": "kept", "tlsGroups": ["x25519"], "tlsSignatureSchemes": ["ed25519"]}],
    "ikev2TransformTypes": {
        "encr": [{"name": "ENCR_AES", "keyLength": 256, "algorithm": "algorithm"}], "ke": [{"group": 14}], "esn": True
    },
}  # fmt: skip
# Every member and value that 1.7 has and 1.6 has not, beside something of 1.6 that must stay.
FULL: dict[str, Any] = {
    "$schema": "http://cyclonedx.org/schema/bom-1.7.schema.json",
    "bomFormat": "CycloneDX",
    "specVersion": "1.7",
    "version": 1,
    "metadata": {"timestamp": TIME, "distributionConstraints": {"tlp": "CLEAR"}},
    "components": [
        {
            "type": "library", "bom-ref": "outside", "name": "outside", "isExternal": True,
            "versionRange": "vers:generic/>=1", "patentAssertions": [
                {"bom-ref": "assertion", "assertionType": "license", "patentRefs": ["patent"], "asserter": OWNER}
            ],
            "hashes": [HASH, {"alg": "Streebog-256", "content": "b" * 64}],
            "licenses": [
                {"license": {"id": "MIT", "acknowledgement": "declared"}},
                {
                    "expression": "MIT OR LicenseRef-x", "acknowledgement": "concluded", "bom-ref": "choice",
                    "expressionDetails": [{"licenseIdentifier": "LicenseRef-x", "url": "https://example.org"}],
                    "licensing": {"licenseTypes": ["perpetual"]}, "properties": [{"name": "kept", "value": "1"}],
                },
            ],
            "externalReferences": [
                {"type": "citation", "url": "https://example.org/a", "properties": [{"name": "x", "value": "1"}]},
                {"type": "website", "url": "https://example.org/b"},
                {"type": "website", "url": "https://example.org/b", "properties": [{"name": "x", "value": "1"}]},
            ],
        },
        {
            "type": "library", "name": "alone",
            "licenses": [{"expression": "MIT OR Apache-2.0", "properties": [{"name": "x", "value": "1"}]}],
            "hashes": [{"alg": "Streebog-512", "content": "b" * 128}],
        },
        {
            "type": "cryptographic-asset", "bom-ref": "algorithm", "name": "algorithm",
            "cryptoProperties": {"assetType": "algorithm", "algorithmProperties": {
                "primitive": "key-wrap", "algorithmFamily": "AES", "ellipticCurve": "nist/P-256", "mode": "gcm"}},
        },
        {
            "type": "cryptographic-asset", "name": "certificate",
            "cryptoProperties": {"assetType": "certificate", "certificateProperties": CERTIFICATE},
        },
        {
            "type": "cryptographic-asset", "name": "key",
            "cryptoProperties": {"assetType": "related-crypto-material", "relatedCryptoMaterialProperties": {
                "type": "public-key", "fingerprint": HASH, "relatedCryptographicAssets": ASSETS}},
        },
        {
            "type": "cryptographic-asset", "name": "protocol",
            "cryptoProperties": {"assetType": "protocol", "protocolProperties": PROTOCOL},
        },
    ],
    "services": [{"name": "service", "patentAssertions": [{"assertionType": "license", "asserter": OWNER}]}],
    "definitions": {"patents": [{
        "bom-ref": "patent", "patentNumber": "1234567", "jurisdiction": "US", "patentLegalStatus": "granted"}],
        "standards": [{"bom-ref": "standard", "name": "kept"}]},
    "citations": [
        {"bom-ref": "citation", "timestamp": TIME, "attributedTo": "outside", "pointers": ["/components/0/name"]},
    ],
    "annotations": [
        {"subjects": ["outside", "patent"], "annotator": {"individual": {"name": "x"}}, "timestamp": TIME, "text": "x"},
        {"subjects": ["citation"], "annotator": {"individual": {"name": "x"}}, "timestamp": TIME, "text": "y"},
    ],
    "compositions": [{"aggregate": "complete", "assemblies": ["outside"]}],
    "properties": [{"name": "kept", "value": "1"}],
}  # fmt: skip


def only_in_1_7() -> Iterator[tuple[str, str]]:
    """Yield what 1.7 has and 1.6 has not: ("member", name) and ("value", text), from both schemas side by side."""
    pending = [(grammar("1.6").root, grammar("1.7").root)]
    seen: set[tuple[Shape, Shape]] = set()
    while pending:
        pair = pending.pop()
        if pair in seen:
            continue
        seen.add(pair)
        old, new = pair
        if old.item is not None and new.item is not None:
            pending.append((old.item, new.item))
        if old.values is not None and new.values is not None:
            yield from (("value", value) for value in new.values - old.values)
        for name, shape in new.members.items():
            if name in old.members:
                pending.append((old.members[name], shape))
            else:
                yield "member", name


def said(item: Json) -> Iterator[tuple[str, str]]:
    """Yield every member and text of a document."""
    for name, value in item.items() if isinstance(item, dict) else enumerate(item) if isinstance(item, list) else ():
        if isinstance(name, str):
            yield "member", name
        if isinstance(value, str):
            yield "value", value
        yield from said(value)


def notes(document: dict[str, Any], name: str) -> list[str]:
    return [item["value"] for item in document["properties"] if item["name"] == name]


@pytest.fixture(scope="module")
def converted() -> dict[str, Any]:
    return to_1_6(FULL)


def test_the_sample_is_valid_and_has_all_that_is_only_in_1_7() -> None:
    assert schema_problems(FULL) == ()
    missing = set(only_in_1_7()) - set(said(FULL))
    assert {name for kind, name in missing if kind == "member"} == set()
    one_of_each = {"Streebog-256", "citation", "key-wrap", "quic"}  # of hashes, references, primitives, protocols
    assert one_of_each <= {name for kind, name in only_in_1_7() if kind == "value"} - {name for _, name in missing}


def test_the_result_is_valid_1_6_for_the_librarys_own_validator(converted: dict[str, Any]) -> None:
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(converted)) is None
    assert not [problem for problem in lint(converted) if "model" not in problem]
    assert converted["specVersion"] == "1.6"
    assert converted["$schema"] == "http://cyclonedx.org/schema/bom-1.6.schema.json"


def test_what_1_6_knows_stays(converted: dict[str, Any]) -> None:
    outside, alone = converted["components"][:2]
    assert outside["hashes"] == [HASH]
    assert outside["licenses"] == [
        {"license": {"id": "MIT", "acknowledgement": "declared"}},
        {
            "license": {
                "name": "MIT OR LicenseRef-x", "acknowledgement": "concluded", "bom-ref": "choice",
                "licensing": {"licenseTypes": ["perpetual"]}, "properties": [{"name": "kept", "value": "1"}],
            }
        },
    ]  # fmt: skip
    assert outside["externalReferences"] == [
        {"type": "other", "url": "https://example.org/a"},
        {"type": "website", "url": "https://example.org/b"},
    ]
    assert alone == {"type": "library", "name": "alone", "licenses": [{"expression": "MIT OR Apache-2.0"}]}
    crypto = [item["cryptoProperties"] for item in converted["components"][2:]]
    assert crypto[0]["algorithmProperties"] == {"primitive": "other", "mode": "gcm"}
    assert crypto[1]["certificateProperties"] == {"subjectName": "CN=kept"}
    assert crypto[2]["relatedCryptoMaterialProperties"] == {"type": "public-key"}
    assert crypto[3]["protocolProperties"] == {
        "type": "other", "version": "1", "cipherSuites": [{"name": "kept"}], "ikev2TransformTypes": {"esn": True},
    }  # fmt: skip
    assert converted["definitions"] == {"standards": [{"bom-ref": "standard", "name": "kept"}]}
    assert converted["properties"][0] == {"name": "kept", "value": "1"}


def test_a_reference_to_what_was_dropped_goes_with_it(converted: dict[str, Any]) -> None:
    assert [item["subjects"] for item in converted["annotations"]] == [["outside"]]
    assert "/annotations/* (1)" in notes(converted, DROPPED)


def test_what_is_gone_is_said(converted: dict[str, Any]) -> None:
    assert notes(converted, CONVERTED) == ["1.7"]
    dropped = notes(converted, DROPPED)
    assert dropped == sorted(dropped)
    assert {
        "/citations (1)", "/metadata/distributionConstraints (1)", "/components/*/versionRange (1)",
        "/components/*/isExternal (1)", "/components/*/hashes/* (2)",
        "/components/*/externalReferences/*/properties (2)",
        "/components/*/licenses/*/expressionDetails (1)", "/definitions/patents (1)",
        "/services/*/patentAssertions (1)",
    } <= set(dropped)  # fmt: skip
    assert notes(converted, REWRITTEN) == [
        "/components/*/cryptoProperties/algorithmProperties/primitive as other (1)",
        "/components/*/cryptoProperties/protocolProperties/type as other (1)",
        "/components/*/externalReferences/*/type as other (1)",
        "/components/*/licenses/*/expression as a name (1)",
    ]


def test_the_document_itself_is_left_as_it_is() -> None:
    before = deepcopy(FULL)
    to_1_6(FULL)
    assert before == FULL


def test_a_signature_over_what_changed_is_dropped() -> None:
    signature = {"algorithm": "ES256", "value": "AAAA"}
    document = deepcopy(FULL)
    document["signature"] = signature
    document["components"][0]["signature"] = signature  # loses its version range
    document["compositions"][0]["signature"] = signature  # stays as it is
    found: Any = to_1_6(document)
    assert "signature" not in found
    assert "signature" not in found["components"][0]
    assert found["compositions"][0]["signature"] == signature
    assert {"/signature (1)", "/components/*/signature (1)"} <= set(notes(found, DROPPED))


def test_a_chain_of_references_is_dropped_to_its_end() -> None:
    document: dict[str, Any] = {
        "bomFormat": "CycloneDX", "specVersion": "1.7", "version": 1,
        "definitions": FULL["definitions"],
        "declarations": {
            "claims": [{"bom-ref": "claim", "target": "patent", "predicate": "x"}],
            "attestations": [{"summary": "kept", "map": [{"requirement": "standard", "claims": ["claim"]}]}],
        },
    }  # fmt: skip
    found: Any = to_1_6(document)
    assert lint(found) == ()
    assert found["declarations"]["claims"] == [{"bom-ref": "claim", "predicate": "x"}]
    assert found["declarations"]["attestations"] == document["declarations"]["attestations"]


@pytest.mark.parametrize("name", boms.everything())
def test_our_own_documents_lose_nothing_that_1_6_has(name: str) -> None:
    document: dict[str, Any] = boms.document(boms.everything()[name])
    found = to_1_6(document)
    assert lint(found) == ()
    for member in document.keys() - {"citations", "$schema", "specVersion", "properties"}:
        assert member in found


def test_building_for_1_6_is_converting() -> None:
    assert boms.document(boms.build(spec="1.6")) == to_1_6(boms.document(boms.build()))
    assert boms.build(spec="1.6") == boms.build(spec="1.6")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"specVersion": "1.6"}, "CycloneDX 1.6, only 1.7 becomes 1.6"),
        ({"specVersion": None}, "only 1.7 becomes"),
        ({"components": [{"type": "model"}]}, "not valid CycloneDX 1.7"),
    ],
)
def test_what_is_no_valid_1_7_is_refused(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(FormatError, match=reason):
        to_1_6({**FULL, **change})
