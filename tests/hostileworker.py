"""Runs ``mbom`` once for each line on standard input, in a process of its own that limits hold for.

Starting Python takes a second, so this runs the command line once, on the honest checkpoint that it is given and
without limits, and forks for every other run. Each line is a JSON object with the arguments, the folder to write output
to, and the limits; each answer is a line with the exit status (negative for a signal), the seconds of processor time
and the kilobytes of resident memory.
"""

import contextlib
import ctypes
import gc
import io
import json
import os
import resource
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mbom.cli import run

_CAPABILITIES = 0x20080522  # _LINUX_CAPABILITY_VERSION_3
_OVERRIDES = (1 << 1) | (1 << 2)  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH: what lets root read anything


def obey_permissions() -> None:
    """Give up what lets root read files whose mode forbids it."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_CAPABILITIES, 0)
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable, for the lower and the upper 32 capabilities
    if libc.capget(header, sets):
        raise OSError(ctypes.get_errno(), "capget")
    sets[0] &= ~_OVERRIDES
    if libc.capset(header, sets):
        raise OSError(ctypes.get_errno(), "capset")


def child(order: dict[str, Any]) -> int:
    """Run the command line under its limits and return the exit status."""
    for number, name in enumerate(("stdout", "stderr"), 1):
        os.dup2(os.open(Path(order["output"], name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    if order["unprivileged"]:
        obey_permissions()
    os.chdir(order["cwd"])
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (order["seconds"], order["seconds"]))
    resource.setrlimit(resource.RLIMIT_AS, (order["bytes"], order["bytes"]))
    status = PROBES.get(order["arguments"][0], run)(order["arguments"])
    sys.stdout.flush()
    sys.stderr.flush()
    return status


def spin(_: list[str]) -> int:
    """Use the processor until somebody ends it."""
    while True:
        pass


def fill(_: list[str]) -> int:
    """Take a gigabyte, and tell by the exit status whether that was allowed."""
    try:
        return len(bytearray(1 << 30)) >> 30
    except MemoryError:
        return 99


PROBES: dict[str, Callable[[list[str]], int]] = {"spin": spin, "fill": fill}


def warm(folder: str) -> None:
    """Import and compute whatever every run needs."""
    with tempfile.TemporaryDirectory() as scratch, contextlib.redirect_stdout(io.StringIO()):
        for command in (["inspect", "--json"], ["attest", "--no-behaviour", "--unsigned", "-o", f"{scratch}/out"]):
            status = run([*command, "--quiet", folder])
            assert status == 0, command
    gc.freeze()  # so that collections in the children copy no page


def main() -> None:
    """Answer every line."""
    warm(sys.argv[1])
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            status = 125
            try:
                status = child(json.loads(line))
            finally:
                os._exit(status)
        _, status, usage = os.wait4(pid, 0)
        code = os.waitstatus_to_exitcode(status)
        answer = {"exit": code, "cpu": usage.ru_utime + usage.ru_stime, "rss": usage.ru_maxrss}
        print(json.dumps(answer), flush=True)  # noqa: T201 - the answer


if __name__ == "__main__":
    main()
