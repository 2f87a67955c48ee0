"""Changes of weights added up by layer and role.

What a group's change is relative to is the norm of those of its weights that changed: the norms of the others are
nowhere at hand, because nobody reads weights with equal digests. So the figure cannot be made small by weights that
stayed the same.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from mbom.behaviour.sketches import role
from mbom.diff.changes import Basis, RoleChange, WeightChange, Weights
from mbom.diff.values.estimates import Estimate


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A weight that both sides have in one shape, and what became of it.

    Attributes:
        name: of the weight.
        layer: the decoder layer that it belongs to.
        elements: how many values it has.
        change: None where it is the same.
        amount: what the squared norms of the change and of the old values are, exactly or by sketches; None where it is
            the same, or nobody can tell.
    """

    name: str
    layer: int | None
    elements: int
    change: WeightChange | None = None
    amount: Estimate | None = None


def weights(
    compared: Sequence[Compared],
    basis: Basis,
    *,
    before: Collection[str],
    after: Collection[str],
    notes: Sequence[str] = (),
) -> Weights:
    """Return what became of the weights of two sides, from those that both have in one shape.

    Args:
        compared: those.
        basis: whether they were read or estimated.
        before: the names of all weights of the old side.
        after: the names of all weights of the new side.
        notes: what was compared in another way, and why.
    """
    names = {each.name for each in compared}
    changes = [each.change for each in compared if each.change is not None]
    return Weights(
        basis=basis,
        compared=len(compared),
        equal=len(compared) - len(changes),
        changed=_ordered(changes),
        by_role=by_role(compared, basis),
        by_layer=by_layer(compared, basis),
        only_old=tuple(sorted(set(before) - names)),
        only_new=tuple(sorted(set(after) - names)),
        notes=tuple(notes),
    )


def _ordered(changes: Iterable[WeightChange]) -> tuple[WeightChange, ...]:
    """Return changes in the order of layers, and those outside of layers after them, by name."""
    return tuple(sorted(changes, key=lambda each: (*_place(each.layer), each.name)))


def by_role(compared: Iterable[Compared], basis: Basis) -> tuple[RoleChange, ...]:
    """Add up by layer and role."""
    groups: defaultdict[tuple[int | None, str], list[Compared]] = defaultdict(list)
    for each in compared:
        groups[each.layer, role(each.name)].append(each)
    keys = sorted(groups, key=lambda key: (*_place(key[0]), key[1]))
    return tuple(_total(layer, name, groups[layer, name], basis) for layer, name in keys)


def by_layer(compared: Iterable[Compared], basis: Basis) -> tuple[RoleChange, ...]:
    """Add up by layer; what lies outside of layers is one group."""
    groups: defaultdict[int | None, list[Compared]] = defaultdict(list)
    for each in compared:
        groups[each.layer].append(each)
    return tuple(_total(layer, None, groups[layer], basis) for layer in sorted(groups, key=_place))


def _place(layer: int | None) -> tuple[bool, int]:
    return layer is None, layer or 0


def _total(layer: int | None, name: str | None, members: Sequence[Compared], basis: Basis) -> RoleChange:
    changes = [each.change for each in members if each.change is not None]
    amounts = [each.amount for each in members if each.change is not None]
    known = [amount for amount in amounts if amount is not None]
    total = Estimate.total(known) if len(known) == len(amounts) else Estimate.unknown()
    elements = sum(each.elements for each in members)
    shares = [each.unchanged for each in changes]
    told = basis == "weights" and None not in shares
    touched = sum((1 - (each.unchanged or 0.0)) * each.elements for each in changes)
    return RoleChange(
        layer=layer,
        role=name,
        weights=len(members),
        changed=len(changes),
        elements=elements,
        basis=basis,
        relative=total.relative,
        error=total.error,
        unchanged=1 - touched / max(1, elements) if told else None,
        largest=max((each.largest or 0.0 for each in changes), default=0.0) if told else None,
    )
