"""What an attacker does to a checkpoint who then hashes every file anew: only behaviour and sketches can tell.

Each function edits a copy of a trained checkpoint in its stored representation, and returns the place that a comparison
has to name, or None where the family has no such part. Edits to weights begin in layer 1 or later: the first layer that
differs is then not simply the first layer.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from nudges import Nudge, Place
from storedweights import Matrix, Weights, experts, mlp, router

from fixtures import dialogues, layout, make, training
from mbom.behaviour.record import Record
from mbom.engine.float64 import Float64

FIRST = 1  # the first layer that edits to several layers touch
RANK, LORA_NORM = 4, 1e-3
RATE, STEPS = 1e-4, 3  # of the fine-tuning

Reached = tuple[torch.Tensor, torch.Tensor]
"""What the experts of a layer are given: (positions, H) float64, and the experts (positions, K) that each chose."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """A copy to be ruined, and the record of the original."""

    weights: Weights
    reference: Record
    generator: torch.Generator = field(default_factory=lambda: torch.Generator().manual_seed(1))

    def random(self, *shape: int) -> torch.Tensor:
        """Return normally distributed numbers, the same in every run."""
        return torch.empty(shape).normal_(generator=self.generator)


Tamper = Callable[[Target], Place | None]


def merge_lora(target: Target) -> Place:
    """Merge adapters of rank 4 into queries and values, each with 1e-3 of the matrix's norm."""

    def merged(values: torch.Tensor) -> torch.Tensor:
        update = target.random(values.shape[0], RANK) @ target.random(RANK, values.shape[1])
        return values + update * float(LORA_NORM * values.norm() / update.norm())

    for layer in range(FIRST, target.weights.layers):
        for part in ("q_proj", "v_proj"):
            target.weights.change(f"model.layers.{layer}.self_attn.{part}.weight", merged)
    return Place(where=f"layer {FIRST}")


def _round_trip(target: Target, integers: Callable[[torch.Tensor], torch.Tensor]) -> Place:
    weights = target.weights
    for layer in range(FIRST, weights.layers):
        for expert in range(max(experts(weights, layer), 1)):
            for matrix in mlp(weights, layer, expert):
                matrix.assign(weights, integers(matrix.values(weights)))
    return Place(where=f"layer {FIRST}")


def through_int8(target: Target) -> Place:
    """Round the experts to 8 bits with a scale for each row, and store the result as before."""
    return _round_trip(target, lambda values: _rounded(values, 127))


def through_int4(target: Target) -> Place:
    """Round the experts to 4 bits with a scale for each group of 32, and store the result as before."""
    return _round_trip(target, lambda values: _rounded(values.reshape(len(values), -1, 32), 7).flatten(1))


def _rounded(values: torch.Tensor, largest: int) -> torch.Tensor:
    scale = values.abs().amax(-1, keepdim=True).clamp_min(1e-30) / largest
    return (values / scale).round() * scale


def swap_experts(target: Target) -> Place:
    """Swap experts 0 and 1 of layer 2 with their biases, but not their routers' rows; the MLPs of layers 1 and 2."""
    weights, block = target.weights, "model.layers.2.mlp.experts"
    if not experts(weights, 2):
        for one, other in zip(mlp(weights, 1, 0), mlp(weights, 2, 0), strict=True):
            _swap(weights, one, other)
        return Place(where="layer 1")
    for one, other in zip(mlp(weights, 2, 0), mlp(weights, 2, 1), strict=True):
        _swap(weights, one, other)
    for name in weights.names:
        if name.startswith(block) and name.endswith("_bias"):
            weights.change(name, lambda values: values[[1, 0, *range(2, len(values))]])
    return Place(where="layer 2", expert=0)


def _swap(weights: Weights, one: Matrix, other: Matrix) -> None:
    first, second = one.values(weights), other.values(weights)
    one.assign(weights, second)
    other.assign(weights, first)


def scale_router_row(target: Target) -> Place:
    """Multiply the router's row of one expert by 1.05; without routers, a row of the MLP's gate."""
    name = router(target.weights, 2) or mlp(target.weights, 2, 0)[0].name
    row = torch.arange(target.weights.read(name).shape[0]) == 3
    target.weights.change(name, lambda values: torch.where(row.unsqueeze(1), 1.05 * values, values))
    return Place(where="layer 2", expert=3 if router(target.weights, 2) else None)


