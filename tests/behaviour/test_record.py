import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import safetensors.numpy
import syntheticrecords as synthetic
from numpy.typing import NDArray

from mbom.behaviour import prompts
from mbom.behaviour.coverage import Coverage
from mbom.behaviour.numbers import LAYOUT, Numbers
from mbom.behaviour.projection import challenge_key
from mbom.behaviour.record import Record, check, summarise
from mbom.behaviour.sketches import Flip
from mbom.digest import sha256
from mbom.errors import FormatError

SCHEMA = json.loads((Path(__file__).parents[2] / "schemas" / "behaviour.schema.json").read_bytes())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
MOE = synthetic.moe_record()
DENSE = synthetic.dense_record()
SEEDED = synthetic.record_of(
    prompts.seeded(90),
    synthetic.random_numbers(2048, layers=1, router_layers=(0,), chosen=1, experts=4, vocabulary=90),
    experts=4,
    vocabulary=90,
)
TRIALS = (
    Flip(
        weight="model.layers.1.mlp.experts", slice=7, stored="model.layers.1.mlp.experts_blocks", element=3, error=2e-5
    ),
    Flip(weight="model.norm.weight", slice=0, stored="model.norm.weight", element=31, error=0.0),
)
TIED = replace(
    DENSE,
    head=None,
    weights=tuple(weight for weight in DENSE.weights if weight.name != synthetic.HEAD),
    numbers=replace(DENSE.numbers, sketches=DENSE.numbers.sketches[64:], head_rows=np.zeros(0)),
)


def answer(nonce: str) -> Record:
    """A record of the prompts that a nonce asks for."""
    asked = prompts.challenged(synthetic.fixed_prompts(200), 200, challenge_key(MOE.model_digest, nonce))
    numbers = synthetic.random_numbers(8 * 84, layers=4, router_layers=(1, 3), chosen=2, experts=8, vocabulary=200)
    return replace(synthetic.record_of(asked, numbers, experts=16, vocabulary=200), challenge=nonce)


RECORDS = {
    "mixture of experts": MOE,
    "dense": DENSE,
    "plain": synthetic.plain_record(),
    "seeded": SEEDED,
    "tied": TIED,
    "with trials": replace(MOE, sensitivity=TRIALS),
    "answer to a challenge": answer("Prüfung 17, 2026-11-21"),
}

DISTANCE: dict[str, Any] = {"kl_mean": 0.1, "kl_largest": 0.5, "top1_agreement": 0.9, "largest_difference": 2.0}
DEPLOYED: dict[str, Any] = {"dtype": "bfloat16", "device": "cpu", "distance": DISTANCE, "reason": None}

Document = dict[str, Any]
Arrays = dict[str, NDArray[Any]]


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_reads_back_as_it_was_written(name: str) -> None:
    record = RECORDS[name]
    document, tensors = record.to_json(), record.to_safetensors()
    again = Record.from_bytes(document, tensors)
    assert again == record
    assert (again.to_json(), again.to_safetensors()) == (document, tensors)


@pytest.mark.parametrize("name", RECORDS)
def test_what_is_written_satisfies_the_schema(name: str) -> None:
    VALIDATOR.validate(json.loads(RECORDS[name].to_json()))


@pytest.mark.parametrize("name", RECORDS)
def test_the_safetensors_library_reads_the_same_arrays(name: str) -> None:
    found = safetensors.numpy.load(RECORDS[name].to_safetensors())
    expected = RECORDS[name].numbers.arrays()
    assert found.keys() == expected.keys()
    for array in expected:
        assert found[array].dtype == expected[array].dtype
        assert np.array_equal(found[array], expected[array])


def test_the_bytes_of_a_record_never_change() -> None:
    record = synthetic.plain_record()
    assert sha256(record.to_safetensors()) == "b1a9e64c1c9a1ae37a2a82dc10c3e755807165f8187099a4ac3c5649fbfa677b"
    assert sha256(record.to_json()) == "5604bf692751ac97ad67ec7aa4dfa914cdce4ec66ba13a1d2b115e1529399bac"


