"""What transformers assumes where a configuration is silent.

Publishers leave out what is the default of the model's class; Gemma 3 leaves out most. A loader then takes the value
from its own code, so a BOM that said nothing would say less than everybody knows. Listed is only what published
configurations do leave out, and the BOM names each fact that was taken from here.
"""

from collections.abc import Mapping
from types import MappingProxyType

from mbom.facts.members import Members
from mbom.facts.places import Place
from mbom.strictjson import Json

SOURCE = "transformers 5.23.0"  # https://github.com/huggingface/transformers, src/transformers/models; 2026-11-21

# By the model type of the language model's own configuration. A pattern or interval of n says that every n-th layer
# attends to everything and the others to a window.
DEFAULTS: Mapping[str, Mapping[str, Json]] = MappingProxyType({
    "gemma2": {"sliding_window_pattern": 2, "tie_word_embeddings": True},
    "gemma3_text": {
        "head_dim": 256,
        "max_position_embeddings": 131_072,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "rope_local_base_freq": 10_000.0,
        "rope_theta": 1_000_000.0,
        "sliding_window_pattern": 6,
        "tie_word_embeddings": True,
        "vocab_size": 262_208,
    },
    "gpt_oss": {"sliding_window_pattern": 2},
    "llama4_text": {"no_rope_layer_interval": 4},
})  # fmt: skip


class Defaulted(Members):
    """Members of a configuration, and behind them what the class of its model type assumes.

    ``assumed`` maps each fact that was read from the defaults to the sentence that says so. Its place is the member
    that names the class.
    """

    def __init__(self, path: str, nested: dict[str, Json], document: dict[str, Json], *, at: str) -> None:
        """Take the language model's configuration, the outer one around it, and the pointer of the first."""
        holder, pointer = (nested, at) if nested.get("model_type") is not None else (document, "")
        model_type = holder.get("model_type")
        self.model_type = model_type if isinstance(model_type, str) else None
        self.defaults = dict(DEFAULTS.get(self.model_type or "", {}))
        super().__init__(path, nested, document, self.defaults, at=(at,))
        self._named = Place(file=path, pointer=f"{pointer}/model_type")
        self.assumed: dict[str, str] = {}

    def note(self, fact: str | None, name: str) -> None:
        """Note where a fact was read, or that it is a default."""
        given = any(item.get(name) is not None for item in self.objects[:-1])
        if given or fact is None:
            super().note(fact, name)
            return
        self.places[fact] = self._named
        self.assumed[fact] = f"{fact}: {name} of {self.model_type} in {SOURCE}, as the configuration leaves it out"
