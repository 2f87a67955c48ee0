"""A Hugging Face Hub on loopback that the real ``huggingface_hub`` client talks to, with faults to inject.

It speaks the part of the protocol that downloading a model takes: resolve a revision, list the tree in pages, HEAD and
GET of files. Large files are redirected to a second address, as the hub sends them to its CDN; it must be another
origin, or the client follows the redirect by itself and never sees the headers on it.

    with HubServer() as hub:
        hub.push("org/model", {"config.json": b"{}"})
        hub.fail("file", "config.json", Fault(status=503))
        HubSource("org/model", endpoint=hub.url, token=False, cache_dir=...)
"""

import contextlib
import hashlib
import json
import re
import socket
import socketserver
import sys
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import parse_qs, unquote, urlsplit

Stage = Literal["info", "tree", "head", "file"]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What goes wrong at one request; the fields that are set all apply.

    ``status`` and ``headers`` answer instead of the hub. ``flip`` inverts the lowest bit of the byte at that offset.
    ``cut`` closes the connection after so many bytes of the body. ``short`` sends, and declares, only so many bytes.
    ``stall`` waits so many seconds in the middle of the body. ``etag`` and ``commit`` are told in place of the true
    ones. ``sticky`` faults stay; the others happen once.
    """

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    flip: int | None = None
    cut: int | None = None
    short: int | None = None
    stall: float = 0.0
    etag: str | None = None
    commit: str | None = None
    sticky: bool = False


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request that arrived: what it was for, the name of the file or '', and the token that came with it."""

    method: str
    stage: Stage
    name: str
    token: str | None


@dataclass(kw_only=True)
class Repository:
    """Commits by id, branches by name, and what the server says instead of the truth.

    ``listed`` are raw entries added to the tree, ``described`` members of the answer about the repository. With
    ``gated`` set, only tokens in ``readers`` may read.
    """

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    listed: list[dict[str, Any]] = field(default_factory=list)
    described: dict[str, Any] = field(default_factory=dict)
    gated: bool = False
    readers: set[str] = field(default_factory=set)

    def resolve(self, revision: str) -> str | None:
        """Return the commit that a branch or a commit's own id names."""
        commit = self.branches.get(revision, revision)
        return commit if commit in self.commits else None


