"""`mbom diff`: what changed between two models, in words, as Markdown and as data."""

import contextlib
import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attesting import Scene
from commands import mbom, schema
from diffing import BUNDLE, CHECKPOINT, HOSTILE, edited, members
from hubserver import HubServer
from jsonschema import ValidationError
from largebundles import write_two

from mbom.cli import run

QUICK = ("--no-weights", "-q")


def test_a_bundle_and_its_checkpoint_are_the_same(home: Path) -> None:
    ran = mbom("diff", BUNDLE, CHECKPOINT, "--no-weights", "--exit-code", home=home)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[-1] == "The same files."
    assert f"old        {BUNDLE}   a bundle" in ran.stderr
    assert f"new        {CHECKPOINT}   a checkpoint in a folder" in ran.stderr
    assert "signatures are not checked here: `mbom verify` does that" in ran.stderr


def test_changes_are_told_on_one_screen(home: Path, tmp_path: Path) -> None:
    new = edited(
        tmp_path,
        config__json=members(rope_theta=200000),
        chat_template__jinja=lambda data: data.replace(b"Current date", b"Today"),
        LICENSE=lambda _: b"All rights reserved.\n",
    )
    ran = mbom("diff", CHECKPOINT, new, *QUICK, home=home)
    assert (ran.returncode, ran.stderr) == (0, "")
    lines = ran.stdout.splitlines()
    sections = dict(re.findall(r"^(\w[\w ]*?)  +(.*)$", ran.stdout, re.MULTILINE))
    assert sections["before"].startswith("tiny-gpt-oss · a checkpoint · sha256:")
    assert sections["Configuration"] == "rope_theta: 150000 → 200000"
    assert sections["Chat template"] == "changed: chat_template.jinja default"
    told = [line.strip() for line in lines]
    assert '-{{- "\\nCurrent date: " + strftime_now("%Y-%m-%d") + "<|end|>" }}' in told
    assert '+{{- "\\nToday: " + strftime_now("%Y-%m-%d") + "<|end|>" }}' in told
    assert "detected in LICENSE: Apache-2.0 (exact) → unknown" in told
    assert lines[-1] == (
        "Different: 3 files of 14, the licence, the configuration and the chat template; 1 finding more than before."
    )
    assert len(lines) < 45


def test_the_exit_status_tells_of_differences_where_that_is_asked(tmp_path: Path) -> None:
    new = str(edited(tmp_path, config__json=lambda data: data + b"\n"))
    assert run(["diff", str(CHECKPOINT), new, *QUICK]) == 0
    assert run(["diff", str(CHECKPOINT), new, *QUICK, "--exit-code"]) == 1


def test_a_bundle_with_its_checkpoint_tells_more(home: Path, tmp_path: Path) -> None:
    new = edited(tmp_path, config__json=members(rope_theta=200000))
    alone = mbom("diff", BUNDLE, new, *QUICK, home=home)
    assert "config.json: changed" in alone.stdout
    assert "give the checkpoint instead of it or beside it" in alone.stdout
    joined = mbom("diff", BUNDLE, new, "--old-checkpoint", CHECKPOINT, *QUICK, home=home)
    assert "rope_theta: 150000 → 200000" in joined.stdout
    assert "· a bundle with its checkpoint, attested 2026-11-02T08:30:00Z ·" in joined.stdout


