"""Writes TensorFlow Lite files of a few operators, with the generated code of the format's own schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import flatbuffers
import numpy as np
import tflite
from numpy.typing import NDArray

TYPES = {"f4": "FLOAT32", "f2": "FLOAT16", "i4": "INT32", "i8": "INT64", "i1": "INT8"}


class Tensor(NamedTuple):
    """A tensor; one without values is computed."""

    shape: tuple[int, ...]
    values: NDArray[Any] | None = None


class Operator(NamedTuple):
    """An operator of tensors given by their names."""

    name: str
    inputs: Sequence[str | None]
    output: str
    options: str = ""  # kind of, for example Conv2DOptions
    settings: Mapping[str, Any] = {}


def constant(values: Any, dtype: str = "f4") -> Tensor:
    array = np.asarray(values, dtype)
    return Tensor(array.shape, array)


def lite_file(
    tensors: Mapping[str, Tensor],
    operators: Sequence[Operator],
    inputs: Sequence[str] = ("image",),
    *,
    old: bool = True,
) -> bytes:
    """The file's bytes.

    Args:
        tensors: By name.
        operators: In the order they run.
        inputs: Of the graph.
    """
    builder = flatbuffers.Builder()
    places = {name: index for index, name in enumerate(tensors)}

    def table(kind: str, **fields: Any) -> int:
        getattr(tflite, f"{kind}Start")(builder)
        for field, value in fields.items():
            getattr(tflite, f"{kind}Add{field}")(builder, value)
        return getattr(tflite, f"{kind}End")(builder)

    def numbers(values: Sequence[int]) -> int:
        return builder.CreateNumpyVector(np.array(values, np.int32))

    def tables(offsets: Sequence[int]) -> int:
        builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            builder.PrependUOffsetTRelative(offset)
        return builder.EndVector()

    buffers, made = [table("Buffer")], []
    for name, tensor in tensors.items():
        data = b"" if tensor.values is None else tensor.values.tobytes()
        kind = "FLOAT32" if tensor.values is None else TYPES[tensor.values.dtype.str[1:]]
        vector = builder.CreateByteVector(data)
        buffers.append(table("Buffer", Data=vector))
        shape, text = numbers(tensor.shape), builder.CreateString(name)
        fields = {"Shape": shape, "Name": text, "Type": getattr(tflite.TensorType, kind), "Buffer": len(buffers) - 1}
        made.append(table("Tensor", **fields))
    codes, steps = [], []
    for operator in operators:
        code = getattr(tflite.BuiltinOperator, operator.name)
        codes.append(table("OperatorCode", DeprecatedBuiltinCode=min(code, 127), BuiltinCode=code))
        options = table(operator.options, **operator.settings) if operator.options else None
        sources = numbers([-1 if name is None else places[name] for name in operator.inputs])
        target = numbers([places[operator.output]])
        fields = {"OpcodeIndex": len(codes) - 1, "Inputs": sources, "Outputs": target}
        if options is not None:
            fields["BuiltinOptionsType"] = getattr(tflite.BuiltinOptions, operator.options)
            fields["BuiltinOptions"] = options
        steps.append(table("Operator", **fields))
    parts = {"Tensors": tables(made), "Operators": tables(steps)}
    ends = {"Inputs": numbers([places[name] for name in inputs]), "Outputs": numbers([len(tensors) - 1])}
    graph = tables([table("SubGraph", **parts, **ends)])
    model = {"OperatorCodes": tables(codes), "Subgraphs": graph, "Buffers": tables(buffers)}
    builder.Finish(table("Model", Version=3, **model), b"TFL3")
    return bytes(builder.Output())
