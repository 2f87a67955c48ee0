"""What a model keeps of the tokens that it has read, layer by layer, as its configuration describes it.

Each layer is of one of four kinds: full attention keeps something of every token, windowed attention of the last ones
only, a recurrent mixer (state-space or linear attention) a state of constant size, and a layer without a mixer nothing.
"""

from dataclasses import dataclass, field

from mbom.facts.members import Members

FULL = "full"
WINDOWED = "windowed"
RECURRENT = "recurrent"
NONE = "none"
KINDS = (FULL, WINDOWED, RECURRENT, NONE)
# Spellings of two members; ``architecture`` reads them as facts.
KV_HEADS = ("num_key_value_heads", "n_kv_heads", "multi_query_group_num")
HIDDEN = ("hidden_size", "n_embd", "d_model", "dim")
LAYERS_LIMIT = 4096  # honest models have up to about two hundred
SIZE_LIMIT = 1 << 40  # of any number that goes into the arithmetic; the largest honest one is a context of ten million

_NAMES = {
    **dict.fromkeys(("full_attention", "attention", "global_attention", "global", "indexed_attention"), FULL),
    "deepseek_sparse_attention": FULL,
    **dict.fromkeys(("sliding_attention", "chunked_attention", "local_attention", "sliding_window", "local"), WINDOWED),
    **dict.fromkeys(("linear_attention", "mamba", "mamba2", "recurrent"), RECURRENT),
    **dict.fromkeys(("moe", "mlp", "dense"), NONE),
}
_LETTERS = {"*": FULL, "M": RECURRENT, "E": NONE, "-": NONE}  # of Nemotron-H's hybrid_override_pattern
# Members of configurations whose layers share keys and values, or keep other numbers of them, or compress them: what
# such a model keeps is not what the arithmetic here would give.
_OTHERWISE = (
    *("num_kv_shared_layers", "global_head_dim", "num_global_key_value_heads", "compress_ratios", "compress_rates"),
    *("kv_source_layer_ids", "attention_k_eq_v", "cross_attention_layers", "swa_num_key_value_heads", "swa_head_dim"),
    *("indexer_types", "index_topk_freq", "block_configs"),
)


@dataclass(frozen=True, kw_only=True)
class Cache:
    """What one sequence leaves behind in each layer, in elements; None where the configuration does not tell.

    Attributes:
        kinds: the kind of every layer of the main model, in order.
        elements: kept of one token by a layer of attention.
        formula: how ``elements`` came about.
        window: tokens of which a windowed layer keeps something.
        state: kept by a recurrent layer, of all tokens together.
        convolution: kept by a recurrent layer of the last few tokens, for its convolution.
        why: what stands in the way where ``elements`` is None.
    """

    kinds: tuple[str, ...] | None = None
    elements: int | None = None
    formula: str = ""
    window: int | None = None
    state: int | None = None
    convolution: int | None = None
    why: str = field(default="there is no configuration", compare=False)

    def number(self, kind: str) -> int:
        """Return how many layers are of a kind."""
        return self.kinds.count(kind) if self.kinds is not None else 0


def read_cache(members: Members, *, layers: int | None, sliding_window: int | None, heads: int | None) -> Cache:
    """Read the kinds of layers and the size of what they keep.

    Args:
        members: of the language model's configuration; the places of what is read are noted in it.
        layers: decoder layers of the main model.
        sliding_window: as read, None where it is switched off.
        heads: query heads.
    """
    window = sliding_window if sliding_window is not None else _size(members, "attention_chunk_size")
    kinds = _kinds(members, layers, window)
    state, convolution = _recurrent(members)
    elements, formula, why = _elements(members, heads)
    if kinds is None:
        why = "the configuration does not say of which kind each layer is" if layers else "no number of layers is given"
    return Cache(
        kinds=kinds,
        elements=elements,
        formula=formula,
        window=window,
        state=state,
        convolution=convolution,
        why=why,
    )


def _kinds(members: Members, layers: int | None, window: int | None) -> tuple[str, ...] | None:
    if not layers or layers > LAYERS_LIMIT:
        return None
    listed = _listed(members)
    if listed is not None:
        return listed if len(listed) == layers and set(listed) <= set(KINDS) else None
    fact = "architecture:layer-kinds"
    if interval := members.integer("full_attention_interval", fact=fact):
        return _every(interval, layers, RECURRENT)
    if window is None:
        return (FULL,) * layers
    if interval := members.integer("sliding_window_pattern", "no_rope_layer_interval", fact=fact):
        return _every(interval, layers, WINDOWED)
    # Of Qwen 2 and 3: the layers before it attend to everything.
    first = min(members.integer("max_window_layers", fact=fact) or 0, layers)
    return (FULL,) * first + (WINDOWED,) * (layers - first)


