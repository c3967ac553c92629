from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from quantized_networks import tiny_graph
from small_graphs import inputs_of

from mnv2deploy.quantization.encodings import Encoding, encoding_of_range, quantize, quantized_tensors
from mnv2deploy.quantization.observation import BINS, Histogram, measure_extents, measure_histograms
from mnv2deploy.quantization.ranges import (
    METHODS,
    by_entropy,
    by_minmax,
    by_mse,
    by_percentile,
    encode_tensors,
)
from mnv2deploy.quantization.targets import TARGETS

Values = NDArray[np.float64]


def write(low: float, high: float) -> Encoding:
    return encoding_of_range(low, high, "uint8", symmetric=False)


def count(values: Values, bins: int = BINS) -> Histogram:
    low, high = float(values.min()), float(values.max())
    counts = np.histogram(values[values != 0], bins, (low, high))[0]
    return Histogram(low, high, counts.astype(np.int64), int(np.count_nonzero(values == 0)))


def samples(kind: str, seed: int = 0, size: int = 20000) -> Values:
    random = np.random.default_rng(seed)
    match kind:
        case "normal":
            return random.normal(0.3, 1, size)
        case "long tails":
            return random.standard_t(3, size)
        case "half zeros":
            return np.maximum(random.normal(0, 1, size), 0)
        case "outliers":
            return np.concatenate([random.normal(0, 1, size), [40, -25]])
        case "all negative":
            return -1 - random.gamma(2, 1, size)
    raise AssertionError(kind)


KINDS = ("normal", "long tails", "half zeros", "outliers", "all negative")


def squared_error(values: Values, low: float, high: float) -> float:
    return float(np.square(quantize(values, write(low, high)) - values).sum())


@pytest.mark.parametrize("kind", KINDS)
def test_minmax_is_everything_seen(kind: str) -> None:
    values = samples(kind)
    assert by_minmax(count(values), write) == (values.min(), values.max())


@pytest.mark.parametrize("kind", KINDS)
def test_percentile_is_numpys_to_a_bin(kind: str) -> None:
    values = samples(kind, size=200000)
    histogram = count(values)
    low, high = by_percentile(histogram, write)
    width = (histogram.high - histogram.low) / BINS
    wanted = np.percentile(values, [0.005, 99.995])
    assert abs(low - wanted[0]) <= 2 * width
    assert abs(high - wanted[1]) <= 2 * width


@pytest.mark.parametrize("kind", KINDS)
def test_no_range_of_a_brute_search_errs_much_less_than_that_of_mse(kind: str) -> None:
    values = samples(kind)
    found = squared_error(values, *by_mse(count(values), write))
    lows = np.linspace(min(values.min(), 0), 0, 41) if values.min() < 0 else [0.0]
    highs = np.linspace(0, max(values.max(), 0), 41) if values.max() > 0 else [0.0]
    least = min(squared_error(values, low, high) for low in lows for high in highs if low < high)
    assert found <= least * 1.05
    assert found <= squared_error(values, values.min(), values.max()) * 1.001


def test_mse_cuts_outliers_off_where_that_errs_less() -> None:
    values = samples("outliers", size=1_000_000)
    low, high = by_mse(count(values), write)
    assert -15 < low < -3
    assert 3 < high < 25
    assert squared_error(values, low, high) < 0.7 * squared_error(values, -25, 40)


def divergence(counts: list[int], values: list[float], encoding: Encoding) -> float:
    """Migacz's, bin by bin: cut off what is outside, spread each whole number evenly over its filled bins."""
    half = encoding.scale / 2
    inside = [k for k, value in enumerate(values) if encoding.low - half <= value <= encoding.high + half]
    p = {k: float(counts[k]) for k in inside}
    p[inside[0]] += sum(counts[: inside[0]])
    p[inside[-1]] += sum(counts[inside[-1] + 1 :])
    members: dict[int, list[int]] = {}
    for k in inside:
        whole = min(max(round(values[k] / encoding.scale) + encoding.zero_point, 0), 255)
        members.setdefault(whole, []).append(k)
    q = dict.fromkeys(inside, 0.0)
    for held in members.values():
        filled = [k for k in held if counts[k]]
        for k in filled:
            q[k] = sum(counts[j] for j in held) / len(filled)
    p_sum, q_sum = sum(p.values()), sum(q.values())
    return sum(v / p_sum * math.log(v / p_sum / max(q[k] / q_sum, 1e-12)) for k, v in p.items() if v)


