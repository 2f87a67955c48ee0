from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
from arrayvalues import Arrays
from diffcases import cases
from diffcases.models import Case, checkpoint, low_rank, model

from mbom.diff.changes import EXPLANATIONS, Explanation
from mbom.diff.explanations.explain import explain
from mbom.diff.values.weights import compare

ALL = cases()
OF_EACH_KIND = 2  # in the default run; the others are slow only because they are many


def _first_of_each_kind() -> set[str]:
    kinds: defaultdict[str, list[str]] = defaultdict(list)
    for case in ALL:
        if not case.slow:
            kinds[case.kind].append(case.name)
    return {
        names[index] for names in kinds.values() for index in np.linspace(0, len(names) - 1, OF_EACH_KIND).astype(int)
    }


FIRST = _first_of_each_kind()


def _found(case: Case) -> tuple[Explanation, ...]:
    old, new, others = case.sides()
    return explain(old, new, compare(old, new), others=others)


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=case.name, marks=[] if case.name in FIRST else [pytest.mark.slow]) for case in ALL]
)
def test_a_change_is_explained_by_what_it_is_and_by_nothing_else(case: Case) -> None:
    found = _found(case)
    assert case.faults(found) == [], [(one.id, one.outcome, one.sentence) for one in found]


def test_there_are_enough_cases_of_every_explanation_and_of_none() -> None:
    assert len(ALL) >= 200
    assert len({case.name for case in ALL}) == len(ALL)
    elsewhere = {"re-encoding", "quantisation"}  # have tests of their own
    assert {name for case in ALL for name in case.explained | case.consistent} == set(EXPLANATIONS) - elsewhere
    assert sum(not case.explained for case in ALL) >= 80


def test_a_case_that_is_explained_wrongly_is_a_fault() -> None:
    case = next(case for case in ALL if case.kind == "lora-merge")
    [right] = _found(case)
    assert case.faults([right]) == []
    assert case.faults([])
    assert case.faults([replace(right, id="model-merge")])
    assert case.faults([replace(right, details={**right.details, "rank": 99})])
    assert case.faults([replace(right, outcome="consistent")])


@pytest.fixture
def base() -> Arrays:
    return checkpoint(model(np.random.default_rng(3), layers=2), "bfloat16")


def test_equal_checkpoints_have_nothing_to_explain(base: Arrays) -> None:
    assert explain(base, base, compare(base, base)) == ()


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf, 3e38, 1e-45])
@pytest.mark.parametrize("everywhere", [False, True])
def test_hostile_numbers_are_explained_by_nothing(base: Arrays, number: float, everywhere: bool) -> None:
    arrays = dict(base.arrays)
    for name in list(arrays) if everywhere else ["model.layers.0.self_attn.q_proj.weight"]:
        values = arrays[name].copy()
        values.flat[:: 1 if everywhere else 7] = number
        arrays[name] = values
    new = checkpoint(arrays, "bfloat16")
    others = (checkpoint(arrays, "bfloat16"),)
    assert all(one.outcome != "explained" for one in explain(base, new, compare(base, new), others=others))
    assert all(one.outcome != "explained" for one in explain(new, base, compare(new, base), others=others))


@pytest.mark.parametrize("number", [1e308, 1e200, 1e-200, 5e-324])
@pytest.mark.parametrize("spread", [1, 7])
def test_numbers_at_the_ends_of_float64_are_explained_by_nothing(base: Arrays, number: float, spread: int) -> None:
    rng = np.random.default_rng(8)
    old = checkpoint(base.arrays, "float64")
    arrays = {name: np.array(values) for name, values in base.arrays.items()}
    for values in arrays.values():
        values.flat[::spread] = number * rng.uniform(-1, 1, len(values.flat[::spread]))
    new = checkpoint(arrays, "float64")
    with np.errstate(all="ignore"):
        weights = compare(old, new)
    assert all(one.outcome != "explained" for one in explain(old, new, weights, others=(new,)))


