"""Records with made-up numbers that are consistent in themselves, for tests that need no model."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mbom.behaviour import prompts
from mbom.behaviour.coverage import Coverage
from mbom.behaviour.numbers import LOGIT_DIMENSIONS, RESIDUAL_DIMENSIONS, TOP_TOKENS, Numbers
from mbom.behaviour.prompts import Prompt
from mbom.behaviour.record import Record, summarise
from mbom.behaviour.runtime import Runtime
from mbom.behaviour.sketches import Sketched

Array = NDArray[Any]

EMBEDDING = "model.embed_tokens.weight"
HEAD = "lm_head.weight"

RUNTIME = Runtime(
    device="cpu",
    python="3.13.5",
    torch="2.13.0",
    transformers="5.23.0",
    tokenizers="0.23.3",
    system="Linux",
    system_version="6.8.0-60-generic",
    machine="x86_64",
    processor="AMD EPYC 9654 96-Core Processor",
    driver=None,
    cuda=None,
    threads=2,
    isolation=("network: namespace", "environment: cleared"),
)


def fixed_prompts(vocabulary: int, length: int = 20) -> tuple[Prompt, ...]:
    """The fixed set as a tokenizer might have rendered it, with ``length`` ids each."""
    rng = np.random.default_rng(7)
    return tuple(
        Prompt(
            id=source.id,
            kind=source.kind,
            variant="full" if source.kind == "chat" else None,
            token_ids=tuple(rng.integers(0, vocabulary, length).tolist()),
        )
        for source in prompts.fixed()
    )


def random_numbers(
    positions: int, *, layers: int, router_layers: tuple[int, ...], chosen: int, experts: int, vocabulary: int
) -> Numbers:
    """Numbers of the shape of a mixture-of-experts model; ``experts`` counts those of one router."""
    rng = np.random.default_rng(11)
    logits = rng.normal(size=(positions, vocabulary)) * 4
    total = np.log(np.exp(logits).sum(axis=1))
    top = np.argsort(-logits, axis=1)[:, :TOP_TOKENS]
    scores = rng.random(size=(len(router_layers), positions, experts))
    ids = np.sort(np.argsort(-scores, axis=2)[:, :, :chosen], axis=2)
    return Numbers(
        top_ids=top.astype(np.int32),
        top_logprobs=np.take_along_axis(logits, top, axis=1) - total[:, None],
        logsumexp=total,
        logits_projection=rng.normal(size=(positions, LOGIT_DIMENSIONS)) * 4,
        residual_projection=rng.normal(size=(layers, positions, RESIDUAL_DIMENSIONS)) * 10,
        router_layers=np.array(router_layers, np.int32),
        router_ids=ids.astype(np.uint16),
        router_margin=0.01 + 0.2 * rng.random(size=(len(router_layers), positions)),
        sketches=rng.normal(size=sum(weight.size for weight in weights(layers, router_layers, experts, vocabulary))),
        embedding_rows=rng.normal(size=vocabulary),
        head_rows=rng.normal(size=vocabulary),
    )


def weights(layers: int, router_layers: tuple[int, ...], experts: int, vocabulary: int) -> tuple[Sketched, ...]:
    """What a model of that outline might have: a matrix in each layer, stacks of experts, and one unused tensor."""
    found = [
        Sketched(name=HEAD, layer=None, shape=(vocabulary, 32), slices=1),
        Sketched(name=EMBEDDING, layer=None, shape=(vocabulary, 32), slices=1),
        Sketched(name="model.norm.weight", layer=None, shape=(32,), slices=1),
        Sketched(name="model.layers.4.mtp.weight", layer=None, shape=(32, 64), slices=1, executed=False),
    ]
    found += [
        Sketched(name=f"model.layers.{layer}.attn.weight", layer=layer, shape=(32, 32), slices=1)
        for layer in range(layers)
    ]
    for layer in router_layers:
        prefix = f"model.layers.{layer}.mlp"
        found.append(Sketched(name=f"{prefix}.experts", layer=layer, shape=(experts, 32, 16), slices=experts))
        found.append(Sketched(name=f"{prefix}.router.weight", layer=layer, shape=(experts, 32), slices=experts))
    return tuple(sorted(found, key=lambda weight: weight.name))


def gpt_oss_120b() -> tuple[Sketched, ...]:
    """The weights of gpt-oss-120b, as the engine lists them."""
    hidden, heads, pairs, size, experts, inner, vocabulary = 2880, 64, 8, 64, 128, 2880, 201_088
    layer_shapes: dict[str, tuple[int, ...]] = {
        "input_layernorm.weight": (hidden,),
        "post_attention_layernorm.weight": (hidden,),
        "self_attn.sinks": (heads,),
        "self_attn.q_proj.weight": (heads * size, hidden),
        "self_attn.q_proj.bias": (heads * size,),
        "self_attn.k_proj.weight": (pairs * size, hidden),
        "self_attn.k_proj.bias": (pairs * size,),
        "self_attn.v_proj.weight": (pairs * size, hidden),
        "self_attn.v_proj.bias": (pairs * size,),
        "self_attn.o_proj.weight": (hidden, heads * size),
        "self_attn.o_proj.bias": (hidden,),
        "mlp.router.weight": (experts, hidden),
        "mlp.router.bias": (experts,),
        "mlp.experts.gate_up_proj": (experts, hidden, 2 * inner),
        "mlp.experts.gate_up_proj_bias": (experts, 2 * inner),
        "mlp.experts.down_proj": (experts, inner, hidden),
        "mlp.experts.down_proj_bias": (experts, hidden),
    }
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (vocabulary, hidden),
        "model.norm.weight": (hidden,),
        "lm_head.weight": (vocabulary, hidden),
    }
    layers: dict[str, int] = {}
    for layer in range(36):
        for name, shape in layer_shapes.items():
            shapes[f"model.layers.{layer}.{name}"] = shape
            layers[f"model.layers.{layer}.{name}"] = layer
    return tuple(
        Sketched(
            name=name,
            layer=layers.get(name),
            shape=shape,
            slices=experts if len(shape) > 1 and shape[0] == experts else 1,
        )
        for name, shape in sorted(shapes.items())
    )


def record_of(prompts: tuple[Prompt, ...], numbers: Numbers, *, experts: int, vocabulary: int) -> Record:
    """A record of these prompts and numbers; ``experts`` counts those of all routers."""
    coverage = Coverage.of(
        prompts,
        numbers,
        experts=experts,
        vocabulary=vocabulary,
        tensors_read=40,
        tensors_not_executed=("model.layers.4.mtp.weight",),
    )
    return Record(
        model_digest="5a" * 32,
        prompts=prompts,
        runtime=RUNTIME,
        coverage=coverage,
        weights=weights(
            numbers.layers, tuple(numbers.router_layers.tolist()), experts // max(1, numbers.routers), vocabulary
        ),
        embedding=EMBEDDING,
        head=HEAD,
        numbers=numbers,
        summaries=summarise(prompts, numbers, lambda token: f"<{token}>"),
    )


def moe_record() -> Record:
    """Four layers, routers in layers 1 and 3 with 2 of 8 experts, 200 tokens, 8 prompts of 20 positions."""
    prompts = fixed_prompts(200)
    numbers = random_numbers(160, layers=4, router_layers=(1, 3), chosen=2, experts=8, vocabulary=200)
    return record_of(prompts, numbers, experts=16, vocabulary=200)


def dense_record() -> Record:
    """Three layers without routers, 50 tokens, 8 prompts of 20 positions."""
    prompts = fixed_prompts(50)
    numbers = random_numbers(160, layers=3, router_layers=(), chosen=0, experts=0, vocabulary=50)
    return record_of(prompts, numbers, experts=0, vocabulary=50)


def plain_record() -> Record:
    """A dense record whose numbers are exact fractions, so that its bytes are the same on every machine."""
    prompts = fixed_prompts(5, length=2)
    positions = 16
    listed = weights(2, (), 0, 5)
    steps = np.arange(positions * 64, dtype=np.float64)
    numbers = Numbers(
        top_ids=np.tile(np.array([4, 2, 0, 1, 3], np.int32), (positions, 1)),
        top_logprobs=np.tile(np.array([-0.5, -1.25, -3.0, -5.0, -8.0]), (positions, 1)),
        logsumexp=steps[:positions] / 8,
        logits_projection=steps[: positions * LOGIT_DIMENSIONS].reshape(positions, LOGIT_DIMENSIONS) / 64,
        residual_projection=steps[: 2 * positions * 4].reshape(2, positions, 4) / 16 + 1,
        router_layers=np.zeros(0, np.int32),
        router_ids=np.zeros((0, positions, 0), np.uint16),
        router_margin=np.zeros((0, positions), np.float64),
        sketches=np.arange(sum(weight.size for weight in listed), dtype=np.float64) / 4,
        embedding_rows=steps[:5] / 2,
        head_rows=steps[:5] / 4,
    )
    prompts = tuple(replace(prompt, token_ids=(i % 5, (i + 1) % 5)) for i, prompt in enumerate(prompts))
    return record_of(prompts, numbers, experts=0, vocabulary=5)


def edited(record: Record, **edits: Callable[[Array], None]) -> Record:
    """A copy whose named arrays were edited in place; coverage and summaries follow, as an honest tool writes them."""
    arrays = {name: array.copy() for name, array in record.numbers.arrays().items()}
    for name, edit in edits.items():
        edit(arrays[name])
    return with_numbers(record, Numbers(**arrays))


def put(index: int | tuple[int, ...] | slice, value: float) -> Callable[[Array], None]:
    """An edit that stores ``value`` at ``index``."""

    def edit(array: Array) -> None:
        array[index] = value

    return edit


def with_numbers(record: Record, numbers: Numbers) -> Record:
    """A copy with other numbers; coverage and summaries follow."""
    coverage = Coverage.of(
        record.prompts,
        numbers,
        experts=record.coverage.experts,
        vocabulary=record.coverage.vocabulary,
        tensors_read=record.coverage.tensors_read,
        tensors_not_executed=record.coverage.tensors_not_executed,
    )
    texts = {token.id: token.text for summary in record.summaries for token in summary.tokens}
    summaries = summarise(record.prompts, numbers, lambda token: texts.get(token, f"<{token}>"))
    return replace(record, numbers=numbers, coverage=coverage, summaries=summaries)


def noisy(record: Record, size: float = 1e-15) -> Record:
    """What another machine would have measured: every float off by about ``size`` of itself."""
    rng = np.random.default_rng(13)
    arrays: dict[str, Array] = {
        name: array * (1 + size * rng.normal(size=array.shape)) if array.dtype.kind == "f" else array
        for name, array in record.numbers.arrays().items()
    }
    arrays["top_logprobs"] = -np.sort(-arrays["top_logprobs"], axis=1)
    return with_numbers(record, Numbers(**arrays))
