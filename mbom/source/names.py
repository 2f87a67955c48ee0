"""The rules for the name of a file in a checkpoint: one place, the same for every source.

A name travels from a listing into paths, signed statements, reports and terminals, and onto file systems that fold
case or composition. So a name means one file everywhere, or the checkpoint is refused.
"""

import re
import unicodedata
from collections.abc import Iterable

from mbom.errors import RefusedError

COMPONENT_LIMIT = 255  # bytes of UTF-8 in one part of a path: what the usual file systems take
DEPTH_LIMIT = 32  # parts of a path; real repositories nest four deep, and a walk holds one descriptor a level
COUNT_LIMIT = 100_000  # files; the largest repositories of sharded checkpoints hold a few hundred

# Control, format (bidirectional marks, joiners), surrogate (bytes that are not UTF-8), line and paragraph separators:
# nothing of these can be seen, and some rearrange what can.
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})

# Opening one of these on Windows opens a device, whatever the extension.
_DEVICES = frozenset({"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))})

# The hub's own rule for owners and repositories, which are also names of folders in its cache.
_REPO = re.compile(r"[0-9A-Za-z_][0-9A-Za-z_.-]{0,95}/[0-9A-Za-z_][0-9A-Za-z_.-]{0,95}")


def is_repo(text: str) -> bool:
    """Tell whether ``text`` is spelled like a repository of the hub, ``org/name``."""
    return _REPO.fullmatch(text) is not None and not re.search(r"--|\.\.|[.-](/|$)|\.git$", text)


def is_bookkeeping(name: str) -> bool:
    """Tell whether ``name`` belongs to the tools that brought a checkpoint here, and not to the checkpoint.

    These are ``.git`` at the top (git's own storage) and ``.cache/huggingface`` (what ``hf download --local-dir``
    notes about its progress). Neither is part of a revision, both differ from machine to machine, and no loader looks
    there; every source leaves them out, so that a folder and the repository it came from hold the same files.
    """
    return any(name == own or name.startswith(f"{own}/") for own in (".git", ".cache/huggingface"))


def check_name(name: str, *, what: str) -> None:
    """Refuse a name that could mean another file elsewhere, or none.

    Args:
        name: the path inside the checkpoint, with forward slashes.
        what: how the message names the checkpoint.

    Raises:
        RefusedError: naming the file and the rule.
    """
    fault = _fault(name)
    if fault is not None:
        raise RefusedError(f"{what}: the file name {name[:COMPONENT_LIMIT]!r} {fault}")


def _fault(name: str) -> str | None:
    parts = name.split("/")
    if any(unicodedata.category(char) in _INVISIBLE for char in name):  # first: surrogates cannot be encoded below
        return "holds a control, formatting or undecodable character"
    faults = {
        "holds a backslash, which is a separator on Windows": "\\" in name,
        "is not in Unicode normal form C, so file systems disagree on which file it is": (
            unicodedata.normalize("NFC", name) != name
        ),
        f"is more than {DEPTH_LIMIT} levels deep": len(parts) > DEPTH_LIMIT,
        "is not a plain relative path: it is empty, absolute, or steps through '.' or '..'": (
            any(part in ("", ".", "..") for part in parts)
        ),
        f"has a part of more than {COMPONENT_LIMIT} bytes": any(len(part.encode()) > COMPONENT_LIMIT for part in parts),
        "has a part that ends with a dot or a space, which Windows drops": any(
            part[-1:] in (".", " ") for part in parts
        ),
        "has a part that Windows reserves for a device": (
            any(part.partition(".")[0].casefold() in _DEVICES for part in parts)
        ),
    }
    return next((fault for fault, found in faults.items() if found), None)


def check_names(names: Iterable[str], *, what: str) -> None:
    """Refuse names that break a rule, and names that are one file where case or composition is folded.

    Raises:
        RefusedError: naming the file, or both files, and the rule; also for a file that is another one's folder.
    """
    seen: dict[str, str] = {}
    for name in names:
        check_name(name, what=what)
        folded = _folded(name)
        if folded in seen:
            raise RefusedError(
                f"{what}: {seen[folded]!r} and {name!r} are one file on file systems that fold case; rename one of them"
            )
        seen[folded] = name
        if len(seen) > COUNT_LIMIT:
            raise RefusedError(f"{what}: more than {COUNT_LIMIT} files, which no checkpoint has")
    for folded, name in seen.items():
        folder = folded.rpartition("/")[0]
        while folder:
            if folder in seen:
                raise RefusedError(f"{what}: {seen[folder]!r} is a file and also the folder of {name!r}")
            folder = folder.rpartition("/")[0]


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name.casefold())
