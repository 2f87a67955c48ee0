"""Which tensor of a checkpoint goes where: transformers' own renaming and merging, one tensor or expert at a time.

Like ``mbom.engine.stock``, this touches what transformers does not promise to keep; see there for the pinned version.
"""

import re
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import WeightConverter, WeightRenaming, dot_natural_key, rename_source_key

from mbom.engine.stock import Stock
from mbom.errors import FormatError

# Where composite checkpoints keep the text model, by the two layouts that publishers use, and its own names for it.
_TEXT_PLACES = (
    ("model.language_model.", "model."),
    ("language_model.model.", "model."),
    ("language_model.lm_head.", "lm_head."),
)

# Parts of a checkpoint that predict further tokens or see and hear: read and listed, never run.
_OTHER_PARTS = re.compile(
    r"mtp\.|(model\.)?"
    r"(audio_tower|embed_audio|embed_vision|multi_modal_projector|vision_model|vision_tower|visual)\."
)

# What older tools saved with a layer although it is computed: rotary frequencies.
_COMPUTED = re.compile(r"\.rotary_emb\.inv_freq$")

# Names of scales and zero points, which belong to a stored format and not to the model.
_SCALES = re.compile(r"(scale|scale_inv|scales|zero_point|zeros)$")


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where a checkpoint tensor goes: a parameter, and the conversion pattern that leads there, if any."""

    parameter: str
    pattern: str | None


class Conversion:
    """transformers' own mapping of checkpoint names to parameters, and its merging of per-expert tensors."""

    def __init__(self, stock: Stock) -> None:
        self._model = stock.model
        self._composite = stock.composite
        self._layers = tuple(f"{name}." for name, _ in stock.layers)
        base = getattr(stock.base, "_keys_to_ignore_on_load_unexpected", None) or ()
        self._ignored = re.compile("|".join(f"(?:{pattern})" for pattern in base) or "(?!)")
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
        name = self._text_name(name)
        renamed, pattern = rename_source_key(name, self._renamings, self._converters, prefix, self._state)
        if renamed not in self._state and name in self._state:
            renamed, pattern = name, None
        return Target(parameter=renamed, pattern=pattern) if renamed in self._state else None

    def check_unused(self, name: str) -> None:
        """Refuse a tensor without a place that looks as if the text model should use it.

        Such a tensor would be listed as not executed, while the publisher's own code may well execute it. What is left
        are further layers and parts that predict more tokens, see or hear, what the stock class itself says that it
        ignores, and companions of stored formats.

        Raises:
            FormatError: naming the tensor.
        """
        known = (_OTHER_PARTS.match(name), _COMPUTED.search(name), _SCALES.search(name))
        text = self._text_name(name)
        if any(known) or self._ignored.search(text):
            return
        inside = text.startswith(self._layers)
        further = re.match(r"model\.layers\.\d+\.", text) and not inside
        if inside or (self._composite and not further):
            raise FormatError(
                f"{name}: {type(self._model).__name__}, as config.json describes it, has no place for this tensor, "
                "which is not of a part that is known to be left out"
            )

    def _text_name(self, name: str) -> str:
        """Return what a tensor of a composite checkpoint's text model is called where that model stands alone."""
        if self._composite:
            for whole, alone in _TEXT_PLACES:
                if name.startswith(whole):
                    return alone + name.removeprefix(whole)
        return name

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


def natural(name: str) -> tuple[tuple[int, int | str], ...]:
    """Return the sort key under which layer 10 follows layer 9."""
    return tuple(dot_natural_key(name))


def expert_index(name: str) -> int | None:
    """Return the number of the expert that a checkpoint tensor belongs to, or None."""
    match = re.search(r"\.experts\.(\d{1,6})\.", name)
    return int(match[1]) if match else None
