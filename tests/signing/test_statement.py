import json
from typing import Any

import pytest
from google.protobuf import json_format  # type: ignore[import-untyped]
from in_toto_attestation.v1 import statement_pb2  # type: ignore[import-untyped]
from in_toto_attestation.v1.statement import Statement as PeerStatement  # type: ignore[import-untyped]

from mbom.errors import FormatError
from mbom.signing import Statement, Subject
from mbom.signing.statement import build, parse

KIND = "urn:example:v1"
DIGEST = "ab" * 32


def good() -> dict[str, Any]:
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "a", "digest": {"sha256": DIGEST}}, {"name": "b", "digest": {"sha256": "00" * 32}}],
        "predicateType": KIND,
        "predicate": {"x": 1},
    }


def test_a_statement_is_read_back_as_it_was_built() -> None:
    data = build([("a", DIGEST), ("b", "00" * 32)], KIND, {"x": 1.5})
    assert parse(data, predicate_type=KIND, what="s") == Statement(
        subjects=(Subject(name="a", sha256=DIGEST), Subject(name="b", sha256="00" * 32)),
        predicate_type=KIND,
        predicate={"x": 1.5},
    )


def test_the_bytes_are_the_canonical_json_of_rfc_8785() -> None:
    # Members sorted, no white space, numbers as ECMAScript prints them.
    assert (
        build([("é", DIGEST)], KIND, {"z": 1e21, "a": "\u20ac"})
        == (
            '{"_type":"https://in-toto.io/Statement/v1","predicate":{"a":"€","z":1e+21},"predicateType":"urn:example:v1",'
            '"subject":[{"digest":{"sha256":"' + DIGEST + '"},"name":"é"}]}'
        ).encode()
    )


def test_in_toto_s_own_library_finds_it_valid() -> None:
    message = json_format.Parse(build([("a", DIGEST)], KIND, {"x": 1}), statement_pb2.Statement())
    PeerStatement.copy_from_pb(message).validate()
    assert message.subject[0].digest["sha256"] == DIGEST


def test_the_order_of_members_and_white_space_do_not_matter_on_reading() -> None:
    assert parse(json.dumps(good(), indent=2).encode(), predicate_type=KIND, what="s").predicate == {"x": 1}


def test_a_statement_about_nothing_cannot_be_built() -> None:
    with pytest.raises(FormatError, match="names no file"):
        build([], KIND, {})


def test_a_statement_with_a_doubled_name_cannot_be_built() -> None:
    with pytest.raises(FormatError, match="'a' occurs twice"):
        build([("a", DIGEST), ("a", "00" * 32)], KIND, {})


def test_a_statement_with_a_malformed_digest_cannot_be_built() -> None:
    with pytest.raises(FormatError, match="SHA-256 of 'a' is not"):
        build([("a", DIGEST.upper())], KIND, {})


def subject(**members: object) -> dict[str, Any]:
    return {"subject": [{"name": "a", "digest": {"sha256": DIGEST}} | members]}


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "another statement version": ({"_type": "https://in-toto.io/Statement/v0.1"}, "'_type' is"),
    "another predicate type": ({"predicateType": "urn:example:v2"}, "only 'urn:example:v1' is known"),
    "a predicate type in another case": ({"predicateType": "URN:example:v1"}, "only 'urn:example:v1' is known"),
    "no subjects": ({"subject": []}, "names no file"),
    "subjects that are no array": ({"subject": {}}, "'subject' is an object"),
    "a subject that is no object": ({"subject": ["a"]}, "a string where an object belongs"),
    "a subject twice": ({"subject": good()["subject"][:1] * 2}, "'a' occurs twice"),
    "a subject with an empty name": (subject(name=""), "empty name"),
    "a subject whose name is a number": (subject(name=1), "'name' is an integer"),
    "a subject with an unknown member": (subject(uri="https://example.com"), "unknown member 'uri'"),
    "a digest in upper case": (subject(digest={"sha256": DIGEST.upper()}), "not 64 lower-case hex digits"),
    "a short digest": (subject(digest={"sha256": DIGEST[:-1]}), "not 64 lower-case hex digits"),
    "a long digest": (subject(digest={"sha256": DIGEST + "a"}), "not 64 lower-case hex digits"),
    "a digest with a newline": (subject(digest={"sha256": DIGEST + "\n"}), "not 64 lower-case hex digits"),
    "a digest in other digits": (subject(digest={"sha256": "٠" * 64}), "not 64 lower-case hex digits"),
    "no digest": (subject(digest={}), "'sha256' is missing"),
    "a null digest": (subject(digest={"sha256": None}), "'sha256' is null"),
    "another algorithm alone": (subject(digest={"sha1": "ab" * 20}), "'sha256' is missing"),
    "another algorithm beside": (subject(digest={"sha256": DIGEST, "md5": "0"}), "unknown member 'md5'"),
    "a predicate that is no object": ({"predicate": []}, "the predicate is not an object"),
    "a null predicate": ({"predicate": None}, "the predicate is not an object"),
    "an unknown member": ({"more": 1}, "unknown member 'more'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_statement_that_is_not_exactly_one_is_refused(case: str) -> None:
    change, said = REFUSED[case]
    with pytest.raises(FormatError, match=said):
        parse(json.dumps(good() | change).encode(), predicate_type=KIND, what="s")


@pytest.mark.parametrize("member", ["_type", "subject", "predicateType", "predicate"])
def test_every_member_is_needed(member: str) -> None:
    value = good()
    del value[member]
    with pytest.raises(FormatError, match=f"'{member}' is missing"):
        parse(json.dumps(value).encode(), predicate_type=KIND, what="s")
