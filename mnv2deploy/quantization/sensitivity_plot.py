"""Sensitivity as a picture: a bar for every layer, and what it is from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mnv2deploy.figures import write_figure
from mnv2deploy.quantization.sensitivity import LayerCost

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BLUE, _ORANGE = "#4477aa", "#e0a84e"
# Inches.
_WIDTH, _ROW, _FRAME = 8.0, 0.21, 1.6


def plot_costs(costs: Sequence[LayerCost], path: Path, subject: str) -> None:
    """Draws each layer's share of all layers' errors, divided as weights and activations alone err.

    Args:
        costs: From top to bottom.
        path: An .svg or .png, see `figures.check_figure`.
        subject: What was measured, in words.

    Raises:
        UsageError: the file cannot be written.
    """
    write_figure(lambda: _draw(costs, subject), path)


def _draw(costs: Sequence[LayerCost], subject: str) -> Figure:
    from matplotlib.figure import Figure

    places = range(len(costs))
    shares = [100 * cost.share for cost in costs]
    weights = [100 * cost.share * weights_part(cost) for cost in costs]
    figure = Figure(figsize=(_WIDTH, _FRAME + _ROW * len(costs)), layout="constrained")
    axes = figure.add_subplot()
    axes.barh(places, weights, color=_BLUE, height=0.75, label="weights")
    rest = [share - part for share, part in zip(shares, weights, strict=True)]
    axes.barh(places, rest, left=weights, color=_ORANGE, height=0.75, label="input and output")
    for place, (share, cost) in enumerate(zip(shares, costs, strict=True)):
        text = f"{share:.1f} %, {cost.sqnr:.0f} dB"
        axes.annotate(text, (share, place), (4, 0), textcoords="offset points", va="center", fontsize=8)
    axes.set_yticks(places, [cost.name for cost in costs], fontsize=8)
    axes.set_ylim(len(costs) - 0.4, -0.6)  # the worst on top
    axes.set_xlim(0, 1.25 * max(shares, default=1.0) or 1.0)  # room for the numbers
    axes.set_xlabel("share of all layers' errors, %; behind it the SQNR of the answers", fontsize=8)
    axes.legend(loc="lower right", frameon=False)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    figure.suptitle("What each layer costs in eight bits", x=0.02, ha="left", fontsize=12, fontweight="bold")
    axes.set_title(subject, loc="left", fontsize=8, color="0.35")
    return figure


def weights_part(cost: LayerCost) -> float:
    """Which part of a layer's error is its weights', 0..1, going by what weights and activations do alone."""
    weights, activations = (10 ** (-sqnr / 10) for sqnr in (cost.weights_sqnr, cost.activations_sqnr))
    return weights / (weights + activations) if weights + activations else 0.0
