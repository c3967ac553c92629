"""Values of the wrong type or out of range in a contract: refused while it is read, with their place."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from test_contract import COCO, TREES, Place, changed

from mnv2deploy.contract import parse_contract
from mnv2deploy.errors import ModelError

NAMES = {"detect": "ssdlite-coco", "classify": "mobilenet-v2", "segment": "deeplabv3-voc", "bytes": "bytes"}
QUANTIZED = ("provenance", "quantization")
REFUSED = r"^model\.onnx carries a contract this mnv2deploy cannot read \({}.*\); update mnv2deploy or export"


@pytest.mark.parametrize(
    ("task", "place", "value", "message"),
    [
        ("detect", ("version",), True, "version should be int, not True"),  # equal to ours, and yet another
        ("detect", ("version",), 1.0, "version should be int, not 1.0"),
        ("detect", ("input", "height"), 300.0, "input.height should be int, not 300.0"),
        ("detect", ("input", "height"), True, "input.height should be int, not True"),
        ("detect", ("input", "height"), 0, "an input of 0 x 300 pixels"),
        ("detect", ("input", "width"), -300, "an input of 300 x -300 pixels"),
        ("detect", ("input", "layout"), "CHW", "input.layout should be one of NCHW, NHWC, not 'CHW'"),
        ("detect", ("input", "layout"), "NHWC", "an input is NCHW float32 or NHWC uint8, not NHWC float32"),
        ("detect", ("input", "dtype"), "int8", "input.dtype should be one of float32, uint8, not 'int8'"),
        ("detect", ("input", "dtype"), "uint8", "an input is NCHW float32 or NHWC uint8, not NCHW uint8"),
        ("detect", ("preprocessing", "mean"), [1, 2], r"preprocessing.mean should have 3 entries, not 2"),
        ("detect", ("preprocessing", "std", 1), "1", r"preprocessing.std\[1\] should be float, not '1'"),
        ("detect", ("preprocessing", "std", 1), 0, "std should be greater than 0"),
        ("detect", ("preprocessing", "std", 2), -1.5, "std should be greater than 0"),
        (
            "detect",
            ("preprocessing", "resize"),
            "fit",
            "preprocessing.resize should be one of stretch, centre_crop, pad",
        ),
        ("detect", ("preprocessing", "resize"), "pad", "pad_value belongs to resize = 'pad'"),
        ("detect", ("preprocessing", "shorter_side"), 300, "shorter_side belongs to resize = 'centre_crop'"),
        (
            "detect",
            ("preprocessing", "interpolation"),
            "cubic",
            "preprocessing.interpolation should be one of bilinear",
        ),
        ("detect", ("preprocessing", "colour"), "bgr", "preprocessing.colour should be one of rgb, not 'bgr'"),
        ("detect", ("decoding", "task"), "classify", "unknown key anchors, coder, coder_scales, .* in decoding"),
        (
            "detect",
            ("decoding", "task"),
            "dream",
            "decoding.task should be one of detect, classify, segment, not 'dream'",
        ),
        ("detect", ("decoding", "task"), None, "decoding.task should be one of detect, classify, segment, not None"),
        ("detect", ("decoding", "task"), ["detect"], "decoding.task should be one of"),
        ("detect", ("decoding", "task"), {"task": "detect"}, "decoding.task should be one of"),
        ("detect", ("decoding",), [], "decoding should be a table"),
        ("detect", ("decoding",), None, "decoding should be a table"),
        (
            "detect",
            ("decoding", "activation"),
            "tanh",
            "decoding.activation should be one of sigmoid, softmax, not 'tanh'",
        ),
        ("detect", ("decoding", "coder"), "xyxy", "decoding.coder should be one of yxhw, xywh, not 'xyxy'"),
        ("detect", ("decoding", "coder_scales", 3), 0, "coder_scales should be greater than 0"),
        ("detect", ("decoding", "iou_threshold"), True, "decoding.iou_threshold should be float, not True"),
        ("detect", ("decoding", "iou_threshold"), 1.01, "thresholds should lie between 0 and 1"),
        pytest.param(
            "detect", ("decoding", "iou_threshold"), 10**400, "decoding.iou_threshold should be a finite", id="huge"
        ),
        ("detect", ("decoding", "score_threshold"), float("nan"), "decoding.score_threshold should be a finite number"),
        ("detect", ("decoding", "score_threshold"), -0.1, "thresholds should lie between 0 and 1"),
        (
            "detect",
            ("decoding", "max_detections"),
            0,
            "thresholds should lie between 0 and 1, and max_detections be at",
        ),
        (
            *("detect", ("decoding", "anchors", 3, "sizes", 0, 1), None),
            r"decoding.anchors\[3\].sizes\[0\]\[1\] should be float",
        ),
        ("detect", ("labels", 7), "person", r"labels\[7\] should be a table, not 'person'"),
        ("detect", ("labels", 7, "column"), -1, "labels should have a column each, from 0 on"),
        ("detect", ("labels", 7, "class_id"), -1, "class_id should be 0 or more, not -1"),
        ("detect", ("labels",), [], "labels should have a column each, .* at least one"),
        ("detect", ("outputs",), {}, "outputs should be a list"),
        (
            "detect",
            ("outputs", 0, "meaning"),
            "anything",
            r"outputs\[0\].meaning should be one of class_logits, box_enc",
        ),
        ("detect", ("provenance", "quantization"), "int8", "provenance.quantization should be a table, not 'int8'"),
        ("bytes", ("input", "layout"), "NCHW", "an input is NCHW float32 or NHWC uint8, not NCHW uint8"),
        ("bytes", ("input", "dtype"), "float32", "an input is NCHW float32 or NHWC uint8, not NHWC float32"),
        ("bytes", ("preprocessing", "mean", 1), 0.5, "a graph that takes uint8 normalises by itself, so mean should"),
        ("bytes", ("preprocessing", "std", 2), 255, "a graph that takes uint8 normalises by itself, so mean should"),
        *(
            ("bytes", ("preprocessing", "pad_value"), grey, f"pad_value .* a whole number from 0 to 255, not {grey}")
            for grey in (127.5, -1.0, 256.0, 1000.0)
        ),
        ("bytes", (*QUANTIZED, "format"), "tensorrt", "provenance.quantization.format should be one of qdq, qop"),
        ("bytes", (*QUANTIZED, "calibration_pictures"), -1, "calibration_pictures should be 0 or more, not -1"),
        ("bytes", (*QUANTIZED, "calibration_pictures"), 7.0, "provenance.quantization.calibration_pictures should be"),
        ("bytes", (*QUANTIZED, "calibration_sha256"), 0, "provenance.quantization.calibration_sha256 should be str"),
        ("bytes", (*QUANTIZED, "float_layers"), "all", "provenance.quantization.float_layers should be a list"),
        ("bytes", (*QUANTIZED, "float_answers"), [1], "provenance.quantization.float_answers"),
        ("classify", ("decoding", "top"), 0, "top should be at least 1"),
        ("classify", ("decoding", "top"), 5.0, "decoding.top should be int, not 5.0"),
        (
            "classify",
            ("decoding", "activation"),
            "tanh",
            "decoding.activation should be one of softmax, sigmoid, not 'tanh'",
        ),
        ("classify", ("decoding", "task"), "segment", "unknown key activation, top in decoding"),
        ("classify", ("preprocessing", "shorter_side"), None, "shorter_side belongs to resize = 'centre_crop'"),
        ("classify", ("preprocessing", "shorter_side"), 223, "shorter_side 223 is less than the input's 224 x 224"),
        ("classify", ("input", "width"), 257, "shorter_side 256 is less than the input's 224 x 257"),
        ("classify", ("preprocessing", "resize"), "stretch", "shorter_side belongs to resize = 'centre_crop'"),
        ("segment", ("decoding", "align_corners"), 1, "decoding.align_corners should be bool, not 1"),
        ("segment", ("preprocessing", "pad_value"), None, "pad_value belongs to resize = 'pad'"),
        ("segment", ("preprocessing", "pad_value"), "grey", "preprocessing.pad_value should be float, not 'grey'"),
        ("segment", ("labels", 2, "colour"), [0, 0], r"labels\[2\].colour should have 3 entries, not 2"),
        (
            "segment",
            ("labels", 2, "colour", 1),
            256,
            r"colour should be three numbers from 0 to 255, not \(0, 256, 0\)",
        ),
        ("segment", ("labels", 2, "colour", 1), -1, "colour should be three numbers from 0 to 255"),
    ],
)
def test_wrong_value_is_refused_with_its_place(task: str, place: Place, value: object, message: str) -> None:
    with pytest.raises(ModelError, match=REFUSED.format(message)) as caught:
        parse_contract(changed(TREES[NAMES[task]], place, value), "model.onnx")
    assert caught.value.exit_code == 4


@pytest.mark.parametrize(
    ("task", "preprocessing", "message"),
    [
        ("detect", {"resize": "pad", "pad_value": 0.0}, "a model to detect with takes resize = stretch, not pad"),
        ("detect", {"resize": "centre_crop", "shorter_side": 256}, "takes resize = stretch, not centre_crop"),
        (
            *("segment", {"resize": "centre_crop", "shorter_side": 600, "pad_value": None}),
            "takes resize = stretch or pad, not centre_crop",
        ),
    ],
)
def test_resize_that_the_decoding_cannot_take_back_is_refused(
    task: str, preprocessing: dict[str, Any], message: str
) -> None:
    """Else boxes and masks would silently lie elsewhere than the objects."""
    tree = copy.deepcopy(TREES[NAMES[task]])
    tree["preprocessing"].update(preprocessing)
    with pytest.raises(ModelError, match=message):
        parse_contract(json.dumps(tree), "model.onnx")


@pytest.mark.parametrize(
    "place", [(), ("input",), ("decoding",), ("decoding", "anchors", 2), ("labels", 5), ("provenance",)]
)
def test_unknown_key_is_refused_by_name_and_place(place: Place) -> None:
    where = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place).lstrip(".")
    with pytest.raises(ModelError) as caught:
        parse_contract(changed(COCO, (*place, "colour_space"), 1), "model.onnx")
    assert f"(unknown key colour_space{f' in {where}' if where else ''})" in str(caught.value)


@pytest.mark.parametrize("name", TREES)
def test_two_labels_of_one_column_are_refused(name: str) -> None:
    place = ("labels", 1, "column")
    with pytest.raises(ModelError, match="labels should have a column each"):
        parse_contract(changed(TREES[name], place, TREES[name]["labels"][0]["column"]), "model.onnx")


@pytest.mark.parametrize("name", TREES)
def test_task_is_the_decodings_and_stands_nowhere_else(name: str) -> None:
    assert "task" not in TREES[name]
    with pytest.raises(ModelError, match="unknown key task"):
        parse_contract(changed(TREES[name], ("task",), "detect"), "model.onnx")
