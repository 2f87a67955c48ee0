"""`mbom keygen`."""

import os
from pathlib import Path

import click

from mbom.cli import options, trust
from mbom.cli.console import Display, shown
from mbom.signing import generate, public_path


@click.command()
@click.argument("path", type=options.PATH)
@click.option("--encrypt", is_flag=True, help=f"Encrypt with a password from {trust.PASSWORD_VARIABLE} or a prompt.")
@options.quiet
def keygen(*, path: Path, encrypt: bool, quiet: bool) -> None:
    """Make an ECDSA P-256 key pair: PATH for signing, and the same name ending in .pub for whoever verifies.

    \b
    Example:
      mbom keygen release.pem        writes release.pem (mode 0600) and release.pub
    """
    display = Display(quiet=quiet)
    password = _new_password() if encrypt else None
    public = generate(path, password=password)
    display.line(f"{shown(path)}   private key, {'encrypted' if encrypt else 'not encrypted'}; keep it to yourself")
    display.line(f"{shown(public_path(path))}   public key, {public.algorithm}; give it to whoever verifies")
    display.line(f"fingerprint {public.fingerprint}")


def _new_password() -> bytes:
    given = os.environ.get(trust.PASSWORD_VARIABLE)
    if given is not None:
        return given.encode()
    text: str = click.prompt("New password", hide_input=True, confirmation_prompt=True, err=True, type=str)
    return text.encode()
