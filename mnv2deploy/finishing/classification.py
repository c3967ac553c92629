"""From logits to the likeliest classes, in the graph: what `runtime.classify` does outside it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from onnx import TensorProto

from mnv2deploy.contract import ClassificationDecoding, Label
from mnv2deploy.finishing.nodes import Answer, Nodes


def write_classification(
    nodes: Nodes, logits: str, shape: Sequence[int], decoding: ClassificationDecoding, labels: Sequence[Label]
) -> list[Answer]:
    """Writes ``scores`` (N, top) float32 and ``class_ids`` (N, top) int64, the likeliest first.

    They are ranked by their logits, of equal ones the lower column first: scores may round to the same number.

    Args:
        nodes: Written to.
        logits: (N, columns) float32.
        shape: Of one picture's logits.
        decoding: Activation, and how many classes are answered.
        labels: Of some of the columns or all, by rising column.

    Returns:
        The outputs.
    """
    places = np.array([label.column for label in labels])
    top, whole = min(decoding.top, len(labels)), len(labels) == shape[0]
    known = logits if whole else nodes("Gather", logits, places, axis=1)
    values, best = nodes.pair("TopK", known, np.array([top]), axis=1)
    if decoding.activation == "sigmoid":
        nodes("Sigmoid", values, output="scores")
    else:  # among all columns, those without a label too
        shares = nodes("Softmax", logits, axis=1)
        known_shares = shares if whole else nodes("Gather", shares, places, axis=1)
        nodes("GatherElements", known_shares, best, axis=1, output="scores")
    nodes("Gather", np.array([label.class_id for label in labels]), best, output="class_ids")
    return [
        Answer("class_scores", "scores", TensorProto.FLOAT, (top,)),
        Answer("class_ids", "class_ids", TensorProto.INT64, (top,)),
    ]
