"""The actions' own files: what their format allows, pinned, without expressions in scripts, as documented."""

import json
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from actions.conftest import ACTIONS, ROOT

FILES = sorted(ACTIONS.glob("*/action.yml"))
SCHEMA = json.loads((ROOT / "tests" / "gate" / "schemas" / "github-action.json").read_bytes())


def action(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_it_is_what_the_format_says(path: Path) -> None:
    jsonschema.Draft7Validator(SCHEMA).validate(action(path))


def test_the_validator_is_looking() -> None:
    broken = action(FILES[0])
    del broken["runs"]["steps"][1]["shell"]
    assert not jsonschema.Draft7Validator(SCHEMA).is_valid(broken)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_no_script_holds_an_expression_and_no_input_has_a_default(path: Path) -> None:
    read = action(path)
    scripts = [step["run"] for step in read["runs"]["steps"] if "run" in step]
    assert scripts
    assert not any("${{" in script for script in scripts)
    assert not any("default" in held for held in read["inputs"].values())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_every_action_that_it_uses_is_pinned_as_in_the_workflows(path: Path) -> None:
    used = re.findall(r"uses: (.*)", path.read_text(encoding="utf-8"))
    workflows = "".join(item.read_text(encoding="utf-8") for item in (ROOT / ".github" / "workflows").glob("*.yml"))
    assert used
    for line in used:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)
        assert line in workflows


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_every_input_reaches_the_script(path: Path) -> None:
    read = action(path)
    handed = " ".join(str(value) for step in read["runs"]["steps"] for value in step.get("env", {}).values())
    conditions = " ".join(str(step.get("if", "")) for step in read["runs"]["steps"])
    for name in read["inputs"]:
        assert f"inputs.{name} " in f"{handed} {conditions}".replace("}}", " ")


def test_only_the_step_that_comments_gets_a_token() -> None:
    steps = action(ACTIONS / "gate" / "action.yml")["runs"]["steps"]
    holders = [step.get("name") for step in steps if "github.token" in json.dumps(step)]
    assert holders == ["Comment on the pull request"]


def test_what_is_installed_is_in_the_lock_and_the_engine_only_for_attesting() -> None:
    lock = (ROOT / ".ci" / "lock.txt").read_text(encoding="utf-8")

    def needed(*words: str) -> set[str]:
        command = [sys.executable, str(ROOT / ".ci" / "lock.py"), "requirements", *words]
        lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
        return {re.split(r"[\[<>=~! ]", line)[0].lower() for line in lines}

    bare, measuring = needed("--only"), needed("--only", "engine")
    assert measuring - bare == {"torch", "transformers", "tokenizers"}
    assert needed() == measuring
    for name in bare | needed("--only", "cel"):  # rules of a policy can be in CEL
        assert re.search(rf"^{re.escape(name)}==", lock, re.MULTILINE | re.IGNORECASE), name


def test_a_version_without_a_digest_is_refused(tmp_path: Path) -> None:
    install = runpy.run_path(str(ACTIONS / "install.py"))["install"]
    for version in ("1.2.3", "1.2.3@sha256:abc", "1.2.3@sha256:" + "a" * 64 + " --index-url=x", "latest"):
        with pytest.raises(SystemExit, match="it must be such as"):
            install(tmp_path, [], version)
    assert not list(tmp_path.iterdir())
