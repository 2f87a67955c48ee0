"""Program code of a checkpoint, whoever runs it: files of code, pickles, formats that run, classes from elsewhere."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from types import MappingProxyType

from mbom.inventory import harmless
from mbom.inventory.content import EXECUTABLE
from mbom.inventory.executables import Contents
from mbom.inventory.findings import finding, listed, plain
from mbom.inventory.record import Finding, Inventory
from mbom.inventory.roles import CODE

_KINDS = MappingProxyType({
    ".bat": "shell script", ".bash": "shell script", ".cmd": "shell script", ".ps1": "shell script",
    ".sh": "shell script", ".dll": "native code", ".dylib": "native code", ".exe": "native code", ".so": "native code",
    ".wasm": "WebAssembly", ".metal": "GPU code", ".cu": "GPU code", ".cuh": "GPU code", ".ipynb": "notebook",
    ".jar": "package", ".whl": "package", ".py": "Python", ".pyc": "compiled Python", ".pyx": "Python",
})  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class PickleFile:
    """A pickle, or an archive of some: its globals, those first that can run anything, and how many are harmless."""

    file: str
    format: str
    globals: tuple[str, ...]
    harmless: int
    whole: bool  # whether it could be looked into to its end


@dataclass(frozen=True, kw_only=True)
class Code:
    """The code of a checkpoint.

    Attributes:
        files: (name, kind) of files of program code, such as (``modeling.py``, ``Python``).
        executables: (name, format) of files of other formats whose readers can be made to run something.
        pickles: every file that holds a pickle.
        examined: whether the contents of files were looked into; without, nothing is known of the last two.
    """

    files: tuple[tuple[str, str], ...] = ()
    executables: tuple[tuple[str, str], ...] = ()
    pickles: tuple[PickleFile, ...] = ()
    examined: bool = False


def read_code(inventory: Inventory, contents: Mapping[str, Contents] | None) -> Code:
    """Return the code among the files; ``contents`` by name, as the scan gives them, None where nobody looked."""
    examined, contents = contents is not None, contents or {}
    return Code(
        examined=examined,
        files=tuple((file.name, _kind(file.name)) for file in inventory.files if file.role == CODE),
        executables=tuple(
            (name, content.format)
            for name, content in sorted(contents.items())
            if content.format is not None and content.format in EXECUTABLE
        ),
        pickles=tuple(
            _pickle(name, content)
            for name, content in sorted(contents.items())
            if content.globals or content.format in ("pickle", "pytorch", "torchscript")
        ),
    )


def elsewhere(remote_code: Iterable[str]) -> tuple[Finding, ...]:
    """Report classes that ``auto_map`` takes from another repository, given as ``file: class = repository--module``."""
    found: dict[str, list[str]] = {}
    for entry in remote_code:
        file, _, rest = entry.partition(": ")
        if "--" in rest.rpartition(" = ")[2]:
            found.setdefault(file, []).append(rest)
    return tuple(
        finding(
            "remote-code-elsewhere", file, f"{listed(entries)}: neither this revision nor its digests cover that code"
        )
        for file, entries in found.items()
    )


def _pickle(name: str, content: Contents) -> PickleFile:
    harmful = harmless.harmful(content.globals)
    return PickleFile(
        file=name,
        format=content.format or "pickle",
        globals=tuple(plain(item) for item in harmful),
        harmless=len(content.globals) - len(harmful),
        whole=not content.unread,
    )


def _kind(name: str) -> str:
    suffix = PurePosixPath(name.lower()).suffix
    return _KINDS.get(suffix, f"{suffix.removeprefix('.')} source" if suffix else "source")
