from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tinymodels
import torch
from arrayvalues import Arrays, stored
from safetensors.torch import load_file, save_file

from mbom.behaviour.values import Floats
from mbom.diff.changes import Explanation
from mbom.diff.explanations import few_weights
from mbom.diff.values.weights import compare
from mbom.engine.values import open_values

RNG = np.random.default_rng(9)
Q, EXPERTS, NORM = "model.layers.0.q_proj.weight", "model.layers.1.mlp.experts.up_proj", "model.norm.weight"
BASE: dict[str, Floats] = {
    Q: stored(RNG.normal(size=(64, 48))),
    EXPERTS: stored(RNG.normal(size=(4, 32, 24))),
    NORM: stored(RNG.normal(size=64)),
}


def explained(new: dict[str, Floats], dtype: str = "bfloat16") -> Explanation | None:
    sides = [
        Arrays(arrays=arrays, experts=frozenset({EXPERTS}), dtypes=dict.fromkeys(arrays, dtype))
        for arrays in (BASE, new)
    ]
    old, new_side = sides
    return few_weights.explain(old, new_side, compare(old, new_side))


def only(found: Explanation | None) -> dict[str, Any]:
    """Return the one element that was found."""
    assert found is not None
    elements: Any = found.details["elements"]
    assert len(elements) == 1
    element: dict[str, Any] = elements[0]
    return element


def copied() -> dict[str, Floats]:
    return {name: values.copy() for name, values in BASE.items()}


@pytest.mark.parametrize("bit", range(16))
def test_a_flipped_bit_is_named(bit: int) -> None:
    new = copied()
    tensor = torch.from_numpy(new[EXPERTS]).bfloat16()
    flipped = tensor.view(torch.int16).numpy()
    flipped[2, 31, 5] ^= np.int16(-(2**15) if bit == 15 else 1 << bit)
    new[EXPERTS] = tensor.double().numpy()
    found = explained(new)
    assert found is not None
    assert (found.outcome, found.residual, found.weights, found.names) == ("explained", 0.0, 1, (EXPERTS,))
    assert found.details["bit_flips"] == 1
    after = float(new[EXPERTS][2, 31, 5])
    assert found.details["elements"] == [
        {
            "weight": EXPERTS,
            "index": [2, 31, 5],
            "old": float(BASE[EXPERTS][2, 31, 5]),
            "new": after,
            "bit": bit,
        }
    ]


def test_the_sentence_counts_as_people_do() -> None:
    new = copied()
    new[Q][0, 0] *= -1
    found = explained(new)
    assert found is not None
    assert found.sentence == "1 isolated element of 1 weight changed, by a single bit, and nothing else"
    new[NORM][0] *= -1
    found = explained(new)
    assert found is not None
    assert found.sentence == "2 isolated elements of 2 weights changed, each by a single bit, and nothing else"
    new[NORM][1] = 1234.0 if new[NORM][1] < 0 else -1234.0
    found = explained(new)
    assert found is not None
    assert found.sentence == "3 isolated elements of 2 weights changed, 2 of them by a single bit, and nothing else"


def test_edits_are_listed_with_their_values() -> None:
    new = copied()
    new[Q][5, 7], new[NORM][63] = 3.0, -1.5
    found = explained(new)
    assert found is not None
    assert found.details["elements"] == [
        {"weight": Q, "index": [5, 7], "old": float(BASE[Q][5, 7]), "new": 3.0, "bit": None},
        {"weight": NORM, "index": [63], "old": float(BASE[NORM][63]), "new": -1.5, "bit": None},
    ]
    assert found.sentence == "2 isolated elements of 2 weights changed, and nothing else"


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_no_numbers_are_listed_as_words(value: float) -> None:
    new = copied()
    new[Q][0, 0] = value
    assert only(explained(new))["new"] == str(value)


def test_packed_types_have_no_bits_to_name() -> None:
    new = copied()
    new[Q][0, 0] *= 2
    found = explained(new, "int8")
    assert found is not None
    assert found.details["bit_flips"] == 0


def few() -> dict[str, Floats]:
    new = copied()
    new[Q].reshape(-1)[: few_weights.PER_WEIGHT] += 1
    return new


def test_as_many_as_allowed_are_few() -> None:
    assert explained(few()) is not None


def many() -> dict[str, Floats]:
    new = copied()
    new[Q].reshape(-1)[: few_weights.PER_WEIGHT + 1] += 1
    return new


def trained_norm() -> dict[str, Floats]:
    return {**copied(), NORM: BASE[NORM] * 1.5}


def edit_beside_training() -> dict[str, Floats]:
    new = copied()
    new[Q][5, 7] = 3.0
    return {**new, EXPERTS: BASE[EXPERTS] * 1.5}


def one_more_weight() -> dict[str, Floats]:
    new = copied()
    new[Q][5, 7] = 3.0
    return {**new, "model.extra": np.ones(3)}


@pytest.mark.parametrize("change", [copied, many, trained_norm, edit_beside_training, one_more_weight])
def test_other_changes_are_no_few_weights(change: object) -> None:
    assert callable(change)
    assert explained(change()) is None


def test_a_flip_in_a_checkpoint_is_found(tmp_path: Path) -> None:
    old = tinymodels.build("gpt_oss", tmp_path / "old")
    new = tinymodels.build("gpt_oss", tmp_path / "new")
    tensors = load_file(new.folder / "model.safetensors")
    name = "model.layers.2.mlp.experts.down_proj"
    tensors[name].view(torch.int16)[6, 3, 1] ^= 1 << 14
    save_file(tensors, new.folder / "model.safetensors")
    before, after = (open_values(model.files, model.inventory()) for model in (old, new))
    with before as one, after as other:
        found = few_weights.explain(one, other, compare(one, other))
    element = only(found)
    assert (element["weight"], element["index"], element["bit"]) == (name, [6, 3, 1], 14)
