"""Keep one comment on the pull request: what the gate said last.

It is written with the job's own token, which needs `pull-requests: write`, and to the host of GITHUB_API_URL alone. A
comment is taken for ours where it begins with our marker and the job's own account wrote it, so that nobody's words are
overwritten. Where the token may not comment, as on a pull request from a fork, that is said and nothing fails.
"""

import json
import os
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

SECONDS = 30
ANSWER_LIMIT = 16 << 20  # bytes; a page of a hundred comments of 65,536 characters is smaller
PAGES_LIMIT = 30  # of a hundred comments
BODY_LIMIT = 65_536  # characters of a comment
AUTHOR = "github-actions[bot]"  # who comments with the token of a job

_REPOSITORY = re.compile(r"[0-9A-Za-z_.-]{1,100}/[0-9A-Za-z_.-]{1,100}")


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Follows nowhere: the token is for one host."""

    def redirect_request(self, *_: object, **__: object) -> None:
        """See ``HTTPRedirectHandler``."""
        return None  # noqa: RET501  # what the base class takes for "do not follow"


class Api:
    """The part of GitHub's REST API that comments take."""

    def __init__(self, root: str, token: str) -> None:
        parts = urlsplit(root)
        is_local = parts.hostname in ("127.0.0.1", "localhost", "::1")
        if not parts.hostname or (parts.scheme != "https" and not (parts.scheme == "http" and is_local)):
            stop(f"GITHUB_API_URL is {root!r}, it must begin with https://")
        self._root = root.rstrip("/")
        self._token = token
        self._opener = urllib.request.build_opener(_NoRedirects)

    def call(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401  # JSON has any shape
        """Make one request and return the answer."""
        request = urllib.request.Request(  # noqa: S310  # the scheme was checked
            f"{self._root}{path}",
            method=method,
            data=json.dumps(body).encode() if body is not None else None,
            headers={
                "Accept": "application/vnd.github+json",
                "Content-Type": "application/json",
                "User-Agent": "mbom-gate",
                "X-GitHub-Api-Version": "2022-11-28",
            },
        )
        request.add_unredirected_header("Authorization", f"Bearer {self._token}")
        answer: HTTPResponse
        with self._opener.open(request, timeout=SECONDS) as answer:
            return json.loads(answer.read(ANSWER_LIMIT))


def stop(sentence: str) -> NoReturn:
    """End with a warning: the gate has decided, and a comment is a convenience."""
    told = sentence.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    print(f"::warning title=mbom gate::no comment: {told}", flush=True)
    sys.exit(0)


def ours(api: Api, repository: str, number: int, marker: str) -> Iterator[int]:
    """Yield the ids of our own comments."""
    for page in range(1, PAGES_LIMIT + 1):
        found = api.call("GET", f"/repos/{repository}/issues/{number}/comments?per_page=100&page={page}")
        for comment in found:
            is_own = comment["user"]["login"] == AUTHOR and comment["user"]["type"] == "Bot"
            if is_own and (comment["body"] or "").startswith(marker):
                yield int(comment["id"])
        if len(found) < 100:
            return


def put(api: Api, repository: str, number: int, marker: str, text: str) -> None:
    """Write the comment, or replace the one that is there."""
    body = {"body": f"{marker}\n{text}"[:BODY_LIMIT]}
    there = next(ours(api, repository, number, marker), None)
    if there is None:
        api.call("POST", f"/repos/{repository}/issues/{number}/comments", body)
    else:
        api.call("PATCH", f"/repos/{repository}/issues/comments/{there}", body)


def main() -> None:
    """Comment on the pull request of the event."""
    event = json.loads(Path(os.environ["GITHUB_EVENT_PATH"]).read_bytes())
    number = (event.get("pull_request") or {}).get("number")
    repository = os.environ.get("GITHUB_REPOSITORY", "")
    if type(number) is not int:
        stop("this event is no pull request")
    if _REPOSITORY.fullmatch(repository) is None or ".." in repository:
        stop(f"GITHUB_REPOSITORY is {repository!r}")
    summary = Path(os.environ["MBOM_SUMMARY"]) if os.environ.get("MBOM_SUMMARY") else None
    if summary is None or not summary.is_file():
        stop("the gate wrote no summary")
    lock = re.sub(r"[^0-9A-Za-z_./]", "_", os.environ.get("MBOM_LOCK") or "mbom.lock")
    api = Api(os.environ.get("GITHUB_API_URL", "https://api.github.com"), os.environ.get("MBOM_TOKEN", ""))
    try:
        put(api, repository, number, f"<!-- mbom gate {lock} -->", summary.read_text(encoding="utf-8"))
    except urllib.error.HTTPError as error:
        hint = "; give the job pull-requests: write" if error.code in (401, 403, 404) else ""
        stop(f"GitHub answered {error.code}{hint}")
    except (OSError, HTTPException, ValueError, KeyError, TypeError) as error:
        stop(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
