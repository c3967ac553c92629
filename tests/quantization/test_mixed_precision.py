import numpy as np
import pytest

from mnv2deploy.quantization.encodings import encoding_of_range, quantize
from mnv2deploy.quantization.graph import Graph, Step
from mnv2deploy.quantization.mixed_precision import layers_to_keep, shares_of_work, tensor_sqnr
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
    shares = shares_of_work(graph, np.ones((1, 1, 4, 4), np.float32))
    assert shares == pytest.approx({"layer0": 1 / 7, "layer1": 3 / 7, "layer2": 3 / 7})
