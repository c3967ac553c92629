from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from quantized_networks import run, tiny_graph
from small_graphs import Builder

from mnv2deploy.quantization.encodings import (
    Encoding,
    encoding_of_range,
    per_channel,
    quantize,
    quantized_tensors,
    weight_limits,
)
from mnv2deploy.quantization.graph import read_graph

QUICK = settings(max_examples=60, derandomize=True, deadline=None)
TYPES = st.sampled_from(["uint8", "int8"])
ends = st.floats(-1e4, 1e4, width=32)


@QUICK
@given(ends, ends, TYPES)
def test_a_range_is_covered_to_half_a_step_at_either_end_and_zero_exactly(low: float, high: float, dtype: str) -> None:
    low, high = min(low, high), max(low, high)
    encoding = encoding_of_range(low, high, dtype, symmetric=False)  # type: ignore[arg-type]
    assert encoding.scale > 0
    assert encoding.limits[0] <= encoding.zero_point <= encoding.limits[1]
    assert quantize(np.zeros(1), encoding)[0] == 0
    assert abs(encoding.low - min(low, 0)) <= encoding.scale * 0.501 + 1e-9
    assert abs(encoding.high - max(high, 0)) <= encoding.scale * 0.501 + 1e-9


@QUICK
@given(ends, ends, TYPES)
def test_a_symmetric_range_has_zero_in_the_middle_and_holds_both_ends(low: float, high: float, dtype: str) -> None:
    low, high = min(low, high, 0), max(low, high, 0)
    encoding = encoding_of_range(low, high, dtype, symmetric=True)  # type: ignore[arg-type]
    assert encoding.zero_point == {"uint8": 128, "int8": 0}[dtype]
    slack = 1e-6 * max(-low, high) + 1e-9
    assert encoding.low <= low + slack
    assert encoding.high >= high - slack
    # and no more than it has to: one end is met
    assert min(low - encoding.low, encoding.high - high) <= slack + 1e-9


def test_a_range_that_starts_at_zero_loses_no_step() -> None:
    encoding = encoding_of_range(0.0, 6.0, "uint8", symmetric=False)
    assert encoding == Encoding(float(np.float32(6 / 255)), 0, "uint8")
    assert encoding_of_range(0.0, 6.0, "int8", symmetric=False).zero_point == -128


@QUICK
@given(st.floats(2**-12, 8, width=32), st.integers(0, 255), TYPES, st.integers(0, 2**31))
def test_rounding_is_onnxruntimes_to_the_bit(scale: float, zero_point: int, dtype: str, seed: int) -> None:
    least = 0 if dtype == "uint8" else -128
    encoding = Encoding(scale, zero_point + least, dtype)  # type: ignore[arg-type]
    random = np.random.default_rng(seed)
    values = random.uniform(-300 * scale, 300 * scale, 128).astype(np.float32)
    values[:64] = (random.integers(-300, 300, 64) + 0.5).astype(np.float32) * np.float32(scale)  # ties, to even
    builder = Builder((128,))
    held = [builder.constant("s", np.float32(scale)), builder.constant("z", np.array(encoding.zero_point, dtype))]
    builder.node("QuantizeLinear", ["image", *held], "whole")
    builder.node("DequantizeLinear", ["whole", *held], "last")
    np.testing.assert_array_equal(quantize(values, encoding), run(builder.model("last"), values, optimise=False)[0])


def test_symmetric_weights_leave_the_least_number_out() -> None:
    assert weight_limits(8) == (-127, 127)
    assert weight_limits(7) == (-63, 63)


def test_scales_multiply_output_channels() -> None:
    weight = np.ones((3, 2, 1, 1))
    np.testing.assert_array_equal((per_channel(np.arange(3), weight) * weight)[:, 1, 0, 0], np.arange(3))
    assert per_channel(np.arange(3), np.ones((3, 5))).shape == (3, 1)


def test_tensors_of_every_quantized_layer_are_quantized_and_moved_outputs_are_not() -> None:
    graph = tiny_graph()
    found = quantized_tensors(graph, graph.layers)
    made = ["image", *(step.output for step in graph.steps)]
    assert found == [name for name in made if name not in ("last", "boxes", "logits")]


def test_around_a_layer_that_stays_in_float_only_its_quantized_neighbours_count() -> None:
    graph = tiny_graph()
    layers = [layer for layer in graph.layers if layer.name == "depthwise"]
    assert quantized_tensors(graph, layers) == ["expand", "depthwise"]
    pooled = [layer for layer in graph.layers if layer.name == "pooled"]
    # what it reads is an average of the sum, so the sum, and what is added in it
    assert quantized_tensors(graph, pooled) == ["stem", "project", "sum", "mean", "pooled"]


@pytest.mark.parametrize(
    ("name", "unquantized"),
    [("mobilenet-v2", {"Gemm"}), ("ssdlite-coco", {"Transpose", "Reshape", "Concat"}), ("deeplabv3-voc", set())],
)
def test_of_an_artifact_all_but_the_last_steps_are_quantized(
    name: str, unquantized: set[str], artifacts: dict[str, Path]
) -> None:
    graph = read_graph(onnx.load(artifacts[name]), name)
    found = set(quantized_tensors(graph, graph.layers))
    left = [step for step in graph.steps if step.output not in found]
    assert {step.op for step in left} == unquantized
    # nothing quantized is made of what is not
    for step in left:
        assert not any(reader.output in found for reader in graph.consumers(step.output))
    assert graph.input in found
