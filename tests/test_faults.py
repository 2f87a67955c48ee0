"""A sample of what ``bench/faults.py`` does at length; the default run has a few trials of each kind, `slow` more."""

import random
from collections import Counter
from pathlib import Path

import faults
import pytest
from faults import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(folder=tmp_path, chance=random.Random(11))


def assert_sound(tally: Counter[str]) -> None:
    assert faults.bad(tally) == 0, tally


def test_a_kill_at_any_moment_leaves_no_bundle_or_a_whole_one_and_the_next_run_finishes(bench: Bench) -> None:
    tally = faults.kills(bench, 10)
    assert_sound(tally)
    assert tally["second run finished"] + tally["second run found it done"] == 10
    assert tally["none"] > 0
    assert tally["old one whole"] > 0


def test_a_disk_of_any_size_holds_the_whole_bundle_or_what_it_held(bench: Bench) -> None:
    tally = faults.full_disks(bench, 3)
    if tally is None:
        pytest.skip("this machine allows no private mount")
    assert_sound(tally)
    assert tally["refused, nothing left"] + tally["refused, old one whole"] > 0


def test_a_file_that_changes_while_it_is_hashed_is_named_or_stated_as_it_was_or_is(bench: Bench) -> None:
    tally = faults.changes(bench, 3, size=24 << 20)
    assert_sound(tally)
    assert tally.total() == 3


def test_of_several_runs_at_once_one_writes_the_bundle_and_the_others_say_so(bench: Bench) -> None:
    tally = faults.side_by_side(bench, 1, runs=4)
    assert_sound(tally)
    assert tally["written"] == 1
    assert tally["told: another run"] + tally["told: exists"] == 3


@pytest.mark.slow
def test_a_kill_with_behaviour_leaves_no_child_and_no_half_bundle(bench: Bench) -> None:
    tally = faults.kills(bench, 8, behaviour=True)
    assert_sound(tally)
    assert tally["second run finished"] + tally["second run found it done"] == 8


@pytest.mark.slow
def test_many_moments_sizes_changes_and_rounds(bench: Bench) -> None:
    for tally in (faults.kills(bench, 60), faults.changes(bench, 24), faults.side_by_side(bench, 8)):
        assert_sound(tally)
    full = faults.full_disks(bench, 12)
    if full is not None:
        assert_sound(full)