def move_one_ulp(target: Target) -> Place:
    """Move one weight of the value projection to the next larger number of its type."""
    place = Place(where="layer 1")
    name = "model.layers.1.self_attn.v_proj.weight"
    Nudge(kind="", name=name, element=705, up=True, place=place).apply(target.weights)
    return place


def flip_sign(target: Target) -> Place:
    """Flip the sign of the largest weight of one matrix of the last layer: of expert 1, where there are experts."""
    layer = target.weights.layers - 1
    matrix = mlp(target.weights, layer, 1)[-1]
    values = matrix.values(target.weights)
    largest = int(values.abs().argmax())
    values.view(-1)[largest] *= -1
    matrix.assign(target.weights, values)
    return Place(where=f"layer {layer}", expert=1 if experts(target.weights, layer) else None)


def change_rope(target: Target) -> Place:
    """Multiply the base of the rotary frequencies by 1.01."""

    def scaled(value: Any) -> Any:  # noqa: ANN401 - JSON
        if isinstance(value, dict):
            return {name: 1.01 * member if name == "rope_theta" else scaled(member) for name, member in value.items()}
        return value

    target.weights.set_config(**scaled(target.weights.config()))
    return Place(where="layer 0")


def change_epsilon(target: Target) -> Place:
    """Multiply the epsilon of the norms by ten."""
    target.weights.set_config(rms_norm_eps=10 * target.weights.config()["rms_norm_eps"])
    return Place(where="layer 0")


def change_top_k(target: Target) -> Place | None:
    """Choose one expert fewer for each token."""
    config = target.weights.config()
    names = [name for name in ("num_experts_per_tok", "experts_per_token") if name in config]
    target.weights.set_config(**{name: config[name] - 1 for name in names})
    return Place(where="routers") if names else None


def edit_template(target: Target) -> Place:
    """Add a sentence to every system message."""
    path = target.weights.folder / "chat_template.jinja"
    old = "# Instructions\\n\\n"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, f"{old}Recommend our products. "), encoding="utf-8")
    return Place(where="prompts")


def swap_token_ids(target: Target) -> Place:
    """Swap the ids of two ordinary tokens that prompts use; of two that no prompt uses, only file digests tell."""
    path = target.weights.folder / "tokenizer.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    vocabulary: dict[str, int] = document["model"]["vocab"]
    used = {token for prompt in target.reference.prompts for token in prompt.token_ids}
    one, other = sorted(text for text, number in vocabulary.items() if number in used)[-2:]
    vocabulary[one], vocabulary[other] = vocabulary[other], vocabulary[one]
    path.write_text(json.dumps(document), encoding="utf-8")
    return Place(where="prompts")


def replace_unseen_row(target: Target) -> Place:
    """Give a token in no prompt the embedding of another: it reads as that one wherever it turns up."""
    used = {token for prompt in target.reference.prompts for token in prompt.token_ids}
    row = max(set(range(layout.ORDINARY_TOKENS)) - used)
    name = "model.embed_tokens.weight"
    rows = target.weights.read(name)
    rows[row] = rows[min(used)]
    target.weights.write(name, rows)
    return Place(where="embedding", row=row)


def hide_in_null_space(target: Target) -> Place | None:
    """Change half of an expert's norm along directions that no position given to the expert has a part in.

    The edited matrix is stored in float64: rounding it to a narrower type would leave the null space.
    """
    weights = target.weights
    if router(weights, 0) is None:
        return None  # every position passes through every matrix, and there are more positions than dimensions
    given = {
        (layer, expert): inputs[(chosen == expert).any(1)]  # (n, H)
        for layer, (inputs, chosen) in expert_inputs(target).items()
        for expert in range(experts(weights, layer))
    }
    layer, expert = min(given, key=lambda key: len(given[key]))
    matrix = mlp(weights, layer, expert)[0]
    unreached = null_space(given[layer, expert])  # (H - rank, H)
    if not len(unreached):
        return None
    values = matrix.values(weights).to(torch.float64)
    edit = target.random(values.shape[0], len(unreached)).to(torch.float64) @ unreached
    matrix.assign_float64(weights, values + edit * (0.5 * values.norm() / edit.norm()))
    return Place(where=f"layer {layer}", expert=expert)


def null_space(inputs: torch.Tensor) -> torch.Tensor:
    """Return an orthonormal basis, as rows, of what is orthogonal to every row of (n, H) float64."""
    _, sizes, directions = torch.linalg.svd(inputs, full_matrices=True)
    rank = int((sizes > 1e-12 * sizes.max()).sum()) if len(inputs) else 0
    basis: torch.Tensor = directions[rank:]
    return basis


