"""Pages as a browser shows them: what they write to the console, what they ask for, what they look like.

Every page is opened in a browser context of its own. DevTools tells of everything it asks for, and so do its frames
and workers; nothing of that leaves the machine (see `devtools`).
"""

from __future__ import annotations

import base64
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import devtools
from devtools import BrowserError, DevTools, Event

PHONE = 390
"""Width of a phone's screen in CSS pixels."""
_HEIGHT = 844
# The headless shell does not follow these, a browser with a window does.
_LINKS = """
[...document.querySelectorAll("link:is([rel~=icon], [rel|=apple], [rel*=pre], [rel=manifest])")]
    .map(link => link.href).filter(address => !address.startsWith("data:"))
"""
_NO_REQUEST = ("data:", "blob:", "about:")


@dataclass(frozen=True, slots=True)
class Page:
    """What a page came to.

    Attributes:
        console: Everything on the console in order, as "level: text": the page's own messages of every level, uncaught
            exceptions, dialogs, and the browser's complaints (blocked, deprecated, failed to load).
        requests: Address of everything the page asked for beside itself, other files too, each once.
        screenshot: The whole page as PNG.
        text: The text that is shown, as laid out.
        scroll_width: Width of what is laid out in CSS pixels; more than the window's where it scrolls sideways.
        result: Value of the script.
    """

    console: list[str]
    requests: list[str]
    screenshot: bytes
    text: str
    scroll_width: int
    result: Any


class Browser:
    """Opens pages, each as if it were the first.

    Args:
        devtools: The browser.
    """

    def __init__(self, devtools: DevTools) -> None:
        self._devtools = devtools

    def open_page(self, path: Path, width: int = 1280, dark: bool = False, script: str = "null") -> Page:
        """Opens a local HTML file and waits until it has loaded and asked for nothing more for half a second.

        Args:
            path: The file.
            width: Of the window in CSS pixels; below 600 it is a phone's, which heeds ``<meta name="viewport">``.
            dark: Whether ``prefers-color-scheme`` is dark.
            script: JavaScript expression evaluated then, before the screenshot; a promise is awaited.

        Raises:
            BrowserError: the browser ended, the file cannot be opened, it does not come to rest in 30 seconds, or the
                script throws.
        """
        call = self._devtools.call
        context = call("Target.createBrowserContext")
        try:
            target = call("Target.createTarget", url="about:blank", **context)
            session = call("Target.attachToTarget", **target, flatten=True)["sessionId"]
            visit = _Visit(self._devtools, session, path.absolute().as_uri())
            visit.open(width, dark)
            page = visit.see(script)
            others = [
                one["url"] for one in call("Target.getTargets")["targetInfos"] if _is_beside(one, context, target)
            ]
            return replace(page, requests=list(dict.fromkeys([*page.requests, *others])))
        finally:
            call("Target.disposeBrowserContext", **context)


class _Visit:
    """A page while it is open, and what has happened in it and its frames and workers."""

    def __init__(self, devtools: DevTools, session: str, address: str) -> None:
        self._devtools = devtools
        self._session = session
        self._address = address
        self._console: list[str] = []
        self._requests: list[str] = []
        self._documents: list[tuple[str, str]] = []  # frame and loader
        self._at_rest: set[str] = set()
        self._watch(session)

    def open(self, width: int, dark: bool) -> None:
        self._call("Page.enable")
        self._call("Page.setLifecycleEventsEnabled", enabled=True)
        screen = {"width": width, "height": _HEIGHT, "deviceScaleFactor": 1, "mobile": width < 600}
        self._call("Emulation.setDeviceMetricsOverride", **screen)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._call("Emulation.setEmulatedMedia", features=[scheme])
        opened = self._call("Page.navigate", url=self._address)
        if "errorText" in opened:
            raise BrowserError(f"{self._address}: {opened['errorText']}")
        deadline = time.monotonic() + devtools.TIMEOUT
        while not self._is_at_rest(opened["frameId"], opened["loaderId"]):
            self._note(self._devtools.receive(deadline))

    def _is_at_rest(self, frame: str, loader: str) -> bool:
        """Whether the document, or the one it went on to, has loaded and is quiet."""
        loaders = [of for where, of in self._documents if where == frame]
        return loader in loaders and loaders[-1] in self._at_rest

    def see(self, script: str) -> Page:
        result = self._evaluate(script)
        text = self._evaluate("document.body.innerText")
        size = self._call("Page.getLayoutMetrics")["cssContentSize"]
        picture = self._call("Page.captureScreenshot", captureBeyondViewport=True, clip={**size, "scale": 1})["data"]
        requests = [*self._requests, *self._evaluate(_LINKS)]
        return Page(self._console, requests, base64.b64decode(picture), text, size["width"], result)

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._devtools.call(method, self._session, self._note, **parameters)

    def _evaluate(self, script: str) -> Any:
        answer = self._call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise BrowserError(f"{script}: {_exception(answer['exceptionDetails'])}")
        return answer["result"].get("value")

    def _watch(self, session: str) -> None:
        """Asks for what happens in a page, frame or worker, and lets it go on where it waits for that."""
        for method in ("Network.enable", "Runtime.enable", "Log.enable"):
            self._devtools.send(method, session)
        wait = {"autoAttach": True, "waitForDebuggerOnStart": True, "flatten": True}
        self._devtools.send("Target.setAutoAttach", session, **wait)
        self._devtools.send("Runtime.runIfWaitingForDebugger", session)

    def _note(self, event: Event) -> None:
        happened = event.get("params", {})
        match event.get("method"):
            case "Runtime.consoleAPICalled":
                words = (value.get("description") or str(value.get("value")) for value in happened["args"])
                self._console.append(f"{happened['type']}: {' '.join(words)}")
            case "Runtime.exceptionThrown":
                self._console.append(f"exception: {_exception(happened['exceptionDetails'])}")
            case "Log.entryAdded":
                entry = happened["entry"]
                self._console.append(f"{entry['level']}: {entry['text']} {entry.get('url', '')}".rstrip())
            case "Page.javascriptDialogOpening":
                self._console.append(f"dialog: {happened['message']}")
                self._devtools.send("Page.handleJavaScriptDialog", event["sessionId"], accept=False)
            case "Network.requestWillBeSent":
                url = happened["request"]["url"]
                if url != self._address and not url.startswith(_NO_REQUEST):
                    self._requests.append(url)
            case "Network.webSocketCreated" | "Network.webTransportCreated":
                self._requests.append(happened["url"])
            case "Page.lifecycleEvent" if happened["name"] == "init":
                self._documents.append((happened["frameId"], happened["loaderId"]))
            case "Page.lifecycleEvent" if happened["name"] == "networkIdle":
                self._at_rest.add(happened["loaderId"])
            case "Target.attachedToTarget":
                self._watch(happened["sessionId"])
            case "Inspector.targetCrashed":
                raise BrowserError(f"{self._address}: the page crashed")


def _is_beside(one: dict[str, Any], context: dict[str, str], target: dict[str, str]) -> bool:
    """Whether a target is a window or shared worker the page has opened: those are not watched."""
    is_watched = one["type"] in ("iframe", "worker") or one["targetId"] == target["targetId"]
    return one.get("browserContextId") == context["browserContextId"] and not is_watched


def _exception(details: dict[str, Any]) -> str:
    return details.get("exception", {}).get("description") or details["text"]
