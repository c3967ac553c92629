"""mmdetection's SSDLite against mmdetection's own code, with the same weights (tests/reference/README.md)."""

from __future__ import annotations

import dataclasses
import json
import types
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
import pytest
import torch
from deterministic_weights import detector_weight, photo, picture, uniform
from numpy.typing import NDArray

from mnv2deploy.catalog.cards import load_card
from mnv2deploy.contract import Contract
from mnv2deploy.errors import CheckpointError
from mnv2deploy.export import graph
from mnv2deploy.export.artifact import export
from mnv2deploy.networks import load_network
from mnv2deploy.networks.anchors import anchor_layers
from mnv2deploy.runtime.boxes import BoxCoder, generate_anchors
from mnv2deploy.runtime.detect import Detector
from mnv2deploy.runtime.preprocessing import prepare
from mnv2deploy.runtime.session import Session
from mnv2deploy.weights.checkpoint import describe_checkpoint, read_checkpoint
from mnv2deploy.weights.mmdetection import describe, mmdetection_name, mmdetection_origin
from mnv2deploy.weights.widths import block_channels

REFERENCE = np.load(Path(__file__).parent.parent / "reference" / "mmdetection.npz")
META = json.loads(str(REFERENCE["meta"]))
SHAPES = {name: tuple(shape) for name, shape in META["shapes"].items()}
STEP = META["step"]
CARD = load_card("ssdlite-coco-mmdet")
OUTPUTS = ("logits", "encodings")
TOLERANCE = 1e-4  # of an output's range
SCORE = 0.02  # of its test_cfg
SCORES = 3e-5  # float32's rounding of a score; what is nearer to each other than that may come in either order


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As mmengine writes one: the state dict beside what the runner remembers."""
    path = tmp_path_factory.mktemp("mmdetection") / "epoch_120.pth"
    state = {name: torch.from_numpy(detector_weight(name, shape)) for name, shape in SHAPES.items()}
    torch.save({"meta": {"epoch": 120, "dataset_meta": {"classes": META["classes"]}}, "state_dict": state}, path)
    return path


@pytest.fixture(scope="module")
def session(checkpoint: Path) -> Session:
    """The artifact, built as a user builds it."""
    pictures = [checkpoint.with_name("boxes.png")]
    cv2.imwrite(str(pictures[0]), photo()[:, :, ::-1])
    output = checkpoint.with_name("artifact.onnx")
    export(CARD, output, weights=checkpoint, pictures=pictures)
    return Session(output)


@pytest.fixture(scope="module")
def outputs(session: Session) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Of the picture the reference's boxes were found in."""
    (logits, encodings), height, width = session.run_picture(photo())
    assert (height, width) == photo().shape[:2]
    return logits, encodings


def error(size: tuple[int, int], name: str, found: NDArray[np.float32]) -> float:
    """The largest difference from mmdetection's, of those rows that are kept, over the range of all."""
    key = f"{size[0]}x{size[1]}/{name}"
    assert list(found.shape) == REFERENCE[f"{key}/shape"].tolist()
    low, high = REFERENCE[f"{key}/range"]
    return float(np.abs(found[::STEP] - REFERENCE[key]).max() / (high - low))


def test_artifact_answers_as_mmdetection(session: Session) -> None:
    for name, found in zip(OUTPUTS, session.run(picture(1, 320, 320)), strict=True):
        assert error((320, 320), name, found[0]) < TOLERANCE


def test_graph_of_another_size_answers_as_mmdetection(checkpoint: Path) -> None:
    network = load_network(CARD, read_checkpoint(checkpoint, "mmdetection"), "epoch_120.pth")
    assert sum(parameter.numel() for parameter in network.parameters()) == META["parameters"]
    model = graph.trace(network, (3, 320, 256), ["class_logits", "box_encodings"], graph.DEFAULT_OPSET)
    runtime = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    for name, found in zip(OUTPUTS, runtime.run(None, {"image": picture(1, 320, 256)}), strict=True):
        assert error((320, 256), name, found[0]) < TOLERANCE


@pytest.mark.parametrize(
    "change", [{"padding": "tf"}, {"batch_norm_eps": 1e-5}, {"taps": ("blocks.11", "last")}], ids=str
)
def test_other_conventions_are_other_networks(change: dict[str, Any], checkpoint: Path) -> None:
    spec = CARD.network
    if "taps" not in change:
        change = {"backbone": dataclasses.replace(spec.backbone, **change)}
    card = dataclasses.replace(CARD, network=dataclasses.replace(spec, **change))
    with torch.inference_mode():
        found = load_network(card, read_checkpoint(checkpoint, "mmdetection"), "")(
            torch.from_numpy(picture(1, 320, 320))
        )
    assert error((320, 320), "logits", found[0][0].numpy()) > 10 * TOLERANCE


