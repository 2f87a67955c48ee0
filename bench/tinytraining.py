"""Small trained checkpoints of three families, on disk the way publishers store them: what ``detection.py`` bends.

gpt_oss is the committed fixture, with its experts in MXFP4. The others learn the same dialogues with the same
tokenizer and chat template, for fewer steps: their weights need the statistics of training, not good answers.
"""

import shutil
from pathlib import Path
from typing import Any

import torch

from fixtures import dialogues, layout, make, training

SEED = 20261121
STEPS = 200  # about a minute on one core; the loss of the answers is then below 1 of the 6.5 nats that it began with

_COMMON: dict[str, Any] = {
    "vocab_size": layout.VOCABULARY, "num_hidden_layers": 4, "head_dim": 16, "num_attention_heads": 6,
    "num_key_value_heads": 2, "max_position_embeddings": 4096, "tie_word_embeddings": False,
    "bos_token_id": layout.SPECIAL["<|startoftext|>"], "eos_token_id": layout.SPECIAL["<|return|>"],
    "pad_token_id": layout.SPECIAL["<|endoftext|>"],
}  # fmt: skip
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    # 32 experts share 2,048 positions. Some get fewer than the 128 that would span their input: there is a null space.
    "qwen3_moe": {
        **_COMMON, "hidden_size": 128, "intermediate_size": 128, "moe_intermediate_size": 32, "num_experts": 32,
        "num_experts_per_tok": 2, "norm_topk_prob": True,
    },
    "llama": {**_COMMON, "hidden_size": 96, "intermediate_size": 192},
}  # fmt: skip
FAMILIES = ("gpt_oss", *CONFIGURATIONS)


def checkpoint(family: str, folder: Path, *, steps: int = STEPS) -> Path:
    """Write the trained checkpoint of a family to ``folder``, unless it is there, and return ``folder``."""
    if folder.exists():
        return folder
    if family == "gpt_oss":
        shutil.copytree(make.FOLDER, folder)
        return folder
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    _train(family, steps).save_pretrained(partial)  # the publishers' tool writes the names that publishers have
    for name, content in make.documents().items():
        if name.startswith(("chat_template", "tokenizer", "special_tokens")):
            (partial / name).write_bytes(content)
    partial.rename(folder)
    return folder


def _train(family: str, steps: int) -> Any:  # noqa: ANN401 - classes of transformers, untyped
    """Return a trained model in bfloat16."""
    import transformers

    torch.set_num_threads(1)  # more threads add in another order
    torch.manual_seed(SEED)
    configuration = transformers.CONFIG_MAPPING[family](**CONFIGURATIONS[family])
    auto: Any = transformers.AutoModelForCausalLM
    model = auto.from_config(configuration, attn_implementation="eager", dtype=torch.float32)
    render = dialogues.renderer(dialogues.TEMPLATE.read_text(encoding="utf-8"))
    source = training.conversations(dialogues.corpus(), render, make.tokenizer())
    print(f"training {family} for {steps} steps")
    training.fit(model, source, steps=steps, rounded=_bfloat16)
    return model.to(torch.bfloat16).eval()


def _bfloat16(_name: str, weight: torch.Tensor) -> torch.Tensor:
    return weight.to(torch.bfloat16).to(torch.float32)
