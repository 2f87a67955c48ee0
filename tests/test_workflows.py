"""The workflows: nothing for zizmor to find, and only the publishing job can prove who it is."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))


def zizmor(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [
        str(Path(sys.executable).with_name("zizmor")),
        "--offline",
        "--persona",
        "pedantic",
        "--no-progress",
        str(folder),
    ]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def jobs(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    found: dict[str, Any] = document["jobs"]
    return found


def test_zizmor_has_nothing_to_find() -> None:
    result = zizmor(GITHUB)
    assert result.returncode == 0, result.stdout
    assert "No findings" in result.stdout


def test_zizmor_is_looking(tmp_path: Path) -> None:
    folder = tmp_path / ".github" / "workflows"
    folder.mkdir(parents=True)
    text = (GITHUB / "workflows" / "ci.yml").read_text(encoding="utf-8")
    bad = text.replace("bash .ci/run", "echo ${{ github.event.pull_request.title }}")
    (folder / "ci.yml").write_text(bad, encoding="utf-8")
    assert "template-injection" in zizmor(tmp_path / ".github").stdout


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_every_action_is_pinned_by_commit_with_its_version_beside_it(path: Path) -> None:
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if "uses:" in line]
    assert lines
    for line in lines:
        assert re.search(r"uses: [\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line), line


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_no_script_holds_an_expression(path: Path) -> None:
    scripts = [step["run"] for job in jobs(path).values() for step in job["steps"] if "run" in step]
    assert scripts
    assert not any("${{" in script for script in scripts)


def test_only_the_publishing_job_gets_an_identity_and_it_runs_no_code_of_the_repository() -> None:
    holders = {
        (path.stem, name)
        for path in WORKFLOWS
        for name, job in jobs(path).items()
        if job["permissions"].get("id-token") == "write"
    }
    assert holders == {("release", "publish")}
    publish = jobs(GITHUB / "workflows" / "release.yml")["publish"]
    assert publish["environment"]["name"] == "pypi"
    assert not any("checkout" in step.get("uses", "") for step in publish["steps"])


def test_one_action_has_one_commit_everywhere() -> None:
    pins: dict[str, set[str]] = {}
    for path in WORKFLOWS:
        for action, commit in re.findall(r"uses: ([^@]+)@([0-9a-f]{40})", path.read_text(encoding="utf-8")):
            pins.setdefault(action, set()).add(commit)
    assert {action: commits for action, commits in pins.items() if len(commits) > 1} == {}
