"""Writes the quantized graph in QOperator form: QLinearConv and its like, which only onnxruntime runs.

It computes what onnxruntime makes of the QDQ form, without the need to find the pairs again when the file is loaded.
Tensors stay in eight bits until a float operator or an output needs them. What no quantized operator can do is written
as `qdq` writes it.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper

from mnv2deploy.quantization.cpu_writer import CpuWriter
from mnv2deploy.quantization.encodings import Encoding, Encodings
from mnv2deploy.quantization.graph import Graph, Step, write_step
from mnv2deploy.quantization.writer import cuts_alike

_DOMAIN = "com.microsoft"
_ARITHMETIC = ("Add", "GlobalAveragePool", "Concat")
_MOVEMENT = ("Tile", "Transpose", "Reshape", "Flatten")


def write(graph: Graph, encodings: Encodings, *, picture_bytes: bool) -> onnx.ModelProto:
    """The quantized model; takes the same arguments as `qdq.write`."""
    writer = _Writer(graph, encodings)
    model = writer.write(picture_bytes)
    model.opset_import.append(helper.make_opsetid(_DOMAIN, 1))
    return model


class _Writer(CpuWriter):
    def _step(self, step: Step) -> None:
        floats = {step.output, *([] if step.is_layer else step.inputs)} & self.encodings.stream
        if floats or not all(name in self.whole for name in step.inputs):
            super()._step(step)
        elif step.op in _MOVEMENT:
            self._move(step)
        elif step.is_layer:
            self._layer(step)
        elif step.output in self.encodings.tensors and step.op in _ARITHMETIC:
            self._arithmetic(step)
        else:
            super()._step(step)

    def _move(self, step: Step) -> None:
        """Moves whole numbers about."""
        source = step.inputs[0]
        encoding = self.encodings.tensors[source]
        if self.encodings.tensors.setdefault(step.output, encoding) != encoding:
            super()._step(step)
            return
        self.whole[step.output] = f"{step.output}:quantized"
        write_step(step, self.nodes, self.initializers, inputs=[self.whole[source]], output=self.whole[step.output])

    def _layer(self, step: Step) -> None:
        layer = self.encodings.layers.get(step.name)
        given = self.encodings.tensors[step.inputs[0]]
        made = self.encodings.tensors.get(step.output)
        answers_real = made is None and step.op == "Gemm" and step.ceiling is None
        if layer is None or not (answers_real or (made is not None and made.dtype == given.dtype)):
            super()._step(step)
            return
        whole, _ = self._whole_bias(step, layer)
        bias = f"{step.name}.bias:quantized"
        self._constant(bias, whole)
        inputs = [*self._operand(step.inputs[0]), *self._weight(step, layer)]
        result = [] if made is None else self._encoding(step.output)
        if step.op == "Conv":
            self._operator(step, "QLinearConv", [*inputs, *result, bias], "")
        else:
            self._operator(step, "QGemm", [*inputs, bias, *result], _DOMAIN)

    def _arithmetic(self, step: Step) -> None:
        operands = [name for tensor in step.inputs for name in self._operand(tensor)]
        result = self._encoding(step.output)
        if step.op == "Concat":
            self._operator(step, "QLinearConcat", [*result, *operands], _DOMAIN)
        else:
            self._operator(step, f"QLinear{step.op}", [*operands, *result], _DOMAIN)

    def _operand(self, tensor: str) -> list[str]:
        return [self.whole[tensor], *self._encoding(tensor)]

    def _operator(self, step: Step, kind: str, inputs: list[str], domain: str) -> None:
        """Writes a quantized operator, and its activation as a Clip of whole numbers."""
        encoding = self.encodings.tensors.get(step.output)
        target = step.output
        if encoding is not None:
            target = self.whole[step.output] = f"{step.output}:quantized"
        cut = encoding is not None and not cuts_alike(encoding, step.ceiling)
        raw = f"{target}:linear" if cut else target
        self.nodes.append(helper.make_node(kind, inputs, [raw], name=step.name, domain=domain, **step.attributes))
        if encoding is not None and step.ceiling is not None and cut:
            bounds = [f"{step.name}:floor", f"{step.name}:ceiling"]
            for name, value in zip(bounds, (0.0, step.ceiling), strict=True):
                self._constant(name, np.array(_whole(value, encoding), encoding.dtype))
            self.nodes.append(helper.make_node("Clip", [raw, *bounds], [target], name=f"{step.name}/Clip"))


def _whole(value: float, encoding: Encoding) -> int:
    """What QuantizeLinear makes of a value. It never falls as the value rises, so it may come before a Clip."""
    steps = np.rint(np.float32(value) / np.float32(encoding.scale)) + encoding.zero_point
    return int(np.clip(steps, *encoding.limits))
