"""What config.json says of a model: its type, its size in layers and experts, its quantisation, its demand for code.

Everything here is the publisher's word. The tensor table is the other witness; ``parameters`` and ``facts`` compare.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from mbom.facts.cache import HIDDEN, KV_HEADS, Cache, read_cache
from mbom.facts.classdefaults import Defaulted
from mbom.facts.members import NAMES_LIMIT, Members, is_name, read_object
from mbom.facts.places import Place
from mbom.facts.rope import Rope, read_rope
from mbom.inventory.findings import finding
from mbom.inventory.record import Finding
from mbom.strictjson import Json

CONFIG = "config.json"

# A composite model (vision, speech) nests the language model's own configuration under one of these.
_NESTED = ("text_config", "llm_config", "language_config")

# Every number by its attribute: its name in the BOM, and how publishers spell it. The first spelling that is present
# wins, and within it the language model's own configuration before the outer one.
NUMBERS: Mapping[str, tuple[str, tuple[str, ...]]] = MappingProxyType({
    "layers": ("architecture:layers", ("num_hidden_layers", "n_layer", "n_layers", "num_layers")),
    "prediction_layers": (
        "architecture:prediction-layers", ("num_nextn_predict_layers", "mtp_num_hidden_layers", "num_mtp_modules"),
    ),
    "hidden": ("architecture:hidden-size", HIDDEN),
    "intermediate": ("architecture:intermediate-size", ("intermediate_size", "ffn_dim", "n_inner")),
    "heads": ("architecture:attention-heads", ("num_attention_heads", "n_head", "n_heads")),
    "kv_heads": ("architecture:key-value-heads", KV_HEADS),
    "head_size": ("architecture:head-size", ("head_dim",)),
    "key_value_rank": ("architecture:key-value-rank", ("kv_lora_rank",)),
    "query_rank": ("architecture:query-rank", ("q_lora_rank",)),
    "rope_head_size": ("architecture:rope-head-size", ("qk_rope_head_dim",)),
    "value_head_size": ("architecture:value-head-size", ("v_head_dim",)),
    "experts": ("architecture:experts", ("num_local_experts", "n_routed_experts", "num_experts", "moe_num_experts")),
    "experts_per_token": ("architecture:experts-per-token", (
        "num_experts_per_tok", "num_experts_per_token", "experts_per_token", "top_k_experts", "moe_topk", "moe_k",
    )),
    "shared_experts": ("architecture:shared-experts", ("n_shared_experts", "num_shared_experts")),
    "expert_intermediate": (
        "architecture:expert-intermediate-size", ("moe_intermediate_size", "expert_ffn_hidden_size"),
    ),
    "shared_expert_intermediate": ("architecture:shared-expert-intermediate-size", (
        "shared_expert_intermediate_size", "moe_shared_expert_intermediate_size",
    )),
    "context_length": ("architecture:context-length", (
        "max_position_embeddings", "n_positions", "max_seq_len", "max_sequence_length", "seq_length",
    )),
    "vocabulary": ("architecture:vocabulary", ("vocab_size",)),
    "sliding_window": ("architecture:sliding-window", ("sliding_window",)),
    "attention_chunk": ("architecture:attention-chunk", ("attention_chunk_size",)),
})  # fmt: skip
_DTYPE = ("dtype", "torch_dtype")
# What a model takes besides text, by the section or the token of its configuration that says so.
_MODALITIES = (
    *(("image", "vision_config"), ("image", "image_token_id"), ("image", "image_token_index")),
    *(("video", "video_token_id"), ("video", "video_token_index"), ("audio", "audio_config")),
)


@dataclass(frozen=True, kw_only=True)
class Quantisation:
    """What the configuration says of the stored weights' encoding.

    ``bits`` is the width of one weight where one width holds for all; ``format`` is compressed-tensors' name of the
    packing. ``method`` is the loader's name, such as ``mxfp4``, ``fp8``, ``gptq`` or ``compressed-tensors``.
    """

    method: str | None
    format: str | None
    bits: int | None


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """What a configuration says; None where it does not.

    Attributes:
        model_type: the key by which transformers chooses its class, of the outermost configuration.
        architectures: class names, as the configuration lists them.
        modalities: what the model takes: text, and what the configuration has sections or tokens for.
        layers: decoder layers of the main model.
        prediction_layers: layers beyond those that only predict further tokens (multi-token prediction).
        hidden: width of the residual stream.
        intermediate: width inside a feed-forward part, as the member of that name says; of the experts in some models.
        heads: query heads per layer.
        kv_heads: key and value heads per layer.
        head_size: dimensions of one head.
        key_value_rank: width of the latent vector that stands for keys and values (multi-head latent attention).
        query_rank: width of the latent vector of queries.
        rope_head_size: dimensions of a head of latent attention that carry the position.
        value_head_size: dimensions of one value head, where they are others than a key's.
        experts: routed experts per mixture layer.
        experts_per_token: how many of them each token passes through.
        shared_experts: experts that every token passes through.
        expert_intermediate: width inside a routed expert.
        shared_expert_intermediate: width inside the shared experts.
        context_length: the largest position count that the configuration allows.
        vocabulary: rows of the embedding.
        sliding_window: tokens that a windowed attention layer sees; None also where the window is switched off.
        attention_chunk: tokens of the chunks within which a layer attends (Llama 4).
        rope: how positions rotate, of all layers or of each kind.
        cache: the kind of each layer and what it keeps of the tokens read.
        dtype: the floating-point type that the model computes in.
        tied_embeddings: whether the output head is said to be the embedding matrix.
        quantisation: None where the configuration has no such section.
        remote_code: ``file: class = module`` for every class that a loader would take from repository code.
        assumed: each fact that the configuration leaves to the defaults of the model's class, with the sentence that
            says so.
        places: where each of these was read, by the name of its property in the BOM.
    """

    model_type: str | None = None
    architectures: tuple[str, ...] = ()
    modalities: tuple[str, ...] = ()
    layers: int | None = None
    prediction_layers: int | None = None
    hidden: int | None = None
    intermediate: int | None = None
    heads: int | None = None
    kv_heads: int | None = None
    head_size: int | None = None
    key_value_rank: int | None = None
    query_rank: int | None = None
    rope_head_size: int | None = None
    value_head_size: int | None = None
    experts: int | None = None
    experts_per_token: int | None = None
    shared_experts: int | None = None
    expert_intermediate: int | None = None
    shared_expert_intermediate: int | None = None
    context_length: int | None = None
    vocabulary: int | None = None
    sliding_window: int | None = None
    attention_chunk: int | None = None
    rope: tuple[Rope, ...] = ()
    cache: Cache = field(default_factory=Cache)
    dtype: str | None = None
    tied_embeddings: bool | None = None
    quantisation: Quantisation | None = None
    remote_code: tuple[str, ...] = ()
    assumed: Mapping[str, str] = field(default_factory=dict)
    places: Mapping[str, Place] = field(default_factory=dict, compare=False)


def read_architecture(data: bytes | None) -> tuple[Architecture, tuple[Finding, ...]]:
    """Read config.json.

    Returns:
        What could be read, and a finding for what could not: ``config-missing`` (warning), ``config-malformed``
        (error: not a JSON object, so no loader could use it), ``config-field`` (warning: one member has a type that
        it cannot have; it counts as absent).
    """
    if data is None:
        detail = "there is no config.json, so nothing is known of the architecture"
        return Architecture(), (finding("config-missing", CONFIG, detail),)
    document, findings = read_object(CONFIG, data)
    if document is None:
        return Architecture(), findings
    name = next((name for name in _NESTED if isinstance(document.get(name), dict)), "")
    nested = document.get(name)
    members = Defaulted(CONFIG, nested if isinstance(nested, dict) else {}, document, at=f"/{name}")
    outer = Members(CONFIG, document)
    found = _architecture(members, outer)
    found = replace(found, assumed=dict(sorted(members.assumed.items())), places=members.places | outer.places)
    return found, tuple(dict.fromkeys(members.findings + outer.findings))


def remote_code(members: Members) -> tuple[str, ...]:
    """Return ``file: class = module.class`` for everything that ``auto_map`` has a loader take from repository code."""
    wanted = f"an object of up to {NAMES_LIMIT} class names"
    table = members.object("auto_map")
    if table is None:
        return ()
    if len(table) > NAMES_LIMIT:
        members.reject("auto_map", wanted)
        return ()
    found: list[str] = []
    for key, value in table.items():
        targets = value if isinstance(value, list) else [value]  # a slow and a fast tokenizer come as a pair
        named = [target for target in targets[:2] if target is not None]
        texts = [target for target in named if is_name(target)]
        if len(texts) != len(named) or len(targets) > 2 or not is_name(key):
            members.reject("auto_map", wanted)
            continue
        found.extend(f"{members.path}: {key} = {text}" for text in texts)
    return tuple(sorted(found))


def _architecture(members: Members, outer: Members) -> Architecture:
    def number(attribute: str) -> int | None:
        fact, spellings = NUMBERS[attribute]
        return members.integer(*spellings, fact=fact)

    layers, heads = number("layers"), number("heads")
    window = number("sliding_window") if members.boolean("use_sliding_window") is not False else None
    return Architecture(
        # The outer type chooses the class to load, an inner one only names its part.
        model_type=outer.text("model_type", fact="architecture:model-type"),
        architectures=outer.names("architectures", fact="architecture:classes"),
        modalities=_modalities(outer),
        layers=layers,
        prediction_layers=number("prediction_layers"),
        hidden=number("hidden"),
        intermediate=number("intermediate"),
        heads=heads,
        kv_heads=number("kv_heads"),
        head_size=number("head_size"),
        key_value_rank=number("key_value_rank"),
        query_rank=number("query_rank"),
        rope_head_size=number("rope_head_size"),
        value_head_size=number("value_head_size"),
        experts=number("experts"),
        experts_per_token=number("experts_per_token"),
        shared_experts=number("shared_experts"),
        expert_intermediate=number("expert_intermediate"),
        shared_expert_intermediate=number("shared_expert_intermediate"),
        context_length=number("context_length"),
        vocabulary=number("vocabulary"),
        sliding_window=window,
        attention_chunk=number("attention_chunk"),
        rope=read_rope(members),
        cache=read_cache(members, layers=layers, sliding_window=window, heads=heads),
        dtype=members.text(*_DTYPE, fact="architecture:dtype"),
        tied_embeddings=members.boolean("tie_word_embeddings", fact="architecture:tied-embeddings"),
        quantisation=_quantisation(members),
        remote_code=remote_code(outer),
    )


def _modalities(outer: Members) -> tuple[str, ...]:
    """Return what the model takes; nothing where the configuration has nothing but text to offer."""
    found: dict[str, None] = {}
    for modality, name in _MODALITIES:
        if outer.find((name,))[1] is not None:
            if not found:
                outer.note("architecture:modality", name)
            found[modality] = None
    return (*found, "text") if found else ()


def _quantisation(members: Members) -> Quantisation | None:
    section = members.object("quantization_config", fact="quantisation")
    if section is None:
        return None
    inner = Members(members.path, section, at=(str(members.places["quantisation"].pointer),))
    groups = inner.object("config_groups") or {}
    widths = {_group_bits(members.path, group) for group in groups.values()}
    bits = inner.integer("bits", "weight_bits", fact="quantisation:bits")
    if bits is None and len(widths) == 1:
        bits = widths.pop()
    found = Quantisation(
        method=inner.text("quant_method", fact="quantisation:method"),
        format=inner.text("format", fact="quantisation:format"),
        bits=bits,
    )
    members.findings.extend(inner.findings)
    members.places.update(inner.places)
    return found


def _group_bits(path: str, group: Json) -> int | None:
    """Return the width of the weights of one of compressed-tensors' groups."""
    weights = group.get("weights") if isinstance(group, dict) else None
    return Members(path, weights).integer("num_bits") if isinstance(weights, dict) else None
