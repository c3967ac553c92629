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
_ALWAYS = ("*.py", "artifacts/manifest.py", "artifacts/steps.py")


def made_by(packages: Iterable[str], rooms: Iterable[str]) -> dict[str, Any]:
    """The programs a step's result depends on.

    Args:
        packages: Installed distributions.
        rooms: Folders of this package; the files beside them always count, and those that say what a step writes.
    """
    patterns = [*_ALWAYS, *(f"{room}/*.py" for room in sorted(rooms))]
    return {
        "versions": {package: importlib.metadata.version(package) for package in sorted(packages)},
        "code": {pattern: _digest(pattern) for pattern in patterns},
    }


def measured_on() -> dict[str, Any]:
    """What a measurement depends on: sums of float32 are of another order on another processor."""
    return {"processor": processor_name(), "processors": available_processors()}


@functools.cache
def _digest(pattern: str) -> str:
    """Of the names and texts of files of this package."""
    digest = hashlib.sha256()
    for path in sorted(_PACKAGE.glob(pattern)):
        digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