@pytest.mark.parametrize("kind", ["normal", "outliers", "half zeros"])
def test_entropy_finds_the_range_that_a_count_bin_by_bin_finds(kind: str) -> None:
    histogram = count(samples(kind, size=3000), 700)
    edges = np.linspace(histogram.low, histogram.high, 701)
    values = ((edges[1:] + edges[:-1]) / 2).tolist()
    counts = histogram.counts.tolist()
    trials = [(histogram.low * share, histogram.high * share) for share in np.linspace(1, 0.25, 76)]
    distances = [divergence(counts, values, write(*trial)) for trial in trials]
    found = by_entropy(histogram, write)
    assert divergence(counts, values, write(*found)) == pytest.approx(min(distances), abs=1e-12)


def test_entropy_does_not_mind_exact_zeros() -> None:
    histogram = count(np.abs(samples("normal", size=30_000)))
    with_zeros = dataclasses.replace(histogram, zeros=300_000)
    assert by_entropy(with_zeros, write) == by_entropy(histogram, write)
    assert by_entropy(with_zeros, write)[1] > 0.6 * histogram.high


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=15, derandomize=True, deadline=None)
@given(seed=st.integers(0, 10**6), kind=st.sampled_from(KINDS), shift=st.floats(-5, 5), scale=st.floats(1e-3, 1e3))
def test_no_method_reaches_beyond_what_was_seen(method: str, seed: int, kind: str, shift: float, scale: float) -> None:
    values = (samples(kind, seed, 500) + shift) * scale
    low, high = METHODS[method].choose(count(values), write)
    slack = 1e-9 * max(abs(values.min()), abs(values.max()))
    assert min(values.min(), 0) - slack <= low <= high <= max(values.max(), 0) + slack


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("value", [0.0, 2.5, -3.0])
def test_a_tensor_of_one_value_has_a_range(method: str, value: float) -> None:
    encoding = write(*METHODS[method].choose(count(np.full(100, value)), write))
    assert abs(quantize(np.array([value]), encoding)[0] - value) <= max(encoding.scale, 1e-6)


@pytest.mark.parametrize("target", ["x86-vnni", "arm", "tensorrt"])
@pytest.mark.parametrize("method", METHODS)
def test_tensors_get_encodings_of_their_targets_kind(method: str, target: str) -> None:
    graph = tiny_graph()
    inputs = inputs_of(graph, 3, spread=4)
    names = quantized_tensors(graph, graph.layers)
    extents = measure_extents(graph, names, inputs)
    histograms = measure_histograms(graph, extents, inputs) if METHODS[method].histograms else None
    found = encode_tensors(graph, names, extents, histograms, method, TARGETS[target])
    assert list(found) == names
    assert {encoding.dtype for encoding in found.values()} == {TARGETS[target].activations}
    if target == "tensorrt":
        assert {encoding.zero_point for encoding in found.values()} == {0}
    # what is only moved about is written as it was
    assert found["tiled"] == found["pooled"]
    assert found["flat"] == found["means"]
    # nothing past a ReLU6, nothing below a ReLU
    assert extents["expand"].high.max() == 6
    for name in ("stem", "expand", "depthwise"):
        assert found[name].high <= 6 * (1 + 1e-6)
    if target != "tensorrt":
        for name in ("stem", "expand", "depthwise", "sum", "pooled"):
            assert found[name].zero_point == found[name].limits[0]
    for name in names:
        assert found[name].low >= min(extents[name].low.min(), 0) * 1.01 - found[name].scale or target == "tensorrt"
        assert found[name].high <= max(extents[name].high.max(), 0) + found[name].scale or target == "tensorrt"
