"""Writes a quantized graph: eight-bit values between a QuantizeLinear and a DequantizeLinear.

A layer that stays in float32 reads through a DequantizeLinear of its own, the scale repeated for each channel. From one
with a single scale, onnxruntime 1.21 and later quantize the layer's weights after all, with one scale for the whole
tensor (WeightBiasQuantization; pull requests 22969, 24537 and 25673 of microsoft/onnxruntime).
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from mnv2deploy.quantization.encodings import Encoding, Encodings, LayerEncoding
from mnv2deploy.quantization.graph import Graph, Step, make_model, write_step

_TYPES = {"uint8": np.uint8, "int8": np.int8}
# Transpositions: to planes, and to channels last.
PLANES, LAST = [0, 3, 1, 2], [0, 2, 3, 1]


class Writer:
    """Writes a graph step by step, in operators every runtime knows; `cpu_writer` and `qoperator` write others.

    Attributes:
        graph: With the float weights of layers that stay in float32.
        encodings: Of the rest; a copy, to which a subclass may add.
        nodes: Written so far.
        initializers: By name.
        whole: The eight-bit form of each tensor that has one, by the tensor's name.
    """

    def __init__(self, graph: Graph, encodings: Encodings, *, float_biases: bool = False) -> None:
        self.graph = graph
        self.encodings = dataclasses.replace(encodings, tensors=dict(encodings.tensors))
        self._float_biases = float_biases
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}
        self.whole: dict[str, str] = {}
        self._written: set[str] = set()

    def write(self, picture_bytes: bool) -> onnx.ModelProto:
        """The model; `qdq.write` says what ``picture_bytes`` means."""
        graph = self.graph
        picture = None
        steps = graph.steps
        if picture_bytes:
            batch, channels, height, width = graph.input_shape
            shape = (batch, height, width, channels)
            picture = helper.make_tensor_value_info(graph.input, onnx.TensorProto.UINT8, shape)
            steps = self._picture()
        elif graph.input in self.encodings.tensors:
            self._quantize(graph.input, graph.input)
        for step in steps:
            self._step(step)
        for name in graph.outputs:
            self._real(name)
        outputs = list(zip(graph.outputs, graph.output_shapes, strict=True))
        return make_model(graph, self.nodes, self.initializers, outputs, picture)

    def _picture(self) -> list[Step]:
        """Makes planes of a picture's bytes, and returns the steps that are still to be written."""
        source = self.graph.input
        self.whole[source] = self._once(f"{source}:planes", "Transpose", [source], perm=PLANES)
        return self.graph.steps

    def _step(self, step: Step) -> None:
        inputs = self._inputs(step)
        layer = self.encodings.layers.get(step.name)
        parameters = None if layer is None else self._parameters(step, layer)
        encoding = self.encodings.tensors.get(step.output)
        rounded = encoding is not None and step.output not in self.encodings.stream
        raw = f"{step.output}:real" if rounded else step.output
        activate = encoding is None or not cuts_alike(encoding, step.ceiling)
        write_step(
            step, self.nodes, self.initializers, inputs=inputs, parameters=parameters, output=raw, activate=activate
        )
        if encoding is not None:
            self._quantize(raw, step.output)

    def _once(self, target: str, kind: str, inputs: list[str], **attributes: Any) -> str:
        """Writes the node that makes ``target``, the first time it is asked for."""
        if target not in self._written:
            self._written.add(target)
            self.nodes.append(helper.make_node(kind, inputs, [target], name=f"{target}/{kind}", **attributes))
        return target

    def _inputs(self, step: Step) -> list[str]:
        """What a step that computes in float32 reads."""
        if step.is_layer and step.name in self.encodings.layers:
            return [self._dequantized(name) for name in step.inputs]
        if step.is_layer and step.inputs[0] in self.whole and step.inputs[0] not in self.encodings.stream:
            return [self._dequantize_by_channel(step)]
        return [self._real(name) for name in step.inputs]

    def _real(self, tensor: str) -> str:
        """A tensor in float32."""
        if tensor in self.whole and tensor not in self.encodings.stream:
            return self._dequantized(tensor)
        return tensor

    def _dequantized(self, tensor: str) -> str:
        """A tensor as rounding leaves it, in float32."""
        target = tensor
        if tensor in self.encodings.stream:
            target = f"{tensor}:rounded"
        elif tensor == self.graph.input:
            target = f"{tensor}:real"
        return self._once(target, "DequantizeLinear", [self.whole[tensor], *self._encoding(tensor)])

    def _dequantize_by_channel(self, step: Step) -> str:
        """Writes the DequantizeLinear of a layer that stays in float32: the same scale, once for each channel."""
        tensor = step.inputs[0]
        encoding = self.encodings.tensors[tensor]
        target = f"{step.name}:input"
        channels = step.weight.shape[1] * step.groups
        held = [self.whole[tensor], f"{target}:scale", f"{target}:zero_point"]
        self._constant(held[1], np.full(channels, encoding.scale, np.float32))
        self._constant(held[2], np.full(channels, encoding.zero_point, _TYPES[encoding.dtype]))
        self.nodes.append(helper.make_node("DequantizeLinear", held, [target], name=f"{target}/Dequantize", axis=1))
        return target

    def _quantize(self, source: str, tensor: str) -> None:
        self.whole[tensor] = f"{tensor}:quantized"
        held = [source, *self._encoding(tensor)]
        self.nodes.append(helper.make_node("QuantizeLinear", held, [self.whole[tensor]], name=f"{tensor}/Quantize"))

    def _parameters(self, step: Step, layer: LayerEncoding) -> list[str]:
        """Weight and bias, dequantized."""
        weight, bias = f"{step.name}.weight", f"{step.name}.bias"
        self._dequantize_parameter(weight, self._weight(step, layer))
        if self._float_biases:
            self._constant(bias, layer.bias.astype(np.float32))
        else:
            self._dequantize_parameter(bias, self._bias(step, layer))
        return [weight, bias]

    def _dequantize_parameter(self, name: str, held: list[str], axis: int = 0) -> None:
        self.nodes.append(helper.make_node("DequantizeLinear", held, [name], name=f"{name}/Dequantize", axis=axis))

    def _weight(self, step: Step, layer: LayerEncoding) -> list[str]:
        """Whole numbers, scales and zero points."""
        return self._by_channel(f"{step.name}.weight", layer.weight, layer.scales)

    def _bias(self, step: Step, layer: LayerEncoding) -> list[str]:
        """Whole numbers, scales and zero points."""
        whole, scales = self._whole_bias(step, layer)
        return self._by_channel(f"{step.name}.bias", whole, scales)

    def _whole_bias(self, step: Step, layer: LayerEncoding) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        scale = self.encodings.tensors[step.inputs[0]].scale
        scales = np.asarray(layer.scales * np.float32(scale), np.float32)
        return np.clip(np.rint(layer.bias / scales), -(2**31) + 1, 2**31 - 1).astype(np.int32), scales

    def _by_channel(self, name: str, whole: NDArray[np.generic], scales: NDArray[np.float32]) -> list[str]:
        names = [f"{name}:quantized", f"{name}:scale", f"{name}:zero_point"]
        for held, values in zip(names, (whole, scales, np.zeros(len(scales), whole.dtype)), strict=True):
            self._constant(held, values)
        return names

    def _encoding(self, tensor: str) -> list[str]:
        """Scale and zero point."""
        encoding = self.encodings.tensors[tensor]
        names = [f"{tensor}:scale", f"{tensor}:zero_point"]
        self._constant(names[0], np.array(encoding.scale, np.float32))
        self._constant(names[1], np.array(encoding.zero_point, _TYPES[encoding.dtype]))
        return names

    def _constant(self, name: str, values: NDArray[np.generic]) -> None:
        self.initializers[name] = numpy_helper.from_array(np.ascontiguousarray(values).reshape(values.shape), name)


def cuts_alike(encoding: Encoding, ceiling: float | None) -> bool:
    """Whether rounding to this encoding does what the activation would have done before it."""
    if ceiling is None:
        return True
    return encoding.zero_point == encoding.limits[0] and encoding.high <= ceiling * (1 + 1e-5)
