"""Dossiers to compare: of checkpoints that are a few bytes long, of real ones, and of none at all."""

import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from checkpoints import Tensors, write_checkpoint

from mbom.behaviour.record import Record
from mbom.diff.changes import FieldChange
from mbom.digest import sha256
from mbom.dossier import Dossier, read_checkpoint
from mbom.inventory import FileRecord, Finding, Inventory, TensorRecord
from mbom.inventory.roles import role
from mbom.source import FolderSource, Origin
from mbom.strictjson import Json

FIXTURES = Path(__file__).parent.parent / "fixtures"
BUNDLE = FIXTURES / "bundles" / "v3" / "tiny-gpt-oss.mbom"
CHECKPOINT = FIXTURES / "tiny-gpt-oss"
CREATED = datetime(2026, 11, 2, 8, 30, tzinfo=UTC)

# What a terminal, Markdown or HTML would do something with.
HOSTILE = (
    "\x1b[2J\x1b]0;owned\x07",
    "\u202egnp.exe",
    "![x](https://evil.example/p.png)",
    "<script>alert(1)</script>",
    "```\n# heading",
    "| a | b |",
    "@somebody #1 www.evil.example",
    "line\r\nbreak\u2028more",
    "[bold red]rich[/]",
)


def read(folder: Path, *, label: str = "it") -> Dossier:
    """Return the dossier of a checkpoint."""
    return read_checkpoint(FolderSource(folder), label=label, created=CREATED)


def written(folder: Path, side: Mapping[str, bytes], tensors: Tensors | None = None) -> Dossier:
    """Write a small checkpoint and return its dossier."""
    return read(write_checkpoint(folder, tensors, side=side), label=folder.name)


def edited(root: Path, **edits: Callable[[bytes], bytes]) -> Path:
    """Return a copy of the trained fixture with files edited; their names have two underscores for a dot."""
    copy = Path(shutil.copytree(CHECKPOINT, root / "edited"))
    for name, edit in edits.items():
        path = copy / name.replace("__", ".")
        path.write_bytes(edit(path.read_bytes()))
    return copy


def members(**changes: Any) -> Callable[[bytes], bytes]:
    """Return an edit that replaces members of a JSON object; None takes one away."""

    def edit(data: bytes) -> bytes:
        document = json.loads(data) | changes
        return json.dumps({name: value for name, value in document.items() if value is not None}).encode()

    return edit


def bundled(dossier: Dossier, *, record: Record | None = None, label: str = "its bundle") -> Dossier:
    """Return what a bundle of the checkpoint would tell."""
    return replace(dossier, label=label, kind="bundle", side={}, files={}, record=record)


def listed(
    *, files: Mapping[str, str] | None = None, tensors: Iterable[TensorRecord] = (), findings: Iterable[Finding] = ()
) -> Dossier:
    """Return a dossier that knows names and digests and nothing else; digests are given as any short text."""
    held = [
        FileRecord(name=name, size=len(text), sha256=sha256(text.encode()), role=role(name))
        for name, text in sorted((files or {}).items())
    ]
    inventory = Inventory(
        origin=Origin(kind="folder", name="model"),
        files=tuple(held),
        tensors=tuple(sorted(tensors, key=lambda tensor: tensor.name)),
        findings=tuple(findings),
    )
    return Dossier(label="model", kind="bundle", inventory=inventory, document={})


def tensor(
    name: str, content: str = "", *, dtype: str = "BF16", shape: tuple[int, ...] = (4,), file: str = "a"
) -> TensorRecord:
    """Return a tensor of that content."""
    return TensorRecord(
        name=name,
        file=f"{file}.safetensors",
        dtype=dtype,
        shape=shape,
        start=8,
        end=16 if content != "empty" else 8,
        blake3=sha256(f"{content or name} of {dtype}".encode()),
    )


def by_name(fields: Iterable[FieldChange], section: str) -> dict[str, tuple[Json, Json]]:
    """Return old and new of the changes of a section by name; of those by one name the last."""
    return {change.name: (change.old, change.new) for change in fields if change.section == section}
