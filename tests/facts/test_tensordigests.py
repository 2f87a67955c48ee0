import hashlib
from dataclasses import replace

import pytest
import rfc8785
import shapes

from mbom.facts.tensordigests import tensor_digests
from mbom.inventory.record import TensorRecord

TABLE = shapes.records(
    [("b.weight", "BF16", (2, 3)), ('a\u00e9\u4e2d\U0001f600"\\.weight', "U8", ()), ("a.weight", "F32", (0, 7))]
)


def test_the_digests_are_those_of_canonical_json() -> None:
    found = tensor_digests(TABLE)
    table = sorted(TABLE, key=lambda tensor: tensor.name)
    structure = rfc8785.dumps([[t.name, t.dtype, list(t.shape)] for t in table])
    values = rfc8785.dumps([[t.name, t.dtype, list(t.shape), t.blake3] for t in table])
    assert found.structure == hashlib.sha256(structure).hexdigest()
    assert found.values == hashlib.sha256(values).hexdigest()


@pytest.mark.parametrize("number", [4095, 4096, 4097, 8193])
def test_a_table_of_any_length_has_one_digest(number: int) -> None:
    table = shapes.records([(f"{item:06}", "U8", (1,)) for item in range(number)])
    expected = rfc8785.dumps([[t.name, t.dtype, list(t.shape)] for t in table])
    assert tensor_digests(table).structure == hashlib.sha256(expected).hexdigest()


def test_no_tensors_have_digests_too() -> None:
    assert tensor_digests(()).structure == hashlib.sha256(b"[]").hexdigest()


def test_neither_order_nor_files_nor_offsets_matter() -> None:
    moved = tuple(replace(t, file="other.safetensors", start=t.start + 8, end=t.end + 8) for t in reversed(TABLE))
    assert tensor_digests(moved) == tensor_digests(TABLE)


@pytest.mark.parametrize("change", [{"name": "z"}, {"dtype": "F16"}, {"shape": (3, 2)}])
def test_another_structure_has_other_digests(change: dict[str, object]) -> None:
    other = (replace(TABLE[0], **change), *TABLE[1:])  # type: ignore[arg-type]
    found, before = tensor_digests(other), tensor_digests(TABLE)
    assert found.structure != before.structure
    assert found.values != before.values


def test_other_values_have_the_same_structure() -> None:
    other: tuple[TensorRecord, ...] = (replace(TABLE[0], blake3="0" * 64), *TABLE[1:])
    found, before = tensor_digests(other), tensor_digests(TABLE)
    assert found.structure == before.structure
    assert found.values != before.values


def test_values_that_were_not_read_have_no_digest() -> None:
    assert tensor_digests((replace(TABLE[0], blake3=""), *TABLE[1:])).values is None