def anchors() -> NDArray[np.float32]:
    return generate_anchors(anchor_layers(CARD.network.anchors, CARD.input))


def test_anchors_are_mmdetections() -> None:
    centres, sizes = anchors()[:, :2].astype(np.float64), anchors()[:, 2:].astype(np.float64)
    corners = np.concatenate([(centres - sizes / 2)[:, ::-1], (centres + sizes / 2)[:, ::-1]], axis=1)
    np.testing.assert_allclose(corners * 320, REFERENCE["anchors"], rtol=1e-6, atol=1e-6 * 320)


def test_boxes_of_wild_encodings_are_mmdetections() -> None:
    """They reach the limit of a box's size and the border."""
    decoding = CARD.decoding
    wild = uniform("encodings", (len(anchors()[::STEP]), 4), -40, 40)
    assert np.abs(wild[:, 2:] / 5).max() > np.log(decoding.size_ratio_limit)
    coder = BoxCoder(decoding.coder, decoding.coder_scales, decoding.size_ratio_limit)
    boxes = np.clip(coder.decode(wild, anchors()[::STEP]), 0, 1) * 320
    np.testing.assert_allclose(boxes, REFERENCE["decoded"], rtol=0, atol=1e-3)


def test_input_is_mmdetections(session: Session) -> None:
    """Its pipeline's resize of another size and ratio, and its preprocessor's colours, mean and deviation."""
    found = prepare(photo(), session.contract.input, session.contract.preprocessing)
    np.testing.assert_allclose(found.ravel()[::STEP], REFERENCE["input"], rtol=0, atol=1e-6)


def detect(contract: Contract, outputs: tuple[NDArray[np.float32], ...], **changes: Any) -> list[NDArray[Any]]:
    """Scores, class ids and boxes, decoded as the contract says but for the changes."""
    decoding = dataclasses.replace(contract.decoding, **changes)
    stand_in = types.SimpleNamespace(contract=contract, decoding=lambda _: decoding, name="stand-in")
    result = Detector(stand_in, score=SCORE).decode(*outputs, *photo().shape[:2])
    found = result.detections
    return [np.array([getattr(one, field) for one in found]) for field in ("score", "class_id", "box")]


def expected(candidates: int) -> list[NDArray[Any]]:
    ids = {label.name: label.class_id for label in load_card("ssdlite-coco").labels}
    labels = [ids[META["classes"][column]] for column in REFERENCE[f"{candidates}/labels"]]
    return [REFERENCE[f"{candidates}/scores"], np.array(labels), REFERENCE[f"{candidates}/boxes"]]


def in_order(found: list[NDArray[Any]], tied: NDArray[np.intp]) -> list[NDArray[Any]]:
    """Those whose scores are tied ordered by class and place."""
    _, classes, boxes = found
    order = np.lexsort((boxes[:, 1], boxes[:, 0], classes, tied))
    return [values[order] for values in found]


@pytest.mark.parametrize("candidates", [1000, 30])
def test_detections_are_mmdetections(candidates: int, session: Session, outputs: Any) -> None:
    """In the picture's own pixels, through its whole test: threshold, best candidates, clipped boxes, NMS, limit."""
    reference = expected(candidates)
    assert len(reference[0]) > 30
    assert len(set(reference[1].tolist())) > 5
    found = detect(session.contract, outputs, candidates_per_map=candidates)
    assert len(found[0]) == len(reference[0])
    tied = np.cumsum(-np.diff(reference[0], prepend=reference[0][0]) > SCORES)
    assert tied[-1] > 0.9 * len(tied)
    pairs = zip(in_order(found, tied), in_order(reference, tied), (SCORES, 0, 1e-3), strict=True)
    for ours, theirs, tolerance in pairs:
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance)


@pytest.mark.parametrize(
    "change",
    [{"clip": "after_nms"}, {"iou_threshold": 0.5}, {"candidates_per_map": 30}, {"coder": "yxhw"}],
    ids=str,
)
def test_other_decodings_find_other_boxes(change: dict[str, Any], session: Session, outputs: Any) -> None:
    boxes, others = (detect(session.contract, outputs, **changes)[2] for changes in ({}, change))
    assert len(boxes) != len(others) or np.abs(boxes - others).max() > 1


