"""The action of the gate on a real repository: green and red on the right histories, with the reason in the summary."""

import json
import runpy
from collections.abc import Mapping
from pathlib import Path

import pytest
from actions.conftest import ACTIONS, PullRequests
from composite import Job, Ran, run_action
from gitrepos import GitRepo

GATE = ACTIONS / "gate"


def job(pull_requests: PullRequests, head: str, root: Path, event: Mapping[str, object] | None = None) -> Job:
    """Return a job of a pull request whose checkout is that of ``head``."""
    root.mkdir(exist_ok=True)
    copy = pull_requests.product.copy(root)
    copy.repo.git("switch", "--quiet", "--force", "--detach", head)
    (root / "temp").mkdir()
    payload = event or {"pull_request": {"number": 7, "base": {"sha": pull_requests.base}, "head": {"sha": head}}}
    (root / "event.json").write_text(json.dumps(payload), encoding="utf-8")
    github = {
        "event_name": "pull_request",
        "event_path": str(root / "event.json"),
        "sha": head,
        "repository": "acme/product",
        "token": "ghs_secretsecretsecretsecret",
    }
    made = Job(temp=root / "temp", workspace=copy.repo.root, environment={}, github=github)
    plant(made)
    return made


def plant(where: Job) -> None:
    """Put code into the checkout that ends whatever imports or runs it; no test would pass if any of it ran."""
    for name in ("mbom/__init__.py", "click.py", "json.py", "sitecustomize.py", "subprocess.py", "run.py"):
        path = where.workspace / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("import os\nos._exit(99)\n", encoding="utf-8")
    where.environment["PYTHONPATH"] = str(where.workspace)


def gate(where: Job, installed: Path, inputs: Mapping[str, str] | None = None) -> Ran:
    seam = {"python": {"python-path": str(installed)}, "install": {"python": str(installed)}}
    return run_action(GATE, where, inputs=inputs or {}, replaced=seam)


def test_a_clean_upgrade_is_green(pull_requests: PullRequests, installed: Path, tmp_path: Path) -> None:
    ran = gate(job(pull_requests, pull_requests.heads["clean upgrade"], tmp_path), installed)
    assert not ran.failed, ran.log
    assert ran.outputs["result"] == "allowed"
    assert json.loads(ran.outputs["models"]) == [
        {"model": "acme/tiny", "outcome": "allowed", "kinds": ["upgraded"], "old": "11" * 20, "new": "22" * 20}
    ]
    assert ran.summary.startswith("## ✅ ALLOWED")
    assert "model-00002-of-00003.safetensors" in ran.summary  # what changed is shown
    assert Path(ran.outputs["summary"]).read_text(encoding="utf-8") == ran.summary
    assert json.loads(Path(ran.outputs["sarif"]).read_bytes())["version"] == "2.1.0"


def test_a_model_that_changed_in_place_is_red_and_says_so(
    pull_requests: PullRequests, installed: Path, tmp_path: Path
) -> None:
    ran = gate(job(pull_requests, pull_requests.heads["changed in place"], tmp_path), installed)
    assert ran.status == {"gate": 1}
    assert ran.outputs["result"] == "refused"
    assert ran.summary.index("CHANGED IN PLACE") < ran.summary.index("What to do:") < ran.summary.index("Do not merge")
    assert "::error file=mbom.lock,line=6,title=acme/tiny%3A changed-in-place::CHANGED IN PLACE" in ran.log


def test_a_narrower_licence_is_red_with_the_restriction_in_words(
    pull_requests: PullRequests, installed: Path, tmp_path: Path
) -> None:
    ran = gate(job(pull_requests, pull_requests.heads["licence narrowed"], tmp_path), installed)
    assert ran.status == {"gate": 1}
    assert ran.outputs["result"] == "refused"
    assert "Above a number of users" in ran.summary
    assert "700000000" in ran.summary
    assert "What to do:" in ran.summary
    assert "mbom.yaml:3" in ran.summary  # the rule that says so


def test_a_checkout_that_lacks_the_base_says_what_to_do(
    pull_requests: PullRequests, installed: Path, tmp_path: Path
) -> None:
    event = {"pull_request": {"number": 7, "base": {"sha": "ab" * 20}}}
    ran = gate(job(pull_requests, pull_requests.heads["clean upgrade"], tmp_path, event), installed)
    assert ran.status == {"gate": 3}
    assert ran.outputs["result"] == "incomplete"
    assert "fetch-depth: 0" in ran.summary


def test_a_policy_that_main_has_by_now_decides(pull_requests: PullRequests, installed: Path, tmp_path: Path) -> None:
    """The base of the event is as old as the last push to the pull request; the merge has main as it is."""
    head = pull_requests.heads["clean upgrade"]
    where = job(pull_requests, head, tmp_path)
    repo = GitRepo(root=where.workspace)
    repo.git("switch", "--quiet", "--force", "main")
    policy = where.workspace / "mbom.yaml"
    stricter = policy.read_text(encoding="utf-8").replace("frozen: [tokenizer]", "frozen: [tokenizer, weights]")
    policy.write_text(stricter, encoding="utf-8")
    repo.git("commit", "--quiet", "--message", "Be stricter", "mbom.yaml")
    repo.git("merge", "--quiet", "--no-edit", head)
    where.github["sha"] = repo.git("rev-parse", "HEAD")
    ran = gate(where, installed)
    assert ran.status == {"gate": 1}
    assert "weights is frozen" in ran.summary


