"""Writing what commands were asked to write into one file, all of it or nothing."""

from pathlib import Path

from mbom.cli.console import shown
from mbom.errors import StorageError, UsageError
from mbom.storage import files


def save(path: Path, data: bytes, *, force: bool) -> None:
    """Write ``data`` to ``path``.

    Args:
        path: the file; a device or a pipe is written to as it is.
        data: its content.
        force: whether a file that is there gives way.

    Raises:
        UsageError: when something is there and ``force`` is not given.
        StorageError: when the disk is full or does not allow it; what was there stays.
    """
    try:
        files.write(path, data, replace=force)
    except FileExistsError as error:
        raise UsageError(f"{shown(path)} exists; give another path with -o, or --force to replace it") from error
    except OSError as error:
        raise StorageError(f"{shown(path)}: nothing written: {error.strerror}") from error
