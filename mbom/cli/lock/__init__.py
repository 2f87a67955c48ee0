"""`mbom lock`: the models that a repository uses, and the evidence that they were verified by."""

import click

from mbom.cli.lock.check import check
from mbom.cli.lock.put import add, update
from mbom.cli.lock.remove import remove


@click.group()
def lock() -> None:
    """Keep the models that a repository uses in a file, each with the evidence that it was verified by.

    The file is mbom.lock beside the code: what a pull request changes in it is what changes in the product.

    \b
    Examples:
      mbom lock add evidence/gpt-oss-20b.mbom --key release.pub
      mbom lock check
    """


for command in (add, update, check, remove):
    lock.add_command(command)
