"""Which keys the commands use: the one that was named, or the user's own under the configuration folder."""

import os
from collections.abc import Sequence
from pathlib import Path

import click

from mbom.cli import folders
from mbom.cli.console import Display, shown
from mbom.errors import UsageError
from mbom.signing import CertificateVerifier, KeyVerifier, LocalSigner, Verifier, default_key

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


def verifier(
    key: Path | None, *, chain: Sequence[Path] = (), identity: str | None = None, legacy: bool = False
) -> Verifier:
    """Return the verifier for ``--key`` or ``--certificate-chain``, or for the user's own public key.

    Args:
        key: the trusted public key.
        chain: files of trusted certificates.
        identity: the name that a certificate must have.
        legacy: whether the deprecated format of PyPI ``model-signing`` 0.2 is taken.

    Raises:
        UsageError: when options contradict each other or belong together, or when none is given and the user has no
            key.
    """
    if chain and key is not None:
        raise UsageError("--key trusts a key, --certificate-chain a name under a root: give one of them")
    if chain or identity is not None:
        if not chain or not identity:
            raise UsageError(
                "--certificate-chain and --certificate-identity belong together: a certificate that leads to a root "
                "says nothing unless it is for the name that you expect"
            )
        return CertificateVerifier.load(chain, identity=identity, legacy=legacy)
    if key is not None:
        return KeyVerifier.load(key, legacy=legacy)
    own = folders.configuration() / "key.pub"
    if not own.exists():
        raise UsageError("whom do you trust? Give the signer's public key with --key; you have no key of your own yet")
    return KeyVerifier.load(own, legacy=legacy)
