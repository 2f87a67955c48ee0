"""What the commands of ``mbom lock`` share: the option that names the file, and what they print of a change."""

from collections.abc import Sequence
from pathlib import Path

import click

from mbom.cli import options
from mbom.cli.console import Display, shown
from mbom.lockfile import FILE_NAME, Entry, LockChange
from mbom.strictjson import Json
from mbom.verdict import Verdict

SCHEMA = "urn:mbom:lock:v1"

lock_file = click.option(
    "--lock",
    "lock_file",
    type=options.PATH,
    default=Path(FILE_NAME),
    metavar="FILE",
    help=f"The lock file; bundles lie in its folder. [default: {FILE_NAME}]",
)

# What a change of each key is called in the table; a verification's day and steps go without saying.
_SHOWN = ("repo", "revision", "digest", "bundle", "bundle_digest", "signer", "licence", "restrictions")


def show(
    display: Display, path: Path, changes: Sequence[LockChange], *, verdict: Verdict | None, as_json: bool
) -> None:
    """Print what became of a lock file; without changes, because the bundle was not verified, that nothing did."""
    if as_json:
        document: dict[str, Json] = {
            "schema": SCHEMA,
            "lock": str(path),
            "changes": [change.to_dict() for change in changes],
            "verdict": verdict.to_dict() if verdict is not None else None,
        }
        display.json(document)
        return
    if verdict is not None and verdict.outcome != "verified":
        display.verdict(verdict)
        display.line(f"{shown(path)}   nothing was locked")
        return
    for change in changes:
        for line in _lines(change):
            display.line(line)
    display.data(str(path))


def _lines(change: LockChange) -> list[str]:
    entry = change.new or change.old
    assert entry is not None
    lines = [f"{change.name}   {', '.join(change.kinds)}"]
    for key in _SHOWN:
        if change.old is None or change.new is None or not change.keys:
            if getattr(entry, key) is not None:
                lines.append(f"  {key:<13} {_value(entry, key)}")
        elif key in change.keys:
            lines.append(f"  {key:<13} {_value(change.old, key)} → {_value(change.new, key)}")
    return lines


def _value(entry: Entry, key: str) -> str:
    value = getattr(entry, key)
    if isinstance(value, tuple):
        return ", ".join(value) or "none"
    return str(value) if value is not None else "none"