def test_inputs_say_what_an_event_does_not(pull_requests: PullRequests, installed: Path, tmp_path: Path) -> None:
    where = job(pull_requests, pull_requests.heads["changed in place"], tmp_path, {"action": "nothing"})
    where.github["event_name"] = "workflow_dispatch"
    ran = gate(where, installed)
    assert ran.failed
    assert "give the inputs base and head" in ran.log
    (where.temp / "step-2").rename(where.temp / "before")
    again = gate(where, installed, {"base": pull_requests.base, "fail-on": "never", "sarif-file": "gate.sarif"})
    assert not again.failed
    assert again.outputs["result"] == "refused"
    assert (where.workspace / "gate.sarif").is_file()


@pytest.mark.parametrize("path", ["gate.sarif", "folder/gate.sarif", "../gate.sarif"])
def test_a_link_of_the_checkout_is_not_written_through(
    pull_requests: PullRequests, installed: Path, tmp_path: Path, path: str
) -> None:
    where = job(pull_requests, pull_requests.heads["clean upgrade"], tmp_path)
    (tmp_path / "outside").mkdir()
    (where.workspace / "gate.sarif").symlink_to(tmp_path / "outside" / "gate.sarif")
    (where.workspace / "folder").symlink_to(tmp_path / "outside")
    assert gate(where, installed, {"sarif-file": path}).failed
    assert not list((tmp_path / "outside").iterdir())


HOSTILE = {
    "lock": "mbom.lock --policy=/dev/null\n::error::owned",
    "policy": "$(touch owned); `touch owned`",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_an_input_is_one_value_and_nothing_else(
    pull_requests: PullRequests, installed: Path, tmp_path: Path, name: str
) -> None:
    where = job(pull_requests, pull_requests.heads["clean upgrade"], tmp_path)
    ran = gate(where, installed, {name: HOSTILE[name]})
    assert ran.failed or ran.outputs["result"] != "allowed"
    assert not list(where.workspace.glob("owned*"))
    live = _live(ran.log)
    assert not any("owned" in line for line in live if line.startswith("::"))


def _live(log: str) -> list[str]:
    """Return the lines that the runner would read commands in: all but those between stop-commands and its token."""
    found, until = [], None
    for line in log.splitlines():
        if until is not None:
            until = None if line == f"::{until}::" else until
        elif line.startswith("::stop-commands::"):
            until = line.removeprefix("::stop-commands::")
        else:
            found.append(line)
    assert until is None
    return found


EVENTS = {
    "pull_request": ({"pull_request": {"base": {"sha": "b"}, "head": {"sha": "h"}}}, ("b", "merge")),
    # There, the commit of the event is the base itself, and judging it would always be green.
    "pull_request_target": ({"pull_request": {"base": {"sha": "b"}, "head": {"sha": "h"}}}, ("b", "h")),
    "merge_group": ({"merge_group": {"base_sha": "b", "head_sha": "h"}}, ("b", "h")),
    "push": ({"before": "b", "after": "a"}, ("b", "merge")),
    "schedule": ({}, None),
    "malformed": ({"pull_request": None}, None),
}


@pytest.mark.parametrize("name", EVENTS)
def test_the_event_says_which_commits_are_compared(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    event, expected = EVENTS[name]
    (tmp_path / "event.json").write_text(json.dumps(event), encoding="utf-8")
    monkeypatch.setenv("GITHUB_EVENT_PATH", str(tmp_path / "event.json"))
    monkeypatch.setenv("GITHUB_EVENT_NAME", name.replace("malformed", "pull_request"))
    monkeypatch.setenv("GITHUB_SHA", "merge")
    for variable in ("MBOM_BASE", "MBOM_HEAD"):
        monkeypatch.delenv(variable, raising=False)
    ends = runpy.run_path(str(GATE / "run.py"))["ends"]
    if expected is None:
        with pytest.raises(SystemExit, match="give the inputs base and head"):
            ends()
    else:
        assert ends() == expected


def test_a_branch_that_was_not_there_before_has_nothing_to_compare_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "event.json").write_text(json.dumps({"before": "0" * 40}), encoding="utf-8")
    monkeypatch.setenv("GITHUB_EVENT_PATH", str(tmp_path / "event.json"))
    monkeypatch.setenv("GITHUB_EVENT_NAME", "push")
    monkeypatch.setenv("GITHUB_SHA", "h")
    with pytest.raises(SystemExit, match="give the inputs base and head"):
        runpy.run_path(str(GATE / "run.py"))["ends"]()
