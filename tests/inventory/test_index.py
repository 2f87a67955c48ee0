import json
from dataclasses import replace

import pytest
from checkpoints import Tensors, index_of, random_tensors

from mbom.errors import FormatError
from mbom.inventory.findings import SHOWN
from mbom.inventory.index import Index, closure, outside, read_index
from mbom.tensorfile import Header, dump, parse_header

PARTS: dict[str, Tensors] = {
    "model-00000-of-00002.safetensors": dict(list(random_tensors(9).items())[:5]),
    "model-00001-of-00002.safetensors": dict(list(random_tensors(9).items())[5:]),
}
ONE, TWO = PARTS
INDEX = read_index(json.dumps(index_of(PARTS)).encode())


def headers(parts: dict[str, Tensors]) -> dict[str, Header]:
    return {name: parse_header(data, len(data), name) for name, data in ((n, dump(t)) for n, t in parts.items())}


def ids(index: Index, parts: dict[str, Tensors]) -> dict[tuple[str, str], str]:
    return {(finding.id, finding.path): finding.detail for finding in closure(index, headers(parts))}


def test_an_honest_index_agrees_with_its_headers() -> None:
    assert closure(INDEX, headers(PARTS)) == []
    assert INDEX.shards == (ONE, TWO)


def test_a_tensor_that_the_index_lists_and_no_header_holds_is_named() -> None:
    index = replace(INDEX, weight_map={**INDEX.weight_map, "ghost": TWO})
    assert ids(index, PARTS) == {
        ("index-missing-tensor", TWO): "1 tensors that the index places here are not in the header: ghost"
    }


def test_a_tensor_that_a_header_holds_and_the_index_does_not_list_is_named() -> None:
    stowaway = {**PARTS, TWO: {**PARTS[TWO], "stowaway": ("U8", (1,), b"x")}}
    found = ids(INDEX, stowaway)
    assert found.keys() == {("index-unlisted-tensor", TWO), ("index-total-size", "model.safetensors.index.json")}
    assert "stowaway" in found["index-unlisted-tensor", TWO]


def test_a_tensor_in_another_shard_than_the_index_says_is_named_twice() -> None:
    moved = next(iter(PARTS[ONE]))
    index = replace(INDEX, weight_map={**INDEX.weight_map, moved: TWO})
    assert ids(index, PARTS).keys() == {("index-unlisted-tensor", ONE), ("index-missing-tensor", TWO)}


def test_another_total_size_is_a_warning_with_both_numbers() -> None:
    assert INDEX.total_size is not None
    (finding,) = closure(replace(INDEX, total_size=INDEX.total_size + 1), headers(PARTS))
    assert finding.severity == "warning"
    assert str(INDEX.total_size) in finding.detail
    assert str(INDEX.total_size + 1) in finding.detail


def test_the_total_size_is_not_judged_while_a_shard_is_missing() -> None:
    assert closure(INDEX, {ONE: headers(PARTS)[ONE]}) == []


def test_a_million_missing_tensors_make_one_short_finding() -> None:
    index = replace(INDEX, weight_map={**INDEX.weight_map, **{f"ghost.{n:07}": TWO for n in range(100_000)}})
    (detail,) = ids(index, PARTS).values()
    assert f"and {100_000 - SHOWN} more" in detail
    assert len(detail) < 400


ESCAPES = ["../x.safetensors", "/etc/x.safetensors", "a/../../x.safetensors", "a\\x.safetensors", "./x.safetensors", ""]


@pytest.mark.parametrize("name", ESCAPES)
def test_a_shard_outside_the_checkpoint_is_told_apart(name: str) -> None:
    index = replace(INDEX, weight_map={**INDEX.weight_map, "w": name, "v": "sub/ok.safetensors"})
    assert outside(index) == (name,)


@pytest.mark.parametrize(("total", "read"), [(12, 12), (12.0, 12), (0, 0), (None, None)])
def test_a_total_size_may_be_a_whole_float_or_missing(total: float | None, read: int | None) -> None:
    document = {"metadata": {"total_size": total, "total_parameters": 3}, "weight_map": {"w": "x"}, "extra": 1}
    assert read_index(json.dumps(document).encode()).total_size == read
    assert read_index(b'{"weight_map": {"w": "x"}}').total_size is None


MALFORMED = [
    b"", b"[]", b"{}", b'{"weight_map": {}}', b'{"weight_map": []}', b'{"weight_map": {"a": 1}}',
    b'{"weight_map": {"a": null}}', b'{"weight_map": {"a": ["x"]}}', b'{"weight_map": {"a": "x", "a": "y"}}',
    b'{"weight_map": {"a": "x"}, "weight_map": {"a": "y"}}', b'{"weight_map": {"a": "x"}, "metadata": []}',
    b'{"weight_map": {"a": "x"}, "metadata": {"total_size": 1.5}}',
    b'{"weight_map": {"a": "x"}, "metadata": {"total_size": -1}}',
    b'{"weight_map": {"a": "x"}, "metadata": {"total_size": true}}',
    b'{"weight_map": {"a": "x"}, "metadata": {"total_size": "9"}}', b"[" * 100_000,
]  # fmt: skip


@pytest.mark.parametrize("data", MALFORMED, ids=lambda data: data[:60].decode())
def test_a_malformed_index_is_refused_by_name(data: bytes) -> None:
    with pytest.raises(FormatError, match=r"^model\.safetensors\.index\.json: "):
        read_index(data)
