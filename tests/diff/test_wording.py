"""The sentences, and that hostile names stay text wherever they are shown."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from diffing import BUNDLE, CHECKPOINT, HOSTILE, edited, listed, members, read
from markdown_it import MarkdownIt

from mbom.diff import diff, wording
from mbom.diff.changes import (
    Answer,
    Behaviour,
    Changes,
    Explanation,
    FieldChange,
    FileChange,
    PromptChange,
    RoleChange,
    StoredTensor,
    TemplateChange,
    TensorChange,
    Tensors,
    TokenChange,
    TokenizerChange,
    WeightChange,
    Weights,
)
from mbom.diff.markdown import markdown
from mbom.dossier import read_bundle
from mbom.facts.licences.vocabulary import RESTRICTIONS
from mbom.inventory import Finding
from mbom.strictjson import Json

FILE = FileChange(
    status="changed", name="config.json", old_name="config.json", role="config", old_sha256="0" * 64,
    new_sha256="1" * 64, old_size=1310, new_size=1311,
)  # fmt: skip
TENSOR = TensorChange(
    status="changed", name="w", old_name="w", old=StoredTensor(dtype="BF16", shape=(2, 3), file="a"),
    new=StoredTensor(dtype="U8", shape=(6,), file="a"),
)  # fmt: skip
WEIGHT = WeightChange(
    name="w", layer=1, role="w", elements=6, basis="weights", relative=0.00312, error=0, unchanged=0.5,
    largest=0.25, rank=8, experts=(3, 5), of=8,
)  # fmt: skip
ROLE = RoleChange(
    layer=1, role=None, weights=4, changed=1, elements=24, basis="sketches", relative=0.00312, error=0.0004
)

SENTENCES = [
    (wording.file(FILE), "changed: config.json (config, 1,310 to 1,311 bytes)"),
    (wording.file(replace(FILE, new_size=1310)), "changed: config.json (config, still 1,310 bytes)"),
    (
        wording.file(replace(FILE, status="added", old_name=None, old_sha256=None, old_size=None)),
        "added: config.json (config, 1,311 bytes)",
    ),
    (wording.file(replace(FILE, status="renamed", old_name="c.json")), "renamed: c.json → config.json"),
    (wording.tensor(TENSOR), "changed: w, BF16 2x3 → U8 6"),
    (wording.tensor(replace(TENSOR, new=TENSOR.old)), "changed: w"),
    (wording.tensor(replace(TENSOR, status="renamed", old_name="v")), "renamed: v → w"),
    (wording.tensor(replace(TENSOR, status="removed", new=None)), "removed: w (BF16 2x3)"),
    (wording.tensor(replace(TENSOR, status="re-encoded", old=None)), "re-encoded: w (U8 6 only after)"),
    (wording.field(FieldChange(section="config", name="a", old=1, new=None)), "a: removed, it was 1"),
    (wording.field(FieldChange(section="config", name="a", old=None, new="x")), "a: added x"),
    (wording.field(FieldChange(section="config", name="a", old=True, new=[1, "ü"])), 'a: true → [1, "ü"]'),
    (
        wording.field(FieldChange(section="code", name="x.py", old=f"sha256:{'0' * 64}", new=f"sha256:{'1' * 64}")),
        "x.py: changed",
    ),
    (wording.token(TokenChange(token="x", old_id=None, new_id=3)), "token “x” added as 3"),
    (wording.token(TokenChange(token="x", old_id=2, new_id=3)), "token “x” moved from 2 to 3"),
    (wording.token(TokenChange(token="x", old_id=2, new_id=None)), "token “x” removed, it was 2"),
    (
        wording.weight(WEIGHT),
        "w: by 0.0031 of its norm, 50.0% of the elements equal, the largest change 0.25, rank 8, in 2 experts of 8",
    ),
    (wording.layer(ROLE), "layer 1: 1 of 4 weights changed, by 0.00312 ± 0.00040 of its norm"),
    (
        wording.layer(replace(ROLE, layer=None, relative=float("inf"), error=0.0)),
        "outside the layers: 1 of 4 weights changed, from nothing",
    ),
    (
        wording.layer(replace(ROLE, error=0.0, unchanged=1 - 1e-9)),
        "layer 1: 1 of 4 weights changed, by 0.0031 of its norm, more than 99.9% of the elements equal",
    ),
    (
        wording.layer(replace(ROLE, error=0.0, unchanged=1e-9)),
        "layer 1: 1 of 4 weights changed, by 0.0031 of its norm, less than 0.1% of the elements equal",
    ),
    (
        wording.layer(replace(ROLE, relative=3.9e36, error=0.0)),
        "layer 1: 1 of 4 weights changed, by 3.9e+36 times its norm",
    ),
    (
        wording.layer(replace(ROLE, relative=0.1, error=0.2)),
        "layer 1: 1 of 4 weights changed, by 0.10 ± 0.20 of its norm",
    ),
    (
        wording.layer(replace(ROLE, relative=5.4e-5, error=2e-5)),
        "layer 1: 1 of 4 weights changed, by 5.4e-05 ± 2.0e-05 of its norm",
    ),
]


@pytest.mark.parametrize(("told", "expected"), SENTENCES)
def test_each_change_has_its_sentence(told: str, expected: str) -> None:
    assert told == expected


def everything(name: str) -> Changes:
    """Return changes of every kind that are about things of that name."""
    answer = Answer(id=1, text=name, probability=0.5)
    prompt = PromptChange(prompt="code-1", positions=2, kl=0.5, top1_agreement=0.5, old=(answer,), new=(answer,))
    weight = replace(WEIGHT, name=name)
    found = Finding(id="code-present", severity="warning", path=name, detail=name)
    change = FieldChange(section="config", name=name, old=name, new=[name])
    empty = diff(listed(files={"a": "1"}), listed(files={"a": "2"}))
    return replace(
        empty,
        old=replace(empty.old, name=name, label=name),
        files=replace(empty.files, changes=(replace(FILE, name=name),)),
        tensors=replace(empty.tensors, changes=(replace(TENSOR, name=name),)),
        fields=(change, replace(change, section="licence"), replace(change, section="restrictions")),
        tokenizer=TokenizerChange(
            added=1, moved=0, removed=0, listed=(TokenChange(token=name, old_id=None, new_id=1),)
        ),
        templates=(TemplateChange(name=name, old_sha256=None, new_sha256="0" * 64, lines=(f"+{name}",)),),
        findings_new=(found,),
        findings_gone=(found,),
        weights=Weights(
            basis="weights", compared=2, equal=1, changed=(weight,), by_role=(), by_layer=(ROLE,), only_old=(name,) * 4,
            only_new=(),
        ),
        explanations=(
            Explanation(
                id="lora-merge", outcome="explained", sentence=f"about {name}", weights=1, names=(name,), residual=1e-9
            ),
        ),
        behaviour=Behaviour(
            same=False, positions=2, kl_mean=0.5, kl_largest=0.7, top1_agreement=0.5, prompts=(prompt,)
        ),
        notes=(name,),
    )  # fmt: skip


def test_every_section_with_changes_has_a_group() -> None:
    found = {group.id for group in wording.groups(everything("plain"))}
    assert found == {
        *("files", "tensors", "weights", "explanations", "config", "licence", "restrictions", "tokenizer"),
        *("chat-template", "findings", "behaviour", "notes"),
    }
    assert found <= wording.TITLES.keys()


def test_what_is_cut_is_counted() -> None:
    changes = everything("x")
    whole = {group.id: group for group in wording.groups(changes)}
    for group in wording.groups(changes, shown=1):
        assert len(group.lines) == 1
        assert group.more == len(whole[group.id].lines) - 1


def test_a_long_diff_of_a_template_is_cut_and_counted() -> None:
    template = TemplateChange(name="t", old_sha256=None, new_sha256=None, lines=tuple(map(str, range(100))))
    changes = replace(everything("x"), templates=(template,))
    (group,) = (group for group in wording.groups(changes, shown=2) if group.id == "chat-template")
    assert len(group.text) + group.text_more == 100
    assert group.text_more > 0
    assert f"… {group.text_more} more lines" in markdown(changes, shown=2)


def test_several_templates_are_named_above_their_lines() -> None:
    one = TemplateChange(name="one", old_sha256=None, new_sha256=None, lines=("+a",))
    changes = replace(everything("x"), templates=(one, replace(one, name="two")))
    (group,) = (group for group in wording.groups(changes) if group.id == "chat-template")
    assert group.text == ("one:", "+a", "two:", "+a")


def test_the_headline_names_what_people_act_on() -> None:
    assert wording.headline(everything("x")) == (
        "Different: 1 file of 1, the licence, the restrictions, the configuration, the chat template and the answers; "
        "1 finding more than before."
    )
    assert wording.headline(diff(read_bundle(BUNDLE), read(CHECKPOINT))) == "The same files."
    counted = replace(everything("x"), tensors=Tensors(counts={"identical": 1, "changed": 2, "renamed": 3}, changes=()))
    assert "2 tensors (lora-merge)" in wording.headline(counted)


def edit(*elements: Json) -> Changes:
    """Return changes that are explained by an edit of a few weights."""
    found = Explanation(
        id="few-weights-edit", outcome="explained", sentence="edited", weights=1, names=("w",), residual=0.0,
        details={"elements": list(elements)},
    )  # fmt: skip
    return replace(everything("x"), explanations=(found,))


def explanation(changes: Changes) -> wording.Group:
    (group,) = (group for group in wording.groups(changes, shown=4) if group.id == "explanations")
    return group


def test_every_weight_that_was_edited_is_listed() -> None:
    flipped: Json = {"weight": "w", "index": [3, 14], "old": 0.5, "new": 1.7014118346046923e38, "bit": 14}
    several: Json = {"weight": "v", "index": [0], "old": 1.0000001192092896, "new": "nan", "bit": None}
    changes = edit(flipped, several)
    lines = ("w[3, 14]: 0.5 → 1.70141183e+38, bit 14 flipped", "v[0]: 1.00000012 → nan")
    assert explanation(changes).text == lines
    assert all(line in markdown(changes) for line in lines)


def test_edits_beyond_a_screen_are_counted() -> None:
    one: Json = {"weight": "w", "index": [1], "old": 1.0, "new": 2.0, "bit": None}
    group = explanation(edit(*[one] * 256))
    assert len(group.text) + group.text_more == 256
    assert 0 < len(group.text) < 40


@pytest.mark.parametrize(
    "hostile",
    [None, 5, "w", [], {}, {"weight": ["a"], "index": {"a": 1}, "old": [], "new": {}, "bit": "x"}, {"index": [None]}],
)
def test_what_is_listed_in_another_form_ends_no_diff(hostile: Json) -> None:
    assert all(line.isprintable() and "?" in line for line in explanation(edit(hostile)).text)


def test_no_restriction_of_a_licence_is_cut_from_a_screen() -> None:
    fields = tuple(FieldChange(section="restrictions", name=name, old=None, new="applies") for name in RESTRICTIONS)
    changes = replace(everything("x"), fields=fields)
    (group,) = (group for group in wording.groups(changes, shown=4) if group.id == "restrictions")
    assert [line.partition(":")[0] for line in group.lines] == [*RESTRICTIONS]
    assert group.more == 0


def test_weights_in_another_shape_are_not_told_twice() -> None:
    changes = everything("x")
    assert changes.weights is not None
    held = replace(changes.weights, only_old=("a", "b", "gone"), only_new=("a", "b"))
    (group,) = (group for group in wording.groups(replace(changes, weights=held)) if group.id == "weights")
    assert group.lines[1:3] == ("2 weights in another shape: a and b", "1 weight only before: gone")


def test_equal_sketches_of_other_bytes_are_told_as_another_encoding() -> None:
    changes = everything("x")
    assert changes.weights is not None
    held = replace(changes.weights, basis="sketches", equal=2, changed=(), by_layer=(), only_old=())
    stored = Tensors(counts={"identical": 1, "added": 1, "removed": 2}, changes=())
    (group,) = (item for item in wording.groups(replace(changes, weights=held, tensors=stored)) if item.id == "weights")
    assert group.lines[1] == (
        "stored in another encoding, with the same sketches: the same values, as far as sketches tell"
    )


@pytest.mark.parametrize("name", HOSTILE)
def test_no_line_of_text_moves_the_cursor(name: str) -> None:
    changes = everything(name)
    for group in wording.groups(changes):
        assert all(line.isprintable() for line in group.lines)
    told: Json = {"weight": name, "index": [name], "old": name, "new": name, "bit": 3}
    assert all(line.isprintable() for line in explanation(edit(told)).text)


_SPAN = re.compile(r"(`+)(?!`)(.*?)(?<!`)\1(?!`)")


def bare(document: str) -> str:
    """Return what is left of Markdown without its code: what a reader interprets."""
    without, fence = list[str](), ""
    for line in document.splitlines():
        opened = re.match(r"`{3,}", line)
        if fence:
            fence = "" if line == fence else fence
        elif opened:
            fence = opened[0]
        else:
            without.append(_SPAN.sub("", line))
    assert not fence
    return "\n".join(without)


@pytest.mark.parametrize("name", [*HOSTILE, "fixes GH-1"])
def test_nothing_hostile_is_interpreted_in_markdown(name: str) -> None:
    left = bare(markdown(everything(name)))
    for forbidden in ("<", "@", "evil", "GH-", "[", "\x1b", "\u202e", "|", "# heading"):
        assert forbidden not in left
    assert re.findall(r"^#+ .*", left, re.MULTILINE) == re.findall(r"^#+ [A-Z][\w ]+.*", left, re.MULTILINE)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_peer_renders_hostile_names_as_code(name: str) -> None:
    """The independent oracle: of what markdown-it makes of it, nothing outside of code is of the name."""
    rendered = MarkdownIt("gfm-like", {"linkify": False}).render(markdown(everything(name)))
    left = re.sub(r"<code.*?</code>", "", rendered, flags=re.DOTALL)
    assert set(re.findall(r"<(\w+)", left)) <= {"h2", "h3", "ul", "li", "p", "pre"}
    assert not re.search(r"evil|script|somebody|heading|owned|gnp|\brich\b", left)


def test_a_real_diff_is_told_in_order(tmp_path: Path) -> None:
    new = edited(tmp_path, config__json=members(rope_theta=1), chat_template__jinja=lambda data: data + b"x")
    changes = diff(read(CHECKPOINT), read(new))
    assert [group.id for group in wording.groups(changes)] == [
        *("chat-template", "config", "architecture", "files", "notes"),
    ]
