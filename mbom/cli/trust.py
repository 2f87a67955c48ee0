"""Which keys the commands use: the one that was named, or the user's own under the configuration folder."""

import os
from collections.abc import Sequence
from pathlib import Path

import click

from mbom.cli import folders
from mbom.cli.console import Display, shown
from mbom.errors import KeyFileError, UsageError
from mbom.signing import (
    CertificateVerifier,
    KeySigner,
    KeyVerifier,
    LocalSigner,
    Stamp,
    TimestampAuthority,
    TimestampClient,
    TokenKey,
    Verifier,
    default_key,
)

PASSWORD_VARIABLE = "MBOM_KEY_PASSWORD"  # noqa: S105  # the name of a variable, not a password
PIN_VARIABLE = "MBOM_PKCS11_PIN"
MODULE_VARIABLE = "MBOM_PKCS11_MODULE"


def password() -> bytes:
    """Return the password of an encrypted key, from the environment or a prompt that does not echo."""
    given = os.environ.get(PASSWORD_VARIABLE)
    return os.fsencode(given) if given is not None else _asked("Password of the key").encode()


def new_password() -> bytes:
    """Return the password of a key to be made, which a prompt asks for twice."""
    given = os.environ.get(PASSWORD_VARIABLE)
    return os.fsencode(given) if given is not None else _asked("New password", confirm=True).encode()


def pin() -> str:
    """Return the PIN of a token, from the environment or a prompt that does not echo."""
    given = os.environ.get(PIN_VARIABLE)
    if given is None:
        return _asked("PIN of the token")
    if not given.isprintable():
        raise UsageError(f"{PIN_VARIABLE} holds characters that no PIN has")
    return given


def _asked(text: str, *, confirm: bool = False) -> str:
    answer: str = click.prompt(text, hide_input=True, confirmation_prompt=confirm, err=True, type=str)
    return answer


def signer(key: Path | TokenKey | None, display: Display, timestamp: str | None = None) -> KeySigner:
    """Return the signer for ``--key``, or for the user's own key, made on first use with a notice.

    Args:
        key: a file, or a key on a token, whose session ends with the command.
        display: where the notice goes.
        timestamp: the URL of an authority that every signature is shown to; it is tried before anything else happens.
    """
    stamp = None
    if timestamp is not None:
        client = TimestampClient(timestamp)
        client.probe()
        stamp = client.stamp
    if isinstance(key, TokenKey):
        return _on_token(key, stamp)
    if key is not None:
        return LocalSigner.load(key, password, stamp)
    path, created = default_key(folders.configuration())
    own = LocalSigner.load(path, password, stamp)
    if created:
        display.line(f"Made your signing key {shown(path)}, {own.identity}: keep it, and give others the .pub file.")
    return own


def _on_token(key: TokenKey, stamp: Stamp | None) -> KeySigner:
    try:
        from mbom.signing.token import TokenSigner  # noqa: PLC0415  # takes an extra
    except ModuleNotFoundError as error:
        if error.name != "pkcs11":
            raise
        raise KeyFileError("keys on tokens take an extra: pip install 'mbom[pkcs11]'") from error
    module = os.environ.get(MODULE_VARIABLE)
    on_token = TokenSigner.open(key, pin=pin, module=Path(module) if module else None, stamp=stamp)
    click.get_current_context().call_on_close(on_token.close)
    return on_token


def verifier(
    key: Path | None,
    authority: Path | None = None,
    *,
    chain: Sequence[Path] = (),
    identity: str | None = None,
    legacy: bool = False,
) -> Verifier:
    """Return the verifier for ``--key`` or ``--certificate-chain``, or for the user's own public key.

    Args:
        key: the file of the trusted key.
        authority: the chain of the timestamp authority that every signature needs a timestamp of.
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
        if authority is not None:
            raise UsageError("--timestamp-authority goes with a key; a certificate must be valid today")
        return CertificateVerifier.load(chain, identity=identity, legacy=legacy)
    times = TimestampAuthority.load(authority) if authority is not None else None
    if key is not None:
        return KeyVerifier.load(key, times, legacy=legacy)
    own = folders.configuration() / "key.pub"
    if not own.exists():
        raise UsageError("whom do you trust? Give the signer's public key with --key; you have no key of your own yet")
    return KeyVerifier.load(own, times, legacy=legacy)
