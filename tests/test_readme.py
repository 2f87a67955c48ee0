"""The README and the help speak of the program that is here: their commands parse, tables are those of the code."""

import json
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from attesting import CREATED, FIXTURE, Scene
from measuring import Records

from mbom import bom, bundle
from mbom.cli import cli, clock, run
from mbom.diff.changes import EXPLANATIONS
from mbom.errors import MbomError
from mbom.facts import survey
from mbom.source import FolderSource
from mbom.verdict import STEPS

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def shown_commands() -> list[str]:
    """Return every command line of the README's console blocks, with continued lines joined and comments cut."""
    blocks = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line.removeprefix("$ ").partition(" #")[0].strip() for line in lines if line.startswith("$ ")]


def of_mbom() -> list[str]:
    return [line for line in shown_commands() if line.startswith("mbom ")]


def commands(command: click.Command = cli, name: str = "mbom") -> Iterator[tuple[str, click.Command]]:
    """Yield every command with what a user types for it."""
    yield name, command
    if isinstance(command, click.Group):
        for inner, held in command.commands.items():
            yield from commands(held, f"{name} {inner}")


COMMANDS = dict(commands())


def command_of(line: str) -> str:
    """Return the command that a line calls, without its arguments."""
    return max((name for name in COMMANDS if f"{line} ".startswith(f"{name} ")), key=len)


def examples(command: click.Command) -> list[str]:
    """Return the lines that the help of a command shows, without the words that some have behind them."""
    _, _, shown = (command.help or "").partition("Example")
    return [re.split(r"\s{2,}", line.strip())[0] for line in shown.splitlines() if line.strip().startswith("mbom ")]


HELP = [(name, line) for name, command in COMMANDS.items() for line in examples(command)]


def test_the_readme_shows_every_command() -> None:
    groups = {name for name, command in COMMANDS.items() if isinstance(command, click.Group)}
    assert {command_of(line) for line in of_mbom()} == COMMANDS.keys() - groups


def test_the_help_of_every_command_shows_an_example_of_it() -> None:
    assert {name for name, line in HELP if command_of(line).startswith(name)} == COMMANDS.keys()


@pytest.mark.parametrize("line", [*of_mbom(), *(line for _, line in HELP)])
def test_a_shown_command_is_one_that_the_program_takes(line: str) -> None:
    name = command_of(line)
    arguments = shlex.split(line.removeprefix(name).replace("<commit>", "a" * 40))
    with COMMANDS[name].make_context(name, arguments, parent=click.Context(cli)) as context:
        assert context.params


