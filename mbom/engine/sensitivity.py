"""Trials of how sharp the record is: single stored elements moved by one unit in the last place as they are loaded.

A sketch is linear, so what a trial changes in it is the sketch of the difference between the moved and the true values.
Every trial is of its own: nothing that is computed or recorded besides uses the moved values, and a trial costs one
more decoding of the tensor, or of the slice of it, that holds the element.
"""

import hashlib
import math
from collections import defaultdict
from collections.abc import Mapping
from itertools import cycle, islice

import numpy as np

from mbom.behaviour.sketches import role
from mbom.engine.plan import Plan, Source
from mbom.engine.weights import Trial, Weight
from mbom.inventory.record import TensorRecord

DOMAIN = b"mbom/v1/sensitivity\0"


def choose(plan: Plan, records: Mapping[str, TensorRecord], *, count: int, model_digest: str) -> tuple[Trial, ...]:
    """Return ``count`` trials, drawn from the model digest.

    They go round the roles of weights (attention, router, experts, norms, ...), so that few trials reach them all;
    within a role every weight, and within a weight every element, is as likely as any other.
    """
    roles: defaultdict[str, list[Weight]] = defaultdict(list)
    for parameter, weights in _executed(plan):
        roles[role(parameter)] += weights
    draws = np.frombuffer(hashlib.shake_256(DOMAIN + bytes.fromhex(model_digest)).digest(16 * count), "<u8").tolist()
    trials = []
    for number, name in enumerate(islice(cycle(sorted(roles)), count)):
        candidates = roles[name]
        weight = candidates[draws[2 * number] % len(candidates)]
        stored = weight.stored[0]
        elements = math.prod(records[stored].shape)
        trials.append(Trial(weight=weight.name, stored=stored, element=draws[2 * number + 1] % max(elements, 1)))
    return tuple(trials)


def _executed(plan: Plan) -> list[tuple[str, list[Weight]]]:
    """List the weights that are computed with, by the parameters that they go into."""
    found = [(plan.embedding.name, [plan.embedding])]
    if plan.head is not plan.embedding:
        found.append((plan.head.name, [plan.head]))
    for dense in plan.dense.values():
        found += [(parameter, [weight]) for parameter, weight in dense.items()]
    for parameter, sources in plan.stacked.items():
        each = [sources] if isinstance(sources, Source) else [source for expert in sources for source in expert]
        found.append((parameter, [source.weight for source in each]))
    return found
