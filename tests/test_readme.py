"""The README speaks of the program that is here: its commands parse, its tables are those of the code."""

import re
import shlex
from pathlib import Path

import click
import pytest

from mbom import bundle
from mbom.cli import cli
from mbom.errors import MbomError
from mbom.verdict import STEPS

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def shown_commands() -> list[str]:
    """Return every command line of the README's console blocks, with continued lines joined and comments cut."""
    blocks = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line.removeprefix("$ ").partition(" #")[0].strip() for line in lines if line.startswith("$ ")]


def of_mbom() -> list[str]:
    return [line for line in shown_commands() if line.startswith("mbom ")]


def test_the_readme_shows_every_command() -> None:
    assert {shlex.split(line)[1] for line in of_mbom()} >= set(cli.commands)


@pytest.mark.parametrize("line", of_mbom())
def test_a_shown_command_is_one_that_the_program_takes(line: str) -> None:
    _, name, *arguments = shlex.split(line.replace("<commit>", "a" * 40))
    command = cli.commands[name]
    while isinstance(command, click.Group):
        command = command.commands[arguments.pop(0)]
    with command.make_context(name, arguments, parent=click.Context(cli)) as context:
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
