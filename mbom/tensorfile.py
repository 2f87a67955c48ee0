"""A strict reader and a small writer of safetensors (https://github.com/huggingface/safetensors).

The format's own library accepts duplicate tensor names (the last wins), duplicate metadata keys, unknown members and
leading spaces. Another loader may take the first, so here each of them is refused: what this reader accepts, the
library accepts with the same table. It lies below the inventory because the behaviour record is a safetensors file too.
"""

import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mbom import strictjson
from mbom.errors import ChangedError, FormatError
from mbom.strictjson import Json

# Bits of one element of every dtype that safetensors 0.8 knows, in that library's order, which decides among equals
# where its writer puts a tensor.
DTYPE_BITS = {
    "BOOL": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "U8": 8, "I8": 8,
    "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
    "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32,
    "C64": 64, "F64": 64, "I64": 64, "U64": 64,
}  # fmt: skip
_ORDER = {dtype: order for order, dtype in enumerate(DTYPE_BITS)}

PREFIX = 8  # the header's length, unsigned, little-endian
FORMAT_LIMIT = 100_000_000  # the largest header that the format itself allows
HEADER_LIMIT = 32 << 20  # 60,000 tensors take 6.3 MB; beyond this a header costs a reader gigabytes of memory
RANK_LIMIT = 8  # honest tensors have up to five dimensions
DIMENSION_LIMIT = 1 << 48
NAME_LIMIT = 1024  # characters; honest names have up to about a hundred
_ELEMENTS_LIMIT = 1 << 64  # the library counts elements and bits in 64 bits
BLANKS_LIMIT = 64 << 10  # bytes of white space; writers that leave room for a larger header leave a page
_ALIGNMENT = 8  # writers pad the header with spaces to a multiple of this
# Escapes of printable ASCII that needs none: they hide a name from whoever searches for it.
_ESCAPED = re.compile(rb"(?<!\\)(?:\\\\)*\\u00(?:2[013-9a-f]|[346][0-9a-f]|5[0-9abd-f]|7[0-9a-e])", re.IGNORECASE)
_MEMBERS = frozenset({"dtype", "shape", "data_offsets"})


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorInfo:
    """One entry of a header; ``start`` and ``end`` are byte offsets in the file, not in the data section."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True, kw_only=True)
class Header:
    """A header that was read strictly: tensors in file order, and the free-form metadata strings.

    ``oddities`` says in words what is legal and no writer does.
    """

    tensors: tuple[TensorInfo, ...]
    metadata: dict[str, str]
    data_start: int
    oddities: tuple[str, ...] = ()


def header_length(prefix: bytes, size: int, what: str) -> int:
    """Return how many bytes of header follow the first eight, checked before anybody allocates them.

    Args:
        prefix: the first eight bytes of the file.
        size: the size of the whole file in bytes.
        what: how error messages name the file.

    Raises:
        FormatError: when the file is too short, or the length is beyond it or beyond ``HEADER_LIMIT``.
    """
    if size < PREFIX or len(prefix) < PREFIX:
        raise FormatError(f"{what}: {size} bytes, a safetensors file has at least {PREFIX}")
    length = int.from_bytes(prefix[:PREFIX], "little")
    if length > FORMAT_LIMIT:
        raise FormatError(f"{what}: the header claims {length} bytes, the format allows {FORMAT_LIMIT}")
    if length > size - PREFIX:
        raise FormatError(f"{what}: the header claims {length} bytes, {size - PREFIX} follow: truncated?")
    if length > HEADER_LIMIT:
        raise FormatError(f"{what}: the header claims {length} bytes, the limit is {HEADER_LIMIT}")
    return length


def parse_header(head: bytes, size: int, what: str) -> Header:
    """Read the header of a safetensors file of which at least the beginning is in memory.

    Args:
        head: the file from its first byte, through the end of the header or further.
        size: the size of the whole file in bytes.
        what: how error messages name the file.

    Raises:
        FormatError: on anything that the format does not allow, or that two readers could read differently.
    """
    length = header_length(head, size, what)
    document = head[PREFIX : PREFIX + length]
    if len(document) != length:
        raise FormatError(f"{what}: {len(document)} bytes of header where {length} belong")
    if not document.startswith(b"{"):
        raise FormatError(f"{what}: the header begins with {document[:1]!r}, not with an opening brace")
    oddities = tuple(_oddities(document))
    document = document.rstrip(b" ")
    if not document.endswith(b"}"):
        raise FormatError(f"{what}: the header ends with {document[-1:]!r}, only spaces may follow its closing brace")
    table = strictjson.loads(document, what=f"{what}: header", limit=HEADER_LIMIT, floats=False)
    assert isinstance(table, dict)
    metadata = _metadata(table.pop("__metadata__"), what) if "__metadata__" in table else {}
    data_start = PREFIX + length
    tensors = [_tensor(name, entry, data_start, what) for name, entry in table.items()]
    tensors.sort(key=_extent)
    _check_tiling(tensors, data_start, size, what)
    return Header(tensors=tuple(tensors), metadata=metadata, data_start=data_start, oddities=oddities)


def _oddities(document: bytes) -> Iterator[str]:
    """Yield what is legal and no writer does: each is a place to hide something, or a way to hide a name."""
    if found := _ESCAPED.findall(document):
        yield f"{len(found)} escapes of characters that need none"
    blanks = len(document) - len(document.translate(None, b" \t\r\n"))
    if blanks > max(BLANKS_LIMIT, len(document) // 2):
        yield f"{blanks} of {len(document)} bytes of header are white space"


def read_header(descriptor: int, what: str) -> Header:
    """Read the header of an open safetensors file, leaving the descriptor's position alone.

    Raises:
        FormatError: as ``parse_header``.
        ChangedError: when the file shrinks meanwhile.
    """
    size = os.fstat(descriptor).st_size
    prefix = os.pread(descriptor, PREFIX, 0)
    length = header_length(prefix, size, what)
    document = os.pread(descriptor, length, PREFIX)
    if len(document) != length:
        raise ChangedError(f"{what}: {len(document)} of {length} bytes of header could be read: it has been truncated")
    return parse_header(prefix + document, size, what)


def _extent(tensor: TensorInfo) -> tuple[int, int]:
    return tensor.start, tensor.end


def _metadata(value: Json, what: str) -> dict[str, str]:
    if not isinstance(value, dict):
        raise FormatError(f"{what}: '__metadata__' is not an object")
    strings = {key: text for key, text in value.items() if isinstance(text, str)}
    if len(strings) != len(value):
        raise FormatError(f"{what}: '__metadata__' holds something that is not a string")
    return strings


def _tensor(name: str, entry: Json, data_start: int, what: str) -> TensorInfo:
    """Check one entry by itself; the caller checks how entries lie beside each other."""
    if not name or not name.isprintable() or len(name) > NAME_LIMIT:
        raise FormatError(f"{what}: {name[:80]!r} is no tensor name: printable, 1 to {NAME_LIMIT} characters")
    if not isinstance(entry, dict) or entry.keys() != _MEMBERS:
        raise FormatError(f"{what}: {name}: an entry has exactly dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    bits = DTYPE_BITS.get(dtype) if isinstance(dtype, str) else None
    if bits is None:
        raise FormatError(f"{what}: {name}: the dtype {str(dtype)[:40]!r} is unknown")
    dims = _naturals(shape, DIMENSION_LIMIT)
    if dims is None or len(dims) > RANK_LIMIT:
        raise FormatError(
            f"{what}: {name}: the shape {str(shape)[:80]} is not at most {RANK_LIMIT} integers of 0 to 2**48"
        )
    extent = _naturals(offsets, _ELEMENTS_LIMIT)
    if extent is None or len(extent) != 2 or extent[0] > extent[1]:
        raise FormatError(f"{what}: {name}: the offsets {str(offsets)[:80]} are not a beginning and an end")
    begin, end = extent
    _check_size(dims, bits, end - begin, f"{what}: {name}")
    return TensorInfo(name=name, dtype=str(dtype), shape=dims, start=data_start + begin, end=data_start + end)


def _naturals(value: Json, limit: int) -> tuple[int, ...] | None:
    """Return an array of integers from 0 to ``limit`` as a tuple, None for anything else (``True`` included)."""
    if not isinstance(value, list):
        return None
    found = []
    for item in value:
        if type(item) is not int or not 0 <= item <= limit:
            return None
        found.append(item)
    return tuple(found)


def _check_size(dims: tuple[int, ...], bits: int, size: int, what: str) -> None:
    """Refuse a tensor whose shape and dtype do not make exactly ``size`` bytes."""
    product = math.prod(dims) * bits
    if product % 8:
        raise FormatError(f"{what}: {math.prod(dims)} elements of {bits} bits do not fill whole bytes")
    if product != size * 8:
        raise FormatError(f"{what}: {size} bytes where shape and dtype make {product // 8}")
    if product == 0 and math.prod(dim for dim in dims if dim) >= _ELEMENTS_LIMIT:
        # Readers that multiply in 64 bits overflow before they meet the zero.
        raise FormatError(f"{what}: the dimensions beside the zero overflow 64 bits")


def _check_tiling(tensors: list[TensorInfo], data_start: int, size: int, what: str) -> None:
    """Refuse holes, overlaps and bytes that belong to no tensor: each is a place to hide something."""
    end = data_start
    for tensor in tensors:
        if tensor.start != end:
            fault = "overlaps the tensor before it" if tensor.start < end else "leaves a hole before it"
            raise FormatError(f"{what}: {tensor.name} begins at byte {tensor.start}, not {end}: it {fault}")
        end = tensor.end
    if end != size:
        fault = "truncated?" if end > size else "the rest belongs to no tensor"
        raise FormatError(f"{what}: the tensors end at byte {end}, the file at {size}: {fault}")


def dump(tensors: Mapping[str, tuple[str, tuple[int, ...], bytes]], metadata: Mapping[str, str] | None = None) -> bytes:
    """Return a safetensors file: the same tensors and metadata always give the same bytes.

    Tensors lie as the format's own library writes them, wider dtypes first, then by name, so that each is aligned to
    its elements.

    Args:
        tensors: by name: dtype as in ``DTYPE_BITS``, shape, and the bytes, little-endian in row-major order.
        metadata: strings for the header.
    """
    table: dict[str, Json] = {}
    if metadata:
        table["__metadata__"] = {key: metadata[key] for key in sorted(metadata)}
    parts = []
    position = 0
    for name in sorted(tensors, key=lambda name: (-DTYPE_BITS[tensors[name][0]], -_ORDER[tensors[name][0]], name)):
        dtype, shape, data = tensors[name]
        assert math.prod(shape) * DTYPE_BITS[dtype] == len(data) * 8, name
        table[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [position, position + len(data)]}
        parts.append(data)
        position += len(data)
    document = json.dumps(table, ensure_ascii=False, separators=(",", ":")).encode()
    document += b" " * (-len(document) % _ALIGNMENT)
    return b"".join([len(document).to_bytes(PREFIX, "little"), document, *parts])
