"""What can go wrong between this machine and a hub: foreign errors translated, and the passing ones tried again.

The hub's client retries little: one answer of 503 or an expired link ends a download of many gigabytes. So patience
lives here, around the client, and every error that it raises is turned into a sentence that says what to do.
"""

import email.utils
import errno
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlsplit

import httpx2
from huggingface_hub.errors import (
    DisabledRepoError,
    EntryNotFoundError,
    FileMetadataError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from mbom.errors import AccessError, MbomError, SourceError, StorageError
from mbom.redact import redact

Result = TypeVar("Result")

MESSAGE_LIMIT = 200  # characters of a foreign message that are worth a user's screen
_STORAGE_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG})

# All that the client lets through: HTTP and transport (HTTPError, InvalidURL), files and sockets (OSError), answers
# that are not the hub's JSON (the next four), the Xet library (RuntimeError).
_FOREIGN = (
    httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError,
)  # fmt: skip


class PassingError(SourceError):
    """Trouble that may pass by itself. ``retry_after`` is the pause in seconds that the hub asked for, if it did."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


@dataclass(frozen=True, kw_only=True)
class Retry:
    """How often passing trouble is tried again, and how long to wait in between.

    The pause doubles from ``first_pause`` to ``longest_pause`` (seconds), less a random part of up to half, so that
    machines that failed together do not return together. A longer pause that the hub asks for is kept, up to
    ``patience``; beyond that the user hears about it rather than waits.
    """

    attempts: int = 6  # pauses of about a minute in all: a restart of a gateway, not an outage
    first_pause: float = 2.0
    longest_pause: float = 30.0
    patience: float = 300.0
    sleep: Callable[[float], object] = time.sleep

    def run(self, call: Callable[[], Result]) -> Result:
        """Return what ``call`` returns, calling it again after each ``PassingError``.

        Raises:
            SourceError: the last trouble, with the number of attempts.
            MbomError: whatever else ``call`` raises, at once.
        """
        attempt = 1
        while True:
            try:
                return call()
            except PassingError as trouble:
                asked = trouble.retry_after or 0.0
                if attempt >= self.attempts or asked > self.patience:
                    waits = f", and the hub asks for a pause of {asked:.0f} s" if asked > self.patience else ""
                    raise SourceError(f"{trouble} (tried {attempt} times{waits}); run again later") from trouble
                self.sleep(max(asked, self._pause(attempt)))
            attempt += 1

    def _pause(self, attempt: int) -> float:
        longest = min(self.longest_pause, self.first_pause * 2.0 ** (attempt - 1))
        return longest * secrets.SystemRandom().uniform(0.5, 1.0)


@contextmanager
def border(*, repo: str, revision: str, endpoint: str, file: str | None = None) -> Iterator[None]:
    """Translate what the client raises inside the ``with`` block; wrap calls of the client in it and nothing else.

    Raises:
        AccessError: gated repository, rejected token.
        PassingError: what ``Retry`` may try again.
        StorageError: the cache cannot be written.
        SourceError: all the rest.
    """
    try:
        yield
    except _FOREIGN as error:
        # The client wraps the error of its HEAD request once or twice; the innermost one knows the reason.
        cause: BaseException = error
        while isinstance(cause, LocalEntryNotFoundError | ValueError) and cause.__cause__ is not None:
            cause = cause.__cause__
        what = f"{repo}: {file!r}" if file else repo
        if isinstance(cause, HfHubHTTPError):
            raise _http(cause, repo=repo, revision=revision, endpoint=endpoint, what=what) from error
        raise _other(cause, what=what, endpoint=endpoint) from error


def _http(error: HfHubHTTPError, *, repo: str, revision: str, endpoint: str, what: str) -> MbomError:
    verdicts: dict[type[Exception], MbomError] = {  # the first that fits; gated is a kind of not found
        GatedRepoError: AccessError(f"{repo} is gated: accept its terms on the hub, then set HF_TOKEN"),
        RepositoryNotFoundError: SourceError(
            f"{repo} is not on {endpoint}, or is private there: check the spelling, or set HF_TOKEN to a token that "
            "may read it"
        ),
        RevisionNotFoundError: SourceError(
            f"{repo} has no revision {revision!r}: name a branch, a tag or a commit of 40 hex digits"
        ),
        DisabledRepoError: SourceError(f"{repo} has been disabled on the hub; nobody can fetch it"),
        EntryNotFoundError: SourceError(f"{what} is listed by the hub and not served by it; try another mirror"),
    }
    for kind, verdict in verdicts.items():
        if isinstance(error, kind):
            return verdict
    status = error.response.status_code
    # A hostile mirror may repeat the token that it was sent.
    sent = error.response.request.headers.get("authorization", "").removeprefix("Bearer ")
    said = f"HTTP {status}" + (f" ({_line(error.server_message, sent)})" if error.server_message else "")
    if status in (408, 416, 429) or status >= 500:
        return PassingError(f"{what}: the hub answers {said}", retry_after=_retry_after(error.response))
    if status == 403 and urlsplit(str(error.response.url)).netloc != urlsplit(endpoint).netloc:
        return PassingError(f"{what}: the link for the download has expired ({said})")
    if status in (401, 403):
        return AccessError(f"{what}: the hub does not accept the token ({said}): set HF_TOKEN to one that may read it")
    return SourceError(f"{what}: the hub answers {said}")


def _other(error: BaseException, *, what: str, endpoint: str) -> MbomError:
    if isinstance(error, OSError) and error.errno in _STORAGE_ERRNOS:
        return StorageError(
            f"{what}: the cache cannot be written ({error.strerror}): make room, or set HF_HOME to another disk"
        )
    no_hub = SourceError(f"{what}: {endpoint} does not answer like a hub ({_line(error)}); check HF_ENDPOINT")
    verdicts: dict[type[BaseException], MbomError] = {  # the first that fits; the upper ones are kinds of the lower
        OfflineModeIsEnabled: SourceError(
            f"{what}: not in the cache, and HF_HUB_OFFLINE forbids fetching it; unset it and run again"
        ),
        httpx2.UnsupportedProtocol: no_hub,
        httpx2.TransportError: PassingError(f"{what}: the connection to the hub failed ({_line(error)})"),
        FileMetadataError: no_hub,
        OSError: PassingError(f"{what}: the download broke off ({_line(error)})"),
        RuntimeError: PassingError(  # the Xet library has no class of its own for a failed transfer
            f"{what}: the download broke off ({_line(error)}); where the hub has no Xet storage, set "
            "HF_HUB_DISABLE_XET=1"
        ),
    }
    return next((verdict for kind, verdict in verdicts.items() if isinstance(error, kind)), no_hub)


def _retry_after(response: httpx2.Response) -> float | None:
    """Return the pause in seconds that a response asks for: ``Retry-After`` (RFC 9110), else ``RateLimit`` (draft)."""
    asked = response.headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]{1,9}", asked):
        return float(asked)
    if asked:
        try:
            return max(0.0, email.utils.parsedate_to_datetime(asked).timestamp() - time.time())
        except (ValueError, OverflowError):
            return None
    limit = re.search(r"r\s*=\s*0\s*;\s*t\s*=\s*([0-9]{1,9})(?![0-9])", response.headers.get("RateLimit", ""))
    return float(limit[1]) if limit else None


def _line(message: object, *sent: str) -> str:
    """Return the first line of a foreign message, harmless on a terminal and without secrets."""
    first = redact(next(iter(str(message).strip().splitlines()), "no reason given"), sent)
    return "".join(char if char.isprintable() else "?" for char in first[:MESSAGE_LIMIT])
