"""Graphs of a few nodes, made by hand, and what numpy says they answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from mnv2deploy.quantization.graph import Graph, read_graph

Array = NDArray[Any]


class Builder:
    """Appends nodes; each method returns the name of the tensor it makes."""

    def __init__(self, shape: tuple[int | str, ...] = (1, 2, 6, 6), opset: int = 18) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.shape = shape
        self.opset = opset

    def constant(self, name: str, values: Any) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def node(self, op: str, inputs: list[str], name: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op, inputs, [name], name, **attributes))
        return name

    def layer(self, name: str, source: str, weight: Array, bias: Array | None = None, **attributes: Any) -> str:
        op = attributes.pop("op", "Conv")
        held = [source, self.constant(f"{name}.w", np.asarray(weight, np.float32))]
        if bias is not None:
            held.append(self.constant(f"{name}.b", np.asarray(bias, np.float32)))
        return self.node(op, held, name, **attributes)

    def relu6(self, source: str) -> str:
        bounds = [self.constant(f"{source}.{value}", np.array(value, np.float32)) for value in (0, 6)]
        return self.node("Clip", [source, *bounds], f"{source}.cut")

    def model(self, *outputs: str) -> onnx.ModelProto:
        made = helper.make_graph(
            self.nodes,
            "small",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, self.shape)],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
            self.constants,
        )
        return helper.make_model(made, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)

    def graph(self, *outputs: str) -> Graph:
        graph = read_graph(self.model(*outputs), "small")
        graph.output_shapes = [None] * len(outputs)  # type: ignore[list-item]
        return graph


def inputs_of(graph: Graph, count: int, seed: int = 0, spread: float = 1.0) -> list[NDArray[np.float32]]:
    """Random inputs of a graph."""
    random = np.random.default_rng(seed)
    return [random.normal(0, spread, graph.input_shape).astype(np.float32) for _ in range(count)]


def tensors_once(tensors: list[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
    """The same tensors, from a generator that keeps none of them."""
    for tensor in tensors:
        yield tensor.copy()
