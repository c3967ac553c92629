"""Writes a quantized graph in the forms that onnxruntime's CPU kernels are fast at; its answers stay the same.

A convolution of eight bits with a float32 answer, which a residual stream in float32 needs, onnxruntime has no operator
for: it would compute all of it in float32. It has one for such a matrix product (MatMulIntegerToFloat), and a pointwise
convolution is one where channels come last; so the stream is written that way. Its transpositions meet those that
onnxruntime puts around QLinearConv and vanish.

The first layer is written over groups of pixels, see `wide_stem`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import helper

from mnv2deploy.quantization.encodings import Encodings, LayerEncoding
from mnv2deploy.quantization.graph import Graph, Step, write_activation
from mnv2deploy.quantization.wide_stem import GROUP, widen
from mnv2deploy.quantization.writer import LAST, PLANES, Writer, cuts_alike


class CpuWriter(Writer):
    """Writes a graph step by step.

    Attributes:
        last: The float32 form with channels last of each tensor made so.
    """

    def __init__(self, graph: Graph, encodings: Encodings, *, float_biases: bool = False) -> None:
        super().__init__(graph, encodings, float_biases=float_biases)
        self.last: dict[str, str] = {}

    def _picture(self) -> list[Step]:
        return self.graph.steps[1:] if self._wide_stem(self.graph.steps[0]) else super()._picture()

    def _wide_stem(self, stem: Step) -> bool:
        """Writes the first layer over groups of pixels; False where it is not to be written so."""
        source, target = self.graph.input, stem.output
        layer, encoding = self.encodings.layers.get(stem.name), self.encodings.tensors.get(target)
        alone = self.graph.consumers(source) == [stem] and target not in self.encodings.stream
        if layer is None or encoding is None or not alone or not cuts_alike(encoding, stem.ceiling):
            return False
        _, channels, height, width = (int(size) if isinstance(size, int) else 0 for size in self.graph.input_shape)
        wide = widen(stem, layer.weight, width)
        if wide is None:
            return False
        groups = Step(
            stem.name, "Conv", [f"{source}:groups"], f"{target}:groups", attributes=wide.attributes, weight=stem.weight
        )
        shape = self._shape(f"{source}:groups:shape", height, width // GROUP, GROUP * channels)
        grouped = self._once(f"{source}:grouped", "Reshape", [source, shape])
        self.whole[groups.inputs[0]] = self._once(f"{source}:planes", "Transpose", [grouped], perm=PLANES)
        self.encodings.tensors |= {
            groups.inputs[0]: self.encodings.tensors[source],
            groups.output: encoding,
        }
        self.encodings.layers = self.encodings.layers | {
            stem.name: LayerEncoding(
                wide.weight, np.tile(layer.scales, wide.answers), np.tile(layer.bias, wide.answers)
            )
        }
        self._step(groups)
        rows = _answers(height, stem, 0)
        shape = self._shape(f"{target}:shape", rows, _answers(width, stem, 1), len(layer.weight))
        turned = self._once(f"{target}:groups:last", "Transpose", [self.whole[groups.output]], perm=LAST)
        pixels = self._once(f"{target}:pixels", "Reshape", [turned, shape])
        self.whole[target] = self._once(f"{target}:quantized", "Transpose", [pixels], perm=PLANES)
        return True

    def _shape(self, name: str, *sizes: int) -> str:
        """The constant for a Reshape that leaves the batch as it is."""
        self._constant(name, np.array([0, *sizes], np.int64))
        return name

    def _step(self, step: Step) -> None:
        if self._is_matrix(step):
            self._matrix(step)
        elif step.op == "Add" and step.output in self.encodings.stream:
            terms = [self._channels_last(name) for name in step.inputs]
            made = f"{step.output}:last"
            self.nodes.append(helper.make_node("Add", terms, [made], name=step.name))
            self._keep_last(step.output, made)
        else:
            super()._step(step)

    def _is_matrix(self, step: Step) -> bool:
        """Whether a step is written as a matrix product: it writes the stream, or reads it in float32."""
        if not (step.op == "Conv" and is_matrix(step)):
            return False
        reads = step.inputs[0] in self.last and step.name not in self.encodings.layers
        return reads or step.output in self.encodings.stream

    def _matrix(self, step: Step) -> None:
        layer = self.encodings.layers.get(step.name)
        weight, bias = f"{step.name}.weight", f"{step.name}.bias"
        if layer is None:
            source = self._channels_last(step.inputs[0])
            self._constant(weight, _turned(step.weight))
            self._constant(bias, step.bias)
        else:
            source = self._rounded_channels_last(step.inputs[0])
            self._dequantize_parameter(weight, self._by_channel(weight, _turned(layer.weight), layer.scales), axis=1)
            self._constant(bias, layer.bias.astype(np.float32))
        made = f"{step.output}:last"
        encoding = self.encodings.tensors.get(step.output)
        activate = step.ceiling is not None and (encoding is None or not cuts_alike(encoding, step.ceiling))
        raw = f"{step.output}:linear" if activate else made
        self.nodes.append(helper.make_node("MatMul", [source, weight], [f"{step.output}:product"], name=step.name))
        self.nodes.append(helper.make_node("Add", [f"{step.output}:product", bias], [raw], name=f"{step.name}/Bias"))
        if activate:
            write_activation(step, raw, made, self.nodes, self.initializers)
        self._keep_last(step.output, made)

    def _keep_last(self, tensor: str, made: str) -> None:
        """Notes a tensor made with channels last, and rounds it where layers of eight bits read it."""
        if tensor not in self.encodings.tensors or tensor in self.encodings.stream:
            self.last[tensor] = made
        if tensor in self.encodings.tensors:
            self.whole[tensor] = f"{tensor}:quantized"
            whole = self._once(f"{made}:quantized", "QuantizeLinear", [made, *self._encoding(tensor)])
            self._once(self.whole[tensor], "Transpose", [whole], perm=PLANES)

    def _channels_last(self, tensor: str) -> str:
        """A tensor in float32 with channels last."""
        if tensor in self.last:
            return self.last[tensor]
        return self._once(f"{tensor}:last", "Transpose", [self._real(tensor)], perm=LAST)

    def _rounded_channels_last(self, tensor: str) -> str:
        """What a matrix product of eight bits reads."""
        whole = self._once(f"{self.whole[tensor]}:last", "Transpose", [self.whole[tensor]], perm=LAST)
        return self._once(f"{whole}:real", "DequantizeLinear", [whole, *self._encoding(tensor)])

    def _real(self, tensor: str) -> str:
        if tensor in self.last:
            return self._once(tensor, "Transpose", [self.last[tensor]], perm=PLANES)
        return super()._real(tensor)


def is_matrix(layer: Step) -> bool:
    """Whether a layer multiplies every position by the same matrix, and nothing else."""
    pads, strides = layer.attributes.get("pads", (0,)), layer.attributes.get("strides", (1,))
    return layer.is_pointwise and not any(pads) and set(strides) == {1}


def _turned(weight: NDArray[Any]) -> NDArray[Any]:
    """(I, O) of a pointwise layer's (O, I, 1, 1)."""
    return np.ascontiguousarray(weight.reshape(len(weight), -1).T)


def _answers(size: int, layer: Step, axis: int) -> int:
    """How many answers a layer gives along an axis (0: down, 1: across) of this size."""
    pads, strides = layer.attributes.get("pads", (0,) * 4), layer.attributes.get("strides", (1, 1))
    return int((size + pads[axis] + pads[axis + 2] - layer.weight.shape[2 + axis]) // strides[axis] + 1)
