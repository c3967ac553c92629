"""What decides what a step of a build makes, beside its options: the programs, this code, this processor."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mnv2deploy.benchmark.machine import processor_name
from mnv2deploy.runtime.processors import available_processors

_PACKAGE = Path(__file__).parent.parent
# Of every step: the files beside the folders, and those of this one that write and read what a step makes. Others of
# this folder, which write releases, make no step again.
_EVERY_STEP = ("", *(f"artifacts/{name}.py" for name in ("answers", "golden", "manifest", "steps")))


def made_by(packages: Iterable[str], rooms: Iterable[str]) -> dict[str, Any]:
    """The programs a step's result depends on.

    Args:
        packages: Installed distributions.
        rooms: Folders of this package.
    """
    return {
        "versions": {package: importlib.metadata.version(package) for package in sorted(packages)},
        "code": {place: _digest(place) for place in sorted({*_EVERY_STEP, *rooms})},
    }


def measured_on() -> dict[str, Any]:
    """What a measurement depends on: sums of float32 are of another order on another processor."""
    return {"processor": processor_name(), "processors": available_processors()}


@functools.cache
def _digest(place: str) -> str:
    """Of a file, or of the files of a folder."""
    digest, found = hashlib.sha256(), _PACKAGE / place
    for path in sorted(found.glob("*.py")) if found.is_dir() else [found]:
        digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
