"""Files and tensors of two inventories: what each pair of them is said to be."""

from dataclasses import replace

import pytest
from diffing import listed, tensor

from mbom.diff import diff
from mbom.diff.changes import Changes, TensorChange, WeightChange, Weights
from mbom.diff.facts.tensors import stem
from mbom.inventory import TensorRecord

FILES: dict[str, tuple[dict[str, str], dict[str, str], list[tuple[str, str | None, str]]]] = {
    "nothing": ({"a": "1", "b": "2"}, {"a": "1", "b": "2"}, []),
    "a change": ({"a": "1"}, {"a": "2"}, [("changed", "a", "a")]),
    "an addition": ({}, {"a": "1"}, [("added", None, "a")]),
    "a removal": ({"a": "1"}, {}, [("removed", "a", "a")]),
    "a new name": ({"a": "1"}, {"b": "1"}, [("renamed", "a", "b")]),
    "a copy": ({"a": "1"}, {"a": "1", "b": "1"}, [("added", None, "b")]),
    "two names exchanged": ({"a": "1", "b": "2"}, {"a": "2", "b": "1"}, [("changed", "a", "a"), ("changed", "b", "b")]),
    "two of one content renamed": (
        {"a": "1", "b": "1"}, {"c": "1", "d": "1"}, [("renamed", "a", "c"), ("renamed", "b", "d")],
    ),
    "one of two of one content renamed": (
        {"a": "1", "b": "1"}, {"c": "1"}, [("removed", "b", "b"), ("renamed", "a", "c")],
    ),
    "empty files, which tell nothing": ({"a": ""}, {"b": ""}, [("removed", "a", "a"), ("added", None, "b")]),
}  # fmt: skip


@pytest.mark.parametrize("case", FILES)
def test_files_are_compared_by_name_and_then_by_digest(case: str) -> None:
    old, new, expected = FILES[case]
    changes = diff(listed(files=old), listed(files=new))
    assert [(item.status, item.old_name, item.name) for item in changes.files.changes] == expected
    assert changes.files.identical == sum(1 for name in old if new.get(name) == old[name])
    assert changes.identical == (not expected)


def test_what_a_side_lacks_is_none() -> None:
    (gone,) = diff(listed(files={"model.safetensors": "1"}), listed()).files.changes
    assert (gone.role, gone.old_size, gone.new_size, gone.new_sha256) == ("weights", 1, None, None)


Found = list[tuple[str, str | None, str]]


def statuses(changes: Changes) -> Found:
    return [(item.status, item.old_name, item.name) for item in changes.tensors.changes]


