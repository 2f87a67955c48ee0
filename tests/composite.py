"""Running the steps of a composite action as a runner of GitHub does, from its own action.yml.

What is imitated is what the documentation of GitHub says of composite actions: inputs, outputs of steps, `if`, the
environment of a `run` step, the files that it writes to, and `bash --noprofile --norc -e -o pipefail`. Of expressions
only what our actions use is known, and anything else is an error of the test. Nothing is downloaded: steps that are
given to ``run_action`` as replaced, the ones that install things, only have the outputs that they would have had.
"""

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

_EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")
_REFERENCE = re.compile(r"(?:inputs|github)\.[\w-]+|steps\.[\w-]+\.(?:outputs\.[\w-]+|outcome)")
_COMPARED = re.compile(r"(?P<left>\S+) (?P<sign>==|!=) '(?P<right>[^']*)'")
_FUNCTIONS = ("always()", "!cancelled()", "success()", "failure()")


@dataclass
class Job:
    """Where an action runs: the runner's folders, the checkout, the event."""

    temp: Path
    workspace: Path
    environment: dict[str, str]
    github: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Ran:
    """What an action came to."""

    failed: bool
    status: dict[str, int]
    outputs: dict[str, str]
    summary: str
    log: str
    skipped: tuple[str, ...]


class _Scope:
    """What expressions can refer to."""

    def __init__(self, inputs: Mapping[str, str], github: Mapping[str, str]) -> None:
        self.inputs = inputs
        self.github = github
        self.outputs: dict[str, dict[str, str]] = {}
        self.failed = False

    def filled(self, text: str) -> str:
        """Return a value with its expressions evaluated."""
        return _EXPRESSION.sub(lambda match: self._value(match[1]), text)

    def holds(self, condition: str) -> bool:
        """Evaluate an `if`, which means `success()` as well where it calls no status function."""
        expression = condition.strip()
        whole = _EXPRESSION.fullmatch(expression)
        parts = (whole[1] if whole else expression).split(" && ")
        implied = True if any(part in _FUNCTIONS for part in parts) else not self.failed
        return implied and all(self._part(part) for part in parts)

    def _part(self, part: str) -> bool:
        if part in _FUNCTIONS:
            return {"success()": not self.failed, "failure()": self.failed}.get(part, True)
        match = _COMPARED.fullmatch(part)
        assert match is not None, f"the runner of the tests does not know the condition {part!r}"
        same = self._value(match["left"]).casefold() == match["right"].casefold()
        return same == (match["sign"] == "==")

    def _value(self, expression: str) -> str:
        assert _REFERENCE.fullmatch(expression), f"the runner of the tests does not know {expression!r}"
        context, *path = expression.split(".")
        if context == "inputs":
            assert path[0] in self.inputs, f"the action has no input {path[0]!r}"
            return self.inputs[path[0]]
        if context == "github":
            return self.github.get(path[0], "")
        return self.outputs.get(path[0], {}).get(path[-1], "")


def run_action(folder: Path, job: Job, *, inputs: Mapping[str, str], replaced: Mapping[str, Mapping[str, str]]) -> Ran:
    """Run an action.

    Args:
        folder: that holds action.yml.
        job: where it runs.
        inputs: what the workflow gives.
        replaced: the outputs of steps that are not run, by their ids; every step that uses another action is one.
    """
    action = yaml.safe_load((folder / "action.yml").read_text(encoding="utf-8"))
    declared: Mapping[str, Mapping[str, Any]] = action["inputs"]
    assert inputs.keys() <= declared.keys(), f"unknown inputs: {inputs.keys() - declared.keys()}"
    given = {name: inputs.get(name, str(held.get("default", ""))) for name, held in declared.items()}
    scope = _Scope(given, job.github)
    status: dict[str, int] = {}
    logs, skipped, summary = [], [], ""
    for number, step in enumerate(action["runs"]["steps"]):
        name = step.get("id", step.get("name", str(number)))
        if name in replaced:
            scope.outputs[name] = dict(replaced[name])
            continue
        assert "uses" not in step, f"step {name} uses another action, and nothing replaces it"
        if not scope.holds(step.get("if", "success()")):
            skipped.append(name)
            continue
        done, scope.outputs[name], text = _run(step, folder, job, scope, number)
        status[name] = done.returncode
        scope.failed |= done.returncode != 0
        logs.append(done.stdout)
        summary += text
    outputs = {name: scope.filled(held["value"]) for name, held in action["outputs"].items()}
    return Ran(
        failed=scope.failed,
        status=status,
        outputs=outputs,
        summary=summary,
        log="".join(logs),
        skipped=tuple(skipped),
    )


def _run(
    step: Mapping[str, Any], folder: Path, job: Job, scope: _Scope, number: int
) -> tuple[subprocess.CompletedProcess[str], dict[str, str], str]:
    """Run one step; return what it said, its outputs, and its summary."""
    assert step["shell"] == "bash"
    assert "${{" not in step["run"], "an expression in a script is an injection"
    work = job.temp / f"step-{number}"
    work.mkdir()
    files = {name: work / name.lower() for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY", "GITHUB_ENV")}
    for path in files.values():
        path.touch()
    (work / "script.sh").write_text(step["run"], encoding="utf-8")
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", str(work / "script.sh")],
        cwd=job.workspace,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(job.temp),
            **{f"GITHUB_{name.upper()}": value for name, value in job.github.items() if name != "token"},
            "GITHUB_ACTION_PATH": str(folder),
            "GITHUB_WORKSPACE": str(job.workspace),
            "RUNNER_TEMP": str(job.temp),
            **job.environment,
            **{name: str(path) for name, path in files.items()},
            **{name: scope.filled(str(value)) for name, value in step.get("env", {}).items()},
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    assert files["GITHUB_ENV"].read_text() == "", "nothing of the job's environment is changed"
    return done, _outputs(files["GITHUB_OUTPUT"].read_text()), files["GITHUB_STEP_SUMMARY"].read_text()


def _outputs(text: str) -> dict[str, str]:
    """Read `name=value` lines and `name<<END` blocks."""
    found: dict[str, str] = {}
    lines = iter(text.splitlines())
    for line in lines:
        name, block, end = line.partition("<<")
        if block and "=" not in name:
            held = []
            for inner in lines:
                if inner == end:
                    break
                held.append(inner)
            else:
                raise AssertionError(f"the output {name} has no end")
            found[name] = "\n".join(held)
        else:
            name, sign, value = line.partition("=")
            assert sign, f"{line!r} is no output"
            found[name] = value
    return found
