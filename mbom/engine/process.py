"""Tasks on hostile checkpoints run in a child process: no network, no secrets, limits, and one pipe back.

A child gets a cleared environment, a private home that is deleted with it, its own session, and no file descriptors but
its three and the pipe. What it says is untrusted: strict JSON lines under a size limit. However it ends, the parent
sees a result, an error of ``mbom.errors``, or an ``EngineError`` that says what happened.

Tasks see their request with one member added, ``isolation``: the names of the measures that hold in this child,
``network-namespace`` or ``socket-guard`` first (see ``mbom.engine.child.isolate``).
"""

import contextlib
import dataclasses
import json
import os
import re
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mbom import errors, strictjson
from mbom.engine import child
from mbom.errors import EngineError, FormatError, MbomError
from mbom.printable import printable
from mbom.strictjson import Fields, Json

Task = Literal["render", "measure", "deployed"]
TASKS: Mapping[Task, str] = {
    "render": "mbom.engine.render",
    "measure": "mbom.engine.run",
    "deployed": "mbom.engine.deployed",
}

REPORT_LIMIT = 64 << 10  # bytes of one progress report or error; honest ones have a few hundred
STDERR_KEPT = 4 << 10  # bytes; the end of a traceback says what went wrong
EXIT_SECONDS = 5.0  # for last words after the pipe is closed, and again for the end of the process

# Of a Python traceback, everything before the sentence at its end. Only the end of a long one may have been kept.
_FRAMES = re.compile(r"\A.*^  File \"[^\n]*\n(?:  [^\n]*\n)*", re.DOTALL | re.MULTILINE)

# Last words of C++ and OpenMP when memory runs out; no exception of Python's follows them.
_NO_MEMORY = re.compile(r"std::bad_alloc|libgomp: (Out of memory|Thread creation failed)|Cannot allocate memory")

