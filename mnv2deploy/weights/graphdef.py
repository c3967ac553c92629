"""Just enough of TensorFlow's GraphDef to read the constants of a frozen graph.

The protobuf library does the parsing; the handful of fields needed are declared here (numbers from TensorFlow's
graph.proto, node_def.proto, attr_value.proto, tensor.proto and tensor_shape.proto) and all others are skipped.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory
from numpy.typing import NDArray

_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "string": _Field.TYPE_STRING,
    "bytes": _Field.TYPE_BYTES,
    "int32": _Field.TYPE_INT32,
    "int64": _Field.TYPE_INT64,
    "float": _Field.TYPE_FLOAT,
    "double": _Field.TYPE_DOUBLE,
}
# Message -> (field, number, type); "*" marks a repeated field.
_SCHEMA = {
    "GraphDef": [("node", 1, "*NodeDef")],
    "NodeDef": [("name", 1, "string"), ("op", 2, "string"), ("attr", 5, "*Attribute")],
    "Attribute": [("key", 1, "string"), ("value", 2, "AttrValue")],
    "AttrValue": [("tensor", 8, "Tensor")],
    "Tensor": [
        ("dtype", 1, "int32"),
        ("shape", 2, "Shape"),
        ("content", 4, "bytes"),
        ("floats", 5, "*float"),
        ("doubles", 6, "*double"),
        ("ints", 7, "*int32"),
        ("longs", 10, "*int64"),
    ],
    "Shape": [("dim", 2, "*Dim")],
    "Dim": [("size", 1, "int64")],
}
# DataType of types.proto -> numpy type and the field that holds values not stored as bytes.
_LARGEST = 2**28  # values that a protocol buffer, which ends at 2 GB, can hold
_DTYPES = {1: ("<f4", "floats"), 2: ("<f8", "doubles"), 3: ("<i4", "ints"), 9: ("<i8", "longs")}


def parse_graph_def(data: bytes) -> dict[str, NDArray[Any]]:
    """The numeric constants of a graph, by node name.

    Raises:
        ValueError: ``data`` is not a GraphDef with constants, or one of them is damaged.
    """
    graph = _graph_def_class()()
    try:
        graph.ParseFromString(data)
    except message.DecodeError as error:
        raise ValueError("it is not a protocol buffer of a graph") from error
    constants: dict[str, NDArray[Any]] = {}
    for node in graph.node:
        if node.op != "Const":
            continue
        if node.name in constants:
            raise ValueError(f"two constants are named {node.name}")
        for attribute in node.attr:
            if attribute.key == "value" and attribute.value.tensor.dtype in _DTYPES:
                constants[node.name] = _array(attribute.value.tensor, node.name)
    if not constants:
        raise ValueError("it holds no constants")
    return constants


def _array(tensor: Any, name: str) -> NDArray[Any]:
    dtype, field = _DTYPES[tensor.dtype]
    shape = [dim.size for dim in tensor.shape.dim]
    size = math.prod(shape)
    if min(shape, default=1) < 0:
        raise ValueError(f"the constant {name} has no fixed shape")
    if tensor.content:
        if len(tensor.content) != size * np.dtype(dtype).itemsize:
            raise ValueError(f"the constant {name} has {len(tensor.content)} bytes for the shape {shape}")
        return np.frombuffer(tensor.content, dtype).reshape(shape)
    # TensorFlow leaves out the repetitions of the last value, and zeros altogether.
    values = np.asarray(getattr(tensor, field) or [0], dtype)
    if len(values) == 1:
        return np.broadcast_to(values, size).reshape(shape)
    if len(values) > size or size > _LARGEST:
        raise ValueError(f"the constant {name} has {len(values)} values for the shape {shape}")
    return np.pad(values, (0, size - len(values)), "edge").reshape(shape)


@functools.cache
def _graph_def_class() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="mnv2deploy_graph.proto", package="mnv2deploy", syntax="proto3")
    for message_name, fields in _SCHEMA.items():
        entry = file.message_type.add(name=message_name)
        for field_name, number, type_name in fields:
            repeated, type_name = type_name.startswith("*"), type_name.lstrip("*")
            label = _Field.LABEL_REPEATED if repeated else _Field.LABEL_OPTIONAL
            field = entry.field.add(name=field_name, number=number, label=label)
            if type_name in _SCALARS:
                field.type = _SCALARS[type_name]
            else:
                field.type, field.type_name = _Field.TYPE_MESSAGE, f".mnv2deploy.{type_name}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("mnv2deploy.GraphDef"))
