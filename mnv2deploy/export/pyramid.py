"""PSPNet's pyramid: a few regions are convolved as regions, and stretched to the feature map only then."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper, shape_inference

from mnv2deploy.export.resizing import drop_unread

Floats = NDArray[np.float32]
_KERNEL = 3


@dataclass(frozen=True, slots=True)
class _Branch:
    """A branch of a concatenation: (N, channels, *sides).

    Attributes:
        name: Of the tensor.
        regions: Of the tensor it was stretched from; empty where it was not.
        small: Sides of that.
    """

    name: str
    channels: int
    regions: str
    small: tuple[int, int]


def convolve_before_stretching(model: onnx.ModelProto) -> None:
    """Takes stretched branches out of the concatenation that a 3x3 convolution reads, in place.

    Stretching and convolving are both linear, so a branch's share of the convolution is, for each of the kernel's nine
    places, a 1x1 convolution of the few regions, stretched and shifted: ``V_rows @ P @ V_columns.T`` with constant
    matrices, zero where the kernel reads the padding. Exact but for rounding; of PSPNet at 512 x 512 it leaves 14.3 of
    52.7 billion multiply-adds.
    """
    graph = model.graph
    producers = {output: node for node in graph.node for output in node.output}
    constants = {tensor.name: tensor for tensor in graph.initializer}
    shapes: dict[str, tuple[int, ...]] = {}
    for node in list(graph.node):
        concat = producers.get(node.input[0]) if node.op_type == "Conv" else None
        if concat is None or concat.op_type != "Concat" or not _is_plain_3x3(node, constants):
            continue
        shapes = shapes or _shapes(model)
        branches = [_branch(name, producers, shapes) for name in concat.input]
        if any(branch.regions for branch in branches):
            nodes = _apart(node, branches, shapes[node.output[0]][2:], constants, graph)
            place = list(graph.node).index(node)
            kept = [*graph.node[:place], *nodes, *graph.node[place + 1 :]]
            del graph.node[:]
            graph.node.extend(kept)
            drop_unread(graph)


def _is_plain_3x3(node: onnx.NodeProto, constants: dict[str, onnx.TensorProto]) -> bool:
    attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    return (
        list(constants[node.input[1]].dims[2:]) == [_KERNEL, _KERNEL]
        and attributes.get("group", 1) == 1
        and attributes.get("pads") == [1, 1, 1, 1]
        and set(attributes.get("strides", [1])) | set(attributes.get("dilations", [1])) == {1}
    )


def _shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    inferred = shape_inference.infer_shapes(model, data_prop=True).graph
    values = (*inferred.value_info, *inferred.output, *inferred.input)
    return {value.name: tuple(side.dim_value for side in value.type.tensor_type.shape.dim) for value in values}


def _branch(name: str, producers: dict[str, onnx.NodeProto], shapes: dict[str, tuple[int, ...]]) -> _Branch:
    node, channels = producers.get(name), shapes[name][1]
    if node is None or node.op_type != "Resize":
        return _Branch(name, channels, "", (0, 0))
    height, width = shapes[node.input[0]][2:]
    return _Branch(name, channels, node.input[0], (height, width))


def _apart(
    project: onnx.NodeProto,
    branches: list[_Branch],
    sides: tuple[int, ...],
    constants: dict[str, onnx.TensorProto],
    graph: onnx.GraphProto,
) -> list[onnx.NodeProto]:
    """What takes the place of the convolution: one of the other branches, and the stretched ones' shares added."""
    module = project.input[1].removesuffix(".weight")
    weights = numpy_helper.to_array(constants[project.input[1]])
    parts = np.split(weights, np.cumsum([branch.channels for branch in branches])[:-1], axis=1)
    made: dict[str, NDArray[np.generic]] = {}
    nodes: list[onnx.NodeProto] = []
    stretched: list[tuple[_Branch, str]] = []
    for branch, part in zip(branches, parts, strict=True):
        if branch.regions:
            share = f"{module}_stretched.{len(stretched)}"
            nodes += _shifted(branch, part, share, sides[1], made)
            stretched.append((branch, share))
    joined, across = f"{module}_stretched/joined", f"{module}_stretched/rows"
    made[across] = np.concatenate([_stretch_matrix(branch.small[0], sides[0]) for branch, _ in stretched], axis=1)
    made[f"{module}.rest.weight"] = np.concatenate(
        [part for branch, part in zip(branches, parts, strict=True) if not branch.regions], axis=1
    )
    others = [branch.name for branch in branches if not branch.regions]
    rest = others[0]
    if len(others) > 1:
        rest = f"{module}/rest"
        nodes.append(helper.make_node("Concat", others, [rest], axis=1))
    convolution = helper.make_node("Conv", [rest, f"{module}.rest.weight", *project.input[2:]], [f"{module}/convolved"])
    convolution.attribute.extend(project.attribute)
    graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in made.items())
    return [
        *nodes,
        helper.make_node("Concat", [share for _, share in stretched], [joined], axis=2),
        helper.make_node("MatMul", [across, joined], [f"{module}/spread"]),
        convolution,
        helper.make_node("Add", [f"{module}/convolved", f"{module}/spread"], project.output),
    ]


def _shifted(
    branch: _Branch, weights: Floats, share: str, width: int, made: dict[str, NDArray[np.generic]]
) -> list[onnx.NodeProto]:
    """The regions of a branch convolved 1x1 for each place of the kernel, stretched over the columns.

    Args:
        branch: With regions (N, C, h, w).
        weights: (O, C, 3, 3).
        share: Name of the output: (N, O, 3 * h, width), the kernel's rows before the regions'.
        width: Of the feature map.
        made: Receives the constants.
    """
    height, small_width = branch.small
    outputs = len(weights)
    made[f"{share}.weight"] = np.ascontiguousarray(
        weights.transpose(0, 2, 3, 1).reshape(outputs * _KERNEL**2, branch.channels, 1, 1)
    )
    made[f"{share}/places"] = np.array([-1, _KERNEL, _KERNEL, height, small_width])
    made[f"{share}/matrices"] = np.array([-1, outputs, _KERNEL * small_width, _KERNEL * height])
    made[f"{share}/columns"] = _stretch_matrix(small_width, width)
    steps = [f"{share}/{step}" for step in ("convolved", "placed", "turned", "shaped", "stretched")]
    return [
        helper.make_node("Conv", [branch.regions, f"{share}.weight"], [steps[0]]),
        helper.make_node("Reshape", [steps[0], f"{share}/places"], [steps[1]]),  # (N * O, rows, columns, h, w)
        helper.make_node("Transpose", [steps[1]], [steps[2]], perm=[0, 2, 4, 1, 3]),
        helper.make_node("Reshape", [steps[2], f"{share}/matrices"], [steps[3]]),  # (N, O, columns * w, rows * h)
        helper.make_node("MatMul", [f"{share}/columns", steps[3]], [steps[4]]),
        helper.make_node("Transpose", [steps[4]], [share], perm=[0, 1, 3, 2]),
    ]


def _stretch_matrix(small: int, large: int) -> Floats:
    """Bilinear stretching of one side seen through each of the kernel's places, (large, 3 * small).

    Half-pixel centres, the border repeated (``align_corners=False``), and zero beyond it, where the convolution pads.
    """
    position = np.clip((np.arange(large) + 0.5) * small / large - 0.5, 0, small - 1)
    hats = np.maximum(0, 1 - np.abs(position[:, None] - np.arange(small)))
    padded = np.pad(hats, ((1, 1), (0, 0)))
    return np.concatenate([padded[place : place + large] for place in range(_KERNEL)], axis=1).astype(np.float32)
