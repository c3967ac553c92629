import numpy as np
import pytest
from quantized_networks import STREAM, stream_graph

from mnv2deploy.quantization.encodings import encoding_of_range, quantize
from mnv2deploy.quantization.graph import Graph, Step
from mnv2deploy.quantization.mixed_precision import (
    count_values,
    layers_to_keep,
    shares_of_work,
    streams_to_keep,
    tensor_sqnr,
)
from mnv2deploy.quantization.observation import BINS, Extent, Histogram


def spread(values):
    """(encoding, extent, histogram) of values, their whole range covered."""
    low, high = float(values.min()), float(values.max())
    counts, _ = np.histogram(values, BINS, (low, high))
    extent = Extent(np.float32([low]), np.float32([high]), np.array([np.square(values).mean()]))
    return encoding_of_range(low, high, "uint8", symmetric=False), extent, Histogram(low, high, counts, 0)


def chain(count):
    """Pointwise layers one after the other: layer0 reads the image, layer1 what it makes, and so on."""
    steps = [
        Step(f"layer{k}", "Conv", [f"t{k}"], f"t{k + 1}", weight=np.ones((1, 1, 1, 1), np.float32), bias=np.zeros(1))
        for k in range(count)
    ]
    return Graph("t0", [f"t{count}"], steps, 18, 8, ("batch", 1, 4, 4), [None])


@pytest.mark.parametrize("tail", [1.0, 20.0])
def test_the_sqnr_of_a_tensor_is_that_of_its_rounded_values(tail):
    values = np.random.default_rng(0).normal(size=200_000)
    values[::1000] *= tail
    encoding, extent, histogram = spread(values)
    noise = np.square(quantize(values, encoding) - values).mean()
    assert tensor_sqnr(encoding, extent, histogram) == pytest.approx(
        10 * np.log10(np.square(values).mean() / noise), abs=0.3
    )


def test_layers_that_read_rare_great_values_stay_in_float_the_worst_first_while_there_is_work_left():
    graph, random = chain(5), np.random.default_rng(0)
    made = {}
    for index, tail in enumerate([60.0, 1.0, 20.0, 40.0, 80.0]):
        values = random.normal(size=100_000)
        values[::1000] *= tail
        made[f"t{index}"] = spread(values)
    encodings, extents, histograms = ({name: one[k] for name, one in made.items()} for k in range(3))

    def kept(work):
        return list(
            layers_to_keep(graph, graph.layers, encodings, extents, histograms, dict.fromkeys(encodings_of, work))
        )

    encodings_of = [layer.name for layer in graph.layers]
    assert kept(0.01) == ["layer4", "layer3", "layer2"]  # layer0 reads the picture; layer1's input is an even one
    assert kept(0.03) == ["layer4", "layer3"]
    assert kept(0.07) == []


def test_shares_of_work_are_multiply_adds():
    graph = chain(3)
    graph.steps[1].weight, graph.steps[1].bias = np.ones((3, 1, 1, 1), np.float32), np.zeros(3, np.float32)
    graph.steps[2].weight = np.ones((1, 3, 1, 1), np.float32)
    shares = shares_of_work(graph, count_values(graph, np.ones((1, 1, 4, 4), np.float32)))
    assert shares == pytest.approx({"layer0": 1 / 7, "layer1": 3 / 7, "layer2": 3 / 7})


def outlying(graph, names, tail):
    """(encodings, extents, histograms) of all tensors, those of these names with rare great values."""
    random, made = np.random.default_rng(0), {}
    for name in (graph.input, *(step.output for step in graph.steps)):
        values = random.normal(size=100_000)
        values[::1000] *= tail if name in names else 1.0
        made[name] = spread(values)
    return [{name: one[k] for name, one in made.items()} for k in range(3)]


def test_a_stream_stays_in_float_whole_where_one_of_its_tensors_needs_it():
    graph = stream_graph()
    values = count_values(graph, np.zeros((1, 3, 8, 8), np.float32))
    assert values["first"] == 6 * 8 * 8
    few = values | dict.fromkeys(STREAM, 1)

    def kept(names, layers=graph.layers, counted=few):
        return set(streams_to_keep(graph, layers, *outlying(graph, names, 60.0), counted))

    assert kept({"sum2"}) == kept({"second"}) == set(STREAM)
    assert kept(set()) == set()
    assert kept({"stem", "last.expand"}) == set()  # not a stream's
    without = [layer for layer in graph.layers if layer.name != "second"]
    assert kept({"sum2"}, without) == set()  # a projection is excluded
    assert kept({"sum2"}, counted=values) == set()  # a quarter of all values


@pytest.mark.parametrize("spoiled", ["ceiling", "output", "reader", "strides", "kernel"])
def test_a_stream_that_is_more_than_sums_of_projections_is_left_alone(spoiled):
    graph = stream_graph()
    first = next(step for step in graph.steps if step.name == "first")
    if spoiled == "ceiling":
        first.ceiling = 6.0
    elif spoiled == "output":
        graph.outputs.append("sum1")
    elif spoiled == "reader":
        graph.steps.append(Step("pooled", "GlobalAveragePool", ["sum2"], "pooled"))
    elif spoiled == "strides":
        first.attributes["strides"] = [2, 2]
    else:
        first.weight = np.zeros((6, 8, 3, 3), np.float32)
    few = dict.fromkeys([step.output for step in graph.steps], 1000) | dict.fromkeys(STREAM, 1)
    assert streams_to_keep(graph, graph.layers, *outlying(graph, {"sum2"}, 60.0), few) == {}
