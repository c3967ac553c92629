"""The last resort: layers whose inputs eight bits cannot hold stay in float32.

The residual stream of MobileNetV2's last stage has values thirty times their own spread, rare and needed: cut off, the
answers change; covered, the steps are too coarse for all others. Equalization evens out channels, but here every
channel has its own outliers. Two layers of 52 read these tensors; in float32 they cost a percent or two of the time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from mnv2deploy.quantization.encodings import Encoding
from mnv2deploy.quantization.graph import Floats, Graph, Step
from mnv2deploy.quantization.observation import Extent, Histogram, values_of
from mnv2deploy.quantization.ranges import squared_error

# Of MobileNetV2's tensors all but six keep more than 32 dB; those two that keep less than this make half of the
# rounding noise of all activations.
_LEAST_SQNR = 28.4
# The share of a network's multiply-adds that may stay in float32.
_MOST_WORK = 0.06


def layers_to_keep(
    graph: Graph,
    layers: Sequence[Step],
    encodings: Mapping[str, Encoding],
    extents: Mapping[str, Extent],
    histograms: Mapping[str, Histogram],
    work: Mapping[str, float],
) -> dict[str, float]:
    """The layers to leave in float32, and what their inputs would keep in eight bits, dB; the worst first.

    Args:
        graph: Float, equalized.
        layers: That would be quantized.
        encodings: Of the tensors.
        extents: Of the tensors.
        histograms: Of the tensors.
        work: Of each layer by name, its share of the network's multiply-adds, see `shares_of_work`.
    """
    kept: dict[str, float] = {}
    candidates = sorted(
        (tensor_sqnr(encodings[layer.inputs[0]], extents[layer.inputs[0]], histograms[layer.inputs[0]]), index)
        for index, layer in enumerate(layers)
        if layer.inputs[0] in encodings and layer.inputs[0] != graph.input
    )
    spent = 0.0
    for sqnr, index in candidates:
        layer = layers[index]
        if sqnr >= _LEAST_SQNR or spent + work[layer.name] > _MOST_WORK:
            break
        kept[layer.name] = sqnr
        spent += work[layer.name]
    return kept


def tensor_sqnr(encoding: Encoding, extent: Extent, histogram: Histogram) -> float:
    """What a tensor keeps in this encoding: its power over the error of cutting and rounding, dB."""
    count = int(histogram.counts.sum()) + histogram.zeros
    noise = squared_error(histogram, encoding) / max(count, 1)
    return 10 * math.log10(max(float(extent.power.mean()), 1e-30) / max(noise, 1e-30))


def shares_of_work(graph: Graph, tensor: Floats) -> dict[str, float]:
    """Of each layer by name, its share of the network's multiply-adds.

    Args:
        graph: Float.
        tensor: Any input, (1, C, H, W).
    """
    layers = graph.layers
    values = next(values_of(graph, [layer.output for layer in layers], [tensor]))
    counts = {layer.name: values[layer.output].size * layer.weight[0].size for layer in layers}
    return {name: count / sum(counts.values()) for name, count in counts.items()}
