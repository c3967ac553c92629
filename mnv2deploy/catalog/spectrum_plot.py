"""The published sizes as a picture: accuracy over multiply-adds, one line a width."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mnv2deploy.catalog.spectrum import Size
from mnv2deploy.figures import check_figure, write_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MARKERS = "os^Dv"
_TICKS = (10, 20, 50, 100, 200, 500)


def plot_spectrum(sizes: Sequence[Size], path: Path) -> None:
    """Draws the sizes into an SVG or PNG; the same bytes every time.

    Raises:
        UsageError: another ending, or the file cannot be written.
        MissingDependencyError: matplotlib is not installed.
    """
    check_figure(path, "--plot")
    write_figure(lambda: _draw(sizes), path)


def _draw(sizes: Sequence[Size]) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    resolutions = sorted({size.resolution for size in sizes}, reverse=True)
    markers = dict(zip(resolutions, _MARKERS, strict=False))
    for index, width in enumerate(dict.fromkeys(size.width_multiplier for size in sizes)):
        line = [size for size in sizes if size.width_multiplier == width]
        colour = f"C{index}"
        axes.plot([size.multiply_adds_millions for size in line], [size.top1 for size in line], color=colour)
        for size in line:
            marker = markers[size.resolution]
            axes.plot(size.multiply_adds_millions, size.top1, marker, color=colour, markersize=6)
        best = line[0].multiply_adds_millions, line[0].top1
        # Below and to the right of the line's end nothing else is drawn.
        axes.annotate(f"{width}", best, (5, -6), textcoords="offset points", va="top", color=colour)
    for resolution, marker in markers.items():
        axes.plot([], [], marker, color="grey", label=f"{resolution} x {resolution}")
    axes.legend(title="Input", loc="lower right")
    axes.set_xscale("log")
    axes.set_xticks(_TICKS, [str(tick) for tick in _TICKS])
    axes.minorticks_off()
    axes.set_xlabel("multiply-adds, millions (log scale)")
    axes.set_ylabel("ImageNet top-1, %")
    axes.set_title("MobileNetV2, the published sizes: one line for each width multiplier")
    axes.grid(alpha=0.3)
    axes.margins(0.06, 0.08)
    return figure
