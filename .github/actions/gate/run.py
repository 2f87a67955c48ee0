"""The gate as a step of a workflow: read the inputs, run `mbom gate` once, write outputs, summary and annotations.

Run it with `python -I` by the interpreter that has mbom, in the checkout to judge. Nothing of that checkout is
imported or executed, and nothing that mbom prints is taken for a command by the runner, except the annotations.
"""

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

EVENT_LIMIT = 32 << 20  # bytes; GitHub's payloads have at most 25 MB
SAID_LIMIT = 20_000  # characters of what mbom says of an error
COMMIT = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")
NOTHING = re.compile("0+")  # the commit before a branch was there

# Inputs that are options of the same name. One that is empty was not given, so that the configuration decides.
OPTIONS = ("lock", "policy", "key", "identity", "issuer", "trust-config", "fail-on")


def given(name: str) -> str:
    """Return an input; empty where it was not given."""
    return os.environ.get("MBOM_" + name.upper().replace("-", "_"), "").strip()


def ends() -> tuple[str, str]:
    """Return the commits to compare: those of the inputs, or else those of the event."""
    base, head = _of_event(os.environ.get("GITHUB_EVENT_NAME", ""), _event())
    found = given("base") or base, given("head") or head
    if not all(found) or any(NOTHING.fullmatch(commit) for commit in found):
        sys.exit("mbom gate: this event has no two commits to compare; give the inputs base and head")
    return found


def _of_event(name: str, event: Mapping[str, Any]) -> tuple[str, str]:
    """Return base and head as an event has them."""
    commit = os.environ.get("GITHUB_SHA", "")
    if name == "pull_request":
        base, head = (_text(event, "pull_request", end, "sha") for end in ("base", "head"))
        return _merged_into(commit, head) or base, commit  # the merge, as it would be
    if name == "pull_request_target":  # there, GITHUB_SHA is the base itself
        return _text(event, "pull_request", "base", "sha"), _text(event, "pull_request", "head", "sha")
    if name == "merge_group":
        return _text(event, "merge_group", "base_sha"), _text(event, "merge_group", "head_sha")
    if name == "push":
        return _text(event, "before"), commit
    return "", commit


def _merged_into(commit: str, head: str) -> str | None:
    """Return what a head is merged into by a commit; None where the commit is no such merge, or not at hand.

    The base of the event is that of the last push to the pull request. Where main has moved on since, its policy and
    its lock file are others, and the merge is into those.
    """
    git = shutil.which("git")
    if git is None or COMMIT.fullmatch(commit) is None:
        return None
    kept = {name: os.environ[name] for name in ("HOME", "PATH") if name in os.environ}
    done = subprocess.run(
        [git, "-c", "core.fsmonitor=false", "cat-file", "commit", commit],
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=kept | {"GIT_NO_REPLACE_OBJECTS": "1", "GIT_NO_LAZY_FETCH": "1", "GIT_ALLOW_PROTOCOL": "none"},
    )
    header = done.stdout.partition(b"\n\n")[0].decode("ascii", "replace").splitlines()
    parents = [line.removeprefix("parent ") for line in header if line.startswith("parent ")]
    return parents[0] if done.returncode == 0 and len(parents) == 2 and parents[1] == head else None


def _event() -> Mapping[str, Any]:
    path = os.environ.get("GITHUB_EVENT_PATH", "")
    if not path:
        return {}
    with Path(path).open("rb") as file:
        event = json.loads(file.read(EVENT_LIMIT))
    return event if isinstance(event, dict) else {}


def _text(found: Any, *names: str) -> str:  # noqa: ANN401  # a payload has any shape
    for name in names:
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, str) else ""


def arguments(scratch: Path, sarif: Path) -> list[str]:
    """Return the command line of `mbom gate`."""
    base, head = ends()
    files = {
        "--json": scratch / "gate.json",
        "--markdown": scratch / "gate.md",
        "--annotations": scratch / "gate.txt",
        "--sarif": sarif,
    }
    # One word each, so that no value is taken for an option.
    return [
        "gate",
        f"--base={base}",
        f"--head={head}",
        *(f"--{name}={given(name)}" for name in OPTIONS if given(name)),
        *(f"{option}={path}" for option, path in files.items()),
    ]


def place(text: str, scratch: Path) -> Path:
    """Return where the SARIF file goes; a checkout can hold links, and what they lead to is not overwritten."""
    if not text:
        return scratch / "gate.sarif"
    path = Path(text).absolute()
    allowed = [Path(os.environ[name]).resolve() for name in ("GITHUB_WORKSPACE", "RUNNER_TEMP") if name in os.environ]
    parent = path.parent.resolve()
    if path.is_symlink() or not any(parent.is_relative_to(folder) for folder in allowed):
        sys.exit("mbom gate: sarif-file is a link, or lies outside of the workspace")
    return parent / path.name


def run(command: list[str]) -> tuple[int, str]:
    """Run mbom, and return its status and what it said of an error.

    Both go to the log, where the runner looks for no commands meanwhile.
    """
    token = secrets.token_hex(16)
    print(f"::stop-commands::{token}", flush=True)
    try:
        done = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        said = done.stderr.decode("utf-8", "replace")
        print(said, flush=True)
    finally:
        print(f"\n::{token}::", flush=True)
    return done.returncode, said


def failed(status: int, said: str) -> None:
    """Tell that there is no review, and why, in a block of code that nothing in it can end."""
    result = "refused" if status == 1 else "incomplete"
    text = "\n".join(f"    {line}" for line in said[-SAID_LIMIT:].splitlines() if line.strip())
    mark = "❌ REFUSED" if status == 1 else "⚠️ INCOMPLETE"
    write("GITHUB_OUTPUT", f"result={result}\nmodels=[]\n")
    write("GITHUB_STEP_SUMMARY", f"## {mark}: mbom could not judge\n\n{text or '    the log of the step says why'}\n")


def outputs(scratch: Path, sarif: Path) -> Iterator[tuple[str, str]]:
    """Yield the outputs of the step."""
    review = json.loads((scratch / "gate.json").read_bytes())
    models = [
        {
            "model": item["model"],
            "outcome": item["decision"]["outcome"],
            "kinds": item["kinds"],
            "old": item["old"] and item["old"]["revision"],
            "new": item["new"] and item["new"]["revision"],
        }
        for item in review["models"]
    ]
    yield "result", review["outcome"]
    yield "models", json.dumps(models)
    yield "summary", str(scratch / "gate.md")
    yield "sarif", str(sarif)


def write(variable: str, text: str) -> None:
    """Append to one of the runner's files."""
    path = os.environ.get(variable)
    if path:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(text)


def main() -> int:
    """Run the gate and tell the runner what came of it."""
    scratch = Path(tempfile.mkdtemp(prefix="mbom-gate-", dir=os.environ.get("RUNNER_TEMP")))
    sarif = place(given("sarif-file"), scratch)
    status, said = run([sys.executable, "-I", "-m", "mbom", *arguments(scratch, sarif)])
    if not (scratch / "gate.txt").exists():
        failed(status, said)
        return status or 3
    print((scratch / "gate.txt").read_text(encoding="utf-8"), end="", flush=True)
    for name, value in outputs(scratch, sarif):
        end = secrets.token_hex(16)
        write("GITHUB_OUTPUT", f"{name}<<{end}\n{value}\n{end}\n")
    write("GITHUB_STEP_SUMMARY", (scratch / "gate.md").read_text(encoding="utf-8"))
    return status


if __name__ == "__main__":
    sys.exit(main())
