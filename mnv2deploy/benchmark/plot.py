"""Results as a picture: a bar for every configuration, or the stages of the way to an answer end to end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mnv2deploy.benchmark.configurations import Configuration
from mnv2deploy.benchmark.results import PipelineResult, Result, RunResult
from mnv2deploy.benchmark.samplers import STAGES
from mnv2deploy.figures import write_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BLUE, _GREEN, _ORANGE, _GREY = "#4477aa", "#66a182", "#e0a84e", "#8c8c8c"
_STAGE_COLOURS = dict(zip(STAGES, (_ORANGE, _GREEN, _BLUE, _GREY), strict=True))
# Inches. The frame is what a picture has beside its bars: head, axis, foot.
_BARS_WIDTH, _CHARACTER, _ROW, _FRAME, _HEAD, _FOOT, _MARGIN = 6.5, 0.083, 0.38, 1.4, 0.4, 0.38, 0.12
_LEGEND = 0.3


def plot_runs(results: Sequence[RunResult], path: Path, machine: str) -> None:
    """Draws the median time of a run with its 10th to 90th percentile, and beside it the pictures a second.

    Args:
        results: From top to bottom.
        path: An .svg or .png, see `figures.check_figure`.
        machine: On which it was measured, in words.

    Raises:
        UsageError: the file cannot be written.
    """
    reading = "Times are medians; the lines reach from the 10th to the 90th percentile."
    _save(lambda figure: _draw_runs(figure, results), path, results, "Time of the network alone", reading, machine)


def plot_stages(results: Sequence[PipelineResult], path: Path, machine: str) -> None:
    """Draws the median time of a picture, divided as the stages share it.

    Args:
        results: From top to bottom.
        path: An .svg or .png, see `figures.check_figure`.
        machine: On which it was measured, in words.

    Raises:
        UsageError: the file cannot be written.
    """
    reading = "Times are medians, divided as the stages share the time of all pictures."
    _save(
        lambda figure: _draw_stages(figure, results),
        path,
        results,
        "From picture file to answer",
        reading,
        machine,
        _LEGEND,
    )


def label_configurations(configurations: Sequence[Configuration]) -> tuple[list[str], str]:
    """Names that are as short as telling apart allows.

    Returns:
        What differs, for each; and what is the same for all.
    """
    columns = [
        [configuration.model for configuration in configurations],
        [f"{one.threads} thread{'s' if one.threads > 1 else ''}" for one in configurations],
        [f"batch {one.batch}" for one in configurations],
        [one.provider for one in configurations],
    ]
    differing = [column for column in columns[1:] if len(set(column)) > 1]
    labels = [", ".join(words) for words in zip(columns[0], *differing, strict=True)]
    return labels, ", ".join(column[0] for column in columns[1:] if len(set(column)) == 1)


def _save(
    draw: Callable[[Figure], Axes],
    path: Path,
    results: Sequence[Result],
    title: str,
    reading: str,
    machine: str,
    legend: float = 0.0,
) -> None:
    write_figure(lambda: _frame(draw, results, title, reading, machine, legend), path)


def _frame(
    draw: Callable[[Figure], Axes], results: Sequence[Result], title: str, reading: str, machine: str, legend: float
) -> Figure:
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    labels, common = label_configurations([result.configuration for result in results])
    width, height = _BARS_WIDTH + _CHARACTER * max(map(len, labels)), _FRAME + legend + _ROW * len(labels)
    left, foot = _MARGIN / width, _FOOT / height
    figure = Figure(figsize=(width, height))
    # The layout makes no room for a title whose place is given, so its strip is kept from the axes.
    room = 1 - foot - _HEAD / height
    figure.set_layout_engine(ConstrainedLayoutEngine(rect=(left, foot, 1 - 2 * left, room)))
    axes = draw(figure)
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.5, -0.5)  # the first on top
    figure.suptitle(title, x=left, y=1 - 0.1 / height, ha="left", fontsize=12, fontweight="bold")
    text = f"{reading}\n{', '.join(filter(None, [common, machine]))}"
    figure.text(left, 0.06 / height, text, fontsize=8, color="0.35", linespacing=1.4)
    return figure


def _draw_runs(figure: Figure, results: Sequence[RunResult]) -> Axes:
    times = figure.add_subplot(1, 2, 1)
    rates = figure.add_subplot(1, 2, 2, sharey=times)
    medians = [result.p50_ms for result in results]
    # Where there are too few samples for a percentile, there is no whisker.
    low = [result.p50_ms if result.p10_ms is None else result.p10_ms for result in results]
    high = [result.p50_ms if result.p90_ms is None else result.p90_ms for result in results]
    _bars(times, medians, _BLUE, ends=high)
    times.hlines(range(len(results)), low, high, color="0.15", linewidth=1.2)
    times.set_xlabel("milliseconds a run")
    _bars(rates, [result.pictures_per_second for result in results], _GREEN)
    rates.set_xlabel("pictures a second")
    rates.tick_params(labelleft=False)
    return times


def _draw_stages(figure: Figure, results: Sequence[PipelineResult]) -> Axes:
    axes = figure.add_subplot()
    totals = [result.stages[-1].p50_ms for result in results]
    starts = [0.0] * len(results)
    for index, (stage, colour) in enumerate(_STAGE_COLOURS.items()):
        widths = [result.stages[index].share * total for result, total in zip(results, totals, strict=True)]
        axes.barh(range(len(results)), widths, left=starts, color=colour, height=0.7, label=stage)
        starts = [start + width for start, width in zip(starts, widths, strict=True)]
    _bars(axes, totals, "none")
    axes.set_xlabel("milliseconds a picture")
    # Over the axes, to which it belongs: so the layout sees it.
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=len(_STAGE_COLOURS),
        frameon=False,
        borderaxespad=0,
        borderpad=0.3,
    )
    return axes


def _bars(axes: Axes, values: Sequence[float], colour: str, ends: Sequence[float] | None = None) -> None:
    """Bars with their values written behind them, or behind ``ends`` where something reaches further."""
    axes.barh(range(len(values)), values, color=colour, height=0.7)
    for place, (value, end) in enumerate(zip(values, ends or values, strict=True)):
        text = f"{value:.3g}" if value < 1000 else f"{value:.0f}"
        axes.annotate(text, (end, place), (4, 0), textcoords="offset points", va="center", fontsize=9)
    axes.set_xlim(0, 1.15 * max(ends or values))  # room for the numbers
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
