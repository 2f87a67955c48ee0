import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tinymodels
from arrayvalues import Arrays, Rows, stored
from safetensors.torch import load_file, save_file

from mbom.behaviour.values import Floats
from mbom.diff.changes import WeightChange, Weights
from mbom.diff.values.weights import compare
from mbom.engine.values import open_values

RNG = np.random.default_rng(7)
Q, K, EXPERTS, ROUTER, NORM, EMBED = (
    "model.layers.0.self_attn.q_proj.weight",
    "model.layers.0.self_attn.k_proj.weight",
    "model.layers.1.mlp.experts.gate_up_proj",
    "model.layers.1.mlp.gate.weight",
    "model.norm.weight",
    "model.embed_tokens.weight",
)
BASE: dict[str, Floats] = {
    Q: stored(RNG.normal(size=(60, 40))),
    K: stored(RNG.normal(size=(20, 40))),
    EXPERTS: stored(RNG.normal(size=(6, 24, 32))),
    ROUTER: stored(RNG.normal(size=(6, 40))),
    NORM: stored(RNG.normal(size=40)),
    EMBED: stored(RNG.normal(size=(90, 40))),
}
STACKS = frozenset({EXPERTS, ROUTER})


def compared(new: dict[str, Floats], **settings: object) -> Weights:
    return compare(Arrays(arrays=BASE, experts=STACKS), Arrays(arrays=new, experts=STACKS, **settings))  # type: ignore[arg-type]


def only(found: Weights) -> WeightChange:
    (change,) = found.changed
    return change


def test_equal_weights_are_compared_and_equal() -> None:
    found = compared({name: values.copy() for name, values in BASE.items()})
    assert (found.basis, found.compared, found.equal, found.changed) == ("weights", 6, 6, ())
    assert all(each.relative == 0.0 and each.unchanged == 1.0 and each.largest == 0.0 for each in found.by_role)


@pytest.mark.parametrize("name", [Q, NORM, EMBED])
def test_figures_are_those_of_the_whole_arrays(name: str) -> None:
    new = BASE[name] + np.where(RNG.random(BASE[name].shape) < 0.3, RNG.normal(size=BASE[name].shape), 0.0)
    change = only(compared({**BASE, name: new}))
    assert change.name == name
    assert change.relative == pytest.approx(np.linalg.norm(new - BASE[name]) / np.linalg.norm(BASE[name]), rel=1e-12)
    assert change.unchanged == np.mean(new == BASE[name])
    assert change.largest == np.abs(new - BASE[name]).max()
    assert (change.error, change.elements, change.basis) == (0.0, new.size, "weights")


@pytest.mark.parametrize("steps", [(1, 1), (7, 13), (90, 4), (1000, 1)])
def test_blocks_of_different_heights_come_to_the_same(steps: tuple[int, int]) -> None:
    new = {**BASE, EMBED: BASE[EMBED] + 0.01 * RNG.normal(size=(90, 40)), NORM: BASE[NORM] * 2}
    whole = compare(Arrays(arrays=BASE), Arrays(arrays=new))
    found = compare(Rows(arrays=BASE, step=steps[0]), Rows(arrays=new, step=steps[1]))
    assert [change.name for change in found.changed] == [change.name for change in whole.changed]
    for one, other in zip(found.changed, whole.changed, strict=True):
        assert replace(one, relative=0.0) == replace(other, relative=0.0)
        assert one.relative == pytest.approx(other.relative, rel=1e-12)


def test_experts_that_changed_are_named() -> None:
    new = {name: values.copy() for name, values in BASE.items()}
    new[EXPERTS][[1, 4]] += 0.5 * RNG.normal(size=(2, 24, 32))
    new[ROUTER][5, 3] += 1
    found = {change.name: change for change in compared(new).changed}
    assert (found[EXPERTS].experts, found[EXPERTS].of) == ((1, 4), 6)
    assert (found[ROUTER].experts, found[ROUTER].of) == ((5,), 6)


def test_experts_are_read_one_by_one() -> None:
    new = Arrays(arrays={**BASE, EXPERTS: BASE[EXPERTS] + 1}, experts=STACKS)
    compare(Arrays(arrays=BASE, experts=STACKS), new)
    assert [read for read in new.reads if read[0] == EXPERTS] == [(EXPERTS, index) for index in range(6)]


def test_equal_digests_are_not_read() -> None:
    new = Arrays(arrays={**BASE, Q: BASE[Q] + 1}, digests=True)
    old = Arrays(arrays=BASE, digests=True)
    assert only(compare(old, new)).name == Q
    assert {name for name, _ in (*old.reads, *new.reads)} == {Q}


def test_weights_of_one_side_or_another_shape_are_listed() -> None:
    new = {**BASE, EMBED: np.ones((91, 40)), "model.extra": np.ones(3)}
    del new[NORM]
    found = compared(new)
    assert found.compared == 4
    assert found.only_old == (EMBED, NORM)
    assert found.only_new == (EMBED, "model.extra")