def test_boxes_without_area_are_not_answered(session: Session) -> None:
    """Cut at the border before NMS, what lies beyond it is nothing."""
    logits = np.zeros((3234, 81), np.float32)
    logits[:2, 0] = 20  # two persons, the first in the corner's first anchor
    encodings = np.zeros((3234, 4), np.float32)
    encodings[1, 0] = -100  # ten widths to the left
    outside = detect(session.contract, (logits, encodings), clip="after_nms")
    assert len(outside[0]) == 2
    scores, classes, boxes = detect(session.contract, (logits, encodings))
    assert (len(scores), classes.tolist()) == (1, [1])
    np.testing.assert_allclose(boxes[0], [0, 0, 32 / 320 * 400, 32 / 320 * 240], atol=1e-3)


def test_classes_are_cocos_in_mmdetections_order() -> None:
    coco = {label.name: label.class_id for label in load_card("ssdlite-coco").labels}
    by_column = {label.column: label for label in CARD.labels}
    assert sorted(by_column) == list(range(80))  # the background's, the last, has no label
    assert [by_column[column].name for column in range(80)] == META["classes"]
    assert all(coco[label.name] == label.class_id for label in CARD.labels)


def test_description_is_the_card(checkpoint: Path) -> None:
    description = describe_checkpoint(checkpoint, "mmdetection")
    assert description.network == CARD.network
    assert description.input == CARD.input


def test_description_counts_the_classes_of_a_training_of_ones_own() -> None:
    shapes = {
        name: ((6 * 4, *shape[1:]) if ".cls_convs." in name and ".1." in name and shape[:1] == (486,) else shape)
        for name, shape in SHAPES.items()
    }
    assert describe(shapes, {}, "own.pth").network.columns == 4


def test_description_is_of_the_widths_the_tensors_have() -> None:
    widths = {f"backbone.blocks.{index}.project": count for index, count in enumerate(block_channels(0.5, 1.0))}
    widths |= {"backbone.stem": 16, "backbone.last": 1280} | {f"extras.{index}.pointwise": 96 for index in range(4)}
    own = {mmdetection_name(f"{module}.conv.weight"): count for module, count in widths.items()}
    shapes = {name: ((own[name], *shape[1:]) if name in own else shape) for name, shape in SHAPES.items()}
    network = describe(shapes, {}, "own.pth").network
    assert (network.backbone.width_multiplier, network.extras) == (0.5, (96,) * 4)
    assert network.anchors == CARD.network.anchors


def test_numbers_that_prepare_pictures_are_no_weights() -> None:
    """mmdetection registers them as buffers where it is told to."""
    buffers = {"data_preprocessor.mean": (3, 1, 1), "data_preprocessor.std": (3, 1, 1)}
    assert describe({**SHAPES, **buffers}, {}, "own.pth").network == CARD.network
    raw = {name: np.zeros(shape, np.float32) for name, shape in buffers.items()}
    assert mmdetection_origin(raw, "own.pth").unused() == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {f"bbox_head.cls_convs.{index}.1.bias": (485,) for index in range(6)},
            r"cls_convs.0.1.bias has the shape \(485,\).* not of as many classes",
        ),
        ({"bbox_head.cls_convs.2.1.bias": (84,)}, r"cls_convs.2.1.bias has the shape \(84,\).* not of as many classes"),
        ({"bbox_head.reg_convs.0.1.bias": (16,)}, r"reg_convs.0.1.bias has the shape \(16,\), but 6 anchors a cell"),
        ({"bbox_head.reg_convs.0.1.bias": ()}, r"but 6 anchors a cell"),
        ({"neck.l2_norm.weight": (512,)}, "no place for: neck.l2_norm.weight"),
        ({"neck.extra_layers.3.0.bn.bias": None}, r"lacks neck.extra_layers.3.0.bn.bias\."),
        (
            {"backbone.layer5.1.linear_conv.conv.weight": (90, 576, 1, 1)},
            "layer5.1.linear_conv.conv.weight has 90 channels",
        ),
    ],
)
def test_what_is_no_such_network_is_said(change: dict[str, Any], message: str) -> None:
    shapes = {name: shape for name, shape in {**SHAPES, **change}.items() if shape is not None}
    with pytest.raises(CheckpointError, match=message) as caught:
        describe(shapes, {}, "own.pth")
    assert str(caught.value).startswith("own.pth")


def test_a_tensor_of_another_network_has_no_name_there() -> None:
    with pytest.raises(CheckpointError, match=r"head.convs.0.conv.weight has no counterpart"):
        mmdetection_name("head.convs.0.conv.weight")
