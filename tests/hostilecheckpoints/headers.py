"""Headers of safetensors files that lie, and payloads that are no numbers."""

import json
import struct
from collections.abc import Callable
from typing import Any

from hostilecheckpoints.case import (
    SHARDS,
    Build,
    Scene,
    cases,
    error,
    file,
    raw,
    single,
    tensors,
    warning,
    write_weights,
)
from mbom.tensorfile import dump

GROUP = "header"
A = '"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}'
B = '"b":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}'


def table(*entries: str) -> str:
    """Return a header of entries."""
    return "{" + ",".join(entries) + "}"


def entry(dtype: Any = "U8", shape: Any = (2,), offsets: Any = (0, 2), **more: Any) -> str:
    """Return a header of one entry, whatever is in it."""
    return json.dumps({"a": {"dtype": dtype, "shape": shape, "data_offsets": offsets, **more}})


def huge_header(scene: Scene) -> None:
    single(scene)
    with (scene.folder / "model.safetensors").open("wb") as stream:
        stream.write((100_000_001).to_bytes(8, "little") + b"{")
        stream.truncate(8 + 100_000_001)


def rewritten(change: Callable[[bytes], bytes]) -> Build:
    """Return what changes the text of one shard's header, with its length set right."""

    def build(scene: Scene) -> None:
        path = scene.folder / SHARDS[0]
        data = path.read_bytes()
        length = int.from_bytes(data[:8], "little")
        header = change(data[8 : 8 + length])
        path.write_bytes(raw(header, data[8 + length :]))

    return build


def swapped_dtypes(scene: Scene) -> None:
    """Give every tensor of a shard another dtype of as many bits: whoever reads the header reads other numbers."""
    rewritten(lambda header: header.replace(b'"BF16"', b'"F32"'))(scene)


def described(scene: Scene) -> None:
    single(scene)
    scene.write("model.safetensors", dump(tensors(), {"format": "pt", "note": "x" * 70_000}))


def renamed(old: str, new: str) -> Build:
    """Return what calls one tensor otherwise."""

    def build(scene: Scene) -> None:
        single(scene)
        stored = tensors()
        stored[new] = stored.pop(old)
        write_weights(scene.folder, stored, shards=False)

    return build


def holding(dtype: str, code: str, *values: int) -> Build:
    """Return what gives a checkpoint one more tensor with elements of these bit patterns among honest ones."""
    size = struct.calcsize(f"<{code}")
    data = bytearray(4096 * size)
    for number, value in enumerate(values):
        struct.pack_into(f"<{code}", data, (1000 + 37 * number) * size, value)

    def build(scene: Scene) -> None:
        single(scene)
        write_weights(scene.folder, {**tensors(), "model.scale": (dtype, (4096,), bytes(data))}, shards=False)

    return build


