"""The identity token that a keyless signature needs: from a file, from the environment of a CI, or through a browser.

Tokens are secrets that live for minutes. None ever stands in a message, and errors of the libraries that have seen one
are not chained.
"""

import base64
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sigstore.errors import Error as SigstoreError
from sigstore.models import ClientTrustConfig
from sigstore.oidc import ExpiredIdentity, IdentityToken, Issuer, IssuerError, detect_credential

from mbom import strictjson
from mbom.errors import AccessError, FormatError, KeyFileError, UnavailableError
from mbom.signing.sigstoretrust import brief
from mbom.strictjson import Json

AUDIENCE = "sigstore"
TOKEN_LIMIT = 64 << 10  # bytes; GitHub's have about 2,000


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """Where identity tokens come from: ``file`` when it is given, else a CI's environment, else a browser.

    ``interactive`` says whether there is a person to ask.
    """

    file: Path | None = None
    interactive: bool = False

    def look(self) -> None:
        """Find out early whether there will be a token when it is time to sign.

        Raises:
            KeyFileError: when the token file cannot be read.
            AccessError: when there is no way to a token, or the one at hand is expired or meant for another service.
            UnavailableError: when the CI's token service does not answer.
        """
        if self._at_hand() is None and not self.interactive:
            raise AccessError(
                "no identity to sign with: in GitHub Actions, give the job `permissions: id-token: write`; elsewhere, "
                "give a token with --identity-token-file, or run this on a terminal to sign in with a browser"
            )

    def token(self, config: ClientTrustConfig) -> IdentityToken:
        """Return a token, asking whoever is at the terminal where there is none.

        Raises:
            KeyFileError: when the token file cannot be read.
            AccessError: when there is no token, or it is expired or meant for another service.
            UnavailableError: when the issuer does not answer.
        """
        raw = self._at_hand()
        if raw is not None:
            try:
                return IdentityToken(raw, AUDIENCE)
            except SigstoreError as error:
                raise AccessError(f"the identity token cannot be used: {brief(error)}") from None
        self.look()
        return _browser(config)

    def _at_hand(self) -> str | None:
        """Return the token that needs nobody's help, if there is one."""
        if self.file is not None:
            raw = _read(self.file)
            _check(raw, f"the identity token in {self.file}")
            return raw
        try:
            found: str | None = detect_credential(AUDIENCE)
        except SigstoreError as error:
            raise AccessError(
                f"this CI's identity token: {brief(error)}; in GitHub Actions the job needs "
                "`permissions: id-token: write`, which pull requests from forks do not get"
            ) from None
        except OSError as error:
            raise UnavailableError(f"this CI's identity token cannot be fetched: {brief(error)}") from None
        if found is not None:
            _check(found, "this CI's identity token")
        return found


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(TOKEN_LIMIT + 1)
    except OSError as error:
        raise KeyFileError(f"{path}: the identity token cannot be read: {error.strerror}") from error
    if len(data) > TOKEN_LIMIT or not data.isascii():
        raise AccessError(f"{path}: no identity token, which is at most {TOKEN_LIMIT} bytes of ASCII")
    return data.decode("ascii").strip()


def _check(raw: str, what: str) -> None:
    """Say what is wrong with a token before a service does so with fewer words; the service alone verifies it."""
    claims = _claims(raw, what)
    audience, expires = claims.get("aud"), claims.get("exp")
    if audience not in (AUDIENCE, [AUDIENCE]):
        raise AccessError(f"{what} is meant for another service: its audience must be {AUDIENCE!r} alone")
    if not isinstance(expires, int | float) or isinstance(expires, bool):
        raise AccessError(f"{what} does not say when it expires")
    if expires <= time.time():
        try:
            when = f" at {datetime.fromtimestamp(expires, UTC):%Y-%m-%dT%H:%M:%SZ}"
        except (ValueError, OverflowError, OSError):
            when = ""
        raise AccessError(f"{what} expired{when}; such tokens live for minutes, so fetch one right before signing")


def _claims(raw: str, what: str) -> dict[str, Json]:
    parts = raw.split(".")
    try:
        if len(parts) != 3:
            raise AccessError(f"{what} is no JSON web token, which has three parts between dots")
        padded = parts[1] + "=" * (-len(parts[1]) % 4)
        claims = strictjson.loads(base64.b64decode(padded, altchars=b"-_", validate=True), what=what)
    except (ValueError, FormatError):
        raise AccessError(f"{what} is no JSON web token: its claims cannot be read") from None
    if not isinstance(claims, dict):
        raise AccessError(f"{what} is no JSON web token: its claims are no object")
    return claims


def _browser(config: ClientTrustConfig) -> IdentityToken:
    """Ask the person at the terminal to sign in with a browser."""
    try:
        return Issuer(config.signing_config.get_oidc_url()).identity_token(AUDIENCE)
    except (IssuerError, OSError) as error:
        raise UnavailableError(f"the instance's OpenID issuer does not answer as one: {brief(error)}") from None
    except (SigstoreError, ExpiredIdentity, KeyError, ValueError, EOFError) as error:
        raise AccessError(f"signing in with the browser failed: {brief(error)}; run the command again") from None
