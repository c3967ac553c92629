from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import onnx
import pytest
from quantized_networks import run, tiny_graph
from small_graphs import Builder

from mnv2deploy.errors import ModelError
from mnv2deploy.quantization.graph import ARITHMETIC, MOVEMENT, read_graph

NAMES = ("mobilenet-v2", "ssdlite-coco", "deeplabv3-voc")
POINTWISE = np.ones((2, 2, 1, 1), np.float32)


@pytest.mark.parametrize("name", NAMES)
def test_a_graph_written_back_answers_the_same_to_the_bit(name: str, artifacts: dict[str, Path]) -> None:
    model = onnx.load(artifacts[name])
    graph = read_graph(model, name)
    shape = [1, *graph.input_shape[1:]]
    picture = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    written = graph.to_model()
    onnx.checker.check_model(written, full_check=True)
    for wanted, found in zip(run(model, picture), run(written, picture), strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("name", NAMES)
def test_every_node_of_an_artifact_is_a_step_or_the_activation_of_one(name: str, artifacts: dict[str, Path]) -> None:
    model = onnx.load(artifacts[name])
    graph = read_graph(model, name)
    activations = [node for node in model.graph.node if node.op_type in ("Clip", "Relu")]
    assert len(graph.steps) + len(activations) == len(model.graph.node)
    assert sum(step.ceiling is not None for step in graph.steps) == len(activations)
    assert {step.ceiling for step in graph.steps} <= {None, 6.0, math.inf}
    assert {step.op for step in graph.steps} <= {"Conv", "Gemm", *ARITHMETIC, *MOVEMENT}
    assert [layer.name for layer in graph.layers] == [n.name for n in model.graph.node if n.op_type in ("Conv", "Gemm")]
    for layer in graph.layers:
        assert graph.producer(layer.output) is layer
        assert layer in graph.consumers(layer.inputs[0])


def test_any_inner_tensor_can_be_asked_for() -> None:
    graph = tiny_graph()
    picture = np.random.default_rng(0).normal(size=graph.input_shape).astype(np.float32)
    expand, joined = run(graph.to_model(["expand", "sum"]), picture)
    assert expand.shape == (1, 16, 8, 8)
    assert expand.min() == 0
    assert expand.max() <= 6
    assert joined.min() == 0


def test_a_copy_can_be_changed_without_the_graph() -> None:
    graph = tiny_graph()
    before = graph.layers[0].weight.copy()
    graph.copy().layers[0].weight *= 2
    np.testing.assert_array_equal(graph.layers[0].weight, before)


def test_kinds_of_layers_are_told_apart() -> None:
    layers = {layer.name: layer for layer in tiny_graph().layers}
    assert [name for name, layer in layers.items() if layer.is_depthwise] == ["depthwise"]
    assert [name for name, layer in layers.items() if layer.is_pointwise] == ["expand", "project", "pooled", "logits"]
    assert layers["depthwise"].groups == 16
    assert layers["logits"].groups == 1


def test_a_gemm_is_read_as_outputs_by_inputs_whichever_way_it_is_written() -> None:
    weight = np.arange(6, dtype=np.float32).reshape(3, 2)
    picture = np.array([[1, 10]], np.float32)
    for transposed in (0, 1):
        builder = Builder((1, 2))
        builder.layer("fc", "image", weight if transposed else weight.T, np.arange(3), op="Gemm", transB=transposed)
        graph = builder.graph("fc")
        np.testing.assert_array_equal(graph.layers[0].weight, weight)
        np.testing.assert_array_equal(run(graph.to_model(), picture)[0], picture @ weight.T + np.arange(3))


def test_a_layer_without_a_bias_gets_one_of_zeros() -> None:
    builder = Builder()
    graph = builder.graph(builder.layer("conv", "image", POINTWISE))
    np.testing.assert_array_equal(graph.layers[0].bias, np.zeros(2))


def quantized_file() -> Builder:
    builder = Builder()
    zero, scale = builder.constant("zero", np.array(0, np.uint8)), builder.constant("scale", np.array(1, np.float32))
    builder.node("QuantizeLinear", ["image", scale, zero], "whole")
    builder.node("DequantizeLinear", ["whole", scale, zero], "last")
    return builder


def unknown_operator() -> Builder:
    builder = Builder()
    builder.node("Sigmoid", ["image"], "last")
    return builder


def activation_of_the_input() -> Builder:
    builder = Builder()
    builder.node("Relu", ["image"], "last")
    return builder


def activation_after_pooling() -> Builder:
    builder = Builder()
    builder.node("GlobalAveragePool", ["image"], "mean")
    builder.node("Relu", ["mean"], "last")
    return builder


def two_activations() -> Builder:
    builder = Builder()
    builder.layer("conv", "image", POINTWISE)
    builder.node("Relu", ["conv"], "once")
    builder.node("Relu", ["once"], "last")
    return builder


def activation_of_a_shared_tensor() -> Builder:
    builder = Builder()
    builder.layer("conv", "image", POINTWISE)
    builder.node("Relu", ["conv"], "cut")
    builder.node("Add", ["conv", "cut"], "last")
    return builder


def activation_with_another_floor() -> Builder:
    builder = Builder()
    builder.layer("conv", "image", POINTWISE)
    bounds = [builder.constant(name, np.array(name, np.float32)) for name in ("-1", "6")]
    builder.node("Clip", ["conv", *bounds], "last")
    return builder


def activation_without_a_floor() -> Builder:
    builder = Builder()
    builder.layer("conv", "image", POINTWISE)
    builder.node("Clip", ["conv", "", builder.constant("6", np.array(6, np.float32))], "last")
    return builder


def activation_without_a_ceiling() -> Builder:
    builder = Builder()
    builder.layer("conv", "image", POINTWISE)
    builder.node("Clip", ["conv", builder.constant("0", np.array(0, np.float32))], "last")
    return builder


def weights_that_are_computed() -> Builder:
    builder = Builder((2, 2, 1, 1))
    builder.node("Conv", ["image", "image"], "last")
    return builder


def scaled_gemm() -> Builder:
    builder = Builder((1, 2))
    builder.layer("last", "image", np.ones((2, 2)), np.ones(2), op="Gemm", transB=1, alpha=2.0)
    return builder


@pytest.mark.parametrize(
    ("builder", "reason"),
    [
        (quantized_file, "is quantized already"),
        (unknown_operator, "has a Sigmoid node"),
        (activation_of_the_input, "does not follow a layer of its own"),
        (activation_after_pooling, "does not follow a layer of its own"),
        (two_activations, "does not follow a layer of its own"),
        (activation_of_a_shared_tensor, "does not follow a layer of its own"),
        (activation_with_another_floor, "does not follow a layer of its own"),
        (activation_without_a_floor, "does not follow a layer of its own"),
        (activation_without_a_ceiling, "does not follow a layer of its own"),
        (weights_that_are_computed, "are not constants"),
        (scaled_gemm, "last scales or turns"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_graphs_it_cannot_quantize_are_refused(builder: object, reason: str) -> None:
    with pytest.raises(ModelError, match=reason) as caught:
        read_graph(builder().model("last"), "some.onnx")  # type: ignore[operator]
    assert "some.onnx" in str(caught.value)


def test_an_activation_of_an_output_is_refused() -> None:
    builder = Builder()
    builder.layer("conv", "image", POINTWISE)
    builder.node("Relu", ["conv"], "last")
    with pytest.raises(ModelError, match="does not follow a layer of its own"):
        read_graph(builder.model("conv", "last"), "some.onnx")