def test_the_make_targets_exist() -> None:
    makefile = (Path(__file__).parent.parent / "Makefile").read_text(encoding="utf-8")
    targets = {line.split()[1] for line in shown_commands() if line.startswith("make ")}
    assert targets
    for target in targets | set(re.findall(r"`make ([\w-]+)`", README)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_the_table_of_checks_is_the_procedure() -> None:
    rows = re.findall(r"^\| (\d+) \| `([\w-]+)` \|", README, re.MULTILINE)
    assert [(int(number), step) for number, step in rows] == list(enumerate(STEPS, start=1))


def test_the_table_of_members_is_the_bundle() -> None:
    rows = set(re.findall(r"^\| `([\w.<>/]+)` \|", README, re.MULTILINE))
    assert rows == {*bundle.MEMBERS, bundle.shard_member("<file>")}


def test_the_exit_statuses_are_those_of_the_errors() -> None:
    def below(kind: type[MbomError]) -> set[int]:
        return {kind.exit_code}.union(*(below(child) for child in kind.__subclasses__()))

    listed = {int(number) for number in re.findall(r"^\| (\d+) \| [a-z]", README, re.MULTILINE)}
    assert below(MbomError) | {0, 130} == listed


def test_every_measurable_model_type_is_named() -> None:
    from mbom.engine.stock import FAMILIES

    paragraph = README.partition("Behaviour is measured for these model types:")[2].partition("\n\n")[0]
    assert set(re.findall(r"`(\w+)`", paragraph)) == FAMILIES


# ---- what is shown of the output is what is printed ----


def shown_output(first: str) -> list[str]:
    """Return the lines of the one block that begins with ``first``."""
    blocks = re.findall(r"^```\w*\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    (block,) = (text for text in blocks if text.startswith(first))
    return [line for line in block.splitlines() if line.strip() != "…"]


def test_the_demo_prints_what_is_shown(attested: Scene) -> None:
    steps = {check.id: f"{check.outcome}  {check.detail}" for check in attested.verify().checks}
    shown = dict(re.findall(r"^ ?\d+ ([\w-]+) +(\w+  .*)$", "\n".join(shown_output("tiny-gpt-oss ·")), re.MULTILINE))
    assert shown.keys() == steps.keys()
    own = {"signature", "behaviour"}  # the key of that day, and a step that is not made here
    assert {step: line for step, line in shown.items() if step not in own} == {
        step: line for step, line in steps.items() if step not in own
    }


def test_the_coverage_of_the_bundled_checkpoint_is_what_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = survey(FolderSource(FIXTURE))
    said = bom.Affidavit(author=bom.Author(name="Example Labs", email="bom@example.org"))
    path = tmp_path / "bom.json"
    path.write_bytes(
        bom.build(
            inventory=seen.inventory,
            facts=seen.facts,
            behaviour=None,
            tool_version="1",
            created=CREATED,
            said=said,
        )
    )
    assert run(["bom", "coverage", str(path), "--standard", "cisa"]) == 0
    printed = capsys.readouterr().out.splitlines()
    for line in shown_output("2025 Minimum Elements"):
        assert any(full == line or (line.endswith("…") and full.startswith(line[:-1])) for full in printed), line


def test_a_diff_tells_what_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tuned = Path(shutil.copytree(FIXTURE, tmp_path / "tuned"))
    for name, before, after in (
        ("config.json", '"sliding_window": 32', '"sliding_window": 64'),
        ("chat_template.jinja", "You are tiny-gpt-oss.", "You are a helpful tutor."),
    ):
        text = (tuned / name).read_text(encoding="utf-8")
        (tuned / name).write_text(text.replace(before, after), encoding="utf-8")
    assert run(["diff", str(FIXTURE), str(tuned), "--no-weights"]) == 0
    printed = [line for line in capsys.readouterr().out.splitlines() if line]
    assert [line for line in printed if line in shown_output("before ")] == [
        line for line in shown_output("before ") if line
    ]


def test_every_explanation_is_named() -> None:
    assert dict(re.findall(r"^- `([a-z-]+)`: (.+)$", README, re.MULTILINE)).items() >= EXPLANATIONS.items()


def test_an_edit_is_told_as_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name, row, column = "model.layers.1.self_attn.o_proj.weight", 3, 5
    edited = Path(shutil.copytree(FIXTURE, tmp_path / "suspicious"))
    shard = edited / json.loads((edited / "model.safetensors.index.json").read_bytes())["weight_map"][name]
    data = bytearray(shard.read_bytes())
    start = 8 + int.from_bytes(data[:8], "little")
    entry = json.loads(data[8:start])[name]
    data[start + entry["data_offsets"][0] + 2 * (row * entry["shape"][1] + column) + 1] ^= 1 << 5
    shard.write_bytes(data)
    assert run(["diff", str(FIXTURE), str(edited)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert [line for line in printed if line in shown_output("Explanation ")] == shown_output("Explanation ")


def test_the_policy_that_is_shown_decides_as_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = re.findall(r"^```yaml\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    (shown,) = (text for text in blocks if "signers" in text)
    (tmp_path / "mbom.yaml").write_text(shown)
    shutil.copytree(FIXTURE.parent / "bundles" / "v3", tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(clock, "now", lambda: CREATED)
    assert run(["policy", "check", "mbom.yaml", "tiny-gpt-oss.mbom"]) == 1
    assert capsys.readouterr().out.splitlines() == shown_output("waived ")


def test_the_mistakes_of_others_are_told_as_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    commit = "6cee5e81ee83917806bbde320786a8fb61efebee"
    model = {
        "type": "machine-learning-model",
        "name": "gpt-oss-20b",
        "version": commit,
        "hashes": [{"alg": "SHA-1", "content": commit}],
        "tags": ["license:apache-2.0"],
        "licenses": [{"license": {"name": "other"}}],
    }
    path = tmp_path / "theirs.cdx.json"
    path.write_text(json.dumps({"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "components": [model]}))
    assert run(["bom", "validate", str(path)]) == 1
    assert capsys.readouterr().out.splitlines() == shown_output("advice ")


def test_a_lock_file_looks_as_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    published = FIXTURE.parent / "bundles" / "v3"
    shutil.copytree(published / "tiny-gpt-oss.mbom", tmp_path / "evidence" / "tiny-gpt-oss.mbom")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1795250000")
    key = str(published / "release.pub")
    assert run(["lock", "add", "evidence/tiny-gpt-oss.mbom", str(FIXTURE), "--key", key]) == 0
    written = (tmp_path / "mbom.lock").read_text(encoding="utf-8").splitlines()
    assert written[written.index("[[model]]") :] == shown_output("[[model]]")


def test_a_copy_with_one_weight_moved_is_identified_as_shown(
    records: Records, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(records.bundle.parent)
    assert run(["identify", str(records.bent), "--against", "tiny.mbom", "--record", str(records.of_bent)]) == 0
    assert capsys.readouterr().out.splitlines() == shown_output("outcome ")
