"""Figures of a change that several rules speak of."""

import math

from mbom.diff.changes import Changes, RoleChange
from mbom.inventory.roles import WEIGHTS, is_safetensors, role

# What a tensor can become that leaves a model without the weights that it had. Two tensors that trade their names are
# both renamed, and no value is where it was.
_CHANGED = ("changed", "added", "removed", "renamed")


def weights_changed(changes: Changes) -> bool:
    """Tell whether any weight has another value than before, or is only on one side."""
    if changes.identical:
        return False
    weights = changes.weights
    if weights is not None and (weights.changed or weights.only_old or weights.only_new):
        return True
    return any(changes.tensors.counts.get(status, 0) > 0 for status in _CHANGED) or bool(unread(changes))


def unread(changes: Changes) -> tuple[str, ...]:
    """Return the files of weights that are not the same, and of whose tensors nobody knows anything.

    Pickles, GGUF and other containers are held against each other as files alone. So is safetensors that no tensor
    could be read from.
    """
    none_read = not any(changes.tensors.counts.values())
    return tuple(
        item.name
        for item in changes.files.changes
        if WEIGHTS in (item.role, role(item.name)) and (none_read or not is_safetensors(item.name))
    )


def largest_change(changes: Changes) -> RoleChange | None:
    """Return the layer whose weights changed most, at the upper end of the estimate; None where none is known."""
    if changes.weights is None or not changes.weights.by_layer:
        return None
    return max(changes.weights.by_layer, key=upper)


def upper(change: RoleChange) -> float:
    """Return what a change is at most, by the stated error; infinite where it is no number, which nothing is under."""
    bound = change.relative + change.error
    return math.inf if math.isnan(bound) else bound
