"""Which keys the commands use: the one that was named, or the user's own under the configuration folder."""

import os
from pathlib import Path

import click

from mbom.cli import folders
from mbom.cli.console import Display, shown
from mbom.errors import UsageError
from mbom.signing import KeyVerifier, LocalSigner, default_key

PASSWORD_VARIABLE = "MBOM_KEY_PASSWORD"  # noqa: S105  # the name of a variable, not a password


def password() -> bytes:
    """Return the password of an encrypted key, from the environment or a prompt that does not echo."""
    given = os.environ.get(PASSWORD_VARIABLE)
    if given is not None:
        return given.encode()
    text: str = click.prompt("Password of the key", hide_input=True, err=True, type=str)
    return text.encode()


def signer(key: Path | None, display: Display) -> LocalSigner:
    """Return the signer for ``--key``, or for the user's own key, made on first use with a notice."""
    if key is not None:
        return LocalSigner.load(key, password)
    path, created = default_key(folders.configuration())
    own = LocalSigner.load(path, password)
    if created:
        display.line(f"Made your signing key {shown(path)}, {own.identity}: keep it, and give others the .pub file.")
    return own


def verifier(key: Path | None) -> KeyVerifier:
    """Return the verifier for ``--key``, or for the user's own public key.

    Raises:
        UsageError: when no key is named and the user has none.
    """
    if key is not None:
        return KeyVerifier.load(key)
    own = folders.configuration() / "key.pub"
    if not own.exists():
        raise UsageError("whom do you trust? Give the signer's public key with --key; you have no key of your own yet")
    return KeyVerifier.load(own)
