"""Every form of the OpenSSF Model Signing predicate that is read, and what is no form of it."""

import hashlib
from typing import Any

import pytest

from mbom.errors import FormatError
from mbom.signing import Manifest, Statement, Subject
from mbom.signing.manifest import LEGACY_PREDICATE_TYPE, Hashing, SignedFile, interpret
from mbom.signing.oms import LEFT_OUT, PREDICATE_TYPE

A, B, C = ("aa" * 32, "bb" * 32, "cc" * 32)


def resource(name: str, digest: str = A, algorithm: str = "sha256", **others: object) -> dict[str, Any]:
    return {"name": name, "digest": digest, "algorithm": algorithm, **others}


def predicate(*resources: dict[str, Any], **serialization: object) -> dict[str, Any]:
    how = {"method": "files", "hash_type": "sha256", "allow_symlinks": False} | serialization
    return {"resources": list(resources or (resource("a"), resource("b", B))), "serialization": how}


def pieces(*names: str, size: object = 10, **serialization: object) -> dict[str, Any]:
    return predicate(*(resource(name) for name in names), method="shards", shard_size=size, **serialization)


def read(value: dict[str, Any], *, subjects: tuple[Subject, ...] | None = None) -> Manifest:
    if subjects is None:
        listed = b"".join(
            bytes.fromhex(item["digest"])
            for item in value.get("resources", [])
            if isinstance(item.get("digest"), str) and all(char in "0123456789abcdefABCDEF" for char in item["digest"])
        )
        subjects = (Subject(name="tiny", sha256=hashlib.sha256(listed).hexdigest()),)
    return interpret(Statement(subjects=subjects, predicate_type=PREDICATE_TYPE, predicate=value), what="model.sig")


def test_files_are_read_in_listed_order_whatever_it_is() -> None:
    for names in (["d-x", "d/b"], ["d/b", "d-x"], ["z", "a"]):
        found = read(predicate(*(resource(name, digest) for name, digest in zip(names, (A, B), strict=True))))
        assert [file.name for file in found.files] == names
        assert [file.digests for file in found.files] == [(A,), (B,)]
    assert (found.model, found.hashing, found.links, found.legacy) == (
        "tiny",
        Hashing(algorithm="sha256"),
        False,
        False,
    )