def test_weights_of_no_elements_and_of_one_are_no_trouble() -> None:
    shapes = ((), (0,), (0, 8), (1,), (1, 1), (8, 0), (2, 0, 3))
    old = checkpoint(
        {f"model.layers.0.{index}.weight": np.zeros(shape) for index, shape in enumerate(shapes)}, "bfloat16"
    )
    new = checkpoint({name: values + 1 for name, values in old.arrays.items()}, "bfloat16")
    [found] = explain(old, new, compare(old, new), others=(new,))
    assert (found.id, found.outcome) == ("few-weights-edit", "explained")


def test_what_cannot_be_read_as_numbers_is_never_explained(base: Arrays) -> None:
    rng = np.random.default_rng(5)
    name = "model.layers.0.self_attn.q_proj.weight"
    packed = "model.layers.1.self_attn.q_proj.weight"
    arrays = {n: v + low_rank(rng, v, 2, 0.03) if n in {name, packed} else v for n, v in base.arrays.items()}
    new = checkpoint(arrays, "bfloat16")
    for side in (base, new):
        side.unreadable = frozenset({packed})
    [found] = explain(base, new, compare(base, new))
    assert (found.id, found.outcome, found.names) == ("lora-merge", "consistent", (name,))
    assert found.sentence.endswith("this explains 1 of 2 changed weights")
    assert packed not in {read for side in (base, new) for read, _ in side.reads}


def test_of_a_packed_type_nothing_is_proven(base: Arrays) -> None:
    rng = np.random.default_rng(6)
    arrays = {n: v + low_rank(rng, v, 2, 0.3) if ".q_proj." in n else v for n, v in base.arrays.items()}
    new = checkpoint(arrays, "bfloat16")
    new.dtypes = dict.fromkeys(arrays, "int8")
    assert all(one.outcome == "consistent" for one in explain(base, new, compare(base, new)))


def test_layers_of_stored_digests_alone_are_recognised_without_being_read(base: Arrays) -> None:
    arrays = {n: v for n, v in base.arrays.items() if ".layers." not in n}
    for place, layer in enumerate((0, 1, 0, 1)):
        arrays |= {
            n.replace(f".{layer}.", f".{place}."): v
            for n, v in base.arrays.items()
            if n.startswith(f"model.layers.{layer}.")
        }
    new = checkpoint(arrays, "bfloat16")
    weights = compare(base, new)
    base.reads.clear()
    [found] = explain(base, new, weights)
    assert (found.id, found.outcome, found.details["mapping"]) == ("layers-repeated", "explained", [0, 1, 0, 1])
    assert base.reads == new.reads == []


def test_progress_names_what_is_looked_at(base: Arrays) -> None:
    rng = np.random.default_rng(7)
    name = "model.layers.0.self_attn.q_proj.weight"
    new = checkpoint({**base.arrays, name: base.arrays[name] + low_rank(rng, base.arrays[name], 2, 0.03)}, "bfloat16")
    seen: list[str] = []
    explain(base, new, compare(base, new), progress=seen.append)
    assert name in seen
    assert set(seen) <= set(base.arrays)


@pytest.mark.slow
@pytest.mark.parametrize("rank", [4, 8, 16, 32, 64])
@pytest.mark.parametrize("relative", [3e-3, 1e-2, 3e-2])
def test_the_rank_of_an_adapter_on_1024_wide_layers_is_exact(rank: int, relative: float) -> None:
    rng = np.random.default_rng(rank)
    modules = {"model.layers.0.self_attn.q_proj.weight", "model.layers.1.self_attn.v_proj.weight"}
    tensors = model(rng, hidden=1024, layers=2, vocabulary=8, attention=("q_proj", "v_proj"))
    old = checkpoint({name: values for name, values in tensors.items() if ".mlp." not in name}, "bfloat16")
    new = checkpoint(
        {n: v + low_rank(rng, v, rank, relative) if n in modules else v for n, v in old.arrays.items()}, "bfloat16"
    )
    [found] = explain(old, new, compare(old, new))
    assert (found.id, found.outcome) == ("lora-merge", "explained")
    assert found.details["ranks"] == [rank]
    assert set(found.names) == modules
