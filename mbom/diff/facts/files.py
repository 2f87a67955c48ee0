"""The files of two models, byte by byte: by their names, and where a name is gone by their digests."""

from mbom.diff.changes import FileChange, Files, FileStatus
from mbom.diff.facts.pairing import matched
from mbom.inventory import FileRecord, Inventory


def files(old: Inventory, new: Inventory) -> Files:
    """Compare the files of two inventories."""
    before = {file.name: file for file in old.files}
    after = {file.name: file for file in new.files}
    both = before.keys() & after.keys()
    found = [
        _change("changed", before[name], after[name])
        for name in both
        if _content(before[name]) != _content(after[name])
    ]
    identical = len(both) - len(found)
    moved = renamed(old, new)
    found += [_change("renamed", before[name], after[became]) for name, became in moved.items()]
    found += [_change("removed", before[name], None) for name in before.keys() - both - moved.keys()]
    found += [_change("added", None, after[name]) for name in after.keys() - both - set(moved.values())]
    return Files(identical=identical, changes=tuple(sorted(found, key=lambda change: (change.name, change.status))))


def renamed(old: Inventory, new: Inventory) -> dict[str, str]:
    """Return the new name of every file that stands under another one; empty files tell nothing by their content."""
    names = {file.name for file in old.files}, {file.name for file in new.files}
    gone = [file for file in old.files if file.name not in names[1] and file.size]
    came = [file for file in new.files if file.name not in names[0] and file.size]
    same, _, _ = matched(gone, came, _content)
    return {before.name: after.name for before, after in same}


def _content(file: FileRecord) -> tuple[str, int]:
    return file.sha256, file.size


def _change(status: FileStatus, before: FileRecord | None, after: FileRecord | None) -> FileChange:
    shown = after or before
    assert shown is not None
    return FileChange(
        status=status,
        name=shown.name,
        old_name=None if before is None else before.name,
        role=shown.role,
        old_sha256=None if before is None else before.sha256,
        new_sha256=None if after is None else after.sha256,
        old_size=None if before is None else before.size,
        new_size=None if after is None else after.size,
    )
