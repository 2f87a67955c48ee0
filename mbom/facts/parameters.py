"""How many parameters a checkpoint has, how many of them one token uses, and where and in which types they lie.

The rules are those of publishers, checked against the numbers that they give for gpt-oss, Mixtral, DeepSeek-V3, GLM-5,
Qwen 3.5, Llama 4, Nemotron 3 and Gemma 3. Where they disagree with each other, both numbers are told.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mbom.facts.architecture import Architecture
from mbom.facts.blocks import (
    BLOCKS,
    DUPLICATE,
    EMBEDDING,
    EMBEDDING_MODULES,
    EXPERTS,
    HEAD,
    OTHER_MODALITIES,
    PREDICTION,
    block,
    module,
)
from mbom.facts.packing import resolve
from mbom.inventory.record import TensorRecord

TOTAL_RULE = (
    "elements of all tensors that the checkpoint stores, packed formats resolved, scales and zero points of quantised "
    "weights not counted, one matrix stored as both embedding and output head counted once; layers that only predict "
    "further tokens (the announced ones after num_hidden_layers, or named mtp) not counted"
)
ACTIVE_RULE = (
    "per text token: total, less the input embedding (of which a token reads one row; the output head counts, also "
    "where both are one matrix), less encoders of other modalities, routed experts times experts per token / experts"
)


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """How many weights a model has.

    Attributes:
        total: by ``TOTAL_RULE``.
        active: by ``ACTIVE_RULE``; None where the configuration does not say how many experts a token passes through.
        embedding: look-up tables that ``active`` leaves out; 0 where the embedding is the output head too.
        other_modalities: encoders of images or sound, part of ``total`` and not of ``active``.
        prediction: layers that only predict further tokens, part of neither.
        blocks: the weights of ``total`` by block, for each that has any, in the order of ``blocks.BLOCKS``.
        dtypes: the weights of ``total`` by the dtype that stores them, in the order of its name.
        logical: the weights of ``total`` by what the stored elements stand for, in the order of its name.
        stored: bytes of tensor data by dtype, in the order of the dtype's name.
        packings: the packed encodings that were resolved.
        notes: sentences about what could not be counted exactly.
    """

    total: int
    active: int | None
    embedding: int
    other_modalities: int
    prediction: int
    blocks: tuple[tuple[str, int], ...]
    dtypes: tuple[tuple[str, int], ...]
    logical: tuple[tuple[str, int], ...]
    stored: tuple[tuple[str, int], ...]
    packings: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def active_with_embedding(self) -> int | None:
        """``active`` as publishers give it who count the embedding too (Mixtral, Qwen, Llama 4)."""
        return None if self.active is None else self.active + self.embedding

    @property
    def bytes(self) -> int:
        """Bytes of all tensors as they are stored."""
        return sum(size for _, size in self.stored)


def count(tensors: Sequence[TensorRecord], architecture: Architecture) -> Parameters:
    """Count the parameters of a checkpoint's tensor table."""
    found = resolve(tensors, architecture.quantisation.bits if architecture.quantisation else None)
    blocks, note = _blocks(tensors, architecture)
    notes = [*found.notes, *([note] if note else [])]
    sums: Counter[str] = Counter()
    dtypes: Counter[str] = Counter()
    logical: Counter[str] = Counter()
    stored: Counter[str] = Counter()
    for tensor in tensors:
        number, kind = found.elements[tensor.name], blocks[tensor.name]
        sums[kind] += number
        stored[tensor.dtype] += tensor.end - tensor.start
        if number and kind not in (PREDICTION, DUPLICATE):
            dtypes[tensor.dtype] += number
            logical[found.logical[tensor.name]] += number
    total = sum(sums[kind] for kind in BLOCKS)
    resting, why = _resting(sums[EXPERTS], architecture)
    active = None
    if resting is not None:
        active = total - resting - sums[EMBEDDING] - sums[OTHER_MODALITIES]
    return Parameters(
        total=total,
        active=active,
        embedding=sums[EMBEDDING],
        other_modalities=sums[OTHER_MODALITIES],
        prediction=sums[PREDICTION],
        blocks=tuple((kind, sums[kind]) for kind in BLOCKS if sums[kind]),
        dtypes=tuple(sorted(dtypes.items())),
        logical=tuple(sorted(logical.items())),
        stored=tuple(sorted(stored.items())),
        packings=found.packings,
        notes=(*notes, *([why] if why else [])),
    )


def _blocks(tensors: Sequence[TensorRecord], architecture: Architecture) -> tuple[Mapping[str, str], str | None]:
    """Return the block of each tensor by its name, and a note where it was taken on the configuration's word."""
    found = {tensor.name: block(tensor, architecture) for tensor in tensors}
    named = defaultdict(list)
    for tensor in tensors:
        if found[tensor.name] in (EMBEDDING, HEAD):
            named[found[tensor.name]].append(tensor)
    tied = architecture.tied_embeddings
    heads, embeddings = named[HEAD], named[EMBEDDING]
    note = None
    if tied and len(heads) == 1 == len(embeddings) and _same(heads[0], embeddings[0]):
        found[heads[0].name] = DUPLICATE
        if not heads[0].blake3:
            note = "embedding and output head are counted once, as the configuration says; their bytes were not read"
        heads = []
    if not heads and tied is not False:
        found.update((tensor.name, HEAD) for tensor in embeddings if module(tensor.name) in EMBEDDING_MODULES)
    return found, note


def _same(head: TensorRecord, embedding: TensorRecord) -> bool:
    """Tell whether two tensors hold the same, as far as they were read."""
    return (head.dtype, head.shape, head.blake3) == (embedding.dtype, embedding.shape, embedding.blake3)


def _resting(routed: int, architecture: Architecture) -> tuple[int | None, str | None]:
    """Return how many routed weights one token passes by; None, and why, where that cannot be said."""
    if routed == 0:
        return 0, None
    experts, chosen = architecture.experts, architecture.experts_per_token
    if not experts or chosen is None or chosen > experts:
        return None, "active parameters unknown: the configuration does not say how many experts a token passes through"
    if routed % experts:
        return None, f"active parameters unknown: the routed weights do not divide into {experts} equal experts"
    return routed - routed // experts * chosen, None
