"""Chromium's DevTools protocol over a pair of pipes: no port, no WebSocket, and the browser ends when they close."""

from __future__ import annotations

import contextlib
import json
import select
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from chromium import Chromium

TIMEOUT = 30.0
"""Seconds the browser has for an answer, and a page to come to rest."""
# The proxy is a port where nobody listens: nothing reaches the network, neither a page's requests nor the browser's own
# errands. Of themselves addresses of this machine would pass it by, hence <-loopback>.
_OPTIONS = [
    *(
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--no-first-run",
        "--font-render-hinting=none",
    ),
    *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"),
    *("--proxy-server=127.0.0.1:9", "--proxy-bypass-list=<-loopback>", "--remote-debugging-pipe"),
]

Event = dict[str, Any]


class BrowserError(Exception):
    """The browser failed, or was asked for something that cannot be."""


class DevTools:
    """A headless Chromium and the connection to it, for as long as the context lasts.

    Args:
        chromium: The program.
        folder: An empty folder for its profile and log.
    """

    def __init__(self, chromium: Chromium, folder: Path) -> None:
        self._log = folder / "log"
        # The protocol's pipes are the descriptors 3 and 4, which Popen cannot name.
        command = ["sh", "-c", 'exec "$@" 3<&0 4>&1 </dev/null >&2', "sh", str(chromium.program)]
        command += [*_OPTIONS, f"--user-data-dir={folder / 'profile'}"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                env=chromium.environment(folder),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                bufsize=0,
            )
        self._unread = bytearray()
        self._last_id = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._process:  # closes the pipes and waits
            with contextlib.suppress(BrowserError):
                self.call("Browser.close")
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()

    def send(self, method: str, session: str | None = None, **parameters: Any) -> int:
        """Sends a command without waiting for its answer, and returns its number."""
        self._last_id += 1
        message = {"id": self._last_id, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        with contextlib.suppress(BrokenPipeError):  # why, reading will tell
            self._process.stdin.write(json.dumps(message).encode() + b"\0")
        return self._last_id

    def call(
        self,
        method: str,
        session: str | None = None,
        on_event: Callable[[Event], None] | None = None,
        **parameters: Any,
    ) -> dict[str, Any]:
        """Sends a command and returns its result; what happens in the meantime goes to ``on_event``.

        Raises:
            BrowserError: the browser refuses it, has ended, or does not answer.
        """
        wanted = self.send(method, session, **parameters)
        deadline = time.monotonic() + TIMEOUT
        while (message := self.receive(deadline)).get("id") != wanted:
            if on_event is not None:
                on_event(message)
        if "error" in message:
            raise BrowserError(f"{method}: {message['error']['message']}")
        return message["result"]

    def receive(self, deadline: float) -> Event:
        """The next message of the browser.

        Raises:
            BrowserError: none comes before the deadline (of `time.monotonic`), or the browser has ended.
        """
        output = self._process.stdout
        while (end := self._unread.find(b"\0")) < 0:
            ready, _, _ = select.select([output], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise BrowserError(f"no answer within {TIMEOUT:.0f} s{self._last_words()}")
            if not (read := output.read(1 << 20)):
                raise BrowserError(f"the browser ended{self._last_words()}")
            self._unread += read
        message = json.loads(self._unread[:end])
        del self._unread[: end + 1]
        return message

    def _last_words(self) -> str:
        lines = self._log.read_text("utf-8", "replace").splitlines()
        return "".join(f"\n{line}" for line in lines[-5:])
