"""`mbom bom`: what can be asked of a finished BOM."""

import click


@click.group()
def bom() -> None:
    """Read, check and convert the BOM of a bundle, or anybody's."""
