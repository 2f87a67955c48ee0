"""Checkpoints that attack whoever reads them, each with what must be said of it, and honest ones beside them.

A case begins with an honest checkpoint and spoils it in one way. Its payloads, where it has any, would make a file: the
canary. Nothing here is ever loaded, unpacked or run.
"""

from pathlib import Path

from hostilecheckpoints import configs, files, headers, index, programs, tokenizers
from hostilecheckpoints.case import Case, Scene, write_honest
from hostilecheckpoints.files import COMMIT, IN_CACHE
from hostilecheckpoints.honest import HONEST

HOSTILE: list[Case] = [
    *headers.CASES,
    *index.CASES,
    *configs.CASES,
    *tokenizers.CASES,
    *programs.CASES,
    *files.CASES,
]

__all__ = ["HONEST", "HOSTILE", "Case", "Scene", "build"]


def build(case: Case, folder: Path) -> Scene:
    """Write a case below an empty folder and return where it is."""
    inside = Path("models--org--model", "snapshots", COMMIT) if case.group == IN_CACHE else Path("model")
    scene = Scene(folder=folder / inside, canary=folder / "canary")
    write_honest(scene)
    case.build(scene)
    return scene
