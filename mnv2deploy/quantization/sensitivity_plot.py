"""Sensitivity as a picture: a bar for every layer, and what it is from."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from mnv2deploy.files import write_atomically
from mnv2deploy.quantization.sensitivity import LayerCost

# Nothing that changes from run to run: no date, no random ids; text stays text in an SVG.
_METADATA: dict[str, dict[str, str | None]] = {".svg": {"Date": None, "Creator": None}, ".png": {"Software": None}}
_STYLE: list[str | dict[str, str]] = ["default", {"svg.hashsalt": "mnv2deploy", "svg.fonttype": "none"}]
_BLUE, _ORANGE = "#4477aa", "#e0a84e"
# Inches.
_WIDTH, _ROW, _FRAME = 8.0, 0.21, 1.6


def plot_costs(costs: Sequence[LayerCost], path: Path, subject: str) -> None:
    """Draws each layer's share of all layers' errors, divided as weights and activations alone err.

    Args:
        costs: From top to bottom.
        path: An .svg or .png, see `benchmark.plot.check_plot`.
        subject: What was measured, in words.

    Raises:
        UsageError: the file cannot be written.
    """
    from matplotlib import style
    from matplotlib.figure import Figure

    data = io.BytesIO()
    places = range(len(costs))
    shares = [100 * cost.share for cost in costs]
    weights = [100 * cost.share * weights_part(cost) for cost in costs]
    with style.context(_STYLE):
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
        figure.savefig(data, format=path.suffix[1:], dpi=150, metadata=_METADATA[path.suffix])
    write_atomically(path, data.getvalue())


def weights_part(cost: LayerCost) -> float:
    """Which part of a layer's error is its weights', 0..1, going by what weights and activations do alone."""
    weights, activations = (10 ** (-sqnr / 10) for sqnr in (cost.weights_sqnr, cost.activations_sqnr))
    return weights / (weights + activations) if weights + activations else 0.0
