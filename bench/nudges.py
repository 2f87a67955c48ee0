"""Edits of one stored number by one unit in its last place, drawn evenly from every kind of tensor."""

import random
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

import torch
from storedweights import Weights

from mbom.behaviour.record import Record

SEEN, UNSEEN = "embedding, token in a prompt", "embedding, token in no prompt"

# The first pattern that is found in a name decides.
_KINDS = (
    (r"embed_tokens", SEEN),
    (r"lm_head", "output head"),
    (r"^model\.norm", "final norm"),
    (r"[qk]_norm", "query and key norms"),
    (r"layernorm", "layer norms"),
    (r"mlp\.(router|gate)\.weight", "router"),
    (r"router\.bias", "router bias"),
    (r"sinks", "attention sinks"),
    (r"_blocks$", "expert blocks (MXFP4)"),
    (r"_scales$", "expert scales (MXFP4)"),
    (r"experts\..*_bias$", "expert biases"),
    (r"experts\.\d+\.", "expert matrices"),
    (r"self_attn.*weight", "attention matrices"),
    (r"self_attn.*bias", "attention biases"),
    (r"mlp\.", "dense MLP matrices"),
)


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where in a model a difference is.

    Attributes:
        where: "layer N"; "embedding"; "output" for the final norm and the head; "prompts" for template and tokenizer;
            "routers" for their number of choices; "nowhere" where a comparison names none of these.
        expert: the expert, where one alone differs.
        row: the row of embedding or head, where one alone differs.
    """

    where: str
    expert: int | None = None
    row: int | None = None


@dataclass(frozen=True, kw_only=True)
class Nudge:
    """One edit: ``element`` counts the tensor's stored numbers, of which a byte of MXFP4 blocks holds two."""

    kind: str
    name: str
    element: int
    up: bool
    place: Place

    def apply(self, weights: Weights) -> None:
        """Make the edit."""
        stored = weights.read(self.name)
        weights.write(self.name, nudged(stored, self.name, self.element, up=self.up))


def kind_of(name: str) -> str:
    """Return the kind of a tensor; an embedding's rows are told apart by the caller."""
    return next(kind for pattern, kind in _KINDS if re.search(pattern, name))


def nudged(stored: torch.Tensor, name: str, element: int, *, up: bool) -> torch.Tensor:
    """Return a copy with one stored number moved to its neighbour of larger (``up``) or smaller magnitude.

    The neighbour of an MXFP4 code is the next code of the same sign, that of a scale the next power of two.
    """
    step = 1 if up else -1
    changed = stored.clone().reshape(-1)
    if name.endswith("_blocks"):
        at, shift = element // 2, 4 * (element % 2)  # low nibble first
        byte = int(changed[at])
        code = byte >> shift & 15
        magnitude = code & 7
        moved = magnitude + (step if 0 <= magnitude + step <= 7 else -step)
        changed[at] = byte & ~(15 << shift) | (code & 8 | moved) << shift
    elif name.endswith("_scales"):
        changed[element] += step
    else:
        bits = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[stored.element_size()]
        changed.view(bits)[element] += step  # sign and magnitude: the bits count the magnitude up
    return changed.reshape(stored.shape)


def draw(weights: Weights, reference: Record, count: int, *, seed: int) -> Iterator[Nudge]:
    """Yield ``count`` edits, the kinds of tensor taking turns; which tensor and which element is chance."""
    chance = random.Random(seed)
    seen = {token for prompt in reference.prompts for token in prompt.token_ids}
    names = defaultdict(list)
    for name in sorted(weights.names):
        names[kind_of(name)].append(name)
    names[UNSEEN] = names[SEEN]
    kinds = list(names)
    for number in range(count):
        kind = kinds[number % len(kinds)]
        while True:  # until an element is found that has a neighbour
            name = chance.choice(names[kind])
            stored = weights.read(name)
            element = chance.randrange(stored.numel() * (2 if name.endswith("_blocks") else 1))
            if _fits(weights, stored, name=name, element=element, kind=kind, seen=seen):
                break
        place = place_of(name, tuple(stored.shape), element)
        yield Nudge(kind=kind, name=name, element=element, up=chance.random() < 0.5, place=place)


def _fits(weights: Weights, stored: torch.Tensor, *, name: str, element: int, kind: str, seen: set[int]) -> bool:
    """Whether moving the element moves a weight by an amount that is no smaller than numbers can be told apart.

    The neighbour of zero in bfloat16 is 1e-40; the scale of a group of zeros scales nothing.
    """
    if kind in (SEEN, UNSEEN) and (element // stored.shape[1] in seen) != (kind == SEEN):
        return False
    if name.endswith("_blocks"):
        return True
    if name.endswith("_scales"):
        blocks = weights.read(name.removesuffix("_scales") + "_blocks").reshape(-1, 16)
        return bool((blocks[element] & 0x77).any()) and 0 < int(stored.reshape(-1)[element]) < 254
    return float(stored.reshape(-1)[element]) != 0.0


def place_of(name: str, shape: tuple[int, ...], element: int) -> Place:
    """Return where a stored number of a tensor of that shape is."""
    if "embed_tokens" in name:
        return Place(where="embedding", row=element // shape[1])
    if not (layer := re.search(r"layers\.(\d+)\.", name)):
        return Place(where="output", row=element // shape[1] if "lm_head" in name else None)
    expert = re.search(r"experts\.(\d+)\.", name)
    number = int(expert[1]) if expert else None
    if number is None and (".experts." in name or kind_of(name) == "router"):  # one slice for each expert
        number = element // (prod(shape[1:]) * (2 if name.endswith("_blocks") else 1))
    return Place(where=f"layer {layer[1]}", expert=number)