def _listed(members: Members) -> tuple[str, ...] | None:
    """Return the kinds as the configuration lists them; a name that is not known stays as it is."""
    name, value = members.find(("layer_types", "layers_block_type"))
    if isinstance(value, list) and len(value) <= LAYERS_LIMIT:
        members.note("architecture:layer-kinds", name)
        return tuple(_NAMES.get(item, item) if isinstance(item, str) else "" for item in value)
    name, value = members.find(("hybrid_override_pattern",))
    if isinstance(value, str) and len(value) <= LAYERS_LIMIT:
        members.note("architecture:layer-kinds", name)
        return tuple(_LETTERS.get(letter, letter) for letter in value)
    name, value = members.find(("no_rope_layers",))  # Llama 4: 1 for a layer that rotates and sees one chunk only
    if isinstance(value, list) and 0 < len(value) <= LAYERS_LIMIT:
        members.note("architecture:layer-kinds", name)
        return tuple({0: FULL, 1: WINDOWED}.get(item, "") if type(item) is int else "" for item in value)
    return None


def _every(interval: int, layers: int, others: str) -> tuple[str, ...]:
    return tuple(FULL if (layer + 1) % interval == 0 else others for layer in range(layers))


def _elements(members: Members, heads: int | None) -> tuple[int | None, str, str]:
    """Return what a layer of attention keeps of one token, by which formula, or why that is not known."""
    for name in _OTHERWISE:
        if members.find((name,))[1] not in (None, False, 0, []):
            return None, "", f"{name} makes layers keep different amounts"
    rank = _size(members, "kv_lora_rank")
    rotated = _size(members, "qk_rope_head_dim")
    if rank and rotated is not None:
        index = _size(members, "index_head_dim")
        if index is None:
            return rank + rotated, "kv_lora_rank + qk_rope_head_dim", ""
        return rank + rotated + index, "kv_lora_rank + qk_rope_head_dim + index_head_dim", ""
    pairs = _size(members, *KV_HEADS)
    if pairs is None and members.find(KV_HEADS)[1] is None:
        pairs = heads  # one pair for each query head
    width = _size(members, "head_dim")
    formula = "2 x key-value heads x head size"
    if width is None and members.find(("head_dim",))[1] is None:
        hidden = _size(members, *HIDDEN)
        width = hidden // heads if hidden and heads and hidden % heads == 0 else None
        formula += " (hidden size / heads)"
    if not pairs or not width or pairs > SIZE_LIMIT:
        return None, "", "the configuration does not give key-value heads and their size"
    return 2 * pairs * width, formula, ""


def _recurrent(members: Members) -> tuple[int | None, int | None]:
    """Return the elements of a recurrent layer's state and of its convolution's, of Mamba-2 or gated delta rule."""
    kernel = _size(members, "conv_kernel", "mamba_d_conv", "linear_conv_kernel_dim")
    heads, width = _size(members, "mamba_num_heads", "mamba_n_heads"), _size(members, "mamba_head_dim", "mamba_d_head")
    depth = _size(members, "ssm_state_size", "mamba_d_state")
    groups = _size(members, "n_groups", "mamba_n_groups")
    if heads and width and depth:
        channels = heads * width + 2 * groups * depth if groups is not None else None
        return heads * width * depth, _held(channels, kernel)
    keys, key = _size(members, "linear_num_key_heads"), _size(members, "linear_key_head_dim")
    values, value = _size(members, "linear_num_value_heads"), _size(members, "linear_value_head_dim")
    if keys and key and values and value:
        return values * key * value, _held(2 * keys * key + values * value, kernel)
    return None, None


def _held(channels: int | None, kernel: int | None) -> int | None:
    """Return what a causal convolution keeps: of each channel, all inputs of its kernel but the newest."""
    return channels * (kernel - 1) if channels is not None and kernel else None


def _size(members: Members, *names: str) -> int | None:
    """Return an integer that the arithmetic can use; whoever reads it as a fact reports what is wrong with it."""
    value = members.find(names)[1]
    return value if type(value) is int and 0 <= value <= SIZE_LIMIT else None
