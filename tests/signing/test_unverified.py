import json
from typing import Any

import pytest
from pki import digest_under, issue, signed_under

from mbom.errors import FormatError
from mbom.signing import Claimed, LocalSigner, claimed, oms

STATEMENT = oms.build("tiny", [("a", "00" * 32)])


def test_a_bundle_says_what_it_is_signed_with_and_what_it_states(signer: LocalSigner) -> None:
    root = issue("Root")
    keyless = json.loads(signer.sign_statement(STATEMENT))
    keyless["verificationMaterial"] = {"certificate": {"rawBytes": ""}}
    for data, material, kind in (
        (signer.sign_statement(STATEMENT), "public key", oms.PREDICATE_TYPE),
        (signer.sign_digest("00" * 32), "public key", None),
        (signed_under(STATEMENT, root), "certificate chain", oms.PREDICATE_TYPE),
        (digest_under("00" * 32, root), "certificate chain", None),
        (json.dumps(keyless).encode(), "keyless certificate", oms.PREDICATE_TYPE),
    ):
        assert claimed(data, what="b") == Claimed(material=material, predicate_type=kind)  # type: ignore[arg-type]


def edited(signer: LocalSigner, **changes: Any) -> bytes:
    value: dict[str, Any] = json.loads(signer.sign_statement(STATEMENT))
    return json.dumps(value | changes).encode()


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no material": ({"verificationMaterial": {}}, "names 0 ways of signing"),
    "a key and a certificate": (
        {"verificationMaterial": {"publicKey": {}, "certificate": {}}},
        "names 2 ways of signing",
    ),
    "a statement and a file": ({"messageSignature": {}}, "exactly one of"),
    "neither": ({"dsseEnvelope": None}, "exactly one of"),
    "a payload that is no JSON": (
        {
            "dsseEnvelope": {
                "payload": "AAAA",
                "payloadType": "application/vnd.in-toto+json",
                "signatures": [{"sig": ""}],
            }
        },
        "statement: not",
    ),
    "no signature": (
        {"dsseEnvelope": {"payload": "e30=", "payloadType": "application/vnd.in-toto+json", "signatures": []}},
        "0 signatures",
    ),
    "a statement without a type": (
        {
            "dsseEnvelope": {
                "payload": "e30=",
                "payloadType": "application/vnd.in-toto+json",
                "signatures": [{"sig": ""}],
            }
        },
        "'predicateType' is missing",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_bundle_that_contradicts_itself_is_refused(case: str, signer: LocalSigner) -> None:
    changes, said = REFUSED[case]
    with pytest.raises(FormatError, match=said):
        claimed(edited(signer, **changes), what="b")
