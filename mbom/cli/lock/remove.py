"""`mbom lock remove`."""

from pathlib import Path

import click

from mbom.cli import options
from mbom.cli.console import Display
from mbom.cli.lock import printing
from mbom.errors import UsageError
from mbom.lockfile import Lock, changes
from mbom.lockfile import update as update_file


@click.command()
@click.argument("name")
@printing.lock_file
@options.as_json
@options.quiet
def remove(*, name: str, lock_file: Path, as_json: bool, quiet: bool) -> None:
    """Take a model out of the lock file; its bundle stays where it is.

    \b
    Example:
      mbom lock remove openai/gpt-oss-20b
    """

    def change(lock: Lock) -> Lock:
        if lock.get(name) is None:
            raise UsageError(f"{ascii(name)[1:-1]} is not locked in {lock_file}")
        return lock.without(name)

    old, new = update_file(lock_file, change)
    printing.show(Display(quiet=quiet), lock_file, changes(old, new), verdict=None, as_json=as_json)
