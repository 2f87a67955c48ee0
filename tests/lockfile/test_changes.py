"""What is told of two lock files: each change by its kind, and a commit whose files changed under any name."""

from typing import Any

import pytest
from lockfiles import FOLDER, KEY, KEYLESS, PINNED, but, lock

from mbom.lockfile import Entry, Lock, changes

OTHER: dict[str, Any] = {"digest": "9e" * 32, "bundle_digest": "9f" * 32}
LATER: dict[str, Any] = {"revision": "77" * 20, **OTHER}
FORK: dict[str, Any] = {"name": "fork", "repo": "acme/fork", "revision": "77" * 20, **OTHER}

CASES: dict[str, tuple[Entry, Entry, tuple[str, ...]]] = {
    "another commit": (PINNED, but(**LATER), ("upgraded",)),
    "another commit with the same files": (PINNED, but(revision="77" * 20, bundle_digest="9f" * 32), ("upgraded",)),
    "another commit by somebody else": (PINNED, but(**LATER, signer=KEY), ("re-signed", "upgraded")),
    "another commit elsewhere": (PINNED, but(**LATER, bundle="x.zip"), ("upgraded", "moved")),
    "the same commit with other files": (PINNED, but(**OTHER), ("changed-in-place",)),
    "the same commit with other files, by somebody else": (
        PINNED, but(**OTHER, signer=KEY), ("changed-in-place", "re-signed"),
    ),
    "other evidence of the same files": (PINNED, but(bundle_digest="9f" * 32), ("re-attested",)),
    "other evidence by somebody else": (
        PINNED, but(bundle_digest="9f" * 32, signer=KEY), ("re-signed", "re-attested"),
    ),
    "the evidence elsewhere": (PINNED, but(bundle="x.mbom"), ("moved",)),
    "another licence of the same evidence": (PINNED, but(licence=("MIT",)), ("edited",)),
    "a day later": (PINNED, but(date=PINNED.date.replace(day=22)), ("edited",)),
    "a folder with other files": (FOLDER, but(FOLDER, **OTHER), ("upgraded",)),
    "a folder in place of a commit, with other files": (
        PINNED, but(**OTHER, repo=None, revision=None), ("re-sourced",),
    ),
    "a commit in place of a folder": (
        FOLDER, but(FOLDER, repo="acme/mine", revision="77" * 20), ("re-sourced",),
    ),
    "another repository": (
        but(FOLDER, repo="acme/mine", revision="77" * 20), but(FOLDER, repo="acme/ours", revision="77" * 20),
        ("re-sourced",),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_change_has_its_kind(case: str) -> None:
    old, new, kinds = CASES[case]
    (change,) = changes(lock(old), lock(new))
    assert (change.name, change.kinds, change.old, change.new) == (old.name, kinds, old, new)
    assert change.kind == kinds[0]
    differing = {key for key in vars(old) if getattr(old, key) != getattr(new, key)}
    assert set(change.keys) == differing
    assert differing


def test_nothing_is_told_of_what_is_the_same() -> None:
    assert changes(lock(PINNED, FOLDER), lock(PINNED, FOLDER)) == ()


def test_models_come_and_go_by_name() -> None:
    found = changes(lock(PINNED), lock(FOLDER))
    assert [(change.name, change.kinds, change.keys) for change in found] == [
        ("mine", ("added",), ()), ("openai/gpt-oss-20b", ("removed",), ()),
    ]  # fmt: skip
    assert [change.kinds for change in changes(None, lock(FOLDER, PINNED))] == [("added",), ("added",)]
    assert changes(None, Lock()) == ()


def test_another_name_does_not_hide_that_a_commit_was_changed_in_place() -> None:
    renamed = but(name="ours", **OTHER)
    (added,) = (change for change in changes(lock(PINNED), lock(renamed)) if change.new is not None)
    assert added.kinds == ("changed-in-place", "added")
    assert (added.old, added.new) == (PINNED, renamed)
    (beside,) = changes(lock(PINNED), lock(PINNED, renamed))
    assert beside.kinds == ("changed-in-place", "added")


def test_another_case_of_the_repository_does_not_hide_it_either() -> None:
    renamed = but(name="ours", repo="OpenAI/gpt-oss-20b", **OTHER)
    (beside,) = changes(lock(PINNED), lock(PINNED, renamed))
    assert beside.kind == "changed-in-place"


def test_a_name_that_moves_onto_the_commit_of_another_is_held_against_that() -> None:
    fork = but(**FORK)
    moved = but(fork, repo=PINNED.repo, revision=PINNED.revision)
    (change,) = changes(lock(fork, PINNED), lock(moved, PINNED))
    assert change.kinds == ("changed-in-place", "re-sourced")
    assert change.old == fork


def test_the_same_commit_with_the_same_files_under_two_names_is_fine() -> None:
    (change,) = changes(lock(PINNED), lock(PINNED, but(name="ours", signer=KEYLESS)))
    assert change.kinds == ("added",)
