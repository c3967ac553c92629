"""From logits and encodings to labelled boxes, in the graph: what `runtime.detect` does outside it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from onnx import TensorProto

from mnv2deploy.contract import DetectionDecoding, Label
from mnv2deploy.finishing.nodes import Answer, Nodes
from mnv2deploy.runtime.boxes import generate_anchors


def write_detection(
    nodes: Nodes,
    logits: str,
    encodings: str,
    shape: Sequence[int],
    decoding: DetectionDecoding,
    labels: Sequence[Label],
) -> list[Answer]:
    """Writes ``boxes`` (N, M, 4), ``scores`` (N, M), ``class_ids`` (N, M) and ``counts`` (N,), the best boxes first.

    What comes after the first ``counts`` of a picture is 0. Of equal scores the lower anchor comes first, then the
    lower column, as outside the graph.

    Args:
        nodes: Written to.
        logits: (N, A, columns) float32.
        encodings: (N, A, 4) float32.
        shape: Of one picture's logits.
        decoding: Anchors, coder, thresholds.
        labels: Of some of the columns or all, by rising column.

    Returns:
        The outputs; M is ``max_detections``, or all there can be.
    """
    sizes = [layer.grid[0] * layer.grid[1] * len(layer.sizes) for layer in decoding.anchors]
    classes = len(labels)
    limit = min(decoding.max_detections, sum(sizes) * classes)
    scores = _scores(nodes, logits, shape[1], decoding, labels)
    if decoding.candidates_per_map is not None:
        scores = _best_of_each_map(nodes, scores, sizes, classes, decoding.candidates_per_map)
    low, high = _corners(nodes, encodings, decoding)
    if decoding.clip == "before_nms":  # and what is left without any area goes
        low, high = _clipped(nodes, low), _clipped(nodes, high)
        smaller, larger = nodes.pair("Split", nodes("Greater", high, low), np.array([1, 1]), axis=2)
        scores = nodes("Where", nodes("And", smaller, larger), scores, np.float32(0))
    boxes = nodes("Concat", low, high, axis=2)
    kept = _suppressed(nodes, boxes, scores, decoding, limit)
    _write_best(nodes, boxes, kept, [label.class_id for label in labels], limit, swapped=decoding.coder == "yxhw")
    return [
        Answer("boxes", "boxes", TensorProto.FLOAT, (limit, 4)),
        Answer("class_scores", "scores", TensorProto.FLOAT, (limit,)),
        Answer("class_ids", "class_ids", TensorProto.INT64, (limit,)),
        Answer("counts", "counts", TensorProto.INT64, ()),
    ]


def _write_best(nodes: Nodes, boxes: str, kept: str, class_ids: list[int], limit: int, *, swapped: bool) -> None:
    """Writes the outputs: of the boxes that are kept, those with a score, the ``limit`` best over all classes.

    Args:
        nodes: Written to.
        boxes: (N, A, 4), corners in the coder's order.
        kept: (N, A, classes), a score or 0.
        class_ids: Of the classes.
        limit: As many as that at most.
        swapped: Whether a corner's y comes before its x.
    """
    classes = np.array(len(class_ids))
    best, places = nodes.pair("TopK", nodes("Reshape", kept, np.array([0, -1])), np.array([limit]), axis=1)
    nodes("Identity", best, output="scores")
    is_answer = nodes("Greater", best, np.float32(0))
    counted = nodes("Cast", is_answer, to=TensorProto.INT64)
    nodes("ReduceSum", counted, np.array([1]), keepdims=0, output="counts")
    found = nodes("Gather", np.array(class_ids), nodes("Mod", places, classes))
    nodes("Mul", found, counted, output="class_ids")
    anchors = nodes("Unsqueeze", nodes("Div", places, classes), np.array([2]))
    chosen = nodes("GatherND", boxes, anchors, batch_dims=1)
    if swapped:
        chosen = nodes("Gather", chosen, np.array([1, 0, 3, 2]), axis=2)
    inside = _clipped(nodes, chosen)
    nodes("Where", nodes("Unsqueeze", is_answer, np.array([2])), inside, np.float32(0), output="boxes")


def _scores(nodes: Nodes, logits: str, columns: int, decoding: DetectionDecoding, labels: Sequence[Label]) -> str:
    """Probabilities of the columns with a label, (N, A, classes)."""
    places = np.array([label.column for label in labels])
    whole = len(labels) == columns
    if decoding.activation == "softmax":  # among all columns, the background too
        shares = nodes("Softmax", logits, axis=2)
        return shares if whole else nodes("Gather", shares, places, axis=2)
    return nodes("Sigmoid", logits if whole else nodes("Gather", logits, places, axis=2))


def _best_of_each_map(nodes: Nodes, scores: str, sizes: list[int], classes: int, limit: int) -> str:
    """The scores, 0 where they are not among the ``limit`` best of their feature map."""
    maps = []
    start = 0
    for size in sizes:
        one = nodes("Slice", scores, np.array([start]), np.array([start + size]), np.array([1]))
        if size * classes > limit:
            flat = nodes("Reshape", one, np.array([0, -1]))
            best, places = nodes.pair("TopK", flat, np.array([limit]), axis=1)
            zeros = nodes("Mul", flat, np.float32(0))
            one = nodes("ScatterElements", zeros, places, best, axis=1)
            one = nodes("Reshape", one, np.array([0, size, classes]))
        maps.append(one)
        start += size
    return nodes("Concat", *maps, axis=1)


def _corners(nodes: Nodes, encodings: str, decoding: DetectionDecoding) -> tuple[str, str]:
    """The least and greatest corner of each anchor's box, (N, A, 2) each, in the coder's order of the sides.

    The arithmetic of `runtime.boxes.BoxCoder`, step by step.
    """
    anchors = generate_anchors(decoding.anchors)  # yxhw
    if decoding.coder == "xywh":
        anchors = anchors[:, [1, 0, 3, 2]]
    middles, sides = anchors[None, :, :2], anchors[None, :, 2:]
    offsets = nodes("Div", encodings, np.array(decoding.coder_scales, np.float32))
    shift, growth = nodes.pair("Split", offsets, np.array([2, 2]), axis=2)
    if decoding.size_ratio_limit is not None:
        reach = np.float32(math.log(decoding.size_ratio_limit))
        growth = nodes("Clip", growth, -reach, reach)
    centres = nodes("Add", nodes("Mul", shift, sides), middles)
    halves = nodes("Mul", nodes("Exp", growth), sides * np.float32(0.5))
    return nodes("Sub", centres, halves), nodes("Add", centres, halves)


def _clipped(nodes: Nodes, fractions: str) -> str:
    return nodes("Clip", fractions, np.float32(0), np.float32(1))


def _suppressed(nodes: Nodes, boxes: str, scores: str, decoding: DetectionDecoding, limit: int) -> str:
    """The scores (N, A, classes), 0 where NMS does not keep the box.

    No class can have more than ``limit`` of the ``limit`` best boxes, so each class keeps at most so many. NMS takes a
    box by any two opposite corners, y before x or the other way round.
    """
    by_class = nodes("Transpose", scores, perm=[0, 2, 1])
    kept = nodes(
        "NonMaxSuppression",
        boxes,
        by_class,
        np.array([limit]),
        np.array([decoding.iou_threshold], np.float32),
        np.array([decoding.score_threshold], np.float32),
    )
    zeros = nodes("Mul", by_class, np.float32(0))
    scattered = nodes("ScatterND", zeros, kept, nodes("GatherND", by_class, kept))
    return nodes("Transpose", scattered, perm=[0, 2, 1])
