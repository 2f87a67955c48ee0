"""Two vocabularies: tokens added, moved and removed, and what is said where nobody can tell."""

import json
from pathlib import Path
from typing import Any

import pytest
from checkpoints import SIDE_FILES
from diffing import BUNDLE, CHECKPOINT, HOSTILE, bundled, by_name, edited, listed, read, written
from hypothesis import given, settings
from hypothesis import strategies as st

from mbom.diff.changes import TokenizerChange
from mbom.diff.facts.fields import fields
from mbom.diff.facts.tokenizer import LISTED, tokenizer
from mbom.dossier import Dossier, read_bundle

NONE = TokenizerChange(added=0, moved=0, removed=0, listed=())
vocabularies = st.dictionaries(st.text(max_size=4), st.integers(0, 40), max_size=12)


def document(vocabulary: dict[str, int], added: list[dict[str, Any]] | None = None, **model: Any) -> bytes:
    return json.dumps(
        {"model": {"type": "BPE", "vocab": vocabulary, "merges": [], **model}, "added_tokens": added or []}
    ).encode()


def holding(data: bytes, name: str = "tokenizer.json") -> Dossier:
    """Return a dossier with that tokenizer; its BOM says nothing of it."""
    found = listed(files={name: data.decode(errors="replace")})
    return Dossier(
        label="it", kind="checkpoint", inventory=found.inventory, document={}, side={name: data},
        files={name: Path("nowhere")},
    )  # fmt: skip


def test_tokens_are_added_moved_and_removed() -> None:
    old = holding(document({"a": 0, "b": 1, "c": 2}))
    new = holding(document({"a": 0, "c": 1}, [{"id": 2, "content": "<|d|>", "special": True}]))
    found, notes = tokenizer(old, new)
    assert found is not None
    assert (found.added, found.moved, found.removed, notes) == (1, 1, 1, ())
    assert [(item.token, item.old_id, item.new_id) for item in found.listed] == [
        ("<|d|>", None, 2),
        ("c", 2, 1),
        ("b", 1, None),
    ]


def test_a_token_that_became_an_added_one_is_the_same() -> None:
    old, new = document({"a": 0, "b": 1}), document({"a": 0, "b": 1}, [{"id": 1, "content": "b"}])
    assert tokenizer(holding(old), holding(new))[0] == NONE


def test_a_second_id_of_a_token_is_an_addition() -> None:
    found, _ = tokenizer(
        holding(document({"a": 0})), holding(document({"a": 0}, [{"id": 7, "content": "a", "special": True}]))
    )
    assert found is not None
    assert (found.added, found.moved, found.removed) == (1, 0, 0)


@settings(max_examples=50)
@given(vocabularies, vocabularies)
def test_exchanging_the_sides_exchanges_added_and_removed(old: dict[str, int], new: dict[str, int]) -> None:
    there, _ = tokenizer(holding(document(old)), holding(document(new)))
    back, _ = tokenizer(holding(document(new)), holding(document(old)))
    assert there is not None
    assert back is not None
    assert (there.added, there.moved, there.removed) == (back.removed, back.moved, back.added)
    gone, came = set(old.items()) - set(new.items()), set(new.items()) - set(old.items())
    assert there.added + there.moved == len(came)
    assert there.removed + there.moved == len(gone)


def test_at_most_so_many_tokens_are_listed_and_all_are_counted() -> None:
    old, new = ({f"{side}{number}": number for number in range(3 * LISTED)} for side in "ab")
    found, _ = tokenizer(holding(document(old)), holding(document(new)))
    assert found is not None
    assert (found.added, found.removed, len(found.listed)) == (3 * LISTED, 3 * LISTED, 2 * LISTED)
    assert [item.new_id for item in found.listed[:LISTED]] == list(range(LISTED))


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_tokens_are_printable(text: str) -> None:
    found, _ = tokenizer(holding(document({})), holding(document({text: 0})))
    assert found is not None
    assert found.listed[0].token.isprintable()


