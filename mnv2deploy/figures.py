"""Figures in files: the same bytes for the same figure."""

from __future__ import annotations

import importlib.util
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from mnv2deploy.errors import MissingDependencyError, UsageError
from mnv2deploy.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Nothing that changes from run to run: no date, no random ids; text stays text in an SVG.
_METADATA: dict[str, dict[str, str | None]] = {".svg": {"Date": None, "Creator": None}, ".png": {"Software": None}}
_STYLE: list[str | dict[str, str]] = ["default", {"svg.hashsalt": "mnv2deploy", "svg.fonttype": "none"}]
# What matplotlib calls a thing it refers to: a letter and ten digits of a hash.
_SVG_ID = re.compile(r'(?<=id=")[a-z][0-9a-f]{10}(?=")')
SUFFIXES = tuple(_METADATA)


def check_figure(path: Path, option: str, suffixes: tuple[str, ...] = SUFFIXES) -> None:
    """Says before the work what would go wrong after it.

    Args:
        path: Where a figure is to be drawn.
        option: That names the file, for the messages.
        suffixes: What the name may end in; those that are not drawings need no matplotlib.

    Raises:
        UsageError: another ending, or no such folder.
        MissingDependencyError: matplotlib is not installed.
    """
    if path.suffix not in suffixes:
        raise UsageError(f"{option} {path}: the name should end in {' or '.join(suffixes)}.")
    if not path.parent.is_dir():
        raise UsageError(f"{option} {path}: there is no folder {path.parent}; make it first.")
    if path.suffix in SUFFIXES and importlib.util.find_spec("matplotlib") is None:
        raise MissingDependencyError("Drawing needs matplotlib; install with: pip install 'mnv2deploy[plot]'")


def write_figure(draw: Callable[[], Figure], path: Path) -> None:
    """Draws into an SVG or PNG, in matplotlib's own style whatever the user's.

    Args:
        draw: Makes the figure.
        path: See `check_figure`.

    Raises:
        UsageError: the file cannot be written.
    """
    write_atomically(path, render_svg(draw).encode() if path.suffix == ".svg" else _save(draw, path.suffix))


def render_svg(draw: Callable[[], Figure]) -> str:
    """The text of the SVG that `write_figure` writes."""
    return _number_ids(_save(draw, ".svg").decode())


def _save(draw: Callable[[], Figure], suffix: str) -> bytes:
    from matplotlib import style

    data = io.BytesIO()
    with style.context(_STYLE):
        draw().savefig(data, format=suffix[1:], dpi=150, metadata=_METADATA[suffix])
    return data.getvalue()


def _number_ids(svg: str) -> str:
    """Numbers in the place of hashes: those are of coordinates to the last bit, which vary with memory's alignment."""
    for number, name in enumerate(dict.fromkeys(_SVG_ID.findall(svg))):
        svg = svg.replace(name, f"id{number}")
    return svg
