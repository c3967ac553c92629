"""Bilinear stretching of feature maps, in a graph whose only unknown is the batch."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper, shape_inference


def stretch_by_constant_scales(model: onnx.ModelProto) -> None:
    """Gives each Resize of a feature map constant scales for its sizes, in place.

    torch's exporter has the target's four sides computed from the batch at every run. Height and width are known, and
    a scale for the batch is 1 whatever it is.
    """
    graph = model.graph
    nodes = [node for node in graph.node if node.op_type == "Resize" and len(node.input) > 3 and node.input[3]]
    if not nodes:
        return
    inferred = shape_inference.infer_shapes(model, data_prop=True).graph
    sides = {value.name: _sides(value) for value in (*inferred.value_info, *inferred.output)}
    for node in nodes:
        before, after = sides[node.input[0]], sides[node.output[0]]
        scales = np.array([1, 1, *map(least_scale, before, after)], np.float32)
        name = f"{node.output[0]}/scales"
        graph.initializer.append(numpy_helper.from_array(scales, name))
        node.input[2:] = [name]
    drop_unread(graph)


def _sides(value: onnx.ValueInfoProto) -> list[int]:
    return [side.dim_value for side in value.type.tensor_type.shape.dim][2:]


def least_scale(before: int, after: int) -> np.float32:
    """The least scale whose product with ``before``, rounded down, is ``after``, however exactly it is computed."""
    scale = np.float32(after / before)
    return scale if float(scale) * before >= after else np.nextafter(scale, np.float32(np.inf))


def drop_unread(graph: onnx.GraphProto) -> None:
    """Removes nodes and initializers that nothing reads."""
    outputs = {value.name for value in graph.output}
    while True:
        read = outputs | {name for node in graph.node for name in node.input}
        unread = [node for node in graph.node if not read & set(node.output)]
        if not unread:
            break
        for node in unread:
            graph.node.remove(node)
    kept = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)
