"""What a pickle would have its reader import, without ever being read as one.

A pickle is a program for a stack machine, and ``GLOBAL`` and its kin import whatever they name. This follows the stack
as far as names depend on it: strings, the memo, and nothing else; no opcode has an effect. The lister takes a superset
of what CPython's unpickler takes, since whatever an unpickler runs must be seen: arguments that it would refuse are
passed over, and where a stream breaks, what came before stands and the break is said.

The opcodes and their effects are the table of ``pickletools`` in the standard library.
"""

import pickletools
import re
from dataclasses import dataclass, field
from typing import NamedTuple

from mbom.inventory.views import Part, View

OPCODES_LIMIT = 4_000_000  # of one file, about 5 s; a state dictionary of 70 billion parameters takes 50,000
GLOBALS_LIMIT = 4096  # different names; honest pickles of training state have a few dozen
NAME_LIMIT = 200  # characters of a name that are kept, which is more than any harmless one has
LINE_LIMIT = 64 << 10  # bytes of an argument that ends with its line
TEXT_LIMIT = 4096  # bytes of a string that may be half of a name; a longer one counts as unknown
EXTRA_LIMIT = 100_000  # memo entries that are not numbered one after the other
STREAMS_LIMIT = 64  # pickles one after the other; files of torch before 1.6 hold five
NESTED_LIMIT = 1024  # byte strings of one pickle that begin like a pickle or an archive

