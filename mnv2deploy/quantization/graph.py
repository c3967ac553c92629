"""The float graph as quantization sees it: layers with the activation that follows them, and what lies between."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from mnv2deploy.errors import ModelError

Floats = NDArray[np.float32]
Shape = tuple[int | str, ...]

# What lies between layers, and how it is quantized. Of values only moved about, the range is the input's.
# MatMul is by a constant: PSPNet's pooling and stretching. No runtime has Resize and MatMul in eight bits as torch
# computes them, so they run in float32 between what is rounded.
ARITHMETIC = ("Add", "GlobalAveragePool", "MatMul", "Resize")
MOVEMENT = ("Tile", "Transpose", "Reshape", "Flatten", "Concat")


@dataclass(slots=True, eq=False)
class Step:
    """One operator, with the activation after it.

    Attributes:
        name: Of the node, unique.
        op: ``Conv``, ``Gemm``, or one of `ARITHMETIC` and `MOVEMENT`.
        inputs: Tensors that depend on the picture.
        output: Tensor, after the activation.
        constants: Other inputs, by their position among all: a shape, repeats, scales, a matrix.
        attributes: Of the ONNX node.
        ceiling: What the activation cuts at: 6 of ReLU6, infinity of ReLU, None without one.
        weight: Of a layer: (O, I / groups, kh, kw), or (O, I) of Gemm.
        bias: Of a layer: (O,).
    """

    name: str
    op: str
    inputs: list[str]
    output: str
    constants: dict[int, NDArray[Any]] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    ceiling: float | None = None
    weight: Floats = field(default_factory=lambda: np.empty(0, np.float32))
    bias: Floats = field(default_factory=lambda: np.empty(0, np.float32))

    @property
    def is_layer(self) -> bool:
        """Whether it has weights."""
        return self.op in ("Conv", "Gemm")

    @property
    def groups(self) -> int:
        """Of a convolution; 1 of Gemm."""
        return int(self.attributes.get("group", 1))

    @property
    def is_depthwise(self) -> bool:
        """Whether every output channel reads one input channel, its own."""
        return self.groups > 1 and self.weight.shape[1] == 1 and self.groups == self.weight.shape[0]

    @property
    def is_pointwise(self) -> bool:
        """Whether it is a matrix: a 1 x 1 convolution without groups, or Gemm."""
        return self.is_layer and self.groups == 1 and self.weight[0, 0].size == 1


@dataclass(slots=True, eq=False)
class Graph:
    """A float graph.

    Attributes:
        input: Name of the input tensor.
        outputs: Names of the output tensors.
        steps: In the order of execution.
        opset: Of the default domain.
        ir_version: Of the file.
        input_shape: A name stands for the batch.
        output_shapes: Likewise; None where nobody asked.
    """

    input: str
    outputs: list[str]
    steps: list[Step]
    opset: int
    ir_version: int
    input_shape: Shape
    output_shapes: list[Shape | None]

    @property
    def layers(self) -> list[Step]:
        """The steps that have weights."""
        return [step for step in self.steps if step.is_layer]

    def producer(self, tensor: str) -> Step | None:
        """The step that makes a tensor; None of the input."""
        return next((step for step in self.steps if step.output == tensor), None)

    def consumers(self, tensor: str) -> list[Step]:
        """The steps that read a tensor."""
        return [step for step in self.steps if tensor in step.inputs]

    def copy(self) -> Graph:
        """One whose weights can be changed while these stay."""
        return copy.deepcopy(self)

    def to_model(self, outputs: Iterable[str] | None = None) -> onnx.ModelProto:
        """The float graph as ONNX, with these tensors for outputs instead of its own.

        Tensors' shapes other than the graph's own outputs' are left out.
        """
        nodes: list[onnx.NodeProto] = []
        initializers: dict[str, onnx.TensorProto] = {}
        for step in self.steps:
            write_step(step, nodes, initializers)
        shapes = dict(zip(self.outputs, self.output_shapes, strict=True))
        wanted = list(self.outputs if outputs is None else outputs)
        return make_model(self, nodes, initializers, [(name, shapes.get(name)) for name in wanted])


def make_model(
    graph: Graph,
    nodes: list[onnx.NodeProto],
    initializers: dict[str, onnx.TensorProto],
    outputs: Sequence[tuple[str, Shape | None]],
    picture: onnx.ValueInfoProto | None = None,
) -> onnx.ModelProto:
    """An ONNX model of these nodes, named and ordered so that the same graph gives the same bytes."""
    values = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name, shape in outputs]
    made = helper.make_graph(
        nodes,
        "mnv2deploy",
        [picture or helper.make_tensor_value_info(graph.input, onnx.TensorProto.FLOAT, graph.input_shape)],
        values,
        initializer=[initializers[name] for name in sorted(initializers)],
    )
    return helper.make_model(
        made,
        opset_imports=[helper.make_opsetid("", graph.opset)],
        ir_version=graph.ir_version,
        producer_name="mnv2deploy",
    )


def write_step(
    step: Step,
    nodes: list[onnx.NodeProto],
    initializers: dict[str, onnx.TensorProto],
    *,
    inputs: list[str] | None = None,
    parameters: list[str] | None = None,
    output: str | None = None,
    activate: bool = True,
) -> None:
    """Appends a step's nodes and constants.

    Args:
        step: The step.
        nodes: Appended to.
        initializers: Added to, by name.
        inputs: Tensors to read instead of the step's own.
        parameters: Tensors that hold weight and bias; None writes them as float constants.
        output: Tensor to write instead of the step's own.
        activate: Whether the activation is written, if there is one.
    """
    names = list(inputs or step.inputs)
    target = output or step.output
    if step.is_layer and parameters is None:
        parameters = [f"{step.name}.weight", f"{step.name}.bias"]
        for name, values in zip(parameters, (step.weight, step.bias), strict=True):
            initializers[name] = numpy_helper.from_array(np.ascontiguousarray(values, np.float32), name)
    names += parameters or []
    for position, constant in sorted(step.constants.items()):
        name = f"{step.name}:constant{position}"
        initializers[name] = numpy_helper.from_array(constant, name)
        names += [""] * (position - len(names))  # an input that is left out: Resize's region
        names.insert(position, name)
    raw = f"{target}:linear" if activate and step.ceiling is not None else target
    nodes.append(helper.make_node(step.op, names, [raw], name=step.name, **step.attributes))
    if raw != target:
        write_activation(step, raw, target, nodes, initializers)


def write_activation(
    step: Step, raw: str, target: str, nodes: list[onnx.NodeProto], initializers: dict[str, onnx.TensorProto]
) -> None:
    """Appends the activation of a step that has one, from ``raw`` to ``target``."""
    if step.ceiling == math.inf:
        nodes.append(helper.make_node("Relu", [raw], [target], name=f"{step.name}/Relu"))
        return
    bounds = {f"{step.name}:floor": 0.0, f"{step.name}:ceiling": step.ceiling}
    for name, value in bounds.items():
        initializers[name] = numpy_helper.from_array(np.array(value, np.float32), name)
    nodes.append(helper.make_node("Clip", [raw, *bounds], [target], name=f"{step.name}/Clip"))


def read_graph(model: onnx.ModelProto, where: str) -> Graph:
    """Reads a float artifact's graph.

    Args:
        model: As exported.
        where: The file it came from, for messages.

    Raises:
        ModelError: an operator quantization does not know, or a graph that is quantized already.
    """
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    graph = Graph(
        input=model.graph.input[0].name,
        outputs=[value.name for value in model.graph.output],
        steps=[],
        opset=next(int(entry.version) for entry in model.opset_import if entry.domain in ("", "ai.onnx")),
        ir_version=model.ir_version,
        input_shape=_shape(model.graph.input[0]),
        output_shapes=[_shape(value) for value in model.graph.output],
    )
    readers: dict[str, int] = {}
    for node in model.graph.node:
        for name in node.input:
            readers[name] = readers.get(name, 0) + 1
    made: dict[str, Step] = {}
    for node in model.graph.node:
        if node.op_type in ("Clip", "Relu"):
            _fuse_activation(node, constants, made, readers, graph, where)
            continue
        step = _read_step(node, constants, where)
        made[step.output] = step
        graph.steps.append(step)
    return graph


def _read_step(node: onnx.NodeProto, constants: dict[str, NDArray[Any]], where: str) -> Step:
    if node.op_type in ("QuantizeLinear", "DequantizeLinear", "QLinearConv"):
        raise ModelError(f"{where} is quantized already; quantize the float32 artifact it was made from.")
    if node.op_type not in ("Conv", "Gemm", *ARITHMETIC, *MOVEMENT):
        raise ModelError(f"{where} has a {node.op_type} node ({node.name}), which quantize does not know.")
    attributes = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
    attributes.pop("auto_pad", None)  # the exporter always writes NOTSET, the default
    inputs = [name for name in node.input if name and name not in constants]
    held = {position: constants[name] for position, name in enumerate(node.input) if name in constants}
    step = Step(node.name, node.op_type, inputs, node.output[0], attributes=attributes)
    if not step.is_layer:
        step.constants = held
        if not _is_linear(step):
            raise ModelError(
                f"{where}: {step.name} is a {step.op} other than export writes, which quantize does not know."
            )
        return step
    if len(inputs) != 1 or 1 not in held:
        raise ModelError(f"{where}: the weights of {node.name} are not constants; quantize an artifact of export.")
    step.weight = held[1].astype(np.float32)
    if step.op == "Gemm":
        if any(attributes.get(name, plain) != plain for name, plain in (("alpha", 1.0), ("beta", 1.0), ("transA", 0))):
            raise ModelError(f"{where}: {node.name} scales or turns what it multiplies, which quantize does not know.")
        if not attributes.get("transB", 0):
            step.weight = np.ascontiguousarray(step.weight.T)
        step.attributes = {"transB": 1}
    step.bias = held[2].astype(np.float32) if 2 in held else np.zeros(len(step.weight), np.float32)
    return step


def _is_linear(step: Step) -> bool:
    """Whether one factor of a MatMul is constant, and a Resize bilinear by constant scales, its corners not aligned."""
    if step.op == "MatMul":
        return len(step.constants) == 1
    if step.op != "Resize":
        return True
    settings = {"mode": b"nearest", "coordinate_transformation_mode": b"half_pixel", "antialias": 0} | step.attributes
    kind = settings["mode"], settings["coordinate_transformation_mode"], settings["antialias"]
    return list(step.constants) == [2] and kind == (b"linear", b"half_pixel", 0)


def _fuse_activation(
    node: onnx.NodeProto,
    constants: dict[str, NDArray[Any]],
    made: dict[str, Step],
    readers: dict[str, int],
    graph: Graph,
    where: str,
) -> None:
    """Makes a Clip or Relu part of the step before it."""
    source = node.input[0]
    bounds = [0.0, math.inf]
    if node.op_type == "Clip":
        bounds = [float(constants[name]) for name in node.input[1:] if name in constants]
    before = made.get(source)
    fits = before is not None and before.ceiling is None and (before.is_layer or before.op == "Add")
    whole = len(bounds) == 2 and bounds[0] == 0.0
    if before is None or not fits or readers[source] != 1 or source in graph.outputs or not whole:
        raise ModelError(f"{where}: the activation {node.name} does not follow a layer of its own.")
    before.ceiling = bounds[1]
    before.output = node.output[0]
    made[before.output] = before


def _shape(value: onnx.ValueInfoProto) -> Shape:
    return tuple(entry.dim_param or int(entry.dim_value) for entry in value.type.tensor_type.shape.dim)
