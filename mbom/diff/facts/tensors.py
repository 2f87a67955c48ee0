"""The tensors of two models as they are stored: names, places and digests, and which of them are encoded anew."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from mbom.diff.changes import StoredTensor, TensorChange, Tensors, TensorStatus, Weights
from mbom.diff.facts.pairing import matched
from mbom.inventory import Inventory, TensorRecord

# Types whose elements are values by themselves: two shapes of them are never one weight.
PLAIN = frozenset({"BF16", "F16", "F32", "F64"})

# What quantisers append to the name of a weight, or to that of its module: MXFP4, FP8 blocks, compressed-tensors, GPTQ.
_SUFFIXES = (
    *("_blocks", "_scales", ".weight", "_scale_inv", "_scale", "_packed", "_shape", "_zero_point", "_global_scale"),
    *(".qweight", ".qzeros", ".scales", ".g_idx"),
)
_EXPERT = re.compile(r"(?<=\.experts)\.\d+(?=\.)")
_LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks)\.(\d+)(?=\.)")

STATUSES: tuple[TensorStatus, ...] = ("renamed", "resharded", "re-encoded", "changed", "added", "removed")


def tensors(old: Inventory, new: Inventory, moved: dict[str, str], weights: Weights | None = None) -> Tensors:
    """Compare the tensors of two inventories.

    Args:
        old: what was.
        new: what is.
        moved: new names of files by old ones: a tensor in a file that has another name is still in the same file.
        weights: what a comparison of the values themselves came to.
    """
    before = {tensor.name: tensor for tensor in old.tensors}
    after = {tensor.name: tensor for tensor in new.tensors}
    same = [name for name, tensor in before.items() if name in after and _content(tensor) == _content(after[name])]
    resharded = sum(1 for name in same if moved.get(before[name].file, before[name].file) != after[name].file)
    known = set(same)
    changes = _unequal(
        [tensor for tensor in old.tensors if tensor.name not in known],
        [tensor for tensor in new.tensors if tensor.name not in known],
    )
    if weights is not None:
        changes = _re_encoded(changes, weights)
    counts = Counter[str](change.status for change in changes)
    return Tensors(
        counts={"identical": len(same) - resharded, **dict.fromkeys(STATUSES, 0), **counts, "resharded": resharded},
        changes=tuple(sorted(changes, key=lambda change: (change.name, change.status))),
    )


def _unequal(old: Sequence[TensorRecord], new: Sequence[TensorRecord]) -> list[TensorChange]:
    """Compare what is not equal under equal names: content under another name first, then names.

    Layers that moved up by one are renamed that way, and the one that was left out is what is removed.
    """
    empty = [item for item in old if item.end == item.start]  # nobody can tell one from another
    found, gone, came = matched((item for item in old if item.end > item.start), new, _content)
    before, after = ({item.name: item for item in items} for items in ([*empty, *gone], came))
    both = before.keys() & after.keys()
    changes = [_change("renamed", *pair) for pair in found]
    changes += [_change("changed", before[name], after[name]) for name in both]
    changes += [_change("removed", before[name], None) for name in before.keys() - both]
    changes += [_change("added", None, after[name]) for name in after.keys() - both]
    return changes


def _re_encoded(changes: Iterable[TensorChange], weights: Weights) -> list[TensorChange]:
    """Mark tensors of weights whose values are equal.

    Which tensors a weight is stored in is the engine's knowledge. What is said here needs less: that in the layer of a
    tensor no weight at all changed, came or went, and that the same weight is stored on both sides in some form.
    """
    if weights.basis != "weights" or not weights.compared:
        return list(changes)
    named = [change.name for change in weights.changed]
    unequal = {_layer(name) for name in (*named, *weights.only_old, *weights.only_new)}
    stored: dict[str, set[str]] = {}
    for change in changes:
        for side, held in (("old", change.old), ("new", change.new)):
            if held is not None and change.status != "renamed":
                stored.setdefault(stem(change.name), set()).add(side)
    return [
        replace(change, status="re-encoded")
        if change.status in ("changed", "added", "removed")
        and _layer(change.name) not in unequal
        and stored[stem(change.name)] == {"old", "new"}
        and not _resized(change)
        else change
        for change in changes
    ]


def _resized(change: TensorChange) -> bool:
    old, new = change.old, change.new
    return old is not None and new is not None and {old.dtype, new.dtype} <= PLAIN and old.shape != new.shape


def stem(name: str) -> str:
    """Return what the tensors of one weight have in common, of all experts together."""
    name = _EXPERT.sub("", name)
    while found := next((suffix for suffix in _SUFFIXES if name.endswith(suffix)), None):
        name = name.removesuffix(found)
    return name


def _layer(name: str) -> str | None:
    found = _LAYER.search(name)
    return found[1] if found else None


def _content(tensor: TensorRecord) -> tuple[str, tuple[int, ...], str]:
    return tensor.dtype, tensor.shape, tensor.blake3


def _change(status: TensorStatus, before: TensorRecord | None, after: TensorRecord | None) -> TensorChange:
    shown = after or before
    assert shown is not None
    return TensorChange(
        status=status,
        name=shown.name,
        old_name=None if before is None else before.name,
        old=None if before is None else _stored(before),
        new=None if after is None else _stored(after),
    )


def _stored(tensor: TensorRecord) -> StoredTensor:
    return StoredTensor(dtype=tensor.dtype, shape=tensor.shape, file=tensor.file)
