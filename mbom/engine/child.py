"""The inside of a child process: give up what is not needed, run one task, report over one pipe.

``mbom.engine.process`` starts this file as a script, so that nothing of the package (whose imports may start threads,
after which a user namespace is refused) comes before the isolation. Only light modules may be imported at the top.

The process reads ``{"limits": …, "request": …}`` from standard input and writes lines of JSON to the pipe whose number
it was given: any number of ``{"progress": …}``, then one ``{"result": …}`` or ``{"error": {"kind", "message"}}``.
"""

import contextlib
import ctypes
import importlib
import json
import os
import re
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Protocol, cast

from mbom.errors import EngineError, MbomError

Json = dict[str, "Json"] | list["Json"] | str | int | float | bool | None

# linux/sched.h and linux/prctl.h
CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1
PR_SET_NO_NEW_PRIVS = 38

# Audit events of the socket module that reach nothing outside the process.
_HARMLESS_SOCKET_EVENTS = frozenset({"socket.gethostname"})

# How libraries say that memory ran out: torch's allocator on the CPU, its CUDA one, the system, Python's threads.
_SHORTAGES = (
    "DefaultCPUAllocator: ", "CUDA out of memory", "CUDA error: out of memory", "Cannot allocate memory",
    "can't start new thread",
)  # fmt: skip


class Task(Protocol):
    """A module that can run in the child."""

    def in_child(self, request: dict[str, Json], emit: Callable[[Json], None]) -> Json:
        """Run the task and return its result; ``emit`` reports progress."""


def isolate() -> tuple[str, ...]:
    """Cut the network and give up ways to gain privileges; return the names of what holds.

    The first name says how the network is cut: ``network-namespace`` (by the kernel, for this whole process) or
    ``socket-guard`` (by the interpreter, for Python's own sockets). Must run before a second thread starts.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    # A namespace does not cover unix sockets, so the guard is there in both cases.
    guard_sockets()
    held = ["network-namespace" if _new_network(libc) else "socket-guard"]
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0:
        held.append("no-new-privs")
    return tuple(held)


def guard_sockets() -> None:
    """Make every socket, connection and name look-up of this interpreter fail; this cannot be undone."""

    def refuse(event: str, _arguments: object) -> None:
        if event.startswith("socket.") and event not in _HARMLESS_SOCKET_EVENTS:
            raise PermissionError(f"{event}: the network is off while a checkpoint is run")

    sys.addaudithook(refuse)


def _new_network(libc: ctypes.CDLL) -> bool:
    """Move to a network namespace without interfaces; without privileges that takes a user namespace of our own."""
    if libc.unshare(CLONE_NEWNET) == 0:
        return True
    user, group = os.getuid(), os.getgid()
    if libc.unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0:
        return False
    # Keep our own ids: unmapped ones look like nobody's. Access to files does not depend on it.
    with contextlib.suppress(OSError):
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    return True


def die_with(parent: int) -> None:
    """Have the kernel kill this process when ``parent`` dies, and end at once when it is dead already."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def volunteer() -> None:
    """Have the kernel end this process before any other when memory runs out: its parent can say what happened."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def limit(*, cpu_seconds: int | None, file_bytes: int) -> None:
    """Limit processor time and the size of written files, and forbid core dumps, which would hold the weights."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
    if cpu_seconds is not None:
        # SIGXCPU at the soft limit says what happened; the hard one a second later cannot be ignored.
        resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))


def limit_memory(further_bytes: int | None) -> None:
    """Limit the address space to what is in use plus ``further_bytes``.

    What imports have reserved by then is trusted, and differs with the number of processors.
    """
    if further_bytes is not None:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        total = pages * resource.getpagesize() + further_bytes
        resource.setrlimit(resource.RLIMIT_AS, (total, total))


def serve(module: str, pipe: BinaryIO, envelope: dict[str, Json], isolation: tuple[str, ...]) -> None:
    """Run ``module.in_child`` on the request of ``envelope`` and write its outcome to ``pipe``."""

    def send(message: dict[str, Json]) -> None:
        pipe.write(json.dumps(message, allow_nan=False).encode() + b"\n")
        pipe.flush()

    limits, request = cast("dict[str, int | None]", envelope["limits"]), cast("dict[str, Json]", envelope["request"])
    try:
        limit(cpu_seconds=limits["cpu_seconds"], file_bytes=limits["file_bytes"] or 0)
        task = cast("Task", importlib.import_module(module))
        limit_memory(limits["address_space_bytes"])
        held: list[Json] = [*isolation, "rlimits"]
        result = task.in_child({**request, "isolation": held}, lambda report: send({"progress": report}))
        send({"result": result})
    except MbomError as error:
        shortage = out_of_memory(error.__cause__)
        kind = EngineError if shortage else type(error)
        send({"error": {"kind": kind.__name__, "message": shortage or str(error)}})
    except (MemoryError, RuntimeError, OSError) as error:
        shortage = out_of_memory(error)
        if shortage is None and not isinstance(error, OSError):
            raise
        send({"error": {"kind": EngineError.__name__, "message": shortage or _trouble(error)}})


def out_of_memory(error: BaseException | None) -> str | None:
    """Return a sentence when ``error`` means that memory ran out: Python's own, torch's on the CPU, or CUDA's."""
    text = str(error)
    if not isinstance(error, MemoryError) and not any(words in text for words in _SHORTAGES):
        return None
    if type(error).__name__ == "OutOfMemoryError":
        return f"out of memory on the device: {text.partition('. If reserved')[0][:300]}"
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    wanted = re.search(r"tried to allocate (\d{1,20}) bytes", text)
    return (
        "out of memory"
        + (f" while {int(wanted[1]) / 1e9:.3g} GB more were wanted" if wanted else "")
        + (f"; this process may take {limit / 1e9:.1f} GB of address space" if limit != resource.RLIM_INFINITY else "")
    )


def _trouble(error: Exception) -> str:
    """Say what the system refused: a full disk, a file that cannot be read, a socket."""
    assert isinstance(error, OSError)
    if error.strerror is None:
        return str(error)
    return f"{error.filename or 'reading or writing failed'}: {error.strerror}"


def main() -> None:
    """Isolate, then serve the task named on the command line: MODULE PIPE PARENT."""
    module, pipe, parent = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    isolation = isolate()
    # After the namespaces: a change of credentials clears the signal.
    die_with(parent)
    volunteer()
    with os.fdopen(pipe, "wb") as out:
        serve(module, out, json.load(sys.stdin.buffer), isolation)
    # Tearing down libraries takes seconds and can crash after all is said.
    os._exit(0)


if __name__ == "__main__":
    main()
