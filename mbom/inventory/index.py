"""The index of a sharded checkpoint, and its closure: index, headers and files must say the same."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mbom import strictjson
from mbom.errors import FormatError
from mbom.inventory.findings import finding, listed
from mbom.inventory.record import Finding, is_path
from mbom.strictjson import Json
from mbom.tensorfile import Header

INDEX_FILE = "model.safetensors.index.json"
# Indexes of other weight sets in the same form, which other loaders follow: of PyTorch, TensorFlow, Flax, diffusers.
_OTHERS = re.compile(r".+\.(?:safetensors|bin|h5|msgpack|pt|pth)\.index(?:\.\w+)?\.json")


@dataclass(frozen=True, kw_only=True)
class Index:
    """Which shard holds each tensor; ``total_size`` is the bytes of all tensors as the index gives it."""

    weight_map: Mapping[str, str]
    total_size: int | None

    @property
    def shards(self) -> tuple[str, ...]:
        """The files that the index names, sorted; a loader would open each of them."""
        return tuple(sorted(set(self.weight_map.values())))


def read_index(data: bytes, what: str = INDEX_FILE) -> Index:
    """Read an index; members that loaders ignore are ignored.

    Raises:
        FormatError: when it is not strict JSON, places no tensor, or a member has the wrong type.
    """
    document = strictjson.loads(data, what=what)
    if not isinstance(document, dict):
        raise FormatError(f"{what}: not an object")
    weight_map = document.get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise FormatError(f"{what}: 'weight_map' is not an object that places at least one tensor")
    places = {tensor: shard for tensor, shard in weight_map.items() if isinstance(shard, str)}
    if len(places) != len(weight_map):
        raise FormatError(f"{what}: 'weight_map' places a tensor in something that is not a file name")
    metadata = document.get("metadata")
    if metadata is not None and not isinstance(metadata, dict):
        raise FormatError(f"{what}: 'metadata' is not an object")
    return Index(weight_map=places, total_size=_total_size(metadata or {}, what))


def _total_size(metadata: dict[str, Json], what: str) -> int | None:
    """Take ``total_size``, which some writers give as a float."""
    value = metadata.get("total_size")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value) or value < 0:
        raise FormatError(f"{what}: 'total_size' is {str(value)[:40]}, not a number of bytes")
    return int(value)


def outside(index: Index) -> tuple[str, ...]:
    """Return the shard names that are no plain path inside the checkpoint."""
    return tuple(shard for shard in index.shards if not is_path(shard))


def others(side: Mapping[str, bytes]) -> Iterator[Finding]:
    """Yield what is wrong with indexes of weights that transformers does not load, as far as their own text shows."""
    for name, data in sorted(side.items()):
        if name == INDEX_FILE or not _OTHERS.fullmatch(name.rpartition("/")[2]):
            continue
        try:
            index = read_index(data, what=name)
        except FormatError as error:
            yield finding("index-malformed", name, str(error))
            continue
        if escaping := outside(index):
            detail = f"{len(escaping)} shard names are no plain paths inside the checkpoint: {listed(escaping)}"
            yield finding("index-traversal", name, detail)


def closure(index: Index, headers: Mapping[str, Header]) -> list[Finding]:
    """Compare an index with the headers of the shards that could be read, in both directions.

    Args:
        index: the index that loaders follow.
        headers: by shard name. A shard that is missing or malformed has its own finding and is left out of this one.
    """
    found = []
    expected: dict[str, set[str]] = {shard: set() for shard in headers}
    for tensor, shard in index.weight_map.items():
        if shard in expected:
            expected[shard].add(tensor)
    for shard, header in sorted(headers.items()):
        present = {tensor.name for tensor in header.tensors}
        if missing := sorted(expected[shard] - present):
            detail = f"{len(missing)} tensors that the index places here are not in the header: {listed(missing)}"
            found.append(finding("index-missing-tensor", shard, detail))
        if unlisted := sorted(present - expected[shard]):
            detail = f"{len(unlisted)} tensors that the index does not place here: {listed(unlisted)}"
            found.append(finding("index-unlisted-tensor", shard, detail))
    if index.total_size is not None and set(index.shards) == headers.keys():
        total = sum(tensor.end - tensor.start for header in headers.values() for tensor in header.tensors)
        if total != index.total_size:
            detail = f"the index gives {index.total_size} bytes, the tensors have {total}"
            found.append(finding("index-total-size", INDEX_FILE, detail))
    return found
