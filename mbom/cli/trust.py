"""Whom the commands sign as and trust: a key, a name under a certificate, a keyless identity, or the user's own key."""

import os
import shlex
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import click

from mbom.cli import folders, options
from mbom.cli.console import Display, shown
from mbom.cli.options import Command, gathered
from mbom.errors import KeyFileError, UsageError
from mbom.signing import (
    CertificateVerifier,
    KeySigner,
    KeyVerifier,
    LocalSigner,
    Signer,
    Stamp,
    TimestampAuthority,
    TimestampClient,
    TokenKey,
    TrustedIdentity,
    Verifier,
    Witness,
    default_key,
    public_path,
)

PASSWORD_VARIABLE = "MBOM_KEY_PASSWORD"  # noqa: S105  # the name of a variable, not a password
PIN_VARIABLE = "MBOM_PKCS11_PIN"
MODULE_VARIABLE = "MBOM_PKCS11_MODULE"


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
        "--trust-config", type=options.PATH, metavar="FILE", help="A Sigstore instance of your own. [default: public]"
    ),
)


@dataclass(frozen=True, kw_only=True)
class Trusted:
    """What the options say of whose signature of a bundle is trusted; None or empty where one was not given."""

    key: Path | None
    certificate_chain: tuple[Path, ...]
    certificate_identity: str | None
    timestamp_authority: Path | None
    keyless: Keyless

    @property
    def given(self) -> bool:
        """Whether any of them was given."""
        return bool(self.keyless.given()) or any(value for name, value in vars(self).items() if name != "keyless")

    @property
    def somebody(self) -> bool:
        """Whether any of them names somebody; an authority of timestamps by itself does not sign bundles."""
        return replace(self, timestamp_authority=None).given

    def verifier(self, *, legacy: bool = False) -> Verifier:
        """Return the verifier for whom the options trust, or for the user's own public key.

        Args:
            legacy: whether the deprecated format of PyPI ``model-signing`` 0.2 is taken.

        Raises:
            UsageError: when options contradict each other or belong together, or when none is given and the user has
                no key.
        """
        return _verifier(self, legacy=legacy)


_SIGNERS = (
    click.option(
        "--certificate-chain",
        type=options.PATH,
        multiple=True,
        metavar="FILE",
        help="Trust these roots, in PEM, in place of a key.",
    ),
    click.option(
        "--certificate-identity", metavar="NAME", help="Demand this email, URI, DNS or common name of the signer."
    ),
    click.option(
        "--timestamp-authority",
        type=options.PATH,
        metavar="CHAIN",
        help="Demand timestamps of the authority whose certificates are in this PEM file, its root among them.",
    ),
)


def signers(command: Command) -> Command:
    """Add the options that say whose bundles are trusted, which the command takes as one: ``trusted``."""
    return _trusting(command, "The signer's public key in PEM. [default: your own]")


def named_signers(command: Command) -> Command:
    """Add the same to a command that trusts nobody unless told whom."""
    return _trusting(command, "The signer's public key in PEM.")


def _trusting(command: Command, key_help: str) -> Command:
    def told(values: dict[str, Any]) -> Trusted:
        return Trusted(keyless=Keyless(**{name: values.pop(name) for name in Keyless.__dataclass_fields__}), **values)

    names = (*(name for name in Trusted.__dataclass_fields__ if name != "keyless"), *Keyless.__dataclass_fields__)
    key = click.option("--key", type=options.PATH, metavar="FILE", help=key_help)
    return gathered(command, (key, *_SIGNERS, *_KEYLESS), names, "trusted", told)


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


class FirstKey:
    """Signs with the user's own key, which is made with a notice when there is something to sign."""

    def __init__(self, display: Display, stamp: Stamp | None) -> None:
        self._display = display
        self._stamp = stamp
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
            self._made = LocalSigner.load(path, password, self._stamp)
            if created:
                made = f"{shown(path)}, {self._made.identity}"
                self._display.line(f"Made your signing key {made}: keep it, and give others the .pub file.")
        return self._made


def signer(key: Path | TokenKey | None, display: Display, timestamp: str | None = None) -> Signer:
    """Return the signer for ``--key``, or for the user's own key.

    A key that exists is opened at once, so that a wrong password does not show hours later; the user's first one is
    made when the checkpoint has been accepted.

    Args:
        key: a file, or a key on a token, whose session ends with the command.
        display: where the notice of a key that was made goes.
        timestamp: the URL of an authority that every signature is shown to; it is tried before anything else happens.
    """
    stamp = None
    if timestamp is not None:
        client = TimestampClient(timestamp)
        client.probe()
        stamp = client.stamp
    if key is not None:
        return opened(key, stamp)
    own = folders.configuration() / "key.pem"
    return LocalSigner.load(own, password, stamp) if os.path.lexists(own) else FirstKey(display, stamp)


def opened(key: Path | TokenKey, stamp: Stamp | None = None) -> KeySigner:
    """Return the signer for a key in a file or on a token."""
    return _on_token(key, stamp) if isinstance(key, TokenKey) else LocalSigner.load(key, password, stamp)


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


def _verifier(trusted: Trusted, *, legacy: bool) -> Verifier:
    key, keyless, authority = trusted.key, trusted.keyless, trusted.timestamp_authority
    chain, name = trusted.certificate_chain, trusted.certificate_identity
    given = keyless.given()[0] if keyless.given() else None
    certified = "--certificate-chain" if chain else "--certificate-identity" if name is not None else None
    ways = [way for way in ("--key" if key is not None else None, given, certified) if way is not None]
    if len(ways) > 1:
        raise UsageError(
            f"{' and '.join(ways)} exclude each other: trust a key, a keyless identity or a name under a certificate"
        )
    if authority is not None and (given or certified):
        raise UsageError(f"--timestamp-authority goes with a key, and {ways[0]} trusts somebody else")
    if certified is not None:
        if not chain or not name:
            raise UsageError(
                "--certificate-chain and --certificate-identity belong together: a certificate that leads to a root "
                "says nothing unless it is for the name that you expect"
            )
        return CertificateVerifier.load(chain, identity=name, legacy=legacy)
    if given is not None:
        from mbom.signing.keyless import KeylessVerifier  # noqa: PLC0415  # sigstore takes a moment to import

        return KeylessVerifier.load(keyless.trusted(), keyless.trust_config)
    times = TimestampAuthority.load(authority) if authority is not None else None
    if key is not None:
        return KeyVerifier.load(key, times, legacy=legacy)
    own = folders.configuration() / "key.pub"
    if not own.exists():
        raise UsageError(
            "whom do you trust? Give the signer's public key with --key, or --identity and --issuer of a keyless "
            "signature; you have no key of your own yet"
        )
    return KeyVerifier.load(own, times, legacy=legacy)


def arguments(key: Path | TokenKey | None, signed: Signer, trust_config: Path | None) -> str:
    """Return what ``mbom verify`` must be given to trust what ``signed`` has signed, with a space before it."""
    if isinstance(signed, Witnessed) and signed.witness is not None:
        instance = f" --trust-config {shown(trust_config)}" if trust_config is not None else ""
        who, issuer = shlex.quote(signed.witness.identity), shlex.quote(signed.witness.issuer)
        return f" --identity {who} --issuer {issuer}{instance}"
    if key is None:
        return ""
    return f" --key {shown(public_path(key) if isinstance(key, Path) else Path('PUBLIC.pub'))}"
