"""A kernel that refuses system calls: a filter (seccomp) that this process and its children cannot take off again.

Run as a script, it puts the filter on itself and becomes ``mbom``:

    python tests/refusing.py fsync=EIO -- attest model -o a.mbom
"""

import ctypes
import errno
import os
import platform
import struct
import sys
from collections.abc import Iterable
from dataclasses import dataclass

# arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h
NUMBERS = {
    "x86_64": {"fsync": 74, "readv": 19, "flock": 73, "renameat2": 316},
    "aarch64": {"fsync": 82, "readv": 65, "flock": 32, "renameat2": 276},
}
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, SECCOMP_MODE_FILTER = 22, 38, 2
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06  # of the packet filter's instructions: load a word, jump if equal, return
ALLOW, ERRNO = 0x7FFF0000, 0x00050000
ARGUMENTS = 16  # where they begin in struct seccomp_data; eight bytes each


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A call that fails with an error; with ``argument``, only when that one of its arguments has ``value``."""

    call: str
    code: int
    argument: int | None = None
    value: int = 0


NO_EXCHANGE = Refusal(call="renameat2", code=errno.EINVAL, argument=4, value=2)  # as file systems that cannot do it


def possible() -> bool:
    """Tell whether this machine is of a kind that the filter is written for."""
    return platform.system() == "Linux" and platform.machine() in NUMBERS


def refuse(refusals: Iterable[Refusal]) -> None:
    """Put the filter on this process.

    Raises:
        OSError: when the kernel does not take it.
    """
    program = b""
    for refusal in refusals:
        steps = [(LOAD, 0, 0, 0)]
        tail = [(RETURN, 0, 0, ERRNO | refusal.code)]
        if refusal.argument is not None:
            tail = [(LOAD, 0, 0, ARGUMENTS + 8 * refusal.argument), (EQUAL, 0, 1, refusal.value), *tail]
        steps += [(EQUAL, 0, len(tail), NUMBERS[platform.machine()][refusal.call]), *tail]
        program += b"".join(struct.pack("=HBBI", *step) for step in steps)
    program += struct.pack("=HBBI", RETURN, 0, 0, ALLOW)
    buffer = ctypes.create_string_buffer(program, len(program))

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))

    libc = ctypes.CDLL(None, use_errno=True)
    given = Program(len(program) // 8, ctypes.addressof(buffer))
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(
        PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(given), 0, 0
    ):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def parsed(text: str) -> Refusal:
    """Read ``CALL=ERROR``."""
    call, _, name = text.partition("=")
    return Refusal(call=call, code=getattr(errno, name))


if __name__ == "__main__":
    from mbom.cli import main

    divide = sys.argv.index("--")
    refuse([parsed(text) for text in sys.argv[1:divide]])
    sys.argv[1:] = sys.argv[divide + 1 :]
    main()