def test_bundles_with_equal_digests_of_the_vocabulary_need_no_files(tmp_path: Path) -> None:
    new = read(edited(tmp_path, tokenizer_config__json=lambda _: b'{"tokenizer_class": "Other"}'))
    assert tokenizer(read_bundle(BUNDLE), bundled(new)) == (NONE, ())


def test_bundles_alone_cannot_tell_which_tokens_differ(tmp_path: Path) -> None:
    new = read(edited(tmp_path, tokenizer__json=lambda data: data.replace(b"<|call|>", b"<|ring|>")))
    for old, other in ((read_bundle(BUNDLE), bundled(new)), (read_bundle(BUNDLE), new)):
        found, (note,) = tokenizer(old, other)
        assert found is None
        assert "give the checkpoint" in note
    found, _ = tokenizer(read(CHECKPOINT), new)
    assert found is not None
    assert (found.added, found.removed) == (1, 1)


CASES: dict[str, tuple[tuple[str, bytes], tuple[str, bytes], str]] = {
    "broken": (("tokenizer.json", b"{"), ("tokenizer.json", document({})), "not JSON"),
    "no vocabulary": (("tokenizer.json", b"{}"), ("tokenizer.json", document({})), "no vocabulary"),
    "SentencePiece": (("tokenizer.model", b"x"), ("tokenizer.json", document({})), "no vocabulary in a file"),
    "base64 and bytes": (("a.tiktoken", b"YQ== 0\n"), ("tokenizer.json", document({})), "spell tokens differently"),
    "BPE and Unigram": (
        ("tokenizer.json", document({}, type="Unigram")), ("tokenizer.json", document({})), "spell tokens differently",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_cannot_be_compared_is_noted(case: str) -> None:
    old, new, words = CASES[case]
    for pair in ((old, new), (new, old)):
        found, (note,) = tokenizer(*(holding(data, name) for name, data in pair))
        assert found is None
        assert words in note


def test_checkpoints_without_a_tokenizer_have_the_same_one(tmp_path: Path) -> None:
    side = {name: data for name, data in SIDE_FILES.items() if not name.startswith("tokenizer")}
    old, new = (written(tmp_path / name, side | {"README.md": name.encode()}) for name in ("old", "new"))
    assert tokenizer(old, new) == (NONE, ())


def test_merges_and_steps_are_facts_of_the_tokenizer(tmp_path: Path) -> None:
    """The vocabulary is the same and texts are split otherwise, which freezing the tokenizer must catch."""

    def change(data: bytes) -> bytes:
        value = json.loads(data)
        value["model"]["merges"].reverse()
        value["normalizer"] = {"type": "Lowercase"}
        return json.dumps(value).encode()

    old, new = read(CHECKPOINT), read(edited(tmp_path, tokenizer__json=change))
    assert tokenizer(old, new)[0] == NONE
    named = by_name(fields(old, new)[0], "tokenizer")
    assert {"tokenizer.json:model.merges", "tokenizer.json:normalizer.type"} <= named.keys()
    assert "tokenizer.json" in by_name(fields(bundled(old), bundled(new))[0], "tokenizer")


def test_scores_and_flags_are_facts_of_the_tokenizer(tmp_path: Path) -> None:
    def tokenizer_of(score: float, *, lstrip: bool) -> bytes:
        added = [{"id": 1, "content": "b", "lstrip": lstrip}]
        return json.dumps({"model": {"type": "Unigram", "vocab": [["a", score]]}, "added_tokens": added}).encode()

    old, new = (
        written(tmp_path / name, SIDE_FILES | {"tokenizer.json": data})
        for name, data in (("old", tokenizer_of(-1.0, lstrip=False)), ("new", tokenizer_of(-2.0, lstrip=True)))
    )
    assert tokenizer(old, new)[0] == NONE
    assert {"tokenizer.json:model.vocab", "tokenizer.json:added_tokens"} <= by_name(
        fields(old, new)[0], "tokenizer"
    ).keys()
