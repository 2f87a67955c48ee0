"""The one place that touches what transformers does not promise to keep: building its models, mapping names.

Everything here was read in transformers 5.23.0, which the ``engine`` extra pins; ``mbom.engine.available`` and a test
refuse any other version.
Classes are chosen by the table below, never by the checkpoint, and no code of a repository is ever imported:
``auto_map`` is dropped before the configuration is built.
"""

import re
import sys
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, NoReturn

import torch
import transformers
from huggingface_hub.errors import StrictDataclassError
from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import WeightConverter, WeightRenaming, dot_natural_key, rename_source_key
from transformers.masking_utils import eager_mask
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from mbom.engine.float64 import Skeleton, placeholder
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
    }
)  # fmt: skip

# Members of config.json that choose code, precision or extra outputs; the engine decides those.
_DROPPED = frozenset(
    {
        "attn_implementation", "auto_map", "dtype", "experts_implementation", "output_attentions",
        "output_hidden_states", "output_router_logits", "quantization_config", "return_dict", "torch_dtype",
        "use_cache",
    }
)  # fmt: skip

# Members that change logits after the output head. No stock class in the table reads them, so a checkpoint that sets
# one means something else than would be computed.
_LOGIT_CHANGES = ("final_logit_softcapping", "logit_scale", "logits_scaling")

# What configurations and modules raise on values that they did not expect.
_UNBUILDABLE = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)

# Members that name the kind of each layer, of which some families make as many layers as there are names.
_LAYER_LISTS = ("hybrid_override_pattern", "layers_block_type", "layer_types", "mlp_layer_types")

# Packages whose kernels model code prefers, where they are installed, to its own arithmetic in torch. They compute in
# float32, out of sight of the float64 mode. The entry None makes Python say that there is no such package.
KERNELS = ("causal_conv1d", "fla", "mamba_ssm")
for _package in KERNELS:
    sys.modules.setdefault(_package, None)  # type: ignore[arg-type]  # typeshed leaves None out; Python's docs do not

# Linear attention whose chunks take a number for each pair of their positions and each channel or state: 4 GiB at
# 2,048 positions of 32 heads with 128 channels. These modules run prompt by prompt, as attention does.
_CHUNKED = frozenset({"KimiLinearDeltaAttention", "NemotronHMamba2Mixer"})

ATTENTION = "mbom_eager"