def all_nan(scene: Scene) -> None:
    stored = tensors()
    dtype, shape, data = stored["model.layers.0.mlp.up_proj.weight"]
    stored["model.layers.0.mlp.up_proj.weight"] = (dtype, shape, b"\xff\x7f" * (len(data) // 2))
    write_weights(scene.folder, stored)


def odd_places(scene: Scene) -> None:
    """Put NaN where chunks of any reader meet: across the first mebibyte, at an odd byte of the file."""
    single(scene)
    elements = (3 << 20) // 4
    data = bytearray(elements * 4)
    struct.pack_into("<I", data, ((1 << 20) // 4) * 4, 0x7FC00000)
    for at in range((1 << 20) - 4096, 1 << 20, 4):
        struct.pack_into("<I", data, at, 0xFFC00000)
    stored = {**tensors(), "a.pad": ("U8", (3,), b"xyz"), "model.scale": ("F32", (elements,), bytes(data))}
    write_weights(scene.folder, stored, shards=False)


_MALFORMED: dict[str, Build] = {
    "one tensor twice": file(raw(table(A, A), b"xx")),
    "one tensor twice, the second by an escape": file(raw(table(A, A.replace('"a"', '"\\u0061"', 1)), b"xx")),
    "one metadata key twice": file(raw(table('"__metadata__":{"format":"pt","format":"np"}', A), b"xx")),
    "metadata twice": file(raw(table('"__metadata__":{}', A, '"__metadata__":{"x":"y"}'), b"xx")),
    "tensors that overlap": file(raw(table(A, B.replace("[2,4]", "[1,3]")), b"xxx")),
    "tensors over the same bytes": file(raw(table(A, B.replace("[2,4]", "[0,2]")), b"xx")),
    "a hole between tensors": file(raw(table(A, B.replace("[2,4]", "[6,8]")), b"xx" + b"evil" + b"xx")),
    "a hole before the first tensor": file(raw(table(B), b"evxx")),
    "bytes behind the last tensor": file(raw(table(A), b"xx" + b"evil" * 64)),
    "bytes and no tensor": file(raw("{}", b"evil")),
    "a file cut short": file(raw(table(A, B), b"xxx")),
    "offsets beyond the file": file(raw(table(A, B.replace("[2,4]", "[1000,1002]")), b"xxxx")),
    "offsets the wrong way round": file(raw(entry(offsets=[2, 0]), b"xx")),
    "a negative offset": file(raw(entry(offsets=[-2, 0]), b"xx")),
    "an offset with a fraction": file(raw(entry(offsets=[0, 2.0]), b"xx")),
    "an offset of 64 bits": file(raw(entry(offsets=[0, 2**64 - 1]), b"xx")),
    "three offsets": file(raw(entry(offsets=[0, 1, 2]), b"xx")),
    "a shape of more than is there": file(raw(entry(shape=[1 << 40]), b"xx")),
    "a shape of less than is there": file(raw(entry(shape=[1]), b"xx")),
    "a dtype of more than is there": file(raw(entry("F64"), b"xx")),
    "every dtype of a shard another": swapped_dtypes,
    "an unknown dtype": file(raw(entry("F128"), b"xx")),
    "a dtype that is no string": file(raw(entry(8), b"xx")),
    "nine dimensions": file(raw(entry(shape=[2] + [1] * 8), b"xx")),
    "ten thousand dimensions": file(raw(entry(shape=[2] + [1] * 9999), b"xx")),
    "a dimension beyond 2**48": file(raw(entry(shape=[0, 1 << 62], offsets=[0, 0]))),
    "dimensions that overflow to nothing": file(raw(entry(shape=[1 << 32, 1 << 32, 0], offsets=[0, 0]))),
    "a negative dimension": file(raw(entry(shape=[-2]), b"xx")),
    "true as a dimension": file(raw(entry(shape=[True, 2]), b"xx")),
    "a dimension in exponents": file(raw(table(A.replace("[2]", "[2e0]")), b"xx")),
    "a number of five thousand digits": file(raw(table(A.replace("[2]", f"[{'9' * 5000}]")), b"xx")),
    "four-bit elements that end amid a byte": file(raw(entry("F4", [3], [0, 1]), b"x")),
    "an unknown member of an entry": file(raw(entry(offset=0), b"xx")),
    "an entry without offsets": file(raw('{"a":{"dtype":"U8","shape":[2]}}', b"xx")),
    "an entry that is null": file(raw('{"a":null}')),
    "a tensor without a name": file(raw(table(A.replace('"a"', '""', 1)), b"xx")),
    "a name with a line break": file(raw(table(A.replace('"a"', '"a\\nb"', 1)), b"xx")),
    "a name that is written from right to left": file(raw(table(A.replace('"a"', '"\\u202eb"', 1)), b"xx")),
    "a name of a lone surrogate": file(raw(table(A.replace('"a"', '"\\ud800"', 1)), b"xx")),
    "a name of a megabyte": file(raw(table(A.replace('"a"', f'"{"n" * (1 << 20)}"', 1)), b"xx")),
    "metadata that is no string": file(raw(table('"__metadata__":{"format":1}', A), b"xx")),
    "a header of no bytes": file(raw("", b"xx")),
    "a header longer than the file": file(raw(table(A), b"xx", length=10_000)),
    "a header of 2**64 bytes": file(raw(table(A), b"xx", length=2**64 - 1)),
    "a header beyond what the format allows": huge_header,
    "a header that begins with spaces": file(raw("  " + table(A), b"xx")),
    "a header that begins with a byte order mark": file(raw("\ufeff" + table(A), b"xx")),
    "a header in UTF-16": file(raw(table(A).encode("utf-16"), b"xx")),
    "a header that is not UTF-8": file(raw(table(A.replace('"a"', '"ä"', 1)).encode("latin-1"), b"xx")),
    "a header that ends in NUL": file(raw(table(A) + "\0\0\0", b"xx")),
    "a header that ends in line breaks": file(raw(table(A) + "\n\n\n", b"xx")),
    "two headers": file(raw(table(A) + table(B), b"xx")),
    "a header that is an array": file(raw("[]")),
    "a header of 100,000 brackets": file(raw('{"a":' + "[" * 100_000 + "]" * 100_000 + "}", b"")),
    "NaN in a header": file(raw(table(A.replace("[2]", "[NaN]")), b"xx")),
    "a file of seven bytes": file(b"\x02\0\0\0\0\0\0"),
}

CASES = [
    *cases(GROUP, {name: (build, error("safetensors-malformed")) for name, build in _MALFORMED.items()}),
    *cases(GROUP, {
        "more free text than any writer leaves": (described, warning("safetensors-metadata")),
        "names that are spelled by escapes": (
            rewritten(lambda header: header.replace(b"model.", b"\\u006dodel.")), warning("safetensors-unusual")),
        "a header of a hundred thousand spaces": (
            rewritten(lambda header: header + b" " * 100_000), warning("safetensors-unusual")),
        "a header of line breaks between members": (
            rewritten(lambda header: header.replace(b",", b"," + b"\n" * 2000)), warning("safetensors-unusual")),
        "a tensor with a Cyrillic letter in its name": (
            renamed("model.norm.weight", "m\u043edel.norm.weight"), warning("name-lookalike")),
    }),
    *cases("payload", {
        "NaN in bfloat16": (holding("BF16", "H", 0x7FC0), warning("tensor-not-finite")),
        "a negative NaN in bfloat16": (holding("BF16", "H", 0xFFFF), warning("tensor-not-finite")),
        "infinity in bfloat16": (holding("BF16", "H", 0x7F80, 0xFF80), warning("tensor-not-finite")),
        "NaN in float16": (holding("F16", "H", 0x7E00, 0xFC01), warning("tensor-not-finite")),
        "infinity in float16": (holding("F16", "H", 0xFC00), warning("tensor-not-finite")),
        "NaN in float32": (holding("F32", "I", 0x7F800001, 0xFFC00000), warning("tensor-not-finite")),
        "infinity in float32": (holding("F32", "I", 0xFF800000), warning("tensor-not-finite")),
        "NaN in float64": (holding("F64", "Q", 0x7FF0000000000001), warning("tensor-not-finite")),
        "infinity in float64": (holding("F64", "Q", 0xFFF0000000000000), warning("tensor-not-finite")),
        "NaN in eight bits": (holding("F8_E4M3", "B", 0x7F, 0xFF), warning("tensor-not-finite")),
        "infinity in eight bits": (holding("F8_E5M2", "B", 0x7C, 0xFC), warning("tensor-not-finite")),
        "NaN in a scale of eight bits": (holding("F8_E8M0", "B", 0xFF), warning("tensor-not-finite")),
        "NaN where negative zero would be": (holding("F8_E4M3FNUZ", "B", 0x80), warning("tensor-not-finite")),
        "a tensor of nothing but NaN": (all_nan, warning("tensor-not-finite")),
        "NaN where chunks meet, at an odd byte": (odd_places, warning("tensor-not-finite")),
    }),
]  # fmt: skip