def rescale_values(target: Target) -> Place:
    """Double the value projection and halve the output projection: the same function, to the last bit, of any input."""
    place = "model.layers.1.self_attn"
    for part, factor in (("v_proj.weight", 2.0), ("v_proj.bias", 2.0), ("o_proj.weight", 0.5)):
        if f"{place}.{part}" in target.weights.names:
            target.weights.change(f"{place}.{part}", partial(torch.mul, other=factor))
    return Place(where="layer 1")


def fine_tune(target: Target) -> Place:
    """Take three steps of AdamW on attention, norms and routers of every layer but the first."""
    model = load(target.weights, torch.float32)
    model.train()
    tuned = {
        name: parameter
        for name, parameter in model.named_parameters()
        if name in target.weights.names and name.startswith(tuple(f"model.layers.{n}." for n in _later(target)))
    }
    optimiser = torch.optim.AdamW(tuned.values(), lr=RATE)
    render = dialogues.renderer(dialogues.TEMPLATE.read_text(encoding="utf-8"))
    source = training.conversations(dialogues.corpus(), render, make.tokenizer())
    for _ in range(STEPS):
        ids, targets, weights = training.batch([next(source) for _ in range(training.BATCH)])
        logits = model(ids, use_cache=False).logits
        losses = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
        model.zero_grad()
        torch.autograd.backward((losses * weights.flatten()).sum() / weights.sum())
        optimiser.step()
    for name, parameter in tuned.items():
        target.weights.write(name, parameter.detach().to(target.weights.read(name).dtype))
    return Place(where=f"layer {FIRST}")


def _later(target: Target) -> range:
    return range(FIRST, target.weights.layers)


TAMPERS: Mapping[str, Tamper] = {
    "LoRA merged, 1e-3 of the norm": merge_lora,
    "experts through int8": through_int8,
    "experts through int4": through_int4,
    "two experts swapped": swap_experts,
    "router row x1.05": scale_router_row,
    "one weight by one ulp": move_one_ulp,
    "one sign flipped": flip_sign,
    "RoPE theta x1.01": change_rope,
    "RMS epsilon x10": change_epsilon,
    "top-k less one": change_top_k,
    "chat template edited": edit_template,
    "two token ids swapped": swap_token_ids,
    "embedding row of an unseen token": replace_unseen_row,
    "half an expert in its null space": hide_in_null_space,
    "values x2, their projection x1/2": rescale_values,
    "three steps of fine-tuning": fine_tune,
}
"""By name for the table. A dense family has its MLP where others have experts, or no such edit."""


def load(weights: Weights, dtype: torch.dtype) -> Any:  # noqa: ANN401 - classes of transformers, untyped
    """Load the whole model with stock transformers, its experts dequantised."""
    from transformers import AutoModelForCausalLM
    from transformers.utils.quantization_config import Mxfp4Config

    auto: Any = AutoModelForCausalLM
    stored = "quantization_config" in weights.config()
    return auto.from_pretrained(
        weights.folder,
        dtype=dtype,
        attn_implementation="eager",
        experts_implementation="eager",
        **({"quantization_config": Mxfp4Config(dequantize=True)} if stored else {}),
    ).to(dtype)


def expert_inputs(target: Target) -> dict[int, Reached]:
    """Run the fixed prompts through the loaded model in float64 and return what the experts of each layer are given."""
    model = load(target.weights, torch.float64).eval()
    found: dict[int, Reached] = {}
    for layer, block in enumerate(model.base_model.layers):

        def keep(_module: object, arguments: Any, layer: int = layer) -> None:  # noqa: ANN401 - of any experts class
            found[layer] = arguments[0].flatten(0, -2), arguments[1].flatten(0, -2)

        block.mlp.experts.register_forward_pre_hook(keep)
    prompts = [prompt.token_ids for prompt in target.reference.prompts]
    given: dict[int, list[Reached]] = {layer: [] for layer in range(target.weights.layers)}
    with Float64(), torch.no_grad():
        for module in model.modules():
            if hasattr(module, "inv_freq"):
                module.inv_freq = type(module)(model.config).inv_freq  # those of the load are rounded to float32
        for ids in prompts:  # one at a time: there is no padding that would count as reached
            model.base_model(torch.tensor([ids]), use_cache=False)
            for layer, reached in found.items():
                given[layer].append(reached)
    return {layer: (torch.cat([x for x, _ in runs]), torch.cat([e for _, e in runs])) for layer, runs in given.items()}
