"""Whom the commands sign as and trust: a key that was named, a keyless identity, or the user's own key."""

import os
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import click

from mbom.cli import folders
from mbom.cli.console import Display, shown
from mbom.errors import UsageError
from mbom.signing import KeyVerifier, LocalSigner, Signer, TrustedIdentity, Verifier, Witness, default_key, public_path

PASSWORD_VARIABLE = "MBOM_KEY_PASSWORD"  # noqa: S105  # the name of a variable, not a password
_PATH = click.Path(path_type=Path)

Command = Callable[..., None]


@dataclass(frozen=True, kw_only=True)
class Keyless:
    """What the options say of a keyless signature; None where one was not given."""

    identity: str | None
    identity_regexp: str | None
    issuer: str | None
    github_repository: str | None
    github_workflow: str | None
    github_ref: str | None
    trust_config: Path | None

    def given(self) -> list[str]:
        """Return the options that were given, as they are spelt."""
        return [f"--{name.replace('_', '-')}" for name, value in vars(self).items() if value is not None]

    def trusted(self) -> TrustedIdentity:
        """Return whom the options trust.

        Raises:
            UsageError: when they name no issuer, or nobody, or two.
        """
        if self.identity is not None and self.identity_regexp is not None:
            raise UsageError("--identity and --identity-regexp exclude each other")
        if self.identity is None and self.identity_regexp is None:
            raise UsageError(f"{self.given()[0]} narrows an identity: name it with --identity, beside --issuer")
        if self.issuer is None:
            raise UsageError(
                "--issuer is missing: an identity is worth what vouches for it, such as "
                "https://token.actions.githubusercontent.com for workflows on GitHub"
            )
        return TrustedIdentity(
            issuer=self.issuer,
            identity=self.identity,
            regexp=self.identity_regexp,
            repository=self.github_repository,
            workflow=self.github_workflow,
            ref=self.github_ref,
        )


_KEYLESS = (
    click.option("--identity", metavar="ID", help="Trust a keyless signature of exactly this address or URI."),
    click.option(
        "--identity-regexp", metavar="RE", help="The same, of whatever RE matches from first to last character."
    ),
    click.option("--issuer", metavar="URL", help="Who vouches for the identity; goes with --identity."),
    click.option("--github-repository", metavar="ORG/NAME", help="Demand a workflow of this repository."),
    click.option(
        "--github-workflow", metavar="NAME", help="Demand this workflow: its name, or its file in the repository."
    ),
    click.option("--github-ref", metavar="REF", help="Demand a workflow that ran on this ref: refs/tags/v1.0."),
    click.option(
        "--trust-config", type=_PATH, metavar="FILE", help="A Sigstore instance of your own. [default: public]"
    ),
)


def keyless(command: Command) -> Command:
    """Add the options that say whose keyless signature is trusted, which the command takes as one: ``keyless``."""

    def gathered(**values: object) -> None:
        told: dict[str, Any] = {name: values.pop(name) for name in Keyless.__dataclass_fields__}
        command(keyless=Keyless(**told), **values)

    # What click keeps on the function: the options that stand below this one.
    gathered.__dict__.update(vars(command))
    gathered.__name__, gathered.__doc__ = command.__name__, command.__doc__
    decorated: Command = gathered
    for option in reversed(_KEYLESS):
        decorated = option(decorated)
    return decorated


def password() -> bytes:
    """Return the password of an encrypted key, from the environment or a prompt that does not echo."""
    given = os.environ.get(PASSWORD_VARIABLE)
    if given is not None:
        return given.encode()
    text: str = click.prompt("Password of the key", hide_input=True, err=True, type=str)
    return text.encode()


class FirstKey:
    """Signs with the user's own key, which is made with a notice when there is something to sign."""

    def __init__(self, display: Display) -> None:
        self._display = display
        self._made: LocalSigner | None = None

    @property
    def identity(self) -> str:
        """See ``Signer``."""
        return self._own().identity

    def sign_statement(self, statement: bytes) -> bytes:
        """See ``Signer``."""
        return self._own().sign_statement(statement)

    def sign_digest(self, sha256: str) -> bytes:
        """See ``Signer``."""
        return self._own().sign_digest(sha256)

    def _own(self) -> LocalSigner:
        if self._made is None:
            path, created = default_key(folders.configuration())
            self._made = LocalSigner.load(path, password)
            if created:
                made = f"{shown(path)}, {self._made.identity}"
                self._display.line(f"Made your signing key {made}: keep it, and give others the .pub file.")
        return self._made


def signer(key: Path | None, display: Display) -> Signer:
    """Return the signer for ``--key``, or for the user's own key.

    A key that exists is opened at once, so that a wrong password does not show hours later; the first one is made when
    the checkpoint has been accepted.
    """
    if key is not None:
        return LocalSigner.load(key, password)
    own = folders.configuration() / "key.pem"
    return LocalSigner.load(own, password) if os.path.lexists(own) else FirstKey(display)


@runtime_checkable
class Witnessed(Protocol):
    """A signer whose signatures are those of an identity."""

    @property
    def witness(self) -> Witness | None:
        """Who signed; None before there is a signature."""


def keyless_signer(token_file: Path | None, trust_config: Path | None) -> Signer:
    """Return the signer for ``--keyless``, once it is clear where its token will come from."""
    from mbom.signing.credentials import Credentials  # noqa: PLC0415  # sigstore takes a moment to import
    from mbom.signing.keylesssigner import KeylessSigner  # noqa: PLC0415

    interactive = sys.stdin.isatty() and sys.stderr.isatty()
    return KeylessSigner.load(Credentials(file=token_file, interactive=interactive), trust_config)


def verifier(key: Path | None, keyless: Keyless | None = None) -> Verifier:
    """Return the verifier for ``--key``, for the keyless options, or for the user's own public key.

    Raises:
        UsageError: when a key and an identity are named, or nobody is and the user has no key.
    """
    if keyless is not None and (given := keyless.given()):
        if key is not None:
            raise UsageError(f"--key and {given[0]} exclude each other: trust a key or a keyless identity")
        from mbom.signing.keyless import KeylessVerifier  # noqa: PLC0415  # sigstore takes a moment to import

        return KeylessVerifier.load(keyless.trusted(), keyless.trust_config)
    if key is not None:
        return KeyVerifier.load(key)
    own = folders.configuration() / "key.pub"
    if not own.exists():
        raise UsageError(
            "whom do you trust? Give the signer's public key with --key, or --identity and --issuer of a keyless "
            "signature; you have no key of your own yet"
        )
    return KeyVerifier.load(own)


def arguments(key: Path | None, signed: Signer, trust_config: Path | None) -> str:
    """Return what ``mbom verify`` must be given to trust what ``signed`` has signed, with a space before it."""
    if isinstance(signed, Witnessed) and signed.witness is not None:
        instance = f" --trust-config {shown(trust_config)}" if trust_config is not None else ""
        who, issuer = shlex.quote(signed.witness.identity), shlex.quote(signed.witness.issuer)
        return f" --identity {who} --issuer {issuer}{instance}"
    return f" --key {shown(public_path(key))}" if key is not None else ""
