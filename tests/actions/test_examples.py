"""The README's workflows are ones to copy: nothing for zizmor to find, and they use what is there."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from actions.conftest import ACTIONS, ROOT, PullRequests

README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLES = {
    match[1]: match[0].replace("@<commit>", f"@{'a' * 40}")
    for match in re.finditer(r"^name: (\w+)\n\non:.*?(?=^```$)", README, re.DOTALL | re.MULTILINE)
}
PINS = set(re.findall(r"uses: (.*)", "".join(path.read_text() for path in (ROOT / ".github/workflows").glob("*.yml"))))
OURS = re.compile(r"mbom/mbom/\.github/actions/(?P<action>\w+)@[0-9a-f]{40}")


def steps(name: str) -> list[dict[str, Any]]:
    document = yaml.safe_load(EXAMPLES[name])
    return [step for job in document["jobs"].values() for step in job["steps"]]


def test_there_is_one_for_pull_requests_and_one_for_releases() -> None:
    assert EXAMPLES.keys() == {"models", "release"}


@pytest.mark.parametrize("name", EXAMPLES)
def test_zizmor_has_nothing_to_find(name: str, tmp_path: Path) -> None:
    folder = tmp_path / ".github" / "workflows"
    folder.mkdir(parents=True)
    (folder / f"{name}.yml").write_text(EXAMPLES[name], encoding="utf-8")
    command = [str(Path(sys.executable).with_name("zizmor")), "--offline", "--persona", "pedantic", "--no-progress"]
    done = subprocess.run([*command, str(tmp_path / ".github")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "No findings" in done.stdout


@pytest.mark.parametrize("name", EXAMPLES)
def test_it_gives_inputs_and_takes_outputs_that_the_actions_have(name: str) -> None:
    held = {}
    for step in steps(name):
        ours = OURS.fullmatch(step.get("uses", ""))
        if ours is None:
            assert any(pin.startswith(step["uses"]) for pin in PINS), step["uses"]
            continue
        action = yaml.safe_load((ACTIONS / ours["action"] / "action.yml").read_text(encoding="utf-8"))
        assert step.get("with", {}).keys() <= action["inputs"].keys()
        required = {key for key, item in action["inputs"].items() if item["required"]}
        assert required <= step.get("with", {}).keys()
        held[step.get("id")] = action["outputs"].keys()
    assert held
    for step, output in re.findall(r"steps\.([\w-]+)\.outputs\.([\w-]+)", EXAMPLES[name]):
        assert output in held[step]


def test_the_gate_prints_what_is_shown(
    pull_requests: PullRequests, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from mbom.cli import run

    (block,) = re.findall(r"^```\n(mbom\.lock in .*?)^```$", README, re.DOTALL | re.MULTILINE)
    monkeypatch.chdir(pull_requests.product.repo.root)
    head = pull_requests.heads["licence narrowed"]
    assert run(["gate", f"--base={pull_requests.base}", f"--head={head}"]) == 1
    printed = [line for line in capsys.readouterr().out.splitlines() if line]
    shown = block.splitlines()
    assert len(printed) == len(shown)
    for there, line in zip(printed, shown, strict=True):
        assert there == line or (line.endswith("…") and there.startswith(line[:-1])), line