# What a child inherits: enough to find libraries and the devices that the user allowed, and nothing that may be secret.
PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "OMP_NUM_THREADS")
FIXED = {
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
    "USER": "mbom",  # without it a look-up of the user's name fails where the uid has none
    "PYTHONHASHSEED": "0",  # a template that walks a set renders the same on every machine
    "PYTHONUTF8": "1",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    # Threads that wait sleep: on a shared or quota-limited machine, spinning made some operations ten times as slow.
    "OMP_WAIT_POLICY": "passive",
    # Every operation makes a new tensor. Those of up to 32 MiB (glibc takes no more) come from the heap time and again,
    # larger ones from the system in pages of 2 MiB: with small pages, handing out zeroed memory took two fifths of a
    # layer's processor time. What is freed at the end of the heap beyond 128 MiB returns to the system.
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(128 << 20),
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    "THP_MEM_ALLOC_ENABLE": "1",  # the same for what torch allocates
}


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a child may use; None is unlimited.

    Attributes:
        wall_seconds: from start to result.
        cpu_seconds: processor time of all its threads.
        address_space_bytes: beyond what its imports take. CUDA reserves far more than it uses: not for such tasks.
        result_bytes: the size of the line of JSON that holds the result.
        file_bytes: the size of any one file that it writes.
    """

    wall_seconds: float | None = None
    cpu_seconds: int | None = None
    address_space_bytes: int | None = None
    result_bytes: int = 16 << 20
    file_bytes: int = 1 << 30


def run(
    task: Task,
    request: dict[str, Json],
    *,
    limits: Limits,
    progress: Callable[[Json], None] | None = None,
) -> Json:
    """Run ``task`` in a child process and return its result.

    Args:
        task: which of ``TASKS``.
        request: what the task is to do; ``isolation`` is added to it.
        limits: what the child may use.
        progress: called with each report, in this thread.

    Raises:
        MbomError: the very class that the task raised.
        EngineError: when the child crashed, was killed, took too long, used too much, or broke the protocol.
    """
    return run_module(TASKS[task], request, name=task, limits=limits, progress=progress)


def run_module(
    module: str,
    request: dict[str, Json],
    *,
    name: str,
    limits: Limits,
    progress: Callable[[Json], None] | None = None,
) -> Json:
    """Run ``module.in_child`` as ``run`` does; ``name`` is what messages call the process."""
    envelope: Json = {"limits": dict(dataclasses.asdict(limits)), "request": request}
    with _spawn(module) as (process, pipe):
        talk = _Conversation(name=name, limits=limits, progress=progress or (lambda _report: None))
        talk.hold(process, pipe, json.dumps(envelope, allow_nan=False).encode())
        try:
            status = process.wait(EXIT_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise EngineError(f"the {name} process did not end when it was done") from error
    if talk.error is not None:
        raise talk.error
    if status != 0 or not talk.finished:
        raise talk.failure(status)
    return talk.result


@contextlib.contextmanager
def _spawn(module: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Start a child for ``module``; yield it with the reading end of its pipe, and leave nothing of it behind."""
    with contextlib.ExitStack() as stack:
        home = stack.enter_context(tempfile.TemporaryDirectory(prefix="mbom-", ignore_cleanup_errors=True))
        reading, writing = os.pipe()
        stack.callback(os.close, reading)
        try:
            process = subprocess.Popen(  # noqa: S603 - our own interpreter and file
                # By path and with -P: neither the package nor a script's or working folder's files come first.
                [sys.executable, "-s", "-P", "-B", child.__file__, module, str(writing), str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=(writing,),
                cwd=home,
                env=_environment(home),
                start_new_session=True,
            )
        except OSError as error:
            raise EngineError(f"cannot start a process of {sys.executable}: {error.strerror}") from error
        finally:
            os.close(writing)
        stack.enter_context(process)
        stack.callback(_end, process)
        yield process, reading


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the whole session of ``process``, unless it has been waited for and its number may be another's."""
    if process.returncode is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _environment(home: str) -> dict[str, str]:
    inherited = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    # Wherever this process imports from, the child does; a relative entry would mean another folder there.
    paths = [entry for entry in sys.path if Path(entry).is_absolute() and os.pathsep not in entry]
    private = dict.fromkeys(("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"), home)
    return {**inherited, **FIXED, **private, "PYTHONPATH": os.pathsep.join(paths)}


@dataclass(kw_only=True)
class _Conversation:
    """What one child has said so far."""

    name: str
    limits: Limits
    progress: Callable[[Json], None]
    result: Json = None
    error: MbomError | None = None
    finished: bool = False
    _line: bytearray = field(default_factory=bytearray)
    _stderr: bytearray = field(default_factory=bytearray)

    def hold(self, process: subprocess.Popen[bytes], pipe: int, request: bytes) -> None:
        """Send ``request`` and listen until the child closes its pipe and its standard error."""
        assert process.stdin is not None
        assert process.stderr is not None
        deadline = None if self.limits.wall_seconds is None else time.monotonic() + self.limits.wall_seconds
        unsent = memoryview(request)
        for descriptor in (process.stdin.fileno(), process.stderr.fileno(), pipe):
            os.set_blocking(descriptor, False)
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdin, selectors.EVENT_WRITE)
            selector.register(process.stderr, selectors.EVENT_READ)
            selector.register(pipe, selectors.EVENT_READ)
            while selector.get_map():
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    if pipe not in selector.get_map():
                        return
                    raise EngineError(
                        f"the {self.name} process took more than {self.limits.wall_seconds:g} s, its time limit"
                    )
                ready = [key.fileobj for key, _events in selector.select(left)]
                if process.stdin in ready:
                    unsent = _send(process.stdin.fileno(), unsent)
                    if not unsent:
                        selector.unregister(process.stdin)
                        process.stdin.close()
                if process.stderr in ready and not self._keep(os.read(process.stderr.fileno(), 1 << 16)):
                    selector.unregister(process.stderr)
                if pipe in ready and not self._hear(os.read(pipe, 1 << 16)):
                    selector.unregister(pipe)
                    deadline = time.monotonic() + EXIT_SECONDS

    def failure(self, status: int) -> EngineError:
        """Return the error for a process that ended with ``status`` and brought no result."""
        words = self._stderr.decode("utf-8", errors="replace").strip()
        ending = "ran out of memory" if _NO_MEMORY.search(words) else _ending(status, self.limits)
        last = one_line(_FRAMES.sub("", words))
        error = EngineError(f"the {self.name} process {ending}" + (f"; it said: {last}" if last else ""))
        if last != one_line(words):
            error.add_note("\n".join(one_line(line) for line in words.splitlines()))  # a traceback shows notes
        return error

    def _keep(self, data: bytes) -> bool:
        self._stderr += data
        del self._stderr[:-STDERR_KEPT]
        return bool(data)

    def _hear(self, data: bytes) -> bool:
        """Take in bytes of the protocol; return False at its end."""
        *whole, rest = data.split(b"\n")
        for part in whole:
            self._line += part
            self._understand(bytes(self._line))
            self._line.clear()
        self._line += rest
        if len(self._line) > max(self.limits.result_bytes, REPORT_LIMIT):
            raise EngineError(f"the {self.name} process sent more than {self.limits.result_bytes} bytes in one line")
        return bool(data)

    def _understand(self, line: bytes) -> None:
        if self.finished:
            raise EngineError(f"the {self.name} process went on after its last message")
        try:
            kind, value = _message(line, self.limits.result_bytes, f"the {self.name} process")
        except FormatError as error:
            raise EngineError(f"broken protocol: {error}") from error
        if isinstance(value, MbomError):
            self.error, self.finished = value, True
        elif kind == "result":
            self.result, self.finished = value, True
        else:
            self.progress(value)


