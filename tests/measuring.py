"""The trained fixture and a bent copy of it, each measured by the command as a user runs it."""

from dataclasses import dataclass
from pathlib import Path

from attesting import Scene, change_tensor, copy_scene
from commands import mbom

NONCE = "5f0c7a12e9"
BENT = "model.layers.2.mlp.experts.down_proj"  # of expert 4 one weight is moved to the neighbouring MXFP4 value


@dataclass(frozen=True, kw_only=True)
class Records:
    """Folders: an honest checkpoint, its bundle and its signer's key; a bent copy; records of both."""

    checkpoint: Path
    bundle: Path
    key: Path
    bent: Path
    measured: Path  # of the honest checkpoint, on the fixed prompts
    answered: Path  # of the honest checkpoint, under NONCE
    of_bent: Path  # of the bent copy, on the fixed prompts


def records_at(root: Path, attested: Scene) -> Records:
    """Return where ``measure_all`` writes below ``root``."""
    return Records(
        checkpoint=attested.checkpoint,
        bundle=attested.bundle,
        key=attested.root / "release.pub",
        bent=root / attested.checkpoint.name,
        measured=root / "measured.record",
        answered=root / "answered.record",
        of_bent=root / "bent.record",
    )


def measure_all(attested: Scene, root: Path) -> None:
    """Bend a copy of the attested fixture and write the records below ``root``."""
    change_tensor(copy_scene(attested, root), f"{BENT}_blocks", _move_one)
    found = records_at(root, attested)
    for checkpoint, record, options in (
        (found.checkpoint, found.measured, ()),
        (found.checkpoint, found.answered, ("--challenge", NONCE)),
        (found.bent, found.of_bent, ()),
    ):
        run = mbom("measure", checkpoint, "-o", record, *options, "--device", "cpu", home=root)
        assert run.returncode == 0, run.stderr
        assert run.stdout == f"{record}\n"


def _move_one(data: bytes) -> bytes:
    at = len(data) // 2
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
