import json
import os
import random
import re
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from checkpoints import random_tensors
from safetensors import SafetensorError, TensorSpec, deserialize, safe_open, serialize

from mbom.errors import FormatError
from mbom.tensorfile import (
    DTYPE_BITS,
    FORMAT_LIMIT,
    HEADER_LIMIT,
    RANK_LIMIT,
    Header,
    dump,
    header_length,
    parse_header,
    read_header,
)

ENTRY = '"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}'


def packed(header: object, data: bytes = b"") -> bytes:
    document = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(document).to_bytes(8, "little") + document + data


def entry(dtype: object = "U8", shape: object = (1,), offsets: object = (0, 1), **more: object) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets, **more}


def library_table(data: bytes) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    """What the safetensors library reads, the data included."""
    views = deserialize(data)  # type: ignore[no-untyped-call]
    return {name: (view["dtype"], tuple(view["shape"]), bytes(view["data"])) for name, view in views}


def our_table(data: bytes, header: Header) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    return {tensor.name: (tensor.dtype, tensor.shape, data[tensor.start : tensor.end]) for tensor in header.tensors}


def library_accepts(data: bytes) -> bool:
    try:
        deserialize(data)  # type: ignore[no-untyped-call]
    except SafetensorError:
        return False
    return True


def library_dtypes() -> list[str]:
    """The library names every dtype that it knows, in its own order, when it meets another."""
    with pytest.raises(SafetensorError, match="unknown variant") as refusal:
        deserialize(packed({"a": entry("NONE")}, b"\0"))  # type: ignore[no-untyped-call]
    return re.findall(r"`(\w+)`", str(refusal.value).partition("expected")[2])


def test_the_table_of_dtypes_is_that_of_the_library() -> None:
    assert list(DTYPE_BITS) == library_dtypes()
    for dtype, bits in DTYPE_BITS.items():
        accepted = [n for n in range(80) if library_accepts(packed({"a": entry(dtype, [8], [0, n])}, bytes(n)))]
        assert accepted == [bits]


@pytest.mark.parametrize("seed", range(5))
def test_honest_files_read_as_the_library_reads_them(seed: int) -> None:
    data = dump(random_tensors(30, seed=seed, dtypes=DTYPE_BITS), {"format": "pt", "ключ": "значение"})
    header = parse_header(data, len(data), "model")
    assert our_table(data, header) == library_table(data)
    assert header.metadata == {"format": "pt", "ключ": "значение"}
    assert [tensor.start for tensor in header.tensors] == sorted(tensor.start for tensor in header.tensors)


@pytest.mark.parametrize("seed", range(5))
def test_dump_writes_the_bytes_that_the_library_writes(seed: int) -> None:
    tensors = random_tensors(30, seed=seed, dtypes=("F64", "F32", "I32", "F16", "I16", "U8", "BOOL"))
    names = {"F64": "float64", "F32": "float32", "I32": "int32", "F16": "float16", "I16": "int16", "U8": "uint8"}
    arrays = {name: np.frombuffer(data, dtype=np.uint8) for name, (_, _, data) in tensors.items()}
    specs = {
        name: TensorSpec(
            dtype=names.get(dtype, "bool"), shape=list(shape), data_ptr=arrays[name].ctypes.data, data_len=len(data)
        )
        for name, (dtype, shape, data) in tensors.items()
    }
    assert dump(tensors, {"format": "pt"}) == bytes(serialize(specs, metadata={"format": "pt"}))


def test_dump_gives_the_same_bytes_for_any_order_of_tensors_and_metadata() -> None:
    tensors = random_tensors(20, seed=3)
    backwards = dict(reversed(tensors.items()))
    assert dump(tensors, {"a": "1", "b": "2"}) == dump(backwards, {"b": "2", "a": "1"})


def test_a_file_without_tensors_and_tensors_without_elements_are_read() -> None:
    empty = dump({})
    assert parse_header(empty, len(empty), "model").tensors == ()
    hollow = dump({"none": ("F32", (0, 4), b""), "one": ("U8", (1,), b"x"), "zero": ("U8", (0,), b"")})
    assert our_table(hollow, parse_header(hollow, len(hollow), "model")) == library_table(hollow)


def test_a_header_reads_the_same_from_a_descriptor_and_from_memory(tmp_path: Path) -> None:
    data = dump(random_tensors(10))
    path = tmp_path / "model.safetensors"
    path.write_bytes(data)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.lseek(descriptor, 5, os.SEEK_SET)
        assert read_header(descriptor, "model") == parse_header(data, len(data), "model")
        assert os.lseek(descriptor, 0, os.SEEK_CUR) == 5
    finally:
        os.close(descriptor)


