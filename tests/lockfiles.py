"""Entries of lock files for tests that need no bundle."""

from dataclasses import replace
from datetime import date
from typing import Any

from mbom.lockfile import Entry, Lock
from mbom.signing import Signatory

KEY = Signatory(key="SHA256:" + "A" * 43)
KEYLESS = Signatory(identity="release@example.org", issuer="https://accounts.example.org")

PINNED = Entry(
    name="openai/gpt-oss-20b",
    repo="openai/gpt-oss-20b",
    revision="6c" * 20,
    digest="1a" * 32,
    bundle="evidence/gpt-oss-20b.mbom",
    bundle_digest="2b" * 32,
    signer=KEYLESS,
    licence=("Apache-2.0",),
    restrictions=(),
    checked=("bundle", "signature", "evidence"),
    date=date(2026, 11, 21),
)
FOLDER = replace(PINNED, name="mine", repo=None, revision=None, bundle="mine.mbom", signer=KEY)


def lock(*entries: Entry) -> Lock:
    """Return a lock that holds these entries, given in any order."""
    return Lock(entries=tuple(sorted(entries, key=lambda entry: entry.name)))


def but(entry: Entry = PINNED, **members: Any) -> Entry:
    """Return a copy of an entry with other members."""
    return replace(entry, **members)
