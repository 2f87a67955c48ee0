"""Facts of two models: every kind of change is named in its section, and nothing is told of what is the same."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from checkpoints import SIDE_FILES
from commands import schema
from diffing import BUNDLE, CHECKPOINT, HOSTILE, bundled, by_name, edited, listed, members, read, written

from mbom.diff import diff
from mbom.diff.changes import SECTIONS
from mbom.diff.facts.documents import MEMBERS_LIMIT, flat
from mbom.diff.facts.fields import fields
from mbom.dossier import Dossier, read_bundle
from mbom.source import Origin


@pytest.fixture(scope="module")
def original() -> Dossier:
    return read(CHECKPOINT, label="original")


def test_a_bundle_and_its_checkpoint_do_not_differ(original: Dossier) -> None:
    changes = diff(read_bundle(BUNDLE), original)
    assert changes.identical
    assert not changes.differs
    assert (changes.fields, changes.templates, changes.findings_new, changes.findings_gone) == ((), (), (), ())


def test_configurations_are_compared_member_by_member(original: Dossier, tmp_path: Path) -> None:
    new = read(edited(tmp_path, config__json=members(rope_theta=150000.0, use_cache=None, extra={"a.b": 1, "c": {}})))
    assert by_name(fields(original, new)[0], "config") == {
        "rope_theta": (150000, 150000.0),
        "use_cache": (True, None),
        'extra."a.b"': (None, 1),
        "extra.c": (None, {}),
    }


def test_generation_defaults_have_a_section_of_their_own(original: Dossier, tmp_path: Path) -> None:
    new = read(edited(tmp_path, generation_config__json=members(temperature=2.5)))
    assert by_name(fields(original, new)[0], "generation") == {"temperature": (None, 2.5)}


@pytest.mark.parametrize(
    ("old", "new"), [(1, 1.0), (1, True), (0.0, -0.0), ("1", 1), (None, "x"), ([1], {"0": 1}), ("null", None)]
)
def test_values_of_another_type_are_not_the_same(old: Any, new: Any, tmp_path: Path) -> None:
    both = [
        written(tmp_path / side, SIDE_FILES | {"config.json": json.dumps({"member": value}).encode()})
        for side, value in (("old", old), ("new", new))
    ]
    assert "member" in "".join(by_name(fields(*both)[0], "config"))


def test_a_null_is_told_from_a_member_that_is_not_there(tmp_path: Path) -> None:
    both = [
        written(tmp_path / side, SIDE_FILES | {"config.json": text})
        for side, text in (("old", b'{"member": null}'), ("new", b"{}"))
    ]
    assert by_name(fields(*both)[0], "config") == {"member": ("null", None)}


def test_two_members_never_share_a_name() -> None:
    assert flat(b'{"a.b": 1, "a": {"b": 2}, "": 3, "\\"a\\"": 4}', what="x") == {
        '"a.b"': 1,
        "a.b": 2,
        '""': 3,
        '"\\"a\\""': 4,
    }


def test_members_that_are_told_elsewhere_are_left_out() -> None:
    document = b'{"model": {"vocab": {"a": 1}, "type": "BPE"}, "added_tokens": [1]}'
    left_out = (("model", "vocab"), ("added_tokens",), ("no", "such"), ("model", "type", "deeper"))
    assert flat(document, what="x", without=left_out) == {"model.type": "BPE", "added_tokens": [1]}


@pytest.mark.parametrize("data", [b"[]", b"{", b'{"a": NaN}', b'{"a": 1, "a": 2}', b"\xff"])
def test_what_is_no_object_has_no_members(data: bytes) -> None:
    assert flat(data, what="x") is None


def test_more_members_than_anybody_reads_are_not_told() -> None:
    fewest, many = (json.dumps(dict.fromkeys(map(str, range(count)))) for count in (MEMBERS_LIMIT, MEMBERS_LIMIT + 1))
    assert flat(fewest.encode(), what="x") is not None
    assert flat(many.encode(), what="x") is None


def test_a_long_name_is_not_repeated_for_its_members() -> None:
    found = flat(json.dumps({"n" * 10_000: {str(number): {"x": 1} for number in range(100)}}).encode(), what="x")
    assert found is not None
    assert len(found) == 100
    assert max(map(len, found)) < 500


def test_a_configuration_that_nobody_can_read_is_told_by_its_digest(original: Dossier, tmp_path: Path) -> None:
    broken = read(edited(tmp_path, config__json=lambda data: data[:-3]))
    found, notes = fields(original, broken)
    (name,) = by_name(found, "config")
    assert name == "config.json"
    assert any("config.json" in note and "no strict JSON" in note for note in notes)


def test_long_values_keep_a_digest_of_the_whole(tmp_path: Path) -> None:
    values = ["x" * 5000 + "a", "x" * 5000 + "b"]
    old, new = (read(edited(tmp_path / value[-1], config__json=members(member=value))) for value in values)
    before, after = by_name(fields(old, new)[0], "config")["member"]
    assert before != after
    assert len(str(before)) < 1000


def test_hostile_configurations_are_quoted_in_printable_characters(original: Dossier, tmp_path: Path) -> None:
    held = {text: [text, {text: text}] for text in HOSTILE} | {f"{text}.": text for text in HOSTILE}
    found, _ = fields(original, read(edited(tmp_path, config__json=members(**held))))
    assert len(by_name(found, "config")) == 2 * len(HOSTILE)
    for change in found:
        assert change.name.isprintable()
        assert json.dumps(change.new, ensure_ascii=False).isprintable()


def test_of_two_bundles_the_description_is_compared(original: Dossier, tmp_path: Path) -> None:
    new = read(edited(tmp_path, config__json=members(sliding_window=64)))
    found, notes = fields(bundled(original), bundled(new))
    assert by_name(found, "architecture") == {"sliding-window": ("32", "64")}
    assert set(by_name(found, "config")) == {"config.json"}
    assert any("config.json" in note and "give the checkpoints" in note for note in notes)


LICENCE = (CHECKPOINT / "LICENSE").read_bytes()


def test_licences_and_restrictions_are_compared_as_sets(original: Dossier, tmp_path: Path) -> None:
    card = b"---\nlicense: cc-by-nc-4.0\n---\n# Tuned\n"
    new = read(edited(tmp_path, README__md=lambda _: card))
    found, _ = fields(original, new)
    assert by_name(found, "licence")["declared"] == ("Apache-2.0", "CC-BY-NC-4.0")
    assert by_name(found, "restrictions")["non-commercial"][1] is not None


def test_a_restriction_that_stands_in_another_line_is_the_same(original: Dossier, tmp_path: Path) -> None:
    found, _ = fields(original, read(edited(tmp_path, LICENSE=lambda data: b"\n\n" + data)))
    assert by_name(found, "restrictions") == {}
    assert set(by_name(found, "licence")) == {"LICENSE"}


def test_lineage_and_datasets_are_compared(original: Dossier, tmp_path: Path) -> None:
    card = b"---\nlicense: apache-2.0\nbase_model: org/base\nbase_model_relation: finetune\ndatasets: [org/d]\n---\n"
    found, _ = fields(original, read(edited(tmp_path, README__md=lambda _: card)))
    lineage = by_name(found, "lineage")
    assert lineage["base org/base"] == (None, "finetune")
    assert lineage["dataset"] == (None, "org/d")


def test_code_is_told_by_its_digest_and_by_who_calls_it(original: Dossier, tmp_path: Path) -> None:
    copy = edited(tmp_path, config__json=members(auto_map={"AutoModel": "modeling.Model"}))
    (copy / "modeling.py").write_text("print()\n")
    code = by_name(fields(original, read(copy))[0], "code")
    assert "modeling.py" in code
    assert any("modeling.Model" in str(new) for _, new in code.values())


def test_openness_tells_what_is_lacking_now(original: Dossier, tmp_path: Path) -> None:
    copy = edited(tmp_path)
    (copy / "README.md").unlink()
    openness = by_name(fields(original, read(copy))[0], "openness")
    assert openness["model-card"] == ("present", "absent:")


def test_another_repository_is_told(original: Dossier) -> None:
    hub = replace(original, document=_from_hub(original.document))
    found, _ = fields(original, hub)
    assert by_name(found, "identity") == {"repository": (None, "org/model"), "revision": (None, "a" * 40)}
    assert by_name(found, "origin") == {"source": ("folder", "hub")}


def _from_hub(document: Any) -> Any:
    copy = json.loads(json.dumps(document))
    model = copy["components"][0]
    model |= {"group": "org", "name": "model", "version": Origin(kind="hub", name="x", revision="a" * 40).revision}
    for item in model["properties"]:
        if item["name"] == "mbom:source":
            item["value"] = "hub"
    return copy


def test_what_only_one_of_two_writers_looked_for_is_no_change_of_the_same_files(original: Dossier) -> None:
    document: Any = json.loads(json.dumps(original.document))
    properties = document["components"][0]["modelCard"]["properties"]
    properties[:] = [item for item in properties if item["name"] != "mbom:architecture:layers"]
    assert fields(original, replace(original, document=document))[0] == ()


def test_boms_by_different_versions_are_noted(original: Dossier, tmp_path: Path) -> None:
    new = read(edited(tmp_path, config__json=members(use_cache=False)))
    document: Any = json.loads(json.dumps(new.document))
    document["metadata"]["tools"]["components"][0]["version"] = "0.1\u202e"
    (note,) = (note for note in diff(original, replace(new, document=document)).notes if "versions of mbom" in note)
    assert "0.1\\u202e" in note


def test_every_section_is_one_that_policies_know(original: Dossier, tmp_path: Path) -> None:
    found, _ = fields(original, read(edited(tmp_path, config__json=lambda _: b"{}", README__md=lambda _: b"# x")))
    assert {change.section for change in found} <= set(SECTIONS)
    assert [SECTIONS.index(change.section) for change in found] == sorted(
        SECTIONS.index(change.section) for change in found
    )


NAMES = (
    *("licence:declared", "licence:detected", "licence:restriction", "licence:disagreement", "openness:class"),
    *("openness:datasets", "producer:country", "producer:account", "hub:gated", "source", "remote-code", "code:file"),
    *("pickle:global", "lineage:successor", "chat-template", "tokenizer:special-token", "tokenizer:vocabulary"),
    *("architecture:layers", "parameters:total", "quantisation:method", "packing"),
)


def claiming(values: dict[str, str]) -> Any:
    """Return a BOM that says hostile things in every place that a diff looks at."""
    properties = [
        {"name": f"mbom:{name}", "value": f"{values.get(name, '')}{text}"} for name in NAMES for text in HOSTILE
    ]
    text = "".join(HOSTILE) + "".join(values.values())
    ancestor = {"name": text, "group": text, "properties": [{"name": "mbom:lineage:relation", "value": text}]}
    dataset = {"type": "data", "name": text, "data": [{"type": "dataset"}]}
    licence = {"license": {"name": text, "acknowledgement": "declared"}}
    model = {
        "type": "machine-learning-model", "name": text, "group": text, "version": text, "properties": properties,
        "licenses": [licence], "pedigree": {"ancestors": [ancestor]}, "modelCard": {"properties": properties},
    }  # fmt: skip
    tools = {"components": [{"name": "mbom", "version": text}]}
    return {"components": [model, dataset], "metadata": {"tools": tools, "component": {"name": text}}}


def test_a_bom_that_says_hostile_things_is_quoted_in_printable_characters() -> None:
    old, new = listed(files={"a": "1"}), listed(files={"a": "2"})
    claimed = replace(new, document=claiming({}))
    for other in (replace(old, document=claiming(dict.fromkeys(NAMES, "x"))), old, replace(old, document=[1])):
        for changes in (diff(other, claimed), diff(claimed, other)):
            document = json.loads(json.dumps(changes.to_dict()))
            schema("diff").validate(document)
            assert json.dumps(document, ensure_ascii=False).isprintable()
            assert len({change.section for change in changes.fields}) > 8