MALFORMED = {
    "no file": (b"", "at least 8"),
    "seven bytes": (b"\0" * 7, "at least 8"),
    "an empty header": (packed(b""), "opening brace"),
    "a header beyond the file": ((100).to_bytes(8, "little") + b"{}", "truncated"),
    "a header beyond what the format allows": ((FORMAT_LIMIT + 1).to_bytes(8, "little") + b"{}", "the format allows"),
    "the largest length": (b"\xff" * 8 + b"{}", "the format allows"),
    "a space before the brace": (packed(b" {" + ENTRY.encode() + b"}", b"x"), "opening brace"),
    "a tab after the brace": (packed(b"{" + ENTRY.encode() + b"}\t", b"x"), "closing brace"),
    "a zero byte after the brace": (packed(b"{}\0"), "closing brace"),
    "two documents": (packed(b"{}{}"), "not JSON"),
    "an array": (packed(b"[]"), "opening brace"),
    "not UTF-8": (packed(b'{"\xff":1}'), "UTF-8"),
    "a lone surrogate": (packed(b'{"\\ud800":' + json.dumps(entry()).encode() + b"}", b"x"), "surrogate"),
    "a tensor name twice": (packed(f"{{{ENTRY},{ENTRY}}}".encode(), b"x"), "occurs twice"),
    "a member twice": (packed(b'{"a":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}}', b"x"), "twice"),
    "a metadata key twice": (packed(b'{"__metadata__":{"k":"1","k":"2"}}'), "occurs twice"),
    "metadata that is no object": (packed({"__metadata__": []}), "not an object"),
    "metadata that is null": (packed({"__metadata__": None}), "not an object"),
    "metadata with a number": (packed({"__metadata__": {"k": 1}}), "not a string"),
    "an unknown member": (packed({"a": entry(extra=1)}, b"x"), "exactly"),
    "a missing member": (packed({"a": {"dtype": "U8", "shape": [1]}}, b"x"), "exactly"),
    "an entry as an array": (packed({"a": ["U8", [1], [0, 1]]}, b"x"), "exactly"),
    "an unknown dtype": (packed({"a": entry("F8")}, b"x"), "unknown"),
    "a dtype that is a number": (packed({"a": entry(dtype=8)}, b"x"), "unknown"),
    "a name with a newline": (packed({"a\nb": entry()}, b"x"), "tensor name"),
    "a name that turns the text around": (packed({"a\u202eb": entry()}, b"x"), "tensor name"),
    "an empty name": (packed({"": entry()}, b"x"), "tensor name"),
    "a name without end": (packed({"a" * 1025: entry()}, b"x"), "tensor name"),
    "a negative dimension": (packed({"a": entry(shape=[-1])}, b"x"), "shape"),
    "a dimension of true": (packed({"a": entry(shape=[True])}, b"x"), "shape"),
    "a dimension with a fraction": (packed({"a": entry(shape=[1.0])}, b"x"), "only integers"),
    "a dimension of minus zero": (packed(b'{"a":{"dtype":"U8","shape":[-0],"data_offsets":[0,0]}}'), "-0"),
    "a dimension of a hundred digits": (packed({"a": entry(shape=[10**99])}, b"x"), "digits"),
    "too many dimensions": (packed({"a": entry(shape=[1] * (RANK_LIMIT + 1))}, b"x"), "shape"),
    "dimensions that overflow beside a zero": (packed({"a": entry(shape=[2**48, 2**48, 0], offsets=[0, 0])}), "64"),
    "offsets that run backwards": (packed({"a": entry(offsets=[1, 0])}, b"x"), "offsets"),
    "three offsets": (packed({"a": entry(offsets=[0, 1, 1])}, b"x"), "offsets"),
    "offsets as a string": (packed({"a": entry(offsets="01")}, b"x"), "offsets"),
    "a shape of another size": (packed({"a": entry(shape=[2])}, b"x"), "shape and dtype"),
    "half a byte": (packed({"a": entry("F4", [3], [0, 1])}, b"x"), "whole bytes"),
    "a hole": (packed({"a": entry(), "b": entry(offsets=[2, 3])}, b"xyz"), "hole"),
    "a hole at the front": (packed({"a": entry(offsets=[1, 2])}, b"xy"), "hole"),
    "an overlap": (packed({"a": entry(shape=[2], offsets=[0, 2]), "b": entry(offsets=[1, 2])}, b"xy"), "overlaps"),
    "two tensors in one place": (packed({"a": entry(), "b": entry()}, b"x"), "overlaps"),
    "bytes behind the last tensor": (packed({"a": entry()}, b"xy"), "belongs to no tensor"),
    "tensors beyond the end": (packed({"a": entry(shape=[2], offsets=[0, 2])}, b"x"), "truncated"),
    "nesting": (packed(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"), "nested"),
}


@pytest.mark.parametrize(("data", "reason"), MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_file_is_refused_by_name_and_reason(data: bytes, reason: str) -> None:
    with pytest.raises(FormatError, match=re.escape(reason)) as refusal:
        parse_header(data, len(data), "shards/model.safetensors")
    assert str(refusal.value).startswith("shards/model.safetensors: ")


@pytest.mark.parametrize(
    "name",
    ["a space before the brace", "a tensor name twice", "a metadata key twice", "an unknown member"],
)
def test_what_the_library_lets_pass_is_refused_here(name: str) -> None:
    assert library_accepts(MALFORMED[name][0])


def test_a_file_cut_anywhere_is_refused() -> None:
    data = dump(random_tensors(3))
    for size in range(len(data)):
        with pytest.raises(FormatError):
            parse_header(data[:size], size, "model")


def test_a_head_that_ends_inside_the_header_is_refused_though_the_file_is_whole() -> None:
    data = dump(random_tensors(3))
    with pytest.raises(FormatError, match="bytes of header where"):
        parse_header(data[:40], len(data), "model")


def test_a_length_is_refused_before_anything_of_that_size_is_allocated(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    with path.open("wb") as file:
        file.write((HEADER_LIMIT + 1).to_bytes(8, "little"))
        file.truncate(HEADER_LIMIT * 4)  # sparse
    descriptor = os.open(path, os.O_RDONLY)
    tracemalloc.start()
    try:
        with pytest.raises(FormatError, match="the limit is"):
            read_header(descriptor, "model")
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
        os.close(descriptor)


def test_a_header_of_exactly_the_limit_passes_the_length_check() -> None:
    prefix = HEADER_LIMIT.to_bytes(8, "little")
    assert header_length(prefix, HEADER_LIMIT + 8, "model") == HEADER_LIMIT


FRAGMENTS = [
    b"0", b"1", b"-", b"-0", b"1e0", b".0", b"true", b"null", b'"', b"\\", b"\\u0000", b"\\ud83d\\ude00", b"{", b"}",
    b"[", b"]", b",", b":", b" ", b"\t", b"\n", b"\xff", b'"U8"', b'"F4"', b'"F6_E2M3"', b'"__metadata__":{},',
    b'"__metadata__":{"a":"b"},', ENTRY.encode() + b",", b"18446744073709551616", b"281474976710657", b"00",
]  # fmt: skip


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Return a safetensors file with one to three edits in its header, the length most often corrected after."""
    length = int.from_bytes(data[:8], "little")
    document, body = bytearray(data[8 : 8 + length]), bytearray(data[8 + length :])
    for _ in range(chance.randrange(1, 4)):
        at = chance.randrange(len(document) + 1)
        kind = chance.randrange(6)
        if kind == 0:
            document[at:at] = chance.choice(FRAGMENTS)
        elif kind == 1:
            del document[at : at + chance.randrange(1, 8)]
        elif kind == 2:
            document[at : at + 1] = bytes([chance.randrange(256)])
        elif kind == 3:
            digits = [match.span() for match in re.finditer(rb"\d+", bytes(document))]
            begin, end = chance.choice(digits or [(0, 0)])
            document[begin:end] = str(chance.randrange(20)).encode()
        elif kind == 4:
            other = chance.randrange(len(document) + 1)
            document[at:at] = document[other : other + chance.randrange(1, 60)]
        else:
            body = body[: len(body) + chance.randrange(-2, 1)] + bytes(chance.randrange(2))
    length = len(document) if chance.random() < 0.9 else chance.randrange(len(document) + 9)
    return length.to_bytes(8, "little") + bytes(document) + bytes(body)


@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_accepted_the_library_accepts_with_the_same_table(seed: int) -> None:
    chance = random.Random(seed)
    accepted = refused = 0
    for _ in range(2500):
        data = mutated(dump(random_tensors(3, seed=chance.randrange(50)), {"format": "pt"}), chance)
        try:
            header = parse_header(data, len(data), "model")
        except FormatError:
            refused += 1
            continue
        accepted += 1
        assert our_table(data, header) == library_table(data)
    assert accepted > 100
    assert refused > 1000


def test_sixty_thousand_tensors_are_read_in_about_a_second(tmp_path: Path) -> None:
    tensors = {
        f"model.layers.{i // 768}.mlp.experts.{i % 768}.down_proj.weight": ("U8", (2, 2), b"abcd")
        for i in range(60_000)
    }
    data = dump(tensors)
    begin = time.process_time()
    header = parse_header(data, len(data), "model")
    assert time.process_time() - begin < 5  # a second on an idle machine; quadratic work would take hours
    path = tmp_path / "model.safetensors"
    path.write_bytes(data)
    with safe_open(path, framework="np") as opened:
        assert {tensor.name for tensor in header.tensors} == set(opened.keys())
