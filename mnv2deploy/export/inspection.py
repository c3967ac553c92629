"""Parameters and multiply-adds of an artifact, from its ONNX graph.

The same counts as `mnv2deploy.networks.counts`, of what is really run: export folds each batch norm into the
convolution before it, whose bias it becomes, so an artifact has one parameter a channel less than its network.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
from onnx import helper, shape_inference

from mnv2deploy.errors import ModelError
from mnv2deploy.networks.counts import BATCH_NORM, LayerCount, NetworkCounts, convolution_kind

Shape = tuple[int, ...]
# Which input of an operator is its weight, and which the second half of its parameters.
_WEIGHT = {"Conv": 1, "ConvInteger": 1, "QLinearConv": 3, "BatchNormalization": 1}
_WEIGHT |= {"Gemm": 1, "MatMul": 1, "MatMulInteger": 1, "QLinearMatMul": 3}
_BIAS = {"Conv": 2, "QLinearConv": 8, "Gemm": 2, "BatchNormalization": 2}
_PASSED_THROUGH = ("DequantizeLinear", "Cast", "Identity", "Transpose")


def count_artifact(path: Path) -> NetworkCounts:
    """Counts the convolutions, linear layers and unfolded batch norms of a graph, for one picture.

    Raises:
        ModelError: it is no ONNX model, or the shapes in it cannot be told.
    """
    try:
        model = onnx.load(path)
        for value in model.graph.input:
            value.type.tensor_type.shape.dim[0].dim_value = 1  # one picture; the rest of the shapes follow
        inferred = shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    except Exception as error:  # protobuf's and onnx's errors have no common base
        raise ModelError(f"{path}: the shapes of its graph cannot be told ({str(error).strip()[:200]}).") from error
    shapes = {value.name: _shape(value) for value in (*inferred.value_info, *inferred.output, *inferred.input)}
    weights = _weights(inferred)
    if unknown := [node.name for node in inferred.node if node.output[0] not in shapes]:
        raise ModelError(f"{path}: the shape of {unknown[0]}'s output cannot be told.")
    layers = [_layer(node, weights, shapes) for node in inferred.node]
    return NetworkCounts(tuple(layer for layer in layers if layer))


def _shape(value: onnx.ValueInfoProto) -> Shape:
    return tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)


def _weights(graph: onnx.GraphProto) -> dict[str, Shape]:
    """Shapes of all tensors that are constants: initializers, and what is only cast, turned or dequantized from one.

    A turned one keeps its shape here: only matrices are turned, and their product costs the same.
    """
    found = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type in _PASSED_THROUGH and node.input[0] in found:
            found[node.output[0]] = found[node.input[0]]
    return found


def _layer(node: onnx.NodeProto, weights: Mapping[str, Shape], shapes: Mapping[str, Shape]) -> LayerCount | None:
    """The layer a node is; None if it has no weights of its own."""
    shape = weights.get(_operand(node, _WEIGHT))
    if shape is None:
        return None
    output = shapes[node.output[0]]
    parameters = math.prod(shape) + math.prod(weights.get(_operand(node, _BIAS), (0,)))
    if node.op_type == "BatchNormalization":
        return LayerCount(node.name, BATCH_NORM, output[1:], parameters, 0)
    if node.op_type in ("Conv", "ConvInteger", "QLinearConv"):
        return LayerCount(node.name, _convolution(node, shape), output[1:], parameters, math.prod(shape + output[2:]))
    # A matrix product: as many multiply-adds for a value of the output as the weight has rows.
    return LayerCount(node.name, "linear", output[1:], parameters, math.prod(shape) * math.prod(output[1:-1]))


def _operand(node: onnx.NodeProto, places: Mapping[str, int]) -> str:
    """Name of the input at the place its operator has it; empty where there is none."""
    place = places.get(node.op_type)
    return "" if place is None or place >= len(node.input) else node.input[place]


def _convolution(node: onnx.NodeProto, weight: Shape) -> str:
    attributes = _attributes(node)
    kernel = weight[2:]
    ones = (1,) * len(kernel)
    groups = attributes.get("group", 1)
    stride, dilation = attributes.get("strides", ones), attributes.get("dilations", ones)
    return convolution_kind(kernel, stride, dilation, groups, weight[1] * groups)


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
