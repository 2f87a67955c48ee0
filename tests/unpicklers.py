"""CPython's own unpicklers as oracles of what a pickle imports: they are asked, and import nothing."""

import io
import pickle
from typing import Any, Self


class Asked:
    """An unpickler that imports nothing and notes what it is asked to import."""

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data))  # type: ignore[call-arg]  # of the unpickler behind it
        self.asked: set[str] = set()

    def find_class(self, module: str, name: str) -> Any:
        """Note a name, and give what takes anything."""
        self.asked.add(f"{module}.{name}")
        return Anything

    def persistent_load(self, pid: Any) -> Any:
        """Give what takes anything."""
        assert pid is not self
        return Anything()


class Fast(Asked, pickle.Unpickler):
    """CPython's unpickler in C."""


class Slow(Asked, pickle._Unpickler):
    """CPython's unpickler in Python, which differs from the other where streams are broken."""


class Anything:
    """Takes whatever a pickle does to it."""

    def __new__(cls, *_: Any, **__: Any) -> Self:
        """Take any arguments."""
        return super().__new__(cls)

    def __setstate__(self, _: Any) -> None:
        """Take any state."""

    def append(self, _: Any) -> None:
        """Take an item."""

    def extend(self, _: Any) -> None:
        """Take items."""

    def __setitem__(self, _: Any, __: Any) -> None:
        """Take an item by a key."""


def asked(data: bytes) -> tuple[set[str], bool]:
    """Return what CPython's two unpicklers would import, up to where each gives up, and whether one of them does."""
    found: set[str] = set()
    gave_up = False
    # The one in C makes room for as many memo entries as a PUT has a number.
    readers: list[Fast | Slow] = [Slow(data)] if {*b"pr"} & {*data} else [Slow(data), Fast(data)]
    for reader in readers:
        try:
            reader.load()
        except Exception:  # noqa: BLE001 - whatever a broken stream makes it raise
            gave_up = True
        found |= reader.asked
    return found, gave_up
