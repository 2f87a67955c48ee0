"""Driving a headless Chromium over the DevTools protocol on two pipes: no port, no library, nothing to download.

https://chromedevtools.github.io/devtools-protocol/: commands and events are JSON, each ended by a zero byte, read by
the browser from descriptor 3 and written by it to 4.
"""

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

TIMEOUT = 60  # seconds for one answer; a loaded machine takes a few
PROGRAMS = ("google-chrome", "chromium", "chromium-browser")
PROGRAM = next((path for name in PROGRAMS if (path := shutil.which(name))), None)
AXE = Path(__file__).parent / "node" / "node_modules" / "axe-core" / "axe.min.js"

needs_chromium = pytest.mark.skipif(PROGRAM is None, reason="chromium is not installed, so no page is opened in it")
needs_axe = pytest.mark.skipif(
    not AXE.is_file(), reason="axe-core is missing: `make test` installs it in tests/node where npm can"
)

# Nothing of this may go to a network: without these, Chromium asks for updates, variations and the like.
OPTIONS = (
    "--headless",
    "--remote-debugging-pipe",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-sync",
    "--hide-scrollbars",
    "--no-first-run",
    "--no-sandbox",  # it cannot be had as root in a container; what is opened is ours
    "--host-resolver-rules=MAP * ~NOTFOUND",
)
_START = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); os.execv(sys.argv[3], sys.argv[3:])"
)


class BrowserError(Exception):
    """The browser did not do what it was asked."""


class Browser:
    """A browser with one page."""

    def __init__(self, profile: Path) -> None:
        assert PROGRAM is not None
        theirs, self._to = os.pipe()
        self._from, answers = os.pipe()
        # Descriptors above those that the child's are moved to, so that none overwrites another.
        high = [os.dup(fd) if fd > 4 else _above(fd) for fd in (theirs, answers)]
        command = [sys.executable, "-c", _START, *map(str, high), PROGRAM, *OPTIONS, f"--user-data-dir={profile}"]
        environment = {"PATH": os.environ["PATH"], "HOME": str(profile), "LANG": "C.UTF-8"}
        self._process = subprocess.Popen(
            command, pass_fds=high, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for fd in (theirs, answers, *high):
            os.close(fd)
        self._buffer = b""
        self._number = 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def close(self) -> None:
        """End the browser."""
        with suppress(BrowserError, OSError):
            self._session = None
            self.ask("Browser.close")
        self._process.terminate()
        self._process.wait(TIMEOUT)
        os.close(self._to)
        os.close(self._from)

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command, and return its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        number = self._number
        while True:
            found = self._receive()
            if found.get("id") == number:
                if "error" in found:
                    raise BrowserError(f"{method}: {found['error']}")
                result: dict[str, Any] = found["result"]
                return result
            self.events.append(found)

    def open(self, address: str) -> None:
        """Load a page, and wait until it is there."""
        self.events.clear()
        found = self.ask("Page.navigate", url=address)
        if found.get("errorText"):
            raise BrowserError(f"{address}: {found['errorText']}")
        self.wait(lambda event: event.get("method") == "Page.loadEventFired")

    def wait(self, wanted: Callable[[dict[str, Any]], bool]) -> None:
        """Wait until such an event has come since the page was asked for."""
        seen = 0
        while True:
            if any(wanted(event) for event in self.events[seen:]):
                return
            seen = len(self.events)
            self.events.append(self._receive())

    def run(self, expression: str) -> Any:
        """Return what an expression of JavaScript comes to, as JSON; a promise is awaited."""
        found = self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise BrowserError(f"{expression[:80]}: {found['exceptionDetails']}")
        return found["result"].get("value")

    def look(self, *, width: int = 1200, height: int = 900, dark: bool = False, media: str = "") -> None:
        """Set the size of the window, the colour scheme and the medium."""
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", media=media, features=[scheme])

    def screenshot(self, path: Path) -> None:
        """Save the whole page as a picture."""
        found = self.ask("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(found["data"]))

    def pdf(self) -> bytes:
        """Return the page as it is printed."""
        return base64.b64decode(self.ask("Page.printToPDF", printBackground=False)["data"])

    def press(self, key: str, code: int) -> None:
        """Press a key and let it go."""
        for kind in ("rawKeyDown", "keyUp"):
            self.ask("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)

    def messages(self) -> list[str]:
        """Return what the page wrote to the console, and what the browser had to complain about."""
        kinds = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
        return [json.dumps(event["params"])[:500] for event in self.events if event.get("method") in kinds]

    def requests(self) -> list[str]:
        """Return the addresses that the page asked for."""
        return [
            str(event["params"]["request"]["url"])
            for event in self.events
            if event.get("method") == "Network.requestWillBeSent"
        ]

    def violations(self, *tags: str) -> list[str]:
        """Return what axe finds wrong with the page for people who do not see it, or not well."""
        self.run(AXE.read_text(encoding="utf-8") + "; true")
        run = f"axe.run(document, {{runOnly: {json.dumps(tags)}, resultTypes: ['violations']}})"
        found = self.run(f"{run}.then(found => found.violations.map(item => [item.id, item.nodes.map(n => n.html)]))")
        return [f"{name}: {' | '.join(nodes[:3])[:600]}" for name, nodes in found]

    def _receive(self) -> dict[str, Any]:
        deadline = time.monotonic() + TIMEOUT
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._from], [], [], max(0.0, deadline - time.monotonic()))
            data = os.read(self._from, 1 << 20) if ready else b""
            if not data:
                raise BrowserError("the browser ended" if ready else f"no answer within {TIMEOUT} s")
            self._buffer += data
        message, _, self._buffer = self._buffer.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found


def _above(fd: int) -> int:
    """Return a copy of a descriptor that is none of the lowest."""
    import fcntl

    return fcntl.fcntl(fd, fcntl.F_DUPFD, 10)
