"""Asking an RFC 3161 timestamp authority over HTTP (section 3.4), as a client that trusts nothing of the answer."""

import hashlib
import secrets
import threading
import time
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from urllib.error import HTTPError
from urllib.parse import urlsplit

import rfc3161_client

from mbom import __version__
from mbom.errors import FormatError, MbomError, SignatureError, SourceError, UsageError
from mbom.signing.sigstorebundle import TIMESTAMP_LIMIT
from mbom.signing.timestamp import decode

TIME_LIMIT = 30.0  # seconds for one answer, from the name's look-up to the last byte; authorities take less than one
ATTEMPTS = 3  # what fails in passing fails rarely three times, and a long measurement waits for this answer
PAUSE = 2.0  # seconds before the second attempt; twice as long before the third

_REQUEST_TYPE = "application/timestamp-query"
_ANSWER_TYPE = "application/timestamp-reply"
_PASSING = {408, 429, 500, 502, 503, 504}  # statuses after which asking again makes sense


class _PassingError(SourceError):
    """A failure that may be over at the next attempt."""


class TimestampClient:
    """Has signatures timestamped by the authority at a URL.

    Without TLS the answer is as good as with it: it is signed, and whoever relies on it checks that. The URL may not
    hold a password, because command lines are there for every user of a machine to see.
    """

    def __init__(
        self, url: str, *, time_limit: float = TIME_LIMIT, pause: Callable[[float], None] = time.sleep
    ) -> None:
        """Take the authority's URL.

        Raises:
            UsageError: when it is not one of HTTP, or holds a user name or a password.
        """
        try:
            parts = urlsplit(url)
            host, holds_secret = parts.hostname, "@" in parts.netloc
            _ = parts.port
        except ValueError as error:
            raise UsageError("--timestamp: not a URL") from error
        if parts.scheme not in ("http", "https") or not host or not url.isascii() or not url.isprintable():
            raise UsageError("--timestamp: not an http or https URL in plain characters")
        if holds_secret:
            raise UsageError("--timestamp: a URL with a user name or password, which other users can see")
        self._url = url
        self._where = f"{parts.scheme}://{parts.netloc}{parts.path}"  # a query may hold a token
        self._time_limit = time_limit
        self._pause = pause
        self._opener = _opener()

    def stamp(self, signature: bytes, *, attempts: int = ATTEMPTS) -> bytes:
        """Return the response over ``signature`` in DER: granted, over these bytes, for this request's nonce.

        Its own signature is not checked here, for want of a root to trust.

        Raises:
            SourceError: when no answer comes, or the authority refuses.
            FormatError: when the answer is no response of RFC 3161, or too large.
            SignatureError: when it answers another request.
        """
        request = (
            rfc3161_client.TimestampRequestBuilder()
            .data(signature)
            .hash_algorithm(rfc3161_client.HashAlgorithm.SHA256)
            .build()
        )
        response = self._ask(request.as_bytes(), attempts)
        answer = decode(response, what=self._where)
        try:
            if answer.status != rfc3161_client.PKIStatus.GRANTED:
                said = "; ".join(answer.status_string)[:200] or "no reason given"
                raise SourceError(f"{self._where}: the authority refused, status {answer.status}: {said}")
            info = answer.tst_info
            if info.nonce != request.nonce:
                raise SignatureError(f"{self._where}: the timestamp answers another request, its nonce differs")
            if info.message_imprint.message != hashlib.sha256(signature).digest():
                raise SignatureError(f"{self._where}: the timestamp is over something else")
            if not answer.signed_data.certificates:
                raise FormatError(f"{self._where}: the timestamp carries no certificate, which was asked for")
        except ValueError as error:
            raise FormatError(f"{self._where}: the timestamp is malformed") from error
        return response

    def probe(self) -> None:
        """Have random bytes timestamped, to learn at once and before a long run whether the authority answers.

        Raises:
            As ``stamp``.
        """
        self.stamp(secrets.token_bytes(32), attempts=1)

    def _ask(self, request: bytes, attempts: int) -> bytes:
        for attempt in range(1, attempts):
            try:
                return self._post(request)
            except _PassingError:
                self._pause(PAUSE * attempt)
        return self._post(request)

    def _post(self, request: bytes) -> bytes:
        """Ask once, within the time limit.

        The standard library limits each read, and a server that sends a byte for each takes as long as it likes. So a
        thread asks, and is left behind when time is up.
        """
        outcome: list[bytes | MbomError] = []
        worker = threading.Thread(target=lambda: outcome.append(self._exchange(request)), daemon=True)
        worker.start()
        worker.join(self._time_limit)
        if not outcome:
            raise _PassingError(f"{self._where}: no answer within {self._time_limit:g} s")
        if isinstance(outcome[0], MbomError):
            raise outcome[0]
        return outcome[0]

    def _exchange(self, request: bytes) -> bytes | MbomError:
        headers = {"Content-Type": _REQUEST_TYPE, "Accept": _ANSWER_TYPE, "User-Agent": f"mbom/{__version__}"}
        asked = urllib.request.Request(self._url, data=request, headers=headers, method="POST")  # noqa: S310  # checked
        try:
            with self._opener.open(asked, timeout=self._time_limit) as answer:
                kind = answer.headers.get_content_type()
                data: bytes = answer.read(TIMESTAMP_LIMIT + 1)
        except HTTPError as error:
            error.close()
            failure = _PassingError if error.code in _PASSING else SourceError
            return failure(f"{self._where}: HTTP status {error.code} in place of a timestamp")
        except (OSError, HTTPException, ValueError) as error:
            return _PassingError(f"{self._where}: cannot be asked: {_line(error)}")
        if kind != _ANSWER_TYPE:
            return FormatError(f"{self._where}: answers with {kind[:80]!r}, not with a timestamp")
        if len(data) > TIMESTAMP_LIMIT:
            return FormatError(f"{self._where}: answers with more than {TIMESTAMP_LIMIT} bytes, which no timestamp has")
        return data


def _opener() -> urllib.request.OpenerDirector:
    """Return what opens http and https URLs alone, through the proxies of the environment, and follows no redirect."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(),
    ):
        opener.add_handler(handler)
    return opener


def _line(error: Exception) -> str:
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__
    return " ".join(str(reason).split())[:200]
