"""The figures of a report: what the artifacts are worth, over what they cost."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from mnv2deploy.artifacts.manifest import Manifest
from mnv2deploy.figures import render_svg
from mnv2deploy.quantization.verdict import metric_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Stand-ins for the page's colours, which change with its light: each is drawn with and then replaced.
_COLOURS = {
    "#000001": "ink",
    "#000002": "soft",
    "#000003": "line",
    "#000004": "float",
    "#000005": "int8",
    "#000006": "card",
}
_INK, _SOFT, _LINE, _FLOAT, _INT8, _CARD = _COLOURS
# Inches, and points: on a phone, where the figure is 330 pixels wide, letters are 10 pixels high.
_SIZE, _LETTERS = (4.0, 2.9), 9
# Shares of the axes: how high a line of a label is, how wide a letter and the gap to its mark; and how near to each
# other points are that have a label together.
_LABEL_HEIGHT, _LETTER_WIDTH, _LABEL_GAP, _NEAR = 0.075, 0.026, 0.04, 0.1
_LONGEST_LABEL = 24


@dataclass(frozen=True, slots=True)
class Scatter:
    """A figure.

    Attributes:
        title: Over it.
        alt: Its numbers in words, for those who do not see it.
        svg: To stand in the page itself, whose text and colours it takes.
    """

    title: str
    alt: str
    svg: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Point:
    """An artifact in a scatter.

    Attributes:
        name: Of the artifact.
        x: Milliseconds or megabytes.
        y: Percent.
        interval: 95 % of it, percent; of no width without one.
        quantized: Whether it computes in eight bits.
    """

    name: str
    x: float
    y: float
    interval: tuple[float, float]
    quantized: bool


def scatters(manifest: Manifest) -> list[Scatter]:
    """Accuracy over time and over size.

    Agreement stands in for accuracy where some artifact's was not measured. A figure of fewer than two points, which
    would show nothing, is left out.
    """
    title, values = _worth(manifest)
    times = {one.name: one.speed.milliseconds for one in manifest.artifacts if one.speed is not None}
    sizes = {one.name: one.file.size / 1e6 for one in manifest.artifacts}
    made: list[Scatter] = []
    for over, label, cost in (("time", "milliseconds a picture", times), ("size", "megabytes", sizes)):
        points = [
            _Point(
                name=one.name,
                x=cost[one.name],
                y=100 * values[one.name][0],
                interval=(100 * values[one.name][1][0], 100 * values[one.name][1][1]),
                quantized=one.is_quantized,
            )
            for one in manifest.artifacts
            if one.name in values and one.name in cost
        ]
        if len(points) > 1:
            svg = render_svg(partial(_draw, points, label, f"{title}, %"))
            alt = "; ".join(f"{point.name}: {point.y:.1f} % at {point.x:.3g} {label}" for point in points)
            made.append(Scatter(f"{title} over {over}", alt, _inline(svg, f"scatter{len(made) + 1}")))
    return made


def _worth(manifest: Manifest) -> tuple[str, dict[str, tuple[float, tuple[float, float]]]]:
    """What y is, and for each artifact that was measured its value and interval, shares."""
    first = manifest.artifacts[0]
    if all(one.accuracy is not None for one in manifest.artifacts):
        found = {one.name: one.accuracy for one in manifest.artifacts if one.accuracy is not None}
        title = metric_name(found[first.name].metric)
        return title, {name: (one.value, one.interval or (one.value, one.value)) for name, one in found.items()}
    alike = {one.name: one.agreement for one in manifest.artifacts if one.agreement is not None}
    values = {name: (one.share, one.interval or (one.share, one.share)) for name, one in alike.items()}
    return f"agreement with {first.name}", {first.name: (1.0, (1.0, 1.0)), **values}


def _draw(points: Sequence[_Point], x_label: str, y_label: str) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE, layout="constrained", facecolor="none")
    axes = figure.add_subplot(facecolor="none")
    low, high = min(point.interval[0] for point in points), max(point.interval[1] for point in points)
    room = max(0.15 * (high - low), 0.5)
    axes.set_ylim(low - room, high + room)
    axes.set_xlim(0, 1.12 * max(point.x for point in points))
    for point in points:
        colour = _INT8 if point.quantized else _FLOAT
        axes.vlines(point.x, *point.interval, color=colour, linewidth=1.4, alpha=0.55)
        axes.plot(point.x, point.y, "o" if point.quantized else "s", color=colour, markersize=9, markeredgecolor=_CARD)
    _label(axes, points)
    axes.set_xlabel(x_label, color=_SOFT, fontsize=_LETTERS)
    axes.set_ylabel(y_label, color=_SOFT, fontsize=_LETTERS)
    axes.tick_params(colors=_SOFT, length=0, labelsize=_LETTERS)
    axes.locator_params(nbins=6)
    axes.set_yticks([tick for tick in axes.get_yticks() if low - room <= tick <= min(high + room, 100)])
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_LINE)
    axes.grid(color=_LINE, linewidth=0.8)
    axes.set_axisbelow(True)
    return figure


def _label(axes: Axes, points: Sequence[_Point]) -> None:
    """Names the points, to the side where there is more room; those that lie on each other have one label together."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    taken: list[tuple[float, float, float, float]] = []
    for group in _groups(points, right - left, top - bottom):
        names = [_shortened(point.name) for point in group]
        is_left = group[0].x + group[-1].x < left + right
        beside = group[-1].x if is_left else group[0].x
        start = (beside - left) / (right - left)
        width = _LABEL_GAP + _LETTER_WIDTH * max(map(len, names))
        span = (start, start + width) if is_left else (start - width, start)
        height = (sum(point.y for point in group) / len(group) - bottom) / (top - bottom)
        half = _LABEL_HEIGHT * len(group) / 2
        for other_start, other_end, low, high in sorted(taken, key=lambda place: place[2]):
            if span[0] < other_end and other_start < span[1] and height - half < high and low < height + half:
                height = high + half
        taken.append((*span, height - half, height + half))
        axes.annotate(
            "\n".join(names),
            (beside, bottom + height * (top - bottom)),
            (9 if is_left else -9, 0),
            textcoords="offset points",
            ha="left" if is_left else "right",
            va="center",
            color=_INK,
            fontsize=_LETTERS,
            parse_math=False,
        )


