"""The ``huggingface_hub`` client as mbom uses it: guarded against a hostile hub, silent, and stoppable."""

import logging
import re
import threading
from collections.abc import Callable
from functools import cache
from typing import Self

import httpx2
from huggingface_hub import HfApi, get_session, set_client_factory

from mbom import __version__
from mbom.errors import RefusedError

_BLOB_NAME = re.compile(r"[0-9A-Za-z_=+~-][0-9A-Za-z._=+~-]{7,254}")  # digests, and what mirrors make of them


class StoppedError(Exception):
    """Ends a download in its thread when nobody waits for it any more; it never reaches a user."""


def client(*, endpoint: str | None, token: str | bool | None) -> HfApi:
    """Return the client, with ``HF_ENDPOINT`` and the user's token in place of what is None; False sends no token."""
    _guard()
    return HfApi(endpoint=endpoint, token=token, library_name="mbom", library_version=__version__)


@cache
def _guard() -> None:
    """Let every connection of the client, in this process, pass ``refuse_blob_path``; set its log to errors only.

    Warnings of the client would be written across a progress display, and each one is either tried again or raised.
    A level that the user chose (``HF_HUB_VERBOSITY``) stays.
    """
    usual = get_session().event_hooks

    def build() -> httpx2.Client:
        hooks = {"request": usual["request"], "response": [*usual["response"], refuse_blob_path]}
        return httpx2.Client(event_hooks=hooks, follow_redirects=True, timeout=None)  # as the client's own, but hooks

    set_client_factory(build)
    log = logging.getLogger("huggingface_hub")
    if log.level == logging.WARNING:
        log.setLevel(logging.ERROR)


def refuse_blob_path(response: httpx2.Response) -> None:
    """Refuse an answer whose entity tag is a path: the client would write the file's bytes there.

    It joins the tag onto the folder of blobs unchecked, so a tag of ``../../../.ssh/authorized_keys`` leaves the cache.
    Only HEAD requests are asked for tags; a redirect to a path of the same host, which the client follows and forgets,
    names no blob.

    Raises:
        RefusedError: for a tag that is not a plain name.
    """
    tag = response.headers.get("X-Linked-Etag") or response.headers.get("ETag")
    if response.request.method != "HEAD" or tag is None:
        return
    location = response.headers.get("Location", "")
    if response.is_redirect and location.startswith("/") and not location.startswith("//"):
        return
    name = tag.removeprefix("W/").strip('"')
    if not _BLOB_NAME.fullmatch(name) or ".." in name:
        host = response.request.url.host
        raise RefusedError(f"{host} names a blob {name[:255]!r}, which is a path and no digest: an attack on the cache")


class Meter:
    """Counts the bytes of one file as they arrive, and stops the download when nobody waits for it."""

    def __init__(self, count: Callable[[int], None], stop: threading.Event) -> None:
        self._count = count
        self._stop = stop
        self._total = 0

    def add(self, amount: int) -> None:
        """Count ``amount`` more bytes, or fewer where the client starts over.

        Raises:
            StoppedError: when the download is to stop.
        """
        if self._stop.is_set():
            raise StoppedError
        self._total += amount
        self._count(amount)

    def reset(self) -> None:
        """Take back what was counted: the attempt failed and its bytes are gone."""
        self._count(-self._total)
        self._total = 0

    def bar(self) -> type:
        """Return a class that the client takes for its progress bar; it draws nothing and feeds this meter."""
        meter = self

        class Bar:
            """The part of tqdm's interface that the client calls."""

            def __init__(self, **_options: object) -> None:
                self.total: float | None = None

            def __enter__(self) -> Self:
                return self

            def __exit__(self, *_raised: object) -> None:
                """Nothing was drawn."""

            def update(self, amount: float | None = 1) -> None:
                """Count bytes that are in the file."""
                meter.add(int(amount or 0))

            def update_transfer(self, _amount: float) -> None:
                """Ignore bytes on the wire, which Xet counts apart: without this method it would open a second bar."""

            def set_postfix_str(self, *_text: object, **_options: object) -> None:
                """Nothing is drawn."""

            set_transfer_postfix_str = refresh = close = set_postfix_str

        return Bar
