"""Every hostile checkpoint through the real command, in a process with limits: what is said of it, and what is not."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from commands import environment
from hostilecheckpoints import HONEST, HOSTILE, Case, Scene, build
from hostilecheckpoints.programs import payload

from mbom.inventory.findings import KINDS

WORKER = Path(__file__).with_name("hostileworker.py")
SECONDS = 10
BYTES = 512 << 20
GROUPS = {
    "archive", "code", "configuration", "download", "header", "in-cache", "index", "link", "name", "other weights",
    "payload", "pickle", "remote code", "size", "template", "tokenizer",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How one run of the command ended."""

    exit: int
    stdout: str
    stderr: str
    cpu: float
    rss: int

    @property
    def findings(self) -> dict[str, str]:
        """The findings by id, notes included; none where the command refused."""
        return {item["id"]: item["severity"] for item in json.loads(self.stdout)["findings"]}


class Worker:
    """A process that runs commands under limits."""

    def __init__(self, home: Path) -> None:
        self._home = home
        honest = build(HONEST[0], home / "honest").folder
        single = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MALLOC_ARENA_MAX"), "1")
        paths = {"PYTHONPATH": os.pathsep.join(sys.path)}
        self._process = subprocess.Popen(
            [sys.executable, WORKER, honest], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=environment(home, single | paths),
        )  # fmt: skip

    def run(
        self,
        *arguments: str | Path,
        cwd: Path,
        unprivileged: bool = False,
        seconds: int = SECONDS,
        memory: int = BYTES,
    ) -> Outcome:
        """Run ``mbom`` to its end or to a limit."""
        order = {
            "arguments": [str(argument) for argument in arguments], "output": str(self._home), "cwd": str(cwd),
            "seconds": seconds, "bytes": memory, "unprivileged": unprivileged,
        }  # fmt: skip
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        stdout, stderr = ((self._home / name).read_text(encoding="utf-8") for name in ("stdout", "stderr"))
        return Outcome(**answer, stdout=stdout, stderr=stderr)

    def close(self) -> None:
        """End the process."""
        self._process.communicate(timeout=60)


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    found = Worker(tmp_path_factory.mktemp("worker"))
    yield found
    found.close()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A folder that goes with the test, because some cases hold folders that nobody may read."""
    yield tmp_path
    for path in tmp_path.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o700 if path.is_dir() else 0o600)
    shutil.rmtree(tmp_path)


def telling(outcome: Outcome, case: Case) -> dict[str, str]:
    """The errors and warnings, and those notes that a case is about."""
    return {
        kind: severity for kind, severity in outcome.findings.items() if severity != "note" or kind in case.expected
    }


def attested(worker: Worker, case: Case, scene: Scene) -> Outcome:
    arguments = ("attest", scene.folder, "--no-behaviour", "--unsigned", "--quiet", "-o", scene.folder.parent / "out")
    return worker.run(*arguments, cwd=scene.folder, unprivileged=case.unprivileged)


def only_suspicious() -> list[Case]:
    """The first case of every class that ends in warnings only."""
    found: dict[str, Case] = {}
    for case in HOSTILE:
        if case.exit is None and "error" not in case.expected.values():
            found.setdefault(case.group, case)
    return list(found.values())


@pytest.mark.parametrize("case", HOSTILE, ids=str)
def test_a_hostile_checkpoint_is_never_taken_silently(worker: Worker, place: Path, case: Case) -> None:
    scene = build(case, place)
    seen = worker.run("inspect", scene.folder, "--json", cwd=scene.folder, unprivileged=case.unprivileged)
    refused = case.exit is not None
    if refused:
        assert (seen.exit, seen.stdout) == (case.exit, "")
        assert case.message in seen.stderr
    else:
        assert case.expected
        assert telling(seen, case) == case.expected, seen.stdout
        assert all(KINDS[kind].severity == severity for kind, severity in case.expected.items())
        assert seen.exit == ("error" in case.expected.values())
    assert "Traceback" not in seen.stderr
    assert "fault in mbom" not in seen.stderr
    if refused or "error" in case.expected.values():
        before = sorted(place.rglob("*"))
        assert attested(worker, case, scene).exit == (case.exit if refused else 1)
        assert sorted(place.rglob("*")) == before
    assert not scene.canary.exists()


@pytest.mark.parametrize("case", only_suspicious(), ids=str)
def test_what_is_only_suspicious_is_attested_with_what_was_found(worker: Worker, place: Path, case: Case) -> None:
    scene = build(case, place)
    wrote = attested(worker, case, scene)
    assert wrote.exit == 0, wrote.stderr
    recorded = json.loads((scene.folder.parent / "out" / "inventory.json").read_bytes())["findings"]
    assert {item["id"] for item in recorded} >= case.expected.keys()
    assert not scene.canary.exists()


@pytest.mark.parametrize("case", HONEST, ids=str)
def test_an_honest_checkpoint_raises_no_alarm(worker: Worker, place: Path, case: Case) -> None:
    scene = build(case, place)
    seen = worker.run("inspect", scene.folder, "--json", cwd=scene.folder)
    assert (seen.exit, seen.stderr) == (0, "")
    assert telling(seen, case) == {}, seen.stdout
    assert attested(worker, case, scene).exit == 0


def test_there_are_as_many_cases_as_promised_in_every_class() -> None:
    assert len(HOSTILE) >= 150
    assert len(HONEST) >= 15
    assert len({str(case) for case in HOSTILE + HONEST}) == len(HOSTILE + HONEST)
    assert {case.group for case in HOSTILE} == GROUPS
    assert min(Counter(case.group for case in HOSTILE).values()) >= 3


def test_the_limits_hold(worker: Worker, place: Path) -> None:
    """A worker that enforces nothing would let every case pass."""
    assert worker.run("spin", cwd=place, seconds=1).exit == -signal.SIGKILL
    assert worker.run("fill", cwd=place).exit == 99
    assert worker.run("fill", cwd=place, memory=4 << 30).exit == 1


def test_the_canary_would_sing(tmp_path: Path) -> None:
    """A payload that could not run would prove nothing."""
    scene = Scene(folder=tmp_path, canary=tmp_path / "canary")
    (tmp_path / "evil.pkl").write_bytes(payload(scene))
    subprocess.run(
        [sys.executable, "-c", "import pickle, sys; pickle.load(open(sys.argv[1], 'rb'))", tmp_path / "evil.pkl"],
        check=True,
    )
    assert scene.canary.exists()


# Of the classes that have most to gain from a process of another kind.
SAMPLES = [next(case for case in HOSTILE if case.group == group) for group in ("code", "link", "pickle", "template")]


@pytest.mark.parametrize("case", SAMPLES, ids=str)
def test_the_command_as_users_start_it_says_the_same(place: Path, case: Case) -> None:
    scene = build(case, place)
    command = ["sh", "-c", f'ulimit -t {SECONDS} -v {BYTES >> 10}; exec "$@"', "sh", sys.executable, "-P", "-m", "mbom"]
    extra = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, "inspect", scene.folder, "--json"],
        cwd=scene.folder, env=environment(place, extra), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    if case.exit is not None:
        assert done.returncode == case.exit
        assert case.message in done.stderr
    else:
        findings = {item["id"]: item["severity"] for item in json.loads(done.stdout)["findings"]}
        assert case.expected.items() <= findings.items()
    assert not scene.canary.exists()
