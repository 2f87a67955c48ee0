"""`mbom bom`: what can be asked of a finished BOM."""

import click

from mbom.cli.bom.export import export
from mbom.cli.bom.validate import validate


@click.group()
def bom() -> None:
    """Read, check and convert the BOM of a bundle, or anybody's."""


for command in (export, validate):
    bom.add_command(command)
