import hashlib
import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from mbom.behaviour import sketches
from mbom.behaviour.projection import FIXED, challenge_key
from mbom.behaviour.sketches import Distance, Flip, Sketched, check, check_flips, distance
from mbom.errors import FormatError

Floats = NDArray[np.float64]

KEY = challenge_key("5a" * 32, "a nonce")
ROLE = "model.layers.*.self_attn.q_proj.weight"


def slow_signs(label: str, count: int, key: bytes) -> list[int]:
    domain = b"mbom/v1/challenge-signs\x00" + key if key else b"mbom/v1/signs\x00"
    number = int.from_bytes(hashlib.shake_256(domain + label.encode()).digest(count // 8 + 1), "little")
    return [1 if number >> index & 1 else -1 for index in range(count)]


@pytest.mark.parametrize("key", [FIXED, KEY], ids=["fixed", "challenge"])
def test_signs_of_a_sketch_are_those_of_the_slow_definition(key: bytes) -> None:
    sides = {
        f"sketch/{ROLE}/left": sketches.left(ROLE, 5, 16, key),
        f"sketch/{ROLE}/right": sketches.right(ROLE, 7, 16, key),
        f"rows/{ROLE}": sketches.row_signs(ROLE, 40, key),
    }
    assert [found.shape for found in sides.values()] == [(5, 16), (7, 16), (40,)]
    for label, found in sides.items():
        assert found.ravel().tolist() == slow_signs(label, found.size, key)


def test_signs_of_published_sketches_never_change() -> None:
    def text(signs: NDArray[np.int8]) -> str:
        return "".join("+" if sign > 0 else "-" for sign in signs.ravel()[:24])

    assert text(sketches.left(ROLE, 8, 64)) == "---+-+---+--++---+--+++-"
    assert text(sketches.right(ROLE, 8, 64)) == "-+++-++++-+--++-+-+-+---"
    assert text(sketches.row_signs("lm_head.weight", 24)) == "-++--++-+---+++++---++-+"
    assert text(sketches.left(ROLE, 8, 64, KEY)) == "+++-+-++--+-+-+--+-++---"
    assert text(sketches.right(ROLE, 8, 64, KEY)) == "++-+++-+++-----+--+--+--"
    assert text(sketches.row_signs("lm_head.weight", 24, KEY)) == "-+-+---++--+++-+--+-+---"


ROLES: dict[str, str] = {
    "model.layers.17.self_attn.q_proj.weight": ROLE,
    "model.layers.3.mlp.experts.41.down_proj.weight": "model.layers.*.mlp.experts.*.down_proj.weight",
    "model.layers.3.mlp.experts.gate_up_proj": "model.layers.*.mlp.experts.gate_up_proj",
    "lm_head.weight": "lm_head.weight",
    "blocks.12.3.weight": "blocks.*.*.weight",
    "layer2.conv1.weight": "layer2.conv1.weight",
    "7.weight": "7.weight",
    "bias.7": "bias.7",
}


@pytest.mark.parametrize("name", ROLES)
def test_a_role_is_the_name_without_numbers_of_layers_and_experts(name: str) -> None:
    assert sketches.role(name) == ROLES[name]


@pytest.mark.parametrize(
    ("shape", "slices", "values"),
    [
        ((3, 4), 1, 64),
        ((3,), 1, 16),
        ((), 1, 16),
        ((3, 4, 5), 1, 64),
        ((3, 4, 5), 3, 16),
        ((3, 4), 3, 2),
        ((0, 4), 1, 64),
    ],
)
def test_how_much_is_kept_depends_on_the_shape_alone(shape: tuple[int, ...], slices: int, values: int) -> None:
    weight = Sketched(name="w", layer=None, shape=shape, slices=slices)
    assert (weight.values, weight.size) == (values, values * slices)


# ---- distances ----


def sketched(matrix: Floats, count: int, key: bytes) -> Floats:
    """Return ``count`` values of s @ matrix @ r, by the definition."""
    left, right = (
        np.array(signs, np.float64)
        for signs in (sketches.left("w", matrix.shape[0], count, key), sketches.right("w", matrix.shape[1], count, key))
    )
    return np.array([left[:, index] @ matrix @ right[:, index] for index in range(count)])


RNG = np.random.default_rng(23)
BEFORE = RNG.normal(size=(4, 24, 20))
ONE = np.zeros(BEFORE.shape)
ONE[2, 5, 7] = 3.0
DIFFERENCES: dict[str, Floats] = {
    "of full rank": 0.01 * RNG.normal(size=BEFORE.shape),
    "of rank one": 0.02 * RNG.normal(size=(4, 24, 1)) * RNG.normal(size=(4, 1, 20)),
    "one element": ONE,
}
SEEDS = 400


def estimates(name: str, *, slices: bool) -> tuple[float, list[tuple[float, Distance]]]:
    """Return the true distance, and what many keys come to: the norm of the sketched weight, and the distance."""
    found = []
    before, difference = BEFORE, DIFFERENCES[name]
    if not slices:
        before, difference = before.reshape(1, 96, 20), difference.reshape(1, 96, 20)
    for seed in range(SEEDS):
        key = challenge_key("5a" * 32, str(seed))
        count = 16 if slices else 64
        old = np.array([sketched(each, count, key) for each in before])
        new = np.array([sketched(each, count, key) for each in before + difference])
        found.append((float((old**2).mean(axis=1).sum()), distance(old, new)))
    return float((difference**2).sum()), found


@pytest.mark.parametrize("slices", [False, True], ids=["one sketch of 64", "four slices of 16"])
@pytest.mark.parametrize("name", DIFFERENCES)
def test_the_estimated_squared_distance_is_unbiased(name: str, slices: bool) -> None:
    true, found = estimates(name, slices=slices)
    squared = np.array([norm * estimate.relative**2 for norm, estimate in found])
    spread = squared.std() / math.sqrt(SEEDS)
    assert abs(squared.mean() - true) <= 3.5 * spread + 1e-9 * true


# How often the estimate lies within its standard error of the truth: two thirds for what spreads like a normal number.
# The product of two sums of signs, which is what a difference of rank one leaves, has heavier tails, so that its own
# values understate its spread in some cases. One element leaves the same square in every value: there is no error.
COVERAGE: dict[str, tuple[float, float]] = {
    "of full rank": (0.60, 0.74),
    "of rank one": (0.50, 0.68),
    "one element": (1.0, 1.0),
}


@pytest.mark.parametrize("slices", [False, True], ids=["one sketch of 64", "four slices of 16"])
@pytest.mark.parametrize("name", DIFFERENCES)
def test_the_standard_error_is_honest(name: str, slices: bool) -> None:
    true, found = estimates(name, slices=slices)
    least, most = COVERAGE[name]
    within = [
        abs(estimate.relative - math.sqrt(true / norm)) <= estimate.error + 1e-9 * estimate.relative
        for norm, estimate in found
    ]
    assert least <= np.mean(within) <= most


def test_one_element_is_measured_exactly() -> None:
    true, found = estimates("one element", slices=False)
    for norm, estimate in found:
        assert estimate.relative == pytest.approx(math.sqrt(true / norm), rel=1e-9)
        assert estimate.error <= 1e-9 * estimate.relative


def test_equal_weights_have_no_distance() -> None:
    sketch = sketched(BEFORE[0], 64, FIXED)[None]
    assert distance(sketch, sketch) == Distance(relative=0.0, error=0.0)
    assert distance(np.zeros((1, 64)), np.zeros((1, 64))) == Distance(relative=0.0, error=0.0)


def test_a_weight_that_was_zero_is_infinitely_far() -> None:
    sketch = sketched(BEFORE[0], 64, FIXED)[None]
    assert distance(np.zeros((1, 64)), sketch) == Distance(relative=math.inf, error=math.inf)


# ---- what a record may list ----

A = Sketched(name="model.layers.0.a.weight", layer=0, shape=(4, 5), slices=1)
B = Sketched(name="model.layers.1.b", layer=1, shape=(6, 4, 5), slices=6)
C = Sketched(name="model.layers.1.c.weight", layer=1, shape=(6, 4), slices=6)
D = Sketched(name="model.norm.weight", layer=None, shape=(5,), slices=1)
WEIGHTS = (A, B, C, D)
SIZE = 64 + 6 * 16 + 6 * 2 + 16


def test_a_list_of_weights_that_fits_is_accepted() -> None:
    check(WEIGHTS, layers=2, sketches=SIZE, what="test")


CONTRADICTIONS: dict[str, tuple[tuple[Sketched, ...], str]] = {
    "not in ascending order": ((B, A, C, D), "'model.layers.0.a.weight' follows 'model.layers.1.b'"),
    "one name twice": ((A, A, B, C, D), "names must ascend"),
    "no name": ((replace(A, name=""), B, C, D), "'' is no tensor name"),
    "a name with a line break": ((A, B, C, replace(D, name="model.norm\nPASS")), "is no tensor name"),
    "a name longer than any": ((A, B, C, replace(D, name="n" * 1025)), "is no tensor name"),
    "a negative side": ((replace(A, shape=(4, -5)), B, C, D), r"has the shape \[4, -5\]"),
    "a side beyond any file": ((replace(A, shape=(4, 2**49)), B, C, D), "has the shape"),
    "nine dimensions": ((replace(A, shape=(1,) * 9), B, C, D), "has the shape"),
    "slices that are not the first dimension": ((A, replace(B, slices=4), C, D), "in 4 slices"),
    "slices of a vector": ((A, B, C, replace(D, slices=5)), "in 5 slices"),
    "no slices": ((A, replace(B, slices=0), C, D), "in 0 slices"),
    "a layer beyond the model": ((A, replace(B, layer=2), C, D), "model.layers.1.b is of layer 2, the model has 2"),
    "a layer before the first": ((A, replace(B, layer=-1), C, D), "is of layer -1"),
    "one weight less than there are sketches": ((A, B, C), "sketches holds 188 values, the weights need 172"),
    "a vector passed off as a matrix": ((A, B, C, replace(D, shape=(5, 1))), "the weights need 236"),
    "experts passed off as one matrix": ((A, replace(B, slices=1), C, D), "the weights need 156"),
    "no weights": ((), "the weights need 0"),
}


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_a_list_of_weights_that_contradicts_itself_is_refused(case: str) -> None:
    weights, message = CONTRADICTIONS[case]
    with pytest.raises(FormatError, match=message):
        check(weights, layers=2, sketches=SIZE, what="behaviour.json")


FLIP = Flip(weight=B.name, slice=5, stored=f"{B.name}_blocks", element=17, error=3e-5)


def test_trials_of_weights_that_are_there_are_accepted() -> None:
    check_flips((FLIP, replace(FLIP, weight=D.name, slice=0, error=0.0)), WEIGHTS, what="test")


FLIPS: dict[str, tuple[Flip, str]] = {
    "a weight that is not there": (replace(FLIP, weight="model.layers.1.d"), "no slice 5 of 'model.layers.1.d'"),
    "an expert that is not there": (replace(FLIP, slice=6), "no slice 6 of 'model.layers.1.b'"),
    "a tensor without a name": (replace(FLIP, stored=""), "'' is no tensor name"),
    "a tensor with a line break": (replace(FLIP, stored="a\nPASS"), "is no tensor name"),
    "an error that is not a number": (replace(FLIP, error=math.nan), "nan is no relative error"),
    "an error that is infinite": (replace(FLIP, error=math.inf), "inf is no relative error"),
    "an error below zero": (replace(FLIP, error=-1e-9), "is no relative error"),
    "an error that no two vectors have": (replace(FLIP, error=2.1), "is no relative error, which is 0 to 2"),
}


@pytest.mark.parametrize("case", FLIPS)
def test_trials_that_cannot_have_been_are_refused(case: str) -> None:
    flip, message = FLIPS[case]
    with pytest.raises(FormatError, match=message):
        check_flips((FLIP, flip), WEIGHTS, what="behaviour.json")


def test_more_trials_than_allowed_are_refused() -> None:
    with pytest.raises(FormatError, match=r"10001 flips, at most 10000"):
        check_flips((FLIP,) * 10_001, WEIGHTS, what="behaviour.json")


def test_the_square_of_a_sketch_is_the_squared_norm_on_average() -> None:
    keys = [challenge_key("5a" * 32, str(seed)) for seed in range(SEEDS)]
    squares = np.array([(sketched(BEFORE[0], 16, key) ** 2).mean() for key in keys])
    assert abs(squares.mean() - (BEFORE[0] ** 2).sum()) <= 3.5 * squares.std() / math.sqrt(SEEDS)