def test_another_checkpoint_beside_a_bundle_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new = edited(tmp_path, config__json=lambda data: data + b"\n")
    assert run(["diff", str(CHECKPOINT), str(BUNDLE), "--new-checkpoint", str(new), *QUICK]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert "is not the checkpoint that this bundle describes" in told.err


def test_a_packed_bundle_is_read_as_it_is(tmp_path: Path) -> None:
    packed = shutil.make_archive(str(tmp_path / "packed"), "zip", BUNDLE)
    assert run(["diff", packed, str(BUNDLE), *QUICK, "--exit-code"]) == 0


def test_two_revisions_of_a_repository_are_fetched_and_compared(home: Path) -> None:
    files = {path.name: path.read_bytes() for path in CHECKPOINT.iterdir()}
    with HubServer() as hub:
        old = hub.push("acme/tiny", files)
        new = hub.push("acme/tiny", files | {"config.json": members(rope_theta=200000)(files["config.json"])})
        env = {"HF_ENDPOINT": hub.url, "HF_HOME": str(home / "hf")}
        ran = mbom("diff", f"acme/tiny@{old}", "acme/tiny", "--no-weights", "--json", home=home, env=env)
    assert ran.returncode == 0, ran.stderr
    assert f"old        acme/tiny@{old}   a repository on the hub" in ran.stderr
    found = json.loads(ran.stdout)
    assert (found["old"]["revision"], found["new"]["revision"]) == (old, new)
    assert {"section": "config", "name": "rope_theta", "old": 150000, "new": 200000} in found["fields"]


USAGE: dict[str, tuple[tuple[str | Path, ...], str]] = {
    "both forms": ((CHECKPOINT, CHECKPOINT, "--json", "--markdown"), "give one of them"),
    "parents of nothing": ((CHECKPOINT, CHECKPOINT, "--no-weights", "--with", CHECKPOINT), "leaves alone"),
    "a bundle as a checkpoint": ((BUNDLE, BUNDLE, "--old-checkpoint", BUNDLE), "which holds no weights"),
    "a bundle as a parent": ((BUNDLE, BUNDLE, "--with", BUNDLE), "which holds no weights"),
    "a checkpoint of a checkpoint": ((CHECKPOINT, BUNDLE, "--old-checkpoint", CHECKPOINT), "goes beside a bundle"),
}


@pytest.mark.parametrize("case", USAGE)
def test_what_makes_no_sense_is_said_so(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, words = USAGE[case]
    assert run(["diff", *map(str, arguments)]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert words in told.err


def test_a_missing_side_could_not_be_checked(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["diff", "gone.mbom", str(BUNDLE), *QUICK]) == 3
    assert "no such bundle" in capsys.readouterr().err


def hostile(root: Path) -> Path:
    """Return a checkpoint that says hostile things wherever it may."""
    text = "".join(HOSTILE)

    def card(_: bytes) -> bytes:
        return f"---\nlicense: {json.dumps(text)}\nbase_model: {json.dumps(text)}\n---\n{text}\n".encode()

    def vocabulary(data: bytes) -> bytes:
        value = json.loads(data)
        for number, name in enumerate(HOSTILE):
            value["added_tokens"].append({"id": 700 + number, "content": name, "special": True})
        return json.dumps(value).encode()

    held = {name: [name] for name in HOSTILE}
    return edited(
        root,
        config__json=members(**held, hidden_act=text),
        generation_config__json=members(**held),
        tokenizer__json=vocabulary,
        tokenizer_config__json=members(chat_template=[{"name": "x", "template": text}], **held),
        chat_template__jinja=lambda data: data + text.encode(),
        LICENSE=lambda _: text.encode(),
        README__md=card,
    )


@pytest.mark.parametrize("form", ["text", "--markdown", "--json"])
def test_nothing_hostile_reaches_the_terminal(home: Path, tmp_path: Path, form: str) -> None:
    asked = () if form == "text" else (form,)
    ran = mbom("diff", CHECKPOINT, hostile(tmp_path), "--no-weights", *asked, home=home)
    assert ran.returncode == 0, ran.stderr
    for line in (ran.stdout + ran.stderr).splitlines():
        assert line.isprintable(), line
    if form == "--json":
        schema("diff").validate(json.loads(ran.stdout))


def document(*arguments: str | Path) -> Any:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert run(["diff", *map(str, arguments), "--json", *QUICK]) == 0
    value = json.loads(out.getvalue())
    schema("diff").validate(value)
    return value


def test_json_of_real_diffs_follows_the_schema(tmp_path: Path, attested: Scene) -> None:
    new = edited(tmp_path, config__json=members(rope_theta=200000), tokenizer__json=lambda data: data[:-2] + b" }")
    assert document(CHECKPOINT, CHECKPOINT)["identical"]
    assert not document(BUNDLE, new)["identical"]
    same = document(BUNDLE, attested.bundle)
    assert same["behaviour"]["same"]
    assert same["behaviour"]["top1_agreement"] == 1


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the diff of two bundles in the shape of gpt-oss-120b, as JSON."""
    old, new = write_two(tmp_path_factory.mktemp("large"))
    return json.dumps(document(old, new))


def test_bundles_of_a_large_model_tell_of_layers_and_answers(large: str) -> None:
    found = json.loads(large)
    assert found["tensors"]["counts"]["changed"] == 2 * 19
    assert {change["name"].split(".")[2] for change in found["tensors"]["changes"]} == {"7", "21"}
    assert found["behaviour"]["positions"] == 2048
    assert 0 < found["behaviour"]["kl_mean"] < 0.1
    assert {"identity", "config", "architecture"} <= {change["section"] for change in found["fields"]}


Edit = Callable[[Any], object]
WRONG: dict[str, Edit] = {
    "another schema": lambda d: d.update(schema="urn:mbom:diff:v2"),
    "an unknown member": lambda d: d.update(verdict="safe"),
    "a section that is missing": lambda d: d.pop("notes"),
    "a status that is none": lambda d: d["files"]["changes"][0].update(status="moved"),
    "a resharded tensor that is listed": lambda d: d["tensors"]["changes"][0].update(status="resharded"),
    "a section of another name": lambda d: d["fields"][0].update(section="license"),
    "a negative count": lambda d: d["files"].update(identical=-1),
    "a count that is missing": lambda d: d["tensors"]["counts"].pop("re-encoded"),
    "a digest that is none": lambda d: d["old"].update(digest="0" * 63),
    "a negative divergence": lambda d: d["behaviour"].update(kl_mean=-0.1),
    "an agreement above one": lambda d: d["behaviour"].update(top1_agreement=1.1),
    "a name that moves the cursor": lambda d: d["fields"][0].update(name="\x1b[2J"),
    "a name that turns the text": lambda d: d["files"]["changes"][0].update(name="\u202e"),
    "weights without a basis": lambda d: d.update(weights={"compared": 0}),
    "an explanation of another name": lambda d: d.update(explanations=[{"id": "magic"}]),
    "a finding without a severity": lambda d: d.update(findings_new=[{"id": "x", "path": "a", "detail": "b"}]),
}


@pytest.mark.parametrize("case", WRONG)
def test_the_schema_refuses_what_no_diff_is(large: str, case: str) -> None:
    value = json.loads(large)
    WRONG[case](value)
    with pytest.raises(ValidationError):
        schema("diff").validate(value)
