"""Exact parameter counts, total and active per token, from the tensor table alone.

``packing`` says how many weights each stored tensor stands for; this module sorts tensors by what a token does with
them. The configuration adds three numbers that no header has: layers, experts, experts per token.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from mbom.facts.architecture import Architecture
from mbom.facts.packing import logical_elements
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

_EMBEDDINGS = frozenset(
    {"embed_tokens", "wte", "word_embeddings", "tok_embeddings", "embeddings", "embedding", "embed", "embed_in"}
)
_LAYER_EMBEDDINGS = frozenset({"embed_tokens_per_layer"})  # looked up like the embedding, but never the output head
_OTHER_MODALITIES = frozenset({
    *("vision_tower", "vision_model", "vision_encoder", "vision_embed_tokens", "vision_projection", "visual"),
    *("audio_tower", "audio_model", "audio_encoder", "embed_vision", "embed_audio"),
    *("multi_modal_projector", "mm_projector"),
})  # fmt: skip
_LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks?)\.(\d{1,6})\.")


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """How many weights a model has.

    Attributes:
        total: by ``TOTAL_RULE``.
        active: by ``ACTIVE_RULE``; None where the configuration does not say how many experts a token passes through.
        embedding: look-up tables that ``active`` leaves out; 0 where the embedding is the output head too.
        other_modalities: encoders of images or sound, part of ``total`` and not of ``active``.
        prediction: layers that only predict further tokens, part of neither.
        stored: bytes of tensor data by dtype, in the order of the dtype's name.
        packings: the packed encodings that were resolved.
        notes: sentences about what could not be counted exactly.
    """

    total: int
    active: int | None
    embedding: int
    other_modalities: int
    prediction: int
    stored: tuple[tuple[str, int], ...]
    packings: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def active_with_embedding(self) -> int | None:
        """``active`` as publishers give it who count the embedding too (Mixtral, Qwen)."""
        return None if self.active is None else self.active + self.embedding


def count(tensors: Sequence[TensorRecord], architecture: Architecture) -> Parameters:
    """Count the parameters of a checkpoint's tensor table."""
    bits = architecture.quantisation.bits if architecture.quantisation else None
    elements, packings, notes = logical_elements(tensors, bits)
    kinds = _kinds(tensors, architecture)
    sums: Counter[str] = Counter()
    stored: Counter[str] = Counter()
    for tensor in tensors:
        sums[kinds[tensor.name]] += elements[tensor.name]
        stored[tensor.dtype] += tensor.end - tensor.start
    total = sum(sums.values()) - sums["prediction"] - sums["duplicate"]
    resting, note = _resting(sums["routed"], architecture)
    active = None
    if resting is not None:
        active = total - resting - sums["embedding"] - sums["other modality"]
    return Parameters(
        total=total,
        active=active,
        embedding=sums["embedding"],
        other_modalities=sums["other modality"],
        prediction=sums["prediction"],
        stored=tuple(sorted(stored.items())),
        packings=packings,
        notes=notes + ((note,) if note else ()),
    )


def _kinds(tensors: Sequence[TensorRecord], architecture: Architecture) -> dict[str, str]:
    """Sort tensors by what a token does with them."""
    kinds = {tensor.name: _kind(tensor, architecture) for tensor in tensors}
    named = defaultdict(list)
    for tensor in tensors:
        named[kinds[tensor.name]].append(tensor)
    tied = architecture.tied_embeddings
    heads, embeddings = named["head"], named["embedding"]
    if tied and len(heads) == 1 == len(embeddings):
        head, embedding = heads[0], embeddings[0]
        if (head.dtype, head.shape, head.blake3) == (embedding.dtype, embedding.shape, embedding.blake3):
            kinds[head.name] = "duplicate"
            heads = []
    if not heads and tied is not False:
        kinds.update((tensor.name, "head") for tensor in embeddings if _part(tensor.name) in _EMBEDDINGS)
    return kinds


def _kind(tensor: TensorRecord, architecture: Architecture) -> str:
    parts = tensor.name.split(".")
    if not _OTHER_MODALITIES.isdisjoint(parts):
        return "other modality"
    if "mtp" in parts[:2] or _predicts(tensor.name, architecture):
        return "prediction"
    if "experts" in parts:
        return "routed"
    if _part(tensor.name) in _EMBEDDINGS | _LAYER_EMBEDDINGS:
        return "embedding"
    if "lm_head" in parts or parts[0] in ("output", "head", "embed_out"):
        return "head"
    return "dense"


def _predicts(name: str, architecture: Architecture) -> bool:
    """Tell whether a tensor lies in a layer beyond the main model's, where the configuration announces such layers."""
    match = _LAYER.search(name)
    if match is None or not architecture.prediction_layers or architecture.layers is None:
        return False
    return architecture.layers <= int(match[1]) < architecture.layers + architecture.prediction_layers


def _part(name: str) -> str:
    """Return the module that a ``weight`` belongs to, or an empty string."""
    parts = name.split(".")
    return parts[-2] if len(parts) > 1 and parts[-1] == "weight" else ""


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
