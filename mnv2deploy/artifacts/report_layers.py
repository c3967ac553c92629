"""The noise of a quantized artifact's layers, as a report draws it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mnv2deploy.artifacts.manifest import Artifact, Layer


@dataclass(frozen=True, slots=True)
class LayerChart:
    """The noise of an artifact's layers, to be drawn as bars.

    Attributes:
        top: dB at the top of the chart.
        step: dB from one line to the next.
        bars: Each layer with its bar's height, 0..1; a full one where nothing differs.
        noisiest: The three layers of the least SQNR, the worst first.
    """

    top: int
    step: int
    bars: tuple[tuple[Layer, float], ...]
    noisiest: tuple[Layer, ...]

    @property
    def ticks(self) -> list[int]:
        """dB, from the top down."""
        return list(range(self.top, -1, -self.step))


def layer_chart(artifact: Artifact) -> LayerChart | None:
    """The chart of an artifact; None where it has no layers to show."""
    if not artifact.layers:
        return None
    most = max((layer.sqnr_db for layer in artifact.layers if layer.sqnr_db is not None), default=10.0)
    step = 10 if most <= 50 else 20
    top = step * max(1, math.ceil(most / step))
    bars = tuple(
        (layer, 1.0 if layer.sqnr_db is None else min(max(layer.sqnr_db / top, 0.0), 1.0)) for layer in artifact.layers
    )
    noisy = [layer for layer in artifact.layers if layer.sqnr_db is not None]
    noisy.sort(key=lambda layer: layer.sqnr_db or 0.0)
    return LayerChart(top, step, bars, tuple(noisy[:3]))
