"""An append-only log: RFC 6962's Merkle tree with signed-note checkpoints (https://c2sp.org/tlog-checkpoint)."""

import hashlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from sigstoreloop.authorities import b64, key_id, new_key, sign


@dataclass(frozen=True, kw_only=True)
class Inclusion:
    """Where an entry stands, and the proof of it."""

    index: int
    size: int
    root: bytes
    path: Sequence[bytes]
    checkpoint: str


class Log:
    """A log; the name in its checkpoints must occur in the URL of the trust configuration, or sigstore-js objects."""

    def __init__(self, name: str) -> None:
        self.key = new_key()
        self.name = name
        self.leaves: list[bytes] = []
        self.lock = threading.Lock()

    def add(self, body: bytes) -> Inclusion:
        with self.lock:
            self.leaves.append(hashlib.sha256(b"\0" + body).digest())
            leaves = list(self.leaves)
        top = root(leaves)
        text = f"{self.name}\n{len(leaves)}\n{b64(top)}\n"
        signature = b64(key_id(self.key)[:4] + sign(self.key, text.encode()))
        return Inclusion(
            index=len(leaves) - 1,
            size=len(leaves),
            root=top,
            path=path(len(leaves) - 1, leaves),
            checkpoint=f"{text}\n— {self.name} {signature}\n",
        )


def split(leaves: Sequence[bytes]) -> int:
    """Return the largest power of two below the number of leaves."""
    return 1 << ((len(leaves) - 1).bit_length() - 1)


def root(leaves: Sequence[bytes]) -> bytes:
    if len(leaves) == 1:
        return leaves[0]
    left = split(leaves)
    return hashlib.sha256(b"\1" + root(leaves[:left]) + root(leaves[left:])).digest()


def path(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    if len(leaves) == 1:
        return []
    left = split(leaves)
    if index < left:
        return [*path(index, leaves[:left]), root(leaves[left:])]
    return [*path(index - left, leaves[left:]), root(leaves[:left])]
