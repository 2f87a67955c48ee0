"""Whether config.json and the tensors say the same: layers, sizes, experts, and whether the head is the embedding.

A configuration that contradicts the tensors is loaded by one program and refused or padded by another. Names of tensors
are a convention, so a size counts as contradicted only where no tensor of the kind has it; other kinds of layers of the
same model, and encoders of images, have sizes of their own.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from mbom.facts.architecture import CONFIG, Architecture
from mbom.facts.blocks import EMBEDDING, EMBEDDING_MODULES, HEAD, block, module
from mbom.facts.members import Members
from mbom.inventory.findings import finding, listed, plain
from mbom.inventory.record import Finding, TensorRecord
from mbom.strictjson import Json

_STACK = re.compile(r"(?P<stack>.*?(?:layers|h|blocks?))\.(?P<index>\d{1,6})\.")
_EXPERT = re.compile(r"(?P<stack>(?:.*?\.)?experts)\.(?P<index>\d{1,6})\.")
_FEED_FORWARD = re.compile(r".*\.mlp\.(?P<kind>gate|up|down)_proj\.weight")
_PROJECTION = re.compile(r".*\.self_attn\.(?P<kind>[qk])_proj\.weight")
_PLAIN = frozenset({"F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"})  # one element for each weight
# How configurations call the width of an embedding that is not the residual stream's.
_EMBEDDING_WIDTHS = ("embedding_size", "word_embed_proj_dim", "emb_dim", "embed_dim", "d_embed")
_WITH_HEADS = ("ForCausalLM", "LMHeadModel")
_FURTHER_HEADS = frozenset({"output_layer", "predictions", "score"})


def disagreements(
    architecture: Architecture, document: Mapping[str, Json], tensors: Sequence[TensorRecord]
) -> Iterator[Finding]:
    """Yield what config.json says that the tensors contradict.

    Args:
        architecture: what was read of config.json.
        document: config.json as a whole.
        tensors: of all files that would be loaded.
    """
    shapes = [tensor for tensor in tensors if tensor.dtype in _PLAIN and len(tensor.shape) == 2]
    sizes = [*_embedding(architecture, document, shapes), *_projections(architecture, shapes)]
    if sizes:
        yield finding("config-sizes-differ", CONFIG, f"{CONFIG} says {'; '.join(sizes)}")
    yield from _experts(architecture, tensors)
    yield from _heads(architecture, tensors)


def layers_differ(architecture: Architecture, tensors: Sequence[TensorRecord]) -> Iterator[Finding]:
    """Compare the number of layers with the headers: some stack of tensors must have just that many layers.

    Layers that only predict further tokens may follow, as many as the configuration announces.
    """
    stacks = _numbered(_STACK, tensors)
    layers, extra = architecture.layers, architecture.prediction_layers or 0
    if layers is None or not stacks:
        return
    if any(len(found) in (layers, layers + extra) and max(found) == len(found) - 1 for found in stacks.values()):
        return
    seen = ", ".join(f"{len(found)} under {stack}" for stack, found in sorted(stacks.items())[:3])
    yield finding("config-layers-differ", CONFIG, f"{CONFIG} says {layers} layers, the tensors have {seen}")


def _numbered(pattern: re.Pattern[str], tensors: Sequence[TensorRecord]) -> dict[str, set[int]]:
    """Return the numbers that occur in names, by what stands before them."""
    found: dict[str, set[int]] = defaultdict(set)
    for tensor in tensors:
        match = pattern.match(tensor.name)
        if match is not None:
            found[match["stack"]].add(int(match["index"]))
    return found


def _embedding(
    architecture: Architecture, document: Mapping[str, Json], shapes: Sequence[TensorRecord]
) -> Iterator[str]:
    """Yield how rows and columns of the embedding differ from vocabulary and width."""
    tables = [tensor for tensor in shapes if module(tensor.name) in EMBEDDING_MODULES]
    tables = [tensor for tensor in tables if block(tensor, architecture) == EMBEDDING]
    if not tables:
        return
    shown = " and ".join(f"{plain(table.name)} is {'x'.join(map(str, table.shape))}" for table in tables[:2])
    rows, columns = {table.shape[0] for table in tables}, {table.shape[1] for table in tables}
    if architecture.vocabulary is not None and architecture.vocabulary not in rows:
        yield f"{architecture.vocabulary} tokens, and {shown}"
    widths = {architecture.hidden, *_integers(document, _EMBEDDING_WIDTHS)} - {None}
    if architecture.hidden is not None and not columns & widths:
        yield f"a width of {architecture.hidden}, and {shown}"


def _projections(architecture: Architecture, shapes: Sequence[TensorRecord]) -> Iterator[str]:
    """Yield how feed-forward parts and attention differ from the widths and heads that the configuration gives."""
    inner, queries, keys = set[int](), set[int](), set[int]()
    for tensor in shapes:
        if match := _FEED_FORWARD.fullmatch(tensor.name):
            inner.add(tensor.shape[1 if match["kind"] == "down" else 0])
        elif match := _PROJECTION.fullmatch(tensor.name):
            (queries if match["kind"] == "q" else keys).add(tensor.shape[0])
    if architecture.intermediate is not None and inner and architecture.intermediate not in inner:
        yield f"a feed-forward width of {architecture.intermediate}, and the tensors have {_some(inner)}"
    size = _head_size(architecture)
    if size is None:
        return
    for what, heads, rows in (("query", architecture.heads, queries), ("key", architecture.kv_heads, keys)):
        # Twice as many rows where each head has a gate beside it, as in Qwen3-Next.
        if heads and rows and not rows & {heads * size, 2 * heads * size}:
            yield f"{heads} {what} heads of {size}, and the projections have {_some(rows)} rows"


def _head_size(architecture: Architecture) -> int | None:
    """Return the dimensions of a head; None where latent attention or a configuration gives none."""
    if architecture.key_value_rank is not None:
        return None
    if architecture.head_size is not None:
        return architecture.head_size
    hidden, heads = architecture.hidden, architecture.heads
    return hidden // heads if hidden and heads and hidden % heads == 0 else None


def _experts(architecture: Architecture, tensors: Sequence[TensorRecord]) -> Iterator[Finding]:
    """Compare the number of experts with the numbers in names; each layer that has any must have all of them."""
    stacks = _numbered(_EXPERT, tensors)
    if not architecture.experts:
        return
    number = architecture.experts
    wrong = [
        f"{len(found)} under {plain(stack)}"
        for stack, found in sorted(stacks.items())
        if len(found) != number or max(found) != number - 1
    ]
    if wrong:
        detail = f"{CONFIG} says {architecture.experts} experts, {len(wrong)} of {len(stacks)} layers have others: "
        yield finding("config-experts-differ", CONFIG, detail + listed(wrong))


def _heads(architecture: Architecture, tensors: Sequence[TensorRecord]) -> Iterator[Finding]:
    """Compare what is said of the output head with the tensors, where config.json itself says it."""
    tied = architecture.tied_embeddings
    if tied is None or "architecture:tied-embeddings" in architecture.assumed:
        return
    kinds = {tensor.name: block(tensor, architecture) for tensor in tensors}
    embeddings = [t for t in tensors if kinds[t.name] == EMBEDDING and module(t.name) in EMBEDDING_MODULES]
    heads = [t for t in tensors if kinds[t.name] == HEAD]
    if tied and (other := _other_head(heads, embeddings)):
        detail = (
            f"tie_word_embeddings is true, and {plain(other)} holds something else than the embedding; some loaders "
            "take it and some do not: remove the tensor, or set the member to false"
        )
        yield finding("config-tied-differs", CONFIG, detail)
    if tied or heads or not embeddings or not any(name.endswith(_WITH_HEADS) for name in architecture.architectures):
        return
    if not any(_FURTHER_HEADS & set(tensor.name.split(".")) for tensor in tensors):
        detail = "tie_word_embeddings is false, and no tensor is an output head: loaders make one up at random"
        yield finding("config-head-missing", CONFIG, detail)


def _other_head(heads: Sequence[TensorRecord], embeddings: Sequence[TensorRecord]) -> str | None:
    """Return the head that is stored beside an embedding of its type and holds something else, if there is one.

    One of another type may be the same numbers, quantised; one that was not read may be the same too.
    """
    if len(embeddings) != 1:
        return None
    embedding = embeddings[0]
    for head in heads:
        if module(head.name) and head.dtype == embedding.dtype and head.blake3 and head.blake3 != embedding.blake3:
            return head.name
    return None


def _integers(document: Mapping[str, Json], names: Sequence[str]) -> set[int | None]:
    """Return the values of members, of config.json itself and of the configurations inside it."""
    inner = [value for value in document.values() if isinstance(value, dict)]
    return {Members(CONFIG, item).integer(name) for item in (dict(document), *inner) for name in names}


def _some(sizes: set[int]) -> str:
    return listed([str(size) for size in sorted(sizes)])
