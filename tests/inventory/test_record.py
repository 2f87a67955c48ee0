import copy
import json
import random
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from mbom.digest import sha256
from mbom.errors import FormatError
from mbom.inventory import DeclaredFile, FileRecord, Finding, Inventory, TensorRecord, model_digest
from mbom.inventory.record import is_path, read_structure
from mbom.inventory.roles import ROLES
from mbom.source import Origin
from mbom.tensorfile import DTYPE_BITS

SCHEMA = json.loads((Path(__file__).parents[2] / "schemas" / "inventory.schema.json").read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)

HUB = Origin(kind="hub", name="org/model", repo="org/model", revision="0123456789" * 4)
SHARD = FileRecord(name="model.safetensors", size=1000, sha256="aa" * 32, role="weights")
CONFIG = FileRecord(name="config.json", size=2, sha256="bb" * 32, role="config")
TENSORS = (
    TensorRecord(name="a", file=SHARD.name, dtype="F32", shape=(2, 8), start=100, end=164, blake3="cc" * 32),
    TensorRecord(name="b.F4", file=SHARD.name, dtype="F4", shape=(6,), start=164, end=167, blake3="dd" * 32),
    TensorRecord(name="c.empty", file=SHARD.name, dtype="BF16", shape=(0, 3), start=167, end=167, blake3="ee" * 32),
    TensorRecord(name="d.scalar", file=SHARD.name, dtype="U8", shape=(), start=167, end=168, blake3="ff" * 32),
)
FULL = Inventory(
    origin=HUB,
    files=(CONFIG, SHARD),
    tensors=TENSORS,
    declared=(
        DeclaredFile(name="metal/model.bin", size=7, sha256="11" * 32, git_blob=None),
        DeclaredFile(name="original/a.pth", size=0, sha256=None, git_blob="22" * 20),
    ),
    findings=(
        Finding(id="code-present", severity="warning", path="a.py", detail="1 file: ä"),
        Finding(id="weights-other-set", severity="note", path="metal/model.bin", detail="1 file"),
    ),
)
FOLDER = replace(FULL, origin=Origin(kind="folder", name="my model"), declared=(), findings=())
EMPTY = Inventory(origin=Origin(kind="folder", name="x"), files=(), tensors=())


@pytest.mark.parametrize("inventory", [FULL, FOLDER, EMPTY], ids=["hub", "folder", "empty"])
def test_an_inventory_reads_back_and_satisfies_the_schema(inventory: Inventory) -> None:
    data = inventory.to_bytes()
    assert Inventory.from_bytes(data) == inventory
    VALIDATOR.validate(json.loads(data))


def test_the_schema_is_a_schema_and_lists_what_the_code_lists() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    definitions = SCHEMA["$defs"]
    assert definitions["file"]["properties"]["role"]["enum"] == list(ROLES)
    assert definitions["tensor"]["properties"]["dtype"]["enum"] == list(DTYPE_BITS)


def test_the_model_digest_is_over_canonical_json_of_names_digests_and_sizes() -> None:
    rows = b'[{"name":"config.json","sha256":"%s","size":2},{"name":"model.safetensors","sha256":"%s","size":1000}]'
    assert model_digest([SHARD, CONFIG]) == sha256(rows % (b"bb" * 32, b"aa" * 32)) == FULL.digest


def test_files_are_sorted_by_code_point_for_the_digest() -> None:
    names = ["Z", "a", "b/c", "b.c", "é", "\uffee", "\U0001f600"]
    files = [FileRecord(name=name, size=1, sha256="aa" * 32, role="other") for name in names]
    shuffled = random.Random(1).sample(files, len(files))
    assert model_digest(files) == model_digest(shuffled)
    listed = sorted(names, key=lambda name: [ord(char) for char in name])
    rows = [{"name": name, "sha256": "aa" * 32, "size": 1} for name in listed]
    assert model_digest(files) == sha256(json.dumps(rows, ensure_ascii=False, separators=(",", ":")).encode())


def test_the_digest_binds_name_size_and_content() -> None:
    changed = [replace(SHARD, name="other"), replace(SHARD, size=1001), replace(SHARD, sha256="ab" * 32)]
    assert len({model_digest([CONFIG, file]) for file in (SHARD, *changed)}) == 4


PATHS = {
    "config.json": True, "a/b/c.json": True, ".gitattributes": True, "...": True, "a/..b": True, "ä ö.txt": True,
    "": False, "/etc/passwd": False, "..": False, "../x": False, "a/../b": False, "a/..": False, ".": False,
    "./a": False, "a/./b": False, "a//b": False, "a/": False, "a\\b": False, "a\nb": False, "a\n": False, "a\0": False,
    "\u202eab": False, "a" * 4097: False, "a" * 4096: True,
}  # fmt: skip


@pytest.mark.parametrize(("name", "plain"), PATHS.items())
def test_a_path_is_plain_for_the_code_and_the_schema_alike(name: str, plain: bool) -> None:
    assert is_path(name) is plain
    path_schema = {**SCHEMA["$defs"]["path"], "$schema": SCHEMA["$schema"]}
    assert jsonschema.Draft202012Validator(path_schema).is_valid(name) is plain


def test_every_character_is_printable_for_the_code_and_the_schema_alike() -> None:
    validator = jsonschema.Draft202012Validator({**SCHEMA["$defs"]["path"], "$schema": SCHEMA["$schema"]})
    for point in [*range(0x2100), *range(0xFE00, 0x10000, 7)]:
        if not 0xD800 <= point <= 0xDFFF:
            assert is_path(f"a{chr(point)}b") is validator.is_valid(f"a{chr(point)}b"), hex(point)


VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 2, 7, 2**53 - 1, 2**53, 2**63, "", "a", "hub", "folder", "error", "weights", "F32",
    "F8", "aa" * 32, "AA" * 32, "aa" * 20, "aa" * 32 + "\n", "config.json", "../x", "/x", "a\nb", "x" * 5000, [], [0],
    [0, 1], [1] * 9, [2**48], [2**48 + 1], [-1, 1], [True], ["a"], {}, {"a": 1}, "urn:mbom:inventory:v2", "Not An Id",
    "a-b",
]  # fmt: skip

REMOVED, ADDED = object(), object()


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value inside a document."""
    found = [path] if path else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        found.extend(places(item, (*path, key)))
    return found


def mutations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every document that differs in one member: replaced, removed, doubled or with an unknown one beside it."""
    for path in places(document):
        for change in [*VALUES, REMOVED, ADDED]:
            copied = copy.deepcopy(document)
            parent: Any = copied
            for key in path[:-1]:
                parent = parent[key]
            if change is REMOVED:
                del parent[path[-1]]
            elif change is not ADDED:
                parent[path[-1]] = change
            elif isinstance(parent, dict):
                parent["unknown"] = 1
            else:
                parent.append(parent[path[-1]])
            yield copied


SMALL = replace(FULL, files=(SHARD,), tensors=TENSORS[:1], declared=FULL.declared[:1], findings=FULL.findings[:1])


@pytest.mark.parametrize("inventory", [SMALL, replace(EMPTY, files=(CONFIG,))], ids=["hub", "folder"])
def test_reader_and_schema_agree_on_every_document_that_differs_in_one_member(inventory: Inventory) -> None:
    valid = invalid = 0
    for document in mutations(json.loads(inventory.to_bytes())):
        try:
            read_structure(json.dumps(document).encode(), "inventory.json")
            read = True
        except FormatError:
            read = False
        assert read is VALIDATOR.is_valid(document), document
        valid, invalid = valid + read, invalid + (not read)
    assert valid > 40
    assert invalid > 400


def with_tensor(**changes: Any) -> Inventory:
    return replace(FULL, tensors=(*TENSORS[:3], replace(TENSORS[3], **changes)))


INCONSISTENT = {
    "files out of order": (replace(FULL, files=(SHARD, CONFIG)), "is not in order"),
    "a file twice": (replace(FULL, files=(CONFIG, SHARD, SHARD)), "occurs twice"),
    "tensors out of order": (replace(FULL, tensors=TENSORS[::-1]), "is not in order"),
    "a tensor twice": (replace(FULL, tensors=(TENSORS[0], *TENSORS)), "occurs twice"),
    "declared out of order": (replace(FULL, declared=FULL.declared[::-1]), "is not in order"),
    "findings out of order": (replace(FULL, findings=FULL.findings[::-1]), "not sorted"),
    "a file both read and declared": (
        replace(FULL, declared=(DeclaredFile(name="config.json", size=2, sha256=None, git_blob=None),)),
        "declared one",
    ),
    "a tensor in a file that is not listed": (with_tensor(file="other.safetensors"), "not a weights file"),
    "a tensor in a file that holds none": (with_tensor(file="config.json"), "not a weights file"),
    "a tensor of another size": (with_tensor(end=169), "do not fit"),
    "a tensor that runs backwards": (with_tensor(start=168, end=167), "do not fit"),
    "a tensor over another": (with_tensor(start=166, end=167), "overlaps"),
    "a tensor beyond the end": (with_tensor(start=1000, end=1001), "overlaps"),
}


@pytest.mark.parametrize(("inventory", "reason"), INCONSISTENT.values(), ids=INCONSISTENT.keys())
def test_a_contradiction_inside_the_document_is_refused(inventory: Inventory, reason: str) -> None:
    data = inventory.to_bytes()
    VALIDATOR.validate(json.loads(data))
    with pytest.raises(FormatError, match=reason):
        Inventory.from_bytes(data)


@pytest.mark.parametrize("old", [b"bb" * 32, b'"size": 2\n', b'"name": "config.json"'])
def test_a_model_digest_that_does_not_follow_is_refused(old: bytes) -> None:
    new = {b"bb" * 32: b"ba" * 32, b'"size": 2\n': b'"size": 3\n', b'"name": "config.json"': b'"name": "confih.json"'}
    data = FULL.to_bytes()
    assert data.count(old) == 1
    with pytest.raises(FormatError, match="states the model digest"):
        Inventory.from_bytes(data.replace(old, new[old]))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"schema"', b'"schema": "urn:mbom:inventory:v1", "schema"'),
        (b'"size": 2\n', b'"size": 2.0\n'),
        (b"{", b" \xff{"),
    ],
    ids=["a key twice", "a size with a fraction", "not UTF-8"],
)
def test_what_is_not_strict_json_is_refused(old: bytes, new: bytes) -> None:
    with pytest.raises(FormatError):
        Inventory.from_bytes(FULL.to_bytes().replace(old, new, 1))


def test_forty_thousand_tensors_are_read_in_about_a_second() -> None:
    count = 40_000
    shard = FileRecord(name="model.safetensors", size=8 * count + 8, sha256="aa" * 32, role="weights")
    tensors = tuple(
        TensorRecord(
            name=f"model.layers.{n:06}.weight", file=shard.name, dtype="BF16", shape=(2, 2), start=8 * n + 8,
            end=8 * n + 16, blake3="cc" * 32,
        )
        for n in range(count)
    )  # fmt: skip
    inventory = Inventory(origin=HUB, files=(shard,), tensors=tensors)
    begin = time.process_time()
    assert Inventory.from_bytes(inventory.to_bytes()) == inventory
    assert time.process_time() - begin < 10  # about a second on an idle machine; quadratic work would take hours
