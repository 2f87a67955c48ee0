import hashlib
import json
from typing import Any

import pytest

from mbom.errors import FormatError
from mbom.signing import OmsManifest, Statement, Subject
from mbom.signing.oms import LEFT_OUT, PREDICATE_TYPE, build, interpret, is_left_out
from mbom.signing.statement import parse

A, B, C = ("aa" * 32, "bb" * 32, "cc" * 32)


def root(*digests: str) -> str:
    return hashlib.sha256(bytes.fromhex("".join(digests))).hexdigest()


def resource(name: str, digest: str = A) -> dict[str, Any]:
    return {"name": name, "digest": digest, "algorithm": "sha256"}


def predicate() -> dict[str, Any]:
    return {
        "resources": [resource("a"), resource("b", B)],
        "serialization": {"method": "files", "hash_type": "sha256", "allow_symlinks": False},
    }


def statement(value: dict[str, Any], subjects: list[Subject] | None = None) -> Statement:
    if subjects is None:
        listed = [item["digest"] for item in value.get("resources", [])]
        subjects = [Subject(name="model", sha256=root(*listed))]
    return Statement(subjects=tuple(subjects), predicate_type=PREDICATE_TYPE, predicate=value)


def reread(data: bytes) -> OmsManifest:
    return interpret(parse(data, predicate_type=PREDICATE_TYPE, what="m"), what="m")


def test_what_was_built_is_read_back_sorted_by_code_point() -> None:
    manifest = reread(build("model", [("d/b", B), ("\U0001f600", C), ("d-x", A), ("\uffee", A)]))
    assert manifest == OmsManifest(
        model="model",
        resources=(
            Subject(name="d-x", sha256=A),
            Subject(name="d/b", sha256=B),
            Subject(name="\uffee", sha256=A),
            Subject(name="\U0001f600", sha256=C),
        ),
        ignored=LEFT_OUT,
    )


def test_the_subject_s_digest_is_over_the_raw_digests_in_listed_order() -> None:
    value = json.loads(build("model", [("b", B), ("a", A)]))
    assert value["subject"] == [{"name": "model", "digest": {"sha256": root(A, B)}}]


def test_git_s_files_at_the_top_are_left_out_and_listed() -> None:
    files = [(".gitattributes", A), (".gitignore", A), (".github/ci.yml", A), (".git/HEAD", A), ("a", A)]
    value = json.loads(build("model", files))
    assert [item["name"] for item in value["predicate"]["resources"]] == ["a"]
    assert value["predicate"]["serialization"]["ignore_paths"] == [".git", ".gitattributes", ".github", ".gitignore"]


@pytest.mark.parametrize("name", ["sub/.gitignore", ".gitmodules", "x.gitignore", ".GIT/HEAD", ".env", "a/.git/HEAD"])
def test_other_names_are_not_left_out(name: str) -> None:
    assert not is_left_out(name)
    assert reread(build("model", [(name, A)])).resources == (Subject(name=name, sha256=A),)


def test_nothing_to_sign_is_refused() -> None:
    with pytest.raises(FormatError, match="names no file"):
        build("model", [(".gitattributes", A)])


@pytest.mark.parametrize("name", ["", "/a", "a/", "a//b", ".", "./a", "a/./b", "..", "../a", "a/../b"])
def test_a_name_that_is_no_plain_path_is_neither_written_nor_read(name: str) -> None:
    with pytest.raises(FormatError):
        build("model", [(name, A)])
    with pytest.raises(FormatError):
        interpret(statement(predicate() | {"resources": [resource(name)]}), what="m")


def test_the_order_by_path_component_is_accepted() -> None:
    names = ["d/b", "d-x/c"]
    assert names != sorted(names)
    manifest = interpret(statement(predicate() | {"resources": [resource(name) for name in names]}), what="m")
    assert [item.name for item in manifest.resources] == names


@pytest.mark.parametrize("links", [True, False])
def test_a_signer_that_followed_links_is_accepted(links: bool) -> None:
    value = predicate()
    value["serialization"]["allow_symlinks"] = links
    assert len(interpret(statement(value), what="m").resources) == 2


def test_paths_that_another_tool_left_out_are_returned() -> None:
    value = predicate()
    value["serialization"]["ignore_paths"] = ["weights", ".git"]
    assert interpret(statement(value), what="m").ignored == ("weights", ".git")


def serialization(**members: object) -> dict[str, Any]:
    return {"serialization": predicate()["serialization"] | members}


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no resources": ({"resources": []}, "names no file"),
    "a resource twice": ({"resources": [resource("a"), resource("a")]}, "'a' occurs twice"),
    "an unsorted list": ({"resources": [resource("b"), resource("a")]}, "not sorted by name"),
    "a resource of another algorithm": ({"resources": [resource("a") | {"algorithm": "blake3"}]}, "'algorithm' is"),
    "a resource with an unknown member": ({"resources": [resource("a") | {"uri": "x"}]}, "unknown member 'uri'"),
    "a digest in upper case": ({"resources": [resource("a", A.upper())]}, "not 64 lower-case hex digits"),
    "a short digest": ({"resources": [resource("a", A[:-2])]}, "not 64 lower-case hex digits"),
    "the method shards": (serialization(method="shards", shard_size=1000000), "only 'files' is known"),
    "a shard size": (serialization(shard_size=1000000), "unknown member 'shard_size'"),
    "the hash blake2b": (serialization(hash_type="blake2b"), "only 'sha256' is known"),
    "links that are text": (serialization(allow_symlinks="false"), "'allow_symlinks' is a string"),
    "ignored paths that are no strings": (serialization(ignore_paths=[1]), "not a string"),
    "an unknown member": ({"annotations": {}}, "unknown member 'annotations'"),
    "no serialization": ({"serialization": None}, "'serialization' is null"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_predicate_that_is_not_exactly_one_is_refused(case: str) -> None:
    change, said = REFUSED[case]
    with pytest.raises(FormatError, match=said):
        interpret(statement(predicate() | change), what="m")


def test_a_root_digest_that_does_not_follow_is_refused() -> None:
    with pytest.raises(FormatError, match="does not follow"):
        interpret(statement(predicate(), [Subject(name="model", sha256=root(B, A))]), what="m")


def test_two_subjects_are_refused() -> None:
    subjects = [Subject(name="model", sha256=root(A, B)), Subject(name="other", sha256=A)]
    with pytest.raises(FormatError, match="2 subjects"):
        interpret(statement(predicate(), subjects), what="m")