@pytest.mark.parametrize(("algorithm", "digits"), [("sha256", 64), ("blake2b", 128), ("blake3", 64)])
def test_every_hash_of_the_registry_is_read_with_its_length(algorithm: str, digits: int) -> None:
    found = read(predicate(resource("a", "ab" * (digits // 2), algorithm), hash_type=algorithm))
    assert found.hashing == Hashing(algorithm=algorithm)  # type: ignore[arg-type]
    with pytest.raises(FormatError, match=f"not {digits} lower-case hex digits"):
        read(predicate(resource("a", "ab" * (digits // 2 + 1), algorithm), hash_type=algorithm))


def test_pieces_are_put_together_in_the_order_of_bytes() -> None:
    found = read(
        predicate(
            resource("w:0:10", A),
            resource("w:10:20", B, "sha256-sharded-10"),
            resource("w:100:105", C),
            *(resource(f"w:{start}:{start + 10}", A) for start in range(20, 100, 10)),
            resource("v:1:2:0:7", C),
            method="shards",
            shard_size=10.0,
        )
    )
    assert found.hashing == Hashing(algorithm="sha256", piece=10)
    assert found.files == (
        SignedFile(name="w", digests=(A, B, *[A] * 8, C), size=105),
        SignedFile(name="v:1:2", digests=(C,), size=7),
    )


def test_unknown_members_of_a_resource_are_ignored_as_the_specification_says() -> None:
    assert read(predicate(resource("a", media_type="text/plain", annotations={"x": 1}))).files[0].name == "a"


def test_ignored_paths_stand_for_what_lies_below_and_the_tool_s_defaults_always_count() -> None:
    found = read(predicate(ignore_paths=["cache", "docs/a.md"]))
    assert found.ignored == ("cache", "docs/a.md")
    for name in ("cache", "cache/x/y", "docs/a.md", *LEFT_OUT, ".github/ci.yml"):
        assert found.is_ignored(name)
    for name in ("cached", "sub/cache", "docs/b.md", "sub/.gitignore", "Cache/x"):
        assert not found.is_ignored(name)


def test_a_signer_who_followed_links_is_told() -> None:
    assert read(predicate(allow_symlinks=True)).links


def test_the_deprecated_format_lists_files_as_subjects() -> None:
    subjects = (Subject(name="a", sha256=A), Subject(name="b", sha256=B))
    found = interpret(
        Statement(subjects=subjects, predicate_type=LEGACY_PREDICATE_TYPE, predicate={"unused": ""}), what="model.sig"
    )
    assert found.legacy
    assert found.files == (SignedFile(name="a", digests=(A,)), SignedFile(name="b", digests=(B,)))
    assert (found.model, found.digest, found.ignored) == (None, None, ())


def test_another_predicate_is_refused() -> None:
    with pytest.raises(FormatError, match="is no predicate of OpenSSF Model Signing"):
        interpret(
            Statement(subjects=(Subject(name="a", sha256=A),), predicate_type="urn:x", predicate=predicate()), what="m"
        )


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no resources": (predicate() | {"resources": []}, "names no file"),
    "resources that are no list": (predicate() | {"resources": {}}, "'resources' is an object"),
    "a resource twice": (predicate(resource("a"), resource("a")), "'a' occurs twice"),
    "a resource without a digest": (predicate({"name": "a", "algorithm": "sha256"}), "'digest' is missing"),
    "a digest in upper case": (predicate(resource("a", A.upper())), "not 64 lower-case hex digits"),
    "a short digest": (predicate(resource("a", A[:-2])), "not 64 lower-case hex digits"),
    "two hashes in one list": (predicate(resource("a", A, "blake3")), "the algorithm is 'blake3', the manifest says"),
    "a piece's algorithm on whole files": (predicate(resource("a", A, "sha256-sharded-10")), "the algorithm is"),
    "an unknown hash": (predicate(hash_type="md5"), "the hash is 'md5', known are sha256, blake2b, blake3"),
    "the package's name for a hash": (predicate(hash_type="blake2"), "the hash is 'blake2'"),
    "an unknown method": (predicate(method="tensors"), "the method is 'tensors'"),
    "a piece size on whole files": (predicate(shard_size=10), "unknown member 'shard_size'"),
    "pieces without a size": (predicate(resource("a:0:1"), method="shards"), "'shard_size' is missing"),
    "links that are text": (predicate(allow_symlinks="false"), "'allow_symlinks' is a string"),
    "nothing about links": (
        predicate() | {"serialization": {"method": "files", "hash_type": "sha256"}},
        "'allow_symlinks' is missing",
    ),
    "an unknown member of the serialization": (predicate(walk="fast"), "unknown member 'walk'"),
    "an unknown member of the predicate": (predicate() | {"annotations": {}}, "unknown member 'annotations'"),
    "no serialization": ({"resources": [resource("a")]}, "'serialization' is missing"),
    **{
        f"the ignored path {path!r}": (predicate(ignore_paths=[path]), "is not a plain one")
        for path in ("", ".", "..", "/", "/etc", "../x", "a/../b", "a/./b", "a//b", "a/", "*.bin", "a?", "[ab]", "a\\b")
    },
    "an ignored path that is a number": (predicate(ignore_paths=[1]), "not a string"),
    **{
        f"the piece size {size!r}": (pieces("w:0:1", size=size), "shard_size")
        for size in (0, -1, 0.5, 1e300, "10", True, None)
    },
    **{
        f"the piece {name!r}": (pieces(name), "has not the form" if bad else "is no piece of 10 bytes")
        for name, bad in {
            "w": True,
            "w:0": True,
            ":0:1": True,
            "w:-1:5": True,
            "w:00:5": True,
            "w:0:05": True,
            "w:0:+5": True,
            "w:0: 5": True,
            "w:0:٥": True,
            f"w:0:{'9' * 30}": True,
            "w:0:0": True,
            "w:0:11": False,
            "w:5:10": False,
            "w:10:5": False,
        }.items()
    },
    "a piece twice": (pieces("w:0:10", "w:0:10"), "the piece of 'w' at 0 occurs twice"),
    "a piece in two lengths": (pieces("w:0:10", "w:0:5"), "occurs twice"),
    "a hole": (pieces("w:0:10", "w:20:30"), "nothing is signed of 'w' from byte 10 to 20"),
    "no first piece": (pieces("w:10:20"), "nothing is signed of 'w' from byte 0 to 10"),
    "a short piece in the middle": (pieces("w:0:9", "w:10:20"), "nothing is signed of 'w' from byte 9 to 10"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_manifest_is_refused(case: str) -> None:
    value, said = REFUSED[case]
    with pytest.raises(FormatError, match=said) as caught:
        read(value)
    assert str(caught.value).startswith("model.sig: ")


def test_the_subject_must_follow_from_the_listed_digests() -> None:
    value = predicate()
    swapped = Subject(name="tiny", sha256=hashlib.sha256(bytes.fromhex(B + A)).hexdigest())
    with pytest.raises(FormatError, match="does not follow"):
        read(value, subjects=(swapped,))
    with pytest.raises(FormatError, match="2 subjects"):
        read(value, subjects=(swapped, Subject(name="other", sha256=A)))
