"""The quantized network beside the float one, layer by layer."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnv2deploy.quantization import qdq
from mnv2deploy.quantization.encodings import Encodings
from mnv2deploy.quantization.graph import Floats, Graph
from mnv2deploy.quantization.observation import open_graph, values_of


@dataclass(slots=True)
class Power:
    """Sums of squares: of the float values, and of what the quantized ones differ from them.

    Attributes:
        signal: Of the float values.
        noise: Of the differences.
    """

    signal: float = 0.0
    noise: float = 0.0

    def add(self, floats: NDArray[Any], quantized: NDArray[Any]) -> None:
        """Adds a tensor, the same shape twice."""
        reference = floats.astype(np.float64)
        error = quantized - reference
        # Not a product of vectors: BLAS would take threads for it, and on a busy machine wait 50 times as long.
        self.signal += float(np.square(reference, out=reference).sum())
        self.noise += float(np.square(error, out=error).sum())

    @property
    def sqnr(self) -> float:
        """Signal to quantization noise, dB: 10 log10(signal / noise); infinite without noise."""
        if self.noise == 0:
            return math.inf
        return 10 * math.log10(max(self.signal, 1e-30) / self.noise)


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerComparison:
    """One layer in the two networks, with all the errors of the layers before it.

    Attributes:
        name: Of the layer.
        op: ``Conv`` or ``Gemm``.
        quantized: Whether it computes in eight bits.
        sqnr: Of its output, after the activation, dB; infinite where they are equal.
        low: The least value its output took in the float network.
        high: The greatest.
        covered: The least and the greatest value that its output's encoding can write; None where it stays float.
        scale: From one such value to the next; None where it stays float.
    """

    name: str
    op: str
    quantized: bool
    sqnr: float
    low: float
    high: float
    covered: tuple[float, float] | None
    scale: float | None


def compare_layers(
    graph: Graph, encodings: Encodings, inputs: Iterable[Floats], told: Callable[[], None] = lambda: None
) -> list[LayerComparison]:
    """Runs both networks with every layer's output in sight, one picture at a time.

    The quantized network's answers are those it gives without being watched: a dequantized tensor that is an output
    too is read by a DequantizeLinear of its own, and the layers around it stay fused.

    Args:
        graph: The float one.
        encodings: What was made of it.
        inputs: Of the float graph, (1, C, H, W) float32 each; a few are enough.
        told: Called after each.

    Returns:
        Every layer, in the order of execution.
    """
    layers = graph.layers
    tensors = [layer.output for layer in layers]
    more = [name for name in tensors if name not in graph.outputs]
    exposed = dataclasses.replace(
        graph, outputs=[*graph.outputs, *more], output_shapes=[*graph.output_shapes, *[None] * len(more)]
    )
    watched = open_graph(qdq.write(exposed, encodings, picture_bytes=False))
    powers = [Power() for _ in layers]
    lows, highs = [math.inf] * len(layers), [-math.inf] * len(layers)
    for values in values_of(graph, [graph.input, *tensors], inputs):
        found = watched.run(tensors, {graph.input: values[graph.input]})
        for index, (tensor, quantized) in enumerate(zip(tensors, found, strict=True)):
            floats = values[tensor]
            powers[index].add(floats, quantized)
            lows[index] = min(lows[index], float(floats.min()))
            highs[index] = max(highs[index], float(floats.max()))
        told()
    compared = []
    for layer, power, low, high in zip(layers, powers, lows, highs, strict=True):
        encoding = encodings.tensors.get(layer.output)
        compared.append(
            LayerComparison(
                name=layer.name,
                op=layer.op,
                quantized=layer.name in encodings.layers,
                sqnr=power.sqnr,
                low=low,
                high=high,
                covered=None if encoding is None else (encoding.low, encoding.high),
                scale=None if encoding is None else encoding.scale,
            )
        )
    return compared


def worst_layers(layers: Sequence[LayerComparison], count: int) -> list[LayerComparison]:
    """Those with the least SQNR, the worst first."""
    return sorted(layers, key=lambda layer: layer.sqnr)[:count]