class HubServer:
    """The server; a context manager. ``requests`` logs what arrived, in order."""

    def __init__(self, *, lfs_from: int = 1000, page: int = 1000) -> None:
        self.repositories: dict[str, Repository] = {}
        self.tokens: set[str] = set()
        self.requests: list[Request] = []
        self.lfs_from = lfs_from  # bytes; smaller files live in git
        self.page = page  # entries of the tree in one answer
        self._faults: defaultdict[tuple[Stage, str], list[Fault]] = defaultdict(list)
        self._lock = threading.Lock()
        self._hub = _Server(self)
        self._cdn = _Server(self)
        self.url = f"http://127.0.0.1:{self._hub.server_port}"
        self.cdn_url = f"http://127.0.0.1:{self._cdn.server_port}"

    def __enter__(self) -> Self:
        for server in (self._hub, self._cdn):
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in (self._hub, self._cdn):
            server.stop()

    def push(self, repo: str, files: dict[str, bytes], *, branch: str = "main", gated: bool = False) -> str:
        """Commit ``files`` as the whole content of ``repo`` on ``branch``, and return the commit's id."""
        repository = self.repositories.setdefault(repo, Repository(gated=gated))
        content = [(name, sha256(data)) for name, data in sorted(files.items())]
        commit = hashlib.sha1(repr((repo, content)).encode(), usedforsecurity=False).hexdigest()
        repository.commits[commit] = dict(files)
        repository.branches[branch] = commit
        return commit

    def fail(self, stage: Stage, name: str = "", *faults: Fault) -> None:
        """Let the next requests for ``name`` at ``stage`` meet ``faults``, one each; ``name`` is '' for the API."""
        with self._lock:
            self._faults[stage, name].extend(faults)

    def fetched(self) -> list[str]:
        """Return the names of the files whose bytes were asked for, sorted, once for each time."""
        return sorted(request.name for request in self.requests if request.stage == "file")

    def take_fault(self, stage: Stage, name: str) -> Fault:
        """Return the fault that the present request meets, or one without effect."""
        with self._lock:
            waiting = self._faults[stage, name]
            if not waiting:
                return Fault()
            return waiting[0] if waiting[0].sticky else waiting.pop(0)

    def entry(self, name: str, data: bytes) -> dict[str, Any]:
        """Return the tree's entry of a file."""
        entry: dict[str, Any] = {"type": "file", "path": name, "size": len(data), "oid": git_blob(data)}
        if len(data) >= self.lfs_from:
            entry["lfs"] = {"oid": sha256(data), "size": len(data), "pointerSize": 134}
        return entry


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, hub: HubServer) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.hub = hub
        self._open: set[socket.socket] = set()

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        connection, address = super().get_request()
        self._open.add(connection)
        return connection, address

    def close_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
        assert isinstance(request, socket.socket)
        self._open.discard(request)
        super().close_request(request)

    def stop(self) -> None:
        """Stop for good: also hang up on the clients that keep their connection for a next request."""
        self.shutdown()
        self.server_close()
        for connection in tuple(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: socket.socket | tuple[bytes, socket.socket], client_address: object) -> None:
        """Ignore clients that hang up in the middle, which cancelled downloads do."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are two writes; waiting for the ACK between costs 40 ms
    server: socketserver.BaseServer
    token: str | None = None

    @property
    def hub(self) -> HubServer:
        assert isinstance(self.server, _Server)
        return self.server.hub

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        """Keep quiet."""

    def do_HEAD(self) -> None:
        self._route()

    def do_GET(self) -> None:
        self._route()

    def _route(self) -> None:
        url = urlsplit(self.path)
        path = unquote(url.path)
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", path):
            self._info(match[1], match[2] or "main")
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/tree/(.+)", path):
            self._tree(match[1], match[2], int(parse_qs(url.query).get("cursor", ["0"])[0]))
        elif match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            self._resolve(match[1], match[2], match[3])
        elif match := re.fullmatch(r"/cdn/([^/]+/[^/]+)/([^/]+)/(.+)", path):
            fault = self._begin("file", match[3])
            self._body(self.hub.repositories[match[1]].commits[match[2]][match[3]], fault, {})
        else:
            self._json({"error": f"no route {path}"}, 404)

    def _begin(self, stage: Stage, name: str = "") -> Fault:
        self.token = (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None
        self.hub.requests.append(Request(method=self.command, stage=stage, name=name, token=self.token))
        return self.hub.take_fault(stage, name)

    def _info(self, repo: str, revision: str) -> None:
        fault = self._begin("info")
        if commit := self._admit(repo, revision, fault):
            told = {"id": repo, "modelId": repo, "sha": fault.commit or commit, "siblings": []}
            self._json(told | self.hub.repositories[repo].described)

    def _tree(self, repo: str, revision: str, start: int) -> None:
        fault = self._begin("tree")
        if commit := self._admit(repo, revision, fault):
            repository = self.hub.repositories[repo]
            folders = {name.rpartition("/")[0] for name in repository.commits[commit]} - {""}
            entries = [{"type": "directory", "path": name, "oid": git_blob(b"")} for name in sorted(folders)]
            entries += [self.hub.entry(name, data) for name, data in sorted(repository.commits[commit].items())]
            entries += repository.listed
            end = start + self.hub.page
            more = {"Link": f'<{self.hub.url}{urlsplit(self.path).path}?cursor={end}>; rel="next"'}
            self._json(entries[start:end], 200, more if end < len(entries) else {})

    def _resolve(self, repo: str, revision: str, name: str) -> None:
        stage: Stage = "head" if self.command == "HEAD" else "file"
        fault = self._begin(stage, name)
        commit = self._admit(repo, revision, fault)
        if commit is None:
            return
        data = self.hub.repositories[repo].commits[commit].get(name)
        if data is None:
            self._json({}, 404, {"X-Error-Code": "EntryNotFound"})
            return
        headers = {"X-Repo-Commit": fault.commit or commit}
        if len(data) >= self.hub.lfs_from:
            headers["X-Linked-Etag"] = f'"{fault.etag or sha256(data)}"'
            headers["X-Linked-Size"] = str(len(data))
            headers["Location"] = f"{self.hub.cdn_url}/cdn/{repo}/{commit}/{name}?signature=secret"
            self._send(302, headers, b"")
        else:
            headers["ETag"] = f'"{fault.etag or git_blob(data)}"'
            self._body(data, fault, headers)

    def _admit(self, repo: str, revision: str, fault: Fault) -> str | None:
        """Return the commit asked for, or answer with the refusal that the hub would give."""
        token = self.token
        repository = self.hub.repositories.get(repo)
        if fault.status is not None:
            self._json({"error": "injected"}, fault.status, fault.headers)
        elif token is not None and token not in self.hub.tokens:
            self._json({}, 401, {"X-Error-Message": "Invalid credentials in Authorization header"})
        elif repository is None:  # the hub does not tell strangers what is missing and what is private
            self._json({"error": "Repository not found"}, 404 if token else 401, {"X-Error-Code": "RepoNotFound"})
        elif repository.gated and token not in repository.readers:
            self._json({"error": "gated"}, 403 if token else 401, {"X-Error-Code": "GatedRepo"})
        elif (commit := repository.resolve(revision)) is None:
            self._json({"error": "Invalid rev id"}, 404, {"X-Error-Code": "RevisionNotFound"})
        else:
            return commit
        return None

    def _body(self, data: bytes, fault: Fault, headers: dict[str, str]) -> None:
        if fault.status is not None:
            self._json({"error": "injected"}, fault.status, fault.headers)
            return
        if fault.flip is not None:
            data = data[: fault.flip] + bytes([data[fault.flip] ^ 1]) + data[fault.flip + 1 :]
        data = data[: fault.short]
        start, status = 0, 200
        if match := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")):
            start, status = int(match[1]), 206
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        self._send(status, headers, data[start:], fault)

    def _json(self, value: object, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self._send(status, {"Content-Type": "application/json", **(headers or {})}, json.dumps(value).encode())

    def _send(self, status: int, headers: dict[str, str], body: bytes, fault: Fault | None = None) -> None:
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault and fault.stall:
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            body = body[len(body) // 2 :]
            time.sleep(fault.stall)
        if fault and fault.cut is not None:
            self.wfile.write(body[: fault.cut])
            self.wfile.flush()
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
        else:
            self.wfile.write(body)


def sha256(data: bytes) -> str:
    """Return the SHA-256 of ``data`` in hex, by which the hub names a large file."""
    return hashlib.sha256(data).hexdigest()


def git_blob(data: bytes) -> str:
    """Return git's id of ``data``, by which the hub names a small file."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
