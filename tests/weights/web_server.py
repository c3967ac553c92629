"""A web server that misbehaves on request, and short ways to describe downloads."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mnv2deploy.catalog.sources import Download, Source, SourceFile

Behaviour = Callable[[BaseHTTPRequestHandler], None]


class WebServer(ThreadingHTTPServer):
    """Answers each path the way the test says and counts what is asked for."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.routes: dict[str, list[Behaviour]] = {}
        self.hits: Counter[str] = Counter()
        self.over = threading.Event()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"

    def on(self, path: str, *behaviours: Behaviour) -> str:
        """The n-th request is answered by the n-th behaviour, later ones by the last. Returns the address."""
        self.routes[path] = list(behaviours)
        return self.url(path)

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up are the point of these tests."""

    def gives(self, body: bytes, kind: str = "application/octet-stream") -> Behaviour:
        return lambda handler: _send(handler, body, len(body), kind)

    def breaks_off(self, body: bytes) -> Behaviour:
        return lambda handler: _send(handler, body[: len(body) // 2], len(body))

    def stalls(self, body: bytes) -> Behaviour:
        def behave(handler: BaseHTTPRequestHandler) -> None:
            _send(handler, body[: len(body) // 2], len(body))
            self.over.wait()

        return behave

    def drips(self, body: bytes, seconds: float, pieces: int = 20) -> Behaviour:
        def behave(handler: BaseHTTPRequestHandler) -> None:
            _send(handler, b"", len(body))
            step = -(-len(body) // pieces)
            for start in range(0, len(body), step):
                self.over.wait(seconds / pieces)
                handler.wfile.write(body[start : start + step])

        return behave

    def fails(self, status: int) -> Behaviour:
        return lambda handler: handler.send_error(status)

    def redirects(self, path: str) -> Behaviour:
        def behave(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(302)
            handler.send_header("Location", self.url(path))
            handler.send_header("Content-Length", "0")
            handler.end_headers()

        return behave


def _send(handler: BaseHTTPRequestHandler, body: bytes, declared: int, kind: str = "application/octet-stream") -> None:
    handler.send_response(200)
    handler.send_header("Content-Type", kind)
    handler.send_header("Content-Length", str(declared))
    handler.end_headers()
    handler.wfile.write(body)


class _Handler(BaseHTTPRequestHandler):
    server: WebServer

    def do_GET(self) -> None:
        path = self.path.replace("%2f", "/").split("?")[0]
        self.server.hits[path] += 1
        behaviours = self.server.routes.get(path)
        if behaviours is None:
            self.send_error(404)
        else:
            behaviours[min(self.server.hits[path], len(behaviours)) - 1](self)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


def file_of(data: bytes, name: str = "weights.bin", member: str | None = None) -> SourceFile:
    return SourceFile(name, member or name, hashlib.sha256(data).hexdigest(), len(data))


def plain(url: str, data: bytes) -> Source:
    """A source that is the file itself."""
    return Source(url, (file_of(data),), is_archive=False, sha256=None, size=len(data))


def packed(url: str, archive: bytes | None, *files: SourceFile) -> Source:
    """A source that is an archive; its digest is declared if ``archive`` is given."""
    digest = None if archive is None else hashlib.sha256(archive).hexdigest()
    return Source(url, files, is_archive=True, sha256=digest, size=len(archive or b""))


def download(*sources: Source) -> Download:
    return Download("weights", sources)


def final_files(cache: Path) -> list[str]:
    """Names of all files in the cache that are not temporary."""
    below = (path.relative_to(cache).parts for path in cache.rglob("*") if path.is_file())
    return sorted(parts[-1] for parts in below if not any(part.startswith(".") for part in parts))


def temporaries(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.rglob(".*") if path.name != ".lock")


def wait_until(condition: Callable[[], object], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def without_client_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes pip and npm forget how this machine has set them up."""
    for name in list(os.environ):
        if name.upper().startswith(("PIP_", "NPM_CONFIG_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    for name in ("npm_config_userconfig", "npm_config_globalconfig"):
        monkeypatch.setenv(name, f"/nowhere/{name}")


def make_zip(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def make_tar(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()