def test_a_record_of_a_120b_model_stays_below_ten_megabytes() -> None:
    positions, layers, chosen, experts, vocabulary = 2048, 36, 4, 128, 201_088
    weights = synthetic.gpt_oss_120b()
    rng = np.random.default_rng(3)
    first = rng.integers(0, vocabulary, (positions, 1))
    numbers = Numbers(
        top_ids=((first + 3001 * np.arange(32)) % vocabulary).astype(np.int32),
        top_logprobs=np.tile(-5.0 - np.arange(32), (positions, 1)),
        logsumexp=rng.normal(size=positions),
        logits_projection=rng.normal(size=(positions, 32)),
        residual_projection=rng.normal(size=(layers, positions, 4)),
        router_layers=np.arange(layers, dtype=np.int32),
        router_ids=np.sort(
            rng.integers(0, experts // chosen, (layers, positions, chosen)) + np.arange(chosen) * (experts // chosen)
        ).astype(np.uint16),
        router_margin=rng.random((layers, positions)),
        sketches=rng.normal(size=sum(weight.size for weight in weights)),
        embedding_rows=rng.normal(size=vocabulary),
        head_rows=rng.normal(size=vocabulary),
    )
    record = synthetic.record_of(prompts.seeded(vocabulary), numbers, experts=layers * experts, vocabulary=vocabulary)
    record = replace(record, weights=weights, coverage=replace(record.coverage, tensors_not_executed=()))
    document, tensors = record.to_json(), record.to_safetensors()
    assert Record.from_bytes(document, tensors) == record
    assert len(document) + len(tensors) < 10_000_000


def test_summaries_name_the_likeliest_tokens_after_each_prompt() -> None:
    position = sum(len(prompt.token_ids) for prompt in MOE.prompts[:3]) - 1
    summary = MOE.summaries[2]
    assert summary.prompt == "chat-languages"
    assert [token.id for token in summary.tokens] == MOE.numbers.top_ids[position, :5].tolist()
    assert [token.text for token in summary.tokens] == [f"<{token.id}>" for token in summary.tokens]
    expected = np.exp(MOE.numbers.top_logprobs[position, :5]).tolist()
    assert [token.probability for token in summary.tokens] == pytest.approx(expected, rel=1e-5)


def test_hostile_token_texts_are_cut_and_carried() -> None:
    summaries = summarise(MOE.prompts, MOE.numbers, lambda _: "\ud800" + "x" * 10_000)
    record = replace(MOE, summaries=summaries)
    again = Record.from_bytes(record.to_json(), record.to_safetensors())
    assert again.summaries[0].tokens[0].text == "?" + "x" * 199


def test_coverage_counts_distinct_pairs_of_router_and_expert() -> None:
    pairs = {
        (router, expert)
        for router, rows in enumerate(MOE.numbers.router_ids.tolist())
        for row in rows
        for expert in row
    }
    tokens = {token for prompt in MOE.prompts for token in prompt.token_ids}
    assert (MOE.coverage.experts_reached, MOE.coverage.vocabulary_reached) == (len(pairs), len(tokens))


def bound(document: Document, tensors: bytes) -> tuple[bytes, bytes]:
    """Rewrite the binding, as an attester who signs whatever it likes would."""
    document["numbers"] = {"name": "behaviour.safetensors", "sha256": sha256(tensors), "size": len(tensors)}
    return json.dumps(document).encode(), tensors


def read(document: Document, tensors: bytes) -> Record:
    return Record.from_bytes(json.dumps(document).encode(), tensors)


def put(*path: str | int, value: object) -> Callable[[Document], None]:
    def edit(document: Document) -> None:
        target: Any = document
        for step in path[:-1]:
            target = target[step]
        target[path[-1]] = value

    return edit


def drop(*path: str | int) -> Callable[[Document], None]:
    def edit(document: Document) -> None:
        target: Any = document
        for step in path[:-1]:
            target = target[step]
        del target[path[-1]]

    return edit


TRIED = RECORDS[
    "with trials"
]  # its weights: lm_head, embed_tokens, layers 0, 1 (attn, experts, router), 2, 3, mtp, norm

# By attack: the edit of behaviour.json, and whether the schema alone catches it.
DOCUMENT_TAMPERS: dict[str, tuple[Callable[[Document], None], bool]] = {
    "another schema": (put("schema", value="urn:mbom:behaviour:v1"), True),
    "an extra member": (put("note", value=""), True),
    "no model digest": (drop("model_digest"), True),
    "a model digest in capitals": (put("model_digest", value="5A" * 32), True),
    "another prompt set": (put("prompt_set", value="mbom-prompts-0"), True),
    "no prompts": (put("prompts", value=[]), True),
    "a prompt is dropped": (drop("prompts", 7), True),
    "two prompts trade names": (put("prompts", 3, "id", value="languages-2"), True),
    "an unknown kind": (put("prompts", 0, "kind", value="completion"), True),
    "a chat passed off as text": (put("prompts", 0, "kind", value="text"), True),
    "an unknown variant": (put("prompts", 0, "variant", value="fuller"), True),
    "a chat without a variant": (put("prompts", 0, "variant", value=None), True),
    "a text with a variant": (put("prompts", 4, "variant", value="full"), True),
    "a variant as a number": (put("prompts", 0, "variant", value=1), True),
    "a token id is true": (put("prompts", 0, "token_ids", 0, value=True), True),
    "a token id is a fraction": (put("prompts", 0, "token_ids", 0, value=1.5), True),
    "a token id is negative": (put("prompts", 0, "token_ids", 0, value=-1), True),
    "a token id beyond the vocabulary": (put("prompts", 0, "token_ids", 0, value=200), False),
    "a token id is dropped": (drop("prompts", 0, "token_ids", 0), False),
    "a prompt without tokens": (put("prompts", 0, "token_ids", value=[]), True),
    "a prompt of 257 tokens": (put("prompts", 0, "token_ids", value=[1] * 257), True),
    "no top tokens": (put("prompts", 0, "top_tokens", value=[]), True),
    "a top token without its text": (drop("prompts", 0, "top_tokens", 0, "text"), True),
    "a top token with another id": (put("prompts", 0, "top_tokens", 0, "id", value=0), False),
    "a top token with a text too long": (put("prompts", 0, "top_tokens", 0, "text", value="x" * 201), True),
    "a top token with a numeric text": (put("prompts", 0, "top_tokens", 0, "text", value=5), True),
    "a flattering probability": (put("prompts", 0, "top_tokens", 0, "probability", value=0.999), False),
    "a probability above one": (put("prompts", 0, "top_tokens", 0, "probability", value=1.5), True),
    "another precision": (put("runtime", "precision", value="bfloat16"), True),
    "no threads": (put("runtime", "threads", value=0), True),
    "a device with a line break": (put("runtime", "device", value="cpu\nPASS"), False),
    "an empty device": (put("runtime", "device", value=""), True),
    "no processor": (drop("runtime", "processor"), True),
    "an empty processor": (put("runtime", "processor", value=""), True),
    "a system with a line break": (put("runtime", "system", value="Linux\nPASS"), False),
    "a driver that is not told": (drop("runtime", "driver"), True),
    "a driver of a number": (put("runtime", "driver", value=570), True),
    "an endless driver": (put("runtime", "driver", value="5" * 201), True),
    "isolation is a string": (put("runtime", "isolation", value="none"), True),
    "more experts reached than were": (put("coverage", "experts_reached", value=17), False),
    "fewer experts reached than were": (put("coverage", "experts_reached", value=1), False),
    "more of the vocabulary reached": (put("coverage", "vocabulary_reached", value=200), False),
    "one expert too many": (put("coverage", "experts", value=17), False),
    "no experts": (put("coverage", "experts", value=0), False),
    "a smaller vocabulary": (put("coverage", "vocabulary", value=100), False),
    "a vocabulary beyond any integer": (put("coverage", "vocabulary", value=10**19), True),
    "another number of layers": (put("coverage", "layers", value=5), False),
    "no tensors read": (put("coverage", "tensors_read", value=0), True),
    "more tensors unused than read": (put("coverage", "tensors_read", value=1), False),
    "an unused tensor twice": (put("coverage", "tensors_not_executed", value=["a", "a"]), True),
    "unused tensors out of order": (put("coverage", "tensors_not_executed", value=["b", "a"]), False),
    "an unused tensor without a name": (put("coverage", "tensors_not_executed", value=[""]), True),
    "a weight is dropped": (drop("weights", 3), False),
    "no weights": (put("weights", value=[]), True),
    "a deployed tier in words": (put("deployed", value="fine"), True),
    "a deployed tier of another type": (put("deployed", value={**DEPLOYED, "dtype": "int8"}), True),
    "a deployed tier without a word": (put("deployed", value={**DEPLOYED, "distance": None}), False),
    "a deployed tier with two words": (put("deployed", value={**DEPLOYED, "reason": "none"}), False),
    "a deployed tier that agrees more than wholly": (
        put("deployed", value={**DEPLOYED, "distance": {**DISTANCE, "top1_agreement": 1.5}}),
        False,
    ),
    "a deployed tier with a negative divergence": (
        put("deployed", value={**DEPLOYED, "distance": {**DISTANCE, "kl_mean": -1}}),
        False,
    ),
    "a deployed tier with a line break": (put("deployed", value={**DEPLOYED, "device": "cpu\nPASS"}), True),
    "a deployed tier with a note": (put("deployed", value={**DEPLOYED, "note": 1}), True),
    "everything is executed": (put("coverage", "tensors_not_executed", value=[]), False),
    "weights out of order": (lambda document: document["weights"].reverse(), False),
    "a weight twice": (lambda document: document["weights"].insert(1, dict(document["weights"][0])), True),
    "two weights of one name": (put("weights", 2, "name", value="lm_head.weight"), False),
    "a weight without a name": (put("weights", 0, "name", value=""), True),
    "a weight with a line break in its name": (put("weights", -1, "name", value="model.norm.weight\nPASS"), False),
    "a weight with a note": (put("weights", 0, "note", value=""), True),
    "a weight without its layer": (drop("weights", 0, "layer"), True),
    "a layer beyond the model": (put("weights", 2, "layer", value=4), False),
    "a layer before the first": (put("weights", 2, "layer", value=-1), True),
    "a layer is true": (put("weights", 2, "layer", value=True), True),
    "a layer as text": (put("weights", 2, "layer", value="1"), True),
    "a shape with a fraction": (put("weights", 2, "shape", 0, value=1.5), True),
    "a shape with a negative side": (put("weights", 2, "shape", 0, value=-1), True),
    "a side beyond any file": (put("weights", 2, "shape", 0, value=2**49), True),
    "nine dimensions": (put("weights", 2, "shape", value=[1] * 9), True),
    "a matrix passed off as a vector": (put("weights", 2, "shape", value=[32]), False),
    "no slices": (put("weights", 2, "slices", value=0), True),
    "slices that are not the first dimension": (put("weights", 2, "slices", value=2), False),
    "experts in one piece": (put("weights", 4, "slices", value=1), False),
    "executed as a number": (put("weights", 2, "executed", value=1), True),
    "no embedding": (drop("embedding"), True),
    "an embedding that is not there": (put("embedding", value="model.embed.weight"), False),
    "another matrix as the embedding": (put("embedding", value="model.layers.0.attn.weight"), False),
    "a vector as the embedding": (put("embedding", value="model.norm.weight"), False),
    "the embedding is not executed": (put("weights", 1, "executed", value=False), False),
    "no member for the head": (drop("head"), True),
    "a head tied in words alone": (put("head", value=None), False),
    "a head that is not there": (put("head", value="output.weight"), False),
    "the embedding as the head": (put("head", value="model.embed_tokens.weight"), False),
    "a head as a number": (put("head", value=0), True),
    "no member for trials": (drop("sensitivity"), True),
    "a trial of a weight that is not there": (put("sensitivity", 0, "weight", value="lm_head"), False),
    "a trial of an expert that is not there": (put("sensitivity", 0, "slice", value=8), False),
    "a trial of a negative slice": (put("sensitivity", 0, "slice", value=-1), True),
    "a trial of a negative element": (put("sensitivity", 0, "element", value=-1), True),
    "a trial of no tensor": (put("sensitivity", 0, "stored", value=""), True),
    "a trial with an error as text": (put("sensitivity", 0, "error", value="1e-5"), True),
    "a trial with an error beyond two": (put("sensitivity", 0, "error", value=2.5), True),
    "a trial with a negative error": (put("sensitivity", 0, "error", value=-1e-5), True),
    "a trial with a note": (put("sensitivity", 0, "note", value=""), True),
    "ten thousand and one trials": (
        lambda document: document.update(sensitivity=document["sensitivity"][:1] * 10_001),
        True,
    ),
    "no member for the challenge": (drop("challenge"), True),
    "a challenge that nobody answered": (put("challenge", value="17"), False),
    "an empty nonce": (put("challenge", value=""), True),
    "a nonce as a number": (put("challenge", value=17), True),
    "a nonce too long": (put("challenge", value="x" * 201), True),
    "a nonce with blanks around it": (put("challenge", value=" 17"), True),
    "a nonce with a line break": (put("challenge", value="1\n7"), True),
    "a wider limit of sketches": (put("limits", "sketch_error", value=1e-9), True),
    "wider limits": (put("limits", "relative_error", value=1e-3), True),
    "a limit as text": (put("limits", "relative_error", value="1e-9"), True),
    "a limit of its own": (put("limits", "slack", value=1), True),
    "a limit is dropped": (drop("limits", "masked_share"), True),
    "numbers in another file": (put("numbers", "name", value="numbers.safetensors"), True),
    "numbers of another size": (put("numbers", "size", value=9), False),
    "numbers with another digest": (put("numbers", "sha256", value="00" * 32), False),
    "numbers unbound": (drop("numbers"), True),
}


@pytest.mark.parametrize("attack", DOCUMENT_TAMPERS)
def test_a_tampered_document_is_refused(attack: str) -> None:
    edit, _ = DOCUMENT_TAMPERS[attack]
    document = json.loads(TRIED.to_json())
    edit(document)
    with pytest.raises(FormatError):
        read(document, MOE.to_safetensors())


@pytest.mark.parametrize("attack", DOCUMENT_TAMPERS)
def test_the_schema_refuses_what_a_schema_can(attack: str) -> None:
    edit, by_schema = DOCUMENT_TAMPERS[attack]
    document = json.loads(TRIED.to_json())
    edit(document)
    assert VALIDATOR.is_valid(document) is not by_schema


SEEDED_TAMPERS: dict[str, Callable[[Document], None]] = {
    "one seeded id": put("prompts", 3, "token_ids", 9, value=0),
    "a seeded prompt cut short": drop("prompts", 3, "token_ids", 9),
    "a seeded prompt with a variant": put("prompts", 3, "variant", value="plain"),
    "a seeded prompt renamed": put("prompts", 3, "id", value="seeded-9"),
}


@pytest.mark.parametrize("attack", SEEDED_TAMPERS)
def test_seeded_prompts_are_exactly_the_seeded_ones(attack: str) -> None:
    document = json.loads(SEEDED.to_json())
    assert document["prompts"][3]["token_ids"][9] != 0
    SEEDED_TAMPERS[attack](document)
    with pytest.raises(FormatError):
        read(document, SEEDED.to_safetensors())


def put_array(name: str, index: int | tuple[int, ...], value: float) -> Callable[[Arrays], None]:
    def edit(arrays: Arrays) -> None:
        arrays[name] = arrays[name].copy()
        arrays[name][index] = value

    return edit


def make_array(name: str, change: Callable[[NDArray[Any]], NDArray[Any]]) -> Callable[[Arrays], None]:
    def edit(arrays: Arrays) -> None:
        arrays[name] = np.ascontiguousarray(change(arrays[name]))

    return edit


def twice_the_same_token(arrays: Arrays) -> None:
    arrays["top_ids"] = arrays["top_ids"].copy()
    arrays["top_ids"][30, 9] = arrays["top_ids"][30, 31]


def drop_array(arrays: Arrays) -> None:
    del arrays["logsumexp"]


def two_experts_for_all(arrays: Arrays) -> None:
    arrays["router_ids"] = np.zeros_like(arrays["router_ids"])
    arrays["router_ids"][:, :, 1] = 1


ARRAY_TAMPERS: dict[str, tuple[Callable[[Arrays], None], str]] = {
    "an array is missing": (drop_array, "'logsumexp' is missing"),
    "an array too many": (lambda arrays: arrays.update(extra=np.zeros(1)), "'extra' is unknown"),
    "single precision": (make_array("logsumexp", lambda a: a.astype(np.float32)), "logsumexp is F32"),
    "wide router ids": (make_array("router_ids", lambda a: a.astype(np.int32)), "router_ids is I32"),
    "one dimension less": (make_array("residual_projection", lambda a: a[0]), "must be F64 of rank 3"),
    "a position less": (make_array("logsumexp", lambda a: a[:-1]), r"logsumexp has the shape \(159,\)"),
    "fewer top tokens": (make_array("top_ids", lambda a: a[:, :16]), "top_ids has the shape"),
    "a layer less": (make_array("residual_projection", lambda a: a[1:]), "a layer that is not there"),
    "a router less": (make_array("router_layers", lambda a: a[1:]), "router_layers has the shape"),
    "wider projections": (make_array("residual_projection", lambda a: np.repeat(a, 2, 2)), "residual_projection has"),
    "routers that choose nobody": (make_array("router_ids", lambda a: a[:, :, :0]), "2 routers that choose 0"),
    "no positions": (make_array("logits_projection", lambda a: a[:0]), "logits_projection has the shape"),
    "a logit that is not a number": (put_array("logits_projection", (7, 7), np.nan), "logits_projection holds nan"),
    "an infinite log-sum-exp": (put_array("logsumexp", 3, np.inf), "logsumexp holds inf"),
    "a residual beyond any scale": (put_array("residual_projection", (1, 2, 3), 1e101), "residual_projection holds"),
    "an impossible token in a log": (put_array("top_logprobs", (1, 31), -np.inf), "top_logprobs holds -inf"),
    "a margin that is not a number": (put_array("router_margin", (0, 5), np.nan), "router_margin holds nan"),
    "a margin of minus infinity": (put_array("router_margin", (0, 5), -np.inf), "router_margin holds -inf"),
    "a negative margin": (put_array("router_margin", (0, 5), -1e-9), "negative number .at index .0, 5"),
    "a top token beyond the vocabulary": (put_array("top_ids", (4, 4), 200), r"outside 200 \(at index \(4, 4\)"),
    "a negative top token": (put_array("top_ids", (4, 4), -1), "outside 200"),
    "a top token twice": (twice_the_same_token, "one token twice"),
    "log-probabilities out of order": (make_array("top_logprobs", lambda a: a[:, ::-1]), "descending"),
    "a probability above one": (put_array("top_logprobs", (5, 0), 1e-6), "above one"),
    "probabilities that add up to two": (make_array("top_logprobs", lambda a: np.full_like(a, -3.0)), "more than one"),
    "a router in a layer that is not there": (put_array("router_layers", 1, 4), "a layer that is not there"),
    "two routers in one layer": (put_array("router_layers", 0, 3), "router_layers is not ascending"),
    "an expert that is not there": (put_array("router_ids", (1, 8, 1), 8), "an expert outside 8"),
    "one expert twice": (make_array("router_ids", lambda a: np.repeat(a[:, :, :1], 2, 2)), "router_ids is not"),
    "experts unsorted": (make_array("router_ids", lambda a: a[:, :, ::-1]), "router_ids is not ascending"),
    "a sketch that is not a number": (put_array("sketches", 5, np.nan), "sketches holds nan"),
    "an infinite sketch": (put_array("sketches", 5, np.inf), "sketches holds inf"),
    "a sketch less": (make_array("sketches", lambda a: a[:-1]), "the weights need"),
    "sketches in two dimensions": (make_array("sketches", lambda a: a[None]), "must be F64 of rank 1"),
    "a row of the embedding that is not a number": (put_array("embedding_rows", 199, np.nan), "embedding_rows holds"),
    "a row of the embedding less": (make_array("embedding_rows", lambda a: a[:-1]), "embedding_rows has the shape"),
    "no rows of the embedding": (make_array("embedding_rows", lambda a: a[:0]), "embedding_rows has the shape"),
    "an infinite row of the head": (put_array("head_rows", 0, -np.inf), "head_rows holds -inf"),
    "a row of the head less": (make_array("head_rows", lambda a: a[:-1]), "head_rows has the shape"),
    "no rows of the head": (make_array("head_rows", lambda a: a[:0]), "but behaviour.safetensors has 0 head_rows"),
    "experts never reached": (two_experts_for_all, "experts_reached is"),
}


def as_file(arrays: Arrays) -> bytes:
    # A library of its own writes the tampered file, so that our writer's assertions are not in the way.
    return safetensors.numpy.save(arrays)


@pytest.mark.parametrize("attack", ARRAY_TAMPERS)
def test_tampered_numbers_are_refused_even_with_the_right_digest(attack: str) -> None:
    edit, message = ARRAY_TAMPERS[attack]
    arrays: Arrays = dict(MOE.numbers.arrays())
    edit(arrays)
    with pytest.raises(FormatError, match=message):
        Record.from_bytes(*bound(json.loads(MOE.to_json()), as_file(arrays)))


def test_the_table_of_array_attacks_touches_every_array() -> None:
    touched = set()
    for edit, _ in ARRAY_TAMPERS.values():
        arrays: Arrays = dict(MOE.numbers.arrays())
        edit(arrays)
        touched |= {name for name in LAYOUT if arrays.get(name) is not MOE.numbers.arrays()[name]}
    assert touched == set(LAYOUT)


def test_numbers_rewritten_under_the_old_digest_are_refused() -> None:
    other = synthetic.edited(MOE, logsumexp=synthetic.put(0, 1.0))
    with pytest.raises(FormatError, match="SHA-256"):
        Record.from_bytes(MOE.to_json(), other.to_safetensors())


def test_a_file_with_metadata_is_refused() -> None:
    tensors = safetensors.numpy.save(dict(MOE.numbers.arrays()), metadata={"note": "trust me"})
    with pytest.raises(FormatError, match="metadata 'note'"):
        Record.from_bytes(*bound(json.loads(MOE.to_json()), tensors))


def test_numbers_over_the_size_limit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mbom.behaviour.numbers.SIZE_LIMIT", 1000)
    with pytest.raises(FormatError, match="the limit is 1000"):
        Record.from_bytes(MOE.to_json(), MOE.to_safetensors())


def test_a_dense_model_with_experts_is_refused() -> None:
    with pytest.raises(FormatError, match="4 experts but no router"):
        replace(DENSE, coverage=replace(DENSE.coverage, experts=4)).to_json()


def test_a_measurement_that_is_not_finite_is_never_written() -> None:
    record = synthetic.edited(MOE, logits_projection=synthetic.put((0, 0), np.nan))
    for write in (record.to_json, record.to_safetensors):
        with pytest.raises(FormatError, match="logits_projection holds nan"):
            write()


def test_an_infinite_margin_is_legal() -> None:
    record = synthetic.edited(MOE, router_margin=synthetic.put(slice(None), np.inf))
    assert Record.from_bytes(record.to_json(), record.to_safetensors()) == record


def test_random_damage_ends_in_a_format_error_or_a_consistent_record() -> None:
    rng = random.Random(17)
    document, tensors = MOE.to_json(), MOE.to_safetensors()
    refused = 0
    for _ in range(300):
        damaged = bytearray(document)
        for _ in range(rng.randint(1, 3)):
            damaged[rng.randrange(len(damaged))] = rng.choice(b'"{}[],:0919eE-.\\ntu\x00\xff')
        try:
            Record.from_bytes(bytes(damaged), tensors)
        except FormatError:
            refused += 1
    assert refused > 250
    header = int.from_bytes(tensors[:8], "little") + 8
    for _ in range(300):
        damaged = bytearray(tensors)
        damaged[rng.randrange(header)] ^= 1 << rng.randrange(8)
        with pytest.raises(FormatError):
            Record.from_bytes(*bound(json.loads(document), bytes(damaged)))


def test_truncated_files_are_refused() -> None:
    document, tensors = MOE.to_json(), MOE.to_safetensors()
    for cut in (0, 1, 7, 8, 100, len(tensors) // 2, len(tensors) - 1):
        with pytest.raises(FormatError):
            Record.from_bytes(*bound(json.loads(document), tensors[:cut]))
    for cut in (0, 1, len(document) // 2, len(document) - 3):
        with pytest.raises(FormatError):
            Record.from_bytes(document[:cut], tensors)


def test_check_names_summaries_that_belong_to_other_prompts() -> None:
    with pytest.raises(FormatError, match="not those of the prompts"):
        check(replace(MOE, summaries=MOE.summaries[::-1]))


def test_coverage_of_sorts_what_was_not_executed() -> None:
    coverage = Coverage.of(
        MOE.prompts, MOE.numbers, experts=16, vocabulary=200, tensors_read=9, tensors_not_executed=["b", "a"]
    )
    assert coverage.tensors_not_executed == ("a", "b")
