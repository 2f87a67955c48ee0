"""The comment on a pull request: one, kept up to date, ours, and to the one host that may have the token."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from actions.conftest import PullRequests
from actions.test_gate_action import GATE, job
from composite import Job, Ran, run_action

BOT = {"login": "github-actions[bot]", "type": "Bot"}
MARKER = "<!-- mbom gate mbom.lock -->"
TOKEN = "ghs_secretsecretsecretsecret"


@dataclass
class Forge:
    """What the server holds, and what it was asked."""

    url: str = ""
    comments: list[dict[str, Any]] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)
    tokens: list[str | None] = field(default_factory=list)
    answer: int = 200
    location: str = ""


@pytest.fixture
def forge() -> Iterator[Forge]:
    held = Forge()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = int(self.path.rpartition("page=")[2])
            self.reply(held.comments[100 * (page - 1) : 100 * page])

        def do_POST(self) -> None:
            held.comments.append({"id": 1000 + len(held.comments), "user": BOT, **self.body()})
            self.reply(held.comments[-1])

        def do_PATCH(self) -> None:
            (comment,) = (item for item in held.comments if item["id"] == int(self.path.rpartition("/")[2]))
            comment.update(self.body())
            self.reply(comment)

        def body(self) -> dict[str, Any]:
            found: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            return found

        def reply(self, told: object) -> None:
            held.asked.append((self.command, self.path))
            held.tokens.append(self.headers["Authorization"])
            self.send_response(held.answer)
            if held.location:
                self.send_header("Location", held.location)
            data = json.dumps(told).encode()
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        held.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield held
        server.shutdown()
        thread.join()


@pytest.fixture
def where(pull_requests: PullRequests, tmp_path: Path, forge: Forge) -> Job:
    made = job(pull_requests, pull_requests.heads["clean upgrade"], tmp_path)
    made.github |= {"api_url": forge.url, "token": TOKEN}
    return made


def comment(where: Job, installed: Path, text: str = "## what the gate says\n", **inputs: str) -> Ran:
    """Run the action's last step after a gate that wrote ``text``."""
    summary = where.temp / "gate.md"
    summary.write_text(text, encoding="utf-8")
    seam = {
        "python": {"python-path": str(installed)},
        "install": {"python": str(installed)},
        "gate": {"summary": str(summary), "result": "refused"},
    }
    for left in where.temp.glob("step-*"):
        left.rename(where.temp / f"was-{len(list(where.temp.iterdir()))}")
    return run_action(GATE, where, inputs={"comment": "true", **inputs}, replaced=seam)


def test_one_comment_is_written_and_then_replaced(where: Job, installed: Path, forge: Forge) -> None:
    assert not comment(where, installed, "first").failed
    assert not comment(where, installed, "second").failed
    assert [item["body"] for item in forge.comments] == [f"{MARKER}\nsecond"]
    assert [method for method, _ in forge.asked] == ["GET", "POST", "GET", "PATCH"]
    assert set(forge.tokens) == {f"Bearer {TOKEN}"}
    assert forge.asked[0][1] == "/repos/acme/product/issues/7/comments?per_page=100&page=1"


def test_nobody_elses_comment_is_taken_for_ours(where: Job, installed: Path, forge: Forge) -> None:
    forge.comments = [
        {"id": 1, "user": {"login": "mallory", "type": "User"}, "body": f"{MARKER}\nforged"},
        {"id": 2, "user": {"login": "github-actions[bot]", "type": "User"}, "body": f"{MARKER}\nforged"},
        {"id": 3, "user": BOT, "body": f"another action quotes {MARKER}"},
        {"id": 4, "user": BOT, "body": None},
        *({"id": number, "user": BOT, "body": "other"} for number in range(5, 120)),
    ]
    before = json.dumps(forge.comments)
    comment(where, installed)
    assert json.dumps(forge.comments[:-1]) == before
    assert forge.comments[-1]["body"].startswith(MARKER)


def test_each_lock_file_has_a_comment_of_its_own(where: Job, installed: Path, forge: Forge) -> None:
    comment(where, installed, lock="a/mbom.lock")
    comment(where, installed, lock="b-->/mbom.lock")
    first, second = (item["body"].splitlines()[0] for item in forge.comments)
    assert first == "<!-- mbom gate a/mbom.lock -->"
    assert second.count("-->") == 1


@pytest.mark.parametrize("status", [401, 403, 404, 500])
def test_a_token_that_may_not_comment_is_a_warning(where: Job, installed: Path, forge: Forge, status: int) -> None:
    forge.answer = status
    ran = comment(where, installed)
    assert not ran.failed
    assert f"::warning title=mbom gate::no comment: GitHub answered {status}" in ran.log
    assert ("pull-requests: write" in ran.log) == (status < 500)
    assert TOKEN not in ran.log


def test_a_redirect_does_not_get_the_token(where: Job, installed: Path, forge: Forge) -> None:
    forge.answer, forge.location = 302, f"{forge.url}/elsewhere?page=1"
    assert "GitHub answered 302" in comment(where, installed).log
    assert len(forge.asked) == 1


@pytest.mark.parametrize("url", ["http://api.example.org", "file:///etc", "ftp://127.0.0.1", "https://", "x"])
def test_the_token_goes_to_no_other_kind_of_place(where: Job, installed: Path, forge: Forge, url: str) -> None:
    where.github["api_url"] = url
    assert "must begin with https://" in comment(where, installed).log
    assert not forge.asked


def test_nothing_is_written_unless_asked(where: Job, installed: Path, forge: Forge) -> None:
    ran = comment(where, installed, comment="")
    assert ran.skipped == ("Comment on the pull request",)
    assert not forge.asked
