"""What config.json says of a model: its type, its size in layers and experts, its quantisation, its demand for code.

Everything here is the publisher's word. The tensor table is the other witness; ``parameters`` and ``facts`` compare.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from mbom.facts.members import NAMES_LIMIT, Members, is_name, read_object
from mbom.facts.places import Place
from mbom.inventory.findings import finding
from mbom.inventory.record import Finding
from mbom.strictjson import Json

CONFIG = "config.json"

# A composite model (vision, speech) nests the language model's own configuration under one of these.
_NESTED = ("text_config", "llm_config", "language_config")

# Publishers spell one fact in several ways. The first spelling that is present wins, and within it the language
# model's own configuration before the outer one.
_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
_PREDICTION_LAYERS = ("num_nextn_predict_layers", "mtp_num_hidden_layers", "num_mtp_modules")
_HIDDEN = ("hidden_size", "n_embd", "d_model", "dim")
_HEADS = ("num_attention_heads", "n_head", "n_heads")
_KV_HEADS = ("num_key_value_heads", "n_kv_heads", "multi_query_group_num")
_EXPERTS = ("num_local_experts", "n_routed_experts", "num_experts", "moe_num_experts")
_EXPERTS_PER_TOKEN = (
    "num_experts_per_tok",
    "num_experts_per_token",
    "experts_per_token",
    "top_k_experts",
    "moe_topk",
    "moe_k",
)
_CONTEXT = ("max_position_embeddings", "n_positions", "max_seq_len", "max_sequence_length", "seq_length")
_DTYPE = ("dtype", "torch_dtype")


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
    """The numbers of a configuration; None where it does not give one.

    Attributes:
        model_type: the key by which transformers chooses its class, of the outermost configuration.
        architectures: class names, as the configuration lists them.
        layers: decoder layers of the main model.
        prediction_layers: layers beyond those that only predict further tokens (multi-token prediction).
        hidden: width of the residual stream.
        heads: query heads per layer.
        kv_heads: key and value heads per layer.
        experts: routed experts per mixture layer.
        experts_per_token: how many of them each token passes through.
        context_length: the largest position count that the configuration allows.
        vocabulary: rows of the embedding.
        sliding_window: tokens that a windowed attention layer sees; None also where the window is switched off.
        dtype: the floating-point type that the model computes in.
        tied_embeddings: whether the output head is said to be the embedding matrix.
        quantisation: None where the configuration has no such section.
        remote_code: ``file: class = module`` for every class that a loader would take from repository code.
        places: where each of these was read, by the name of its property in the BOM.
    """

    model_type: str | None = None
    architectures: tuple[str, ...] = ()
    layers: int | None = None
    prediction_layers: int | None = None
    hidden: int | None = None
    heads: int | None = None
    kv_heads: int | None = None
    experts: int | None = None
    experts_per_token: int | None = None
    context_length: int | None = None
    vocabulary: int | None = None
    sliding_window: int | None = None
    dtype: str | None = None
    tied_embeddings: bool | None = None
    quantisation: Quantisation | None = None
    remote_code: tuple[str, ...] = ()
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
    members = Members(CONFIG, nested if isinstance(nested, dict) else {}, document, at=(f"/{name}",))
    outer = Members(CONFIG, document)
    found = _architecture(members, outer)
    found = replace(found, places=members.places | outer.places)
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
    windowed = members.boolean("use_sliding_window") is not False
    return Architecture(
        # The outer type chooses the class to load, an inner one only names its part.
        model_type=outer.text("model_type", fact="architecture:model-type"),
        architectures=outer.names("architectures", fact="architecture:classes"),
        layers=members.integer(*_LAYERS, fact="architecture:layers"),
        prediction_layers=members.integer(*_PREDICTION_LAYERS, fact="architecture:prediction-layers"),
        hidden=members.integer(*_HIDDEN, fact="architecture:hidden-size"),
        heads=members.integer(*_HEADS, fact="architecture:attention-heads"),
        kv_heads=members.integer(*_KV_HEADS, fact="architecture:key-value-heads"),
        experts=members.integer(*_EXPERTS, fact="architecture:experts"),
        experts_per_token=members.integer(*_EXPERTS_PER_TOKEN, fact="architecture:experts-per-token"),
        context_length=members.integer(*_CONTEXT, fact="architecture:context-length"),
        vocabulary=members.integer("vocab_size", fact="architecture:vocabulary"),
        sliding_window=members.integer("sliding_window", fact="architecture:sliding-window") if windowed else None,
        dtype=members.text(*_DTYPE, fact="architecture:dtype"),
        tied_embeddings=members.boolean("tie_word_embeddings", fact="architecture:tied-embeddings"),
        quantisation=_quantisation(members),
        remote_code=remote_code(outer),
    )


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
