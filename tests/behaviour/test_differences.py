import json
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import syntheticrecords as synthetic
from numpy.typing import NDArray
from syntheticrecords import edited

from mbom.behaviour.compare import compare
from mbom.behaviour.differences import LISTED, WeightDifference, weight_differences
from mbom.behaviour.record import SKETCH_LIMIT, Record
from mbom.behaviour.sketches import Distance, Sketched

MOE = synthetic.moe_record()  # routers of 8 experts in layers 1 and 3 of 4, a vocabulary of 200
Edit = Callable[[NDArray[Any]], None]


def scaled(where: int | tuple[int, ...] | slice, factor: float = 1 + 1e-7) -> Edit:
    def edit(array: NDArray[Any]) -> None:
        array[where] *= factor

    return edit


def place(record: Record, name: str, index: int = 0) -> slice:
    """Return where the sketch of slice ``index`` of a weight lies."""
    start = 0
    for weight in record.weights:
        if weight.name == name:
            return slice(start + index * weight.values, start + (index + 1) * weight.values)
        start += weight.size
    raise AssertionError(name)


def sketch_edited(record: Record, *places: tuple[str, int]) -> Record:
    """Return a record of which the sketches of some slices were moved by a ten-millionth."""

    def edit(array: NDArray[Any]) -> None:
        for name, index in places:
            array[place(record, name, index)] *= 1 + 1e-7

    return edited(record, sketches=edit)


EXPERTS = "model.layers.3.mlp.experts"

EDITS: dict[str, tuple[Record, str, int | None]] = {
    "one expert": (
        sketch_edited(MOE, (EXPERTS, 5)),
        f"weights of layer 3: {EXPERTS}, expert 5 of 8, changed by ",
        3,
    ),
    "two experts": (
        sketch_edited(MOE, (EXPERTS, 7), (EXPERTS, 0)),
        f"weights of layer 3: {EXPERTS}, experts 0, 7 of 8, changed by ",
        3,
    ),
    "five experts": (
        sketch_edited(MOE, *((EXPERTS, expert) for expert in (1, 2, 4, 5, 7))),
        f"weights of layer 3: {EXPERTS}, experts 1, 2, 4 and 2 more of 8, changed by ",
        3,
    ),
    "a router row": (
        sketch_edited(MOE, ("model.layers.1.mlp.router.weight", 6)),
        "weights of layer 1: model.layers.1.mlp.router.weight, expert 6 of 8, changed by ",
        1,
    ),
    "a matrix": (
        sketch_edited(MOE, ("model.layers.2.attn.weight", 0)),
        "weights of layer 2: model.layers.2.attn.weight changed by 1.0e-07 (± ",
        2,
    ),
    "a vector outside the layers": (
        sketch_edited(MOE, ("model.norm.weight", 0)),
        "weights: model.norm.weight changed by 1.0e-07 (± ",
        None,
    ),
    "a weight that is not executed": (
        sketch_edited(MOE, ("model.layers.4.mtp.weight", 0)),
        "weights: model.layers.4.mtp.weight (not executed) changed by 1.0e-07 (± ",
        None,
    ),
    "a row of the embedding that its sketch does not show": (
        edited(MOE, embedding_rows=scaled(7, 1.01)),
        "weights: model.embed_tokens.weight, token 7 of 200, changed by 0.0e+00",
        None,
    ),
    "three rows of the output head": (
        edited(sketch_edited(MOE, ("lm_head.weight", 0)), head_rows=scaled(slice(10, 13), 1.01)),
        "weights: lm_head.weight, tokens 10, 11, 12 of 200, changed by 1.0e-07 (± ",
        None,
    ),
    "the embedding's sketch without a row": (
        sketch_edited(MOE, ("model.embed_tokens.weight", 0)),
        "weights: model.embed_tokens.weight changed by 1.0e-07 (± ",
        None,
    ),
}


