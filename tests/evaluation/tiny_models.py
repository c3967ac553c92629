"""Artifacts of a few numbers whose answers can be told by looking: they go by colour alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from mnv2deploy.contract import (
    METADATA_KEY,
    ClassificationDecoding,
    Contract,
    Input,
    Label,
    Output,
    Preprocessing,
    Provenance,
    SegmentationDecoding,
)

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
SIDE = 8


def tiny_classifier(
    path: Path,
    labels: Mapping[int, str],
    weights: Sequence[Sequence[float]] = ((9, 0, 0), (0, 9, 0), (0, 0, 9)),
    batch: int | str = "N",
) -> Path:
    """Logits: how red, green and blue a picture is, 0..1, times ``weights``, (3, columns)."""
    matrix = np.array(weights, np.float32)
    axes = numpy_helper.from_array(np.array([2, 3]), "axes")
    nodes = [
        helper.make_node("ReduceMean", ["images", "axes"], ["colour"], keepdims=0),
        helper.make_node("MatMul", ["colour", "weights"], ["logits"]),
    ]
    initializers = [axes, numpy_helper.from_array(matrix, "weights")]
    shape = [batch, matrix.shape[1]]
    return _save(path, nodes, initializers, shape, labels, ClassificationDecoding(), batch)


def tiny_segmenter(path: Path, labels: Mapping[int, str], batch: int | str = "N") -> Path:
    """Each pixel has three logits, how red, green and blue it is."""
    kernel = np.eye(3, dtype=np.float32)[:, :, None, None]
    nodes = [helper.make_node("Conv", ["images", "kernel"], ["logits"])]
    shape = [batch, 3, SIDE, SIDE]
    decoding = SegmentationDecoding(align_corners=False)
    return _save(path, nodes, [numpy_helper.from_array(kernel, "kernel")], shape, labels, decoding, batch)


def save_picture(path: Path, *colours: tuple[int, int, int], height: int = 16, width: int = 24) -> Path:
    """A PNG of upright stripes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = np.repeat(np.array(colours, np.uint8), width // len(colours), axis=0)
    assert cv2.imwrite(str(path), np.tile(columns[None, :, ::-1], (height, 1, 1)))
    return path


def save_mask(path: Path, *values: int, height: int = 16, width: int = 24) -> Path:
    """A grey PNG of upright stripes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    row = np.repeat(np.array(values, np.uint8), width // len(values))
    assert cv2.imwrite(str(path), np.tile(row, (height, 1)))
    return path


def _save(path, nodes, initializers, shape, labels, decoding, batch):
    tensor = helper.make_tensor_value_info("images", TensorProto.FLOAT, [batch, 3, SIDE, SIDE])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, shape)
    graph = helper.make_graph(nodes, "tiny", [tensor], [logits], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    columns = enumerate(labels.items())
    contract = Contract(
        input=Input(name="images", layout="NCHW", dtype="float32", height=SIDE, width=SIDE),
        preprocessing=Preprocessing(
            resize="stretch", interpolation="bilinear", colour="rgb", mean=(0, 0, 0), std=(255, 255, 255)
        ),
        outputs=(Output(name="logits", meaning="class_logits"),),
        decoding=decoding,
        labels=tuple(Label(column=column, class_id=class_id, name=name) for column, (class_id, name) in columns),
        provenance=Provenance(
            model="tiny",
            source="made by the test",
            weights_sha256=(),
            licence="CC0-1.0",
            tools=(),
            opset=18,
            minimum_onnxruntime="1.15",
        ),
    )
    helper.set_model_props(model, {METADATA_KEY: contract.to_json()})
    onnx.save(model, path)
    return path
