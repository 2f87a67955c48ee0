"""Stock models of transformers without weights, built from a strictly read configuration.

With ``mbom.engine.conversion`` and ``mbom.engine.attention``, this touches what transformers does not promise to keep.
Everything here was read in transformers 5.23.0, which the ``engine`` extra pins; ``mbom.engine.available`` and a test
refuse any other version.
Classes are chosen by the table below, never by the checkpoint, and no code of a repository is ever imported:
``auto_map`` is dropped before the configuration is built.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import torch
import transformers
from huggingface_hub.errors import StrictDataclassError
from torch import nn
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
)

from mbom.engine import attention, llama4
from mbom.engine.float64 import Skeleton, placeholder
from mbom.engine.sidefiles import text_settings
from mbom.errors import EngineError, FormatError
from mbom.strictjson import Json

VERSION = transformers.__version__

# Model types whose stock class the tests hold against an ordinary full load, value by value.
FAMILIES = frozenset(
    {
        "deepseek_v2", "deepseek_v3", "dots1", "ernie4_5_moe", "glm4", "glm4_moe", "glm4_moe_lite", "gpt_oss",
        "hunyuan_v1_moe", "llama", "minimax_m2", "ministral", "mistral", "mixtral", "olmo2", "olmoe", "phi3", "qwen2",
        "qwen2_moe", "qwen3", "qwen3_moe", "seed_oss", "smollm3",
        "deepseek_v32",
        "deepseek_v4",
        "glm_moe_dsa",
        "kimi_linear",
        "ministral3",
        "nemotron",
        "nemotron_h",
        "olmo3",
        "gemma3", "gemma3_text",
        "gemma4", "gemma4_text",
        "llama4", "llama4_text",
        "mistral3",
        "qwen3_5", "qwen3_5_text",
        "qwen3_5_moe", "qwen3_5_moe_text",
        "qwen3_next",
    }
)  # fmt: skip

# Those of them that join a text model, described by ``text_config``, to models of pictures or sound, with the types
# that the text model may have, the first of them where it names none. The text model alone is built and run.
COMPOSITES: Mapping[str, tuple[str, ...]] = {
    "gemma3": ("gemma3_text",),
    "gemma4": ("gemma4_text",),
    "llama4": ("llama4_text",),
    "mistral3": ("mistral", "ministral3"),
    "qwen3_5": ("qwen3_5_text",),
    "qwen3_5_moe": ("qwen3_5_moe_text",),
}

# Members of config.json that choose code, precision or extra outputs; the engine decides those.
_DROPPED = frozenset(
    {
        "attn_implementation", "auto_map", "dtype", "experts_implementation", "output_attentions",
        "output_hidden_states", "output_router_logits", "quantization_config", "return_dict", "torch_dtype",
        "use_cache",
    }
)  # fmt: skip

# Members that change logits after the output head. No stock class in the table reads them, but for the soft-capping
# of the types below, so a checkpoint that sets one means something else than would be computed.
_SOFTCAP = "final_logit_softcapping"
_LOGIT_CHANGES = (_SOFTCAP, "logit_scale", "logits_scaling")
_SOFTCAPPED = frozenset({"gemma3_text", "gemma4", "gemma4_text"})  # the composite class of Gemma 3 ignores it

# What configurations and modules raise on values that they did not expect.
_UNBUILDABLE = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)

# Members that name the kind of each layer, of which some families make as many layers as there are names.
_LAYER_LISTS = ("hybrid_override_pattern", "layers_block_type", "layer_types", "mlp_layer_types")

# Types whose layers hand on more than the residual stream: one of them alone cannot be the first to run.
_CONNECTED = frozenset({"gemma4", "gemma4_text", "glm_moe_dsa"})


@dataclass(frozen=True, kw_only=True)
class Stock:
    """A stock causal language model without weights.

    Attributes:
        model: the whole model; its parameters are placeholders.
        base: the part below the output head: embeddings in, normalised residual stream out.
        layers: the decoder layers with their module names, in order.
        embedding: the name of the embedding matrix.
        layer_embedding: the name of a second one, from which each layer takes its own part (Gemma 4), or None.
        head: the name of the output matrix.
        tied: whether the configuration makes embedding and head one.
        vocabulary: rows of the embedding.
        resumable: whether the residual stream after a layer is all that the next one is given.
        softcap: c, where logits x become c * tanh(x / c), or None.
        composite: whether the checkpoint holds other models beside this one.
    """

    model: Any  # its class is known when config.json has been read, and untyped for the most part
    base: nn.Module
    layers: tuple[tuple[str, nn.Module], ...]
    embedding: str
    layer_embedding: str | None
    head: str
    tied: bool
    vocabulary: int
    resumable: bool
    softcap: float | None
    composite: bool


transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # its hints are about training


def build(raw: Mapping[str, Json], *, tensors: int, device: torch.device) -> Stock:
    """Build the stock model that ``config.json`` describes, without weights, its constants in float64.

    Args:
        raw: the configuration as the strict reader returned it.
        tensors: how many tensors the checkpoint has; a layer has at least one, which bounds what a hostile
            configuration can make this build.
        device: where buffers and placeholders go. They are computed on the CPU, so that devices agree.

    Raises:
        EngineError: for a model type outside the table, or a setting that its stock class does not compute.
        FormatError: for a configuration that the stock class cannot be built from.
    """
    model_type = raw.get("model_type")
    if not isinstance(model_type, str) or model_type not in FAMILIES:
        raise EngineError(
            f"config.json: the model type {model_type!r} cannot be measured; {', '.join(sorted(FAMILIES))} can. "
            "Everything else about the checkpoint is attested with --no-behaviour"
        )
    _check_settings(raw, model_type, tensors)
    try:
        config = _text_config(raw, model_type)
        config.pad_token_id = None  # where gradients stop; some publishers name a token outside the vocabulary
        kind: Any = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
        _check_architecture(raw, model_type, kind.__name__)
        with Skeleton(), torch.no_grad():
            model = kind._from_config(  # noqa: SLF001 - from_pretrained would read weights
                config, dtype=torch.float64, attn_implementation=attention.ATTENTION, experts_implementation="eager"
            )
    except (*_UNBUILDABLE, StrictDataclassError) as error:
        _unbuildable(model_type, error)
    llama4.leave_out_zeros(model)
    return _described(model.eval(), device, composite=model_type in COMPOSITES)


def _check_settings(raw: Mapping[str, Json], model_type: str, tensors: int) -> None:
    """Refuse what would be computed in another way than the checkpoint means, or takes too much to build."""
    text = _text_part(raw, model_type)
    # A composite may leave the number to its class, as Gemma 3's do with members that have their default.
    if text is raw or "num_hidden_layers" in text:
        _check_layers(text, tensors)
    for name in _LOGIT_CHANGES:
        if text.get(name) not in (None, 1, 1.0) and not (name == _SOFTCAP and model_type in _SOFTCAPPED):
            raise EngineError(f"config.json: {name} is {text[name]!r}, which the stock class does not compute")
    # "vision" lets the parts of one picture see each other, and there are no pictures here.
    if text.get("use_bidirectional_attention") not in (None, False, "vision"):
        raise EngineError(
            f"config.json: use_bidirectional_attention is {text['use_bidirectional_attention']!r}; only models that "
            "do not look ahead can be measured"
        )


def _text_part(raw: Mapping[str, Json], model_type: str) -> Mapping[str, Json]:
    """Return the settings of the text model, which are those of a plain checkpoint."""
    if model_type not in COMPOSITES:
        return raw
    text = text_settings(raw)
    if text is raw:
        raise FormatError(f"config.json: text_config is {raw.get('text_config')!r:.60}; an object is allowed")
    allowed = COMPOSITES[model_type]
    text_type = text.get("model_type", allowed[0])
    if text_type not in allowed:
        raise EngineError(
            f"config.json: a {model_type} with the text model {text_type!r} cannot be measured; "
            f"{' or '.join(allowed)} can. Everything else about the checkpoint is attested with --no-behaviour"
        )
    return text


def _text_config(raw: Mapping[str, Json], model_type: str) -> Any:  # noqa: ANN401 - see Stock.model
    """Build the configuration of the text model with the defaults that its class, or that of the whole, gives it."""
    config: Any
    if model_type not in COMPOSITES:
        return CONFIG_MAPPING[model_type](**_kept(raw))
    # Of the whole, only what bears on the text model: the rest could name any other class.
    outer: dict[str, Any] = {"text_config": {"model_type": COMPOSITES[model_type][0], **_kept(text_settings(raw))}}
    if "tie_word_embeddings" in raw:
        outer["tie_word_embeddings"] = raw["tie_word_embeddings"]
    whole: Any = CONFIG_MAPPING[model_type](**outer)
    config = whole.text_config
    config.tie_word_embeddings = whole.tie_word_embeddings  # the whole decides in transformers' own composite classes
    return config


def _kept(raw: Mapping[str, Json]) -> dict[str, Any]:
    """Return what is left to the configuration class, as a copy: it edits nested members in place."""
    return {name: _copied(value) for name, value in raw.items() if name not in _DROPPED and not name.startswith("_")}


def _check_layers(raw: Mapping[str, Json], tensors: int) -> None:
    """Refuse more layers than there are tensors, whether they are counted or listed."""
    listed = {name: kinds for name in _LAYER_LISTS if isinstance(kinds := raw.get(name), str | list)}
    for name, kinds in listed.items():
        if not 0 < len(kinds) <= tensors:
            raise FormatError(f"config.json: {name} names {len(kinds)} layers; the checkpoint has {tensors} tensors")
    layers = raw.get("num_hidden_layers")
    if layers is None and listed:
        return  # families whose layers differ in kind may list them and not count them
    if type(layers) is not int or not 0 < layers <= tensors:
        raise FormatError(f"config.json: num_hidden_layers is {layers!r}; the checkpoint has {tensors} tensors")


def _copied(value: Json) -> Json:
    """Copy a value, because configuration classes edit nested members in place, and read transformers' infinities."""
    if isinstance(value, dict):
        tag = value.get("__float__") if len(value) == 1 else None
        return float(tag) if tag in ("Infinity", "-Infinity") else {name: _copied(v) for name, v in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value


def _unbuildable(model_type: str, error: Exception) -> NoReturn:
    reason = " ".join(str(error).split())[:300] or type(error).__name__
    raise FormatError(f"config.json: no {model_type} model can be built from it: {reason}") from error


def _check_architecture(raw: Mapping[str, Json], model_type: str, name: str) -> None:
    declared = raw.get("architectures")
    names = {name}
    if model_type in COMPOSITES:
        names.add(MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES[model_type])
    if declared is not None and (not isinstance(declared, list) or names.isdisjoint(map(str, declared))):
        allowed = " or ".join(sorted(names))
        raise EngineError(f"config.json: architectures is {declared!r}; only {allowed} is measured for this model type")


def _described(model: Any, device: torch.device, *, composite: bool) -> Stock:  # noqa: ANN401 - see Stock.model
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    # An embedding may scale its rows: the stock module is what looks them up.
    plain = isinstance(embedding, nn.Embedding) and type(head) is nn.Linear
    if not plain or [len(list(module.parameters())) for module in (embedding, head)] != [1, 1]:
        raise EngineError(f"{type(model).__name__}: its embedding or output head is not a plain matrix")
    names = {module: name for name, module in model.named_modules()}
    tied = head.weight is embedding.weight
    vocabulary = embedding.num_embeddings
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            empty = placeholder(parameter.shape, device)
            module.register_parameter(name, nn.Parameter(empty, requires_grad=False))
        for name, buffer in list(module.named_buffers(recurse=False)):
            setattr(module, name, buffer.to(device))
        attention.take_prompts_alone(module)
    base = model.base_model if model.base_model is not model else model.model
    by_layer = getattr(base, "embed_tokens_per_layer", None)
    return Stock(
        model=model,
        base=base,
        layers=tuple((names[layer], layer) for layer in base.layers),
        embedding=f"{names[embedding]}.weight",
        layer_embedding=f"{names[by_layer]}.weight" if by_layer is not None else None,
        head=f"{names[head]}.weight",
        tied=tied,
        vocabulary=vocabulary,
        resumable=model.config.model_type not in _CONNECTED,
        softcap=getattr(model.config, _SOFTCAP, None),
        composite=composite,
    )


def is_indexer(module: nn.Module) -> bool:
    """Return whether a module chooses the keys that sparse attention looks at."""
    return type(module).__name__.endswith("Indexer")


def routes_by_token(block: nn.Module) -> bool:
    """Return whether a block of experts looks them up by token id instead of choosing them by score."""
    return getattr(block, "is_hash", False) is True


def place_of(stock: Stock, parameter: str) -> tuple[int | None, int]:
    """Return the index of the decoder layer that a parameter belongs to, or None, and the slices it is sketched in."""
    layer = next((index for index, (name, _) in enumerate(stock.layers) if parameter.startswith(f"{name}.")), None)
    if layer is None:
        return None, 1
    return layer, experts_of(stock, parameter) or expert_rows_of(stock, parameter) or 1


def experts_of(stock: Stock, parameter: str) -> int | None:
    """Return the number of experts stacked in a parameter's first dimension, or None when it stacks none.

    Matrices alone count: the vectors of all experts together are small, and are read with their layer.
    """
    path, _, name = parameter.rpartition(".")
    module = stock.model.get_submodule(path)
    count = getattr(module, "num_experts", None)
    shape = getattr(module, name).shape
    stacks = type(module).__name__.endswith("Experts") and len(shape) == 3 and shape[0] == count
    return int(shape[0]) if stacks else None


def expert_rows_of(stock: Stock, parameter: str) -> int | None:
    """Return the number of experts that a matrix has a row for (a router, or the biases of all experts), or None."""
    path, _, name = parameter.rpartition(".")
    shape = getattr(stock.model.get_submodule(path), name).shape
    if len(shape) != 2:
        return None
    for block in (path, path.rpartition(".")[0]):
        counts = {
            getattr(module, "num_experts", None)
            for module in stock.model.get_submodule(block).modules()
            if type(module).__name__.endswith("Experts")
        }
        if counts == {shape[0]}:
            return int(shape[0])
    return None
