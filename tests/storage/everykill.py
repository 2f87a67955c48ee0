"""Writes a bundle again and again, and is killed before each step that touches the file system, one after another.

    python everykill.py ROOT new|replace [no-exchange]

Prints a line of JSON for each step: what it was, what there is after the kill, after a second run, and beside it.
"""

import contextlib
import itertools
import json
import os
import shutil
import signal
import sys
from pathlib import Path

from refusing import NO_EXCHANGE, refuse

from mbom import bundle
from mbom.errors import MbomError

OLD = {bundle.BOM: b"old", bundle.INVENTORY: b"old", bundle.shard_member("a/b.safetensors"): b"old"}
NEW = {bundle.BOM: b"new", bundle.INVENTORY: b"new", bundle.MODEL_SIGNATURE: b"new"}


def kill_before(root: Path, step: int, note: int) -> None:
    """Kill this process before the ``step``-th event below ``root``; write its name to ``note``."""
    count = itertools.count()

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        path = arguments[0] if arguments else None
        if isinstance(path, str | os.PathLike) and str(root) in os.fspath(path) and next(count) == step:
            os.write(note, event.encode())
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def killed(root: Path, step: int, *, force: bool) -> tuple[str, bool]:
    """Write in a child that is killed before ``step``; return the name of the step, and whether it came to that."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        kill_before(root, step, writing)
        bundle.write(root / "a.mbom", NEW, force=force)
        os._exit(0)
    os.close(writing)
    _, status = os.waitpid(child, 0)
    with os.fdopen(reading) as pipe:
        return pipe.read(), os.WIFSIGNALED(status)


def what(folder: Path) -> str:
    """Say what is there: nothing, the old bundle, the new one, or something else."""
    if not os.path.lexists(folder):
        return "none"
    with contextlib.suppress(MbomError):
        members = bundle.read(folder)
        return "old" if members == OLD else "new" if members == NEW else "half"
    return "half"


def main() -> None:
    """Try every step."""
    root, replace = Path(sys.argv[1]), sys.argv[2] == "replace"
    if sys.argv[3:] == ["no-exchange"]:
        refuse([NO_EXCHANGE])
    for step in itertools.count():
        shutil.rmtree(root)
        root.mkdir()
        if replace:
            bundle.write(root / "a.mbom", OLD, force=False)
        event, died = killed(root, step, force=replace)
        if not died:
            return
        found = what(root / "a.mbom")
        with bundle.reserved(root / "a.mbom", force=True) as write:  # what a second run finds before it works
            recovered = what(root / "a.mbom")
            write(NEW)
        beside = sorted(entry.name for entry in root.iterdir())
        told = {"step": step, "event": event, "after": found, "recovered": recovered, "again": what(root / "a.mbom")}
        sys.stdout.write(json.dumps(told | {"beside": beside}) + "\n")


if __name__ == "__main__":
    main()