_WINDOW = 1 << 20  # bytes held at once at most; the first look at what may be no pickle takes far fewer
_FIRST_WINDOW = 4 << 10
_MARK = object()
_PLAUSIBLE = re.compile(r"[^\W\d][\w.-]*")
_READABLE = re.compile(rb"\x80[\x00-\x05]|PK\x03\x04|\x1f\x8b|\x78[\x01\x5e\x9c\xda]|BZh|\xfd7zXZ")
_ESCAPE = re.compile(rb"\\(?:x([0-9A-Fa-f]{2})|([0-7]{1,3})|(.))", re.DOTALL)  # of STRING, as in a Python literal
_CONTROLS = {b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v", b"\n": b""}
UNKNOWN = "?"  # in the place of a name that the pickle computes


class _Opcode(NamedTuple):
    name: str
    argument: int  # bytes, or one of pickletools' codes for lines and counted arguments
    marked: bool  # takes everything down to the last mark
    pops: int
    pushes: int


def _opcode(info: pickletools.OpcodeInfo) -> _Opcode:
    before = [kind.name for kind in info.stack_before]
    return _Opcode(
        name=info.name,
        argument=info.arg.n if info.arg is not None else 0,
        marked="stackslice" in before,
        pops=before.index("mark") if "mark" in before else len(before),
        pushes=len(info.stack_after),
    )


_OPCODES = {ord(info.code): _opcode(info) for info in pickletools.opcodes}
_LINE = pickletools.UP_TO_NEWLINE
_COUNTED = {
    pickletools.TAKEN_FROM_ARGUMENT1: (1, False),
    pickletools.TAKEN_FROM_ARGUMENT4: (4, True),
    pickletools.TAKEN_FROM_ARGUMENT4U: (4, False),
    pickletools.TAKEN_FROM_ARGUMENT8U: (8, False),
}
_PAIRS = frozenset({"GLOBAL", "INST"})
_IMPORTS = _PAIRS | {"STACK_GLOBAL", "EXT1", "EXT2", "EXT4"}
_MEMOS = frozenset({"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE", "GET", "BINGET", "LONG_BINGET"})
_STRINGS = frozenset(
    {"STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"}
)
_BYTES = frozenset({"BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"})
_CALLS = frozenset({"REDUCE", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "BUILD"})


@dataclass(frozen=True, kw_only=True)
class Pickle:
    """What one pickle names.

    Attributes:
        globals: what it imports, as ``module.name``, sorted; ``?`` stands for what it computes.
        calls: whether it calls anything, or could.
        end: the byte after its last, where ``fault`` is None.
        fault: why the rest of it could not be followed; None when it came to its end.
        nested: (start, size) of byte strings in it that begin like a pickle or an archive.
    """

    globals: tuple[str, ...]
    calls: bool
    end: int
    fault: str | None
    nested: tuple[tuple[int, int], ...] = ()

    @property
    def is_plausible(self) -> bool:
        """Whether this is a pickle for certain: it ended, or did something, and its names look like names."""
        named = all(_PLAUSIBLE.fullmatch(name) for name in self.globals if UNKNOWN not in name)
        return named and (self.fault is None or (self.calls and bool(self.globals)))


@dataclass(kw_only=True)
class Budget:
    """What may still be spent on one file."""

    opcodes: int = OPCODES_LIMIT


class _Fault(Exception):  # noqa: N818 - never leaves this module
    """The stream cannot be followed further."""


def follow(view: View, start: int, budget: Budget) -> Pickle:
    """Follow the pickle that begins at ``start``."""
    machine = _Machine(view, start, budget)
    fault = None
    try:
        machine.run()
    except _Fault as error:
        fault = str(error)
    return Pickle(
        globals=tuple(sorted(machine.globals)),
        calls=machine.calls,
        end=machine.position,
        fault=fault,
        nested=tuple(machine.nested),
    )


def streams(view: View, start: int, budget: Budget) -> list[Pickle]:
    """Follow the pickles that lie one after the other from ``start``; what follows the last of them is none."""
    found: list[Pickle] = []
    while start < view.size and len(found) < STREAMS_LIMIT:
        pickle = follow(view, start, budget)
        if found and not pickle.is_plausible:
            break
        found.append(pickle)
        if pickle.fault is not None:
            break
        start = pickle.end
    return found


@dataclass
class _Memo:
    """The memo: values by number, nearly always numbered one after the other."""

    listed: list[str | None] = field(default_factory=list)
    extra: dict[int, str | None] = field(default_factory=dict)

    def put(self, number: int, value: str | None) -> None:
        if number < len(self.listed):
            self.listed[number] = value
        elif number > len(self.listed):
            self.extra[number] = value
            if len(self.extra) > EXTRA_LIMIT:
                raise _Fault(f"its memo has more than {EXTRA_LIMIT} entries out of order")
        else:
            self.extra.pop(number, None)
            self.listed.append(value)
            while len(self.listed) in self.extra:
                self.listed.append(self.extra.pop(len(self.listed)))

    def get(self, number: int) -> str | None:
        return self.listed[number] if number < len(self.listed) else self.extra.get(number)

    def __len__(self) -> int:
        return len(self.listed) + len(self.extra)


class _Machine:
    """One pickle machine that does nothing: strings stay strings on its stack, everything else is None."""

    def __init__(self, view: View, start: int, budget: Budget) -> None:
        self._view, self._budget = view, budget
        self._base, self._window, self._size = start, b"", _FIRST_WINDOW
        self._stack: list[object] = []
        self._memo = _Memo()
        self._frame = start  # where the frame ends that was announced last
        self.position = start
        self.globals: set[str] = set()
        self.calls = False
        self.nested: list[tuple[int, int]] = []

    def run(self) -> None:
        """Follow the stream to its STOP.

        Raises:
            _Fault: when it cannot be followed, or a limit is reached.
        """
        while True:
            at = self.position
            code = self._take(1)
            opcode = _OPCODES.get(code[0]) if code else None
            if opcode is None:
                raise _Fault(f"byte {at} is no opcode" if code else f"it ends at byte {at} without a STOP")
            if self._budget.opcodes <= 0:
                raise _Fault(f"more than {OPCODES_LIMIT} opcodes")
            self._budget.opcodes -= 1
            argument = self._argument(opcode)
            if opcode.name == "STOP":
                return
            if opcode.name == "FRAME":
                self._announce(at, int.from_bytes(argument or b"", "little"))
            self._step(opcode, argument)
            if opcode.name in _CALLS:
                self.calls = True

    def _announce(self, at: int, size: int) -> None:
        if at < self._frame:
            self._differ()
        self._frame = self.position + size

    def _within(self, start: int, end: int) -> None:
        """Make sure that what is read at once does not go beyond the end of its frame."""
        if start < self._frame < end:
            self._differ()

    def _differ(self) -> None:
        """Give up: CPython's unpickler in C drops what is left of a frame, where the other refuses and loads goes on.

        Nobody who writes pickles does that, and each of these readers is told another name.
        """
        self.globals.add(UNKNOWN)
        raise _Fault(f"at byte {self.position} readers differ, because a frame ends amid an opcode")

    def _step(self, opcode: _Opcode, argument: bytes | None) -> None:
        name = opcode.name
        if name in _STRINGS:
            self._stack.append(_text(name, argument))
        elif name == "MARK":
            self._stack.append(_MARK)
        elif name in _MEMOS:
            self._remember(name, argument)
        elif name in _IMPORTS:
            self._names(opcode, argument)
        elif name == "DUP":
            self._stack.append(self._top())
        elif name == "POP" and self._stack and self._stack[-1] is _MARK:
            self._stack.pop()
        else:
            self._effect(opcode)

    def _remember(self, name: str, argument: bytes | None) -> None:
        if name.endswith("GET"):
            self._stack.append(self._memo.get(_number(name, argument)))
        else:
            self._memo.put(len(self._memo) if name == "MEMOIZE" else _number(name, argument), self._top())

    def _names(self, opcode: _Opcode, argument: bytes | None) -> None:
        """Follow an opcode that imports something."""
        if opcode.name == "STACK_GLOBAL":
            name, module = self._pop(), self._pop()
        elif opcode.argument == _LINE:
            module, name = _pair(argument)
        else:  # the registry of extensions is the reader's own
            module, name = "copyreg", f"extension {int.from_bytes(argument or b'', 'little')}"
        full = f"{module or UNKNOWN}.{name or UNKNOWN}"
        self.globals.add(full if len(full) <= NAME_LIMIT else f"{full[:NAME_LIMIT]}…")
        if len(self.globals) > GLOBALS_LIMIT:
            raise _Fault(f"it names more than {GLOBALS_LIMIT} globals")
        # After the name, as Python's own unpickler does it: what is imported has run, whatever the stack holds.
        if opcode.marked:
            self._effect(opcode)
        else:
            self._stack.append(None)

    def _effect(self, opcode: _Opcode) -> None:
        """Take from the stack what an opcode takes, and put unknown values there."""
        if opcode.marked:
            while (item := self._stack.pop() if self._stack else None) is not _MARK:
                if not self._stack and item is not _MARK:
                    raise _Fault(f"{opcode.name} before byte {self.position} finds no mark")
        for _ in range(opcode.pops):
            self._pop()
        self._stack.extend([None] * opcode.pushes)

    def _top(self) -> str | None:
        if not self._stack or self._stack[-1] is _MARK:
            raise _Fault(f"the stack is empty at byte {self.position}")
        value = self._stack[-1]
        return value if isinstance(value, str) else None

    def _pop(self) -> str | None:
        value = self._top()
        self._stack.pop()
        return value

    def _argument(self, opcode: _Opcode) -> bytes | None:
        """Take an opcode's argument; None for one that is longer than any name, which is jumped over."""
        size = opcode.argument
        if size >= 0:
            self._within(self.position, self.position + size)
            found = self._take(size)
            if len(found) < size:
                raise _Fault(f"it ends inside the argument of {opcode.name}")
            return found
        if size == _LINE:
            line = self._line()
            return line + b"\n" + self._line() if opcode.name in _PAIRS else line
        width, signed = _COUNTED[size]
        self._within(self.position, self.position + width)
        count = int.from_bytes(self._take(width), "little", signed=signed)
        start = self.position
        if count < 0 or start + count > self._view.size:
            raise _Fault(f"{opcode.name} at byte {start} claims {count} bytes, {self._view.size - start} are left")
        self._within(start, start + count)
        if opcode.name in _BYTES and _READABLE.match(self._view.read(start, min(count, 8))):
            self.nested.append((start, count))
            if len(self.nested) > NESTED_LIMIT:
                raise _Fault(f"more than {NESTED_LIMIT} byte strings in it begin like a pickle or an archive")
        if count > TEXT_LIMIT:
            self.position += count
            return None
        return self._take(count)

    def _take(self, count: int) -> bytes:
        """Return the next ``count`` bytes, or fewer where the view ends."""
        offset = self.position - self._base
        if offset + count > len(self._window):
            self._refill(count)
            offset = 0
        found = self._window[offset : offset + count]
        self.position += len(found)
        return found

    def _refill(self, count: int) -> None:
        """Hold the bytes from here on, at least ``count``; no byte is held twice but those of a broken argument."""
        self._base, self._window = self.position, self._view.read(self.position, max(count, self._size))
        self._size = min(2 * self._size, _WINDOW)

    def _line(self) -> bytes:
        """Return the bytes up to the end of the line; where there is none CPython too drops the last byte of all."""
        offset = self.position - self._base
        end = self._window.find(b"\n", offset, offset + LINE_LIMIT)
        if end < 0:
            self._refill(LINE_LIMIT)
            offset, end = 0, self._window.find(b"\n", 0, LINE_LIMIT)
        if end < 0 and self._view.size - self.position > LINE_LIMIT:
            raise _Fault(f"a line at byte {self.position} has more than {LINE_LIMIT} bytes")
        found = self._window[offset : end + 1 if end >= 0 else None]
        self._within(self.position, self.position + len(found))
        self.position += len(found)
        return found[:-1]


def nested(view: View, pickle: Pickle) -> list[Part]:
    """Return the byte strings that a pickle holds, each as a view."""
    return [Part(view, start, size) for start, size in pickle.nested]


def _pair(argument: bytes | None) -> tuple[str, str]:
    module, _, name = (argument or b"").partition(b"\n")
    return module.decode("utf-8", errors="replace"), name.decode("utf-8", errors="replace")


def _number(name: str, argument: bytes | None) -> int:
    """Return the number of a memo entry, which PUT and GET write in decimal digits."""
    data = argument or b""
    if name not in ("PUT", "GET"):
        return int.from_bytes(data, "little")
    try:
        number = int(data)
    except ValueError as error:
        raise _Fault(f"{name} with {data[:20]!r}, which is no number") from error
    if number < 0:
        raise _Fault(f"{name} with the number {number}")
    return number


def _text(name: str, argument: bytes | None) -> str | None:
    """Return a string as the unpickler would have it; None where it is too long or none."""
    if argument is None:
        return None
    try:
        if name == "UNICODE":
            return argument.decode("raw-unicode-escape")
        if name == "STRING":
            return _ESCAPE.sub(_unescaped, argument.strip()[1:-1]).decode("latin-1")
        return argument.decode("latin-1" if name in _BYTES else "utf-8")
    except ValueError:
        return None


def _unescaped(match: re.Match[bytes]) -> bytes:
    """Return the byte that an escape stands for; one that stands for nothing is kept as it is."""
    hexadecimal, octal, char = match.groups()
    if char is None:
        return bytes([int(hexadecimal, 16) if hexadecimal else int(octal, 8) & 0xFF])
    return _CONTROLS.get(char, char if char in b"\\'\"" else match[0])
