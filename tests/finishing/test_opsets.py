"""The nodes that are written mean the same at every opset that is exported."""

from __future__ import annotations

import numpy as np
import pytest
from test_detection_graph import DECODING, outputs
from written_graphs import labels_of, run

from mnv2deploy.contract import ClassificationDecoding, Input, SegmentationDecoding
from mnv2deploy.export.graph import DEFAULT_OPSET, MINIMUM_ONNXRUNTIME
from mnv2deploy.finishing.classification import write_classification
from mnv2deploy.finishing.detection import write_detection
from mnv2deploy.finishing.nodes import Nodes
from mnv2deploy.finishing.segmentation import write_segmentation


def everything(opset: int) -> list[np.ndarray]:
    """What all three kinds answer to the same numbers."""
    found = []
    logits, encodings = outputs(7)
    nodes, labels = Nodes("decoding"), labels_of([0, 2, 4])
    answers = write_detection(nodes, "logits", "encodings", logits.shape[1:], DECODING, labels)
    found += run(nodes, answers, {"logits": logits, "encodings": encodings}, opset)
    nodes = Nodes("decoding")
    answers = write_classification(nodes, "logits", (5,), ClassificationDecoding(top=2), labels)
    found += run(nodes, answers, {"logits": logits[:, 0]}, opset)
    nodes, size = Nodes("decoding"), Input(name="image", layout="NCHW", dtype="float32", height=17, width=19)
    planes = np.random.default_rng(0).normal(size=(2, 5, 4, 6)).astype(np.float32)
    answers = write_segmentation(
        nodes, "logits", planes.shape[1:], SegmentationDecoding(align_corners=False), labels, size
    )
    return found + run(nodes, answers, {"logits": planes}, opset)


@pytest.mark.parametrize("opset", sorted(set(MINIMUM_ONNXRUNTIME) - {DEFAULT_OPSET}))
def test_answers_are_the_same_at_every_opset(opset: int) -> None:
    for one, other in zip(everything(opset), everything(DEFAULT_OPSET), strict=True):
        assert other.any()
        np.testing.assert_array_equal(one, other)
