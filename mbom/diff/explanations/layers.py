"""Layers left out, or there more than once: depth pruning, depth up-scaling, models put together from stretches.

A layer is matched by all of its weights, by stored digests where those are equal and by values else. Where values are
not equal the nearest layer is named, and the outcome is only ``consistent``.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from mbom.behaviour.values import Values
from mbom.diff.changes import Explanation, Weights
from mbom.diff.explanations.accounting import LISTED, account, differences, number
from mbom.diff.explanations.fingerprints import Fingerprint, fingerprint, nearest, of_digest
from mbom.diff.values.weights import Progress

SHARE = 0.5  # of the layers that must be recognised


class _Stack:
    """The layers of one side: of each, its weights by their names without its number."""

    def __init__(self, values: Values, progress: Progress | None) -> None:
        self._values = values
        self._progress = progress
        self._taken: dict[str, Fingerprint] = {}
        self._weights = values.weights()
        layers: defaultdict[int, dict[str, str]] = defaultdict(dict)
        for name, weight in self._weights.items():
            if weight.layer is not None:
                layers[weight.layer][_place(name, weight.layer)] = name
        self.layers: Mapping[int, Mapping[str, str]] = dict(sorted(layers.items()))

    @property
    def names(self) -> set[str]:
        """The weights of all layers."""
        return {name for names in self.layers.values() for name in names.values()}

    def shapes(self, layer: int) -> dict[str, tuple[int, ...]]:
        """Return the shapes of a layer's weights."""
        return {place: self._weights[name].shape for place, name in self.layers[layer].items()}

    def stored(self, layer: int, place: str) -> tuple[str, str] | None:
        """Return what is equal where a weight is stored equally, None where that is not known."""
        weight = self._weights[self.layers[layer][place]]
        return (weight.dtype, weight.digest) if weight.digest else None

    def print(self, layer: int, place: str) -> Fingerprint:
        """Return the fingerprint of a weight, taken once."""
        name = self.layers[layer][place]
        if name not in self._taken:
            if self._progress is not None:
                self._progress(name)
            weight = self._weights[name]
            self._taken[name] = fingerprint(self._values.read(name)) if weight.readable else of_digest(weight.digest)
        return self._taken[name]


def explain(
    old: Values, new: Values, weights: Weights, *, others: Sequence[Values] = (), progress: Progress | None = None
) -> Explanation | None:
    """Match every layer; ``others`` make no difference."""
    del others
    found = differences(old, new, weights)
    olds, news = _Stack(old, progress), _Stack(new, progress)
    before, after = olds.layers, news.layers
    if len(before) < 2 or len(after) < 2 or list(after) != list(range(len(after))):
        return None
    if found.names.isdisjoint(olds.names | news.names):
        return None
    mapping, equal = _mapping(olds, news)
    used = Counter(place for place in mapping if place is not None)
    repeated = sorted(place for place, times in used.items() if times > 1)
    dropped = sorted(set(before) - set(used))
    if sum(used.values()) < SHARE * len(mapping) or not (repeated or len(after) < len(before)):
        return None
    exact = {name for layer in equal for name in after[layer].values()}
    gone = olds.names - news.names
    told = f"{len(before)} layers became {len(after)}: "
    told += f"{_ranges(repeated)} there more than once" if repeated else f"{_ranges(dropped)} left out"
    if len(equal) < len(mapping):
        told += f", {number(len(mapping) - len(equal), 'layer')} not equal to one of before"
    return account(
        "layers-repeated" if repeated else "layers-dropped",
        of=found,
        accounted=exact | gone,
        fitting={name for layer, place in enumerate(mapping) if place is not None for name in after[layer].values()},
        sentence=told,
        residual=0.0 if len(equal) == len(mapping) else None,
        details={"mapping": list(mapping), "dropped": list(dropped), "repeated": list(repeated)},
    )


def _place(name: str, layer: int) -> str:
    """Return a name with the first number in it that is the layer's replaced; those of experts come later."""
    components = name.split(".")
    where = components.index(str(layer)) if str(layer) in components else None
    return ".".join("*" if index == where else component for index, component in enumerate(components))


def _mapping(olds: _Stack, news: _Stack) -> tuple[list[int | None], list[int]]:
    """Return for each layer of the new side which of the old side it is, if any, and those that are equal to it."""
    mapping: list[int | None] = []
    equal: list[int] = []
    for layer in news.layers:
        shapes = news.shapes(layer)
        probe = _probe(shapes)
        candidates = [place for place in olds.layers if olds.shapes(place) == shapes]
        last = mapping[-1] if mapping else None
        # Of several equal layers: the one after the layer before, then the one of the same number.
        candidates.sort(key=lambda place: (last is None or place != last + 1, place != layer, place))
        same = next((place for place in candidates if _equal(olds, place, news, layer, probe)), None)
        if same is not None:
            equal.append(layer)
            mapping.append(same)
        else:
            close = nearest(news.print(layer, probe), [olds.print(place, probe) for place in candidates])
            mapping.append(None if close is None else candidates[close])
    return mapping, equal


def _probe(shapes: Mapping[str, tuple[int, ...]]) -> str:
    """Return the place of the smallest matrix: cheap to read, and unlike a norm never the same in two layers."""
    matrices = [place for place, shape in shapes.items() if len(shape) > 1] or list(shapes)
    return min(matrices, key=lambda place: (math.prod(shapes[place]), place))


def _equal(olds: _Stack, one: int, news: _Stack, other: int, probe: str) -> bool:
    """Return whether two layers hold the same values, asking first what tells them apart most cheaply."""
    for place in sorted(olds.layers[one], key=lambda place: place != probe):
        before, after = olds.stored(one, place), news.stored(other, place)
        if (before is None or before != after) and olds.print(one, place).digest != news.print(other, place).digest:
            return False
    return True


def _ranges(layers: Sequence[int]) -> str:
    """Return numbers as people write them: "layers 2-5, 9"."""
    runs: list[list[int]] = []
    for layer in layers[:LISTED]:
        if runs and layer == runs[-1][1] + 1:
            runs[-1][1] = layer
        else:
            runs.append([layer, layer])
    shown = ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
    return f"layer {shown}" if len(layers) == 1 else f"layers {shown}"
