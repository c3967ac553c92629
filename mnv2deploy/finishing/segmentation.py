"""From logits on a grid to a class for every pixel of the input, in the graph.

What `runtime.segment` does outside it, where it spares the stretching of every class; a graph cannot.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from onnx import TensorProto

from mnv2deploy.contract import Input, Label, SegmentationDecoding
from mnv2deploy.export.resizing import least_scale
from mnv2deploy.finishing.nodes import Answer, Nodes


def write_segmentation(
    nodes: Nodes,
    logits: str,
    shape: Sequence[int],
    decoding: SegmentationDecoding,
    labels: Sequence[Label],
    graph_input: Input,
) -> list[Answer]:
    """Writes ``mask`` (N, height, width), the class id of each pixel; of equal logits the lower column wins.

    Args:
        nodes: Written to.
        logits: (N, columns, h, w) float32.
        shape: Of one picture's logits.
        decoding: How the grid lies on the input.
        labels: Of some of the columns or all, by rising column.
        graph_input: Has the mask's height and width.

    Returns:
        The output.
    """
    if len(labels) < shape[0]:
        logits = nodes("Gather", logits, np.array([label.column for label in labels]), axis=1)
    grid, sides = tuple(shape[1:]), (graph_input.height, graph_input.width)
    if grid != sides:
        mode = "align_corners" if decoding.align_corners else "half_pixel"
        scales = np.array([1, 1, *map(least_scale, grid, sides)], np.float32)
        logits = nodes("Resize", logits, "", scales, mode="linear", coordinate_transformation_mode=mode)
    winners = nodes("ArgMax", logits, axis=1, keepdims=0)
    class_ids = np.array([label.class_id for label in labels])
    narrow = class_ids.max() <= 255
    nodes("Gather", class_ids.astype(np.uint8 if narrow else np.int32), winners, output="mask")
    return [Answer("mask", "mask", TensorProto.UINT8 if narrow else TensorProto.INT32, sides)]
