"""The last resort: what eight bits cannot hold stays in float32.

The residual stream of MobileNetV2's last stage has values thirty times their own spread, rare and needed: cut off, the
answers change; covered, the steps are too coarse for all others. Equalization evens out channels, but here every
channel has its own outliers. Two things stay in float32 then, as far as they cost little:

* the stream: the projections that write it compute in eight bits and answer in float32, their sums are float32, and
  only what an expansion reads is rounded. So no rounding stays in the stream, and it costs next to nothing;
* an expansion that reads the worst of it, which the rounding at its own input would disturb. It takes 2.5 times as long
  as one of eight bits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from mnv2deploy.quantization.cpu_writer import is_matrix
from mnv2deploy.quantization.encodings import Encoding
from mnv2deploy.quantization.graph import Floats, Graph, Step
from mnv2deploy.quantization.observation import Extent, Histogram, values_of
from mnv2deploy.quantization.ranges import squared_error

# Of MobileNetV2's tensors all but six keep more than 32 dB; those two that keep less than this make half of the
# rounding noise of all activations.
_LEAST_SQNR = 28.4
# The share of a network's multiply-adds that may stay in float32: two expansions of MobileNetV2's last stage are 5 %,
# and add as much to its time.
_MOST_WORK = 0.06
# The share of all values layers make that a stream in float32 may have.
_MOST_VALUES = 0.05


def streams_to_keep(
    graph: Graph,
    layers: Sequence[Step],
    encodings: Mapping[str, Encoding],
    extents: Mapping[str, Extent],
    histograms: Mapping[str, Histogram],
    values: Mapping[str, int],
) -> dict[str, float]:
    """The tensors of residual streams to leave in float32, and what each would keep in eight bits, dB.

    Args:
        graph: Float, equalized.
        layers: To be quantized.
        encodings: Of the tensors.
        extents: Of the tensors.
        histograms: Of the tensors.
        values: How many values each step's output has, by tensor.
    """
    kept: dict[str, float] = {}
    most = _MOST_VALUES * sum(values[layer.output] for layer in graph.layers)
    for stream in _streams(graph, layers):
        sqnrs = {name: tensor_sqnr(encodings[name], extents[name], histograms[name]) for name in stream}
        if min(sqnrs.values()) < _LEAST_SQNR and sum(values[name] for name in stream) <= most:
            kept |= sqnrs
    return kept


def _streams(graph: Graph, layers: Sequence[Step]) -> list[list[str]]:
    """Tensors that sums join, in the order they are made, where pointwise layers of eight bits alone write them."""
    joined: list[set[str]] = []
    for step in graph.steps:
        if step.op == "Add":
            members = {*step.inputs, step.output}
            for other in [one for one in joined if one & members]:
                joined.remove(other)
                members |= other
            joined.append(members)
    quantized = {layer.output for layer in layers if layer.op == "Conv" and is_matrix(layer)}

    def fits(name: str) -> bool:
        step = graph.producer(name)
        readers = graph.consumers(name)
        return (
            step is not None
            and step.ceiling is None
            and (step.op == "Add" or name in quantized)
            and name not in graph.outputs
            and all(reader.is_layer or reader.op == "Add" for reader in readers)
        )

    order = [step.output for step in graph.steps]
    return [sorted(stream, key=order.index) for stream in joined if all(map(fits, stream))]


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


def count_values(graph: Graph, tensor: Floats) -> dict[str, int]:
    """Of each step's output by its name, how many values it has.

    Args:
        graph: Float.
        tensor: Any input, (1, C, H, W).
    """
    names = [step.output for step in graph.steps]
    return {name: values.size for name, values in next(values_of(graph, names, [tensor])).items()}


def shares_of_work(graph: Graph, values: Mapping[str, int]) -> dict[str, float]:
    """Of each layer by name, its share of the network's multiply-adds.

    Args:
        graph: Float.
        values: See `count_values`.
    """
    counts = {layer.name: values[layer.output] * layer.weight[0].size for layer in graph.layers}
    return {name: count / sum(counts.values()) for name, count in counts.items()}
