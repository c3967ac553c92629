"""The one reference photo that is not among the sample photos."""

from __future__ import annotations

from pathlib import Path

from inputs import PHOTOS

from mnv2deploy.catalog.sources import parse_download
from mnv2deploy.weights.fetch import fetch


def fetch_bus() -> Path:
    """ultralytics' bus.jpg, out of its wheel."""
    digest = PHOTOS["street"].sha256
    url = f"pypi:{PHOTOS['street'].requirement}!{PHOTOS['street'].member}"
    table = {"url": url, "files": {"bus.jpg": {"size": 137419, "sha256": digest}}}
    return fetch(parse_download("ultralytics-bus", [table], __file__)).main
