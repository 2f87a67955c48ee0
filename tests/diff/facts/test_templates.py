"""Chat templates: a line diff that people can read, however the texts were made to keep its reader busy."""

import difflib
import json
from pathlib import Path

import pytest
from checkpoints import SIDE_FILES
from diffing import BUNDLE, CHECKPOINT, HOSTILE, by_name, edited, read, written
from hypothesis import given, settings
from hypothesis import strategies as st

from mbom.diff import diff
from mbom.diff.facts.fields import fields
from mbom.diff.facts.linediff import CHARACTERS_LIMIT, LINES_LIMIT, WIDTH, lines_of, unified
from mbom.diff.facts.templates import TOTAL_LIMIT, templates
from mbom.diff.wording import groups
from mbom.dossier import Dossier, read_bundle
from mbom.errors import FormatError

PLENTY = 1 << 20
texts = st.lists(st.sampled_from(["a", "b", "c", "", "{{ x }}"]), max_size=30).map("\n".join)


@settings(max_examples=200)
@given(texts, texts)
def test_the_diff_is_that_of_the_standard_library(old: str, new: str) -> None:
    """Equal beginnings and ends are cut before; what is left means the same, line by line and number by number."""
    lines, _ = unified(old, new, budget=PLENTY)
    assert applied(old.split("\n"), lines) == new.split("\n")
    if old == new:
        assert lines == ()
    peer = [*difflib.unified_diff(old.split("\n"), new.split("\n"), lineterm="")][2:]
    assert len([line for line in lines if line[0] in "+-"]) <= 2 * len([line for line in peer if line[0] in "+-"]) + 2


def applied(old: list[str], lines: tuple[str, ...]) -> list[str]:
    """Apply a unified diff as POSIX's patch does, and insist that every line that it quotes is there."""
    result, at = list[str](), 0
    for line in lines:
        if line.startswith("@@"):
            first, _, count = line.split()[1][1:].partition(",")
            start = int(first) - (0 if count == "0" else 1)
            result += old[at:start]
            at = start
            became = line.split()[2][1:].partition(",")
            assert int(became[0]) == len(result) + (0 if became[2] == "0" else 1)
        elif line[0] == "+":
            result.append(line[1:])
        else:
            assert old[at] == line[1:]
            at += 1
            if line[0] == " ":
                result.append(line[1:])
    return result + old[at:]


def test_a_template_of_one_line_is_broken_before_its_tags() -> None:
    text = "".join(f"{{% if m{number} %}}{{{{ m{number} }}}}{{% endif %}}" for number in range(40))
    lines = lines_of(text)
    assert "".join(lines) == text
    assert len(lines) > 5
    assert all(len(line) <= WIDTH and line.startswith("{") for line in lines)


def test_a_line_without_tags_is_broken_where_it_is_full() -> None:
    text = "x" * (3 * WIDTH + 1)
    assert [len(line) for line in lines_of(f"a\n{text}\n")] == [1, WIDTH, WIDTH, WIDTH, 1, 0]


def test_a_difference_far_out_in_a_line_is_shown() -> None:
    lines, _ = unified("x" * 1000 + "a", "x" * 1000 + "b", budget=PLENTY)
    assert sum(line[0] in "+-" for line in lines) == 2


@pytest.mark.parametrize("text", HOSTILE)
def test_every_line_is_printable(text: str) -> None:
    lines, _ = unified(None, text, budget=PLENTY)
    assert lines
    assert all(line.isprintable() for line in lines)


def repeated(first: int, step: int) -> str:
    """Return lines which difflib matches in as many ways as it can: none is so frequent that it is left out."""
    return "\n".join(str((first + number * step) % 100) for number in range(LINES_LIMIT))


