"""Writing what a subcommand made of a BOM."""

from pathlib import Path

from mbom.cli.console import shown
from mbom.errors import StorageError, UsageError


def write(path: Path, data: bytes, *, force: bool) -> None:
    """Write a file that is not there yet, or replace one where the user says so.

    A path beside the BOM is easily mistyped, and what a bundle holds is signed.

    Raises:
        UsageError: when the file exists.
        StorageError: when it cannot be written.
    """
    try:
        with path.open("wb" if force else "xb") as file:
            file.write(data)
    except FileExistsError as error:
        raise UsageError(f"{shown(path)} exists; give another path with -o, or --force to replace it") from error
    except OSError as error:
        raise StorageError(f"{shown(path)}: nothing written: {error.strerror}") from error