def _groups(points: Sequence[_Point], width: float, height: float) -> list[list[_Point]]:
    """Points whose labels would lie on each other, from the left; the lowest group first.

    Args:
        points: To be labelled.
        width: Of the axes in units of x.
        height: Of the axes in units of y.
    """
    groups: list[list[_Point]] = []
    for point in sorted(points, key=lambda point: (point.x, point.y)):
        for group in groups:
            if abs(point.x - group[-1].x) < _NEAR * width and abs(point.y - group[-1].y) < _LABEL_HEIGHT * height:
                group.append(point)
                break
        else:
            groups.append([point])
    return sorted(groups, key=lambda group: group[0].y)


def _shortened(name: str) -> str:
    return name if len(name) <= _LONGEST_LABEL else name[: _LONGEST_LABEL - 1] + "…"


def _inline(svg: str, prefix: str) -> str:
    """A figure without what it has for standing alone: in the page's colours and letters, its ids with a prefix."""
    svg = svg[svg.index("<svg") :].strip()
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(?<=<svg)[^>]*?( viewBox="[^"]*")[^>]*', r'\1 aria-hidden="true"', svg, count=1)
    for old, new in (
        (' id="', f' id="{prefix}-'),
        ("url(#", f"url(#{prefix}-"),
        (' xlink:href="#', f' href="#{prefix}-'),
    ):
        svg = svg.replace(old, new)
    svg = re.sub(r"'DejaVu Sans'[^;\"]*sans-serif", "system-ui, sans-serif", svg)
    return re.sub("#00000[1-6]", lambda match: f"var(--{_COLOURS[match[0]]})", svg)
