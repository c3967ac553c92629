"""The report's table of layers: a row each, its SQNR and its ranges as bars."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from mnv2deploy.quantization.comparison import LayerComparison
from mnv2deploy.quantization.verdict_document import decibels

# Pixels.
_WIDTH, _HEIGHT, _THIN = 240, 14, 6


def layer_table(layers: Sequence[LayerComparison]) -> str:
    """HTML; the bars of all rows have one scale."""
    best = max((layer.sqnr for layer in layers if math.isfinite(layer.sqnr)), default=1.0)
    reach = max((abs(end) for layer in layers for end in _ends(layer)), default=1.0) or 1.0
    rows = "\n".join(_row(layer, max(best, 1.0), reach) for layer in layers)
    columns = (
        "LAYER",
        "OPERATOR",
        "SQNR, dB",
        "",
        f"RANGE, -{_short(reach)} TO {_short(reach)}",
        "VALUES",
        "COVERED",
        "STEP",
    )
    numbers = (2, 5, 6, 7)
    header = "".join(
        f'<th class="number">{name}</th>' if index in numbers else f"<th>{name}</th>"
        for index, name in enumerate(columns)
    )
    return (
        f'<div class="wide"><table class="layers" id="layers">\n<thead><tr>{header}</tr></thead>\n'
        f"<tbody>\n{rows}\n</tbody></table></div>"
    )


def _row(layer: LayerComparison, best: float, reach: float) -> str:
    covered = "float32" if layer.covered is None else f"{_short(layer.covered[0])} to {_short(layer.covered[1])}"
    scale = "" if layer.scale is None else _short(layer.scale)
    op = layer.op if layer.quantized else f"{layer.op}, float32"
    cells = [escape(layer.name), escape(op)]
    text = "".join(f"<td>{cell}</td>" for cell in cells)
    numbers = "".join(
        f'<td class="number">{cell}</td>' for cell in (f"{_short(layer.low)} to {_short(layer.high)}", covered, scale)
    )
    return (
        f'<tr>{text}<td class="number">{decibels(layer.sqnr)}</td>'
        f"<td>{_sqnr_bar(layer, best)}</td><td>{_range_bars(layer, reach)}</td>{numbers}</tr>"
    )


def _sqnr_bar(layer: LayerComparison, best: float) -> str:
    share = min(max(layer.sqnr / best, 0.0), 1.0)
    style = "bar" if layer.quantized else "kept"
    return _svg(_bar(0, share * _WIDTH, 2, _HEIGHT - 4, style))


def _range_bars(layer: LayerComparison, reach: float) -> str:
    """The range seen, wide and pale; the range covered, thin and strong upon it; a line at 0."""
    bars = _span(layer.low, layer.high, reach, 1, _HEIGHT - 2, "seen")
    if layer.covered is not None:
        bars += _span(*layer.covered, reach, (_HEIGHT - _THIN) / 2, _THIN, "bar")
    middle = _WIDTH / 2
    return _svg(f'{bars}<line class="axis" x1="{middle:g}" y1="0" x2="{middle:g}" y2="{_HEIGHT}"/>')


def _span(low: float, high: float, reach: float, top: float, height: float, style: str) -> str:
    left, right = (_WIDTH / 2 * (1 + math.copysign(math.sqrt(abs(end) / reach), end)) for end in (low, high))
    return _bar(left, max(right - left, 1.0), top, height, style)


def _bar(left: float, width: float, top: float, height: float, style: str) -> str:
    return f'<rect class="{style}" x="{left:.1f}" y="{top:g}" width="{width:.1f}" height="{height:g}"/>'


def _svg(content: str) -> str:
    size = f'width="{_WIDTH}" height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}"'
    return f'<svg {size} aria-hidden="true">{content}</svg>'


def _ends(layer: LayerComparison) -> tuple[float, ...]:
    return (layer.low, layer.high, *(layer.covered or ()))


def _short(value: float) -> str:
    """Three digits."""
    return f"{value:.3g}"