BUSY = {
    "every line of two": ("\n".join("ab" * (LINES_LIMIT // 2)), "\n".join("ba" * (LINES_LIMIT // 2))),
    "lines that match in many ways": (repeated(0, 1), repeated(7, 3)),
    "nothing in common": ("a\n" * (LINES_LIMIT - 1) + "x", "b\n" * (LINES_LIMIT - 1) + "y"),
    "one long line": ("a" * WIDTH * LINES_LIMIT, "b" + "a" * (WIDTH * LINES_LIMIT - 1)),
}
ENDLESS = {
    "no line ends": ("ab" * (CHARACTERS_LIMIT // 2), "ba" * (CHARACTERS_LIMIT // 2)),
    "tags only": ("{%" * (CHARACTERS_LIMIT // 2), "{{" * (CHARACTERS_LIMIT // 2)),
    "line ends only": ("\n" * CHARACTERS_LIMIT, "a\n" * (CHARACTERS_LIMIT // 2)),
}


@pytest.mark.parametrize("case", BUSY)
def test_texts_that_keep_a_reader_busy_are_shown_all_the_same(case: str) -> None:
    old, new = BUSY[case]
    lines, _ = unified(old, new, budget=PLENTY)
    assert applied(lines_of(old), lines) == lines_of(new)


@pytest.mark.parametrize("case", ENDLESS)
def test_texts_beyond_the_limits_are_not_compared(case: str) -> None:
    with pytest.raises(FormatError, match="too large to show"):
        unified(*ENDLESS[case], budget=PLENTY)


def test_limits_are_named() -> None:
    with pytest.raises(FormatError, match=f"the limit is {CHARACTERS_LIMIT:,}"):
        unified("x" * (CHARACTERS_LIMIT + 1), "", budget=PLENTY)
    many = "\n".join(map(str, range(LINES_LIMIT + 1)))
    with pytest.raises(FormatError, match=f"the limit is {LINES_LIMIT:,}"):
        unified(many, "y", budget=PLENTY)
    with pytest.raises(FormatError, match="the limit is 10"):
        unified("\n".join("abcdefgh"), "\n".join("ijklmnop"), budget=10)


def test_what_both_begin_and_end_with_does_not_count() -> None:
    long = "\n".join(map(str, range(10 * LINES_LIMIT)))
    lines, used = unified(f"{long}\na\n{long}", f"{long}\nb\n{long}", budget=2)
    assert used == 2
    assert [line for line in lines if line[0] in "+-"] == ["-a", "+b"]
    assert lines[0] == f"@@ -{10 * LINES_LIMIT - 2},7 +{10 * LINES_LIMIT - 2},7 @@"


def holding(folder: Path, **side: bytes) -> Dossier:
    named = {name.replace("__", "."): data for name, data in side.items()}
    return written(folder, {**SIDE_FILES, **named})


def in_config(template: object) -> bytes:
    return json.dumps({"chat_template": template}).encode()


def test_a_template_that_moved_to_another_file_is_the_same(tmp_path: Path) -> None:
    old = holding(tmp_path / "old", tokenizer_config__json=in_config("{{ a }}"))
    new = holding(tmp_path / "new", chat_template__jinja=b"{{ a }}")
    assert templates(old, new) == ((), ())


def test_a_template_that_moved_and_changed_is_compared(tmp_path: Path) -> None:
    old = holding(tmp_path / "old", tokenizer_config__json=in_config("{{ a }}"))
    new = holding(tmp_path / "new", chat_template__jinja=b"{{ b }}")
    ((change,), _) = templates(old, new)
    assert change.name == "chat_template.jinja default"
    assert change.lines == ("@@ -1 +1 @@", "-{{ a }}", "+{{ b }}")


def test_named_templates_are_compared_each_with_its_own(tmp_path: Path) -> None:
    named = [{"name": "default", "template": "{{ a }}"}, {"name": "tool use", "template": "{{ t }}"}]
    other = [{"name": "default", "template": "{{ a }}"}, {"name": "tool use", "template": "{{ u }}"}]
    other.append({"name": "rag", "template": "{{ r }}"})
    old = holding(tmp_path / "old", chat_template__json=in_config(named))
    new = holding(tmp_path / "new", chat_template__json=in_config(other))
    found, notes = templates(old, new)
    assert [(change.name, change.old_sha256 is None) for change in found] == [
        ("chat_template.json rag", True),
        ("chat_template.json tool use", False),
    ]
    assert notes == ()


def test_a_removed_template_is_shown_whole(tmp_path: Path) -> None:
    old, new = holding(tmp_path / "old", chat_template__jinja=b"a\nb\n"), holding(tmp_path / "new")
    ((change,), _) = templates(old, new)
    assert change.new_sha256 is None
    assert change.lines == ("@@ -1,3 +0,0 @@", "-a", "-b", "-")


def test_without_the_text_digests_are_told_and_what_would_help(tmp_path: Path) -> None:
    new = read(edited(tmp_path, chat_template__jinja=lambda data: data + b"x"))
    ((change,), (note,)) = templates(read_bundle(BUNDLE), new)
    assert change.lines is None
    assert change.old_sha256 != change.new_sha256
    assert "give the checkpoint" in note
    ((shown,), notes) = templates(read(CHECKPOINT), new)
    assert (shown.old_sha256, shown.new_sha256, notes) == (change.old_sha256, change.new_sha256, ())
    assert shown.lines


def test_a_template_that_is_no_text_is_told_by_its_digest(tmp_path: Path) -> None:
    old = holding(tmp_path / "old", chat_template__jinja=b"a")
    new = holding(tmp_path / "new", chat_template__jinja=b"\xff")
    ((change,), (note,)) = templates(old, new)
    assert change.lines is None
    assert "not UTF-8" in note


def test_many_large_templates_share_one_budget(tmp_path: Path) -> None:
    count = TOTAL_LIMIT // LINES_LIMIT + 1

    def side(letter: str) -> bytes:
        text = "\n".join(f"{letter}{number}" for number in range(LINES_LIMIT))
        return in_config([{"name": f"t{number}", "template": f"{number}{text}"} for number in range(count)])

    old = holding(tmp_path / "old", chat_template__json=side("a"))
    new = holding(tmp_path / "new", chat_template__json=side("b"))
    found, notes = templates(old, new)
    assert len(found) == count
    shown = [change for change in found if change.lines]
    assert len(shown) == TOTAL_LIMIT // (2 * LINES_LIMIT)
    assert len(notes) == count - len(shown)
    assert all("too large to show" in note for note in notes)


def test_a_template_of_no_known_form_is_a_fact_all_the_same(tmp_path: Path) -> None:
    """Nobody can tell what a loader makes of it, so that freezing templates must catch the change."""
    old, new = (
        holding(tmp_path / name, tokenizer_config__json=in_config([{"name": "\u200b", "template": name}]))
        for name in ("old", "new")
    )
    assert templates(old, new) == ((), ())
    assert set(by_name(fields(old, new)[0], "chat-template")) == {"tokenizer_config.json:chat_template"}


def test_a_change_of_a_template_is_told_once(tmp_path: Path) -> None:
    old, new = (
        holding(
            tmp_path / name, tokenizer_config__json=in_config(f"{{{{ {name} }}}}"), chat_template__jinja=name.encode()
        )
        for name in ("old", "new")
    )
    (group,) = (group for group in groups(diff(old, new)) if group.id == "chat-template")
    assert group.lines == ("changed: chat_template.jinja default", "changed: tokenizer_config.json default")
