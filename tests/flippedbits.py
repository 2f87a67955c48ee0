"""Single bits flipped over a checkpoint and its bundle, and what the verification says of each."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mbom import bundle
from mbom.signing import Verifier
from mbom.source import FolderSource
from mbom.tensorfile import parse_header
from mbom.verdict import Verdict
from mbom.verify import verify


@dataclass(frozen=True, kw_only=True)
class Flip:
    """One bit of one file: ``at`` is the byte, ``bit`` the bit in it; ``tensor`` the tensor whose data it is in."""

    name: str
    path: Path
    at: int
    bit: int
    tensor: str | None
    in_bundle: bool

    def __str__(self) -> str:
        return f"{self.name} byte {self.at} bit {self.bit}"


def flips(checkpoint: Path, folder: Path, *, count: int, seed: int) -> Iterator[Flip]:
    """Yield ``count`` flips, the same for the same seed.

    Every second one falls on any byte of all, so that large files get most, and the others on a file drawn first, so
    that small ones get some.
    """
    files = [
        (path, str(path.relative_to(root)), root == folder)
        for root in (checkpoint, folder)
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.stat().st_size
    ]
    sizes = [path.stat().st_size for path, _, _ in files]
    chance = random.Random(seed)
    for number in range(count):
        path, name, in_bundle = chance.choices(files, sizes if number % 2 else None)[0]
        at, bit = chance.randrange(path.stat().st_size), chance.randrange(8)
        tensor = None if in_bundle or path.suffix != ".safetensors" else _tensor(path, at)
        yield Flip(name=name, path=path, at=at, bit=bit, tensor=tensor, in_bundle=in_bundle)


def _tensor(path: Path, at: int) -> str | None:
    data = path.read_bytes()
    header = parse_header(data, len(data), path.name)
    return next((tensor.name for tensor in header.tensors if tensor.start <= at < tensor.end), None)


@contextmanager
def flipped(flip: Flip) -> Iterator[None]:
    """Flip the bit in its file, and flip it back."""
    honest = flip.path.read_bytes()
    bent = bytearray(honest)
    bent[flip.at] ^= 1 << flip.bit
    flip.path.write_bytes(bent)
    try:
        yield
    finally:
        flip.path.write_bytes(honest)


def verdict_on(flip: Flip, checkpoint: Path, folder: Path, verifier: Verifier) -> Verdict:
    """Return what the verification says while the bit is flipped."""
    with flipped(flip):
        return verify(folder, verifier=verifier, checkpoint=FolderSource(checkpoint))


def unseen(flip: Flip, verdict: Verdict) -> str | None:
    """Say what the verdict does not tell of a flip; None where it refuses, and names the file and the tensor."""
    if verdict.exit_code != 1:
        return "not refused"
    found = {check.id: check.detail for check in verdict.checks if check.outcome == "FAIL"}
    step = "files" if not flip.in_bundle else "signature" if flip.name == bundle.ATTESTATION else "evidence"
    if flip.name not in found.get(step, ""):
        return f"{step} does not name the file"
    if flip.tensor is not None and flip.tensor not in found.get("tensors", ""):
        return f"tensors does not name {flip.tensor}"
    return None