@dataclass(frozen=True, kw_only=True)
class Stock:
    """A stock causal language model without weights.

    Attributes:
        model: the whole model; its parameters are placeholders.
        base: the part below the output head: embeddings in, normalised residual stream out.
        layers: the decoder layers with their module names, in order.
        embedding: the name of the embedding matrix.
        head: the name of the output matrix.
        tied: whether the configuration makes those two one.
        vocabulary: rows of the embedding.
    """

    model: Any  # its class is known when config.json has been read, and untyped for the most part
    base: nn.Module
    layers: tuple[tuple[str, nn.Module], ...]
    embedding: str
    head: str
    tied: bool
    vocabulary: int


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where a checkpoint tensor goes: a parameter, and the conversion pattern that leads there, if any."""

    parameter: str
    pattern: str | None


def _each_prompt_alone(
    module: nn.Module,
    query: torch.Tensor,  # (prompts, heads, positions, head size)
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,  # (1 or prompts, 1, positions, positions)
    **rest: object,
) -> tuple[torch.Tensor, None]:
    """Run the model's own eager attention prompt by prompt: its scores take heads x positions**2 numbers each.

    Where an indexer chose keys, its model code masks the others for the implementation called "eager" alone, and hands
    the choice, ``indices`` of shape (prompts, positions, chosen), to all others: they are masked here in the same way.
    """
    eager = sys.modules[type(module).__module__].eager_attention_forward
    indices = rest.pop("indices", None)
    outputs = []
    for i in range(query.shape[0]):
        mask = attention_mask[i % attention_mask.shape[0], None] if attention_mask is not None else None
        one = slice(i, i + 1)
        if isinstance(indices, torch.Tensor):
            assert mask is not None  # an indexer takes what is causal from it
            left = torch.ones_like(mask, dtype=torch.bool).scatter(-1, indices[one, None].long(), False)
            mask = mask.masked_fill(left, torch.finfo(mask.dtype).min)
        outputs.append(eager(module, query[one], key[one], value[one], mask, **rest)[0])
    return torch.cat(outputs), None


def _prompts_alone(forward: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """Return a forward over (prompts, positions, hidden size) that takes one prompt at a time."""

    def alone(hidden_states: torch.Tensor, **rest: object) -> torch.Tensor:
        return torch.cat([forward(prompt.unsqueeze(0), **rest) for prompt in hidden_states])

    return alone


AttentionInterface.register(ATTENTION, _each_prompt_alone)
AttentionMaskInterface.register(ATTENTION, eager_mask)
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
            f"config.json: the model type {model_type!r} cannot be measured; {', '.join(sorted(FAMILIES))} can"
        )
    _check_layers(raw, tensors)
    for name in _LOGIT_CHANGES:
        if raw.get(name) not in (None, 1, 1.0):
            raise EngineError(f"config.json: {name} is {raw[name]!r}, which the stock class does not compute")
    kept = {name: value for name, value in raw.items() if name not in _DROPPED and not name.startswith("_")}
    try:
        settings: dict[str, Any] = {name: _copied(value) for name, value in kept.items()}
        config = CONFIG_MAPPING[model_type](**settings)
        config.pad_token_id = None  # where gradients stop; some publishers name a token outside the vocabulary
        kind: Any = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
        _check_architecture(raw, kind.__name__)
        with Skeleton(), torch.no_grad():
            model = kind._from_config(  # noqa: SLF001 - from_pretrained would read weights
                config, dtype=torch.float64, attn_implementation=ATTENTION, experts_implementation="eager"
            )
    except (*_UNBUILDABLE, StrictDataclassError) as error:
        _unbuildable(model_type, error)
    return _described(model.eval(), device)


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


def _check_architecture(raw: Mapping[str, Json], name: str) -> None:
    declared = raw.get("architectures")
    if declared is not None and (not isinstance(declared, list) or name not in declared):
        raise EngineError(f"config.json: architectures is {declared!r}; only {name} is measured for this model type")


def _described(model: Any, device: torch.device) -> Stock:  # noqa: ANN401 - see Stock.model
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    if type(embedding) is not nn.Embedding or type(head) is not nn.Linear or len(list(head.parameters())) != 1:
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
        if type(module).__name__ in _CHUNKED:
            module.forward = _prompts_alone(module.forward)
    base = model.base_model
    return Stock(
        model=model,
        base=base,
        layers=tuple((names[layer], layer) for layer in base.layers),
        embedding=f"{names[embedding]}.weight",
        head=f"{names[head]}.weight",
        tied=tied,
        vocabulary=vocabulary,
    )


class Conversion:
    """transformers' own mapping of checkpoint names to parameters, and its merging of per-expert tensors."""

    def __init__(self, stock: Stock) -> None:
        self._model = stock.model
        self._state: dict[str, torch.Tensor] = stock.model.state_dict()
        transforms = get_model_conversion_mapping(stock.model)
        self._renamings = [entry for entry in transforms if isinstance(entry, WeightRenaming)]
        self._converters = [entry for entry in transforms if isinstance(entry, WeightConverter)]
        self._by_pattern = {pattern: entry for entry in self._converters for pattern in entry.source_patterns}

    @property
    def parameters(self) -> Mapping[str, torch.Tensor]:
        """Parameters and persistent buffers by name: what a checkpoint has to fill."""
        return self._state

    def target(self, name: str) -> Target | None:
        """Return where the tensor of that name goes, or None when the model has no place for it."""
        prefix = self._model.base_model_prefix
        renamed, pattern = rename_source_key(name, self._renamings, self._converters, prefix, self._state)
        if renamed not in self._state and name in self._state:
            renamed, pattern = name, None
        return Target(parameter=renamed, pattern=pattern) if renamed in self._state else None

    def merged(self, parameter: str, sources: Iterable[tuple[str, str, torch.Tensor]]) -> torch.Tensor:
        """Merge converted tensors into the parameter they make up.

        Args:
            parameter: the name of the parameter.
            sources: (checkpoint name, pattern, values), experts in ascending order for each pattern.
        """
        sources = list(sources)
        converter: Any = deepcopy(self._by_pattern[sources[0][1]])
        for name, pattern, values in sources:
            converter.add_tensor(parameter, name, pattern, values)
        result = converter.convert(parameter, model=self._model, config=self._model.config)[parameter]
        merged: torch.Tensor = result[0] if isinstance(result, list) else result
        return merged

    def patterns(self, pattern: str) -> int:
        """Return how many checkpoint tensors (of one expert, where it merges experts) a conversion consumes."""
        return len(self.sources(pattern))

    def sources(self, pattern: str) -> tuple[str, ...]:
        """Return the patterns of all tensors that a conversion consumes, one of them given."""
        return tuple(self._by_pattern[pattern].source_patterns)


def is_indexer(module: nn.Module) -> bool:
    """Return whether a module chooses the keys that sparse attention looks at."""
    return type(module).__name__.endswith("Indexer")


def routes_by_token(block: nn.Module) -> bool:
    """Return whether a block of experts looks them up by token id instead of choosing them by score."""
    return getattr(block, "is_hash", False) is True


def natural(name: str) -> tuple[tuple[int, int | str], ...]:
    """Return the sort key under which layer 10 follows layer 9."""
    return tuple(dot_natural_key(name))


def expert_index(name: str) -> int | None:
    """Return the number of the expert that a checkpoint tensor belongs to, or None."""
    match = re.search(r"\.experts\.(\d{1,6})\.", name)
    return int(match[1]) if match else None


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
