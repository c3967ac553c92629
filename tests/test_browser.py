"""The browser the other tests look at pages with: each thing it is to catch is caught, and a clean page is clean."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable
from pathlib import Path

import cv2
import devtools
import numpy as np
import pytest
from browser import PHONE, Browser, Page
from chromium import Chromium, NoChromiumError, find_chromium
from devtools import BrowserError, DevTools

network = pytest.mark.network
VIEWPORT = '<meta name="viewport" content="width=device-width">'
PIXEL = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="

Open = Callable[..., Page]


@pytest.fixture
def open_html(browser: Browser, tmp_path: Path) -> Open:
    def open_html(html: str, **options: object) -> Page:
        path = tmp_path / "a page & more.html"
        path.write_text(f'<!doctype html><html lang="en"><meta charset="utf-8">{html}', "utf-8")
        return browser.open_page(path, **options)

    return open_html


def pixels(page: Page) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(page.screenshot, np.uint8), cv2.IMREAD_COLOR)


@network
def test_a_page_that_holds_all_it_needs_has_nothing_to_report(open_html: Open) -> None:
    page = open_html(f"""
        <link rel="icon" href="{PIXEL}"><h1>Größe 日</h1><p hidden>no</p><img alt="" src="{PIXEL}"><a href="https://a.test/">a</a>
        <script>new Worker(URL.createObjectURL(new Blob(["1"])))</script>
    """)
    assert page.console == []
    assert page.requests == []
    assert page.text.split() == ["Größe", "日", "a"]


@network
def test_everything_on_the_console_is_caught(open_html: Open) -> None:
    page = open_html("""<script>
        console.log("one", 1);
        console.warn("two");
        console.error("three");
        console.assert(false, "four");
        setTimeout(() => { throw new Error("five"); }, 50);
        setTimeout(() => Promise.reject(new RangeError("six")), 100);
        setTimeout(() => alert("seven"), 150);
        setTimeout(() => console.error("late"), 400);
    </script>""")
    assert [line.splitlines()[0] for line in page.console] == [
        *("log: one 1", "warning: two", "error: three", "assert: four"),
        *("exception: Error: five", "exception: RangeError: six", "dialog: seven", "error: late"),
    ]


@network
def test_a_script_that_is_no_javascript_is_caught(open_html: Open) -> None:
    assert open_html("<script>let let = 1</script>").console == [
        "exception: SyntaxError: let is disallowed as a lexically bound name"
    ]


@network
def test_an_exception_in_a_worker_and_what_a_frame_says_are_caught(open_html: Open) -> None:
    page = open_html("""<iframe srcdoc="<script>console.error('frame')</script>"></iframe><script>
        new Worker(URL.createObjectURL(new Blob(["throw new Error('worker')"])));
    </script>""")
    assert "error: frame" in page.console
    assert any("Error: worker" in line for line in page.console)


@network
def test_what_the_browser_complains_of_is_caught(open_html: Open) -> None:
    page = open_html(f"""<meta http-equiv="Content-Security-Policy" content="img-src 'none'"><img src="{PIXEL}">""")
    assert len(page.console) == 1
    assert page.console[0].startswith("error: ")
    assert "Content Security Policy" in page.console[0]


@network
def test_every_way_to_ask_for_something_is_caught(open_html: Open, tmp_path: Path) -> None:
    (tmp_path / "beside.js").write_text("1", "utf-8")
    page = open_html("""
        <link rel="stylesheet" href="https://a.test/style.css"><link rel="preconnect" href="https://preconnect.test">
        <link rel="dns-prefetch" href="https://dns.test"><link rel="shortcut icon" href="https://a.test/icon.png">
        <style>@font-face { font-family: f; src: url(https://a.test/font.woff2) } p { font-family: f }</style><p>p</p>
        <img src="http://a.test/picture.png"><iframe src="https://a.test/frame"></iframe>
        <iframe sandbox src="data:text/html,<img src=https://a.test/in-frame.png>"></iframe>
        <script src="beside.js"></script><script>
            fetch("https://a.test/fetch").catch(() => 0);
            fetch("http://localhost:8/", {mode: "no-cors"}).catch(() => 0);
            navigator.sendBeacon("https://a.test/beacon", "1");
            new WebSocket("wss://a.test/socket");
            new Worker("data:text/javascript,fetch('https://a.test/in-worker')");
            open("https://a.test/window");
        </script>
    """)
    assert sorted(page.requests) == sorted(
        [
            *("https://a.test/style.css", "https://preconnect.test/", "https://dns.test/", "https://a.test/icon.png"),
            *("https://a.test/font.woff2", "http://a.test/picture.png", "https://a.test/frame"),
            *("https://a.test/in-frame.png", (tmp_path / "beside.js").as_uri(), "https://a.test/fetch"),
            *("http://localhost:8/", "https://a.test/beacon", "wss://a.test/socket", "https://a.test/in-worker"),
            "https://a.test/window",
        ]
    )


@network
def test_a_page_that_goes_elsewhere_is_caught(open_html: Open) -> None:
    assert open_html('<meta http-equiv="refresh" content="0;url=https://a.test/">').requests == ["https://a.test/"]


@network
def test_nothing_reaches_even_a_server_on_this_machine(open_html: Open) -> None:
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}/picture.png"
        page = open_html(f'<img src="{address}">')
        server.shutdown()
        thread.join()
    assert page.requests == [address]
    assert asked == []


@network
@pytest.mark.parametrize(("dark", "grey"), [(False, 255), (True, 0)])
def test_a_page_is_light_or_dark(dark: bool, grey: int, open_html: Open) -> None:
    page = open_html("<style>@media (prefers-color-scheme: dark) { body { background: black } }</style>", dark=dark)
    assert np.unique(pixels(page)).tolist() == [grey]


@network
def test_a_screenshot_shows_the_whole_page(open_html: Open) -> None:
    page = open_html(
        '<body style="margin: 0"><div style="height: 3000px"></div><div style="height: 9px; background: red">'
    )
    picture = pixels(page)
    assert picture.shape == (3009, 1280, 3)
    assert (picture[3000:] == (0, 0, 255)).all()
    assert (picture[:3000] == 255).all()


@network
def test_a_phone_shows_a_page_made_for_it_in_its_own_width(open_html: Open) -> None:
    page = open_html(VIEWPORT + "<p>text", width=PHONE, script="innerWidth")
    assert page.result == page.scroll_width == pixels(page).shape[1] == PHONE


@network
def test_a_page_too_wide_for_a_phone_is_told(open_html: Open) -> None:
    style = '<body style="margin: 0"><div style="width: 700px">wide</div>'
    assert open_html(VIEWPORT + style, width=PHONE).scroll_width == 700
    assert open_html(style, width=PHONE).scroll_width == 980  # without the viewport it is a desktop's page, made small


@network
def test_a_script_acts_on_the_page_before_the_screenshot(open_html: Open) -> None:
    button = "<button onclick=\"document.body.style.background = 'lime'; console.warn('clicked')\">Go</button>"
    script = "new Promise(done => { document.querySelector('button').click(); setTimeout(() => done({a: [1]}), 20); })"
    page = open_html(button, script=script)
    assert page.result == {"a": [1]}
    assert page.console == ["warning: clicked"]
    assert pixels(page)[-1, -1].tolist() == [0, 255, 0]


@network
def test_a_script_that_throws_is_an_error(open_html: Open) -> None:
    with pytest.raises(BrowserError, match=r"nothing\.there: TypeError"):
        open_html("<script>var nothing</script>", script="nothing.there")


@network
def test_text_is_set_in_known_fonts(open_html: Open) -> None:
    texts = [(family, text) for family in ("monospace", "sans-serif", "serif") for text in ("iiii", "MMMM")]
    page = open_html(
        "".join(f'<span style="font: 100px {family}">{text}</span><br>' for family, text in texts),
        script="[...document.querySelectorAll('span')].map(span => span.getBoundingClientRect().width)",
    )
    width = dict(zip(texts, page.result, strict=True))
    # An M of DejaVu is 1233 (Mono), 1767 (Sans) and 2097 (Serif) of 2048 wide; advances are whole pixels.
    assert width["monospace", "iiii"] == width["monospace", "MMMM"] == 4 * round(100 * 1233 / 2048)
    assert width["sans-serif", "MMMM"] == 4 * round(100 * 1767 / 2048)
    assert width["serif", "MMMM"] == 4 * round(100 * 2097 / 2048)


@network
def test_a_page_knows_nothing_of_the_one_before(open_html: Open) -> None:
    script = "[localStorage.length, localStorage.setItem('a', 'b'), localStorage.length]"
    assert [open_html("", script=script).result for _ in range(2)] == [[0, None, 1]] * 2


@network
def test_a_file_that_is_missing_is_an_error(browser: Browser, tmp_path: Path) -> None:
    with pytest.raises(BrowserError, match="missing.html: net::ERR_FILE_NOT_FOUND"):
        browser.open_page(tmp_path / "missing.html")


@network
def test_a_page_that_never_rests_is_an_error_and_the_next_one_opens(
    open_html: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(devtools, "TIMEOUT", 1.0)
        with pytest.raises(BrowserError, match="within 1 s"):
            open_html("<script>for (;;);</script>")
    assert open_html("<p>next").text == "next"


def test_a_program_that_is_no_browser_is_an_error_with_its_last_words(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\necho cannot start >&2\n", "utf-8")
    program.chmod(0o755)
    with (
        pytest.raises(BrowserError, match="the browser ended\ncannot start"),
        DevTools(Chromium(program), tmp_path) as own,
    ):
        own.call("Browser.getVersion")


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The one folder on the PATH."""
    monkeypatch.delenv("MNV2DEPLOY_CHROMIUM", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def add_program(path: Path) -> Path:
    path.touch(mode=0o755)
    return path


def test_the_program_the_environment_names_comes_first(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_program(programs / "chromium")
    monkeypatch.setenv("MNV2DEPLOY_CHROMIUM", str(add_program(programs / "mine")))
    assert find_chromium() == Chromium(programs / "mine")


def test_a_name_that_is_no_program_is_an_error(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_program(programs / "chromium")
    monkeypatch.setenv("MNV2DEPLOY_CHROMIUM", str(programs / "missing"))
    with pytest.raises(ValueError, match="missing is not a program"):
        find_chromium()


@pytest.mark.parametrize("name", ["chromium", "google-chrome", "chrome-headless-shell"])
def test_a_program_on_the_path_is_taken(name: str, programs: Path) -> None:
    program = add_program(programs / name)
    assert find_chromium() == Chromium(program)


def test_a_snap_is_not_taken(programs: Path) -> None:
    (programs / "chromium").symlink_to(add_program(programs / "snap"))
    with pytest.raises(NoChromiumError):
        find_chromium()


def test_without_npm_the_reason_says_what_to_do(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr("sys.platform", "linux")
    with pytest.raises(NoChromiumError, match="no npm and node to fetch one with: install one, or name one in MNV2"):
        find_chromium()


def test_another_machine_gets_no_program_it_cannot_run(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    monkeypatch.setattr("sys.platform", "linux")
    add_program(programs / "npm")
    add_program(programs / "node")
    with pytest.raises(NoChromiumError, match="none can be fetched for linux aarch64"):
        find_chromium()
