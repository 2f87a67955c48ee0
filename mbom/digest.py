"""Digests in the spellings that the formats use: lower-case hex of SHA-256, BLAKE3-256 and git blob ids."""

import hashlib
import re

import blake3 as _blake3

SHA256_HEX = re.compile(r"[0-9a-f]{64}")  # BLAKE3-256 looks the same
GIT_HEX = re.compile(r"[0-9a-f]{40}")


def sha256(data: bytes | bytearray | memoryview) -> str:
    """Return the SHA-256 of ``data`` in lower-case hex."""
    return hashlib.sha256(data).hexdigest()


def blake3(data: bytes | bytearray | memoryview) -> str:
    """Return the 256-bit BLAKE3 of ``data`` in lower-case hex."""
    return _blake3.blake3(data).hexdigest()


def git_blob(data: bytes) -> str:
    """Return the git object id of ``data`` as a blob: SHA-1 over ``blob <size>``, a zero byte and the bytes.

    SHA-1 is only compared with what the hub advertises; no claim of a bundle rests on it.
    """
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def is_sha256(text: str) -> bool:
    """Tell whether ``text`` is 64 lower-case hex digits."""
    return SHA256_HEX.fullmatch(text) is not None
