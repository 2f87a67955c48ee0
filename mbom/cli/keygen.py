"""`mbom keygen`."""

from pathlib import Path

import click

from mbom.cli import options, trust
from mbom.cli.console import Display, shown
from mbom.errors import UsageError
from mbom.signing import CURVES, TokenKey, generate, public_path, publish_public


@click.command()
@click.argument("path", type=options.PATH)
@click.option("--curve", type=click.Choice(list(CURVES)), help="The curve of ECDSA. [default: P-256]")
@click.option("--encrypt", is_flag=True, help=f"Encrypt with a password from {trust.PASSWORD_VARIABLE} or a prompt.")
@click.option(
    "--from",
    "source",
    type=options.SIGNING_KEY,
    metavar="KEY",
    help="Make no key: write the public half of this one, a file or a pkcs11: URI, to PATH.",
)
@options.quiet
def keygen(*, path: Path, curve: str | None, encrypt: bool, source: Path | TokenKey | None, quiet: bool) -> None:
    """Make an ECDSA key pair: PATH for signing, and the same name ending in .pub for whoever verifies.

    A key that stays on a token is made with the token's own tools; --from writes its public half.

    \b
    Example:
      mbom keygen release.pem        writes release.pem (mode 0600) and release.pub
      mbom keygen --from 'pkcs11:token=release;object=signing' release.pub
    """
    display = Display(quiet=quiet)
    if source is not None:
        if encrypt or curve is not None:
            raise UsageError("--from makes no key, so --encrypt and --curve exclude it")
        public = trust.opened(source).public_key
        publish_public(path, public)
        display.line(f"{shown(path)}   public key, {public.algorithm}; give it to whoever verifies")
    else:
        password = trust.new_password() if encrypt else None
        public = generate(path, password=password, curve=curve or "P-256")
        display.line(f"{shown(path)}   private key, {'encrypted' if encrypt else 'not encrypted'}; keep it to yourself")
        display.line(f"{shown(public_path(path))}   public key, {public.algorithm}; give it to whoever verifies")
    display.line(f"fingerprint {public.fingerprint}")
