"""Pairing what two models hold by its content, whatever it is called."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

Item = TypeVar("Item")
Key = Callable[[Item], Hashable]


def matched(
    old: Iterable[Item], new: Iterable[Item], key: Key[Item], new_key: Key[Item] | None = None
) -> tuple[list[tuple[Item, Item]], list[Item], list[Item]]:
    """Pair items of equal key, each at most once: the first of the old with the first of the new, and so on.

    Which of several equal ones belong together nobody can tell; the order given decides, so that exchanging the sides
    exchanges the pairs.

    Returns:
        The pairs, the items that only the old side has, and those that only the new side has.
    """
    waiting: dict[Hashable, list[Item]] = defaultdict(list)
    for item in old:
        waiting[key(item)].append(item)
    for left in waiting.values():
        left.reverse()
    found, came = [], []
    for item in new:
        left = waiting.get((new_key or key)(item), [])
        if left:
            found.append((left.pop(), item))
        else:
            came.append(item)
    return found, [item for left in waiting.values() for item in reversed(left)], came
