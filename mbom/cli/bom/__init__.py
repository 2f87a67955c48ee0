"""`mbom bom`: what can be asked of a finished BOM."""

import click

from mbom.cli.bom.coverage import coverage_command
from mbom.cli.bom.export import export
from mbom.cli.bom.form import form_command
from mbom.cli.bom.validate import validate


@click.group()
def bom() -> None:
    """Read, check and convert the BOM of a bundle, or anybody's.

    \b
    Examples:
      mbom bom validate gpt-oss-20b.mbom
      mbom bom coverage model.cdx.json --standard cisa
    """


for command in (coverage_command, form_command, validate, export):
    bom.add_command(command)