TENSORS: dict[str, tuple[list[TensorRecord], list[TensorRecord], Found]] = {
    "another name": ([tensor("a", "1")], [tensor("b", "1")], [("renamed", "a", "b")]),
    "other bytes": ([tensor("a", "1")], [tensor("a", "2")], [("changed", "a", "a")]),
    "another shape of the same bytes": ([tensor("a", "1")], [tensor("a", "1", shape=(2, 2))], [("changed", "a", "a")]),
    "another name and shape": (
        [tensor("a", "1")], [tensor("b", "1", shape=(2, 2))], [("removed", "a", "a"), ("added", None, "b")],
    ),
    "tied weights stored twice": ([tensor("a", "1")], [tensor("a", "1"), tensor("b", "1")], [("added", None, "b")]),
    "empty tensors": ([tensor("a", "empty")], [tensor("b", "empty")], [("removed", "a", "a"), ("added", None, "b")]),
    "a layer dropped, the next one moved up": (
        [tensor("l.0", "x"), tensor("l.1", "y"), tensor("l.2", "z")],
        [tensor("l.0", "x"), tensor("l.1", "z")],
        [("removed", "l.1", "l.1"), ("renamed", "l.2", "l.1")],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", TENSORS)
def test_tensors_are_compared_by_content_and_then_by_name(case: str) -> None:
    old, new, expected = TENSORS[case]
    assert statuses(diff(listed(tensors=old), listed(tensors=new))) == expected


def test_tensors_in_other_files_are_counted_and_not_listed() -> None:
    old = listed(tensors=[tensor("a", file="x"), tensor("b", file="x")])
    new = listed(tensors=[tensor("a", file="x"), tensor("b", file="y")])
    found = diff(old, new).tensors
    assert (found.counts["identical"], found.counts["resharded"], found.changes) == (1, 1, ())


def test_a_tensor_in_a_file_of_another_name_is_not_resharded() -> None:
    old = listed(files={"x.safetensors": "1"}, tensors=[tensor("a", file="x")])
    new = listed(files={"y.safetensors": "1"}, tensors=[tensor("a", file="y")])
    assert diff(old, new).tensors.counts["identical"] == 1


def weights(*changed: str, only_new: tuple[str, ...] = ()) -> Weights:
    return Weights(
        basis="weights",
        compared=4,
        equal=4 - len(changed),
        changed=tuple(
            WeightChange(name=name, layer=1, role=name, elements=4, basis="weights", relative=0.1, error=0)
            for name in changed
        ),
        by_role=(),
        by_layer=(),
        only_old=(),
        only_new=only_new,
    )


OLD = [tensor("model.layers.1.mlp.down.weight", dtype="BF16"), tensor("model.layers.2.mlp.down.weight", dtype="BF16")]
NEW = [
    tensor("model.layers.1.mlp.down.weight", dtype="F8_E4M3"),
    tensor("model.layers.1.mlp.down.weight_scale_inv", dtype="F32"),
    tensor("model.layers.2.mlp.down.weight", dtype="F8_E4M3"),
]


def encoded(weights: Weights | None, old: list[TensorRecord] = OLD, new: list[TensorRecord] = NEW) -> set[str]:
    found = diff(listed(tensors=old), listed(tensors=new), weights=weights).tensors.changes
    return {change.name for change in found if change.status == "re-encoded"}


def test_tensors_of_equal_values_are_encoded_anew() -> None:
    assert encoded(weights()) == {item.name for item in NEW}


def test_nothing_is_encoded_anew_where_nobody_read_the_values() -> None:
    assert encoded(None) == set()
    assert encoded(replace(weights(), basis="sketches")) == set()


def test_a_layer_in_which_a_weight_changed_is_not_encoded_anew() -> None:
    assert encoded(weights("model.layers.1.mlp.down.weight")) == {"model.layers.2.mlp.down.weight"}
    assert encoded(weights(only_new=("model.layers.2.extra",))) == {item.name for item in NEW[:2]}


def test_a_tensor_without_a_counterpart_is_not_encoded_anew() -> None:
    assert "model.layers.2.extra" not in encoded(weights(), new=[*NEW, tensor("model.layers.2.extra")])


def test_a_matrix_of_another_size_is_not_encoded_anew() -> None:
    longer = [tensor("model.embed.weight", "1")], [tensor("model.embed.weight", "2", shape=(5,))]
    assert encoded(weights(), *longer) == set()


def test_a_rename_stays_one_when_the_values_are_equal() -> None:
    found = diff(listed(tensors=[tensor("a", "1")]), listed(tensors=[tensor("b", "1")]), weights=weights())
    assert [change.status for change in found.tensors.changes] == ["renamed"]
    assert isinstance(found.tensors.changes[0], TensorChange)


@pytest.mark.parametrize(
    "name",
    [
        "model.layers.3.mlp.experts.down_proj_blocks",
        "model.layers.3.mlp.experts.down_proj_scales",
        "model.layers.3.mlp.experts.down_proj",
        "model.layers.3.mlp.experts.17.down_proj.weight",
        "model.layers.3.mlp.experts.17.down_proj.weight_scale_inv",
        "model.layers.3.mlp.experts.17.down_proj.weight_packed",
        "model.layers.3.mlp.experts.17.down_proj.qweight",
    ],
)
def test_the_tensors_of_one_weight_have_one_stem(name: str) -> None:
    assert stem(name) == "model.layers.3.mlp.experts.down_proj"
