"""Means over a feature map, written so that onnxruntime keeps its vector layout and computes nothing twice.

Both rewrites are exact; parity with torch is checked on the graph that comes out.
"""

from __future__ import annotations

import onnx
from onnx import helper, numpy_helper


def use_global_average_pool(model: onnx.ModelProto) -> None:
    """Makes each mean over height and width a GlobalAveragePool, in place.

    onnxruntime computes that in the blocked layout its convolutions use; before a ReduceMean it puts the whole map back
    into NCHW.
    """
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        if node.op_type != "ReduceMean" or _axes(node, constants) not in ([2, 3], [-2, -1]):
            nodes.append(node)
            continue
        if attributes.get("keepdims", 1):
            nodes.append(helper.make_node("GlobalAveragePool", node.input[:1], node.output, name=node.name))
            continue
        pooled = f"{node.name}/pooled"
        nodes.append(helper.make_node("GlobalAveragePool", node.input[:1], [pooled], name=pooled))
        nodes.append(helper.make_node("Flatten", [pooled], node.output, name=node.name))
    _replace_nodes(graph, nodes)


def project_pooled_branch_once(model: onnx.ModelProto) -> None:
    """Takes the pooled branch of a DeepLab head out of the concatenation that is projected, in place.

    That branch has one value a channel, repeated all over the map. Its share of the 1x1 projection is therefore one
    value a channel too: ``W @ concat(pooled, x) + b == W_pooled @ pooled + (W_x @ x + b)``. With one other branch this
    halves the projection: 277 of 554 million multiply-adds at 65 x 65.
    """
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    producers = {output: node for node in graph.node for output in node.output}
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        concat = producers.get(node.input[0])
        tile = producers.get(concat.input[0]) if concat is not None else None
        if (
            node.op_type == "Conv"
            and concat is not None
            and concat.op_type == "Concat"
            and tile is not None
            and tile.op_type == "Tile"
            and node.input[1] in constants
            and constants[node.input[1]].dims[2:] == [1, 1]
            and sum(concat.output[0] in other.input for other in graph.node) == 1
        ):
            nodes.remove(concat)
            nodes.remove(tile)
            nodes += _projected_apart(node, concat, tile, constants, graph)
        else:
            nodes.append(node)
    _replace_nodes(graph, nodes)


def _projected_apart(
    project: onnx.NodeProto,
    concat: onnx.NodeProto,
    tile: onnx.NodeProto,
    constants: dict[str, onnx.TensorProto],
    graph: onnx.GraphProto,
) -> list[onnx.NodeProto]:
    """What takes the place of tile, concat and project."""
    name = project.input[1].removesuffix(".weight")
    weights = numpy_helper.to_array(constants[project.input[1]])
    pooled_channels = weights.shape[1] - sum(_channels(branch, graph, constants) for branch in concat.input[1:])
    parts = {f"{name}.weight": weights[:, pooled_channels:], f"{name}_pooled.weight": weights[:, :pooled_channels]}
    for tensor in list(graph.initializer):
        if tensor.name == project.input[1]:
            graph.initializer.remove(tensor)
    graph.initializer.extend(numpy_helper.from_array(part.copy(), key) for key, part in parts.items())
    branches = list(concat.input[1:])
    joined = [helper.make_node("Concat", branches, [f"{name}/joined"], axis=1)] if len(branches) > 1 else []
    rest = joined[0].output[0] if joined else branches[0]
    pooled, repeated, spread = f"{name}_pooled/out", f"{name}_pooled/repeated", f"{name}/out"
    return [
        *joined,
        helper.make_node("Conv", [rest, f"{name}.weight", *project.input[2:]], [spread]),
        helper.make_node("Conv", [tile.input[0], f"{name}_pooled.weight"], [pooled]),
        # Repeated before the sum: OpenCV's new engine adds nothing else to a convolution.
        helper.make_node("Tile", [pooled, tile.input[1]], [repeated]),
        helper.make_node("Add", [spread, repeated], project.output),
    ]


def _channels(name: str, graph: onnx.GraphProto, constants: dict[str, onnx.TensorProto]) -> int:
    """Of the output of a convolution, with whatever activation after it."""
    (producer,) = (node for node in graph.node if name in node.output)
    if producer.op_type != "Conv":
        return _channels(producer.input[0], graph, constants)
    return int(constants[producer.input[1]].dims[0])


def _axes(node: onnx.NodeProto, constants: dict[str, onnx.TensorProto]) -> list[int]:
    if len(node.input) < 2 or node.input[1] not in constants:
        return []
    axes: list[int] = numpy_helper.to_array(constants[node.input[1]]).tolist()
    return axes


def _replace_nodes(graph: onnx.GraphProto, nodes: list[onnx.NodeProto]) -> None:
    """Sets the nodes, and drops the initializers that none of them reads."""
    read = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(kept)