def _message(line: bytes, result_bytes: int, what: str) -> tuple[str, Json | MbomError]:
    """Read one line of the protocol: its kind, and the report, result or error that it carries."""
    fields = Fields(strictjson.loads(line, what=what, limit=max(result_bytes, REPORT_LIMIT)), what)
    for kind in ("progress", "error"):
        if fields.has(kind):
            if len(line) > REPORT_LIMIT:
                raise FormatError(f"{what}: {kind} of {len(line)} bytes, the limit is {REPORT_LIMIT}")
            value = _error(fields.object(kind)) if kind == "error" else fields.raw(kind)
            break
    else:
        kind, value = "result", fields.raw("result")
    fields.end()
    return kind, value


def _send(descriptor: int, data: memoryview) -> memoryview:
    """Write some of ``data``; return the rest, which is empty when the child does not listen any more."""
    try:
        return data[os.write(descriptor, data[: 1 << 16]) :]
    except BrokenPipeError:
        return data[len(data) :]


def _error(fields: Fields) -> MbomError:
    """Return the error that the child describes, of its own class."""
    kind, message = fields.text("kind"), fields.text("message")
    fields.end()
    known = getattr(errors, kind, None)
    if not (isinstance(known, type) and issubclass(known, MbomError)):
        raise FormatError(f"{fields.what}: {one_line(kind)[:80]} is no class of error")
    return known(one_line(message)[:STDERR_KEPT])


def _ending(status: int, limits: Limits) -> str:
    """Say in words how a process ended that should have brought a result."""
    if status >= 0:
        return f"ended with status {status} and without a result"
    if -status == signal.SIGXCPU:
        return f"used up its processor time of {limits.cpu_seconds} s, which is far more than honest work takes"
    if -status == signal.SIGKILL:
        return "was killed, most likely because the machine ran out of memory"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"


def one_line(text: str) -> str:
    """Return ``text`` on one line, with control and other invisible characters escaped."""
    return printable(" | ".join(line.strip() for line in text.splitlines() if line.strip()))
