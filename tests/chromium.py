"""Where the tests get a browser: the machine's own, or else one out of a package, unpacked into the cache.

No package of PyPI holds a Chromium. The npm package here does: Chrome's headless shell for Linux on x86-64, compressed
with Brotli, and the few libraries beside glibc it needs. Nothing of it is installed and none of its scripts run.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from filelock import FileLock

from mnv2deploy.cache import cache_dir
from mnv2deploy.catalog.sources import Download, Source, SourceFile
from mnv2deploy.weights.fetch import fetch

_NAMES = ("chrome-headless-shell", "chromium-headless-shell", "google-chrome", "google-chrome-stable", "chromium")
_PROGRAM = SourceFile(
    name="chromium.br",
    member="package/bin/chromium.br",
    sha256="38e1e1649db20fa4ea644bf5987688ce81a4c9eb10e7eae8380b74fc0d699fea",
    size=67_016_039,
)
_LIBRARIES = SourceFile(
    name="al2023.tar.br",
    member="package/bin/al2023.tar.br",
    sha256="a166168dd3e3e9d8743689fff543c5cadb3025c1816c6a154c90dc68a59edd0a",
    size=1_208_350,
)
_VERSION = "153.0.0"
PACKAGE = Download(
    name="chromium",
    sources=(
        Source(
            url=f"npm:@sparticuz/chromium@{_VERSION}",
            files=(_PROGRAM, _LIBRARIES),
            is_archive=True,
            sha256="20e5656fcdcf4118ede85edfb9d6bb9cc1bbb7ffb8b75622fffbcf36a835c3c0",
            size=69_995_309,
        ),
    ),
)
# Matplotlib's fonts and none of the machine's: a page looks the same everywhere, also where there are none at all.
_FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>{fonts}</dir>
  <cachedir>{cache}</cachedir>
  <alias><family>sans-serif</family><prefer><family>DejaVu Sans</family></prefer></alias>
  <alias><family>system-ui</family><prefer><family>DejaVu Sans</family></prefer></alias>
  <alias><family>serif</family><prefer><family>DejaVu Serif</family></prefer></alias>
  <alias><family>monospace</family><prefer><family>DejaVu Sans Mono</family></prefer></alias>
</fontconfig>
"""
# Node comes with npm. Python's Brotli would change what requests asks servers for, and so what other tests see.
_DECOMPRESS = """
const [from, to] = process.argv.slice(1), fs = require("fs");
const steps = [fs.createReadStream(from), require("zlib").createBrotliDecompress(), fs.createWriteStream(to)];
require("stream").pipeline(steps, error => { if (error) throw error; });
"""


class NoChromiumError(Exception):
    """This machine has no Chromium and there is none to fetch for it; says why."""


@dataclass(frozen=True, slots=True)
class Chromium:
    """A program that speaks the DevTools protocol.

    Attributes:
        program: Its path.
        libraries: Folder of shared libraries it needs, if they come with it.
    """

    program: Path
    libraries: Path | None = None

    def environment(self, folder: Path) -> dict[str, str]:
        """What it runs in; its home and fonts are in ``folder``."""
        configuration = folder / "fonts.conf"
        fonts = Path(find_spec("matplotlib").origin).parent / "mpl-data" / "fonts" / "ttf"
        configuration.write_text(_FONTS.format(fonts=fonts, cache=folder / "fonts"))
        environment = os.environ | {"HOME": str(folder), "FONTCONFIG_FILE": str(configuration)}
        if self.libraries is not None:
            environment["LD_LIBRARY_PATH"] = str(self.libraries)
        return environment


def find_chromium() -> Chromium:
    """The program ``MNV2DEPLOY_CHROMIUM`` names, one on the PATH, or else one that is fetched.

    Raises:
        ValueError: ``MNV2DEPLOY_CHROMIUM`` names no program.
        NoChromiumError: there is none, and none can be had for this machine.
        DownloadError: it cannot be fetched.
    """
    if sys.platform == "win32":
        raise NoChromiumError("the browser is driven over inherited pipes, which these tests can do on POSIX only")
    if chosen := os.environ.get("MNV2DEPLOY_CHROMIUM"):
        if not (program := shutil.which(chosen)):
            raise ValueError(f"MNV2DEPLOY_CHROMIUM={chosen} is not a program.")
        return Chromium(Path(program))
    for program in filter(None, map(shutil.which, _NAMES)):
        if Path(program).resolve().name != "snap":  # a snap may read neither /tmp nor hidden folders
            return Chromium(Path(program))
    machine = f"{sys.platform} {platform.machine()}"
    by_hand = "install one, or name one in MNV2DEPLOY_CHROMIUM"
    if machine != "linux x86_64":
        raise NoChromiumError(f"no Chromium on the PATH, and none can be fetched for {machine}: {by_hand}")
    if not (shutil.which("npm") and shutil.which("node")):
        raise NoChromiumError(f"no Chromium on the PATH, and no npm and node to fetch one with: {by_hand}")
    return fetch_chromium()


def fetch_chromium() -> Chromium:
    """Chromium out of its package, unpacked into the cache the first time (70 MB to fetch, 280 MB on the disk)."""
    home = cache_dir() / "chromium"
    final = home / _VERSION
    home.mkdir(parents=True, exist_ok=True)
    with FileLock(home / ".lock"):
        if not final.exists():
            with TemporaryDirectory(prefix=".tmp-", dir=home) as work:
                _unpack(fetch(PACKAGE).files, Path(work) / "unpacked")
                (Path(work) / "unpacked").rename(final)
    return Chromium(final / "chromium", final / "lib")


def _unpack(files: dict[str, Path], folder: Path) -> None:
    folder.mkdir()
    for compressed in files.values():
        subprocess.run(["node", "-e", _DECOMPRESS, compressed, folder / compressed.stem], check=True, timeout=120)
    with tarfile.open(folder / "al2023.tar") as libraries:
        libraries.extractall(folder, filter="data")
    (folder / "al2023.tar").unlink()
    (folder / "chromium").chmod(0o755)
