from __future__ import annotations

import weakref
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from quantized_networks import tiny_graph
from small_graphs import Builder, inputs_of, tensors_once

from mnv2deploy.quantization.graph import Graph
from mnv2deploy.quantization.observation import BINS, Histogram, measure_extents, measure_histograms, values_of


@pytest.fixture(scope="module")
def tiny() -> Graph:
    return tiny_graph()


@pytest.fixture(scope="module")
def inputs(tiny: Graph) -> list[NDArray[np.float32]]:
    return inputs_of(tiny, 5)


def everything(graph: Graph) -> list[str]:
    return [graph.input, *(step.output for step in graph.steps)]


def all_at_once(graph: Graph, inputs: list[NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    found = list(values_of(graph, everything(graph), inputs))
    return {name: np.concatenate([values[name] for values in found]) for name in everything(graph)}


def test_extents_are_those_of_all_values_at_once(tiny: Graph, inputs: list[NDArray[np.float32]]) -> None:
    extents = measure_extents(tiny, everything(tiny), tensors_once(inputs))
    for name, values in all_at_once(tiny, inputs).items():
        channels = np.moveaxis(values, 1, 0).reshape(values.shape[1], -1)
        np.testing.assert_array_equal(extents[name].low, channels.min(1))
        np.testing.assert_array_equal(extents[name].high, channels.max(1))
        np.testing.assert_allclose(extents[name].power, np.square(channels.astype(np.float64)).mean(1), rtol=1e-5)


def test_histograms_are_those_of_all_values_at_once(tiny: Graph, inputs: list[NDArray[np.float32]]) -> None:
    extents = measure_extents(tiny, everything(tiny), inputs)
    found = measure_histograms(tiny, extents, tensors_once(inputs))
    zeros = 0
    for name, values in all_at_once(tiny, inputs).items():
        histogram = found[name]
        assert (histogram.low, histogram.high) == (values.min(), values.max())
        assert histogram.zeros == np.count_nonzero(values == 0)
        assert histogram.counts.sum() + histogram.zeros == values.size
        wanted = np.histogram(values[values != 0], BINS, (histogram.low, histogram.high))[0]
        # a value on the line between two bins may be counted in either
        assert np.abs(np.cumsum(wanted) - np.cumsum(histogram.counts)).max() <= 2
        zeros += histogram.zeros
    assert zeros > 1000


def test_the_order_of_pictures_does_not_matter(tiny: Graph, inputs: list[NDArray[np.float32]]) -> None:
    names = everything(tiny)
    extents, back = measure_extents(tiny, names, inputs), measure_extents(tiny, names, inputs[::-1])
    counted = measure_histograms(tiny, extents, inputs)
    counted_back = measure_histograms(tiny, back, inputs[::-1])
    for name in names:
        np.testing.assert_array_equal(extents[name].low, back[name].low)
        np.testing.assert_array_equal(extents[name].high, back[name].high)
        np.testing.assert_allclose(extents[name].power, back[name].power, rtol=1e-12)
        np.testing.assert_array_equal(counted[name].counts, counted_back[name].counts)
        assert counted[name].zeros == counted_back[name].zeros


def test_no_picture_is_kept(tiny: Graph) -> None:
    random = np.random.default_rng(0)
    alive: list[weakref.ref[NDArray[np.float32]]] = []
    most = 0

    def pictures() -> Iterator[NDArray[np.float32]]:
        nonlocal most
        for _ in range(8):
            tensor = random.normal(size=tiny.input_shape).astype(np.float32)
            alive.append(weakref.ref(tensor))
            most = max(most, sum(reference() is not None for reference in alive))
            yield tensor
            del tensor

    extents = measure_extents(tiny, everything(tiny), pictures())
    measure_histograms(tiny, extents, pictures())
    assert len(alive) == 16
    assert most <= 2  # the one being looked at, and the one just made


def test_watchers_hear_of_every_picture(tiny: Graph, inputs: list[NDArray[np.float32]]) -> None:
    heard: list[str] = []
    extents = measure_extents(tiny, ["stem"], inputs, lambda: heard.append("extent"))
    measure_histograms(tiny, extents, inputs, lambda: heard.append("histogram"))
    assert heard == ["extent"] * 5 + ["histogram"] * 5


@settings(max_examples=40, derandomize=True, deadline=None)
@given(st.floats(-100, -0.125, width=16), st.floats(0.125, 100, width=16), st.integers(1, 99))
def test_zeros_leave_no_count_behind_wherever_their_bin_lies(low: float, high: float, zeros: int) -> None:
    graph = Builder((1, 1, 1, zeros + 2)).graph("image")
    tensor = np.zeros((1, 1, 1, zeros + 2), np.float32)
    tensor[..., 0], tensor[..., -1] = np.float32(low) * np.float32(1.1), high
    extents = measure_extents(graph, ["image"], [tensor])
    found: Histogram = measure_histograms(graph, extents, [tensor])["image"]
    assert found.zeros == zeros
    assert found.counts.min() == 0
    assert found.counts[0] == found.counts[-1] == 1
    assert found.counts.sum() == 2


def test_a_tensor_of_one_value_is_counted() -> None:
    graph = Builder((1, 1, 1, 4)).graph("image")
    tensor = np.full((1, 1, 1, 4), 3, np.float32)
    extents = measure_extents(graph, ["image"], [tensor])
    found = measure_histograms(graph, extents, [tensor])["image"]
    assert (found.low, found.high, found.zeros, found.counts.sum()) == (3, 3, 0, 4)