@pytest.mark.parametrize("case", EDITS)
def test_what_changed_is_named(case: str) -> None:
    changed, words, layer = EDITS[case]
    for found in (compare(MOE, changed), compare(changed, MOE)):
        assert found.verdict == "mismatch"
        assert str(found.first_difference).startswith(words)
        assert found.first_layer == layer
        assert found.worst == 0.0
        assert found.worst_sketch is not None
        assert found.worst_sketch > 1e-10
        assert len(found.weights) == 1
        assert "1 of 12 weights changed" in found.detail


def test_weights_come_in_the_order_of_computation() -> None:
    names = [
        "model.embed_tokens.weight", "model.layers.0.attn.weight", "model.layers.1.attn.weight",
        "model.layers.1.mlp.experts", "model.layers.1.mlp.router.weight", "model.layers.2.attn.weight",
        "model.layers.3.attn.weight", "model.layers.3.mlp.experts", "model.layers.3.mlp.router.weight",
        "model.norm.weight", "lm_head.weight", "model.layers.4.mtp.weight",
    ]  # fmt: skip
    changed = edited(MOE, sketches=scaled(slice(None)))
    found, worst = weight_differences(MOE, changed)
    assert [difference.weight.name for difference in found] == names
    assert worst == pytest.approx(1e-7, rel=1e-3)


def test_the_layer_is_that_of_the_first_weight() -> None:
    found = compare(MOE, sketch_edited(MOE, ("lm_head.weight", 0), ("model.layers.3.attn.weight", 0)))
    assert found.first_layer == 3
    assert [difference.weight.name for difference in found.weights] == ["model.layers.3.attn.weight", "lm_head.weight"]


def test_layers_are_ordered_as_numbers() -> None:
    weights = tuple(
        sorted(
            (Sketched(name=f"model.layers.{layer}.w", layer=layer, shape=(4,), slices=1) for layer in range(12)),
            key=lambda weight: weight.name,
        )
    )
    numbers = synthetic.random_numbers(160, layers=12, router_layers=(), chosen=0, experts=0, vocabulary=50)
    record = synthetic.record_of(synthetic.fixed_prompts(50), numbers, experts=0, vocabulary=50)
    kept = tuple(weight for weight in record.weights if weight.layer is None)
    record = replace(record, weights=tuple(sorted((*weights, *kept), key=lambda weight: weight.name)))
    size = sum(weight.size for weight in record.weights)
    record = replace(record, numbers=replace(record.numbers, sketches=np.arange(1.0, size + 1)))
    changed = sketch_edited(record, ("model.layers.10.w", 0), ("model.layers.9.w", 0))
    assert compare(record, changed).first_layer == 9


def test_an_edit_of_the_configuration_in_an_earlier_layer_comes_first() -> None:
    """An activation that differs before any weight does has another cause than the weight."""
    changed = edited(
        sketch_edited(MOE, (EXPERTS, 5)),
        residual_projection=lambda array: array.__setitem__((0, 25), array[0, 25] * (1 + 1e-7)),
    )
    for found in (compare(MOE, changed), compare(changed, MOE)):
        assert str(found.first_difference).startswith("residual stream after layer 0, prompt chat-code position 5")
        assert found.first_layer == 0
        assert [difference.weight.name for difference in found.weights] == [EXPERTS]


@pytest.mark.parametrize("layer", [1, 2, 3])
def test_what_is_computed_with_a_changed_weight_is_no_other_cause(layer: int) -> None:
    name = "model.layers.1.attn.weight"
    changed = edited(
        sketch_edited(MOE, (name, 0)),
        residual_projection=lambda array: array.__setitem__(layer, array[layer] * (1 + 1e-7)),
    )
    found = compare(MOE, changed)
    assert str(found.first_difference).startswith(f"weights of layer 1: {name} changed")
    assert found.first_layer == 1
    assert found.worst == pytest.approx(1e-7, rel=1e-3)


def test_an_edit_of_the_embedding_comes_before_every_layer() -> None:
    changed = edited(
        MOE,
        embedding_rows=scaled(7, 1.01),
        residual_projection=lambda array: array.__setitem__(0, array[0] * (1 + 1e-7)),
    )
    assert "token 7 of 200" in str(compare(MOE, changed).first_difference)