def test_groups_add_up_over_the_elements_of_all_and_the_norms_of_those_that_changed() -> None:
    new = {**BASE, Q: BASE[Q].copy(), K: BASE[K].copy()}
    new[Q][0] += 1.0
    new[K][:2] -= 3.0
    found = compared(new)
    layer = next(each for each in found.by_layer if each.layer == 0)
    assert (layer.role, layer.weights, layer.changed, layer.elements) == (None, 2, 2, 3200)
    assert layer.relative == pytest.approx(math.sqrt((40 + 80 * 9) / ((BASE[Q] ** 2).sum() + (BASE[K] ** 2).sum())))
    assert layer.unchanged == pytest.approx(1 - 120 / 3200)
    assert layer.largest == 3.0
    roles = {(each.layer, each.role): each for each in found.by_role}
    assert roles[0, "model.layers.*.self_attn.q_proj.weight"].unchanged == pytest.approx(1 - 40 / 2400)
    assert [each.layer for each in found.by_layer] == [0, 1, None]


def test_changes_come_in_the_order_of_layers() -> None:
    new = {name: values + 1 for name, values in BASE.items()}
    assert [change.name for change in compared(new).changed] == [K, Q, EXPERTS, ROUTER, EMBED, NORM]


def test_a_weight_that_was_zero_is_infinitely_far() -> None:
    old, new = Arrays(arrays={Q: np.zeros((4, 4))}), Arrays(arrays={Q: np.eye(4)})
    assert only(compare(old, new)).relative == math.inf


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_values_that_are_no_numbers_are_never_equal_to_numbers(value: float) -> None:
    new = {**BASE, Q: BASE[Q].copy()}
    new[Q][3, 3] = value
    change = only(compared(new))
    assert change.relative == math.inf
    assert change.largest == math.inf
    assert change.rank is None
    assert change.unchanged == 1 - 1 / 2400
    same = compare(Arrays(arrays=new), Arrays(arrays={**new, Q: new[Q].copy()}))
    assert not same.changed


def test_what_cannot_be_read_is_changed_by_as_much_as_anything() -> None:
    old = Arrays(arrays=BASE, digests=True, unreadable=frozenset({Q, K}))
    new = Arrays(arrays={**BASE, Q: BASE[Q] + 1}, digests=True, unreadable=frozenset({Q, K}))
    found = compare(old, new)
    change = only(found)
    assert (change.name, change.relative, change.error, change.unchanged) == (Q, math.inf, math.inf, None)
    assert next(each for each in found.by_layer if each.layer == 0).relative == math.inf
    assert not new.reads


def test_an_unreadable_weight_without_a_digest_is_changed() -> None:
    old, new = (Arrays(arrays=BASE, unreadable=frozenset({Q})) for _ in range(2))
    assert only(compare(old, new)).relative == math.inf


def test_empty_weights_are_equal() -> None:
    arrays = {"a": np.empty((0, 4)), "b": np.empty((4, 0)), "c": np.empty(0)}
    assert compare(Arrays(arrays=arrays), Arrays(arrays=arrays)).equal == 3


def test_progress_hears_of_every_weight() -> None:
    heard: list[str] = []
    compare(Arrays(arrays=BASE), Arrays(arrays=BASE), progress=heard.append)
    assert heard == [*BASE]


def test_checkpoints_are_compared_in_values_whatever_their_encoding(tmp_path: Path) -> None:
    plain = tinymodels.build("gpt_oss", tmp_path / "plain")
    packed = tinymodels.quantise_mxfp4(tinymodels.build("gpt_oss", tmp_path / "packed"))
    with open_values(plain.files, plain.inventory()) as old, open_values(packed.files, packed.inventory()) as new:
        found = compare(old, new)
    assert len(found.changed) == 6
    for change in found.changed:
        before, after = plain.values[change.name], packed.values[change.name]
        assert change.relative == pytest.approx(float((after - before).norm() / before.norm()), rel=1e-12)
        assert change.experts == tuple(range(8))
        assert change.rank is None
        assert change.rank_unknown == "what rounding to mxfp4 does to an element is not known"


def test_notes_say_what_was_compared_as_bytes(tmp_path: Path) -> None:
    sides = []
    for name in ("old", "new"):
        model = tinymodels.quantise_fp8(tinymodels.build("llama", tmp_path / name))
        config = json.loads((model.folder / "config.json").read_text())
        config["quantization_config"]["quant_method"] = "acme"
        (model.folder / "config.json").write_text(json.dumps(config))
        if name == "new":
            tensors = load_file(model.folder / "model.safetensors")
            tensors["model.layers.1.mlp.up_proj.weight_scale_inv"] *= 2
            save_file(tensors, model.folder / "model.safetensors")
        sides.append(model)
    with (
        open_values(sides[0].files, sides[0].inventory()) as old,
        open_values(sides[1].files, sides[1].inventory()) as new,
    ):
        found = compare(old, new)
    assert found.notes[0].startswith("what is packed was compared as bytes: config.json: quantisation by 'acme'")
    assert only(found).name == "model.layers.1.mlp.up_proj.weight_scale_inv"
