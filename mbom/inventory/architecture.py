"""What config.json says of a model: its type, its size in layers and experts, its quantisation, its demand for code.

Everything here is the publisher's word. The tensor table is the other witness; ``parameters`` and ``facts`` compare.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeGuard

from mbom import strictjson
from mbom.errors import FormatError
from mbom.inventory.findings import finding
from mbom.inventory.record import Finding
from mbom.strictjson import Json

CONFIG = "config.json"
NAME_LIMIT = 256  # characters of a name in a configuration; honest ones have about forty
NAMES_LIMIT = 64  # names in one member; honest configurations list one architecture and half a dozen classes

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
    nested = next((part for name in _NESTED if isinstance(part := document.get(name), dict)), {})
    members = Members(CONFIG, nested, document)
    outer = Members(CONFIG, document)
    found = _architecture(members, outer)
    return found, tuple(dict.fromkeys(members.findings + outer.findings))


def read_object(path: str, data: bytes) -> tuple[dict[str, Json] | None, tuple[Finding, ...]]:
    """Read a configuration file as one JSON object; None with a ``config-malformed`` finding where it is not one."""
    try:
        document = strictjson.loads(data, what=path, infinity=True)
    except FormatError as error:
        return None, (finding("config-malformed", path, str(error)),)
    if isinstance(document, dict):
        return document, ()
    return None, (finding("config-malformed", path, f"{path}: not a JSON object"),)


class Members:
    """Typed access to the members of one configuration file; a wrong type becomes a finding and counts as absent.

    Objects are searched in the order given, so that an inner configuration goes before the outer one.
    """

    def __init__(self, path: str, *objects: dict[str, Json]) -> None:
        self.path = path
        self.objects = objects
        self.findings: list[Finding] = []

    def find(self, names: Sequence[str]) -> tuple[str, Json]:
        """Return the first member under any of ``names`` that is not null, with its name; null where there is none."""
        for name in names:
            for item in self.objects:
                if item.get(name) is not None:
                    return name, item[name]
        return names[0], None

    def integer(self, *names: str) -> int | None:
        """Return a non-negative integer."""
        name, value = self.find(names)
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
        self._refuse(name, value, "a non-negative integer")
        return None

    def text(self, *names: str) -> str | None:
        """Return a string of 1 to ``NAME_LIMIT`` characters."""
        name, value = self.find(names)
        if is_name(value):
            return value
        self._refuse(name, value, f"a string of 1 to {NAME_LIMIT} printable characters")
        return None

    def boolean(self, *names: str) -> bool | None:
        """Return a boolean."""
        name, value = self.find(names)
        if isinstance(value, bool):
            return value
        self._refuse(name, value, "a boolean")
        return None

    def object(self, *names: str) -> dict[str, Json] | None:
        """Return an object."""
        name, value = self.find(names)
        if isinstance(value, dict):
            return value
        self._refuse(name, value, "an object")
        return None

    def names(self, name: str) -> tuple[str, ...]:
        """Return an array of up to ``NAMES_LIMIT`` strings, each of 1 to ``NAME_LIMIT`` printable characters."""
        _, value = self.find((name,))
        if value is None:
            return ()
        if isinstance(value, list) and len(value) <= NAMES_LIMIT:
            texts = tuple(item for item in value if is_name(item))
            if len(texts) == len(value):
                return texts
        self.reject(name, f"an array of up to {NAMES_LIMIT} short strings")
        return ()

    def _refuse(self, name: str, value: Json, wanted: str) -> None:
        if value is not None:
            self.reject(name, wanted)

    def reject(self, name: str, wanted: str) -> None:
        """Record that a member has a type or a size that it cannot have."""
        detail = f"{name} is not {wanted}, so it is left out"
        self.findings.append(finding("config-field", self.path, detail))


def is_name(value: Json) -> TypeGuard[str]:
    """Tell whether a value is a string of 1 to ``NAME_LIMIT`` printable characters."""
    return isinstance(value, str) and 0 < len(value) <= NAME_LIMIT and value.isprintable()


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
        model_type=outer.text("model_type"),
        architectures=outer.names("architectures"),
        layers=members.integer(*_LAYERS),
        prediction_layers=members.integer(*_PREDICTION_LAYERS),
        hidden=members.integer(*_HIDDEN),
        heads=members.integer(*_HEADS),
        kv_heads=members.integer(*_KV_HEADS),
        experts=members.integer(*_EXPERTS),
        experts_per_token=members.integer(*_EXPERTS_PER_TOKEN),
        context_length=members.integer(*_CONTEXT),
        vocabulary=members.integer("vocab_size"),
        sliding_window=members.integer("sliding_window") if windowed else None,
        dtype=members.text(*_DTYPE),
        tied_embeddings=members.boolean("tie_word_embeddings"),
        quantisation=_quantisation(members),
        remote_code=remote_code(outer),
    )


def _quantisation(members: Members) -> Quantisation | None:
    section = members.object("quantization_config")
    if section is None:
        return None
    inner = Members(members.path, section)
    groups = inner.object("config_groups") or {}
    widths = {_group_bits(members.path, group) for group in groups.values()}
    bits = inner.integer("bits", "weight_bits")
    if bits is None and len(widths) == 1:
        bits = widths.pop()
    found = Quantisation(method=inner.text("quant_method"), format=inner.text("format"), bits=bits)
    members.findings.extend(inner.findings)
    return found


def _group_bits(path: str, group: Json) -> int | None:
    """Return the width of the weights of one of compressed-tensors' groups."""
    weights = group.get("weights") if isinstance(group, dict) else None
    return Members(path, weights).integer("num_bits") if isinstance(weights, dict) else None