def test_noise_of_sketches_is_allowed_and_more_is_not() -> None:
    rng = np.random.default_rng(4)

    def shaken(size: float) -> Record:
        def edit(array: NDArray[Any]) -> None:
            array *= 1 + size * rng.choice([-1.0, 1.0], size=array.shape)

        return edited(MOE, sketches=edit, embedding_rows=edit, head_rows=edit)

    honest = compare(MOE, shaken(1e-14))
    assert (honest.verdict, honest.weights) == ("match", ())
    assert honest.worst_sketch is not None
    assert 0 < honest.worst_sketch <= 1.01e-14
    assert compare(MOE, shaken(1e-11)).verdict == "mismatch"
    for name in ("sketches", "embedding_rows", "head_rows"):
        assert compare(MOE, edited(MOE, **{name: scaled(slice(None), 1 + 1e-11)})).verdict == "mismatch"


def test_a_small_slice_is_judged_by_the_usual_size_of_its_weight() -> None:
    """A projection that comes out small by chance has the noise of what was projected, not of itself."""

    def small(array: NDArray[Any]) -> None:
        array[7] = 1e-9

    def moved(array: NDArray[Any]) -> None:
        array[7] += 1e-14

    reference = edited(MOE, embedding_rows=small)
    assert compare(reference, edited(reference, embedding_rows=moved)).verdict == "match"


def test_distances_in_the_report_are_those_of_the_sketches() -> None:
    (difference,), worst = weight_differences(MOE, sketch_edited(MOE, ("model.layers.2.attn.weight", 0)))
    assert difference.distance.relative == pytest.approx(1e-7, rel=1e-6)
    assert difference.error == worst == pytest.approx(1e-7, rel=1e-6)
    document = json.loads(json.dumps(difference.to_dict(), allow_nan=False))
    assert document["name"] == "model.layers.2.attn.weight"
    assert (document["layer"], document["executed"], document["part"]) == (2, True, None)
    assert (document["indices"], document["count"], document["of"]) == ([], 1, 1)
    assert document["distance"] == difference.distance.relative
    assert document["distance_error"] == difference.distance.error


def test_a_weight_that_was_zero_is_said_to_be_far_in_words_and_json() -> None:
    def empty(array: NDArray[Any]) -> None:
        array[place(MOE, "model.norm.weight")] = 0.0

    reference = edited(MOE, sketches=empty)
    (difference,) = compare(reference, MOE).weights
    assert str(difference) == "weights: model.norm.weight changed by more than can be told of its norm"
    document = json.loads(json.dumps(difference.to_dict(), allow_nan=False))
    assert (document["distance"], document["distance_error"], document["error"]) == (None, None, 1.0)
    (difference,) = compare(MOE, reference).weights
    assert difference.distance.relative == 1.0


def test_many_rows_are_counted_and_the_first_thousand_listed() -> None:
    vocabulary = LISTED + 500
    numbers = synthetic.random_numbers(160, layers=1, router_layers=(), chosen=0, experts=0, vocabulary=vocabulary)
    record = synthetic.record_of(synthetic.fixed_prompts(vocabulary), numbers, experts=0, vocabulary=vocabulary)
    (difference,), _ = weight_differences(record, edited(record, head_rows=scaled(slice(300, None), 2.0)))
    assert (difference.count, difference.of) == (1200, vocabulary)
    assert difference.indices == tuple(range(300, 300 + LISTED))
    assert ", tokens 300, 301, 302 and 1197 more of 1500, changed" in str(difference)


def test_one_difference_is_put_into_words() -> None:
    weight = Sketched(name="model.layers.7.mlp.experts.down_proj", layer=7, shape=(128, 64, 64), slices=128)
    difference = WeightDifference(
        weight=weight,
        part="expert",
        indices=(93,),
        count=1,
        of=128,
        error=2e-5,
        distance=Distance(relative=3.14e-6, error=2.6e-7),
    )
    assert str(difference) == (
        "weights of layer 7: model.layers.7.mlp.experts.down_proj, expert 93 of 128, changed by 3.1e-06 (± 3e-07) "
        "of its norm"
    )
    assert math.isfinite(difference.error)
    assert difference.error > SKETCH_LIMIT
