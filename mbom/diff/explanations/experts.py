"""Experts left out, there more than once, or in another order: all matrices of an expert and its rows of the router.

Experts are matched by their values, all matrices of one together, so that a gate matrix that went elsewhere than its
down matrix is no match. Where values are not equal the nearest expert is named, and the outcome is only ``consistent``.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from mbom.behaviour.values import Floats, Values
from mbom.diff.changes import Explanation, Weights
from mbom.diff.explanations.accounting import Account, Differences, account, differences, number
from mbom.diff.explanations.fingerprints import Fingerprint, fingerprint, joined, nearest
from mbom.diff.explanations.rounding import equal_bits
from mbom.diff.values.weights import Progress
from mbom.strictjson import Json

SHARE = 0.5  # of a layer's experts that must be recognised
PROBES = 2  # layers of which one must show something before all are looked at
_STEM = re.compile(r"(?P<module>.*?)\.?experts\.(?:(?P<index>\d{1,6})\.)?(?P<rest>.*)")
_ROUTERS = frozenset({"router", "gate", "gating"})

Kind = Literal["experts-pruned", "experts-duplicated", "experts-permuted"]
VERBS: Mapping[Kind, str] = {
    "experts-pruned": "experts were left out",
    "experts-duplicated": "experts are there more than once",
    "experts-permuted": "experts are in another order",
}


@dataclass(kw_only=True)
class Block:
    """The experts of one layer on one side: of each its parts as (weight, slice), and the weights of their router."""

    experts: defaultdict[int, dict[str, tuple[str, int | None]]] = field(default_factory=lambda: defaultdict(dict))
    routers: list[str] = field(default_factory=list)

    @property
    def names(self) -> set[str]:
        """The weights of the experts."""
        return {name for parts in self.experts.values() for name, _ in parts.values()}


@dataclass(frozen=True, kw_only=True)
class Match:
    """What became of one layer's experts.

    Attributes:
        kind: which of the three.
        mapping: for each expert of the new side, which of the old side it is; None where it is none.
        equal: those of the new side whose values are equal.
        accounted: weights, by name, that are explained to the last bit.
        fitting: those that are nearly.
        routed: whether the router's rows went with them.
    """

    kind: Kind
    mapping: tuple[int | None, ...]
    equal: int
    accounted: frozenset[str]
    fitting: frozenset[str]
    routed: bool


def explain(
    old: Values, new: Values, weights: Weights, *, others: Sequence[Values] = (), progress: Progress | None = None
) -> Explanation | None:
    """Match the experts of every layer that has some; ``others`` make no difference."""
    del others
    found = differences(old, new, weights)
    before, after = _blocks(old), _blocks(new)
    matches: dict[str, Match] = {}
    looked = 0
    for module in before:
        if module not in after:
            continue
        names = before[module].names | after[module].names | {*before[module].routers, *after[module].routers}
        if not names & found.names:
            continue
        if looked >= PROBES and not matches:
            return None
        looked += 1
        if progress is not None:
            progress(module)
        match = _match(old, new, before[module], after[module])
        if match is not None:
            matches[module] = match
    return _account(found, matches, before, after) if matches else None


def _blocks(values: Values) -> dict[str, Block]:
    blocks: defaultdict[str, Block] = defaultdict(Block)
    stored = values.weights()
    for name, weight in stored.items():
        split = _STEM.fullmatch(name)
        if split is None:
            continue
        block = blocks[split["module"]]
        if split["index"] is not None:
            block.experts[int(split["index"])][split["rest"]] = (name, None)
        elif weight.slices > 1:
            for index in range(weight.slices):
                block.experts[index][split["rest"]] = (name, index)
    complete = {
        module: block for module, block in blocks.items() if set(block.experts) == set(range(len(block.experts)))
    }
    for name, weight in stored.items():
        for module, block in complete.items():
            rest = name.removeprefix(f"{module}.")
            routes = rest != name and not _ROUTERS.isdisjoint(rest.split(".")) and name not in block.names
            if routes and weight.shape[:1] == (len(block.experts),):
                block.routers.append(name)
    return {
        module: block
        for module, block in complete.items()
        if block.experts and all(stored[name].readable for name in (*block.names, *block.routers))
    }


def _match(old: Values, new: Values, before: Block, after: Block) -> Match | None:
    olds, news = _prints(old, before), _prints(new, after)
    kept = _rows(old, before.routers)
    rows = _rows(new, after.routers)
    places: defaultdict[bytes, list[int]] = defaultdict(list)
    for index, print_ in enumerate(olds):
        places[print_.digest].append(index)
    mapping: list[int | None] = []
    equal: list[int] = []
    for index, print_ in enumerate(news):
        candidates = places.get(print_.digest)
        if candidates:
            equal.append(index)
            mapping.append(_chosen(candidates, index, kept, rows, mapping))
        else:
            mapping.append(nearest(print_, olds))
    kind = _kind(mapping, len(olds))
    if kind is None or sum(place is not None for place in mapping) < SHARE * len(mapping):
        return None
    routed = {
        name
        for name in after.routers
        if name in kept
        and all(p is not None and equal_bits(rows[name][i], kept[name][p]) for i, p in enumerate(mapping))
    }
    whole = len(equal) == len(mapping)
    same = {name for index in equal for name, part in after.experts[index].values() if whole or part is None}
    gone = {name for name in before.names if name not in after.names}
    return Match(
        kind=kind,
        mapping=tuple(mapping),
        equal=len(equal),
        accounted=frozenset(same | gone | routed),
        fitting=frozenset(after.names),
        routed=len(routed) == len(after.routers),
    )


def _prints(values: Values, block: Block) -> list[Fingerprint]:
    return [
        joined([fingerprint(values.read(*parts[rest])) for rest in sorted(parts)])
        for _, parts in sorted(block.experts.items())
    ]


def _rows(values: Values, routers: Iterable[str]) -> dict[str, Floats]:
    return {name: values.read(name) for name in routers}


def _chosen(
    candidates: Sequence[int],
    index: int,
    kept: Mapping[str, Floats],
    rows: Mapping[str, Floats],
    taken: Sequence[int | None],
) -> int:
    """Return which of some equal experts it is: the one with its rows of the router, at its place, not taken."""

    def preference(place: int) -> tuple[bool, bool, bool]:
        routed = all(equal_bits(rows[name][index], kept[name][place]) for name in rows if name in kept)
        return not routed, place != index, place in taken

    return min(candidates, key=preference)


def _kind(mapping: Sequence[int | None], before: int) -> Kind | None:
    """Return what a mapping comes to, None where every expert is where it was."""
    if len(mapping) == before and all(place in (index, None) for index, place in enumerate(mapping)):
        return None
    used = Counter(place for place in mapping if place is not None)
    if any(times > 1 for times in used.values()):
        return "experts-duplicated"
    if len(mapping) < before:
        return "experts-pruned"
    return "experts-permuted" if len(mapping) == before else None


def _account(
    found: Differences, matches: Mapping[str, Match], before: Mapping[str, Block], after: Mapping[str, Block]
) -> Account:
    [(kind, _)] = Counter(match.kind for match in matches.values()).most_common(1)
    mappings = {match.mapping for match in matches.values()}
    equal = sum(match.equal for match in matches.values())
    total = sum(len(match.mapping) for match in matches.values())
    sentence = f"{VERBS[kind]} in {number(len(matches), 'layer')}: {equal:,} of {total:,} are equal to one of before"
    if not all(match.routed for match in matches.values()):
        sentence += ", with other rows of the router"
    shared: Json = list(next(iter(mappings))) if len(mappings) == 1 else None
    each: Json = {module: list(match.mapping) for module, match in matches.items()}
    sizes = {(len(before[module].experts), len(after[module].experts)) for module in matches}
    return account(
        kind,
        of=found,
        accounted=frozenset().union(*(match.accounted for match in matches.values())),
        fitting=frozenset().union(*(match.fitting for match in matches.values())),
        sentence=sentence,
        residual=0.0 if equal == total else None,
        details={
            "layers": [*sorted(matches)],
            "experts": [[*pair] for pair in sorted(sizes)],
            "mapping": shared if shared is not None else each,
            "router": all(match.routed for match in matches.values()),
        },
    )
