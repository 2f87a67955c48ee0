"""A file is the one that was read as long as the system cannot tell the two apart."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mbom.errors import ChangedError, StorageError
from mbom.inventory.identity import Identity, refuse_changes


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    for name in ("a.safetensors", "b.json"):
        (tmp_path / name).write_bytes(b"0123456789")
        os.utime(tmp_path / name, ns=(5, 5))
    return {path.name: path for path in sorted(tmp_path.iterdir())}


def identities(files: dict[str, Path]) -> dict[str, Identity]:
    return {name: Identity.of(path.lstat()) for name, path in files.items()}


def write(path: Path) -> None:
    path.write_bytes(b"9876543210")


def replace(path: Path) -> None:
    path.with_name("other").write_bytes(path.read_bytes())
    os.utime(path.with_name("other"), ns=(5, 5))
    path.with_name("other").replace(path)


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "written to": (write, "written to"),
    "cut off": (lambda path: os.truncate(path, 3), "truncated from 10 to 3 bytes"),
    "extended": (lambda path: os.truncate(path, 30), "extended from 10 to 30 bytes"),
    "replaced": (replace, "replaced by another file"),
    "removed": (Path.unlink, "removed"),
}


@pytest.mark.parametrize("case", CHANGES)
def test_a_file_that_is_another_since_it_was_read_is_named(files: dict[str, Path], case: str) -> None:
    read = identities(files)
    refuse_changes(files, read)
    change, words = CHANGES[case]
    change(files["b.json"])
    with pytest.raises(ChangedError, match=rf"b\.json: {words}.* since it was read"):
        refuse_changes(files, read)


def test_a_link_or_a_permission_more_is_no_change_of_the_bytes(files: dict[str, Path], tmp_path: Path) -> None:
    read = identities(files)
    os.link(files["b.json"], tmp_path / "link")
    files["a.safetensors"].chmod(0o444)
    refuse_changes(files, read)


def test_a_file_that_cannot_be_looked_at_is_named(files: dict[str, Path]) -> None:
    read = identities(files)
    with pytest.raises(StorageError, match=r"b\.json: cannot be looked at any more: Not a directory"):
        refuse_changes(files | {"b.json": files["b.json"] / "below"}, read)
